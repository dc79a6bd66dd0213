#!/bin/sh
# What an open page costs the backend with 2,000 rows: tasks at work, each in a kernel and a box of its own that is read each second, as many as fit into 24 GB
# with the least limit there is and each with other numbers every second, and tasks that wait. Nobody follows, then one follower of the board, then five.
set -eu
. bench/lib.sh
. bench/peers_lib.sh
. bench/futures_lib.sh
rows=${BENCH_KERNELS:-1300}
waiting=${BENCH_WAITING:-700}
rounds=${BENCH_ROUNDS:-3}
seconds=${BENCH_PAGE_S:-10}
work_begin

# per cent of a core, of the backend, over $seconds
backend_share() {
	b=$(cpu_us "$backend") t=$(date +%s%N)
	sleep "$seconds"
	b1=$(cpu_us "$backend") t1=$(date +%s%N)
	awk -v us=$((b1 - b)) -v ns=$((t1 - t)) 'BEGIN { printf "%.2f\n", 100 * us * 1000 / ns }'
}

followers=""
follow() { # how many
	for i in $(seq "$1"); do
		curl -sN -H "Authorization: Bearer $key" "http://127.0.0.1:$port/api/events?board=true" >"$work/stream.$i" &
		followers="$followers $!"
	done
	for i in $(seq "$1"); do
		tries=0
		until grep -q '^event: pools' "$work/stream.$i"; do
			tries=$((tries + 1))
			[ $tries -lt 300 ] || bench_fail "the stream does not begin"
			sleep 0.1
		done
	done
	sleep 2
}
unfollow() {
	for pid in $followers; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
	followers=""
	sleep 1
}

printf 'pool "tiny" { kernel = command { "%s", "breathe" }, limits = { memory = "16m", swap = "0" }, warm = { min = 0, max = %d }, max = %d, recycle = { after_tasks = 100 } }\n' \
	"$tiny" "$rows" "$rows" >"$work/pool"
node_start page <"$work/pool"
trap 'unfollow; node_end; work_end; [ -z "${prefix:-}" ] || rm -rf "$prefix"' EXIT
body tiny '{"type":"command","pool":"tiny","title":"a task that stays","payload":{"argv":["true"]}}'
load submit tiny 32 $((rows + waiting)) >/dev/null
node_await_busy "$rows" 3000
backend=$(node_pid backend)
sleep 5

for round in $(seq "$rounds"); do
	backend_share >>"$work/none"
	follow 1
	from=$(wc -c <"$work/stream.1")
	backend_share >>"$work/one"
	echo "$from $(wc -c <"$work/stream.1")" | awk -v s="$seconds" '{ printf "%.1f\n", ($2 - $1) / 1024 / s }' >>"$work/sent"
	[ "$round" != 1 ] || awk 'NR < 20 && /^data: .*"whole":true/ { n = length($0) } END { printf "%.0f\n", n / 1024 }' "$work/stream.1" >"$work/whole"
	unfollow
	follow 5
	backend_share >>"$work/five"
	unfollow
done

of() { median <"$work/$1" | awk '{ printf "%.2f", $1 }'; }
more() { awk -v a="$(of "$1")" -v b="$(of none)" -v n="$2" 'BEGIN { v = (a - b) / n; printf "%.2f", v < 0 ? 0 : v }'; }
bench_name=page
head_of "an open page: $rows tasks at work, $waiting that wait ($rounds rounds of $seconds s)" "-"
row "backend, nobody follows" "$(of none)" "%" - -
row "backend, one page open" "$(of one)" "%" - -
row "backend, five pages open" "$(of five)" "%" - -
row "one page adds" "$(more one 1)" "%" - "<= 2 %"
row "each of five adds" "$(more five 5)" "%" - "<= 2 %"
row "one page is sent" "$(of sent)" "kB/s" - -
ms=$(for i in 1 2 3 4 5; do ask -o /dev/null -w '%{time_total}\n' "http://127.0.0.1:$port/api/board"; done | median | awk '{ printf "%.1f", 1000 * $1 }')
row "GET /api/board, all rows" "$ms" ms - -
