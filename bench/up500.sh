#!/bin/sh
# 500 services that sleep: time until the last of them runs; memory (PSS) of what supervises them; wake-ups while all is idle.
set -eu
. bench/lib.sh
. bench/peers_lib.sh
bench_name=up500
rounds=${BENCH_ROUNDS:-3}
n=${BENCH_CHILDREN:-500}
idle_s=${BENCH_IDLE_S:-20}
work_begin

pss_kb() { awk '/^Pss:/ { s += $2 } END { print s + 0 }' "/proc/$1/smaps_rollup" 2>/dev/null || echo 0; }
children_of() { cat "/proc/$1/task/$1/children" 2>/dev/null || true; }
named() { # pid, name: its child of that name
	for child in $(children_of "$1"); do [ "$(cat "/proc/$child/comm" 2>/dev/null)" != "$2" ] || echo "$child"; done
}
# PSS of a supervisor and the supervisors below it, without the services.
tree_kb() {
	total=$(pss_kb "$1")
	for child in $(children_of "$1"); do
		case $(cat "/proc/$child/comm" 2>/dev/null) in ping | run | "") continue ;; esac
		total=$((total + $(pss_kb "$child")))
	done
	echo "$total"
}
switches() { awk '/^(non)?voluntary_ctxt_switches/ && $1 !~ /^non/ { s += $2 } END { print s + 0 }' /proc/"$1"/task/*/status; }

# up NAME SIGNAL CMD…: appends milliseconds to $work/up.NAME and leaves it running; sets `top`.
up() {
	name=$1 signal=$2
	shift 2
	timeout 150 "$bin/drive" up "$n" "$work/fifo" "$work/pid" "$@" </dev/null >>"$work/up.$name" 2>>"$work/launched.log" ||
		{ tail -n 20 "$work/launched.log" >&2; [ ! -s "$work/pid" ] || owe "$(cat "$work/pid")" "$signal"; bench_fail "$name did not start $n services"; }
	top=$(cat "$work/pid")
	owe "$top" "$signal"
}

up_keeper() {
	d=$work/keeper
	rm -rf "$d"
	instance "$d" "$1" idle
	i=0
	while [ "$i" -lt "$n" ]; do
		printf 'service ping-%d\n  argv %s\n  argv %s\n  env LANG=C.UTF-8\n  cwd /\n  box core/ping-%d\n  sink service:ping\n  ready exec\n  stop_signal 9\n  grace_ms 5000\nend\n' \
			"$i" "$bin/ping" "$work/fifo" "$i"
		i=$((i + 1))
	done >>"$d/run/keeper.plan"
	up "keeper-$1" TERM "$ours/dss-keeper" "$d" --foreground
}

# The same number as kernels are started: each by an order of the backend, in a box with a limit.
up_ordered() {
	d=$work/ordered
	rm -rf "$d"
	instance "$d" "$1" spawn "$n" 0 own kernel "$d/rate" "$bin/ping" "$work/fifo"
	up "ordered" TERM "$ours/dss-keeper" "$d" --foreground
}

auto=$(modes | cut -d' ' -f1)
mkfifo "$work/fifo"
for round in $(seq "$rounds"); do
	for mode in $(modes); do
		up_keeper "$mode"
		if [ "$mode" = "$auto" ]; then
			logger=$(named "$top" dss-logger)
			sleep 1
			pss_kb "$top" >>"$work/kb.keeper"
			pss_kb "$logger" >>"$work/kb.logger"
			if [ "$round" = "$rounds" ]; then
				k=$(switches "$top") l=$(switches "$logger")
				sleep "$idle_s"
				k=$(($(switches "$top") - k)) l=$(($(switches "$logger") - l))
			fi
		fi
		end_all
	done
	up_ordered "$auto"
	sleep 1
	pss_kb "$top" >>"$work/kb.ordered"
	pss_kb "$(named "$top" dss-logger)" >>"$work/kb.ordered-logger"
	end_all
	if has_supervisord; then
		rm -rf "$work/supervisord"
		supervisord_conf "$work/supervisord" "$n" "$work/fifo"
		up supervisord TERM supervisord -n -c "$work/supervisord/conf"
		tree_kb "$top" >>"$work/kb.supervisord"
		end_all
	fi
	if has_s6; then
		rm -rf "$work/s6"
		s6_dir "$work/s6" "$n"
		up s6 TERM env BENCH_FIFO="$work/fifo" s6-svscan -c 1000 "$work/s6"
		tree_kb "$top" >>"$work/kb.s6"
		end_all
	fi
	if has_runit; then
		rm -rf "$work/runit"
		runit_dir "$work/runit" "$n"
		up runit HUP env BENCH_FIFO="$work/fifo" runsvdir "$work/runit"
		tree_kb "$top" >>"$work/kb.runit"
		end_all
	fi
done

seconds() { median <"$work/up.$1" | awk '{ printf "%.2f", $1 / 1000 }'; }
megabytes() { median <"$work/kb.$1" | awk '{ printf "%.1f", $1 / 1024 }'; }

own=$(seconds "keeper-$auto")
head_of "up$n: $n processes up ($rounds rounds in turn)" "x keeper"
for mode in $(modes); do
	case $mode in hybrid | v1) target="<= 1 s" ;; *) target="<= 0.6 s" ;; esac
	row "keeper-$mode" "$(seconds "keeper-$mode")" s "$(ratio "$(seconds "keeper-$mode")" "$own")" "$target"
done
case $auto in hybrid | v1) target="<= 1 s" ;; *) target="<= 0.6 s" ;; esac
row "keeper-$auto, ordered by the backend, limits" "$(seconds ordered)" s "$(ratio "$(seconds ordered)" "$own")" "$target"
for peer in supervisord s6 runit; do
	[ ! -s "$work/up.$peer" ] || row "$peer" "$(seconds "$peer")" s "$(ratio "$(seconds "$peer")" "$own")" "-"
done

bench_name=memory
own=$(megabytes keeper)
head_of "memory: PSS with $n processes, without these" "x keeper"
row "keeper, $n services" "$own" MB 1.00 "<= 4 MB"
row "keeper, $n ordered by the backend" "$(megabytes ordered)" MB "$(ratio "$(megabytes ordered)" "$own")" "<= 4 MB"
row "logger, $n services" "$(megabytes logger)" MB "$(ratio "$(megabytes logger)" "$own")" "<= 6 MB"
row "logger, $n ordered by the backend" "$(megabytes ordered-logger)" MB "$(ratio "$(megabytes ordered-logger)" "$own")" "<= 6 MB"
for peer in supervisord s6 runit; do
	[ ! -s "$work/kb.$peer" ] || row "$peer" "$(megabytes "$peer")" MB "$(ratio "$(megabytes "$peer")" "$own")" "-"
done

bench_name=idle
head_of "idle: wake-ups in $idle_s s with $n idle services; a heartbeat and a tick each 5 s are the keeper's" ""
row "keeper" "$k" "" "-" "<= $((idle_s / 5 * 2 + 2)) wakes"
row "logger" "$l" "" "-" "<= 0 wakes"
