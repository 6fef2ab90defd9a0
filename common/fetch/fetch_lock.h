/** One process at a time for one name of the cache.
 *
 * A lock file NAME.lock, locked by flock and removed by its holder; a process that dies lets go.
 * Thread rule: one thread at a time. */
#ifndef FETCH_LOCK_H
#define FETCH_LOCK_H

#include "limits.h"
#include "status.h"

typedef struct fetch_lock {
    char path[FS_PATH_BYTES_MAX];
    int fd; /* -1: not held */
} fetch_lock;

/** Takes the lock `path`, waiting while another process holds it, which is said once. Waiting ends,
 * as the holder itself gives up when nothing comes. Errors: FS_EIO, FS_ELIMIT. */
FS_MUST_CHECK fs_status fetch_lock_take(fetch_lock *out, const char *path);
/** Lets go; idempotent. */
void fetch_lock_drop(fetch_lock *self);

#endif
