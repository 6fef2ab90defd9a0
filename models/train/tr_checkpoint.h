/** The state of a run between two steps, in one file that survives everything.
 *
 * The file is written beside its name and renamed when all of it is on the disk, so that the one
 * before stays until then; a BLAKE2b-256 over every byte guards it. Numbers are little-endian.
 *
 *   "FSTRAIN1"  fingerprint[32]  step u64  floats u64  arrays u64  counters u64[TR_COUNTERS]
 *   arrays x floats x f32        extra bytes of the owner's, none for most
 *   BLAKE2b-256 of all before
 *
 * Thread rule: reentrant. */
#ifndef TR_CHECKPOINT_H
#define TR_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "hash.h"
#include "status.h"

enum { TR_COUNTERS = 24, TR_CHECKPOINT_ARRAYS_MAX = 4 };

typedef struct tr_checkpoint {
    fs_hash fingerprint;            /* of everything that decides the run */
    uint64_t step;                  /* steps made */
    uint64_t counters[TR_COUNTERS]; /* whatever else the run remembers; 0 where unused */
    size_t floats;                  /* of each array */
    size_t arrays;
    float *data[TR_CHECKPOINT_ARRAYS_MAX]; /* borrowed: written from, or read into */
    void *extra; /* borrowed in the same way: what the owner remembers beyond counters, or NULL */
    size_t extra_bytes;
} tr_checkpoint;

/** Errors: FS_EIO, FS_ENOSPC naming the path; the file before is kept. */
FS_MUST_CHECK fs_status tr_checkpoint_write(const tr_checkpoint *self, const char *path);
/** Reads into `self`, whose fingerprint, floats, arrays and data say what is expected. After a
 * failure the arrays' contents are undefined.
 * Errors: FS_ENOENT; FS_ECORRUPT for a file that is damaged or no checkpoint; FS_EREFUSED for the
 * checkpoint of another run. */
FS_MUST_CHECK fs_status tr_checkpoint_read(tr_checkpoint *self, const char *path);

#endif
