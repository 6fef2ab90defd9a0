/** Output that every verb shares. Thread rule: the main thread. */
#ifndef CLI_PRINT_H
#define CLI_PRINT_H

#include <jansson.h>

#include "status.h"

/** @return a JSON number, null for NaN and infinities, which JSON has not. */
json_t *cli_json_real(double value);
/** Prints one document on one line of stdout and frees it. NULL stands for a failed allocation.
 * Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status cli_print_json(json_t *root);

#endif
