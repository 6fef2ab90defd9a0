#!/usr/bin/env bash
# Builds the tests under a sanitizer and runs there what their names match.
# usage: run.sh PRESET REGEX [ctest arguments]
set -euo pipefail
cd "$(dirname "$0")/../.."
preset=$1 names=$2
shift 2
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" -j "$(nproc)" | tail -n 1
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS="halt_on_error=1:suppressions=$PWD/tests/sanitize/tsan.supp"
exec ctest --test-dir "build/$preset" --output-on-failure -R "$names" -LE long "$@"
