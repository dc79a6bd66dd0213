#!/bin/sh
# demo.sh: what `make run` does once all is built: a demo instance in ./instance, started, and real work sent through it: a summary of
# 100,000 rows, a task that takes too much memory and dies alone, and a task whose backend is killed while it runs.
# DEMO_DIR: another folder. DEMO_STOP=1: stop the instance at the end.
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
say "Start"
show "$dir/bin/dss" start
show "$dir/bin/dss" status
tasks="$DSS_SHARE/kernels/python/tasks"
csv="$dir/projects/DEMO/data/sales/sales.csv"

say "Real work: a summary of 100,000 rows, by a Python kernel that was waiting warm"
show "$dir/bin/dssctl" submit python stats:summarise --path "$tasks" --arg "$csv" --title "summary of sales" --wait

say "A hog: it asks for 4 GB with a limit of 256 MB, dies alone, and its owner reads why"
show "$dir/bin/dssctl" submit python stats:eat --path "$tasks" --arg 4294967296 --memory 256m --title "a hog" --wait || echo "(exit $?)"

say "kill -9 of the backend while a task runs; its result still arrives"
id=$("$dir/bin/dssctl" submit python stats:sleep_for --path "$tasks" --arg 4 --title "sleeps 4 s")
echo "$ $dir/bin/dssctl submit python stats:sleep_for --path $tasks --arg 4"
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

if [ "${DEMO_STOP:-}" = 1 ]; then
	say "Stop"
	show "$dir/bin/dss" stop
else
	say "It runs on. $dir/bin/dss stop ends it."
fi
