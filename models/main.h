/** flipsweep-model: what one model is and does. One file main_VERB.c for each verb. */
#ifndef MAIN_H
#define MAIN_H

#include <jansson.h>

#include "program.h"

extern const fs_command main_eval;
extern const fs_command main_finetune;
extern const fs_command main_inspect;
extern const fs_command main_tokenize;
extern const fs_command main_train;
extern const fs_command main_vocab;

/** @return a JSON number, null for NaN and the infinities, which JSON does not have. */
json_t *main_json_real(double value);
/** Prints `root` to stdout as one document and drops it. NULL stands for memory that was not
 * there. Errors: FS_ENOMEM; write errors are found when stdout is flushed. */
FS_MUST_CHECK fs_status main_json_print(json_t *root);

#endif
