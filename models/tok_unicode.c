#include "tok_unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "assert.h"

enum { REPLACEMENT = 0xFFFD, DECOMPOSED_MAX = 8, CAPITAL_I_DOTTED = 0x130, DOT_ABOVE = 0x307 };

void tok_points_free(tok_points *self)
{
    free(self->items);
    *self = (tok_points){0};
}

static fs_status points_reserve(tok_points *self, size_t extra)
{
    if (self->count + extra <= self->capacity) return FS_OK;
    size_t capacity = self->capacity < 64 ? 64 : self->capacity;
    while (capacity < self->count + extra) capacity *= 2;
    int32_t *items = realloc(self->items, capacity * sizeof *items);
    if (items == NULL) return fs_fail(FS_ENOMEM, "no memory for %zu characters", capacity);
    self->items = items;
    self->capacity = capacity;
    return FS_OK;
}

size_t tok_decode(const char *text, size_t size, int32_t *point)
{
    const unsigned char *in = (const unsigned char *)text;
    unsigned lead = in[0];
    *point = (int32_t)lead;
    if (lead < 0x80) return 1;
    *point = -1;
    if (lead < 0xC2 || lead > 0xF4) return 1;
    size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    /* The second byte's range excludes overlong forms, surrogates and points past U+10FFFF. */
    unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    int32_t value = (int32_t)(lead & (0x7Fu >> length));
    for (size_t i = 1; i < length; i++) {
        if (i >= size || in[i] < low || in[i] > high) return i;
        value = value << 6 | (int32_t)(in[i] & 0x3F);
        low = 0x80;
        high = 0xBF;
    }
    *point = value;
    return length;
}

size_t tok_encode_point(int32_t point, char out[4])
{
    utf8proc_ssize_t size = utf8proc_encode_char(point, (utf8proc_uint8_t *)out);
    FS_ASSERT(size >= 1 && size <= 4);
    return (size_t)size;
}

int tok_is_space(int32_t point)
{
    if (point == ' ' || (point >= 0x09 && point <= 0x0D) || point == 0x85) return 1;
    if (point < 0x80) return 0;
    utf8proc_category_t category = utf8proc_category(point);
    return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
           category == UTF8PROC_CATEGORY_ZP;
}

tok_class tok_class_of(int32_t point)
{
    if (tok_is_space(point)) return TOK_SPACE;
    switch (utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return TOK_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return TOK_NUMBER;
    default:
        return TOK_OTHER;
    }
}

int tok_is_punctuation(int32_t point)
{
    if (point < 0x80)
        return (point > ' ' && point < '0') || (point > '9' && point < 'A') ||
               (point > 'Z' && point < 'a') || (point > 'z' && point < 0x7F);
    switch (utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
        return 1;
    default:
        return 0;
    }
}

int tok_is_cjk(int32_t point)
{
    static const int32_t ranges[][2] = {
        {0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
        {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (point >= ranges[i][0] && point <= ranges[i][1]) return 1;
    return 0;
}

int tok_is_control(int32_t point)
{
    if (point == '\t' || point == '\n' || point == '\r') return 0;
    if (point >= ' ' && point < 0x7F) return 0;
    switch (utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
        return 1;
    default:
        return 0;
    }
}

/** Appends the cleaned text, ideographs spaced. */
static fs_status clean(const tok_normaliser *self, const char *text, size_t size, tok_points *out)
{
    FS_TRY(points_reserve(out, size));
    for (size_t at = 0; at < size;) {
        int32_t point;
        at += tok_decode(text + at, size - at, &point);
        if (point <= 0 || point == REPLACEMENT || tok_is_control(point)) continue;
        int spaced = self->space_cjk && tok_is_cjk(point);
        FS_TRY(points_reserve(out, 3));
        if (spaced) out->items[out->count++] = ' ';
        out->items[out->count++] = tok_is_space(point) ? ' ' : point;
        if (spaced) out->items[out->count++] = ' ';
    }
    return FS_OK;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/** Puts a run of combining characters in canonical order: by class, equals as they were. Keys of
 * class, place and point keep the sort stable and its time bounded for hostile text. */
static fs_status order_run(int32_t *points, size_t count)
{
    uint64_t small[32], *keys = small;
    if (count > 32) keys = malloc(count * sizeof *keys);
    if (keys == NULL) return fs_fail(FS_ENOMEM, "no memory for %zu characters", count);
    for (size_t i = 0; i < count; i++) {
        uint64_t class = (uint64_t)utf8proc_get_property(points[i])->combining_class;
        keys[i] = class << 56 | (uint64_t)i << 21 | (uint64_t)points[i];
    }
    qsort(keys, count, sizeof *keys, by_value);
    for (size_t i = 0; i < count; i++) points[i] = (int32_t)(keys[i] & 0x1FFFFF);
    if (keys != small) free(keys);
    return FS_OK;
}

static fs_status order_marks(int32_t *points, size_t count)
{
    size_t first = 0;
    for (size_t i = 0; i <= count; i++) {
        int starts = i == count || points[i] < 0x300 ||
                     utf8proc_get_property(points[i])->combining_class == 0;
        if (!starts) continue;
        if (i - first > 1) FS_TRY(order_run(points + first, i - first));
        first = i + 1;
    }
    return FS_OK;
}

/** Replaces the points by their canonical decomposition without nonspacing marks. */
static fs_status strip_accents(tok_points *points)
{
    tok_points out = {0};
    fs_status status = points_reserve(&out, points->count + DECOMPOSED_MAX);
    for (size_t i = 0; i < points->count && status == FS_OK; i++) {
        utf8proc_int32_t parts[DECOMPOSED_MAX];
        int boundary = 0;
        utf8proc_ssize_t n = 1;
        parts[0] = points->items[i];
        if (parts[0] >= 0x80)
            n = utf8proc_decompose_char(points->items[i], parts, DECOMPOSED_MAX,
                                        UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, &boundary);
        FS_ASSERT(n >= 0 && n <= DECOMPOSED_MAX);
        status = points_reserve(&out, (size_t)n);
        for (utf8proc_ssize_t k = 0; k < n && status == FS_OK; k++)
            out.items[out.count++] = parts[k];
    }
    if (status == FS_OK) status = order_marks(out.items, out.count);
    size_t kept = 0;
    for (size_t i = 0; i < out.count && status == FS_OK; i++) {
        int32_t point = out.items[i];
        if (point >= 0x300 && utf8proc_category(point) == UTF8PROC_CATEGORY_MN) continue;
        out.items[kept++] = point;
    }
    out.count = kept;
    tok_points_free(points);
    *points = out;
    return status;
}

/** The one character whose lower case is two is the dotted capital I: i and a dot above. */
static fs_status lower(tok_points *points)
{
    size_t dotted = 0;
    for (size_t i = 0; i < points->count; i++) dotted += points->items[i] == CAPITAL_I_DOTTED;
    FS_TRY(points_reserve(points, dotted));
    size_t to = points->count + dotted;
    for (size_t from = points->count; from > 0; from--) { /* backwards: in place */
        int32_t point = points->items[from - 1];
        if (point == CAPITAL_I_DOTTED) points->items[--to] = DOT_ABOVE;
        points->items[--to] = point == CAPITAL_I_DOTTED ? 'i' : utf8proc_tolower(point);
    }
    points->count += dotted;
    return FS_OK;
}

fs_status tok_normalise(const tok_normaliser *self, const char *text, size_t size, tok_points *out)
{
    out->count = 0;
    FS_TRY(clean(self, text, size, out));
    if (self->strip_accents) FS_TRY(strip_accents(out));
    return self->lower_case ? lower(out) : FS_OK;
}
