/** A lease that the worker holds, with its finished trials that are not yet in a message.
 *
 * Thread rule: the loop's thread. */
#ifndef WK_HELD_H
#define WK_HELD_H

#include "wk_pool.h"

typedef struct wk_held {
    fs_lease granted;
    fs_lease lease;   /* the same, shorter once its tail was returned */
    uint64_t done;    /* trials of it that ended, whatever way */
    uint64_t cost_us; /* of the pending ones */
    uint64_t pending_since_ms;
    uint32_t pending_count;
    fs_msg_result *pending; /* [FS_RESULTS_PER_MESSAGE_MAX]; `record` is set by wk_held_message */
    size_t *offset;         /* [FS_RESULTS_PER_MESSAGE_MAX] of each record in `records` */
    fs_buf records;
} wk_held;

/** Starts holding a lease. */
void wk_held_init(wk_held *self, const fs_lease *lease);
/** Frees memory; idempotent. */
void wk_held_free(wk_held *self);
/** Counts a trial that ended, and keeps its record if it has one; asserts that there is room.
 * Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status wk_held_done(wk_held *self, const wk_done *done, uint64_t now_ms);
/** @return nonzero if all trials of the lease have ended. */
int wk_held_is_over(const wk_held *self);
/** Makes a message of what is pending, in order of trials; points into self. */
void wk_held_message(wk_held *self, int last, fs_msg_results *out);
/** The message was taken over: nothing is pending any more. */
void wk_held_sent(wk_held *self);

#endif
