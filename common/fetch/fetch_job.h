/** Fetching: a name or a URL becomes a model's folder or data files in the cache.
 *
 *   CACHE/gpt2/config.json ...           a model, with fetch.json, the record of what came
 *   CACHE/OWNER/NAME/config.json ...     the same by OWNER/NAME
 *   CACHE/sst2.tsv  sst2-train.tsv       a data set, with sst2.fetch.json
 *   CACHE/NAME.part/                     what is not whole yet; the same command goes on with it
 *   CACHE/NAME.lock                      while a process works on NAME
 *
 * A model's folder takes its name by one rename when all its files are there and checked; so does
 * each data file. What is already there is compared with its record and left alone. kill -9 at any
 * instant leaves nothing that the same command does not go on from.
 * Thread rule: one thread; any number of processes. */
#ifndef FETCH_JOB_H
#define FETCH_JOB_H

#include "fetch_known.h"
#include "fetch_model.h"
#include "fetch_record.h"

typedef struct fetch_options {
    const char *cache;  /* folder, made if it lacks; NULL: the usual one (names.h) */
    const char *server; /* asked instead of the usual one; NULL: none */
    const char *from;   /* folder to copy from instead of a server; NULL: none */
    const char *sha256; /* that the archive, the data file or model.safetensors must have; NULL */
    const char *token;  /* access token for the hub, or for `server`; NULL: none */
    uint32_t stall_s;   /* a connection without a byte for so long is lost; at least 1 */
    uint32_t pause_ms;  /* before the second try */
} fetch_options;

/** What is in the cache now. */
typedef struct fetch_result {
    fetch_kind kind;
    char name[FETCH_NAME_BYTES_MAX]; /* as campaigns can name it */
    char path[FS_PATH_BYTES_MAX];    /* the model's folder, or the first data file */
    fetch_record record;
    int already; /* nonzero: it was there, and is as it was recorded */
    uint64_t bytes_fetched;
    uint64_t bytes_kept; /* that an interrupted process had left */
    uint32_t retries;
    char note[FETCH_NOTE_BYTES_MAX]; /* what a user should know, "" */
} fetch_result;

/** Fetches what `text` names.
 * Errors: FS_EUSAGE for the text and the options; FS_EREFUSED if the cache holds something of that
 * name that was not fetched, or the server wants a token; FS_ECORRUPT if what was fetched has
 * changed; FS_ENOENT, FS_EMISMATCH, FS_ENOSPC, FS_EIO and others that say what is wrong where. */
FS_MUST_CHECK fs_status fetch_run(const fetch_options *options, const char *text,
                                  fetch_result *out);
/** Frees the record. Idempotent. */
void fetch_result_free(fetch_result *self);

#endif
