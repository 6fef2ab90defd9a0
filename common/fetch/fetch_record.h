/** What was fetched, from where, and what it looked like: a JSON file beside it in the cache.
 *
 * {"source": "https://huggingface.co/openai-community/gpt2", "revision": "607a...", "files":
 * [{"name": "config.json", "bytes": 665, "sha256": "7c..."}]}. Plain data; thread rule: one thread
 * at a time. */
#ifndef FETCH_RECORD_H
#define FETCH_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "fetch_http.h"
#include "fetch_target.h"
#include "limits.h"

enum { FETCH_FILE_NAME_BYTES_MAX = 256 };

/** The record's name in a folder that fetch made; of files, it is NAME.fetch.json. */
#define FETCH_RECORD_NAME "fetch.json"

typedef struct fetch_record_file {
    char name[FETCH_FILE_NAME_BYTES_MAX]; /* without a folder */
    uint64_t bytes;
    char sha256[FETCH_SHA256_BYTES];
} fetch_record_file;

/** Zeroed: empty. */
typedef struct fetch_record {
    char source[FS_PATH_BYTES_MAX];
    char revision[FETCH_REVISION_BYTES_MAX]; /* commit of the repository, "" if not known */
    fetch_record_file *files;
    size_t count;
} fetch_record;

/** Frees and empties. Idempotent. */
void fetch_record_free(fetch_record *self);
/** Reads a record. Errors: FS_ENOENT; FS_EFORMAT naming file and key. */
FS_MUST_CHECK fs_status fetch_record_read(fetch_record *out, const char *path);
/** Writes it, atomically. Errors: FS_EIO, FS_ENOSPC, FS_ENOMEM. */
FS_MUST_CHECK fs_status fetch_record_write(const fetch_record *self, const char *path);
/** Adds a file, or replaces the one of that name. Errors: FS_ELIMIT, FS_ENOMEM. */
FS_MUST_CHECK fs_status fetch_record_put(fetch_record *self, const fetch_record_file *file);
/** @return the file of that name, NULL if there is none; borrowed until the next change. */
const fetch_record_file *fetch_record_find(const fetch_record *self, const char *name);
/** Looks whether `dir` holds the file as recorded, reading all of it.
 * Errors: FS_ENOENT, FS_EIO; FS_EMISMATCH naming what differs. */
FS_MUST_CHECK fs_status fetch_record_check(const fetch_record_file *file, const char *dir);
/** Removes the files of `dir` that the record does not name, but for the record itself.
 * Errors: FS_EIO. */
FS_MUST_CHECK fs_status fetch_record_prune(const fetch_record *self, const char *dir);

#endif
