#!/bin/sh
# Many idle notebooks in numbers: 200 kernels, each a process in a box of its own behind a real Jupyter server (they sleep: it is the count that matters, real
# ones are the specs' business). What one round costs - server, pids, boxes asked, everybody judged -, whether the loop answers others meanwhile, what
# watching them costs, and what comes back when they are unloaded.
set -eu
. bench/lib.sh
. bench/futures_lib.sh
count=${BENCH_KERNELS:-200}
seconds=${BENCH_SECONDS:-60}
work_begin
bench_name=notebooks
/usr/bin/python3 -s -c 'import jupyter_server' 2>/dev/null || bench_fail "jupyter_server is not installed: apt-get install jupyter-server"

mkdir -p "$work/jupyter/kernels/sleeper"
cat >"$work/jupyter/kernels/sleeper/kernel.json" <<END
{"argv": ["/usr/bin/sleep", "100000"], "display_name": "Sleeper", "language": "none"}
END
chmod -R a+rX "$work"
node_start notebooks <<END
pool "fek" { kernel = python {}, limits = { memory = "256m" }, warm = { min = 0, max = 1 } }
$(sed '/^rule "dead/,/^}/d' policies/35-notebooks.lua)
END
"$node/bin/dss" stop --now >/dev/null
printf 'jupyter { env = { JUPYTER_PATH = "%s" } }\n' "$work/jupyter" >>"$node/config/dss.lua"
"$node/bin/dss" start >/dev/null || bench_fail "the instance did not start: $(tail -n 5 "$node/run/backend.log")"
mkdir -p "$node/projects/BENCH"
printf 'project { owner = "ann" }\n' >"$node/projects/BENCH/project.lua"
chown -R --reference="$node/projects" "$node/projects/BENCH"
/usr/bin/python3 -s bench/notebooks_load.py "$node" "$count" "$seconds"
