#include "hash.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "assert.h"

_Static_assert(sizeof(crypto_generichash_state) <= sizeof(fs_hasher), "hasher state too small");

static crypto_generichash_state *state_of(fs_hasher *self)
{
    return (crypto_generichash_state *)(void *)self->state;
}

void fs_hasher_init(fs_hasher *self)
{
    int rc = sodium_init();
    FS_ASSERT(rc >= 0);
    crypto_generichash_init(state_of(self), NULL, 0, FS_HASH_BYTES);
}

void fs_hasher_update(fs_hasher *self, const void *data, size_t size)
{
    if (size > 0) crypto_generichash_update(state_of(self), data, size);
}

void fs_hasher_number(fs_hasher *self, uint64_t value)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(value >> (8 * i));
    fs_hasher_update(self, bytes, sizeof bytes);
}

void fs_hasher_field(fs_hasher *self, const void *data, size_t size)
{
    fs_hasher_number(self, size);
    fs_hasher_update(self, data, size);
}

void fs_hasher_text(fs_hasher *self, const char *text)
{
    fs_hasher_field(self, text, strlen(text));
}

void fs_hasher_final(fs_hasher *self, fs_hash *out)
{
    crypto_generichash_final(state_of(self), out->bytes, FS_HASH_BYTES);
}

void fs_hash_bytes(fs_hash *out, const void *data, size_t size)
{
    fs_hasher hasher;
    fs_hasher_init(&hasher);
    fs_hasher_update(&hasher, data, size);
    fs_hasher_final(&hasher, out);
}

fs_status fs_hash_file(fs_hash *out, const char *path)
{
    static _Thread_local uint8_t chunk[1 << 16];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fs_fail(FS_ENOENT, "%s: %s", path, strerror(errno));
    fs_hasher hasher;
    fs_hasher_init(&hasher);
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) break;
        fs_hasher_update(&hasher, chunk, (size_t)n);
    }
    int error = errno;
    close(fd);
    if (n < 0) return fs_fail(FS_EIO, "%s: %s", path, strerror(error));
    fs_hasher_final(&hasher, out);
    return FS_OK;
}

int fs_hash_equal(const fs_hash *a, const fs_hash *b)
{
    return memcmp(a->bytes, b->bytes, FS_HASH_BYTES) == 0;
}

void fs_hash_hex(const fs_hash *self, char out[FS_HASH_HEX_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < FS_HASH_BYTES; i++) {
        out[2 * i] = digits[self->bytes[i] >> 4];
        out[2 * i + 1] = digits[self->bytes[i] & 15];
    }
    out[2 * FS_HASH_BYTES] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

fs_status fs_hash_parse(fs_hash *out, const char *hex)
{
    if (strlen(hex) != 2 * FS_HASH_BYTES) {
        return fs_fail(FS_EFORMAT, "a hash has %d hexadecimal digits", 2 * FS_HASH_BYTES);
    }
    for (int i = 0; i < FS_HASH_BYTES; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0) return fs_fail(FS_EFORMAT, "not a hash: %.80s", hex);
        out->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return FS_OK;
}

uint64_t fs_hash_u64(const fs_hash *self)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | self->bytes[i];
    return value;
}

uint64_t fs_hash_key(uint64_t seed, const char *use)
{
    fs_hasher hasher;
    fs_hash hash;
    fs_hasher_init(&hasher);
    fs_hasher_field(&hasher, use, strlen(use));
    fs_hasher_field(&hasher, &seed, sizeof seed);
    fs_hasher_final(&hasher, &hash);
    return fs_hash_u64(&hash);
}

uint64_t fs_checksum(const void *data, size_t size)
{
    return XXH3_64bits(data, size);
}
