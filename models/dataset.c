#include "dataset.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "limits.h"
#include "tok_unicode.h"
#include "utf8.h"

enum { LINE_BYTES_MAX = 1 << 20, LABEL_DIGITS_MAX = 9 };

/** What reading a file needs at every step. */
typedef struct reader {
    const fs_task *task;
    const fs_config *config;
    const tok *tokeniser;
    dataset *data;
    tok_ids ids;
    size_t capacity; /* inputs that off, labels and scored have room for */
} reader;

fs_status dataset_check_text(const char *path, const char *text, size_t size)
{
    if (size == 0) return fs_fail(FS_EFORMAT, "%s: empty", path);
    size_t line = fs_utf8_bad_line(text, size);
    return line == 0 ? FS_OK : fs_fail(FS_EFORMAT, "%s:%zu: not UTF-8 text", path, line);
}

fs_status dataset_check_ids(const int32_t *ids, size_t count, uint32_t vocab)
{
    for (size_t i = 0; i < count; i++)
        if ((uint32_t)ids[i] >= vocab)
            return fs_fail(FS_EFORMAT,
                           "token id %d is beyond the model's vocabulary of %u: tokeniser and "
                           "model do not belong together",
                           ids[i], vocab);
    return FS_OK;
}

static fs_status grow(reader *r)
{
    dataset *d = r->data;
    if (d->count < r->capacity) return FS_OK;
    if (d->count >= FS_EXAMPLES_MAX)
        return fs_fail(FS_ELIMIT, "%s: more than %d inputs", r->task->data, FS_EXAMPLES_MAX);
    size_t capacity = r->capacity == 0 ? 1024 : 2 * r->capacity;
    uint32_t *off = realloc(d->off, (capacity + 1) * sizeof *off);
    if (off != NULL) d->off = off;
    int32_t *labels = NULL;
    uint32_t *scored = NULL;
    if (d->kind == FS_TASK_CLASSIFICATION) {
        labels = realloc(d->labels, capacity * sizeof *labels);
        if (labels != NULL) d->labels = labels;
    } else {
        scored = realloc(d->scored, capacity * sizeof *scored);
        if (scored != NULL) d->scored = scored;
    }
    if (off == NULL || (labels == NULL && scored == NULL))
        return fs_fail(FS_ENOMEM, "no memory for the data set");
    d->off[0] = 0;
    r->capacity = capacity;
    return FS_OK;
}

/** Tokens are counted in 32 bits, and a batch of one input must be possible. */
static fs_status check_ids(const reader *r, size_t first)
{
    if (r->ids.count > FS_TOKENS_MAX)
        return fs_fail(FS_ELIMIT, "%s: more than %d tokens", r->task->data, FS_TOKENS_MAX);
    if (r->ids.count == first) return FS_OK;
    return dataset_check_ids(r->ids.items + first, r->ids.count - first, r->config->vocab);
}

/** Reads the digits after the last tab. */
static fs_status parse_label(const reader *r, const char *text, size_t size, int32_t *out)
{
    int32_t label = 0;
    int digits = size > 0 && size <= LABEL_DIGITS_MAX;
    for (size_t i = 0; i < size && digits; i++) {
        digits = text[i] >= '0' && text[i] <= '9';
        label = 10 * label + (text[i] - '0');
    }
    if (!digits)
        return fs_fail(FS_EFORMAT, "label \"%.*s\" is not a whole number",
                       (int)(size > 40 ? 40 : size), text);
    if ((uint32_t)label >= r->config->labels)
        return fs_fail(FS_EFORMAT, "label %d: the model has labels 0 to %u", label,
                       r->config->labels - 1);
    *out = label;
    return FS_OK;
}

static fs_status read_row(reader *r, const char *line, size_t size)
{
    dataset *d = r->data;
    if (size > LINE_BYTES_MAX)
        return fs_fail(FS_EFORMAT, "a line of %zu bytes; at most %d", size, LINE_BYTES_MAX);
    if (!fs_utf8_valid(line, size)) return fs_fail(FS_EFORMAT, "not UTF-8 text");
    const char *tab = memrchr(line, '\t', size);
    if (tab == NULL) return fs_fail(FS_EFORMAT, "no tab; expected: sentence TAB label");
    FS_TRY(grow(r));
    size_t sentence = (size_t)(tab - line), before = r->ids.count;
    FS_TRY(parse_label(r, tab + 1, size - sentence - 1, &d->labels[d->count]));
    FS_TRY(tok_encode_input(r->tokeniser, line, sentence, r->config->positions, &r->ids));
    if (r->ids.count == before)
        return fs_fail(FS_EFORMAT, "the sentence is empty: this model cannot answer no tokens");
    FS_TRY(check_ids(r, before));
    d->off[++d->count] = (uint32_t)r->ids.count;
    return FS_OK;
}

/* @return nonzero if a line ends in a tab and digits. */
static int looks_like_row(const char *line, size_t size)
{
    size_t digits = 0;
    while (digits < size && isdigit((unsigned char)line[size - 1 - digits])) digits++;
    return digits > 0 && digits < size && line[size - 1 - digits] == '\t';
}

static fs_status read_rows(reader *r, const char *text, size_t size)
{
    const uint64_t wanted = r->task->examples == 0 ? UINT64_MAX : r->task->examples;
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r')) size--;
    if (size == 0) return fs_fail(FS_EFORMAT, "%s: empty", r->task->data);
    size_t number = 0;
    for (size_t at = 0; at < size && r->data->count < wanted;) {
        const char *stop = memchr(text + at, '\n', size - at);
        size_t end = stop == NULL ? size : (size_t)(stop - text);
        size_t length = end - at;
        if (length > 0 && text[end - 1] == '\r') length--;
        number++;
        /* The first line is a header. A label there means that it lacks, and a row would be lost.
         */
        if (number == 1 && looks_like_row(text + at, length)) {
            return fs_fail(FS_EFORMAT, "%s:1: an example where the header line should be",
                           r->task->data);
        }
        if (number > 1) {
            fs_status status = read_row(r, text + at, length);
            if (status != FS_OK) return fs_wrap(status, "%s:%zu", r->task->data, number);
        }
        at = end + 1;
    }
    if (r->data->count == 0)
        return fs_fail(FS_EFORMAT, "%s: only a header line, no examples", r->task->data);
    r->data->answers = r->data->count;
    return FS_OK;
}

/** Replaces the text by what "\n\n".join(rows) is of HuggingFace's rows: each line with its end,
 * and nothing for a line of white space. */
static fs_status join_rows(fs_buf *text)
{
    fs_buf out = {0};
    fs_status status = fs_buf_reserve(&out, text->size);
    const char *in = fs_buf_text(text);
    for (size_t at = 0; at < text->size && status == FS_OK;) {
        const char *stop = memchr(in + at, '\n', text->size - at);
        size_t end = stop == NULL ? text->size : (size_t)(stop - in) + 1;
        int blank = 1;
        for (size_t i = at; i < end && blank; i++) blank = strchr(" \t\n\v\f\r", in[i]) != NULL;
        if (at > 0) status = fs_buf_puts(&out, "\n\n");
        if (status == FS_OK && !blank) status = fs_buf_append(&out, in + at, end - at);
        at = end;
    }
    if (status != FS_OK) {
        fs_buf_free(&out);
        return status;
    }
    fs_buf_free(text);
    *text = out;
    return FS_OK;
}

/** @return white-space words that begin in the first `size` bytes. */
static uint64_t count_words(const char *text, size_t size)
{
    uint64_t words = 0;
    int inside = 0;
    for (size_t at = 0; at < size;) {
        int32_t point;
        at += tok_decode(text + at, size - at, &point);
        int space = tok_is_space(point);
        words += !space && !inside;
        inside = !space;
    }
    return words;
}

/** @return bytes of text that the first `count` tokens stand for: a piece of byte-level BPE has one
 * character for each byte. */
static size_t covered_bytes(const tok *tokeniser, const int32_t *ids, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        for (const char *c = tok_piece(tokeniser, ids[i]); *c != '\0'; c++)
            bytes += ((unsigned char)*c & 0xC0) != 0x80;
    return bytes;
}

static fs_status check_windows(const reader *r, uint32_t *window, uint32_t *stride)
{
    uint32_t positions = r->config->positions;
    *window = r->task->window == 0 ? positions : r->task->window;
    *stride = r->task->stride == 0 ? *window : r->task->stride;
    if (*window < 2) return fs_fail(FS_ECONFIG, "window: %u tokens; at least 2", *window);
    if (*window > positions)
        return fs_fail(FS_ECONFIG, "window: %u tokens; the model has %u positions", *window,
                       positions);
    if (*stride > *window)
        return fs_fail(FS_ECONFIG, "stride: %u tokens skip text between windows of %u", *stride,
                       *window);
    return FS_OK;
}

/** Lays windows over the tokens of the whole text and keeps their copies, packed. */
static fs_status cut_windows(reader *r, const fs_buf *text, uint32_t window, uint32_t stride)
{
    dataset *d = r->data;
    const uint64_t wanted = r->task->examples == 0 ? UINT64_MAX : r->task->examples;
    size_t total = r->ids.count, packed = 0, capacity = 0, scored_end = 0;
    for (size_t begin = 0; scored_end < total && d->count < wanted; begin += stride) {
        size_t end = total - begin < window ? total : begin + window;
        /* The first token of a window has nothing before it and cannot be scored. */
        size_t most = end - begin - 1, fresh = end - scored_end;
        scored_end = end;
        if (most == 0) break;
        if (packed + (end - begin) > FS_TOKENS_MAX)
            return fs_fail(FS_ELIMIT,
                           "%s: windows of more than %d tokens in all; use a larger "
                           "stride",
                           r->task->data, FS_TOKENS_MAX);
        if (packed + (end - begin) > capacity) {
            capacity = capacity == 0 ? total + window : 2 * capacity;
            int32_t *ids = realloc(d->ids, capacity * sizeof *ids);
            if (ids == NULL) return fs_fail(FS_ENOMEM, "no memory for the data set");
            d->ids = ids;
        }
        FS_TRY(grow(r));
        memcpy(d->ids + packed, r->ids.items + begin, (end - begin) * sizeof *d->ids);
        packed += end - begin;
        d->scored[d->count] = (uint32_t)(fresh < most ? fresh : most);
        d->answers += d->scored[d->count];
        d->off[++d->count] = (uint32_t)packed;
    }
    if (d->count == 0)
        return fs_fail(FS_EFORMAT, "%s: too short: nothing to predict", r->task->data);
    size_t bytes = covered_bytes(r->tokeniser, r->ids.items, scored_end);
    d->words = count_words(fs_buf_text(text), bytes < text->size ? bytes : text->size);
    return FS_OK;
}

static fs_status read_windows(reader *r, fs_buf *text)
{
    uint32_t window, stride;
    FS_TRY(check_windows(r, &window, &stride));
    FS_TRY(dataset_check_text(r->task->data, fs_buf_text(text), text->size));
    if (r->task->recipe == FS_RECIPE_HF) FS_TRY(join_rows(text));
    fs_status status = tok_encode(r->tokeniser, fs_buf_text(text), text->size, &r->ids);
    if (status == FS_OK) status = check_ids(r, 0);
    if (status != FS_OK) return fs_wrap(status, "%s", r->task->data);
    return cut_windows(r, text, window, stride);
}

static fs_status check_task(const fs_task *task, const fs_config *config)
{
    if (task->kind == config->task) return FS_OK;
    if (task->kind == FS_TASK_CLASSIFICATION)
        return fs_fail(FS_ECONFIG, "task classification: the model is a language model");
    return fs_fail(FS_ECONFIG, "task language-model: the model is a classifier");
}

fs_status dataset_read(dataset **out, const fs_task *task, const fs_config *config,
                       const tok *tokeniser)
{
    FS_TRY(check_task(task, config));
    fs_buf text = {0};
    dataset *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a data set");
    reader r = {.task = task, .config = config, .tokeniser = tokeniser, .data = self};
    self->kind = task->kind;
    fs_status status = fs_file_read(&text, task->data, FS_DATA_BYTES_MAX);
    if (status == FS_OK && task->kind == FS_TASK_CLASSIFICATION) {
        status = read_rows(&r, fs_buf_text(&text), text.size);
        self->ids = r.ids.items; /* the packed rows are the data */
        r.ids = (tok_ids){0};
    } else if (status == FS_OK) {
        status = read_windows(&r, &text);
    }
    fs_buf_free(&text);
    tok_ids_free(&r.ids);
    if (status != FS_OK) {
        dataset_destroy(&self);
        return status;
    }
    *out = self;
    return FS_OK;
}

void dataset_destroy(dataset **self)
{
    dataset *d = *self;
    *self = NULL;
    if (d == NULL) return;
    free(d->ids);
    free(d->off);
    free(d->labels);
    free(d->scored);
    free(d);
}

uint32_t dataset_batch_inputs(const dataset *self, uint32_t first)
{
    uint32_t n = 1;
    while (first + n < self->count &&
           self->off[first + n + 1] - self->off[first] <= DATASET_BATCH_TOKENS)
        n++;
    return n;
}

nn_batch dataset_batch(const dataset *self, uint32_t first, uint32_t n, uint32_t *off)
{
    for (uint32_t i = 0; i <= n; i++) off[i] = self->off[first + i] - self->off[first];
    return (nn_batch){self->ids + self->off[first], off, n};
}

uint32_t dataset_reads(const dataset *self, uint8_t *token_read)
{
    uint32_t longest = 0;
    for (uint32_t t = 0; t < self->off[self->count]; t++) token_read[self->ids[t]] = 1;
    for (uint32_t i = 0; i < self->count; i++) {
        const uint32_t length = self->off[i + 1] - self->off[i];
        if (length > longest) longest = length;
    }
    return longest;
}
