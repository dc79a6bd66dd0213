#!/bin/sh
# Starts per second of a program that ends at once: by the keeper, with a box of its own, a memory limit and a log sink each, ordered
# over the wire and acknowledged; beside a plain loop of vfork, exec and wait, in turn.
set -eu
. bench/lib.sh
bench_name=spawn
rounds=${BENCH_ROUNDS:-5}
count=${BENCH_SPAWNS:-400}
window=16      # ordered and not ended
work_begin

# keeper MODE BOX SINK: one instance, one number
keeper_rate() {
	d=$work/instance
	rm -rf "$d"
	instance "$d" "$1" spawn "$count" "$window" "$2" "$3" "$d/rate" "$bin/true"
	launch TERM "$ours/dss-keeper" "$d" --foreground
	waited=0
	until [ -s "$d/rate" ]; do
		waited=$((waited + 1))
		[ "$waited" -lt 1200 ] || { tail -n 20 "$work/launched.log" >&2; bench_fail "no rate from mode $1 within two minutes"; }
		sleep 0.1
	done
	cat "$d/rate" >>"$work/$1.$2.$3"
	end_all
}

for _ in $(seq "$rounds"); do
	"$bin/loop" "$((count * 2))" "$bin/true" >>"$work/loop"
	for mode in $(modes); do
		keeper_rate "$mode" own kernel
		keeper_rate "$mode" one null
	done
done
plain=$(median <"$work/loop")
head_of "spawn: starts per second ($rounds rounds of $count in turn)" "x loop"
row "vfork + exec + wait loop" "$(printf '%.0f' "$plain")" 1/s 1.00 "-"
for mode in $(modes); do
	case $mode in
	v2) target=">= 0.7 x" ;;
	none) target="-" ;;
	*) target=">= 0.4 x" ;;
	esac
	full=$(median <"$work/$mode.own.kernel") bare=$(median <"$work/$mode.one.null")
	row "keeper-$mode: box, limit and sink each" "$(printf '%.0f' "$full")" 1/s "$(ratio "$full" "$plain")" "$target"
	row "keeper-$mode: one box for all, no sink" "$(printf '%.0f' "$bare")" 1/s "$(ratio "$bare" "$plain")" "-"
done
