#include "tok_bpe.h"

#include <stdlib.h>
#include <string.h>

#include "tok_ids.h"
#include "tok_split.h"
#include "tok_unicode.h"

enum { WORD_BYTES_MAX = 64 << 20 };

/** A piece of the word being merged; a doubly linked list in an array. */
typedef struct part {
    int32_t id;
    int32_t next; /* -1: the last */
    int32_t prev; /* -1: the first */
} part;

/** A possible merge of a part with its next one. Stale once either has changed. */
typedef struct candidate {
    uint32_t rank;
    int32_t at;
    int32_t merged;
} candidate;

/** Memory for one word, kept from word to word. */
typedef struct scratch {
    part *parts;
    candidate *heap;
    size_t capacity; /* parts; the heap holds three times as many */
    size_t heap_count;
} scratch;

size_t tok_bpe_symbol(unsigned char byte, char out[4])
{
    /* Visible characters of Latin-1 stand for themselves, the others for 256 + their rank. */
    int32_t point = byte;
    if (byte <= 0x20)
        point = 256 + byte;
    else if (byte >= 0x7F && byte <= 0xA0)
        point = 256 + 33 + (byte - 0x7F);
    else if (byte == 0xAD)
        point = 256 + 67;
    return tok_encode_point(point, out);
}

static size_t pair_hash(int32_t left, int32_t right)
{
    uint64_t x = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    x *= 0x9E3779B97F4A7C15u;
    return (size_t)(x ^ x >> 32);
}

/** @return the pair's merge, or the free slot where it would go. */
static tok_merge *find_merge(const tok_bpe *self, int32_t left, int32_t right)
{
    size_t mask = self->capacity - 1;
    for (size_t i = pair_hash(left, right) & mask;; i = (i + 1) & mask) {
        tok_merge *merge = &self->merges[i];
        if (merge->left < 0 || (merge->left == left && merge->right == right)) return merge;
    }
}

static size_t count_lines(const char *text, size_t size)
{
    size_t lines = 1;
    for (size_t i = 0; i < size; i++) lines += text[i] == '\n';
    return lines;
}

/** Reads "left right" and finds both and their join among the pieces. */
static fs_status read_merge(tok_bpe *self, const tok_index *pieces, const char *line, size_t size,
                            uint32_t rank)
{
    const char *space = memchr(line, ' ', size);
    size_t left_size = space == NULL ? 0 : (size_t)(space - line);
    size_t right_size = space == NULL ? 0 : size - left_size - 1;
    if (left_size == 0 || right_size == 0 || memchr(space + 1, ' ', right_size) != NULL)
        return fs_fail(FS_EFORMAT, "expected two pieces divided by a space");
    if (left_size > UINT16_MAX || right_size > UINT16_MAX)
        return fs_fail(FS_EFORMAT, "a piece of more than %d bytes", UINT16_MAX);
    int32_t left = tok_index_find(pieces, line, left_size);
    int32_t right = tok_index_find(pieces, space + 1, right_size);
    if (left < 0 || right < 0)
        return fs_fail(FS_EFORMAT, "\"%.*s\" is not in the vocabulary",
                       (int)(left < 0 ? left_size : right_size), left < 0 ? line : space + 1);
    char *joined = malloc(left_size + right_size);
    if (joined == NULL) return fs_fail(FS_ENOMEM, "no memory for a merge");
    memcpy(joined, line, left_size);
    memcpy(joined + left_size, space + 1, right_size);
    int32_t merged = tok_index_find(pieces, joined, left_size + right_size);
    free(joined);
    if (merged < 0)
        return fs_fail(FS_EFORMAT, "\"%.*s\" and \"%.*s\" make a piece that the vocabulary lacks",
                       (int)left_size, line, (int)right_size, space + 1);
    *find_merge(self, left, right) = (tok_merge){left, right, merged, rank};
    return FS_OK;
}

static fs_status read_merges(tok_bpe *self, const tok_index *pieces, const char *path,
                             const char *text, size_t size)
{
    const char *end = text + size;
    uint32_t rank = 0;
    size_t line_number = 0;
    for (const char *line = text; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        const char *next = stop == NULL ? end : stop + 1;
        if (stop == NULL) stop = end;
        if (stop > line && stop[-1] == '\r') stop--;
        size_t length = (size_t)(stop - line);
        line_number++;
        int comment = line_number == 1 && length >= 8 && memcmp(line, "#version", 8) == 0;
        if (!comment) {
            fs_status status = read_merge(self, pieces, line, length, rank++);
            if (status != FS_OK) return fs_wrap(status, "%s:%zu", path, line_number);
        }
        line = next;
    }
    return FS_OK;
}

fs_status tok_bpe_init(tok_bpe *self, const tok_index *pieces, const char *path, const char *text,
                       size_t size)
{
    size_t capacity = 16, lines = count_lines(text, size);
    while (capacity < 2 * lines + 1) capacity *= 2;
    self->merges = malloc(capacity * sizeof *self->merges);
    if (self->merges == NULL) return fs_fail(FS_ENOMEM, "no memory for %zu merges", lines);
    self->capacity = capacity;
    for (size_t i = 0; i < capacity; i++) self->merges[i] = (tok_merge){-1, -1, -1, 0};
    for (unsigned byte = 0; byte < 256; byte++) {
        char symbol[4];
        size_t symbol_size = tok_bpe_symbol((unsigned char)byte, symbol);
        self->byte_ids[byte] = tok_index_find(pieces, symbol, symbol_size);
    }
    return read_merges(self, pieces, path, text, size);
}

void tok_bpe_free(tok_bpe *self)
{
    free(self->merges);
    *self = (tok_bpe){0};
}

static int before(const candidate *a, const candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(scratch *s, candidate new)
{
    size_t i = s->heap_count++;
    while (i > 0 && before(&new, &s->heap[(i - 1) / 2])) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = new;
}

static candidate heap_pop(scratch *s)
{
    candidate top = s->heap[0], last = s->heap[--s->heap_count];
    size_t i = 0;
    for (size_t child = 1; child < s->heap_count; child = 2 * i + 1) {
        child += child + 1 < s->heap_count && before(&s->heap[child + 1], &s->heap[child]);
        if (!before(&s->heap[child], &last)) break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return top;
}

/** Offers the merge of a part with its next one, if there is one. */
static void offer(const tok_bpe *self, scratch *s, int32_t at)
{
    if (at < 0 || s->parts[at].next < 0) return;
    const tok_merge *merge = find_merge(self, s->parts[at].id, s->parts[s->parts[at].next].id);
    if (merge->left >= 0) heap_push(s, (candidate){merge->rank, at, merge->merged});
}

static fs_status reserve(scratch *s, size_t count)
{
    if (count <= s->capacity) return FS_OK;
    size_t capacity = s->capacity < 64 ? 64 : s->capacity;
    while (capacity < count) capacity *= 2;
    free(s->parts);
    free(s->heap);
    *s = (scratch){.parts = malloc(capacity * sizeof *s->parts),
                   .heap = malloc(3 * capacity * sizeof *s->heap),
                   .capacity = capacity};
    if (s->parts == NULL || s->heap == NULL)
        return fs_fail(FS_ENOMEM, "no memory for a word of %zu bytes", count);
    return FS_OK;
}

/** Merges until nothing is left to merge. A word of n parts offers n - 1 pairs at first and at most
 * two for each of at most n - 1 merges, so the heap never holds 3 n. */
static void merge_all(const tok_bpe *self, scratch *s)
{
    while (s->heap_count > 0) {
        candidate top = heap_pop(s);
        part *left = &s->parts[top.at];
        if (left->id < 0 || left->next < 0) continue;
        part *right = &s->parts[left->next];
        const tok_merge *merge = find_merge(self, left->id, right->id);
        if (merge->left < 0 || merge->merged != top.merged) continue;
        left->id = top.merged;
        left->next = right->next;
        right->id = -1;
        if (left->next >= 0) s->parts[left->next].prev = top.at;
        offer(self, s, left->prev);
        offer(self, s, top.at);
    }
}

static fs_status encode_word(const tok_bpe *self, scratch *s, const char *text, size_t size,
                             tok_ids *out)
{
    if (size == 0) return FS_OK;
    if (size > WORD_BYTES_MAX)
        return fs_fail(FS_ELIMIT, "a word of %zu bytes; at most %d", size, WORD_BYTES_MAX);
    FS_TRY(reserve(s, size));
    for (size_t i = 0; i < size; i++) {
        int32_t id = self->byte_ids[(unsigned char)text[i]];
        if (id < 0)
            return fs_fail(FS_EFORMAT, "the vocabulary has no piece for byte 0x%02x",
                           (unsigned char)text[i]);
        s->parts[i] = (part){id, i + 1 < size ? (int32_t)i + 1 : -1, (int32_t)i - 1};
    }
    s->heap_count = 0;
    for (size_t i = 0; i < size; i++) offer(self, s, (int32_t)i);
    merge_all(self, s);
    for (int32_t at = 0; at >= 0; at = s->parts[at].next)
        FS_TRY(tok_ids_push(out, s->parts[at].id));
    return FS_OK;
}

fs_status tok_bpe_encode(const tok_bpe *self, const char *text, size_t size, tok_ids *out)
{
    scratch s = {0};
    fs_status status = FS_OK;
    for (size_t at = 0; at < size && status == FS_OK;) {
        size_t word = tok_split_word(text + at, size - at);
        status = encode_word(self, &s, text + at, word, out);
        at += word;
    }
    free(s.parts);
    free(s.heap);
    return status;
}
