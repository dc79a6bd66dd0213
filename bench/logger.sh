#!/bin/sh
# Lines of 100 bytes through a pipe into a file on a memory disk, each with a prefix: the logger beside one loop that reads and
# writes, and the same loop with prefixes.
set -eu
. bench/lib.sh
bench_name="logger"
rounds=${BENCH_ROUNDS:-5}
mb=${BENCH_MB:-300}
[ ! -d /dev/shm ] || work=$(mktemp -d /dev/shm/dss-bench.XXXXXX)
work_begin
for _ in $(seq "$rounds"); do
	for how in copy prefix logger; do
		mkdir -p "$work/dir/run" "$work/dir/jobs"
		program=$bin/relay
		[ "$how" != logger ] || program=$ours/dss-logger
		"$bin/feed" "$mb" "$work/dir" "$how" "$program" >>"$work/$how" 2>>"$work/launched.log" || { cat "$work/launched.log" >&2; bench_fail "no number for $how"; }
		rm -rf "$work/dir"
	done
done
copy=$(median <"$work/copy")
head_of "logger: MB/s of lines ($rounds rounds of $mb MB in turn)" "x copy"
row "read and write, nothing else" "$(printf '%.0f' "$copy")" MB/s 1.00 "-"
for how in prefix logger; do
	v=$(median <"$work/$how")
	name="dss-logger: prefix, masks, rotation"
	[ "$how" = logger ] || name="read, prefix, write"
	row "$name" "$(printf '%.0f' "$v")" MB/s "$(ratio "$v" "$copy")" "-"
done
