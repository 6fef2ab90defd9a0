/** Fine-tuning trials of one model of a plan: what its threads share, and the folder where they
 * leave checkpoints and tuned models.
 *
 * The work folder holds `checkpoints/`, one file for each run that is not at its end (and one for
 * each fault-free run), and `models/HASH/`, tuned models that the campaign keeps, by the hash of
 * their values (tr_hash.h). A folder that has a config.json is whole. Checkpoints of trials that
 * were finished elsewhere are bounded (wk_leftovers.h). Thread rule: wk_tuning_golden by one thread
 * at a time; wk_tuning_run and wk_tuning_keep with distinct `thread` indices at the same time. */
#ifndef WK_TUNING_H
#define WK_TUNING_H

#include "plan.h"
#include "trial.h"

typedef struct wk_tuning wk_tuning;

typedef struct wk_tuning_options {
    const fs_plan *plan; /* with a fingerprint; borrowed */
    uint32_t model;      /* of the plan */
    const char *work;    /* folder, made if need be; NULL: nothing is left anywhere; borrowed */
    unsigned threads;
    int afresh; /* no checkpoint is read or written */
} wk_tuning_options;

/** Loads the values to start from. Errors: those of the loaders. */
FS_MUST_CHECK fs_status wk_tuning_new(wk_tuning **out, const wk_tuning_options *options);
void wk_tuning_destroy(wk_tuning **self);
/** The values tuned without faults, on all threads; made by the first call.
 * @param tensors [the geometry's tensor_count], borrowed while `self` lives
 * Errors: FS_EDIVERGED if the run diverges without any fault; those of tr_trainer_step. */
FS_MUST_CHECK fs_status wk_tuning_golden(wk_tuning *self, const float *const **tensors);
/** Tunes under the faults of one trial: wk_tuner_run.
 * @param resume  nonzero: goes on from a checkpoint and writes them
 * @param tensors the tuned values, borrowed until the thread's next run; not to be read where
 *                record->diverged is not 0 */
FS_MUST_CHECK fs_status wk_tuning_run(wk_tuning *self, unsigned thread, const fs_cell *cell,
                                      uint64_t trial, int resume, fs_trial_record *record,
                                      const float *const **tensors);
/** Saves the model of the thread's last run, if the campaign keeps it and it is not there yet.
 * A full disk is a warning: the trial counts without its model. Errors: the others of tr_save. */
FS_MUST_CHECK fs_status wk_tuning_keep(wk_tuning *self, unsigned thread,
                                       const fs_trial_record *record);

#endif
