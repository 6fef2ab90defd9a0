#!/usr/bin/env bash
# cppcheck over the programs' sources; suppressions.txt gives the reason for each exception.
set -euo pipefail
cd "$(dirname "$0")/../.."
jobs=$(nproc)
cppcheck --quiet --std=c11 --language=c --enable=warning,performance,portability \
    --inline-suppr --library=tests/lint/cppcheck.cfg --suppressions-list=tests/lint/suppressions.txt --error-exitcode=1 -j "$jobs" \
    -D_GNU_SOURCE -DFS_VERSION='"lint"' -Icommon -Imodels -Iworker -Icommon/fetch -Imodels/train -Icoordinator \
    common models worker coordinator
