/** Compute threads: they take trials from a queue of leases, in order, and hand results to the
 * loop.
 *
 * What a trial is comes as a table of functions, so that tests and simulations run without models.
 * Trials of a lease are started in order and end in any order. A variant's golden run is handed to
 * the loop before the first result that depends on it.
 * Thread rule: every function on the loop's thread but wk_pool_join; handlers are called on it. */
#ifndef WK_POOL_H
#define WK_POOL_H

#include <stdint.h>
#include <uv.h>

#include "proto.h"
#include "wk_executor.h"

/** What the threads do. Thread: compute, several at a time. */
typedef struct wk_work {
    fs_status (*golden)(void *context, uint32_t variant, wk_golden_info *out);
    fs_status (*run)(void *context, unsigned thread, uint32_t cell, uint64_t trial,
                     fs_trial_record *out);
    /** @return the variant that a cell depends on, below `variants`. */
    uint32_t (*variant)(void *context, uint32_t cell);
    void *context;
    uint32_t cells;
    uint32_t variants;
} wk_work;

/** A finished trial. Borrowed until the handler returns. */
typedef struct wk_done {
    uint64_t lease;
    uint32_t cell;
    uint64_t trial;
    uint64_t cost_us;
    fs_status status;      /* FS_OK: a record; otherwise `why` */
    const uint8_t *record; /* encoded */
    uint32_t record_bytes;
    const char *why;
} wk_done;

typedef struct wk_pool_handlers {
    void (*done)(void *data, const wk_done *done);
    void (*golden)(void *data, uint32_t variant, const wk_golden_info *info);
    /** A golden run failed: nothing of its variant can be served. */
    void (*broken)(void *data, fs_status status, const char *why);
    void *data;
} wk_pool_handlers;

typedef struct wk_pool wk_pool;

/** Starts the threads. `work`'s context outlives the pool. Errors: FS_ENOMEM, FS_EIO. */
FS_MUST_CHECK fs_status wk_pool_new(wk_pool **out, uv_loop_t *loop, const wk_work *work,
                                    unsigned threads, wk_pool_handlers handlers);
/** Tells the threads to end after the trial they are at; nothing is handed over any more. */
void wk_pool_stop(wk_pool *self);
/** Waits for the threads, after wk_pool_stop. Thread: any. */
void wk_pool_join(wk_pool *self);
/** Frees a pool that is joined, or stops and joins it first; its handle closes on the loop. */
void wk_pool_destroy(wk_pool **self);

/** Queues the trials of a lease; asserts that no more than FS_LEASES_PER_WORKER_MAX are queued and
 * that the cell exists. */
void wk_pool_add(wk_pool *self, const fs_lease *lease);
/** Takes what is not started out of the queue: the lease's tail. @return how many trials. */
uint64_t wk_pool_give_back(wk_pool *self, uint64_t lease);
/** Takes everything out of the queue; trials that run still end and are handed over. */
void wk_pool_drop(wk_pool *self);
/** @return threads at work. */
unsigned wk_pool_busy(wk_pool *self);

#endif
