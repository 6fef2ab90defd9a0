/** Runs named trials of a campaign and prints each as one JSON line: what `flipsweep replay` and
 * `flipsweep verify --rerun` start. No coordinator takes part. */
#ifndef WK_REPLAY_H
#define WK_REPLAY_H

#include <stdio.h>

#include "wk_executor.h"

enum { WK_REPLAY_TRIALS_MAX = 10 * 1000 * 1000 };

typedef struct wk_replay_request {
    const char *campaign; /* file */
    const char *ids;      /* file: one "SWEEP/CELL/INDEX" a line */
    const char *faults;   /* file that the faults of the one trial are written to; NULL: none */
} wk_replay_request;

/** Runs the trials on options->threads threads, and prints to `out`, in the order of the list:
 * {"trial", "record" (hexadecimal), "golden_metric", "first_difference" (null: nowhere)}.
 * Errors: those of campaign, plan and executor; FS_EFORMAT naming a bad line of the list; FS_EUSAGE
 * for `faults` with more than one trial; FS_EIO. */
FS_MUST_CHECK fs_status wk_replay(const wk_replay_request *request, const wk_options *options,
                                  FILE *out);

#endif
