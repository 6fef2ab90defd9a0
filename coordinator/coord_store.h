/** The campaign's store behind a storage thread: group commits, results acknowledged afterwards.
 *
 * The loop hands over batches and is called back, on the loop, when they are durable. Results,
 * totals, shard progress, attempts and events of a group go into one LMDB transaction. A full disk
 * pauses: the batch is kept and retried until there is room, and `on_pause` says so. Thread rule:
 * every function on the loop's thread; callbacks come on it. */
#ifndef COORD_STORE_H
#define COORD_STORE_H

#include <stdint.h>
#include <uv.h>

#include "plan.h"
#include "store.h"

typedef struct coord_store coord_store;

typedef enum coord_verdict {
    COORD_NEW,       /* first result of its trial: stored and counted */
    COORD_DUPLICATE, /* equal to the stored one: counted as duplicate only */
    COORD_MISMATCH   /* differs from the stored one: flagged with an event, never counted */
} coord_verdict;

typedef struct coord_result {
    uint64_t trial;
    const uint8_t *record; /* an encoded fs_trial_record, inside the batch's bytes */
    uint32_t record_bytes;
    coord_verdict verdict; /* set when committed */
    uint8_t outcome;       /* set when committed, from the record */
    uint8_t critical;
} coord_result;

/** What one RESULTS message brings. The owner keeps it alive until `done`. */
typedef struct coord_batch {
    uint32_t cell;
    uint64_t lease;
    char worker[64]; /* its uuid, for the attempts */
    char host[64];
    uint64_t started_ms; /* wall clock */
    coord_result *results;
    size_t result_count;
    void (*done)(struct coord_batch *batch, fs_status status);
    void *data;               /* the owner's */
    struct coord_batch *next; /* the store's */
} coord_batch;

/** Starts the storage thread over an open store, which it owns from now on (nulled). `on_pause`
 * tells the loop that commits wait for disk space (paused != 0) or go on. */
FS_MUST_CHECK fs_status coord_store_start(coord_store **out, uv_loop_t *loop, fs_store **store,
                                          void (*on_pause)(void *data, int paused, const char *why),
                                          void *data);
/** Queues a batch for the next group commit. `done` brings FS_OK; FS_EPROTO for a record, cell or
 * trial that its worker made up, none of the batch is stored then; FS_ENOSPC if the store was
 * stopped while the disk was full; FS_EIO or FS_ECORRUPT if the store itself failed. Not after
 * coord_store_stop; the same holds for the next three. */
void coord_store_submit(coord_store *self, coord_batch *batch);
/** Queues an event line for the journal: a short kind and a text. Copied. */
void coord_store_event(coord_store *self, const char *kind, const char *text);
/** Queues the golden run of a variant; the first is kept and others must equal it. */
void coord_store_golden(coord_store *self, uint32_t variant, const fs_store_golden *golden);
/** Queues a trial's quarantine with its cause, a text for people. */
void coord_store_quarantine(coord_store *self, uint32_t cell, uint64_t trial, const char *cause);
/** @return batches queued and not yet durable. */
size_t coord_store_pending(const coord_store *self);
/** Commits what is queued (on a full disk after one more try it is given up), stops the thread,
 * closes the store; `closed` is called on the loop after the last `done`. */
void coord_store_stop(coord_store *self, void (*closed)(void *data), void *data);

#endif
