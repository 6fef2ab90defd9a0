/** A file that is not whole yet: FILE.part, and beside it FILE.part.json, which says what it is a
 * part of.
 *
 * The note names the source, the server's ETag and the size, and is written before the first byte;
 * so whoever comes after a kill -9 knows whether the bytes can be gone on with. FILE itself appears
 * by a rename when all bytes are on the disk and have been checked. Thread rule: one thread at a
 * time; between processes the cache's lock rules (fetch_lock.h). */
#ifndef FETCH_PART_H
#define FETCH_PART_H

#include <stdint.h>

#include "fetch_http.h"
#include "limits.h"

typedef struct fetch_part {
    char path[FS_PATH_BYTES_MAX]; /* of FILE.part */
    char note[FS_PATH_BYTES_MAX]; /* of FILE.part.json */
    char final[FS_PATH_BYTES_MAX];
    char source[FS_PATH_BYTES_MAX]; /* a URL, or the path of what is copied */
    int fd;
    uint64_t bytes;     /* that are there */
    uint64_t bytes_max; /* more are refused */
    int size_known;
    uint64_t size; /* of the whole file */
    char etag[FS_ETAG_BYTES_MAX];
    char sha256[FETCH_SHA256_BYTES]; /* as the server stated; "" if it did not */
} fetch_part;

/** Opens or makes the part of `dir`/`file`. What is there is kept if it is of the same source and
 * its note is whole, and dropped otherwise. Errors: FS_EIO, FS_ENOSPC, FS_ELIMIT. */
FS_MUST_CHECK fs_status fetch_part_open(fetch_part *out, const char *dir, const char *file,
                                        const char *source, uint64_t bytes_max);
/** Closes the file, which stays. Idempotent. */
void fetch_part_close(fetch_part *self);
/** Drops all bytes and the note. Errors: FS_EIO. */
FS_MUST_CHECK fs_status fetch_part_clear(fetch_part *self);
/** @return nonzero if there is something that a server, or a known sha256, can confirm as the
 * beginning of the file. */
int fetch_part_resumable(const fetch_part *self, int sha256_known);
/** Fits the part to an answer: goes on with a 206 that continues it, starts over with a 200.
 * Errors: FS_EPROTO for a 206 that does not fit, after which the part is empty and another try
 * makes sense; FS_ELIMIT beyond bytes_max; FS_ENOSPC if the disk has not the room; FS_EIO. */
FS_MUST_CHECK fs_status fetch_part_begin(fetch_part *self, const fetch_reply *reply);
/** Appends. Errors: FS_ELIMIT, FS_EPROTO beyond what was stated, FS_ENOSPC, FS_EIO. */
FS_MUST_CHECK fs_status fetch_part_write(fetch_part *self, const void *data, size_t size);
/** @return nonzero if as many bytes are there as the whole file has, or its size is not known. */
int fetch_part_whole(const fetch_part *self);
/** Syncs the bytes, checks them and gives them their name.
 * @param expected  sha256 that the file must have, "": any
 * @param sha256    what it has
 * Errors: FS_EMISMATCH naming both hashes, after which the part is gone; FS_EIO, FS_ENOSPC. */
FS_MUST_CHECK fs_status fetch_part_publish(fetch_part *self, const char *expected,
                                           char sha256[FETCH_SHA256_BYTES]);

#endif
