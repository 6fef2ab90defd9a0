/** The header lines of HTTP responses, as far as they say something of a file.
 *
 * A request may be redirected: what the first origin states about the file (its sha256, its size,
 * the commit) holds to the end, and nobody else's word counts for that; everything else is of the
 * last response. Lines are data from outside: bounded, and what does not parse counts as absent.
 * Thread rule: one thread at a time. */
#ifndef FETCH_HEADERS_H
#define FETCH_HEADERS_H

#include "fetch_http.h"

typedef struct fetch_headers {
    int resolve; /* the URL is of the kind whose ETag may be a sha256 */
    int home;    /* the response is the first origin's */
    int foreign; /* some response was not */
    size_t bytes;
    /* Of the first origin. */
    char linked_sha256[FETCH_SHA256_BYTES];
    int linked_size_known;
    uint64_t linked_size;
    char commit[41];
    /* Of the last response. */
    long code;
    int newer; /* HTTP/2 or later, whose streams end by themselves */
    int length_known, range_known, total_known, chunked, encoded, page;
    uint64_t length, range_first, range_last, range_total;
    char etag[FS_ETAG_BYTES_MAX];
    uint32_t pause_s;
} fetch_headers;

void fetch_headers_init(fetch_headers *self, int resolve);
/** The next response begins; `home` is nonzero if it comes from the first origin. */
void fetch_headers_next(fetch_headers *self, int home);
/** Takes one line with its line end. @return 0 once there are too many bytes of them. */
int fetch_headers_line(fetch_headers *self, const char *line, size_t size);
/** Writes what a 200 or a 206 says, but for `again`.
 * Errors: FS_EFORMAT for a web page, FS_EPROTO for contradictions. */
FS_MUST_CHECK fs_status fetch_headers_reply(const fetch_headers *self, fetch_reply *out);

#endif
