/** The report's cells: every cell, their groups, and the pairs of cells with the same faults.
 *
 * Thread rule: one thread at a time. */
#ifndef REPORT_CELLS_H
#define REPORT_CELLS_H

#include "buf.h"
#include "report_groups.h"
#include "summary.h"

enum { REPORT_PAIRS_MAX = 5000 }; /* paired cells that the page lists one by one */

/** Appends {"cells": ..., "groups": ..., "pairs": ...}. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status report_cells_write(fs_buf *out, const summary *s,
                                           const report_groups *groups, const report_pair *pairs);

#endif
