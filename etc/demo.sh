#!/bin/sh
# demo.sh: what `make run` does once all is built: a demo instance in ./instance, run in the foreground, and real work sent through it: a
# summary of 100,000 rows, a task that takes too much memory and dies alone, a task whose backend is killed while it runs, a project that is
# built, learned from and shown, and a command as a crontab line would run it. Ctrl-C stops the instance. DEMO_DIR: another folder. Without a terminal, or with DEMO_STOP=1, it ends
# after the demonstrations.
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build}
case "$build" in /*) ;; *) build="$PWD/$build" ;; esac
dir=${DEMO_DIR:-$PWD/instance}
port=${DEMO_PORT:-0}
export DSS_SHARE="$PWD"
# As root the daemon's users must be able to run what was built: a clone below /root is installed elsewhere first.
if [ "$(id -u)" = 0 ] && ! setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$build/dssd"; then
	home=${DEMO_HOME:-/var/tmp/dssd-demo}
	echo "no other user can enter $PWD: installing into $home"
	sh etc/install.sh "" "$home" "$build" >/dev/null
	build=$home/bin dir=${DEMO_DIR:-$home/instance}
	export DSS_SHARE="$home/share/dssd"
fi

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
if [ ! -t 1 ] || [ -n "${NO_COLOR:-}" ]; then say() { printf '\n== %s\n' "$*"; }; fi
# Prints the command as one would type it, then runs it.
show() {
	printf '$ %s\n' "$*"
	"$@"
}

if [ ! -f "$dir/config/instance.id" ]; then
	say "An instance in $dir"
	show "$build/dssctl" init "$dir" --port "$port" --demo
fi
# The instance is this script's child. Ctrl-C, a closed terminal, a failed step: it is stopped and waited for.
keeper="" said=$(mktemp)
finish() {
	code=$?
	trap "" INT TERM HUP
	trap - EXIT
	if [ -n "$keeper" ] && kill -0 "$keeper" 2>/dev/null; then
		say "Stop"
		"$dir/bin/dss" stop || "$dir/bin/dss" stop --now || true
	fi
	[ -z "$keeper" ] || wait "$keeper" 2>/dev/null || true
	rm -f "$said" "$said.train"
	exit "$code"
}
trap finish EXIT
trap 'exit 0' INT TERM HUP

say "Start, in the foreground"
if "$dir/bin/dss" status >/dev/null 2>&1; then
	echo "demo: $dir runs already; $dir/bin/dss stop ends it" >&2
	exit 1
fi
echo "$ $dir/bin/dss run"
"$dir/bin/dss" run >"$said" 2>&1 &
keeper=$!
tries=0
until "$dir/bin/dss" status >/dev/null 2>&1; do
	tries=$((tries + 1))
	if [ $tries -ge 300 ] || ! kill -0 "$keeper" 2>/dev/null; then
		cat "$said" >&2
		echo "demo: the instance did not come up" >&2
		exit 1
	fi
	sleep 0.1
done
show "$dir/bin/dss" status
port=$(sed -n 's/.*"page": *\([0-9]*\).*/\1/p' "$dir/run/ports.json")
echo "page: http://127.0.0.1:$port/   key: $dir/config/admin.key"
csv="$dir/projects/DEMO/data/sales/sales.csv"

say "Real work: a summary of 100,000 rows, by a Python kernel that was waiting warm"
show "$dir/bin/dssctl" submit python stats:summarise --arg "$csv" --title "summary of sales" --wait

say "A hog: it asks for 4 GB with a limit of 256 MB, dies alone, and its owner reads why"
show "$dir/bin/dssctl" submit python stats:eat --arg 4294967296 --memory 256m --title "a hog" --wait || echo "(exit $?)"

say "kill -9 of the backend while a task runs; its result still arrives"
id=$("$dir/bin/dssctl" submit python stats:sleep_for --arg 4 --title "sleeps 4 s")
echo "$ $dir/bin/dssctl submit python stats:sleep_for --arg 4"
echo "$id"
tries=0
until "$dir/bin/dssctl" result "$id" 2>&1 | grep -q "it is running"; do
	tries=$((tries + 1))
	[ $tries -lt 100 ] || { echo "demo: the task $id did not start within 10 s" >&2; exit 1; }
	sleep 0.1
done
backend() { "$dir/bin/dss" status | sed -n 's/^backend  *\([0-9][0-9]*\) .*/\1/p'; }
before=$(backend)
show kill -9 "$before"
show "$dir/bin/dssctl" wait "$id"
show "$dir/bin/dss" status
[ "$(backend)" != "$before" ] || { echo "demo: the backend was not replaced" >&2; exit 1; }

if [ -f "$dir/policies/15-jobs.lua" ]; then
	say "A project: clean with Python, add up, in boxes of their own, one after the other"
	show "$dir/bin/dssctl" job run DEMO revenue
	say "A model learns from what was cleaned, in a Python process for each algorithm; the whole house while they run"
	echo "$ $dir/bin/dssctl train DEMO order_amount --wait"
	"$dir/bin/dssctl" train DEMO order_amount --wait >"$said.train" 2>&1 &
	training=$!
	tries=0
	until "$dir/bin/dssctl" ps --where 'pool = training and state = busy' --json 2>/dev/null | grep -q training || ! kill -0 "$training" 2>/dev/null; do
		tries=$((tries + 1))
		[ $tries -lt 200 ] || break
		sleep 0.1
	done
	show "$dir/bin/dssctl" ps --tree
	# without scikit-learn it says what to install
	wait "$training" || echo "(exit $?)"
	cat "$said.train"
	say "A web page of the project shows both"
	show "$dir/bin/dssctl" webapps start DEMO page
	show "$dir/bin/dssctl" webapps
fi

say "Before a crontab line: boxed, logged, queued, never twice at a time; its exit code is passed on"
show "$dir/bin/dssctl" run --memory 256m --timeout 1min --no-overlap nightly -- sh -c 'echo "$(id -un) in $(cut -d: -f3 /proc/self/cgroup | grep -m 1 dss-)"; exit 3' || echo "(exit $?)"

if [ "${DEMO_STOP:-}" = 1 ] || [ ! -t 0 ] || [ ! -t 1 ]; then
	exit 0
fi
say "It runs: http://127.0.0.1:$port/ (key: $dir/config/admin.key). Try, in another terminal:"
echo "  $dir/bin/dssctl top"
echo "  $dir/bin/dssctl run -- sh -c 'echo hello'"
echo "  $dir/bin/dssctl events --follow"
echo "Ctrl-C stops it."
wait "$keeper"
