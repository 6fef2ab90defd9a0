#include "tr_source.h"

#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "cores.h"
#include "dataset.h"
#include "hash.h"
#include "limits.h"
#include "tr_mask.h"
#include "tr_order.h"
#include "tr_text.h"

enum { FRAME = 2 /* [CLS] and [SEP] around a sequence of TR_HEAD_MASKED */ };

struct tr_source {
    tr_source_options options;
    dataset *data; /* TR_HEAD_CLASSIFY; NULL otherwise */
    tr_text text;  /* running text */
    tr_mask mask;  /* TR_HEAD_MASKED */
    tr_order *order;
    uint32_t *first;  /* [count] where an example's tokens begin in the text */
    uint32_t *length; /* [count] its tokens as the model sees them, specials included */
    uint32_t count;
    uint64_t tokens;
    /* The batch handed out last. */
    int32_t *ids;     /* [row_max] */
    uint32_t *rows;   /* [row_max] */
    int32_t *targets; /* [row_max] */
    size_t row_max;
    uint32_t *off; /* [batch + 1] */
};

static fs_status check_options(const tr_source_options *o, const fs_config *config)
{
    const uint32_t least = o->head == TR_HEAD_MASKED ? FRAME + 1 : 2;
    if (o->batch < 1) return fs_fail(FS_EUSAGE, "a batch of no sequences");
    if (o->batch > FS_EXAMPLES_MAX)
        return fs_fail(FS_ELIMIT, "a batch of %u sequences; at most %d", o->batch, FS_EXAMPLES_MAX);
    if (o->head == TR_HEAD_CLASSIFY) return FS_OK;
    if (o->window < least)
        return fs_fail(FS_EUSAGE, "a window of %u tokens; at least %u", o->window, least);
    if (o->window > config->positions)
        return fs_fail(FS_EUSAGE, "a window of %u tokens; the model has %u positions", o->window,
                       config->positions);
    if (o->head == TR_HEAD_MASKED && !(o->masking > 0.0 && o->masking <= 1.0))
        return fs_fail(FS_EUSAGE, "the share of tokens to predict is not in (0, 1]");
    return FS_OK;
}

static fs_status reserve_examples(tr_source *self, const char *path, uint64_t count)
{
    if (count > FS_EXAMPLES_MAX)
        return fs_fail(FS_ELIMIT, "%s: more than %d examples", path, FS_EXAMPLES_MAX);
    self->first = malloc((count + 1) * sizeof *self->first);
    self->length = malloc((count + 1) * sizeof *self->length);
    if (self->first == NULL || self->length == NULL)
        return fs_fail(FS_ENOMEM, "no memory for %llu examples", (unsigned long long)count);
    return FS_OK;
}

static void add_example(tr_source *self, uint32_t first, uint32_t length)
{
    self->first[self->count] = first;
    self->length[self->count++] = length;
    self->tokens += length;
}

static fs_status open_rows(tr_source *self, const char *path, const fs_config *config,
                           const tok *tokeniser)
{
    fs_task task = {.kind = FS_TASK_CLASSIFICATION};
    const size_t size = strlen(path);
    if (size >= sizeof task.data) return fs_fail(FS_ELIMIT, "path too long");
    memcpy(task.data, path, size + 1);
    FS_TRY(dataset_read(&self->data, &task, config, tokeniser));
    FS_TRY(reserve_examples(self, path, self->data->count));
    const uint32_t *off = self->data->off;
    for (uint32_t i = 0; i < self->data->count; i++) add_example(self, off[i], off[i + 1] - off[i]);
    return FS_OK;
}

/** One window after another; of the last one what is there, unless it has nothing to predict. */
static fs_status cut_windows(tr_source *self, const char *path)
{
    const uint64_t total = self->text.count, window = self->options.window;
    FS_TRY(reserve_examples(self, path, (total + window - 1) / window));
    for (uint64_t at = 0; at + 1 < total; at += window)
        add_example(self, (uint32_t)at, (uint32_t)(total - at < window ? total - at : window));
    return FS_OK;
}

static int may_choose_one(const tr_source *self, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (tr_mask_may_choose(&self->mask, self->text.ids[first + i])) return 1;
    return 0;
}

/** Cuts each document into as few sequences as fit, of even length: a short rest would teach less
 * and count as much. A sequence of special tokens alone is left out. */
static fs_status cut_documents(tr_source *self, const char *path)
{
    const uint32_t most = self->options.window - FRAME;
    const uint32_t *documents = self->text.documents;
    uint64_t count = 0;
    for (uint32_t i = 0; i < self->text.document_count; i++)
        count += ((uint64_t)documents[i + 1] - documents[i] + most - 1) / most;
    FS_TRY(reserve_examples(self, path, count));
    for (uint32_t i = 0; i < self->text.document_count; i++) {
        const uint64_t tokens = documents[i + 1] - documents[i];
        const uint64_t parts = (tokens + most - 1) / most;
        for (uint64_t k = 0; k < parts; k++) {
            const uint32_t from = documents[i] + (uint32_t)(tokens * k / parts);
            const uint32_t to = documents[i] + (uint32_t)(tokens * (k + 1) / parts);
            if (may_choose_one(self, from, to - from)) add_example(self, from, to - from + FRAME);
        }
    }
    return FS_OK;
}

static fs_status open_text(tr_source *self, const char *path, const fs_config *config,
                           const tok *tokeniser)
{
    const int masked = self->options.head == TR_HEAD_MASKED;
    const uint64_t key = fs_hash_key(self->options.seed, "masked tokens");
    tr_pool *pool = NULL;
    if (masked)
        FS_TRY(tr_mask_init(&self->mask, tokeniser, config->vocab, self->options.masking, key));
    FS_TRY(tr_pool_new(&pool, fs_cores_usable()));
    fs_status status = tr_text_read(&self->text, path, tokeniser, masked, pool);
    tr_pool_destroy(&pool);
    FS_TRY(status);
    status = dataset_check_ids(self->text.ids, self->text.count, config->vocab);
    if (status != FS_OK) return fs_wrap(status, "%s", path);
    return masked ? cut_documents(self, path) : cut_windows(self, path);
}

static fs_status open_examples(tr_source *self, const char *path, const fs_config *config,
                               const tok *tokeniser)
{
    FS_TRY(check_options(&self->options, config));
    if (self->options.head == TR_HEAD_CLASSIFY)
        FS_TRY(open_rows(self, path, config, tokeniser));
    else
        FS_TRY(open_text(self, path, config, tokeniser));
    if (self->count == 0) return fs_fail(FS_EUSAGE, "%s: too short: nothing to learn", path);
    const uint32_t batch = self->options.batch < self->count ? self->options.batch : self->count;
    if ((uint64_t)batch * config->positions > FS_TOKENS_MAX)
        return fs_fail(FS_ELIMIT, "a batch of %u sequences may have more than %d tokens", batch,
                       FS_TOKENS_MAX);
    self->off = malloc(((size_t)batch + 1) * sizeof *self->off);
    if (self->off == NULL) return fs_fail(FS_ENOMEM, "no memory for a batch");
    return tr_order_new(&self->order, self->length, self->count, batch, self->options.seed);
}

fs_status tr_source_open(tr_source **out, const char *path, const fs_config *config,
                         const tok *tokeniser, const tr_source_options *options)
{
    tr_source *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a source of batches");
    self->options = *options;
    fs_status status = open_examples(self, path, config, tokeniser);
    if (status != FS_OK) {
        tr_source_close(&self);
        return status;
    }
    *out = self;
    return FS_OK;
}

void tr_source_close(tr_source **self)
{
    tr_source *s = *self;
    *self = NULL;
    if (s == NULL) return;
    if (s->data != NULL) dataset_destroy(&s->data);
    tr_text_free(&s->text);
    tr_order_destroy(&s->order);
    free(s->first);
    free(s->length);
    free(s->ids);
    free(s->rows);
    free(s->targets);
    free(s->off);
    free(s);
}

static fs_status reserve_rows(tr_source *self, size_t rows)
{
    if (rows <= self->row_max) return FS_OK;
    int32_t *ids = realloc(self->ids, rows * sizeof *ids);
    if (ids != NULL) self->ids = ids;
    uint32_t *answers = realloc(self->rows, rows * sizeof *answers);
    if (answers != NULL) self->rows = answers;
    int32_t *targets = realloc(self->targets, rows * sizeof *targets);
    if (targets != NULL) self->targets = targets;
    if (ids == NULL || answers == NULL || targets == NULL)
        return fs_fail(FS_ENOMEM, "no memory for a batch of %zu tokens", rows);
    self->row_max = rows;
    return FS_OK;
}

/** Every row but the last answers with the token after it. @return answers so far. */
static uint32_t put_window(tr_source *self, uint32_t example, uint32_t row, uint32_t outputs)
{
    const int32_t *ids = self->text.ids + self->first[example];
    const uint32_t length = self->length[example];
    memcpy(self->ids + row, ids, length * sizeof *ids);
    for (uint32_t i = 0; i + 1 < length; i++, outputs++) {
        self->rows[outputs] = row + i;
        self->targets[outputs] = ids[i + 1];
    }
    return outputs;
}

static uint32_t put_masked(tr_source *self, uint64_t epoch, uint32_t example, uint32_t row,
                           uint32_t outputs)
{
    const int32_t *ids = self->text.ids + self->first[example];
    const uint32_t count = self->length[example] - FRAME;
    uint32_t *rows = self->rows + outputs;
    self->ids[row] = self->mask.specials[TOK_SPECIAL_FIRST];
    self->ids[row + 1 + count] = self->mask.specials[TOK_SPECIAL_LAST];
    const uint32_t chosen = tr_mask_apply(&self->mask, epoch, self->first[example], ids, count,
                                          self->ids + row + 1, rows);
    for (uint32_t i = 0; i < chosen; i++) {
        self->targets[outputs + i] = ids[rows[i]];
        rows[i] += row + 1;
    }
    return outputs + chosen;
}

fs_status tr_source_batch(tr_source *self, uint64_t step, tr_batch *out)
{
    const uint32_t *examples;
    const uint32_t count = tr_order_batch(self->order, step, &examples);
    const uint64_t epoch = step / tr_order_epoch_steps(self->order);
    uint32_t outputs = 0;
    self->off[0] = 0;
    for (uint32_t i = 0; i < count; i++)
        self->off[i + 1] = self->off[i] + self->length[examples[i]];
    FS_TRY(reserve_rows(self, self->off[count]));
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t example = examples[i], row = self->off[i];
        if (self->options.head == TR_HEAD_CLASSIFY) {
            memcpy(self->ids + row, self->data->ids + self->first[example],
                   self->length[example] * sizeof *self->ids);
            self->targets[outputs++] = self->data->labels[example];
        } else if (self->options.head == TR_HEAD_CAUSAL) {
            outputs = put_window(self, example, row, outputs);
        } else {
            outputs = put_masked(self, epoch, example, row, outputs);
        }
    }
    *out = (tr_batch){.tokens = {self->ids, self->off, count},
                      .rows = self->options.head == TR_HEAD_CLASSIFY ? NULL : self->rows,
                      .targets = self->targets,
                      .outputs = outputs};
    return FS_OK;
}

uint64_t tr_source_epoch_steps(const tr_source *self)
{
    return tr_order_epoch_steps(self->order);
}

uint64_t tr_source_examples(const tr_source *self)
{
    return self->count;
}

uint64_t tr_source_tokens(const tr_source *self)
{
    return self->tokens;
}
