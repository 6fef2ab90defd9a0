/** URLs: who answers them, and whether they may be asked without encryption.
 *
 * Parsing is libcurl's, so that what is checked is what is asked. Thread rule: reentrant. */
#ifndef FETCH_URL_H
#define FETCH_URL_H

#include "limits.h"
#include "status.h"

/** Scheme, host and port: where a token may go. All lower case; the port is always written. */
typedef struct fetch_origin {
    char scheme[8];
    char host[256];
    char port[8];
} fetch_origin;

/** The parts of a checked URL. */
typedef struct fetch_url {
    fetch_origin origin;
    char path[FS_URL_BYTES_MAX]; /* as it is asked for, from its first '/' on, dots removed */
    int query;                   /* nonzero: there is one */
} fetch_url;

/** Takes a URL apart. Errors: FS_EUSAGE for what is no http or https URL or holds a user name, a
 * password or a fragment; FS_ELIMIT. The texts never repeat a password. */
FS_MUST_CHECK fs_status fetch_url_parse(fetch_url *out, const char *url);
int fetch_origin_equal(const fetch_origin *a, const fetch_origin *b);
/** @return nonzero for localhost, 127.0.0.0/8 and ::1. */
int fetch_origin_loopback(const fetch_origin *self);
/** @return nonzero if the connection is encrypted. */
int fetch_origin_secure(const fetch_origin *self);

#endif
