/** What a command line asks for: a short name, OWNER/NAME, or a URL, as a place on a server and a
 * name in the cache.
 *
 *   gpt2, sst2               a short name (fetch_known.h)
 *   NAME, OWNER/NAME         a model: SERVER/OWNER/NAME/resolve/main/FILE
 *   https://HOST/OWNER/NAME  the same by its page, also with /tree/REVISION behind it
 *   https://HOST/PATH/FILE   one data file
 *   FILE.tsv, FILE.txt       one data file, from a folder only
 *
 * A URL is a page of a model if its path has one or two parts and does not end like data (.tsv,
 * .txt, .raw, .tokens). Names become paths in the cache: none leads out of it. Thread rule:
 * reentrant. Source: huggingface_hub's file URLs. */
#ifndef FETCH_TARGET_H
#define FETCH_TARGET_H

#include "fetch_known.h"
#include "fetch_url.h"

enum { FETCH_NAME_BYTES_MAX = 2 * FS_REPO_NAME_BYTES_MAX, FETCH_REVISION_BYTES_MAX = 72 };

typedef struct fetch_target {
    fetch_kind kind;
    const fetch_known *known;                /* NULL: not by a short name */
    char name[FETCH_NAME_BYTES_MAX];         /* in the cache: "gpt2", "OWNER/NAME", "reviews.tsv" */
    char server[FS_URL_BYTES_MAX];           /* without a slash at the end; "" for a bare FILE */
    char path[FS_URL_BYTES_MAX];             /* from the server on, without a slash at either end */
    char revision[FETCH_REVISION_BYTES_MAX]; /* of a model: "main" */
    fetch_origin origin;                     /* of the server; zeroed for a bare FILE */
    int plain;   /* nonzero: the origin may be asked by http, as the user named it as a server */
    int trusted; /* nonzero: an access token may go there: the hub or a server that the user named,
                    by https or on this machine */
} fetch_target;

/** Reads a name or a URL.
 * @param server  the server to ask instead of the usual one; NULL: none was named
 * Errors: FS_EUSAGE saying what is wrong with the text, among them http to a host that is not this
 * one and that `server` does not name; FS_ELIMIT. */
FS_MUST_CHECK fs_status fetch_target_parse(fetch_target *out, const char *text, const char *server);
/** Writes the URL of a model's file at a revision, or, with `file` NULL, of the target itself.
 * Errors: FS_ELIMIT. */
FS_MUST_CHECK fs_status fetch_target_url(const fetch_target *self, const char *revision,
                                         const char *file, char out[FS_URL_BYTES_MAX]);
/** Writes what people would call the source: SERVER/PATH, without a query. */
void fetch_target_source(const fetch_target *self, char out[FS_URL_BYTES_MAX]);
/** @return the name of the file that an archive or a data file is, without folders and query. */
const char *fetch_target_file(const fetch_target *self);

#endif
