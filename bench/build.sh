#!/bin/sh
# Builds the benches' programs into $BUILD/bench against the archives of $BUILD.
set -eu
build=${BUILD:-build}
out=$build/bench
cc=${CC:-gcc}
flags="-std=gnu11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla -Icore -Ibench"
mkdir -p "$out"

newer() { # target, sources…: whether one of them is newer
	target=$1
	shift
	[ -e "$target" ] || return 0
	for f; do [ ! "$f" -nt "$target" ] || return 0; done
	return 1
}
compile() { # target, words for the compiler
	target=$1
	shift
	echo "  cc $target"
	# shellcheck disable=SC2086
	$cc $flags -o "$target" "$@"
}

libs="$build/lib/keeper.a $build/lib/sys.a $build/lib/base.a"
for name in ping true loop relay; do
	newer "$out/$name" "bench/$name.c" bench/bench.h && compile "$out/$name" -static "bench/$name.c"
done
newer "$out/futures_load" bench/futures_load.c && compile "$out/futures_load" bench/futures_load.c
# static: hundreds of them share all they do not write to
newer "$out/futures_kernel" bench/futures_kernel.c &&
	compile "$out/futures_kernel" -static bench/futures_kernel.c "$build/lib/net.a" "$build/lib/base.a" -lcrypto 2>&1 | sed '/libcrypto/d;/statically linked/d'
newer "$out/drive" bench/drive.c bench/bench.h && compile "$out/drive" bench/drive.c
archives="$build/lib/fleet.a $build/lib/net.a $build/lib/sys.a $build/lib/base.a"
fleet_libs="-lev -lsqlite3 -lcurl -lhttp_parser -lcrypto -ljansson -lpthread -lm"
# shellcheck disable=SC2086
newer "$out/queue" bench/queue.c $archives && compile "$out/queue" bench/queue.c $archives $fleet_libs
# shellcheck disable=SC2086
newer "$out/dispatch" bench/dispatch.c $archives && compile "$out/dispatch" -Wl,--wrap=ledger_note bench/dispatch.c $archives $fleet_libs
for name in backend feed; do
	# shellcheck disable=SC2086
	newer "$out/$name" "bench/$name.c" bench/bench.h $libs && compile "$out/$name" "bench/$name.c" $libs -lev
done
fleet="$build/lib/fleet.a $build/lib/net.a $build/lib/sys.a $build/lib/base.a"
# shellcheck disable=SC2086
newer "$out/ledger" bench/ledger.c $fleet &&
	compile "$out/ledger" bench/ledger.c $fleet -lev -lsqlite3 -lcurl -lcrypto -ljansson -lhttp_parser -lpthread
whole="$build/lib/bind.a $build/lib/node.a $build/lib/gate.a $fleet $build/lib/keeper.a"
# shellcheck disable=SC2086
newer "$out/judge" bench/judge.c bench/bench.h $whole &&
	compile "$out/judge" -I/usr/include/lua5.4 -Wl,-E bench/judge.c -Wl,--start-group $whole -Wl,--end-group $fleet_libs -llua5.4
wraps=-Wl,--wrap=waitid,--wrap=spawn_start,--wrap=setsid,--wrap=write,--wrap=execve
# shellcheck disable=SC2086
newer "$out/dss-keeper" bench/probe.c bench/bench.h "$build/dss-keeper" &&
	compile "$out/dss-keeper" $wraps bench/probe.c "$build/obj/dss-keeper.o" $libs -lev
exit 0
