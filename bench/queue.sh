#!/bin/sh
# What the queue costs: putting a task in, picking the next one, with 10 and with 10,000 waiting; and dispatch with the ledger beside without.
set -eu
. bench/lib.sh
bench_name="queue"
work_begin
"$bin/queue" >"$work/queue"
head_of "queue: ns for one task (start, end, next submit; the structures alone)" "ns per push"
while read -r name waiting push pick; do
	row "$name, $waiting waiting" "$pick" "ns/pick" "$push" "-"
done <"$work/queue"

"$bin/dispatch" "$work" "${BENCH_TASKS:-10000}" >"$work/dispatch"
median_of() { awk -v how="$1" -v at="$2" '$1 == how { print $at }' "$work/dispatch" | median; }
head_of "dispatch: submit to result, durable, two kernels that answer at once, 32 at a time" "x without"
for at in 2 3; do
	without=$(median_of without "$at") with=$(median_of with "$at")
	name="us/task"
	[ "$at" = 2 ] || name="us CPU/task"
	row "without the ledger" "$without" "$name" 1.00 "-"
	row "with the ledger" "$with" "$name" "$(ratio "$with" "$without")" "<= 1.1 x"
done
