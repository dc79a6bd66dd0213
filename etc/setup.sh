#!/bin/sh
# setup.sh build|vm|test|bench: installs the Debian packages that are missing for that purpose. Says what it does; takes no
# time when nothing is missing. WEB=no: not what the page needs.
set -eu
build="gcc make pkg-config libc6-dev liblua5.4-dev lua5.4 libev-dev libsqlite3-dev libhttp-parser-dev libcurl4-openssl-dev libssl-dev libjansson-dev libedit-dev lua-lpeg python3 default-jdk-headless libgoogle-gson-java"
vm="$build lua-busted qemu-system-x86 busybox-static cpio"
test="$vm lua-check curl clang-format clang-tidy procps r-base-core sqlite3 iproute2 python3-flask r-cran-shiny python3-sklearn nginx openssl jupyter-server python3-ipykernel r-cran-irkernel"
bench="$test python3 python3-pkg-resources python3-celery python3-redis wrk"
case "${1:-build}" in
build) want=$build ;;
vm) want=$vm ;;
test) want=$test ;;
bench) want=$bench ;; # the peers themselves are unpacked by bench/peers.sh: installed they would start system services
*) echo "usage: setup.sh build|vm|test|bench" >&2; exit 2 ;;
esac
if [ "${WEB:-yes}" != no ]; then
	# A newer Node.js than Debian's may be there, from elsewhere: it and its npm are as good.
	command -v node >/dev/null && command -v npm >/dev/null || want="$want nodejs npm"
	case "${1:-build}" in test | bench) want="$want chromium fonts-dejavu-core pngquant" ;; esac
fi
missing=""
for p in $want; do
	dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
echo "installing Debian packages:$missing"
if [ "$(id -u)" = 0 ]; then sudo=""; elif command -v sudo >/dev/null; then sudo=sudo; else
	echo "setup: not root and no sudo; ask an admin for: apt-get install$missing" >&2
	exit 1
fi
$sudo apt-get update -qq >/dev/null || echo "setup: apt-get update failed, trying with the lists at hand" >&2
# A package whose service would start now and at each boot: only the program is wanted. Where somebody has forbidden it already, or nothing
# would be started, that stays as it is.
hold=/usr/sbin/policy-rc.d held=""
case "$missing " in *" nginx "*)
	if [ ! -e $hold ]; then
		held=1
		trap '$sudo rm -f $hold' EXIT
		printf '#!/bin/sh\nexit 101\n' | $sudo tee $hold >/dev/null
		$sudo chmod 755 $hold
	fi
	;;
esac
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
case "$missing " in *" nginx "*)
	[ -z "$held" ] || $sudo rm -f $hold
	! command -v systemctl >/dev/null || $sudo systemctl disable nginx >/dev/null 2>&1 || true
	;;
esac
