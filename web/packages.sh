#!/bin/sh
# packages.sh: web/node_modules as package-lock.json says; takes no time when it is so already. One at a time, whoever builds.
set -eu
cd "$(dirname "$0")"
stamp=node_modules/.installed
if [ "${1:-}" != locked ]; then exec flock . sh packages.sh locked; fi
want=$(cat package.json package-lock.json .npmrc | cksum)
if [ -f $stamp ] && [ "$(cat $stamp)" = "$want" ]; then touch $stamp; exit 0; fi
echo "  npm ci (web/package-lock.json)"
export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1
if ! said=$(npm ci --loglevel=error --no-progress 2>&1); then
	echo "$said" >&2
	echo "unable to install the page's packages: npm ci failed, see above; make WEB=no builds all but the page" >&2
	exit 1
fi
echo "$want" >$stamp
