#include "tr_net.h"

#include <string.h>

#include "assert.h"
#include "nn_kernels.h"
#include "tr_parts.h"

/* Forward: groups down to the last block's output, then answers. */

typedef struct forward_pass {
    const tr_tape *tape;
    const tr_weights *weights;
    const tr_tape *from; /* whose state it begins with; NULL: from the ids */
    float *logits;
} forward_pass;

/* Copies what enters block `start` of a group. */
static void take_state(const tr_tape *tape, const tr_tape *from, const tr_group *group)
{
    const size_t d = tape->plan.config->d_model;
    const tr_acts *to = &tape->acts[tape->start - 1];
    const tr_span own = tr__own(to, group);
    memcpy(to->out + own.first * d, from->acts[tape->start - 1].out + own.first * d,
           own.rows * d * sizeof(float));
}

static void forward_group(void *context, size_t task, unsigned thread)
{
    const forward_pass *pass = context;
    const tr_group *group = &pass->tape->groups[task];
    const uint32_t start = pass->tape->start;
    if (start == 0)
        tr__embed(pass->tape, pass->weights, group);
    else
        take_state(pass->tape, pass->from, group);
    for (uint32_t layer = start; layer < pass->tape->plan.config->layers; layer++) {
        tr__block_forward(pass->tape, pass->weights, layer, group, thread);
    }
}

static void forward_answers(void *context, size_t task, unsigned thread)
{
    const forward_pass *pass = context;
    tr__head_forward(pass->tape, pass->weights, task, pass->logits);
}

static fs_status go_forward(tr_tape *tape, const tr_weights *weights, const tr_batch *batch,
                            const tr_pass *pass, const tr_tape *from, uint32_t layer, float *logits)
{
    FS_ASSERT(tr_weights_layout(weights) == tape->layout);
    FS_TRY(tr__tape_prepare(tape, batch, pass));
    tape->start = layer;
    forward_pass forward = {tape, weights, from, logits};
    tr_pool_run(tape->pool, tape->group_count, forward_group, &forward);
    tr_pool_run(tape->pool, tr__answer_blocks(tape), forward_answers, &forward);
    return FS_OK;
}

fs_status tr_forward(tr_tape *tape, const tr_weights *weights, const tr_batch *batch,
                     const tr_pass *pass, float *logits)
{
    return go_forward(tape, weights, batch, pass, NULL, 0, logits);
}

fs_status tr_forward_from(tr_tape *tape, const tr_weights *weights, const tr_tape *from,
                          uint32_t layer, float *logits)
{
    FS_ASSERT(from->batch != NULL && from->layout == tape->layout);
    FS_ASSERT(from->start == 0 && layer <= tape->plan.config->layers);
    return go_forward(tape, weights, from->batch, &from->pass, from, layer, logits);
}

/* Backward: answers, groups up to the embeddings, then all parameters at once. */

static void backward_answers(void *context, size_t task, unsigned thread)
{
    tr__head_backward(context, task, thread);
}

/* The gradient of the last block's output, where its backward pass expects it. */
static float *last_gradient(const tr_tape *tape, const tr_group *group)
{
    const size_t d = tape->plan.config->d_model;
    if (tape->acts[tape->plan.config->layers - 1].kept) {
        return tape->head.d_rows + group->first * d;
    }
    float *out = tape->d_state + group->row_first * d;
    memset(out, 0, group->rows * d * sizeof *out);
    for (uint32_t i = group->answer_first; i < group->answer_first + group->answers; i++) {
        const size_t row = tr__answer_row(tape, i) - group->row_first;
        memcpy(out + row * d, tape->head.d_rows + i * d, d * sizeof *out);
    }
    return out;
}

/* Adds what a branch has left of the gradient of what enters block `layer` of a group. */
static void join(const tr_tape *tape, const tr_tape *branch, const tr_group *group, uint32_t layer)
{
    const size_t d = tape->plan.config->d_model;
    if (branch == NULL || !branch->hands_down || branch->start != layer) return;
    if (layer == tape->plan.config->layers) {
        float *rows = tape->head.d_rows + group->answer_first * d;
        nn_add(rows, rows, branch->head.d_rows + group->answer_first * d, group->answers * d);
    } else {
        float *state = tape->d_state + group->row_first * d;
        nn_add(state, state, branch->d_state + group->row_first * d, group->rows * d);
    }
}

static void backward_group(void *context, size_t task, unsigned thread)
{
    const tr_backward_pass *pass = context;
    const tr_tape *tape = pass->tape;
    const tr_group *group = &tape->groups[task];
    const size_t d = tape->plan.config->d_model;
    memset(tr__norm_part(tape, task, 0), 0, tr__norm_slots(tape) * 2 * d * sizeof(float));
    join(tape, pass->branch, group, tape->plan.config->layers);
    float *d_out = last_gradient(tape, group);
    for (uint32_t layer = tape->plan.config->layers; layer-- > pass->floor;) {
        tr__block_backward(pass, layer, group, d_out, thread);
        join(tape, pass->branch, group, layer);
        d_out = tape->d_state + group->row_first * d;
    }
    if (pass->down_to_ids) tr__embed_backward(pass, group);
}

static int block_wants(const tr_backward_pass *pass, uint32_t layer)
{
    const tr_block block = tr__block(&pass->tape->plan, layer);
    return tr__wants_norm(pass, block.before) || tr__wants_norm(pass, block.middle) ||
           tr__wants_norm(pass, block.after) || tr__wants_linear(pass, &block.qkv) ||
           tr__wants_linear(pass, &block.context) || tr__wants_linear(pass, &block.up) ||
           tr__wants_linear(pass, &block.down);
}

/* Nothing below the lowest wanted tensor is worked out. */
static void find_floor(tr_backward_pass *pass)
{
    const tr_plan *plan = &pass->tape->plan;
    pass->down_to_ids = tr__wants(pass, plan->token) || tr__wants(pass, plan->position) ||
                        tr__wants(pass, plan->segment) ||
                        tr__wants_norm(pass, plan->embedding_norm);
    pass->floor = 0;
    while (!pass->down_to_ids && pass->floor < plan->config->layers &&
           !block_wants(pass, pass->floor))
        pass->floor++;
    tr_tape *tape = pass->tape;
    tape->hands_down = tape->start > 0 && (pass->down_to_ids || pass->floor < tape->start);
    if (!tape->hands_down) return;
    pass->floor = tape->start;
    pass->down_to_ids = 0;
}

fs_status tr_backward(tr_tape *tape, const tr_weights *weights, float *dlogits, float *grads,
                      const uint8_t *wanted)
{
    return tr_backward_joined(tape, weights, dlogits, grads, wanted, NULL);
}

fs_status tr_backward_joined(tr_tape *tape, const tr_weights *weights, float *dlogits, float *grads,
                             const uint8_t *wanted, const tr_tape *branch)
{
    FS_ASSERT(tape->batch != NULL && tr_weights_layout(weights) == tape->layout);
    FS_ASSERT(branch == NULL || branch->batch == tape->batch);
    tr_backward_pass pass = {
        .tape = tape, .weights = weights, .wanted = wanted, .dlogits = dlogits, .branch = branch};
    find_floor(&pass);
    tr_pool_run(tape->pool, tr__answer_blocks(tape), backward_answers, &pass);
    if (pass.floor < tape->plan.config->layers || pass.down_to_ids) {
        tr_pool_run(tape->pool, tape->group_count, backward_group, &pass);
    }
    return tr__gradients(&pass, grads);
}
