#!/bin/sh
# run.sh [restart|spawn|up500|logger|queue|futures|jobs|ledger|judge|page|vm]...: measures beside peers in one run, prints tables, appends each number to $BUILD/bench.tsv:
# bench, name, value, unit, ratio, target, met. Without names: all but vm.
set -eu
build=${BUILD:-build}
if [ -z "${BENCH_NO_PEERS:-}" ]; then
	sh etc/setup.sh bench
	BUILD=$build sh bench/peers.sh || echo "bench: some peers are missing" >&2
fi
BUILD=$build sh bench/build.sh
[ "$#" -gt 0 ] || set -- restart spawn up500 logger queue futures jobs ledger judge page
echo "$(nproc) cores, Linux $(uname -r), $(date -u +%Y-%m-%d); ratios count, not the absolute numbers"
for name; do
	[ -f "bench/$name.sh" ] || { echo "bench: there is no bench \"$name\"" >&2; exit 2; }
	BUILD=$build sh "bench/$name.sh"
done
