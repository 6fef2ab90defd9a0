#include "assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void fs_assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "flipsweep: internal error at %s:%d: %s does not hold\n", file, line,
            condition);
    abort();
}
