/** Trials without a model: records that depend on (cell, trial) alone and cost a set time. For
 * tests of the orchestration at scale; a coordinator takes part only if it was started so too.
 * Thread rule: reentrant. */
#ifndef WK_SIMULATE_H
#define WK_SIMULATE_H

#include "wk_pool.h"

/** @return work of which every trial takes `cost_us`; `*cost_us` outlives it. It has one variant
 * and as many cells as there may be. */
wk_work wk_simulate_work(const uint64_t *cost_us);
/** The record of a simulated trial. */
void wk_simulate_record(uint32_t cell, uint64_t trial, fs_trial_record *out);

#endif
