#include "tr_tape.h"

#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "nn_attention.h"
#include "nn_backward.h"

enum { LINE_FLOATS = 16, LINE_BYTES = 64, PARTS = 3 };

fs_status tr_tape_new(tr_tape **out, const tr_layout *layout, tr_pool *pool)
{
    *out = NULL;
    tr_tape *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a tape");
    self->layout = layout;
    self->pool = pool;
    tr__plan(&self->plan, layout);
    self->acts = calloc(self->plan.config->layers, sizeof *self->acts);
    if (self->acts == NULL) {
        tr_tape_destroy(&self);
        return fs_fail(FS_ENOMEM, "no memory for a tape");
    }
    *out = self;
    return FS_OK;
}

void tr_tape_destroy(tr_tape **self)
{
    if (*self == NULL) return;
    free((*self)->groups);
    free((*self)->offsets);
    free((*self)->acts);
    free((*self)->arena);
    free(*self);
    *self = NULL;
}

uint32_t tr_logit_count(const tr_layout *layout)
{
    const fs_config *config = &layout->geometry->config;
    return layout->head == TR_HEAD_CLASSIFY ? config->labels : config->vocab;
}

uint32_t tr__rows(const tr_tape *tape)
{
    return tape->batch->tokens.off[tape->batch->tokens.n_seq];
}

uint32_t tr__answer_row(const tr_tape *tape, uint32_t output)
{
    const tr_batch *batch = tape->batch;
    if (tape->layout->head != TR_HEAD_CLASSIFY) return batch->rows[output];
    /* BERT answers at the first token, GPT-2 at the last, which has seen all others. */
    return tape->plan.config->kind == FS_MODEL_BERT ? batch->tokens.off[output]
                                                    : batch->tokens.off[output + 1] - 1;
}

tr_span tr__own(const tr_acts *acts, const tr_group *group)
{
    return acts->kept ? (tr_span){group->first, group->n_seq}
                      : (tr_span){group->row_first, group->rows};
}

tr_scratch tr__scratch(const tr_tape *tape, unsigned thread)
{
    float *base = tape->scratch + thread * tape->scratch_stride;
    const size_t part = tape->scratch_part;
    return (tr_scratch){base, base + part, base + 2 * part, base + PARTS * part};
}

size_t tr__answer_blocks(const tr_tape *tape)
{
    return (tape->batch->outputs + TR_ANSWER_ROWS - 1) / TR_ANSWER_ROWS;
}

tr_span tr__answer_block(const tr_tape *tape, size_t block)
{
    const size_t first = block * TR_ANSWER_ROWS, left = tape->batch->outputs - first;
    return (tr_span){first, left < TR_ANSWER_ROWS ? left : TR_ANSWER_ROWS};
}

size_t tr__norm_slots(const tr_tape *tape)
{
    return tr__norm_slot(tape->plan.config->layers, 0);
}

size_t tr__norm_slot(uint32_t layer, unsigned which)
{
    return 1 + 2 * (size_t)layer + which;
}

float *tr__norm_part(const tr_tape *tape, size_t group, size_t slot)
{
    return tape->norm_parts +
           (group * tr__norm_slots(tape) + slot) * 2 * tape->plan.config->d_model;
}

/* Groups */

static void check_batch(const tr_tape *self, const tr_batch *batch)
{
    const fs_config *config = self->plan.config;
    const nn_batch *tokens = &batch->tokens;
    const int classifies = self->layout->head == TR_HEAD_CLASSIFY;
    FS_ASSERT(tokens->n_seq > 0 && tokens->off[0] == 0);
    for (uint32_t s = 0; s < tokens->n_seq; s++) {
        FS_ASSERT(tokens->off[s + 1] > tokens->off[s]);
        FS_ASSERT(tokens->off[s + 1] - tokens->off[s] <= config->positions);
    }
    const uint32_t rows = tokens->off[tokens->n_seq];
    for (uint32_t i = 0; i < rows; i++) {
        FS_ASSERT(tokens->ids[i] >= 0 && (uint32_t)tokens->ids[i] < config->vocab);
    }
    FS_ASSERT(classifies ? batch->outputs == tokens->n_seq : batch->outputs <= rows);
    for (uint32_t i = 0; !classifies && i < batch->outputs; i++) {
        FS_ASSERT(batch->rows[i] < rows && (i == 0 || batch->rows[i] > batch->rows[i - 1]));
    }
}

/* Never more groups than sequences; each has one offset more than sequences. */
static fs_status reserve_groups(tr_tape *self, size_t sequences)
{
    if (sequences <= self->groups_max) return FS_OK;
    tr_group *groups = realloc(self->groups, sequences * sizeof *groups);
    if (groups != NULL) self->groups = groups;
    uint32_t *offsets = realloc(self->offsets, 2 * sequences * sizeof *offsets);
    if (offsets != NULL) self->offsets = offsets;
    if (groups == NULL || offsets == NULL)
        return fs_fail(FS_ENOMEM, "no memory for %zu groups", sequences);
    self->groups_max = sequences;
    return FS_OK;
}

/* Sequences [first, end) become a group. */
static void add_group(tr_tape *self, uint32_t first, uint32_t end, uint32_t *offsets)
{
    const uint32_t *off = self->batch->tokens.off;
    const uint32_t outputs = self->batch->outputs;
    tr_group *last = self->group_count > 0 ? &self->groups[self->group_count - 1] : NULL;
    tr_group *group = &self->groups[self->group_count];
    *group = (tr_group){.index = self->group_count++,
                        .first = first,
                        .n_seq = end - first,
                        .row_first = off[first],
                        .rows = off[end] - off[first],
                        .answer_first = last != NULL ? last->answer_first + last->answers : 0,
                        .off = offsets};
    for (uint32_t s = first; s <= end; s++) offsets[s - first] = off[s] - off[first];
    while (group->answer_first + group->answers < outputs &&
           tr__answer_row(self, group->answer_first + group->answers) < off[end]) {
        group->answers++;
    }
}

static fs_status make_groups(tr_tape *self)
{
    const nn_batch *tokens = &self->batch->tokens;
    FS_TRY(reserve_groups(self, tokens->n_seq));
    self->group_count = 0;
    uint32_t *offsets = self->offsets;
    for (uint32_t first = 0, end; first < tokens->n_seq; first = end) {
        end = first + 1;
        while (end < tokens->n_seq && tokens->off[end + 1] - tokens->off[first] <= TR_GROUP_ROWS) {
            end++;
        }
        add_group(self, first, end, offsets);
        offsets += end - first + 1;
    }
    return FS_OK;
}

/* Memory: the same carving is gone through twice, first without memory to find its size. */

typedef struct carver {
    float *base; /* or NULL */
    size_t used;
} carver;

static float *carve(carver *self, size_t rows, size_t cols)
{
    float *part = self->base != NULL ? self->base + self->used : NULL;
    self->used += (rows * cols + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
    return part;
}

static void carve_block(tr_tape *self, carver *c, tr_acts *acts, float *x)
{
    const fs_config *config = self->plan.config;
    const size_t d = config->d_model, ff = config->d_ff, all = tr__rows(self);
    const size_t own = acts->kept ? self->batch->tokens.n_seq : all;
    acts->x = x;
    acts->source = self->plan.pre_norm ? carve(c, all, d) : x;
    acts->qkv = carve(c, all, 3 * d);
    acts->context = carve(c, own, d);
    acts->sum = carve(c, own, d);
    acts->normed = carve(c, own, d);
    acts->pre = carve(c, own, ff);
    acts->hidden = carve(c, own, ff);
    acts->out = carve(c, own, d);
    acts->last_sum = self->plan.pre_norm ? acts->out : carve(c, own, d);
    acts->d_qkv = carve(c, all, 3 * d);
    acts->d_context_out = carve(c, own, d);
    acts->d_pre = carve(c, own, ff);
    acts->d_mlp_out = carve(c, own, d);
}

static void carve_head(tr_tape *self, carver *c)
{
    const size_t d = self->plan.config->d_model, outputs = self->batch->outputs;
    const tr_acts *last = &self->acts[self->plan.config->layers - 1];
    tr_head_acts *head = &self->head;
    head->rows = last->kept ? last->out : carve(c, outputs, d);
    head->pre = self->plan.has_dense ? carve(c, outputs, d) : NULL;
    head->activated = self->plan.has_dense ? carve(c, outputs, d) : NULL;
    head->d_pre = self->plan.has_dense ? carve(c, outputs, d) : NULL;
    head->features = carve(c, outputs, d);
    head->d_rows = carve(c, outputs, d);
}

static void carve_scratch(tr_tape *self, carver *c)
{
    const fs_config *config = self->plan.config;
    const nn_attention_shape shape = {.heads = config->heads,
                                      .d_head = config->d_model / config->heads,
                                      .causal = config->kind == FS_MODEL_GPT2};
    size_t rows = TR_ANSWER_ROWS;
    uint32_t longest = 0;
    for (size_t g = 0; g < self->group_count; g++) {
        const tr_group *group = &self->groups[g];
        if (group->rows > rows) rows = group->rows;
        for (uint32_t s = 0; s < group->n_seq; s++) {
            const uint32_t length = group->off[s + 1] - group->off[s];
            if (length > longest) longest = length;
        }
    }
    carver thread = {0};
    carve(&thread, rows, config->d_model);
    self->scratch_part = thread.used;
    thread.used *= PARTS;
    carve(&thread, 1, nn_attention_backward_scratch(&shape, longest));
    self->scratch_stride = thread.used;
    self->scratch = carve(c, tr_pool_threads(self->pool), self->scratch_stride);
}

static void carve_all(tr_tape *self, carver *c)
{
    const fs_config *config = self->plan.config;
    const size_t d = config->d_model, rows = tr__rows(self);
    self->embedded = self->plan.embedding_norm != TR_NONE ? carve(c, rows, d) : NULL;
    self->first = carve(c, rows, d);
    self->d_state = carve(c, rows, d);
    float *x = self->first;
    for (uint32_t layer = 0; layer < config->layers; layer++) {
        tr_acts *acts = &self->acts[layer];
        acts->kept = layer + 1 == config->layers && self->layout->head == TR_HEAD_CLASSIFY &&
                     self->pass.probe == NULL;
        carve_block(self, c, acts, x);
        x = acts->out;
    }
    carve_head(self, c);
    self->norm_parts = carve(c, self->group_count * tr__norm_slots(self), 2 * d);
    self->head_parts = carve(c, tr__answer_blocks(self), 2 * d);
    carve_scratch(self, c);
}

static fs_status carve_arena(tr_tape *self)
{
    carver c = {0};
    carve_all(self, &c);
    if (c.used > self->arena_floats) {
        void *larger;
        const size_t bytes = c.used * sizeof(float);
        free(self->arena);
        self->arena = NULL;
        self->arena_floats = 0;
        if (posix_memalign(&larger, LINE_BYTES, bytes) != 0) {
            return fs_fail(FS_ENOMEM, "no memory for %zu bytes of activations of %u tokens", bytes,
                           tr__rows(self));
        }
        self->arena = larger;
        self->arena_floats = c.used;
    }
    c = (carver){.base = self->arena};
    carve_all(self, &c);
    return FS_OK;
}

fs_status tr__tape_prepare(tr_tape *self, const tr_batch *batch, const tr_pass *pass)
{
    check_batch(self, batch);
    self->batch = batch;
    self->pass = *pass;
    fs_status status = make_groups(self);
    if (status == FS_OK) status = carve_arena(self);
    if (status != FS_OK) self->batch = NULL; /* nothing that tr_backward could go on from */
    return status;
}
