/** SHA-256, by which servers and lists of checksums name contents (our own names are BLAKE2b-256,
 * hash.h). Thread rule: reentrant. Source: FIPS 180-4 by libsodium. */
#ifndef FETCH_SHA256_H
#define FETCH_SHA256_H

#include <stdint.h>

#include "fetch_http.h"

/** Hashes a file. `bytes` is its size. Errors: FS_ENOENT, FS_EIO naming the path. */
FS_MUST_CHECK fs_status fetch_sha256_file(const char *path, char out[FETCH_SHA256_BYTES],
                                          uint64_t *bytes);
/** @return nonzero for 64 hexadecimal digits; they are written in lower case. */
int fetch_sha256_parse(char out[FETCH_SHA256_BYTES], const char *text);

#endif
