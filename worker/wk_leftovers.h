/** Checkpoints that nobody goes on from: of trials that were killed here and finished elsewhere.
 *
 * Nobody tells a worker of those, so the folder is bounded: when a campaign begins, the checkpoints
 * written last stay, and the others go. A trial whose checkpoint is gone begins anew, with the same
 * record. Thread rule: reentrant; other processes may be at work in the folder. */
#ifndef WK_LEFTOVERS_H
#define WK_LEFTOVERS_H

#include <stddef.h>

#define WK_CHECKPOINT_ENDING ".run"

enum { WK_CHECKPOINTS_MAX = 64 };

/** Removes all but the `keep` newest files of that ending, and what processes of this machine that
 * are gone were writing. What cannot be removed stays. */
void wk_leftovers_sweep(const char *folder, size_t keep);

#endif
