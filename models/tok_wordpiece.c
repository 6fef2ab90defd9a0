#include "tok_wordpiece.h"

#include <string.h>

#include "tok_ids.h"

fs_status tok_wordpiece_init(tok_wordpiece *self, const char *const *pieces, size_t count)
{
    FS_TRY(tok_index_init(&self->continues, count));
    for (size_t i = 0; i < count; i++)
        if (strncmp(pieces[i], "##", 2) == 0)
            tok_index_put(&self->continues, pieces[i] + 2, strlen(pieces[i] + 2), (int32_t)i);
    return FS_OK;
}

void tok_wordpiece_free(tok_wordpiece *self)
{
    tok_index_free(&self->continues);
}

/** Appends the longest pieces that make up the word, or the one unknown piece. */
static fs_status encode_word(const tok_wordpiece *self, const tok_index *pieces,
                             const int32_t *points, size_t count, tok_ids *out)
{
    char word[4 * TOK_WORDPIECE_POINTS_MAX];
    uint16_t start[TOK_WORDPIECE_POINTS_MAX + 1]; /* offset of each character in `word` */
    size_t size = 0, before = out->count;
    if (count > TOK_WORDPIECE_POINTS_MAX) return tok_ids_push(out, self->unknown);
    for (size_t i = 0; i < count; i++) {
        start[i] = (uint16_t)size;
        size += tok_encode_point(points[i], word + size);
    }
    start[count] = (uint16_t)size;
    for (size_t first = 0; first < count;) {
        const tok_index *index = first == 0 ? pieces : &self->continues;
        int32_t id = -1;
        size_t last = count;
        for (; last > first && id < 0; last--)
            id = tok_index_find(index, word + start[first], (size_t)(start[last] - start[first]));
        if (id < 0) {
            out->count = before;
            return tok_ids_push(out, self->unknown);
        }
        FS_TRY(tok_ids_push(out, id));
        first = last + 1;
    }
    return FS_OK;
}

size_t tok_wordpiece_word(const tok_points *points, size_t *from)
{
    size_t first = *from, at;
    while (first < points->count && tok_is_space(points->items[first])) first++;
    for (at = first; at < points->count && !tok_is_space(points->items[at]); at++) {
        if (!tok_is_punctuation(points->items[at])) continue;
        at += at == first; /* alone, or the end of what is before it */
        break;
    }
    *from = first;
    return at - first;
}

static fs_status encode_points(const tok_wordpiece *self, const tok_index *pieces,
                               const tok_points *points, tok_ids *out)
{
    size_t count;
    for (size_t first = 0; (count = tok_wordpiece_word(points, &first)) > 0; first += count)
        FS_TRY(encode_word(self, pieces, points->items + first, count, out));
    return FS_OK;
}

fs_status tok_wordpiece_encode(const tok_wordpiece *self, const tok_index *pieces, const char *text,
                               size_t size, tok_ids *out)
{
    tok_points points = {0};
    fs_status status = tok_normalise(&self->normaliser, text, size, &points);
    if (status == FS_OK) status = encode_points(self, pieces, &points, out);
    tok_points_free(&points);
    return status;
}
