/** Threads that share out numbered tasks and meet again: fork and join.
 *
 * Tasks are taken in order by whoever is free. What a task computes may not depend on the thread
 * that runs it, so that results are the same for any number of threads. The calling thread works
 * too. Thread rule: one tr_pool_run at a time. */
#ifndef TR_POOL_H
#define TR_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

typedef struct tr_pool tr_pool;

/** One task. `thread` is 0..threads-1, for scratch memory. */
typedef void tr_task(void *context, size_t task, unsigned thread);

/** Starts threads - 1 threads. Errors: FS_ENOMEM, FS_EIO. */
FS_MUST_CHECK fs_status tr_pool_new(tr_pool **out, unsigned threads);
/** Ends the threads and frees; nulls; idempotent. */
void tr_pool_destroy(tr_pool **self);
/** Runs tasks 0..count-1 and returns when all are done. */
void tr_pool_run(tr_pool *self, size_t count, tr_task *task, void *context);
unsigned tr_pool_threads(const tr_pool *self);

#endif
