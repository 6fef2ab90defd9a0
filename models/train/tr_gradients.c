/* Gradients of parameters: one product over all rows of the batch for each weight, cut into tiles
 * of the weight. Each element is one chain over the rows in order, whoever computes its tile. */
#include <stdlib.h>

#include "assert.h"
#include "nn_backward.h"
#include "nn_kernels.h"
#include "tr_parts.h"

enum {
    TILE_ROWS = 256, /* of a weight */
    TILE_COLS = 256
};

typedef enum job_kind {
    JOB_PRODUCT,  /* out [m, n] += a^T b over k rows */
    JOB_SUMS,     /* out [n] += sum of k rows of b */
    JOB_TOKENS,   /* a run of the token table: JOB_PRODUCT if it is tied, then its lookups */
    JOB_POSITIONS /* the position table's lookups */
} job_kind;

typedef struct job {
    job_kind kind;
    float *out;
    const float *a, *b; /* a: NULL where there is no product */
    size_t ldo, lda, ldb, m, n, k;
    int32_t id_first; /* of a run of the token table */
} job;

/* The jobs of a pass; counted first, then written. */
typedef struct jobs {
    const tr_backward_pass *pass;
    float *grads;
    job *list; /* NULL: counting */
    size_t count;
} jobs;

static void add(jobs *self, job one)
{
    if (self->list != NULL) self->list[self->count] = one;
    self->count++;
}

static float *gradient_of(const jobs *self, int tensor)
{
    return self->grads + self->pass->tape->layout->tensors[tensor].first;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void add_product(jobs *self, job whole)
{
    for (size_t row = 0; row < whole.m; row += TILE_ROWS) {
        for (size_t col = 0; col < whole.n; col += TILE_COLS) {
            job tile = whole;
            tile.out += row * whole.ldo + col;
            tile.a += row;
            tile.b += col;
            tile.m = smaller(TILE_ROWS, whole.m - row);
            tile.n = smaller(TILE_COLS, whole.n - col);
            add(self, tile);
        }
    }
}

static void add_sums(jobs *self, int tensor, const float *rows, size_t stride, size_t count,
                     size_t cols)
{
    if (!tr__wants(self->pass, tensor)) return;
    add(self, (job){.kind = JOB_SUMS,
                    .out = gradient_of(self, tensor),
                    .b = rows,
                    .ldb = stride,
                    .n = cols,
                    .k = count});
}

/* The weights and biases of y = x W + b, from x and dy. */
static void add_linear(jobs *self, const tr_linear *linear, const float *x, const float *dy,
                       size_t rows)
{
    const size_t in = linear->in, out = linear->out, stride = linear->parts * out;
    for (unsigned i = 0; i < linear->parts; i++, dy += out) {
        add_sums(self, linear->bias[i], dy, stride, rows, out);
        if (!tr__wants(self->pass, linear->weight[i])) continue;
        job whole = {.kind = JOB_PRODUCT, .out = gradient_of(self, linear->weight[i]), .k = rows};
        if (linear->conv) {
            whole.a = x, whole.lda = whole.m = in;
            whole.b = dy, whole.ldb = stride, whole.n = whole.ldo = out;
        } else {
            whole.a = dy, whole.lda = stride, whole.m = out;
            whole.b = x, whole.ldb = whole.n = whole.ldo = in;
        }
        add_product(self, whole);
    }
}

static void add_norm(jobs *self, tr_norm norm, const float *parts, size_t stride, size_t count)
{
    const size_t d = self->pass->tape->plan.config->d_model;
    if (norm == TR_NONE) return;
    add_sums(self, norm, parts, stride, count, d);
    add_sums(self, norm + 1, parts + d, stride, count, d);
}

static void add_block_norm(jobs *self, tr_norm norm, size_t slot)
{
    const tr_tape *tape = self->pass->tape;
    const size_t stride = tr__norm_slots(tape) * 2 * tape->plan.config->d_model;
    add_norm(self, norm, tr__norm_part(tape, 0, slot), stride, tape->group_count);
}

static void add_block(jobs *self, uint32_t layer)
{
    const tr_tape *tape = self->pass->tape;
    const tr_acts *acts = &tape->acts[layer];
    const tr_block block = tr__block(&tape->plan, layer);
    const size_t all = tr__rows(tape), own = acts->kept ? tape->batch->tokens.n_seq : all;
    const int pre_norm = tape->plan.pre_norm;
    add_linear(self, &block.qkv, acts->source, acts->d_qkv, all);
    add_linear(self, &block.context, acts->context, acts->d_context_out, own);
    add_linear(self, &block.up, acts->normed, acts->d_pre, own);
    add_linear(self, &block.down, acts->hidden, acts->d_mlp_out, own);
    add_block_norm(self, pre_norm ? block.before : block.middle, tr__norm_slot(layer, 0));
    add_block_norm(self, pre_norm ? block.middle : block.after, tr__norm_slot(layer, 1));
}

/* The token table: its use as the head's matrix, if it is tied, and its lookups. */
static void add_tokens(jobs *self)
{
    const tr_tape *tape = self->pass->tape;
    const tr_plan *plan = &tape->plan;
    const size_t d = plan->config->d_model, vocab = plan->config->vocab;
    const int tied = plan->logits.weight[0] == plan->token;
    if (!tr__wants(self->pass, plan->token) || !(tied || self->pass->down_to_ids)) return;
    for (size_t row = 0; row < vocab; row += TILE_ROWS) {
        add(self, (job){.kind = JOB_TOKENS,
                        .out = gradient_of(self, plan->token) + row * d,
                        .a = tied ? self->pass->dlogits + row : NULL,
                        .b = tape->head.features,
                        .ldo = d,
                        .lda = vocab,
                        .ldb = d,
                        .m = smaller(TILE_ROWS, vocab - row),
                        .n = d,
                        .k = tape->batch->outputs,
                        .id_first = (int32_t)row});
    }
}

static void add_head(jobs *self)
{
    const tr_tape *tape = self->pass->tape;
    const tr_plan *plan = &tape->plan;
    const tr_head_acts *head = &tape->head;
    const size_t outputs = tape->batch->outputs, n = plan->logits.out;
    if (plan->logits.weight[0] == plan->token)
        add_sums(self, plan->logits.bias[0], self->pass->dlogits, n, outputs, n);
    else
        add_linear(self, &plan->logits, head->features, self->pass->dlogits, outputs);
    if (plan->has_dense) add_linear(self, &plan->dense, head->rows, head->d_pre, outputs);
    add_norm(self, plan->final_norm, tape->head_parts, 2 * plan->config->d_model,
             tr__answer_blocks(tape));
}

static void add_all(jobs *self)
{
    const tr_tape *tape = self->pass->tape;
    const tr_plan *plan = &tape->plan;
    const size_t d = plan->config->d_model, rows = tr__rows(tape);
    add_tokens(self);
    add_head(self);
    for (uint32_t layer = self->pass->floor; layer < plan->config->layers; layer++) {
        add_block(self, layer);
    }
    if (!self->pass->down_to_ids) return;
    add_block_norm(self, plan->embedding_norm, 0);
    add_sums(self, plan->segment, tape->d_state, d, rows, d);
    if (tr__wants(self->pass, plan->position)) {
        add(self, (job){.kind = JOB_POSITIONS, .out = gradient_of(self, plan->position)});
    }
}

/* Running them */

static void add_tokens_read(const tr_tape *tape, const job *one)
{
    const size_t d = tape->plan.config->d_model, rows = tr__rows(tape);
    const int32_t *ids = tape->batch->tokens.ids;
    for (size_t row = 0; row < rows; row++) {
        const int32_t id = ids[row] - one->id_first;
        if (id < 0 || (size_t)id >= one->m) continue;
        float *out = one->out + (size_t)id * d;
        nn_add(out, out, tape->d_state + row * d, d);
    }
}

static void add_positions_read(const tr_tape *tape, const job *one)
{
    const size_t d = tape->plan.config->d_model;
    const nn_batch *tokens = &tape->batch->tokens;
    for (uint32_t s = 0; s < tokens->n_seq; s++) {
        const size_t length = tokens->off[s + 1] - tokens->off[s];
        nn_add(one->out, one->out, tape->d_state + tokens->off[s] * d, length * d);
    }
}

static void product(const job *one)
{
    nn_gemm_tn(one->out, one->ldo, one->a, one->lda, one->b, one->ldb, one->m, one->n, one->k);
}

static void run_job(void *context, size_t task, unsigned thread)
{
    const jobs *self = context;
    const job *one = &self->list[task];
    switch (one->kind) {
    case JOB_PRODUCT:
        product(one);
        return;
    case JOB_SUMS:
        nn_column_sums(one->out, one->b, one->ldb, one->k, one->n);
        return;
    case JOB_TOKENS:
        if (one->a != NULL) product(one);
        if (self->pass->down_to_ids) add_tokens_read(self->pass->tape, one);
        return;
    case JOB_POSITIONS:
        add_positions_read(self->pass->tape, one);
        return;
    }
    FS_ASSERT(0);
}

fs_status tr__gradients(const tr_backward_pass *pass, float *grads)
{
    jobs all = {.pass = pass, .grads = grads};
    add_all(&all);
    if (all.count == 0) return FS_OK;
    all.list = malloc(all.count * sizeof *all.list);
    if (all.list == NULL) return fs_fail(FS_ENOMEM, "no memory for %zu products", all.count);
    all.count = 0;
    add_all(&all);
    tr_pool_run(pass->tape->pool, all.count, run_job, &all);
    free(all.list);
    return FS_OK;
}
