#include <string.h>

#include "nn_attention.h"
#include "nn_backward.h"
#include "nn_kernels.h"
#include "tr_parts.h"

/* Attention as a group of this tape needs it. */
typedef struct attention {
    nn_attention_shape shape;
    nn_dropout dropout;
    uint64_t row_first;
    uint32_t positions;
} attention;

static uint32_t place_of(uint32_t layer, uint32_t stage)
{
    return TR_PLACE_LAYERS + TR_PLACES_PER_LAYER * layer + stage;
}

static attention attention_of(const tr_tape *tape, uint32_t layer, const tr_group *group)
{
    const fs_config *config = tape->plan.config;
    return (attention){.shape = {.heads = config->heads,
                                 .d_head = config->d_model / config->heads,
                                 .causal = config->kind == FS_MODEL_GPT2,
                                 .rows = NN_ROWS_ALL},
                       .dropout = {.key = tape->pass.key,
                                   .step = tape->pass.step,
                                   .place = place_of(layer, TR_PLACE_PROBABILITIES),
                                   .probability = tape->pass.attention_dropout},
                       .row_first = (uint64_t)tape->pass.row_first + group->row_first,
                       .positions = config->positions};
}

/* The row within the group that its sequence `s` keeps. */
static size_t kept_row(const tr_tape *tape, const tr_group *group, uint32_t s)
{
    return tr__answer_row(tape, group->first + s) - group->row_first;
}

static void gather(const tr_tape *tape, const tr_group *group, float *out, const float *x)
{
    const size_t d = tape->plan.config->d_model;
    for (uint32_t s = 0; s < group->n_seq; s++) {
        memcpy(out + s * d, x + kept_row(tape, group, s) * d, d * sizeof *out);
    }
}

/* out [rows of the group, d]: zero but for the rows that are kept. */
static void spread(const tr_tape *tape, const tr_group *group, float *out, const float *kept)
{
    const size_t d = tape->plan.config->d_model;
    memset(out, 0, group->rows * d * sizeof *out);
    for (uint32_t s = 0; s < group->n_seq; s++) {
        memcpy(out + kept_row(tape, group, s) * d, kept + s * d, d * sizeof *out);
    }
}

static void drop(const tr_tape *tape, const tr_acts *acts, const tr_group *group, uint32_t place,
                 float *x)
{
    const size_t d = tape->plan.config->d_model;
    if (!acts->kept) {
        tr__drop(tape, place, x, group->row_first, group->rows);
        return;
    }
    for (uint32_t s = 0; s < group->n_seq; s++) {
        tr__drop(tape, place, x + s * d, tr__answer_row(tape, group->first + s), 1);
    }
}

/* Forward */

/* Queries, keys and values of all rows; the context of the block's own. */
static void attend(const tr_tape *tape, const tr_weights *weights, uint32_t layer,
                   const tr_group *group, const tr_scratch *scratch)
{
    const tr_acts *acts = &tape->acts[layer];
    const tr_block block = tr__block(&tape->plan, layer);
    const size_t d = tape->plan.config->d_model, first = group->row_first, rows = group->rows;
    const attention a = attention_of(tape, layer, group);
    float *source = acts->source + first * d, *qkv = acts->qkv + first * 3 * d;
    if (block.before != TR_NONE) {
        tr__normalise(tape, weights, block.before, source, acts->x + first * d, rows);
    }
    tr__apply(weights, &block.qkv, qkv, source, rows);
    tr__visit(tape, TR_STAGE_ATTENTION_QKV, layer, qkv, first, rows, 3 * d);
    const tr_span own = tr__own(acts, group);
    float *context = acts->context + own.first * d;
    float *all = acts->kept ? scratch->a : context;
    nn_attention_dropped(all, qkv, group->off, group->n_seq, &a.shape, &a.dropout, a.row_first,
                         a.positions, scratch->attention);
    tr__visit(tape, TR_STAGE_ATTENTION_CONTEXT, layer, all, first, rows, d);
    if (acts->kept) gather(tape, group, context, all);
}

void tr__block_forward(const tr_tape *tape, const tr_weights *weights, uint32_t layer,
                       const tr_group *group, unsigned thread)
{
    const tr_acts *acts = &tape->acts[layer];
    const tr_block block = tr__block(&tape->plan, layer);
    const tr_scratch scratch = tr__scratch(tape, thread);
    const tr_span own = tr__own(acts, group);
    const size_t d = tape->plan.config->d_model, ff = tape->plan.config->d_ff;
    const size_t n = own.rows * d;
    float *sum = acts->sum + own.first * d, *normed = acts->normed + own.first * d;
    float *pre = acts->pre + own.first * ff, *hidden = acts->hidden + own.first * ff;
    float *last_sum = acts->last_sum + own.first * d, *out = acts->out + own.first * d;
    float *x = acts->x + group->row_first * d, *product = scratch.b;

    attend(tape, weights, layer, group, &scratch);
    tr__apply(weights, &block.context, product, acts->context + own.first * d, own.rows);
    tr__visit(tape, TR_STAGE_ATTENTION_OUT, layer, product, own.first, own.rows, d);
    drop(tape, acts, group, place_of(layer, TR_PLACE_ATTENTION_OUT), product);
    if (acts->kept) {
        gather(tape, group, scratch.c, x);
        x = scratch.c;
    }
    nn_add(sum, product, x, n);
    tr__normalise(tape, weights, block.middle, normed, sum, own.rows);

    tr__apply(weights, &block.up, pre, normed, own.rows);
    memcpy(hidden, pre, own.rows * ff * sizeof *hidden);
    tr__activate(tape, hidden, own.rows * ff);
    tr__visit(tape, TR_STAGE_MLP_HIDDEN, layer, hidden, own.first, own.rows, ff);
    tr__apply(weights, &block.down, product, hidden, own.rows);
    tr__visit(tape, TR_STAGE_MLP_OUT, layer, product, own.first, own.rows, d);
    drop(tape, acts, group, place_of(layer, TR_PLACE_MLP_OUT), product);
    nn_add(last_sum, product, tape->plan.pre_norm ? sum : normed, n);
    if (block.after != TR_NONE) {
        tr__normalise(tape, weights, block.after, out, last_sum, own.rows);
    }
    tr__visit(tape, TR_STAGE_BLOCK_OUT, layer, out, own.first, own.rows, d);
}

/* Backward */

/* d: from the gradient of the block's output to that of `sum`. */
static void mlp_backward(const tr_backward_pass *pass, uint32_t layer, const tr_group *group,
                         float *d_out, const tr_scratch *scratch)
{
    const tr_tape *tape = pass->tape;
    const tr_acts *acts = &tape->acts[layer];
    const tr_block block = tr__block(&tape->plan, layer);
    const tr_span own = tr__own(acts, group);
    const size_t d = tape->plan.config->d_model, ff = tape->plan.config->d_ff;
    float *d_mlp_out = acts->d_mlp_out + own.first * d, *d_pre = acts->d_pre + own.first * ff;
    const float *sum = acts->sum + own.first * d;
    if (block.after != TR_NONE) {
        tr__normalise_backward(pass, block.after, d_out, acts->last_sum + own.first * d, own.rows,
                               tr__norm_part(tape, group->index, tr__norm_slot(layer, 1)));
    }
    memcpy(d_mlp_out, d_out, own.rows * d * sizeof *d_mlp_out);
    drop(tape, acts, group, place_of(layer, TR_PLACE_MLP_OUT), d_mlp_out);
    tr__apply_backward(pass->weights, &block.down, d_pre, d_mlp_out, own.rows, 0);
    tr__activate_backward(tape, d_pre, acts->pre + own.first * ff, own.rows * ff);
    float *part =
        tr__norm_part(tape, group->index, tr__norm_slot(layer, tape->plan.pre_norm ? 1 : 0));
    if (tape->plan.pre_norm) {
        tr__apply_backward(pass->weights, &block.up, scratch->a, d_pre, own.rows, 0);
        tr__normalise_backward(pass, block.middle, scratch->a, sum, own.rows, part);
        nn_add(d_out, d_out, scratch->a, own.rows * d);
    } else {
        tr__apply_backward(pass->weights, &block.up, d_out, d_pre, own.rows, 1);
        tr__normalise_backward(pass, block.middle, d_out, sum, own.rows, part);
    }
}

/* Nonzero if anything below the products of this block's attention wants a gradient. */
static int goes_on(const tr_backward_pass *pass, uint32_t layer, const tr_block *block)
{
    return layer > pass->floor || pass->down_to_ids || pass->tape->hands_down ||
           tr__wants_norm(pass, block->before);
}

void tr__block_backward(const tr_backward_pass *pass, uint32_t layer, const tr_group *group,
                        float *d_out, unsigned thread)
{
    const tr_tape *tape = pass->tape;
    const tr_acts *acts = &tape->acts[layer];
    const tr_block block = tr__block(&tape->plan, layer);
    const tr_scratch scratch = tr__scratch(tape, thread);
    const tr_span own = tr__own(acts, group);
    const size_t d = tape->plan.config->d_model, first = group->row_first, rows = group->rows;
    const attention a = attention_of(tape, layer, group);
    float *d_context_out = acts->d_context_out + own.first * d;
    float *d_qkv = acts->d_qkv + first * 3 * d, *d_x = tape->d_state + first * d;

    mlp_backward(pass, layer, group, d_out, &scratch);
    memcpy(d_context_out, d_out, own.rows * d * sizeof *d_context_out);
    drop(tape, acts, group, place_of(layer, TR_PLACE_ATTENTION_OUT), d_context_out);
    float *d_context = scratch.a;
    tr__apply_backward(pass->weights, &block.context, d_context, d_context_out, own.rows, 0);
    if (acts->kept) {
        spread(tape, group, scratch.b, d_context);
        d_context = scratch.b;
        spread(tape, group, d_x, d_out);
    }
    nn_attention_backward(d_qkv, d_context, acts->qkv + first * 3 * d, group->off, group->n_seq,
                          &a.shape, &a.dropout, a.row_first, a.positions, scratch.attention);
    if (!goes_on(pass, layer, &block)) return;
    if (block.before == TR_NONE) {
        tr__apply_backward(pass->weights, &block.qkv, d_x, d_qkv, rows, 1);
        return;
    }
    tr__apply_backward(pass->weights, &block.qkv, scratch.a, d_qkv, rows, 0);
    tr__normalise_backward(pass, block.before, scratch.a, acts->x + first * d, rows,
                           tr__norm_part(tape, group->index, tr__norm_slot(layer, 0)));
    nn_add(d_x, d_x, scratch.a, rows * d);
}
