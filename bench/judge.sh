#!/bin/sh
# What rules cost: 10,000 kernels judged by filters and by a function, each answer with its note in the ledger, while the loop goes on.
set -eu
. bench/lib.sh
bench_name="judge"
rounds=${BENCH_ROUNDS:-5}
kernels=${BENCH_KERNELS:-10000}
runs=${BENCH_RUNS:-6}
work_begin

# all kernels idle: nothing matches, a third matches and is simulated, a function is asked of each
mkdir -p "$work/policies"
cat >"$work/policies/10-judge.lua" <<'END'
pool "fek" { kernel = command { "/bin/true" }, warm = { min = 0, max = 0 }, max = 100000, recycle = { after_tasks = 0 } }
rule "filter" { every = "1s", each = "kernel", where = "state = idle and idle > 2h and memory > 400m", act = retire "idle for {idle}" }
rule "simulated" { mode = "simulate", every = "1s", each = "kernel", where = "state = idle and memory > 400m", act = kill "uses {memory}" }
rule "function" { every = "1s", each = "kernel", act = function (k)
  if k.state == "idle" and k.memory > bytes "600m" then return retire("it holds " .. k.memory) end
end }
END
chmod -R go-w "$work"
for _ in $(seq "$rounds"); do
	rm -rf "$work"/judge.sqlite* "$work/ledger"
	"$bin/judge" "$work" "$(pwd)" "$kernels" "$runs" >"$work/out" || bench_fail "no number"
	read -r each slice cpu pause decisions <"$work/out"
	echo "$each" >>"$work/each"
	echo "$slice" >>"$work/slice"
	echo "$cpu" >>"$work/cpu"
	echo "$pause" >>"$work/pause"
done
head_of "judge: $kernels kernels, $decisions decisions a round, each with its note ($rounds rounds)" ""
row "a decision" "$(median <"$work/each")" us - "<= 20 us"
# by the clock: with the other programs of this machine, and our own writer thread; by the thread: what the rules themselves hold the loop for
row "longest slice of the rules, processor time" "$(median <"$work/cpu")" us - "<= 2000 us"
row "longest slice of the rules, by the clock" "$(sort -n "$work/slice" | head -n 1)" us - "<= 2000 us"
row "longest pause of the loop, best round" "$(sort -n "$work/pause" | head -n 1)" us - "<= 2000 us"
