#!/usr/bin/env bash
# clang-tidy over the programs' sources, with the checks of .clang-tidy. usage: tidy.sh BUILD_DIR
set -euo pipefail
cd "$(dirname "$0")/../.."
git ls-files 'common/*.c' 'models/*.c' 'worker/*.c' 'coordinator/*.c' |
    xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p "$1" \
        --extra-arg=-Wno-unknown-warning-option 2>/dev/null
