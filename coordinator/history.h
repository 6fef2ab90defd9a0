/** Who brought results, tallied from the journal of attempts, for `status` and the report.
 *
 * Thread rule: one thread at a time. */
#ifndef HISTORY_H
#define HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "store.h"

typedef struct history_worker {
    char uuid[64];
    char host[64];
    uint64_t deliveries, accepted, duplicates, mismatches;
    uint64_t first_ms, last_ms;
} history_worker;

/** In order of first appearance; `slots` finds a worker by its uuid. Zero-initialised it is empty;
 * history_free() releases it. */
typedef struct history {
    history_worker *workers;
    size_t count;
    uint32_t *slots; /* [slot_count] index + 1, 0: free; a power of two, at most half full */
    size_t slot_count;
} history;

/** Adds every attempt of the store. Errors: those of the store, FS_ENOMEM. */
FS_MUST_CHECK fs_status history_read(history *self, fs_store *store);
void history_free(history *self);

#endif
