/** Hashes. BLAKE2b-256 names content (models, data, campaigns); XXH3-64 checks memory and records.
 *
 * Thread rule: reentrant. Source: RFC 7693 by libsodium; xxHash 0.8. */
#ifndef FS_HASH_H
#define FS_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "limits.h"
#include "status.h"

typedef struct fs_hash {
    uint8_t bytes[FS_HASH_BYTES];
} fs_hash;

/** A running BLAKE2b-256. Opaque; sized for libsodium's state. */
typedef struct fs_hasher {
    _Alignas(64) uint8_t state[384];
} fs_hasher;

void fs_hasher_init(fs_hasher *self);
void fs_hasher_update(fs_hasher *self, const void *data, size_t size);
/** Adds the length and then the bytes, so that ("ab","c") and ("a","bc") differ. */
void fs_hasher_field(fs_hasher *self, const void *data, size_t size);
/** Text as a field. */
void fs_hasher_text(fs_hasher *self, const char *text);
/** Adds 8 bytes, little-endian. */
void fs_hasher_number(fs_hasher *self, uint64_t value);
void fs_hasher_final(fs_hasher *self, fs_hash *out);

/** BLAKE2b-256 of one run of bytes. */
void fs_hash_bytes(fs_hash *out, const void *data, size_t size);
/** BLAKE2b-256 of a regular file's contents. Errors: FS_ENOENT, FS_EIO, naming the path. */
FS_MUST_CHECK fs_status fs_hash_file(fs_hash *out, const char *path);
/** @return nonzero if both are the same. */
int fs_hash_equal(const fs_hash *a, const fs_hash *b);
/** Writes 64 lower-case hexadecimal digits and a NUL. */
void fs_hash_hex(const fs_hash *self, char out[FS_HASH_HEX_BYTES]);
/** Reads what fs_hash_hex writes. Errors: FS_EFORMAT. */
FS_MUST_CHECK fs_status fs_hash_parse(fs_hash *out, const char *hex);
/** @return the first 8 bytes as a little-endian number, for keys of random streams. */
uint64_t fs_hash_u64(const fs_hash *self);
/** @return the key of one use of a seed: a hash of both, so that uses are independent. */
uint64_t fs_hash_key(uint64_t seed, const char *use);

/** @return XXH3-64 of the bytes. */
uint64_t fs_checksum(const void *data, size_t size);

#endif
