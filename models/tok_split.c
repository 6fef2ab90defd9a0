#include "tok_split.h"

#include <string.h>

#include "tok_unicode.h"

/** @return bytes of "'s", "'t", "'re", "'ve", "'m", "'ll" or "'d" at the start, 0 if none. */
static size_t contraction(const char *text, size_t size)
{
    static const char *const endings[] = {"s", "t", "re", "ve", "m", "ll", "d"};
    if (text[0] != '\'') return 0;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t length = strlen(endings[i]);
        if (1 + length <= size && memcmp(text + 1, endings[i], length) == 0) return 1 + length;
    }
    return 0;
}

static tok_class class_at(const char *text, size_t size, size_t at, size_t *read)
{
    int32_t point;
    *read = tok_decode(text + at, size - at, &point);
    return tok_class_of(point);
}

/** White space up to the end is one word. Before something else the last space is left over: it may
 * belong to the word that follows. */
static size_t space_run(const char *text, size_t size)
{
    size_t end = 0, last = 0;
    while (end < size) {
        size_t read;
        if (class_at(text, size, end, &read) != TOK_SPACE) return last > 0 ? last : end;
        last = end;
        end += read;
    }
    return end;
}

size_t tok_split_word(const char *text, size_t size)
{
    size_t length = contraction(text, size);
    if (length > 0) return length;
    size_t read, at = text[0] == ' ' && size > 1;
    tok_class class = class_at(text, size, at, &read);
    /* A space stands before a word, but not before another space. */
    if (class == TOK_SPACE) return space_run(text, size);
    do {
        at += read;
    } while (at < size && class_at(text, size, at, &read) == class);
    return at;
}
