#include "fetch_sha256.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#include "assert.h"

_Static_assert(2 * crypto_hash_sha256_BYTES + 1 == FETCH_SHA256_BYTES, "not the size of SHA-256");

fs_status fetch_sha256_file(const char *path, char out[FETCH_SHA256_BYTES], uint64_t *bytes)
{
    static _Thread_local uint8_t chunk[1 << 16];
    uint8_t digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state state;
    ssize_t n;
    int rc = sodium_init();
    FS_ASSERT(rc >= 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fs_fail(FS_ENOENT, "%s: %s", path, strerror(errno));
    crypto_hash_sha256_init(&state);
    *bytes = 0;
    while ((n = read(fd, chunk, sizeof chunk)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) break;
        crypto_hash_sha256_update(&state, chunk, (size_t)n);
        *bytes += (uint64_t)n;
    }
    int error = errno;
    close(fd);
    if (n < 0) return fs_fail(FS_EIO, "%s: %s", path, strerror(error));
    crypto_hash_sha256_final(&state, digest);
    sodium_bin2hex(out, FETCH_SHA256_BYTES, digest, sizeof digest);
    return FS_OK;
}

int fetch_sha256_parse(char out[FETCH_SHA256_BYTES], const char *text)
{
    size_t digits = FETCH_SHA256_BYTES - 1;
    if (strlen(text) != digits) return 0;
    for (size_t i = 0; i <= digits; i++) {
        if (i < digits && !isxdigit((unsigned char)text[i])) return 0;
        out[i] = (char)tolower((unsigned char)text[i]);
    }
    return 1;
}
