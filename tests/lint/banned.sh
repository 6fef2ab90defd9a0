#!/usr/bin/env bash
# What the style rules out, and what a grep can see: unbounded string calls, fast-math, upward
# includes, files over the size limit.
set -uo pipefail
cd "$(dirname "$0")/../.."
failed=0
report() { [ -z "$2" ] || { printf '%s:\n%s\n' "$1" "$2"; failed=1; }; }

report "banned calls" "$(git grep -nE '\b(sprintf|vsprintf|strcpy|strcat|gets|alloca)\(' \
    -- '*.c' '*.h')"
report "banned flags" "$(git grep -nE -- '-ffast-math|-Ofast' -- CMakeLists.txt '*/CMakeLists.txt' \
    | grep -v '#')"
report "unfinished" "$(git grep -nE 'TODO|FIXME|XXX:' -- '*.c' '*.h' '*.ts' '*.py')"
report "files over 700 lines" "$(git ls-files 'common/*.[ch]' 'models/*.[ch]' 'worker/*.[ch]' \
    'coordinator/*.[ch]' 'tests/*.[ch]' | xargs wc -l | awk '$2 != "total" && $1 > 700')"
report "functions over 80 lines" "$(git ls-files 'common/*.c' 'models/*.c' 'worker/*.c' \
    'coordinator/*.c' | xargs awk '
    FNR == 1 { open = 0 }
    /^\{/ { open = FNR }
    /^\}/ { if (open && FNR - open > 80) printf "%s:%d: %d lines\n", FILENAME, open, FNR - open
            open = 0 }')"
exit $failed
