/** A whole training run: steps, measuring, metrics, checkpoints, going on.
 *
 * The run's folder holds `checkpoint` and `metrics.jsonl` while it lasts. Killed at any moment and
 * called again with the same options it goes on from the checkpoint to the same bits.
 * Thread rule: one thread at a time. */
#ifndef TR_LOOP_H
#define TR_LOOP_H

#include <signal.h>

#include "hash.h"
#include "tr_evaluate.h"
#include "tr_trainer.h"

/** What a run remembers beside the arrays; every field has 8 bytes. */
typedef struct tr_tally {
    uint64_t journal_bytes;
    /* since the last line of metrics */
    uint64_t steps, tokens, outputs, right, clipped, skipped;
    double loss, task, divergence; /* sums */
    /* since the beginning */
    uint64_t skipped_all;
    double seconds;
    uint64_t best_step, dev_step; /* 0: none yet */
    double best_loss, best_accuracy, best_f1;
    double dev_loss, dev_accuracy, dev_f1; /* of the last evaluation */
} tr_tally;

/** What is shown of a step. */
typedef struct tr_progress {
    const tr_step_report *report;
    double loss;    /* mean since the last line of metrics */
    uint64_t steps; /* of the whole run */
} tr_progress;

typedef struct tr_loop_options {
    const char *dir;     /* is there */
    fs_hash fingerprint; /* of all that decides the run */
    uint64_t steps;
    uint64_t log_every;        /* steps, >= 1 */
    uint64_t eval_every;       /* steps; 0: at the end of each epoch */
    uint64_t checkpoint_every; /* steps; 0: once a minute */
    int keep_best; /* nonzero: the values of the best evaluation are the result, not the last */
    const volatile sig_atomic_t *stop; /* nonzero: make a checkpoint and leave; NULL: never */
    void (*show)(void *context, const tr_progress *progress); /* NULL: nothing is shown */
    void (*measured)(void *context, uint64_t step, const tr_quality *dev); /* NULL: the same */
    void *context;
} tr_loop_options;

/** Runs, or goes on. Afterwards the trainer's network holds the result, and the checkpoint stays
 * until the caller has saved it.
 * @param dev   NULL: nothing is measured
 * @param hooks as given to the trainer, NULL: none
 * Errors: FS_EINTERRUPTED after `stop`; FS_EDIVERGED; FS_ECORRUPT, FS_EREFUSED by the checkpoint;
 * FS_EIO, FS_ENOSPC; FS_EUSAGE for keep_best without dev. */
FS_MUST_CHECK fs_status tr_loop_run(tr_trainer *trainer, tr_source *source, tr_source *dev,
                                    const tr_hooks *hooks, uint32_t accumulate,
                                    const tr_loop_options *options, tr_tally *out);
/** @return steps of `epochs` epochs, whole batches gathered into steps of `accumulate`. */
uint64_t tr_loop_steps(const tr_source *source, double epochs, uint32_t accumulate);

#endif
