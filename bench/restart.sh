#!/bin/sh
# Time from kill -9 of a service's process until its successor runs, as the successor itself tells; and the keeper's share of it.
set -eu
. bench/lib.sh
. bench/peers_lib.sh
bench_name=restart
rounds=${BENCH_ROUNDS:-15}
gap_ms=1600        # s6 and runit hold back what has not lived for a second
work_begin
set --
for mode in $(modes); do
	d=$work/$mode
	mkdir -p "$d"
	mkfifo "$d/fifo"
	truncate -s 4096 "$d/probe"
	instance "$d" "$mode" idle
	service "$d/run/keeper.plan" ping 300 service:ping "$bin/ping" "$d/fifo"
	launch TERM env BENCH_PROBE="$d/probe" "$bin/dss-keeper" "$d" --foreground
	set -- "$@" "keeper-$mode=$d/fifo:$d/probe"
done
if has_supervisord; then
	mkfifo "$work/supervisord.fifo"
	supervisord_conf "$work/supervisord" 1 "$work/supervisord.fifo"
	launch TERM supervisord -n -c "$work/supervisord/conf"
	set -- "$@" "supervisord=$work/supervisord.fifo"
fi
if has_s6; then
	for kind in s6 s6-ready; do
		mkfifo "$work/$kind.fifo"
		s6_dir "$work/$kind" 1 "$kind"
		launch TERM env BENCH_FIFO="$work/$kind.fifo" $(s6_env "$kind") s6-svscan "$work/$kind"
		set -- "$@" "$kind=$work/$kind.fifo"
	done
fi
if has_runit; then
	mkfifo "$work/runit.fifo"
	runit_dir "$work/runit" 1
	launch HUP env BENCH_FIFO="$work/runit.fifo" runsvdir "$work/runit"
	set -- "$@" "runit=$work/runit.fifo"
fi
"$bin/drive" restart "$rounds" "$gap_ms" "$@" >"$work/result" || { cat "$work/launched.log" >&2; exit 1; }
head_of "restart: kill -9 until the successor runs ($rounds rounds in turn)" "x keeper"
own=$(awk 'NR == 1 { print $3 }' "$work/result")
while read -r name _ mid _ _ reap share join exec; do
	row "$name" "$(awk -v v="$mid" 'BEGIN { printf "%.2f", v / 1000 }')" ms "$(ratio "$mid" "$own")" "-"
	[ -n "${share:-}" ] || continue
	target="<= 3 ms"
	row "  $name: death heard after" "$(awk -v v="$reap" 'BEGIN { printf "%.2f", v / 1000 }')" ms "-" "-"
	row "  $name: keeper's share" "$(awk -v v="$share" 'BEGIN { printf "%.2f", v / 1000 }')" ms "-" "$target"
	row "  $name: joining v1 boxes" "$(awk -v v="$join" 'BEGIN { printf "%.2f", v / 1000 }')" ms "-" "-"
	row "  $name: exec until it runs" "$(awk -v v="$exec" 'BEGIN { printf "%.2f", v / 1000 }')" ms "-" "-"
done <"$work/result"
