#!/bin/sh
# Unpacks the peers of the benches into $BUILD/peers where they are not installed. Unpacked, not installed: the packages would
# start system services. Programs from there find their libraries and modules by bench/lib.sh.
set -eu
build=${BUILD:-build}
mkdir -p "$build/peers"
peers=$(cd "$build/peers" && pwd)

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else return 1; fi
}
has() { PATH=$PATH:/usr/sbin:$peers/usr/bin:$peers/usr/sbin:$peers/bin command -v "$1" >/dev/null; }

want=""
has supervisord || want="$want supervisor"
has s6-svscan || want="$want s6 $(apt-cache depends s6 2>/dev/null | sed -n 's/^ *Depends: \(lib[^ ]*\)$/\1/p' | tr '\n' ' ')"
has runsvdir || want="$want runit"
has nginx || want="$want nginx"
has redis-server || want="$want redis-server redis-tools $(apt-cache depends redis-tools 2>/dev/null | sed -n 's/^ *Depends: \(lib[^ ]*\)$/\1/p' | tr '\n' ' ')"
[ -n "$want" ] || exit 0
# Libraries of libraries: skalibs and execline's.
case $want in *" s6 "*) want="$want $(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances s6 |
	sed -n 's/^\(lib\(s6\|skarnet\|execline\)[^ ]*\)$/\1/p' | tr '\n' ' ')" ;; esac
cd "$peers"
for package in $(printf '%s\n' $want | sort -u); do
	case $package in libc6) continue ;; esac
	echo "bench: unpacking $package"
	apt-get -qq -o APT::Sandbox::User=root download "$package" || { as_root apt-get -qq update >/dev/null && apt-get -qq -o APT::Sandbox::User=root download "$package"; }
	dpkg-deb -x "$package"_*.deb .
	rm -f "$package"_*.deb
done
