/** What faults of a fine-tuning trial hit, and when.
 *
 * A trial of phase finetune tunes a model for some steps and is evaluated then. Each step has
 * arrays of the parameters' shapes, which are hit in the order below: gradients when they are
 * summed up, before they are clipped; Adam's moments and the parameters after the update. What a
 * step hits in an array is a pure function of (draw key, trial, step, array). Thread rule:
 * reentrant. */
#ifndef FS_TUNING_H
#define FS_TUNING_H

#include "fault_form.h"

/* X(NAME, text): the texts are the campaign's words. */
#define FS_TUNE_ARRAY_MAP(X)                                                                       \
    X(GRADIENTS, "gradients")                                                                      \
    X(ADAM_M, "adam.m")                                                                            \
    X(ADAM_V, "adam.v")                                                                            \
    X(PARAMETERS, "parameters")

typedef enum fs_tune_array {
#define X(name, text) FS_TUNE_##name,
    FS_TUNE_ARRAY_MAP(X)
#undef X
        FS_TUNE_ARRAY_COUNT
} fs_tune_array;

/** A set of them: bit i stands for fs_tune_array i. */
typedef uint32_t fs_tune_arrays;

/** @return "gradients", "adam.m", ... */
const char *fs_tune_array_name(fs_tune_array array);
/** @return the step 0..steps-1 that a transient trial hits, each equally likely. */
uint64_t fs_tune_pick(uint64_t draw_key, uint64_t trial, uint64_t steps);
/** Draws what a step hits in one array, replacing `out`'s contents. `step` is below
 * FS_TUNE_STEPS_MAX. Errors: as fs_form_draw. */
FS_MUST_CHECK fs_status fs_tune_draw(fs_fault_list *out, const fs_fault_space *space,
                                     fs_amount amount, const fs_form *form, uint64_t draw_key,
                                     uint64_t trial, uint64_t step, fs_tune_array array);
/** @return the checksum of a trial's lists so far, `sum`, with one more; 0 to begin with. */
uint64_t fs_tune_checksum(uint64_t sum, uint64_t step, fs_tune_array array,
                          const fs_fault_list *list);

#endif
