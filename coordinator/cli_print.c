#include "cli_print.h"

#include <math.h>
#include <stdio.h>

json_t *cli_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

fs_status cli_print_json(json_t *root)
{
    if (root == NULL) return fs_fail(FS_ENOMEM, "no memory for a JSON document");
    int failed = json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(root);
    putchar('\n');
    /* A stream that failed is reported by the program's frame, which flushes it. */
    return failed && !ferror(stdout) ? fs_fail(FS_ENOMEM, "no memory for a JSON document") : FS_OK;
}
