/** The leases that a worker holds, in the order in which it was granted them, and the last of those
 * that are over. Zeroed: none. Thread rule: the loop's thread. */
#ifndef WK_HOLDINGS_H
#define WK_HOLDINGS_H

#include "wk_held.h"

enum { WK_RECENT_LEASES = 16 /* leases that are over and remembered, to know a repeated GRANT */ };

typedef struct wk_holdings {
    wk_held at[FS_LEASES_PER_WORKER_MAX];
    uint32_t count;
    fs_lease recent[WK_RECENT_LEASES]; /* ring */
    unsigned recent_next;
} wk_holdings;

/** Frees memory; idempotent. */
void wk_holdings_free(wk_holdings *self);
/** Starts holding a lease; there must be room. */
void wk_holdings_add(wk_holdings *self, const fs_lease *lease);
/** Remembers one of them as over; those behind it move up. */
void wk_holdings_end(wk_holdings *self, wk_held *held);
/** Forgets those that are over. */
void wk_holdings_forget(wk_holdings *self);

/** @return the one with that id, NULL if it is not held. */
wk_held *wk_holdings_find(wk_holdings *self, uint64_t lease);
/** @return nonzero if this very lease is held, or over and remembered. */
int wk_holdings_know(const wk_holdings *self, const fs_lease *lease);

#endif
