#!/bin/sh
# run.sh [FILE...]: the page's specs in Debian's Chromium; ends with "web: N passed, N failed, N skipped", or says why none could run.
# run.sh screenshots: pictures of a demo instance into docs/img instead.
set -u
cd "$(dirname "$0")/../.."
export DSS_BUILD="${DSS_BUILD:-build}"
# A hanging browser must not hang the whole.
limit=${DSS_WEB_LIMIT:-1500}

skip() {
	echo "web: skipped: $1"
	exit 0
}
chromium=${DSS_CHROMIUM:-/usr/bin/chromium}
command -v node >/dev/null || skip "there is no Node.js (sh etc/setup.sh test)"
[ -x "$chromium" ] || skip "there is no $chromium (sh etc/setup.sh test)"
[ -e "$DSS_BUILD/web/files/index.html" ] || skip "$DSS_BUILD was built without the page (WEB=no)"
[ -e web/node_modules/.installed ] || skip "web/node_modules is not there (sh web/packages.sh)"

# All that is made lies here: instances, the browser's profiles, the report. Others must be able to enter: the daemon's users.
root=$(mktemp -d /tmp/dss-web.XXXXXX)
chmod 755 "$root"
finish() {
	# What a browser or a run that was killed left behind.
	for dss in "$root"/dss-spec-*/node/bin/dss; do
		[ ! -x "$dss" ] || "$dss" stop --now >/dev/null 2>&1
	done
	rm -rf "$root"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP
export TMPDIR="$root" DSS_WEB_OUT="$root/out" DSS_WEB_REPORT="$root/report.json" NODE_PATH="$PWD/web/node_modules"
[ -t 1 ] || export FORCE_COLOR=0 NO_COLOR=1
project=specs
if [ "${1:-}" = screenshots ]; then
	project=screenshots
	shift
fi
# FILE is a pattern for Playwright: all that it may name is in spec/web.
timeout -k 20 "$limit" web/node_modules/.bin/playwright test -c spec/web --project="$project" "$@"
rc=$?
[ "$rc" -ne 124 ] || echo "stopped after the limit of $limit s"
node -e '
	const { stats, errors, suites } = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
	const tell = (s) => {
		for (const spec of s.specs ?? []) if (spec.tests.some((t) => t.status === "flaky")) console.log(`unsteady: spec/web/${spec.file}:${spec.line} ${spec.title}`);
		(s.suites ?? []).forEach(tell);
	};
	(suites ?? []).forEach(tell);
	const rc = Number(process.argv[2]), failed = stats.unexpected + (rc !== 0 && stats.unexpected === 0 ? Math.max(1, errors.length) : 0);
	console.log(`web: ${stats.expected + stats.flaky} passed, ${failed} failed, ${stats.skipped} skipped`);
	process.exit(failed > 0 ? 1 : 0);
' "$DSS_WEB_REPORT" "$rc" 2>/dev/null && exit 0
[ -f "$DSS_WEB_REPORT" ] || echo "web: 0 passed, 1 failed, 0 skipped"
exit 1
