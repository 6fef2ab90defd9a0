/** The sites of a cell as JSON, the same in every verb's output. Thread rule: reentrant. */
#ifndef CELL_SITE_H
#define CELL_SITE_H

#include <jansson.h>

#include "plan.h"

/** Sets site (the class), words[] (of the class), and the words once more as components[] or
 * stages[], of which at most one has any; phase and, of phase finetune, steps. @return nonzero
 * without memory. */
int cell_site_json(json_t *out, const fs_cell *cell);

#endif
