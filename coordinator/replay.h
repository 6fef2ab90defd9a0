/** Runs stored trials again, in a worker process, for `replay` and `verify --rerun`.
 *
 * Thread rule: one thread at a time; blocks until the worker is done. */
#ifndef REPLAY_H
#define REPLAY_H

#include <stddef.h>
#include <stdint.h>

#include "plan.h"
#include "store.h"
#include "trial.h"

typedef struct replay_id {
    uint32_t cell;
    uint64_t trial;
} replay_id;

typedef struct replay_options {
    unsigned threads;   /* 0: one per core that this process may use */
    int brute_force;    /* run everything for every input */
    const char *faults; /* file that the faults of the one trial are written to; NULL: none */
    const char *work;   /* folder for what fine-tuning trials leave; NULL: none */
} replay_options;

/** One trial as it came out now, beside what is stored. */
typedef struct replay_result {
    replay_id id;
    fs_trial_record record;
    double golden_metric;     /* NaN if it is not finite */
    int64_t first_difference; /* boundary, see wk_executor.h; -1: nowhere */
    int stored;               /* nonzero: the store holds a row of this trial */
    int stored_equal;         /* and it is the same, byte for byte */
} replay_result;

/** Reads the stored campaign and plans it from the model and data files as they are now.
 * Errors: FS_EREFUSED naming the difference if they are not the campaign's any more; FS_ENOENT if
 * they are gone; those of store, campaign and plan. */
FS_MUST_CHECK fs_status replay_plan(fs_store *store, fs_campaign **campaign, fs_plan **plan);
/** Runs the trials and calls `visit` for each in order. Errors: those of the worker, whose message
 * is on stderr; FS_EPROTO if its answers make no sense; what `visit` returns. */
FS_MUST_CHECK fs_status replay_trials(fs_store *store, const fs_plan *plan, const replay_id *ids,
                                      size_t count, const replay_options *options,
                                      fs_status (*visit)(void *data, const replay_result *result),
                                      void *data);

#endif
