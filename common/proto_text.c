/* Texts of messages. */
#include <string.h>

#include "assert.h"
#include "proto.h"
#include "utf8.h"

fs_text fs_text_clean(char *out, size_t out_bytes, const char *text)
{
    FS_ASSERT(out_bytes > 0);
    size_t size = strlen(text), used = 0;
    for (size_t at = 0; at < size;) {
        size_t n = fs_utf8_length(text + at, size - at);
        size_t written = n == 0 ? 1 : n;
        if (used + written >= out_bytes) break;
        memcpy(out + used, n == 0 ? "?" : text + at, written);
        used += written;
        at += written;
    }
    out[used] = '\0';
    return (fs_text){out, used};
}

fs_text fs_text_of(const char *text)
{
    return (fs_text){text, strlen(text)};
}
