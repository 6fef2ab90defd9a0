/** A network that learns, step by step.
 *
 * All that decides the bits of the weights after n steps: batches, losses, gradients, clipping,
 * schedule, AdamW, and what hooks and an adapter put in. No files, no clocks: see tr_loop.h for a
 * whole run. Thread rule: one thread at a time; bits do not depend on the pool's threads. */
#ifndef TR_TRAINER_H
#define TR_TRAINER_H

#include "tr_objective.h"
#include "tr_optimiser.h"

typedef struct tr_trainer_options {
    tr_objective_options objective;
    tr_adamw adamw;
    tr_schedule schedule;
    double clip;           /* largest 2-norm of a step's gradient; 0: no clipping */
    const uint8_t *wanted; /* [network layout->count], nonzero: trained; NULL: all; borrowed. Not
                              with an adapter, which has its own */
} tr_trainer_options;

/** What came out of one step. */
typedef struct tr_step_report {
    uint64_t step; /* steps made, this one too */
    tr_sums sums;
    uint64_t tokens;
    double rate, norm; /* norm: of the gradient before clipping */
    int clipped, skipped;
} tr_step_report;

typedef struct tr_trainer tr_trainer;

/** All pointers but `out` are borrowed; `hooks` and `adapter` may be NULL. The weights hold first
 * values, packed or not. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_trainer_new(tr_trainer **out, const tr_trainer_options *options,
                                       tr_weights *weights, tr_pool *pool, tr_source *source,
                                       const tr_hooks *hooks, const tr_adapter *adapter);
void tr_trainer_destroy(tr_trainer **self);
/** Makes the next step. Errors: FS_EDIVERGED if loss or gradient are not finite (but where hooks
 * skip), the values being those before the step; the source's, the hooks'; FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_trainer_step(tr_trainer *self, tr_step_report *report);
/** @return the state, to be saved or overwritten between steps; after overwriting call
 * tr_trainer_restored. Borrowed. */
tr_state *tr_trainer_state(tr_trainer *self);
/** Brings the network up to date with changed values, step and moments. */
void tr_trainer_restored(tr_trainer *self);

#endif
