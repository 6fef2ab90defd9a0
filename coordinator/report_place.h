/** Places in words: which components a cell or a sweep can hit. Thread rule: reentrant. */
#ifndef REPORT_PLACE_H
#define REPORT_PLACE_H

#include "plan.h"

/** Appends "all", or groups and components joined by "+", for what the cell's fault space holds. A
 * group of which it holds everything, or everything that layers have, goes by the group's name. */
FS_MUST_CHECK fs_status report_place_cell(fs_buf *out, const fs_cell *cell);
/** Appends the same for the whole selection of a sweep, with its layers if it restricts them. */
FS_MUST_CHECK fs_status report_place_sweep(fs_buf *out, const fs_plan *plan, uint32_t sweep);

#endif
