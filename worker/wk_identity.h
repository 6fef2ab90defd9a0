/** Who a worker process is. Thread rule: reentrant. */
#ifndef WK_IDENTITY_H
#define WK_IDENTITY_H

#include "proto.h"

typedef struct wk_identity {
    char uuid[FS_PROTO_UUID_BYTES + 1]; /* random, version 4 (RFC 9562) */
    uint64_t boot_ms;                   /* wall clock */
    char host[FS_PROTO_HOST_BYTES_MAX + 1];
    uint32_t pid;
    uint32_t threads;
    const char *kernel; /* static */
} wk_identity;

/** Fills in this process. `kernel` is static. */
void wk_identity_init(wk_identity *out, uint32_t threads, const char *kernel);

#endif
