/** The trials that the page carries: all of a small campaign, else a sample and the worst.
 *
 * The sample is a function of (fingerprint, cell, trial), so equal stores give equal pages. Nothing
 * on the page is estimated from it. Thread rule: one thread at a time. */
#ifndef REPORT_TRIALS_H
#define REPORT_TRIALS_H

#include <stdint.h>

#include "buf.h"
#include "plan.h"
#include "store.h"

enum { REPORT_TRIALS_KEPT = 20000 }; /* about; the worst of each cell come on top */

typedef struct report_sample {
    uint64_t kept;
    uint64_t total;
} report_sample;

/** Appends {"trials": columns, "tensors": [names]}. Errors: those of the store; FS_ENOMEM. */
FS_MUST_CHECK fs_status report_trials_write(fs_buf *out, report_sample *sample, fs_store *store,
                                            const fs_plan *plan, uint64_t total);

#endif
