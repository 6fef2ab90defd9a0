#include "utf8.h"

#include <stdint.h>

static int is_tail(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

size_t fs_utf8_length(const char *text, size_t size)
{
    const unsigned char *s = (const unsigned char *)text;
    if (size == 0) return 0;
    if (s[0] < 0x80) return 1;
    if (s[0] < 0xc2 || size < 2 || !is_tail(s[1])) return 0;
    if (s[0] < 0xe0) return 2;
    if (size < 3 || !is_tail(s[2])) return 0;
    if (s[0] == 0xe0 && s[1] < 0xa0) return 0; /* overlong */
    if (s[0] == 0xed && s[1] > 0x9f) return 0; /* surrogates */
    if (s[0] < 0xf0) return 3;
    if (size < 4 || !is_tail(s[3])) return 0;
    if (s[0] == 0xf0 && s[1] < 0x90) return 0;
    if (s[0] > 0xf4 || (s[0] == 0xf4 && s[1] > 0x8f)) return 0;
    return 4;
}

int fs_utf8_valid(const char *text, size_t size)
{
    return fs_utf8_bad_line(text, size) == 0;
}

size_t fs_utf8_bad_line(const char *text, size_t size)
{
    size_t line = 1;
    for (size_t at = 0; at < size;) {
        size_t n = fs_utf8_length(text + at, size - at);
        if (n == 0 || text[at] == '\0') return line;
        line += text[at] == '\n';
        at += n;
    }
    return 0;
}
