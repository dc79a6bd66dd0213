#!/bin/sh
# The benches of the keeper on cgroup v2: the virtual machine of spec/vm with the benches' programs in its initramfs, no peers. Where
# there is no KVM the processor is emulated: only ratios within this run mean anything.
set -eu
build=${BUILD:-build}
mkdir -p "$build/vm"
vm=$(cd "$build/vm" && pwd)
root=$vm/bench-root
limit_s=${DSS_VM_LIMIT_S:-400}
names=${BENCH_VM_NAMES:-restart spawn}

if [ ! -s "$vm/vmlinuz" ]; then
	package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
	(cd "$vm" && apt-get -qq -o APT::Sandbox::User=root download "$package")
	dpkg-deb -x "$vm"/linux-image-*.deb "$vm/linux"
	cp "$vm"/linux/boot/vmlinuz-* "$vm/vmlinuz"
	rm -rf "$vm/linux" "$vm"/linux-image-*.deb
fi

accel=${DSS_VM_ACCEL:-tcg} emulated=""
[ "$accel" != tcg ] || emulated=1
rm -rf "$root"
mkdir -p "$root/usr/bin" "$root/etc" "$root/root" "$root/dss/build/bench"
for dir in dev proc sys tmp run; do mkdir -p "$root/$dir"; done
ln -s usr/bin "$root/bin"
busybox=$(command -v busybox)
cp "$busybox" "$root/usr/bin/busybox"
for applet in $("$busybox" --list | grep -vx busybox); do ln -s /bin/busybox "$root/usr/bin/$applet"; done
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
cp "$build/dss-keeper" "$build/dss-logger" "$root/dss/build/"
for name in ping true loop drive backend dss-keeper; do cp "$build/bench/$name" "$root/dss/build/bench/"; done
cp -rL bench "$root/dss/"
for lib in $(ldd "$build/dss-keeper" "$build/dss-logger" "$build"/bench/* 2>/dev/null | sed -n 's/^.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' | sort -u); do
	mkdir -p "$root$(dirname "$lib")"
	cp -L "$lib" "$root$lib"
done
cat >"$root/init" <<END
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
export PATH=/usr/bin:/bin HOME=/root BUILD=build BENCH_NO_PEERS=1 BENCH_EMULATED=$emulated BENCH_ROUNDS=${BENCH_ROUNDS:-} BENCH_SPAWNS=${BENCH_SPAWNS:-200}
[ -n "\$BENCH_ROUNDS" ] || unset BENCH_ROUNDS
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ifconfig lo 127.0.0.1 up
ulimit -n 20000
cd /dss
for name in $names; do sh bench/\$name.sh; done
echo "== bench.tsv"
cat build/bench.tsv
echo "== done"
poweroff -f
END
chmod 755 "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) >"$vm/bench-initramfs"
rm -rf "$root"
echo "vm: cgroup v2, Debian's kernel ($accel)"
timeout "$limit_s" qemu-system-x86_64 -accel "$accel" -cpu max -m 1024 -smp 2 -nodefaults -no-reboot -display none -serial stdio -kernel "$vm/vmlinuz" \
	-initrd "$vm/bench-initramfs" -append "console=ttyS0 quiet loglevel=3 panic=-1 cgroup_no_v1=all random.trust_cpu=on" </dev/null 2>"$vm/bench-qemu.err" |
	tr -d '\r' >"$vm/bench-console.log" || true
sed '/^== bench.tsv/,$d' "$vm/bench-console.log"
grep -q '^== done' "$vm/bench-console.log" || { tail -n 5 "$vm/bench-qemu.err" >&2; echo "vm: it did not come to its end within $limit_s s" >&2; exit 1; }
sed -n '/^== bench.tsv/,/^== done/p' "$vm/bench-console.log" | sed '1d;$d; s/^/vm-/' >>"${BENCH_TSV:-$build/bench.tsv}"
