/** One trial's forward pass over all inputs, and what came out of it against golden.
 *
 * The pass starts at the first faulty block from golden states, drops inputs whose state is
 * bit-equal to golden again, and takes them up where a later block is faulty. Brute force runs
 * everything for every input; both give the same bits (see ARCHITECTURE.md, "Golden prefix").
 * Thread rule: one wk_trial per compute thread and variant. */
#ifndef WK_TRIAL_H
#define WK_TRIAL_H

#include "plan.h"
#include "wk_golden.h"
#include "wk_inject.h"

typedef struct wk_trial wk_trial;

/** `private_bytes`: what its copies of changed pages may take between trials, but for an eighth of
 * the weights that is always allowed. */
FS_MUST_CHECK fs_status wk_trial_new(wk_trial **out, const wk_golden *golden,
                                     const fs_critical *critical, uint64_t private_bytes);
void wk_trial_destroy(wk_trial **self);
/** Draws, injects, runs, compares, restores. `record` is replaced. A trial of a list that hits
 * nothing of the cell is not injected, and nothing is evaluated. The view's touched values are
 * checked afterwards. Errors: FS_EMISMATCH if a value is not as before; FS_ENOMEM. */
FS_MUST_CHECK fs_status wk_trial_run(wk_trial *self, const fs_cell *cell,
                                     const fs_protection *protection, uint64_t trial,
                                     int brute_force, fs_trial_record *record);
/** Evaluates another model of the same shape on every input, against this golden and within its
 * bounds: the outcome part of `record`, to whose fault part, the caller's, is added what reading
 * the model and restricting it noticed. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status wk_trial_evaluate(wk_trial *self, const nn_model *model,
                                          fs_trial_record *record);
/** The same where there is no model to evaluate: every input is DUE. */
void wk_trial_nothing(wk_trial *self, fs_trial_record *record);
/** Compares the whole view with the model. Errors: FS_EMISMATCH. */
FS_MUST_CHECK fs_status wk_trial_check(const wk_trial *self);
/** @return the first boundary at which the last run's state differed from golden, from 0 (the
 * embeddings) to `layers` + 1 (the logits); UINT32_MAX if nowhere. Boundaries that are not kept
 * cannot be looked at and count as equal. */
uint32_t wk_trial_first_difference(const wk_trial *self);

#endif
