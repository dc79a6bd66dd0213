#!/bin/sh
# Runs the specs of spec/vm/specs.txt on a machine with cgroup v2: Debian's cloud kernel in qemu, with our build in its
# initramfs. Nothing is installed but Debian packages (etc/setup.sh vm); the kernel is unpacked into $BUILD/vm and kept there.
# Last line: "vm: N passed, N failed". DSS_VM_ACCEL=kvm|tcg chooses; by itself it takes KVM where a kernel boots with it.
set -eu
build=${BUILD:-build}
mkdir -p "$build/vm"
vm=$(cd "$build/vm" && pwd)
root=$vm/root
limit_s=${DSS_VM_LIMIT_S:-1200}

fail() {
	echo "vm: $*" >&2
	echo "vm: 0 passed, 1 failed"
	exit 1
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else return 1; fi
}

# The package that linux-image-cloud-amd64 stands for today; empty without package lists.
kernel_package() {
	apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1
}

download_kernel() {
	package=$(kernel_package)
	[ -n "$package" ] || return 1
	echo "vm: fetching $package"
	(cd "$vm" && apt-get -qq -o APT::Sandbox::User=root download "$package") || return 1
}

fetch_kernel() {
	[ -s "$vm/vmlinuz" ] && return 0
	rm -rf "$vm/linux" "$vm"/linux-image-*.deb
	download_kernel || { as_root apt-get -qq update >/dev/null && download_kernel; } || fail "unable to fetch Debian's cloud kernel"
	dpkg-deb -x "$vm"/linux-image-*.deb "$vm/linux"
	cp "$vm"/linux/boot/vmlinuz-* "$vm/vmlinuz.new"
	mv "$vm/vmlinuz.new" "$vm/vmlinuz"
	rm -rf "$vm/linux" "$vm"/linux-image-*.deb
}

# The shared libraries of programs and modules, each once.
libraries_of() {
	for file in "$@"; do ldd "$file" 2>/dev/null || true; done | sed -n 's/^.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' | sort -u
}

copy_tree() { # paths that exist, kept where they are; links are followed
	for path in "$@"; do
		[ -e "$path" ] || continue
		mkdir -p "$root$(dirname "$path")"
		cp -rL "$path" "$root$path"
	done
}

fill_system() {
	mkdir -p "$root/usr/bin" "$root/usr/sbin" "$root/usr/lib" "$root/usr/lib64" "$root/etc" "$root/root" "$root/dss/build/spec"
	for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$root/$dir"; done
	for dir in dev proc sys tmp run var/tmp; do mkdir -p "$root/$dir"; done
	busybox=$(command -v busybox)
	cp "$busybox" "$root/usr/bin/busybox"
	for applet in $("$busybox" --list | grep -vx busybox); do ln -s /bin/busybox "$root/usr/bin/$applet"; done
	ln -s /bin/busybox "$root/usr/sbin/init"
	# curl asks the API; busybox has no setpriv that changes users
	rm -f "$root/usr/bin/setpriv"
	cp -L /usr/bin/lua5.4 /usr/bin/busted /usr/bin/curl /usr/bin/setpriv "$root/usr/bin/"
	python=$(readlink -f /usr/bin/python3)
	cp "$python" "$root/usr/bin/python3"
	stdlib=/usr/lib/$(basename "$python")
	mkdir -p "$root$stdlib"
	(cd "$stdlib" && find . \( -name test -o -name idlelib -o -name tkinter -o -name lib2to3 -o -name 'config-*' -o -name dist-packages \) -prune -o -type f -print |
		cpio --quiet -pdmL "$root$stdlib")
	multiarch=$(dirname "$(libraries_of /usr/bin/lua5.4 | grep '/libc\.so')")
	copy_tree /usr/share/lua/5.4 "/usr/lib/${multiarch##*/}/lua/5.4"
	printf 'root:x:0:0:root:/root:/bin/sh\ndss:x:990:990::/:/bin/sh\ndss-run:x:991:991::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$root/etc/passwd"
	printf 'root:x:0:\ndss:x:990:\ndss-run:x:991:\nnogroup:x:65534:\n' >"$root/etc/group"
	printf '127.0.0.1 localhost dss-vm\n' >"$root/etc/hosts"
	printf 'passwd: files\ngroup: files\nhosts: files\n' >"$root/etc/nsswitch.conf"
}

fill_ours() {
	for file in "$build"/dss-keeper "$build"/dss-logger "$build"/dssd "$build"/dssctl; do
		[ ! -f "$file" ] || cp "$file" "$root/dss/build/"
	done
	cp "$build"/spec/*.so "$root/dss/build/spec/"
	for dir in lua policies kernels spec etc; do
		[ ! -d "$dir" ] || cp -r "$dir" "$root/dss/"
	done
	cp spec/vm/init "$root/init"
	chmod 755 "$root/init"
}

make_initramfs() {
	rm -rf "$root"
	fill_system
	fill_ours
	objects=$(find "$root/dss/build" "$root/usr/lib" -name '*.so' -o -name 'dss*' -type f)
	# shellcheck disable=SC2086
	copy_tree $(libraries_of "$root/usr/bin/lua5.4" "$root/usr/bin/python3" "$root/usr/bin/curl" "$root/usr/bin/setpriv" $objects)
	(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) >"$vm/initramfs"
	rm -rf "$root"
}

boot() { # accelerator, seconds, words for the kernel
	timeout "$2" qemu-system-x86_64 -accel "$1" -cpu max -m 6144 -smp 2 -nodefaults -no-reboot -display none -serial stdio \
		-kernel "$vm/vmlinuz" -initrd "$3" \
		-append "console=ttyS0 quiet loglevel=3 panic=-1 cgroup_no_v1=all random.trust_cpu=on $4" </dev/null 2>"$vm/qemu.err"
}

# A KVM that opens may still not run a kernel (nested, forbidden): ask it with an initramfs that only says "up".
choose_accel() {
	accel=${DSS_VM_ACCEL:-tcg}
	[ -z "${DSS_VM_ACCEL:-}" ] && [ -w /dev/kvm ] || return 0
	mkdir -p "$vm/probe/bin" "$vm/probe/dev" "$vm/probe/proc"
	cp "$(command -v busybox)" "$vm/probe/bin/busybox"
	cp spec/vm/init "$vm/probe/init"
	chmod 755 "$vm/probe/init"
	(cd "$vm/probe" && find . | cpio --quiet -o -H newc -R 0:0) >"$vm/probe.cpio"
	rm -rf "$vm/probe"
	if boot kvm 8 "$vm/probe.cpio" dss-probe=1 | grep -q '^vm: up'; then accel=kvm; fi
}

[ "$(dpkg --print-architecture)" = amd64 ] || fail "this machine is $(dpkg --print-architecture); the virtual machine is for amd64"
sh etc/setup.sh vm
modules=""
for file in spec/binding/t_*.c; do
	name=${file##*/}
	modules="$modules $build/spec/${name%.c}.so"
done
# shellcheck disable=SC2086
[ -n "${DSS_VM_NO_MAKE:-}" ] || ${MAKE:-make} --no-print-directory BUILD="$build" $modules || fail "unable to build the specs' modules"
fetch_kernel
make_initramfs
choose_accel
echo "vm: booting Debian's kernel with cgroup v2 ($accel)"
boot "$accel" "$limit_s" "$vm/initramfs" "" | tr -d '\r' | tee "$vm/console.log" || true

# busted's own lines tell: "12 successes / 1 failure / 0 errors / 0 pending : 1.5 seconds"
counts=$(awk '/[0-9] success(es)? \/ [0-9]+ failures? \/ [0-9]+ error/ {
	for (i = 2; i <= NF; i++) { if ($i ~ /^success/) passed += $(i - 1); else if ($i ~ /^(failure|error)/) failed += $(i - 1) }
} END { print passed + 0, failed + 0 }' "$vm/console.log")
passed=${counts% *}
failed=${counts#* }
if ! grep -q '^vm: done' "$vm/console.log"; then
	cat "$vm/qemu.err" >&2
	echo "vm: it did not come to its end within $limit_s s" >&2
	failed=$((failed + 1))
fi
echo "vm: $passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
