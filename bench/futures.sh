#!/bin/sh
# The first thread in numbers: submit to result, dispatch, acknowledged submits, reads, beside Celery, ProcessPoolExecutor, nginx and cold
# starts, in turn within each round; then the backend's memory and time with hundreds of kernels. Celery and nginx are measured
# where bench/peers.sh and etc/setup.sh brought them.
set -eu
. bench/lib.sh
. bench/peers_lib.sh
. bench/futures_lib.sh
rounds=${BENCH_ROUNDS:-3}
tasks=${BENCH_TASKS:-1500}
submits=${BENCH_SUBMITS:-3000}
window=64
work_begin
node_begin

# --- one round ---

note() { # series, "p50 p99 rate"
	set -- "$1" $2
	echo "$2" >>"$work/$1.p50"
	echo "$3" >>"$work/$1.p99"
	echo "$4" >>"$work/$1.rate"
}
requests() { wrk -t1 -c64 -d"${BENCH_WRK_S:-3}" "$@" | awk '/^Requests\/sec/ { print $2 }'; }
body echo '{"type":"python","pool":"bench","payload":{"callable":"stats:echo","args":[42]}}'
body clock '{"type":"python","pool":"bench","payload":{"callable":"time:monotonic"}}'
node_await 2

state=$(load_one echo)
mkdir -p "$work/www"
curl -s -H "Authorization: Bearer $key" "http://127.0.0.1:$port$state" >"$work/www/state"
redis_begin
nginx_begin
load round echo 1 100 >/dev/null

for round in $(seq "$rounds"); do
	note fsync "$("$bin/futures_load" fsync "$node/db/bench.fsync" 300)"
	note one "$(load round echo 1 "$((tasks / 3))")"
	cost_of "$tasks" load round echo $window "$tasks" >"$work/out"
	note many "$(cat "$work/out")"
	note dispatch "$(load dispatch clock 1 "$((tasks / 3))")"
	# a pool takes 10,000 waiting tasks: each round has its own
	body queue "{\"type\":\"command\",\"pool\":\"queue$((round % QUEUES))\",\"payload\":{\"argv\":[\"true\"]}}"
	note submit "$(load submit queue 32 "$submits")"
	/usr/bin/python3 bench/futures_executor.py "$tasks" $window >"$work/executor"
	note executor "$(sed -n 1p "$work/executor")"
	note executor-many "$(sed -n 2p "$work/executor")"
	if has_celery; then
		celery_measure "$((tasks / 5))" 16 >"$work/celery"
		note celery "$(sed -n 1p "$work/celery")"
		note celery-many "$(sed -n 2p "$work/celery")"
	fi
	requests -H "Authorization: Bearer $key" "http://127.0.0.1:$port$state" >>"$work/get.rate"
	! has_nginx || requests "http://127.0.0.1:$nginx_port/state" >>"$work/nginx.rate"
	note python "$("$bin/futures_load" cold 20 /usr/bin/python3 -I -c pass)"
	! command -v java >/dev/null || note java "$("$bin/futures_load" cold 5 java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -version)"
done

# --- tables ---

p50_ms() { median <"$work/$1.p50" | awk '{ printf "%.2f", $1 / 1000 }'; }
p99_ms() { median <"$work/$1.p99" | awk '{ printf "%.2f", $1 / 1000 }'; }
rate() { median <"$work/$1.rate" | awk '{ printf "%.0f", $1 }'; }
has() { [ -s "$work/$1.$2" ]; }

bench_name=futures
own=$(p50_ms one)
limit=$(p50_ms fsync | awk '{ printf "%.2f", 2 + 2 * $1 }')
head_of "futures: submit to result, one after the other, two warm kernels ($rounds rounds in turn)" "x ours"
row "fsync of 4 KB on the store's disk" "$(p50_ms fsync)" ms - -
row "dssd: durable, over HTTP" "$own" ms 1.00 "<= $limit ms"
! has celery p50 || row "Celery, Redis with appendfsync always" "$(p50_ms celery)" ms "$(ratio "$(p50_ms celery)" "$own")" -
row "ProcessPoolExecutor, in memory" "$(p50_ms executor)" ms "$(ratio "$(p50_ms executor)" "$own")" -
own=$(rate many)
head_of "futures: tasks a second, $window under way (Celery: 16)" "x ours"
row "dssd: durable, over HTTP" "$own" /s 1.00 ">= 2500 /s"
! has celery-many rate || row "Celery, Redis with appendfsync always" "$(rate celery-many)" /s "$(ratio "$(rate celery-many)" "$own")" -
row "ProcessPoolExecutor, in memory" "$(rate executor-many)" /s "$(ratio "$(rate executor-many)" "$own")" -
row "acknowledged submits, 32 connections" "$(rate submit)" /s "$(ratio "$(rate submit)" "$own")" ">= 5000 /s"

head_of "futures: what a task takes, $window under way" ""
row "processor time of the backend" "$(cost backend %.0f)" us - -
row "processor time of the Python kernel" "$(cost kernels %.0f)" us - -
row "processor time of the keeper" "$(cost keeper %.0f)" us - -
row "commits" "$(cost commits %.2f)" "" - -

bench_name=dispatch
own=$(p50_ms dispatch)
head_of "dispatch: from submit until the function runs, durable" "x ours"
row "to a warm kernel, median" "$own" ms 1.00 -
row "to a warm kernel, 99 of 100" "$(p99_ms dispatch)" ms "$(ratio "$(p99_ms dispatch)" "$own")" "<= 10 ms"
row "python3 -I -c pass, cold" "$(p50_ms python)" ms "$(ratio "$(p50_ms python)" "$own")" -
! has java p50 || row "java -version, cold" "$(p50_ms java)" ms "$(ratio "$(p50_ms java)" "$own")" -

bench_name="read"
own=$(rate nginx 2>/dev/null || echo -)
head_of "read: GET futures/ID?peek=True, 64 connections, answers of $(wc -c <"$work/www/state") bytes" "x nginx"
row "dssd" "$(rate get)" /s "$(ratio "$(rate get)" "$own")" ">= 0.4 x"
! has nginx rate || row "nginx, a file of that size" "$own" /s 1.00 -

# --- many kernels ---

node_end
bench_name=kernels
many_begin
many_pool 500 && node_await 500
sleep 3
row_pss=$(pss_kb "$(node_pid backend)" | awk '{ printf "%.1f", $1 / 1024 }')
many_pool 1000 && node_await 1000
idle=$(share_of 10)
many_tasks 1000
busy=$(share_of 20)
head_of "kernels: the backend with hundreds of them" ""
row "PSS with 500 idle kernels" "$row_pss" MB - "<= 25 MB"
row "1,000 idle: backend and keeper, of a core" "${idle#* }" % - -
row "1,000 at work, sampled each second: backend" "${busy%% *}" % - -
row "1,000 at work: backend and keeper" "${busy#* }" % - "<= 5 %"
node_end
