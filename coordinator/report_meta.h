/** What the page says of the campaign as a whole: task, arms, sweeps, provenance, health.
 *
 * Thread rule: one thread at a time. */
#ifndef REPORT_META_H
#define REPORT_META_H

#include "buf.h"
#include "report_trials.h"
#include "store.h"
#include "summary.h"

enum {
    REPORT_SCHEMA = 1,
    REPORT_WORKERS_MAX = 200,    /* workers listed */
    REPORT_EVENTS_MAX = 200,     /* the last events listed */
    REPORT_QUARANTINED_MAX = 200 /* quarantined trials listed */
};

/** Appends one JSON object that is safe inside a script element. `dir` is the store's folder as the
 * page's commands name it. Errors: those of the store; FS_ENOMEM. */
FS_MUST_CHECK fs_status report_meta_write(fs_buf *out, fs_store *store, const summary *s,
                                          const report_sample *sample, const char *dir);

#endif
