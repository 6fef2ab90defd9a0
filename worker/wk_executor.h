/** Runs trials: inject, partial forward from golden activations, compare, undo.
 *
 * The executor holds, per variant of the plan, the golden model and its golden run; per compute
 * thread, a copy-on-write view. A trial touches only its own thread's view and leaves it as it
 * was. Thread rule: wk_executor_run with distinct `thread` indices may run at the same time; the
 * first trial of a variant makes its golden run, others of that variant wait for it; those of a
 * variant that is made already do not. */
#ifndef WK_EXECUTOR_H
#define WK_EXECUTOR_H

#include <stdint.h>

#include "plan.h"
#include "trial.h"

typedef struct wk_executor wk_executor;

typedef struct wk_options {
    unsigned threads;           /* compute threads, 1..FS_THREADS_MAX */
    int brute_force;            /* every trial runs the whole forward pass for every input */
    int check_always;           /* compare the whole model after every trial, not one in 64 */
    double audit;               /* share of trials also run by brute force, which must agree */
    uint64_t golden_bytes_max;  /* bound on cached golden activations, all variants together */
    uint64_t private_bytes_max; /* bound on threads' own copies of weights between trials, but for
                                   an eighth of the weights each */
    const char
        *work;  /* folder for what fine-tuning trials leave (wk_tuning.h); NULL: none; borrowed */
    int afresh; /* no checkpoint of fine-tuning is read or written */
} wk_options;

/** What a fault-free run of a variant gave. Plain data; the same bits on every honest worker. */
typedef struct wk_golden_info {
    double metric;
    double loss;
    uint64_t answers;
    uint64_t checksum;        /* XXH3-64 over the logits (classification) or the losses and top-1
                                 tokens (language model), in input order */
    uint64_t altered;         /* values that reading through the protections changed */
    uint64_t token_rows_read; /* rows of the token embeddings that any input reads */
    uint64_t positions_read;  /* rows of the position embeddings that any input reads, the first */
    uint64_t bounds_checksum; /* over what its codecs and its golden run learnt; 0: nothing */
} wk_golden_info;

/** Loads the data set and checks that of fine-tuning; models are loaded when first needed. The plan
 * must have a fingerprint and outlive the executor. Errors: those of the loaders; FS_ENOENT,
 * FS_EREFUSED for data to learn from that are absent, or not those of the plan. */
FS_MUST_CHECK fs_status wk_executor_new(wk_executor **out, const fs_plan *plan,
                                        const wk_options *options);
void wk_executor_destroy(wk_executor **self);
/** The golden run of a variant, made if need be by the calling thread. Thread: any. */
FS_MUST_CHECK fs_status wk_executor_golden(wk_executor *self, uint32_t variant,
                                           wk_golden_info *out);
/** Runs one trial on compute thread `thread`. Errors: FS_EMISMATCH if the audit or the model's
 * checksum afterwards disagrees (a defect of ours or of the machine); those of the loaders. */
FS_MUST_CHECK fs_status wk_executor_run(wk_executor *self, unsigned thread, uint32_t cell,
                                        uint64_t trial, fs_trial_record *out);
/** @return the data set of a cell's model, until the executor ends. */
const struct dataset *wk_executor_data(const wk_executor *self, uint32_t cell);
/** @return the first boundary at which thread `thread`'s last trial of `cell` differed from golden:
 * 0 the embeddings, l the state before block l, layers + 1 the logits; UINT32_MAX: nowhere. */
uint32_t wk_executor_first_difference(const wk_executor *self, unsigned thread, uint32_t cell);

#endif
