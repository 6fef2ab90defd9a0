#include "tr_objective.h"

#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "tr_loss.h"

enum { RUN_LOGITS = 1 << 24 /* floats of one run's answers, or of a single longer sequence */ };

struct tr_objective {
    const tr_layout *layout;
    tr_pool *pool;
    tr_objective_options options;
    tr_hooks hooks;
    tr_tape *tape;
    uint32_t *off, *rows; /* of one run, counted from its own first row */
    size_t off_capacity, rows_capacity;
    float *logits, *dlogits; /* the same memory without a hook that needs both */
    size_t logits_capacity;
};

fs_status tr_objective_new(tr_objective **out, const tr_layout *layout, tr_pool *pool,
                           const tr_objective_options *options, const tr_hooks *hooks)
{
    FS_ASSERT(options->accumulate >= 1);
    *out = NULL;
    tr_objective *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a training step");
    self->layout = layout;
    self->pool = pool;
    self->options = *options;
    if (self->options.run_tokens == 0) self->options.run_tokens = TR_RUN_TOKENS;
    if (hooks != NULL) self->hooks = *hooks;
    fs_status status = tr_tape_new(&self->tape, layout, pool);
    if (status != FS_OK) tr_objective_destroy(&self);
    *out = self;
    return status;
}

void tr_objective_destroy(tr_objective **self)
{
    if (*self == NULL) return;
    tr_tape_destroy(&(*self)->tape);
    free((*self)->off);
    free((*self)->rows);
    if ((*self)->dlogits != (*self)->logits) free((*self)->dlogits);
    free((*self)->logits);
    free(*self);
    *self = NULL;
}

static fs_status grow(uint32_t **items, size_t *capacity, size_t count)
{
    if (count <= *capacity) return FS_OK;
    free(*items);
    *capacity = 0;
    *items = calloc(count, sizeof **items);
    if (*items == NULL) return fs_fail(FS_ENOMEM, "no memory for a run of sequences");
    *capacity = count;
    return FS_OK;
}

static fs_status grow_logits(tr_objective *self, size_t count)
{
    if (count <= self->logits_capacity) return FS_OK;
    if (self->dlogits != self->logits) free(self->dlogits);
    free(self->logits);
    self->dlogits = NULL;
    self->logits_capacity = 0;
    self->logits = calloc(count, sizeof *self->logits);
    if (self->logits == NULL) return fs_fail(FS_ENOMEM, "no memory for the answers of a run");
    self->dlogits = self->logits;
    if (self->hooks.run != NULL) self->dlogits = calloc(count, sizeof *self->dlogits);
    if (self->dlogits == NULL) return fs_fail(FS_ENOMEM, "no memory for the answers of a run");
    self->logits_capacity = count;
    return FS_OK;
}

/* Where a batch's sequences and outputs stand. */
typedef struct cursor {
    uint32_t seq, output;
} cursor;

/* @return outputs from `first` on that lie before row `end`. */
static uint32_t outputs_before(const tr_batch *batch, uint32_t first, uint32_t end)
{
    uint32_t n = 0;
    while (first + n < batch->outputs && batch->rows[first + n] < end) n++;
    return n;
}

/* Cuts the next run off a batch: whole sequences. Its arrays live until the next one. */
static fs_status cut(tr_objective *self, const tr_batch *batch, cursor *at, tr_batch *out)
{
    const uint32_t *off = batch->tokens.off;
    const size_t per_output = tr_logit_count(self->layout);
    const int by_sequence = batch->rows == NULL;
    const uint32_t base = off[at->seq];
    uint32_t n = 0, outputs = 0;
    while (at->seq + n < batch->tokens.n_seq) {
        const uint32_t end = off[at->seq + n + 1];
        const uint32_t more = by_sequence ? 1 : outputs_before(batch, at->output + outputs, end);
        if (n > 0 &&
            (end - base > self->options.run_tokens || (outputs + more) * per_output > RUN_LOGITS))
            break;
        outputs += more;
        n++;
    }
    FS_TRY(grow(&self->off, &self->off_capacity, (size_t)n + 1));
    FS_TRY(grow(&self->rows, &self->rows_capacity, (size_t)outputs + 1));
    FS_TRY(grow_logits(self, (outputs + 1) * per_output));
    for (uint32_t i = 0; i <= n; i++) self->off[i] = off[at->seq + i] - base;
    if (!by_sequence)
        for (uint32_t i = 0; i < outputs; i++) self->rows[i] = batch->rows[at->output + i] - base;
    *out = (tr_batch){.tokens = {batch->tokens.ids + base, self->off, n},
                      .rows = by_sequence ? NULL : self->rows,
                      .targets = batch->targets + at->output,
                      .outputs = outputs};
    at->seq += n;
    at->output += outputs;
    return FS_OK;
}

fs_status tr_objective_plain(const tr_run *run, tr_sums *sums)
{
    const tr_batch *batch = run->batch;
    const uint32_t n = tr_logit_count(tr_weights_layout(run->weights));
    FS_TRY(tr_forward(run->tape, run->weights, batch, run->pass, run->logits));
    const double loss =
        tr_loss_cross_entropy(run->pool, run->logits, batch->targets, batch->outputs, n,
                              run->smoothing, run->scale, run->dlogits, &sums->right);
    sums->loss += loss;
    sums->task += loss;
    sums->outputs += batch->outputs;
    return tr_backward(run->tape, run->weights, run->dlogits, run->grads, run->wanted);
}

/* Counts the outputs of a step of several batches before any of them is answered. */
static fs_status count_outputs(tr_source *source, uint64_t first, uint32_t batches, uint64_t *out)
{
    *out = 0;
    for (uint32_t i = 0; i < batches; i++) {
        tr_batch batch;
        FS_TRY(tr_source_batch(source, first + i, &batch));
        *out += batch.outputs;
    }
    return FS_OK;
}

static fs_status do_batch(tr_objective *self, const tr_batch *batch, const tr_run *step,
                          tr_pass *pass, tr_sums *sums)
{
    cursor at = {0};
    while (at.seq < batch->tokens.n_seq) {
        tr_batch part;
        FS_TRY(cut(self, batch, &at, &part));
        tr_run run = *step;
        run.batch = &part;
        run.logits = self->logits;
        run.dlogits = self->dlogits;
        if (part.outputs > 0) {
            FS_TRY(self->hooks.run != NULL ? self->hooks.run(self->hooks.context, &run, sums)
                                           : tr_objective_plain(&run, sums));
        }
        pass->row_first += part.tokens.off[part.tokens.n_seq];
    }
    return FS_OK;
}

fs_status tr_objective_step(tr_objective *self, tr_source *source, const tr_weights *weights,
                            uint64_t step, float *grads, const uint8_t *wanted, tr_sums *sums,
                            uint64_t *tokens)
{
    const uint32_t batches = self->options.accumulate;
    const uint64_t first = step * batches;
    uint64_t outputs = 0;
    tr_batch batch;
    *sums = (tr_sums){0};
    *tokens = 0;
    if (grads != NULL) memset(grads, 0, self->layout->floats * sizeof *grads);
    if (batches > 1) FS_TRY(count_outputs(source, first, batches, &outputs));
    tr_pass pass = {.dropout = self->options.dropout,
                    .attention_dropout = self->options.attention_dropout,
                    .key = self->options.key,
                    .step = step,
                    .probe = self->hooks.probe};
    tr_run run = {.step = step,
                  .pass = &pass,
                  .tape = self->tape,
                  .pool = self->pool,
                  .weights = weights,
                  .smoothing = self->options.smoothing,
                  .grads = grads,
                  .wanted = wanted};
    for (uint32_t i = 0; i < batches; i++) {
        FS_TRY(tr_source_batch(source, first + i, &batch));
        if (batches == 1) outputs = batch.outputs;
        run.scale = outputs == 0 ? 0 : (float)(1 / (double)outputs);
        FS_TRY(do_batch(self, &batch, &run, &pass, sums));
        *tokens += batch.tokens.off[batch.tokens.n_seq];
    }
    return FS_OK;
}
