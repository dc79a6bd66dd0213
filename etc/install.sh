#!/bin/sh
# install.sh DESTDIR PREFIX BUILD: programs, their files, the manual page, completion and the unit. Instances are left alone.
set -eu
[ $# -eq 3 ] || { echo "usage: install.sh DESTDIR PREFIX BUILD" >&2; exit 2; }
dest="$1$2" build="$3"
cd "$(dirname "$0")/.."

install -d "$dest/bin" "$dest/share/man/man1" "$dest/share/bash-completion/completions" "$dest/lib/systemd/system" "$dest/share/doc/dssd"
for program in dss-keeper dss-logger dssd dssctl; do
	# A new file under a new name, so that the running program's own file is never written to.
	mode=755
	[ $program != dss-logger ] || mode=711 # the Makefile says why
	install -m $mode "$build/$program" "$dest/bin/.$program.new"
	mv -f "$dest/bin/.$program.new" "$dest/bin/$program"
done

# Whole folders, without what interpreters leave there; what an older version had and this one has not goes.
share="$dest/share/dssd"
rm -rf "$share.new"
install -d "$share.new/etc"
for folder in lua policies kernels; do
	[ -d "$folder" ] || continue
	find "$folder" \( -name __pycache__ -prune \) -o -type f ! -name '*.pyc' ! -name '.*' -print | while IFS= read -r file; do
		mode=644
		[ -x "$file" ] && mode=755
		install -D -m "$mode" "$file" "$share.new/$file"
	done
done
install -m 644 etc/dss.lua.in etc/nginx.conf.in etc/completion.bash "$share.new/etc/"
install -m 755 -d "$share.new/etc/demo"
install -m 644 etc/demo/*.lua "$share.new/etc/demo/"
for folder in recipes webapps; do
	install -d "$share.new/etc/demo/$folder"
	install -m 644 etc/demo/"$folder"/* "$share.new/etc/demo/$folder/"
done
if [ -f "$build/java/dss-kernel.jar" ]; then
	install -d "$share.new/java"
	install -m 644 "$build"/java/*.jar "$share.new/java/"
	# The archive is made for the jars where they lie in the end; one that does not fit is ignored by the JVM.
fi
chmod 755 "$share.new"
if [ -d "$share" ]; then mv "$share" "$share.old"; fi
mv "$share.new" "$share"
rm -rf "$share.old"
# Only where it is the machine's own: a package for another one is compiled there.
if [ -z "$1" ]; then
	[ ! -d "$share/java" ] || sh kernels/java/build.sh --archive "$share/java" || true
	/usr/bin/python3 -m compileall -q "$share/kernels/python/kernel" "$share/kernels/python/doctor" "$share/kernels/jupyter/dss_jupyter" || true
fi

install -m 644 docs/man/dssctl.1 "$dest/share/man/man1/dssctl.1"
install -m 644 etc/completion.bash "$dest/share/bash-completion/completions/dssctl"
ln -sf dssctl "$dest/share/bash-completion/completions/dss"
install -m 644 etc/dssd.service "$dest/lib/systemd/system/dssd.service"
for file in LICENSE CHANGES.md README.md docs/*.md; do
	[ -f "$file" ] && install -m 644 "$file" "$dest/share/doc/dssd/"
done
echo "installed into $dest; make an instance: $2/bin/dssctl init DIR"
