#!/bin/sh
# The ledger in numbers: what a note costs, how large decisions are on the disk, and a task's way with the ledger beside without it.
set -eu
. bench/lib.sh
. bench/peers_lib.sh
. bench/futures_lib.sh
rounds=${BENCH_ROUNDS:-5}
tasks=${BENCH_TASKS:-1500}
work_begin

# --- alone ---

mkdir -p "$work/few" "$work/many"
set -- $("$bin/ledger" "$work/few" 500 20)
note_ns=$1 cpu_us=$2 line_bytes=$3
set -- $("$bin/ledger" "$work/many" 10000 2)
many_us=$2 row_bytes=$4

# --- a task's way: two instances, in turn ---

both_end() {
	for one in with without; do
		[ ! -d "$work/$one" ] || "$work/$one/bin/dss" stop --now >/dev/null 2>&1 || echo "bench: the instance $one did not stop" >&2
	done
	[ -z "${prefix:-}" ] || rm -rf "$prefix"
	work_end
}
both_start() { # with | without
	chmod 755 "$work"
	"$programs/dssctl" init "$work/$1" --port 0 >/dev/null
	[ "$1" = with ] || echo 'backend { env = { DSS_SPECS = "1", DSS_LEDGER = "off" } }' >>"$work/$1/config/dss.lua"
	{
		printf 'pool "bench" {\n  kernel = python { path = { "%s" } },\n  limits = { memory = "512m", swap = "0" },\n' "$share/kernels/python/tasks"
		printf '  warm = { min = 2, max = 2 }, max = 2,\n  recycle = { after_tasks = 1000000000 },\n}\n'
	} >"$work/$1/policies/10-pools.lua"
	rm -f "$work/$1"/policies/[2-9]*
	trap both_end EXIT
	"$work/$1/bin/dss" start >/dev/null || bench_fail "the instance did not start: $(tail -n 5 "$work/$1/run/backend.log")"
}
use() {
	node=$work/$1
	port=$(sed 's/.*"page":\([0-9]*\).*/\1/' "$node/run/ports.json")
	key=$(cat "$node/config/admin.key")
}
sum() { awk -v n="$((rounds * (tasks + tasks / 3)))" -v hz="$(getconf CLK_TCK)" '{ s += $1 } END { printf "%.0f", s * 1000000 / hz / n }'; }
measure() { # which, series, connections, count
	use "$1"
	backend=$(node_pid backend)
	before=$(ticks "$backend")
	series=$1
	set -- "$1-$2" $("$bin/futures_load" round "$port" "$node/config/admin.key" "$work/echo.json" "$3" "$4")
	echo "$2" >>"$work/$1.p50"
	echo "$4" >>"$work/$1.rate"
	echo "$(($(ticks "$backend") - before))" >>"$work/$series.ticks"
}
echo '{"type":"python","pool":"bench","payload":{"callable":"stats:echo","args":[42]}}' >"$work/echo.json"
for one in with without; do
	both_start $one
	use $one
	node_await 2
	"$bin/futures_load" round "$port" "$node/config/admin.key" "$work/echo.json" 1 100 >/dev/null
done
for round in $(seq "$rounds"); do
	order="with without"
	[ $((round % 2)) = 1 ] || order="without with"
	for one in $order; do
		measure "$one" one 1 "$((tasks / 3))"
		measure "$one" many 64 "$tasks"
	done
done
noted=$(curl -s -H "Authorization: Bearer $(cat "$work/with/config/admin.key")" "http://127.0.0.1:$(sed 's/.*"page":\([0-9]*\).*/\1/' "$work/with/run/ports.json")/api/decisions?limit=1000" | tr '{' '\n' | grep -c '"word":"queue"' || true)
[ "$noted" -gt 0 ] || echo "bench: no decision of the queue was recorded: the dispatch has nothing to pay for" >&2

bench_name=ledger
head_of "ledger: a decision" ""
row "noted, on the loop's thread" "$note_ns" ns - "<= 1500 ns"
row "500 kernels over and over, all threads" "$cpu_us" us - -
row "10,000 kernels, a row each, all threads" "$many_us" us - -
row "exact: a line of a segment" "$line_bytes" bytes - -
row "folded: a row with its three indexes" "$row_bytes" bytes - -
own=$(median <"$work/without-one.p50" | awk '{ printf "%.2f", $1 / 1000 }')
with=$(median <"$work/with-one.p50" | awk '{ printf "%.2f", $1 / 1000 }')
head_of "ledger: submit to result, with it and without ($rounds rounds in turn)" "x without"
row "one after the other, without" "$own" ms 1.00 -
row "one after the other, with" "$with" ms "$(ratio "$with" "$own")" "<= 1.1 x"
own=$(median <"$work/without-many.rate" | awk '{ printf "%.0f", $1 }')
with=$(median <"$work/with-many.rate" | awk '{ printf "%.0f", $1 }')
row "tasks a second, 64 under way, without" "$own" /s 1.00 -
row "tasks a second, 64 under way, with" "$with" /s "$(ratio "$with" "$own")" ">= 0.91 x"
own=$(sum <"$work/without.ticks")
with=$(sum <"$work/with.ticks")
row "the backend's processor time of a task, without" "$own" us 1.00 -
row "the backend's processor time of a task, with" "$with" us "$(ratio "$with" "$own")" "<= 1.1 x"
