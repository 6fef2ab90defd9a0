/** The report's cells: every cell, their groups, and the pairs of cells with the same faults.
 *
 * Thread rule: one thread at a time. */
#ifndef REPORT_CELLS_H
#define REPORT_CELLS_H

#include "buf.h"
#include "report_groups.h"
#include "store.h"
#include "summary.h"

enum { REPORT_PAIRS_MAX = 5000 }; /* paired comparisons, each of which reads two cells again */

/** Appends {"cells": ..., "groups": ..., "pairs": ...}. Errors: those of the store; FS_ENOMEM. */
FS_MUST_CHECK fs_status report_cells_write(fs_buf *out, fs_store *store, const summary *s,
                                           const report_groups *groups);

#endif
