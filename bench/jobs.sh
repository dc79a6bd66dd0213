#!/bin/sh
# Jobs in numbers: from POST to DONE with a warm job kernel, beside a cold JVM and a plain `sh -c`; bytes a second of one recipe's output
# into the job's log, beside `cat` and `tee`; what watching 500 processes costs.
set -eu
. bench/lib.sh
. bench/futures_lib.sh
rounds=${BENCH_ROUNDS:-3}
jobs=${BENCH_JOBS:-60}
mb=${BENCH_MB:-600}
# The log on a memory disk: what is measured is the way to it.
[ ! -d /dev/shm ] || work=$(mktemp -d /dev/shm/dss-bench.XXXXXX)
work_begin
bench_name=jobs
command -v java >/dev/null || bench_fail "there is no JVM for job kernels"

pool() { # warm, further text
	printf 'pool "jek" { kernel = java { main = "DSSJobKernelMain", heap = "64m" }, limits = { memory = "256m" }, %s }\n' "$1"
}
note() { # series, "p50 p99 rate"
	set -- "$1" $2
	echo "$2" >>"$work/$1.p50"
	echo "$3" >>"$work/$1.p99"
}
p50_ms() { median <"$work/$1.p50" | awk '{ printf "%.1f", $1 / 1000 }'; }
p99_ms() { median <"$work/$1.p99" | awk '{ printf "%.1f", $1 / 1000 }'; }
begin_node() { # name, policies on standard input
	node_start "$1"
	"$node/bin/dss" stop --now >/dev/null
	printf 'log { job = "8g", total = "16g", floor = "1m" }\n' >>"$node/config/dss.lua"
	"$node/bin/dss" start >/dev/null || bench_fail "the instance did not start: $(tail -n 5 "$node/run/backend.log")"
	port=$(sed 's/.*"page":\([0-9]*\).*/\1/' "$node/run/ports.json")
	mkdir -p "$node/projects/BENCH/data"
	line=$(head -c 99 /dev/zero | tr '\0' x)
	cat >"$node/projects/BENCH/project.lua" <<-END
		project { recipes = {
		  one = shell { command = "true", outputs = { "tiny" } },
		  many = shell { command = "yes $line | head -c ${mb}000000", outputs = { "loud" } },
		} }
	END
	chown -R --reference="$node/projects" "$node/projects/BENCH"
}
job() { /usr/bin/python3 bench/jobs_load.py "$port" "$node/config/admin.key" "$@"; }

# --- from POST to DONE ---

pool 'warm = { min = 2, max = 2 }, max = 2, recycle = { after_tasks = 1000000 }' >"$work/pool"
begin_node warm <"$work/pool"
node_await 2
job job BENCH tiny 30 >/dev/null # the JVM has compiled what it does again and again
for round in $(seq "$rounds"); do
	note warm "$(job job BENCH tiny "$jobs")"
	note spawn "$(/usr/bin/python3 bench/jobs_load.py spawn "$jobs")"
done

# --- output ---

for round in $(seq "$rounds"); do
	job span BENCH loud >>"$work/loud.s"
	rm -rf "$node"/jobs/BENCH/Build_loud*
	for how in cat tee; do
		begun=$(date +%s.%N)
		if [ $how = cat ]; then yes "$line" | head -c "${mb}000000" | cat >"$work/copy"; else yes "$line" | head -c "${mb}000000" | tee "$work/copy" >/dev/null; fi
		echo "$begun $(date +%s.%N)" | awk '{ print $2 - $1 }' >>"$work/$how.s"
		rm -f "$work/copy"
	done
done
node_end

pool 'warm = { min = 0, max = 1 }, max = 1, recycle = { after_tasks = 1 }' >"$work/pool"
begin_node cold <"$work/pool"
for round in $(seq "$rounds"); do note cold "$(job job BENCH tiny 5)"; done
node_end

own=$(p50_ms warm)
head_of "jobs: from POST to DONE, one trivial shell recipe ($rounds rounds of $jobs)" "x warm"
row "warm kernel, median" "$own" ms 1.00 "<= 60 ms"
row "warm kernel, 99 of 100" "$(p99_ms warm)" ms "$(ratio "$(p99_ms warm)" "$own")" -
row "cold: a JVM for each job" "$(p50_ms cold)" ms "$(ratio "$(p50_ms cold)" "$own")" -
row "sh -c true, alone" "$(p50_ms spawn)" ms "$(ratio "$(p50_ms spawn)" "$own")" -

rate() { median <"$work/$1.s" | awk -v mb="$mb" '{ printf "%.0f", mb / $1 }'; }
own=$(rate loud)
head_of "jobs: MB/s of one recipe's lines of 100 bytes ($rounds rounds of $mb MB in turn)" "x ours"
row "into the job's log, with time, stream and name" "$own" MB/s 1.00 ">= 200 MB/s"
row "| cat >file" "$(rate cat)" MB/s "$(ratio "$(rate cat)" "$own")" -
row "| tee file" "$(rate tee)" MB/s "$(ratio "$(rate tee)" "$own")" -

# --- 500 watched ---

many_begin
many_pool 500 && node_await 500
sleep 3
idle=$(share_of 20)
many_tasks 500
busy=$(share_of 20)
head_of "jobs: watching 500 processes, of a core" ""
row "each 10 s: backend and keeper" "${idle#* }" % - -
row "each second: backend" "${busy%% *}" % - -
row "each second: backend and keeper" "${busy#* }" % - "<= 3 %"
node_end
