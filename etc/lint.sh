#!/bin/sh
# lint.sh: style and real mistakes: clang-format, clang-tidy, luacheck, shellcheck where it is there, the layers. All run; the end says which failed.
# LINT=format,tidy,lua,sh,types,layers picks some.
set -u
cd "$(dirname "$0")/.." || exit 1
[ -n "${LINT:-}" ] || sh etc/setup.sh test || exit 1
want=",${LINT:-format,tidy,lua,sh,types,layers},"
failed=""

# step NAME COMMAND…: one part, its output shown only when it complains.
step() {
	name=$1
	shift
	case "$want" in *",$name,"*) ;; *) return 0 ;; esac
	printf '%-8s' "$name"
	if out=$("$@" 2>&1); then echo "ok"; else
		echo "FAILED"
		echo "$out" | tail -n 200
		failed="$failed $name"
	fi
}

c_files() { find core spec/binding bench -name '*.[ch]' 2>/dev/null | sort; }

check_format() {
	# shellcheck disable=SC2046
	clang-format --dry-run -Werror $(c_files) 2>&1 | grep -E '(error|warning): ' | sed 's/: .*code should/: code should/' | head -n 100 | {
		n=0
		while IFS= read -r line; do
			echo "$line"
			n=$((n + 1))
		done
		[ "$n" -eq 0 ] || { echo "make format puts it right"; return 1; }
	}
}

check_tidy() {
	# core/ of every program; the specs' windows are not worth the minutes.
	find core -name '*.c' | sort | xargs -P "$(nproc)" -n 4 sh -c '
		clang-tidy --quiet "$@" -- -std=gnu11 -D_GNU_SOURCE -DDSS_VERSION=\"0\" -Icore -I/usr/include/lua5.4 2>/dev/null' sh |
		grep -E '(warning|error): ' | sort -u | { ! grep . ; }
}

check_lua() {
	# shellcheck disable=SC2046
	luacheck --no-color -q $(find lua policies spec bench -name '*.lua' 2>/dev/null | sort)
}

check_sh() {
	command -v shellcheck >/dev/null || { echo "no shellcheck here"; return 0; }
	# Not told: what a sourced file sets or uses, lists of words that are meant to be split, test -nt, busybox.
	# shellcheck disable=SC2046
	shellcheck -S warning -e SC2034,SC2209,SC2154,SC2046,SC2164,SC2187,SC3013 $(find etc spec bench .ci web -path web/node_modules -prune -o -type f -print 2>/dev/null | while IFS= read -r f; do
		head -n 1 "$f" | grep -qE '^#!.*(/| )(ba|da)?sh' && echo "$f"
	done)
}

# The page and its specs.
check_types() {
	if [ "${WEB:-yes}" = no ]; then
		echo "built without the page"
		return 0
	fi
	sh web/packages.sh && web/node_modules/.bin/tsc --noEmit -p web && web/node_modules/.bin/tsc --noEmit -p spec/web
}

step format check_format
step tidy check_tidy
step lua check_lua
step sh check_sh
step types check_types
step layers lua5.4 /usr/bin/busted -o plainTerminal spec/style
if [ -n "$failed" ]; then echo "lint failed:$failed"; exit 1; fi
echo "lint passed"
