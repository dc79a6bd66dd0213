# What the benches share: building, making an instance without a backend of its own, starting and ending, tables. POSIX sh, also busybox's.
# shellcheck shell=sh
build=${BUILD:-build}
bench_out=${BENCH_TSV:-$build/bench.tsv}
bin=$(cd "$build" && pwd)/bench
ours=$(cd "$build" && pwd)
work=${BENCH_WORK:-}
peers=$ours/peers
PATH=$PATH:$peers/usr/bin:$peers/bin:/usr/sbin:/sbin

bench_fail() {
	echo "bench: $*" >&2
	exit 1
}

# --- a place to work in; what was started there is ended when the bench ends ---

work_begin() {
	[ -n "$work" ] || work=$(mktemp -d /tmp/dss-bench.XXXXXX)
	mkdir -p "$work"
	started=""
	trap work_end EXIT
	trap 'exit 130' INT TERM HUP PIPE
}

work_end() {
	end_all
	rm -rf "$work"
}

is_gone() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }

# await_end PID: a minute at most.
await_end() {
	tries=0
	until is_gone "$1"; do
		tries=$((tries + 1))
		[ "$tries" -lt 600 ] || return 1
		sleep 0.1
	done
}

# owe PID SIGNAL: this supervisor ends, with all it runs, by SIGNAL.
owe() { started="$started $1:$2"; }

# launch SIGNAL CMD…: in the background in a session of its own.
launch() {
	signal=$1
	shift
	setsid "$@" </dev/null >>"$work/launched.log" 2>&1 &
	owe $! "$signal"
}

end_all() {
	for item in $started; do kill "-${item#*:}" "${item%:*}" 2>/dev/null || true; done
	for item in $started; do
		await_end "${item%:*}" || { echo "bench: ${item%:*} does not end, killing it" >&2; kill -9 "${item%:*}" || true; }
	done
	started=""
}

# --- an instance: only what the keeper reads ---

service() { # plan, name, healthy_ms, sink, argv…
	plan=$1 name=$2 healthy=$3 sink=$4
	shift 4
	{
		echo "service $name"
		for word; do echo "  argv $word"; done
		echo "  env LANG=C.UTF-8"
		echo "  cwd /"
		echo "  box core/$name"
		echo "  sink $sink"
		echo "  ready exec"
		echo "  stop_signal 15"
		echo "  grace_ms 5000"
		echo "  healthy_ms $healthy"
		echo "end"
	} >>"$plan"
}

# instance DIR CGROUPS BACKEND-ARG…
instance() {
	dir=$1 cgroups=$2
	shift 2
	mkdir -p "$dir/config" "$dir/run" "$dir/jobs"
	stat -c '%d:%i' "$dir" | sed "s|\$| $dir|" >"$dir/config/instance.origin"
	# eight hex digits that no other instance has
	id=$(od -An -N4 -tx1 /dev/urandom | tr -d ' \n')
	plan=$dir/run/keeper.plan
	printf 'dss-plan 1\ninstance %s\ndir %s\ncgroups %s\nlog_floor 0\n' "$id" "$dir" "$cgroups" >"$plan"
	service "$plan" logger 60000 service:logger "$ours/dss-logger" --dir "$dir" --floor-bytes 0
	service "$plan" backend 60000 service:backend "$bin/backend" "$@"
}

# --- tables ---

# number BENCH NAME VALUE UNIT RATIO TARGET MET
number() { printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$@" >>"$bench_out"; }

# row NAME VALUE UNIT RATIO TARGET: prints and records; TARGET: "<= 3 ms", ">= 0.7 x", "-". What carries an "x" is held against the ratio.
row() {
	# An emulated machine is held against ratios only.
	if [ -n "${BENCH_EMULATED:-}" ]; then
		case $5 in *" x") ;; *) set -- "$1" "$2" "$3" "$4" "-" ;; esac
	fi
	met=$(awk -v value="$2" -v ratio="$4" -v target="$5" 'BEGIN {
		n = split(target, t, " ")
		if (n < 2) { print "-"; exit }
		is = t[3] == "x" ? ratio : value
		if (is == "-" || is == "") print "-"
		else print (t[1] == "<=" ? is + 0 <= t[2] + 0 : is + 0 >= t[2] + 0) ? "yes" : "NO"
	}')
	printf '  %-46s %12s %-6s %8s   %-10s %s\n' "$1" "$2" "$3" "$4" "$5" "$met"
	number "$bench_name" "$1" "$2" "$3" "$4" "$5" "$met"
}

head_of() { # title, what the ratio is of
	printf '\n%s\n' "$1"
	printf '  %-46s %12s %-6s %8s   %-10s %s\n' "" "median" "" "$2" "target" "met"
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b + 0 > 0) printf "%.2f", a / b; else print "-" }'; }
median() { sort -n | awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# The modes of boxes this machine can do; "auto" is what an instance takes by itself.
modes() {
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo "v2 none"; else echo "hybrid none"; fi
}
