#!/bin/sh
# run.sh WEB-REPORT template | browser PAGES short|long: the tests of the page that need node.
# Exit code 77: skipped, with the reason.
set -eu
web=$1
skip() {
    echo "skipped: $1"
    exit 77
}
command -v node >/dev/null || skip "node is not installed"
[ -d "$web/node_modules/esbuild" ] || skip "web-report/node_modules is absent; run npm ci there"
cd "$web"
if [ "$2" = template ]; then
    node_modules/.bin/tsc --noEmit
    exec node build.mjs --verify
fi
FLIPSWEEP_CHROMIUM=${FLIPSWEEP_CHROMIUM:-/usr/bin/chromium}
[ -x "$FLIPSWEEP_CHROMIUM" ] || skip "$FLIPSWEEP_CHROMIUM is absent"
[ -d node_modules/playwright-core ] || skip "playwright-core is absent; run npm ci in web-report"
export FLIPSWEEP_CHROMIUM FLIPSWEEP_PAGES="$3" FLIPSWEEP_TEST="$4"
exec node --test test/page.test.mjs
