/** Writes down everything that a trial hits.
 *
 * Faults of parameters make a list that a campaign can take (fault_file.h). Faults of activations
 * are rows of input, stage, layer, index in the stage, bit and kind; those of fine-tuning
 * rows of step (from 0), array, tensor, index, bit and kind. Both are for people, as campaigns take
 * no list of them. Thread rule: reentrant. */
#ifndef WK_FAULT_LIST_H
#define WK_FAULT_LIST_H

#include "dataset.h"
#include "plan.h"

/** @param data  of the cell's model
 * Errors: FS_EIO, FS_ENOSPC naming the path; FS_ELIMIT for more faults than a list may hold;
 * FS_ENOMEM. */
FS_MUST_CHECK fs_status wk_fault_list_write(const char *path, const fs_plan *plan,
                                            const dataset *data, uint32_t cell, uint64_t trial);

#endif
