#!/bin/sh
# build.sh BUILD: compiles the Java runtime into BUILD/java; does nothing when nothing changed.
#   dss-kernel.jar   the kernel, and FutureThread and Progress for tasks
#   dss-client.jar   FutureThread, Progress and FutureService for programs that submit
#   dss-demo.jar     the demo's tasks (com.example)
#   dss-kernel.jsa   the kernel's classes, parsed and verified ahead: a JVM is ready in half the time
# The archive is bound to this JVM and to the jars' paths and times: `build.sh --archive DIR` makes it anew after an install
# into DIR. One that does not fit is ignored by the JVM.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
gson=/usr/share/java/gson.jar

# The same options as kernels are started with: an archive fits one collector only.
archive() {
	rm -f "$1/dss-kernel.jsa"
	java -XX:ArchiveClassesAtExit="$1/dss-kernel.jsa" -Xlog:disable -Xshare:auto -XX:+UseSerialGC -XX:-UsePerfData -Xmx64m \
		-cp "$1/dss-kernel.jar:$gson" dss.kernel.Rehearsal "$1/dss-demo.jar" >"$1/archive.log" 2>&1 ||
		{ echo "no class data archive; kernels start slower: $(tail -n 3 "$1/archive.log")" >&2; rm -f "$1/dss-kernel.jsa"; }
	rm -f "$1/archive.log"
}

for needed in javac jar java; do
	command -v $needed >/dev/null || { echo "build.sh: unable to find $needed; install default-jdk-headless" >&2; exit 1; }
done
[ -r $gson ] || { echo "build.sh: unable to find $gson; install libgoogle-gson-java" >&2; exit 1; }
if [ "${1:-}" = --archive ]; then
	archive "$(cd "${2:?"usage: build.sh BUILD | --archive DIR"}" && pwd)"
	exit 0
fi
mkdir -p "${1:?"usage: build.sh BUILD | --archive DIR"}/java"
out=$(cd "$1/java" && pwd)
stamp="$out/.stamp"
sources=$(find "$here/src" "$here/demo" -name '*.java' | sort)
# The list, too: a file that was taken away is a change.
told=$(printf '%s\n' "$sources"; ls -l --time-style=full-iso "$gson" "$(readlink -f "$(command -v javac)")")
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$told" ] && [ -z "$(find "$here" -newer "$stamp" -type f ! -name '*.md')" ]; then
	exit 0
fi
echo "  javac kernels/java"
rm -rf "$out/classes" "$out/demo" "$stamp"
mkdir -p "$out/classes" "$out/demo"
# Texts put together the old way: the new one builds its code at each start, 30 ms in all.
options="--release 17 -encoding UTF-8 -Xlint:all,-serial -g -proc:none -XDstringConcat=inline"
# shellcheck disable=SC2046,SC2086
javac $options -cp "$gson" -d "$out/classes" $(find "$here/src" -name '*.java')
# shellcheck disable=SC2046,SC2086
javac $options -cp "$out/classes" -d "$out/demo" $(find "$here/demo" -name '*.java')
# Moved into place: kernels that run go on with the jar that they opened. Theirs is uncompressed, read at each start.
jar --create --no-compress --file "$out/new.jar" -C "$out/classes" .
mv "$out/new.jar" "$out/dss-kernel.jar"
jar --create --file "$out/new.jar" -C "$out/demo" .
mv "$out/new.jar" "$out/dss-demo.jar"
# shellcheck disable=SC2046
(cd "$out/classes" && jar --create --file "$out/new.jar" $(find dss -maxdepth 1 -name '*.class'))
mv "$out/new.jar" "$out/dss-client.jar"
archive "$out"
rm -rf "$out/classes" "$out/demo"
printf '%s\n' "$told" >"$stamp"
