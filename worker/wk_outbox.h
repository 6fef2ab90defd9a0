/** Results on their way: RESULTS frames kept, in order, until the coordinator has acknowledged
 * them.
 *
 * Bounded by the leases a worker may hold. Thread rule: the loop's thread. */
#ifndef WK_OUTBOX_H
#define WK_OUTBOX_H

#include <stddef.h>
#include <stdint.h>

#include "proto.h"

typedef struct wk_outbox_item {
    struct wk_outbox_item *next;
    uint64_t lease;
    uint64_t sequence;
    uint32_t results;
    fs_buf frame; /* encoded */
} wk_outbox_item;

/** A zeroed outbox is empty and valid. */
typedef struct wk_outbox {
    wk_outbox_item *first;
    wk_outbox_item *last;
    size_t count;
    uint64_t next_sequence;
    uint64_t results; /* in all frames */
} wk_outbox;

/** Encodes and keeps a message; sets its sequence number. The item is borrowed until it is
 * acknowledged. Errors: those of fs_message_encode. */
FS_MUST_CHECK fs_status wk_outbox_add(wk_outbox *self, fs_msg_results *results,
                                      const wk_outbox_item **out);
/** Lets an acknowledged frame go. @return 0 if none has this lease and sequence: one that was
 * acknowledged twice. */
int wk_outbox_ack(wk_outbox *self, uint64_t lease, uint64_t sequence);
/** Lets everything go. Sequence numbers go on. */
void wk_outbox_clear(wk_outbox *self);

#endif
