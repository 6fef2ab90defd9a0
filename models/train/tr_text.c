#include "tr_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset.h"
#include "file.h"
#include "limits.h"
#include "tok_ids.h"

/* Chunks end where both tokenisers see the same with and without what follows: behind a line end
 * that visible ASCII characters enclose. GPT-2's words keep a run of white space but its last
 * character together, so a longer run must not be cut; a line end alone is a word of its own.
 * WordPiece begins anew at any white space, and no letter composes across it. Special tokens hold
 * no line ends. Where the cuts are depends on the text alone. */
enum { CHUNK_BYTES = 1 << 20, DETAIL_BYTES = 256 };

typedef struct chunk {
    const char *text;
    size_t size;
    tok_ids ids;
    tok_ids begins; /* offsets into ids at which a document begins */
    fs_status status;
    char detail[DETAIL_BYTES]; /* a failure's text is its thread's */
} chunk;

typedef struct job {
    const tok *tokeniser;
    int divide;
    chunk *chunks;
    size_t count;
} job;

static int is_visible(char c)
{
    return c > ' ' && c < 0x7F;
}

/** @return bytes of the chunk that begins at `text`. */
static size_t chunk_size(const char *text, size_t size)
{
    if (size <= CHUNK_BYTES) return size;
    for (size_t at = CHUNK_BYTES; at < size; at++) {
        const char *stop = memchr(text + at, '\n', size - at);
        if (stop == NULL) break;
        at = (size_t)(stop - text);
        if (at + 1 < size && is_visible(text[at - 1]) && is_visible(text[at + 1])) return at + 1;
    }
    return size;
}

/** @return bytes of the line at `text`, its end included; *blank if it holds nothing else. */
static size_t line_size(const char *text, size_t size, int *blank)
{
    const char *stop = memchr(text, '\n', size);
    size_t end = stop == NULL ? size : (size_t)(stop - text);
    *blank = end == 0 || (end == 1 && text[0] == '\r');
    return stop == NULL ? size : end + 1;
}

/** Encodes the chunk's documents one by one. The first one goes on from the chunk before: no cut is
 * made at a blank line. */
static fs_status encode_documents(const job *j, chunk *c)
{
    int goes_on = c != j->chunks;
    for (size_t at = 0; at < c->size; goes_on = 0) {
        int blank;
        size_t line = line_size(c->text + at, c->size - at, &blank);
        if (blank) {
            at += line;
            continue;
        }
        size_t begin = at, before = c->ids.count;
        while (!blank) {
            at += line;
            if (at == c->size) break;
            line = line_size(c->text + at, c->size - at, &blank);
        }
        FS_TRY(tok_encode(j->tokeniser, c->text + begin, at - begin, &c->ids));
        if (c->ids.count > before && !goes_on) FS_TRY(tok_ids_push(&c->begins, (int32_t)before));
    }
    return FS_OK;
}

static void encode_chunk(void *context, size_t task, unsigned thread)
{
    const job *j = context;
    chunk *c = &j->chunks[task];
    if (j->divide)
        c->status = encode_documents(j, c);
    else
        c->status = tok_encode(j->tokeniser, c->text, c->size, &c->ids);
    if (c->status != FS_OK) snprintf(c->detail, sizeof c->detail, "%s", fs_status_detail());
}

static fs_status cut_chunks(job *j, const char *text, size_t size)
{
    j->chunks = calloc(size / CHUNK_BYTES + 1, sizeof *j->chunks);
    if (j->chunks == NULL) return fs_fail(FS_ENOMEM, "no memory for the text's parts");
    for (size_t at = 0; at < size; j->count++) {
        chunk *c = &j->chunks[j->count];
        *c = (chunk){.text = text + at, .size = chunk_size(text + at, size - at)};
        at += c->size;
    }
    return FS_OK;
}

/** Takes over the chunks' ids, in order. */
static fs_status join_chunks(tr_text *out, const char *path, job *j)
{
    size_t count = 0, documents = 0;
    for (size_t i = 0; i < j->count; i++) {
        const chunk *c = &j->chunks[i];
        if (c->status != FS_OK) return fs_fail(c->status, "%s: %s", path, c->detail);
        count += c->ids.count;
        documents += c->begins.count;
    }
    if (count > FS_TOKENS_MAX)
        return fs_fail(FS_ELIMIT, "%s: more than %d tokens", path, FS_TOKENS_MAX);
    out->ids = malloc((count + 1) * sizeof *out->ids);
    out->documents = malloc((documents + 1) * sizeof *out->documents);
    if (out->ids == NULL || out->documents == NULL)
        return fs_fail(FS_ENOMEM, "no memory for %zu tokens", count);
    for (size_t i = 0; i < j->count; i++) {
        chunk *c = &j->chunks[i];
        for (size_t k = 0; k < c->begins.count; k++)
            out->documents[out->document_count++] =
                (uint32_t)out->count + (uint32_t)c->begins.items[k];
        if (c->ids.count > 0)
            memcpy(out->ids + out->count, c->ids.items, c->ids.count * sizeof *out->ids);
        out->count += c->ids.count;
        tok_ids_free(&c->ids);
    }
    out->documents[out->document_count] = (uint32_t)out->count;
    return FS_OK;
}

static fs_status encode_text(tr_text *out, const char *path, job *j, const fs_buf *text,
                             tr_pool *pool)
{
    FS_TRY(dataset_check_text(path, fs_buf_text(text), text->size));
    FS_TRY(cut_chunks(j, fs_buf_text(text), text->size));
    tr_pool_run(pool, j->count, encode_chunk, j);
    return join_chunks(out, path, j);
}

fs_status tr_text_read(tr_text *out, const char *path, const tok *tokeniser, int divide,
                       tr_pool *pool)
{
    fs_buf text = {0};
    job j = {.tokeniser = tokeniser, .divide = divide};
    *out = (tr_text){0};
    fs_status status = fs_file_read(&text, path, FS_DATA_BYTES_MAX);
    if (status == FS_OK) status = encode_text(out, path, &j, &text, pool);
    for (size_t i = 0; i < j.count; i++) {
        tok_ids_free(&j.chunks[i].ids);
        tok_ids_free(&j.chunks[i].begins);
    }
    free(j.chunks);
    fs_buf_free(&text);
    if (status != FS_OK) tr_text_free(out);
    return status;
}

void tr_text_free(tr_text *self)
{
    free(self->ids);
    free(self->documents);
    *self = (tr_text){0};
}
