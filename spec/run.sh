#!/bin/sh
# run.sh [quick] [FILE...]: runs the spec files, each in its own interpreter with a time limit, two at a time where there are two
# processors (DSS_SPEC_JOBS: so many); says what was skipped and why; ends with "N passed, N failed" over all of them. quick: only what
# needs no daemon, no browser and no virtual machine. FILE may be one of the page's: spec/web/NAME.spec.ts.
set -u
cd "$(dirname "$0")/.."
build=${DSS_BUILD:-build}
export DSS_BUILD="$build"
# A virtual machine without KVM and a loaded CI are slow; a spec file that needs longer than this hangs.
limit=${DSS_SPEC_LIMIT:-600}
jobs=${DSS_SPEC_JOBS:-$(nproc 2>/dev/null || echo 1)}
[ "$jobs" -le 2 ] || [ -n "${DSS_SPEC_JOBS:-}" ] || jobs=2

preload=""
case "$build" in *asan*) preload="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" ;; esac

# run_file FILE LOG: sets ok, bad, pending, took, rc.
run_file() {
	start=$(date +%s)
	if [ -n "$preload" ]; then
		LD_PRELOAD="$preload" timeout -k 10 "$limit" lua5.4 /usr/bin/busted -o plainTerminal "$1" >"$2" 2>&1
	else
		timeout -k 10 "$limit" lua5.4 /usr/bin/busted -o plainTerminal "$1" >"$2" 2>&1
	fi
	rc=$?
	# "12 successes / 0 failures / 0 errors / 1 pending : 3.1 seconds"
	summary=$(grep -E '^[0-9]+ success(es)? / [0-9]+ failures? / [0-9]+ errors? / [0-9]+ pending' "$2" | tail -n 1)
	if [ -z "$summary" ]; then
		ok=0 bad=1 pending=0
	else
		ok=$(echo "$summary" | sed 's/^\([0-9]*\) success.*/\1/')
		bad=$(echo "$summary" | sed 's/.* \([0-9]*\) failures\{0,1\} \/ \([0-9]*\) errors\{0,1\}.*/\1 + \2/')
		bad=$(($bad)) # a sum in words
		pending=$(echo "$summary" | sed 's/.* \([0-9]*\) pending.*/\1/')
		[ "$rc" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
	fi
	took=$(($(date +%s) - start))
}

show_failure() { # LOG
	sed 's/^/        /' "$1" | tail -n 150
}

name_of() { echo "$1" | tr / _; }

# What became of FILE, as one piece of text: others print at the same time.
tell() { # FILE LOG MORE
	if [ "$bad" -eq 0 ]; then
		echo "ok      $1: $ok passed$([ "$pending" -eq 0 ] || echo ", $pending skipped") (${took} s)"
		[ "$pending" -eq 0 ] || sed -n '/^Pending/,/^$/p' "$2" | sed 's/^/        /'
	else
		echo "FAILED  $1: $bad failed, $ok passed (${took} s$([ "$rc" -ne 124 ] || echo ", stopped after the limit of $limit s"))$3"
		show_failure "$2"
	fi
}

# Files that drive real processes share the machine with others: what fails is shown and run once more, alone, and the end names it.
is_worth_another() { # FILE
	case "$1" in spec/daemon/* | spec/keeper/* | spec/kernels/* | spec/core/*) [ "$rc" -ne 124 ] ;; *) false ;; esac
}

# One of those that run side by side: --one OUT FILE. Leaves its sums in OUT.
if [ "${1:-}" = --one ]; then
	out=$2 file=$3
	log="$out/$(name_of "$file")"
	run_file "$file" "$log"
	more=""
	[ "$bad" -eq 0 ] || ! is_worth_another "$file" || more="; once more at the end"
	said=$(tell "$file" "$log" "$more")
	echo "$ok $bad $pending $rc" >"$log.sum"
	printf '%s\n' "$said"
	exit 0
fi

out=$(mktemp -d "${TMPDIR:-/tmp}/dss-spec.XXXXXX")
trap 'rm -rf "$out"' EXIT
trap 'exit 130' INT TERM
if [ -n "$preload" ]; then
	export ASAN_OPTIONS="detect_leaks=0:abort_on_error=0:log_path=$out/asan" UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"
fi
quick=""
[ "${1:-}" = quick ] && { quick=1; shift; }
# The page's go into one browser run of their own.
has_web="" web_files="" files=""
if [ $# -gt 0 ]; then
	for file in "$@"; do
		case "$file" in
		*.spec.ts) has_web=1 web_files="$web_files $file" ;;
		*) files="$files $file" ;;
		esac
	done
else
	[ -n "$quick" ] || has_web=1
	files=$(find spec/style spec/lua spec/core spec/policies spec/kernels spec/fleet spec/ctl -name '*_spec.lua' 2>/dev/null | sort)
	[ -n "$quick" ] || files="$files $(find spec/keeper spec/daemon -name '*_spec.lua' 2>/dev/null | sort)"
fi

passed=0 failed=0 skipped=0 unsteady=""
# shellcheck disable=SC2086
[ -z "$files" ] || printf '%s\n' $files | xargs -P "$jobs" -n 1 sh spec/run.sh --one "$out"
for file in $files; do
	log="$out/$(name_of "$file")"
	ok=0 bad=1 pending=0 rc=1
	[ ! -f "$log.sum" ] || read -r ok bad pending rc <"$log.sum"
	if [ "$bad" -gt 0 ] && is_worth_another "$file"; then
		unsteady="$unsteady $file"
		run_file "$file" "$log"
		tell "$file" "$log" ""
	fi
	passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + pending))
done
for report in "$out"/asan.*; do
	[ -f "$report" ] || continue
	failed=$((failed + 1))
	echo "FAILED  a sanitizer's report:"
	head -n 60 "$report" | sed 's/^/        /'
done

if [ -n "$has_web" ] && [ -z "$preload" ]; then
	echo "running the page in a browser"
	started=$(date +%s)
	# shellcheck disable=SC2086
	sh spec/web/run.sh $web_files >"$out/web" 2>&1
	rc=$?
	took=$(($(date +%s) - started))
	line=$(grep -E '^web: ' "$out/web" | tail -n 1)
	case "$line" in
	"web: skipped:"*) echo "$line" && skipped=$((skipped + 1)) ;;
	"web: "*passed,*)
		ok=$(echo "$line" | sed 's/^web: \([0-9]*\) passed.*/\1/') bad=$(echo "$line" | sed 's/.*, \([0-9]*\) failed.*/\1/')
		pending=$(echo "$line" | sed 's/.*, \([0-9]*\) skipped.*/\1/')
		passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + pending))
		if [ "$bad" -eq 0 ]; then echo "ok      spec/web: $ok passed$([ "$pending" -eq 0 ] || echo ", $pending skipped") (${took} s)"; else
			echo "FAILED  spec/web: $bad failed, $ok passed (${took} s)"
		fi
		if grep -q '^unsteady: ' "$out/web"; then unsteady="$unsteady $(sed -n 's/^unsteady: \([^ ]*\).*/\1/p' "$out/web" | tr '\n' ' ')"; fi
		if [ "$bad" -gt 0 ] || grep -q '^unsteady: ' "$out/web"; then show_failure "$out/web"; fi
		;;
	*)
		failed=$((failed + 1))
		echo "FAILED  spec/web: ended with $rc (${took} s)"
		show_failure "$out/web"
		;;
	esac
fi

run_vm() { # sets ok, bad
	BUILD="$build" sh spec/vm/run.sh >"$out/vm" 2>&1
	rc=$?
	line=$(grep -E '^vm: [0-9]+ passed, [0-9]+ failed' "$out/vm" | tail -n 1)
	if [ -n "$line" ]; then
		ok=$(echo "$line" | sed 's/^vm: \([0-9]*\) passed.*/\1/') bad=$(echo "$line" | sed 's/.*, \([0-9]*\) failed.*/\1/')
		[ "$rc" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
	else
		ok=0 bad=1
	fi
}

if [ -z "$quick" ] && [ $# -eq 0 ] && [ -z "$preload" ]; then
	echo "running the cgroup v2 half in a virtual machine"
	run_vm
	if [ "$bad" -gt 0 ]; then
		echo "FAILED  make test-vm: $bad failed, $ok passed; once more"
		show_failure "$out/vm"
		run_vm
		unsteady="$unsteady test-vm"
	fi
	passed=$((passed + ok)) failed=$((failed + bad))
	if [ "$bad" -eq 0 ]; then echo "ok      make test-vm: $ok passed"; else
		echo "FAILED  make test-vm: $bad failed"
		show_failure "$out/vm"
	fi
fi
[ -z "$unsteady" ] || echo "unsteady, failed at first (see above):$unsteady"
echo
if [ "$skipped" -gt 0 ]; then echo "$passed passed, $failed failed, $skipped skipped"; else echo "$passed passed, $failed failed"; fi
[ "$failed" -eq 0 ]
