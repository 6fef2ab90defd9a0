#include "wk_identity.h"

#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "assert.h"
#include "clock.h"

static void make_uuid(char out[FS_PROTO_UUID_BYTES + 1])
{
    uint8_t b[16];
    int rc = sodium_init();
    FS_ASSERT(rc >= 0);
    randombytes_buf(b, sizeof b);
    b[6] = (uint8_t)(0x40 | (b[6] & 0x0f));
    b[8] = (uint8_t)(0x80 | (b[8] & 0x3f));
    snprintf(out, FS_PROTO_UUID_BYTES + 1,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
             b[15]);
}

void wk_identity_init(wk_identity *out, uint32_t threads, const char *kernel)
{
    char host[256] = "";
    *out = (wk_identity){.boot_ms = fs_clock_wall_ms(),
                         .pid = (uint32_t)getpid(),
                         .threads = threads,
                         .kernel = kernel};
    make_uuid(out->uuid);
    if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
    fs_text_clean(out->host, sizeof out->host, host);
}
