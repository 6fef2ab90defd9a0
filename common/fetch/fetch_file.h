/** One file into the staging folder: by HTTP with resumption and retries, or copied from a folder.
 *
 * A connection that breaks is taken up where it ended, as long as the server confirms that it is
 * the same file; failures in a row that bring nothing new end it. What arrives is checked against
 * the size and the sha256 that are known before it gets its name. Thread rule: one thread. */
#ifndef FETCH_FILE_H
#define FETCH_FILE_H

#include "fetch_http.h"
#include "fetch_record.h"
#include "meter.h"

typedef struct fetch_session {
    fetch_http *http;    /* NULL: files are copied */
    uint32_t pause_ms;   /* before the second try; doubled for each further one */
    const char *staging; /* folder in the cache, made */
    fetch_record before; /* what an earlier process left there, whole and checked */
    fetch_record record; /* what is there now */
    fs_meter meter;
    uint64_t bytes_fetched; /* over the network, or copied */
    uint64_t bytes_kept;    /* that an earlier process had brought */
    uint32_t retries;
    char commit[41]; /* as the last reply stated it */
} fetch_session;

/** A file that is wanted. */
typedef struct fetch_wish {
    const char *name;   /* in the staging folder */
    const char *source; /* URL, or path of what is copied */
    const char *sha256; /* that it must have; NULL: what the server states, if anything */
    uint64_t bytes_max;
    int fresh; /* nonzero: not taken from an earlier process */
} fetch_wish;

/** Brings a file and notes it in the session's record, which is written to the staging folder.
 * Errors: FS_ENOENT if the source has not got it; FS_EMISMATCH naming both hashes; those of
 * fetch_http_get, fetch_part and the disk. */
FS_MUST_CHECK fs_status fetch_file(fetch_session *self, const fetch_wish *wish);
#endif
