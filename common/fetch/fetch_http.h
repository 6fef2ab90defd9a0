/** One file's bytes over HTTP: redirects, ranges, tokens, and what servers of HuggingFace's style
 * say about a file.
 *
 * A token goes to the origin of the URL that was asked for and to no other, whatever redirects say;
 * a redirect never leads from https to http, nor to an http host that was not named. Certificates
 * are checked. Nothing is retried here: the reply says whether that makes sense.
 *
 * What a server may state, by the headers of its own origin only, as huggingface.co does:
 * X-Linked-Etag (the sha256 of a large file), X-Linked-Size, X-Repo-Commit, and, for URLs of the
 * form .../resolve/..., a sha256 as ETag. Thread rule: one thread at a time. Source: RFC 9110
 * (ranges, If-Range, ETag), huggingface_hub's file_download.py. */
#ifndef FETCH_HTTP_H
#define FETCH_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "fetch_url.h"

enum { FETCH_SHA256_BYTES = 65 /* its hexadecimal text, with its NUL */ };

typedef struct fetch_http fetch_http;

typedef struct fetch_http_options {
    const char *token;   /* access token, NULL or "": none */
    fetch_origin origin; /* the server: where the token goes */
    int plain;           /* nonzero: that origin may be asked by http */
    uint32_t stall_s;    /* without a byte for so long, a connection counts as lost */
} fetch_http_options;

typedef struct fetch_request {
    const char *url;
    uint64_t first;   /* byte to begin with; 0: the whole file */
    const char *etag; /* with a `first`: go on only if the file still has this ETag; "": whatever */
} fetch_request;

/** What was answered, as far as it came. */
typedef struct fetch_reply {
    long code;      /* HTTP status of the last response, 0: none came */
    int again;      /* after a failure: nonzero if another try may succeed */
    int size_known; /* nonzero: `size` was stated */
    int bounded;    /* nonzero: the end of the body can be told from a lost connection */
    uint64_t size;  /* bytes of the whole file */
    uint64_t first; /* code 206: where the body begins in it */
    char etag[FS_ETAG_BYTES_MAX];    /* a strong ETag with its quotes; "" if there was none */
    char sha256[FETCH_SHA256_BYTES]; /* of the whole file, as the server states; "" if not */
    char commit[41];                 /* of the repository; "" if not stated */
    uint32_t pause_s;                /* Retry-After, 0 if not stated */
} fetch_reply;

/** Takes the body of a 200 or 206. */
typedef struct fetch_sink {
    /** Called once, before the first byte, also for an empty body. */
    fs_status (*begin)(void *context, const fetch_reply *reply);
    fs_status (*write)(void *context, const void *data, size_t size);
    void *context;
} fetch_sink;

/** Errors: FS_ENOMEM; FS_ECONFIG for a token that is no plain text. */
FS_MUST_CHECK fs_status fetch_http_new(fetch_http **out, const fetch_http_options *options);
/** Closes connections; nulls; idempotent. */
void fetch_http_destroy(fetch_http **self);
/** Asks once, following redirects. `reply` is filled also on failure.
 * Errors: FS_ENOENT (404, 410), FS_EREFUSED (401, 403), FS_EFORMAT (a web page instead of a file),
 * FS_EPROTO (redirects, other answers that make no sense), FS_ETIMEOUT, FS_EIO; the sink's. */
FS_MUST_CHECK fs_status fetch_http_get(fetch_http *self, const fetch_request *request,
                                       const fetch_sink *sink, fetch_reply *reply);

#endif
