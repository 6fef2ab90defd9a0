/** Fine-tunes one model again and again, each time from the same values through the campaign's
 * steps under the faults of another trial.
 *
 * What comes out is a function of (start, campaign, cell, trial): no bit depends on threads, on
 * what ran before, or on being killed and going on from a checkpoint. Thread rule: one thread at a
 * time. */
#ifndef WK_TUNER_H
#define WK_TUNER_H

#include "plan.h"
#include "tr_layout.h"
#include "trial.h"

typedef struct wk_tuner wk_tuner;

/** What all tuners of a model share; borrowed. */
typedef struct wk_tune_base {
    const fs_finetune *finetune;
    const char *model; /* folder, for its tokeniser */
    const tr_layout *layout;
    const float *start; /* [layout->floats] */
} wk_tune_base;

typedef struct wk_tune_job {
    const fs_cell *cell; /* NULL: without faults */
    uint64_t trial;
    const char *checkpoint; /* its file; NULL: none is read or written */
    fs_hash fingerprint;    /* of the checkpoint: all that decides the run */
    int stays;              /* nonzero: a last checkpoint is written, and none removed */
} wk_tune_job;

/** Checks that the data to learn from are those that the campaign was planned with, wherever they
 * lie here. Errors: FS_EREFUSED, FS_ENOENT, FS_EIO naming the file. */
FS_MUST_CHECK fs_status wk_tuner_check_data(const fs_finetune *finetune);
/** Reads the data to learn from. Errors: those of tr_source_open and wk_tuner_check_data,
 * FS_ENOMEM. */
FS_MUST_CHECK fs_status wk_tuner_new(wk_tuner **out, const wk_tune_base *base, unsigned threads);
void wk_tuner_destroy(wk_tuner **self);
/** Tunes, and fills the fault part of `record`, which is replaced, with `diverged` and `model`. A
 * checkpoint that cannot be read or written is told and done without. Errors: those of drawing,
 * FS_ENOMEM. */
FS_MUST_CHECK fs_status wk_tuner_run(wk_tuner *self, const wk_tune_job *job,
                                     fs_trial_record *record);
/** @return [layout->floats] what came out; valid until the next run. */
const float *wk_tuner_values(const wk_tuner *self);

#endif
