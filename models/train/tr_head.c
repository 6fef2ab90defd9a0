#include <string.h>

#include "nn_backward.h"
#include "nn_kernels.h"
#include "tr_parts.h"

/* BERT's pooler has a tanh and dropout, the masked head's transform the model's activation; each
 * comes after the dense layer. GPT-2's heads have none. */
static int pools(const tr_tape *tape)
{
    return tape->plan.has_dense && tape->layout->head == TR_HEAD_CLASSIFY;
}

static void drop_pooled(const tr_tape *tape, tr_span block, float *x)
{
    const size_t d = tape->plan.config->d_model;
    for (size_t i = 0; i < block.rows; i++) {
        const uint32_t row = tr__answer_row(tape, (uint32_t)(block.first + i));
        tr__drop(tape, TR_PLACE_POOLED, x + i * d, row, 1);
    }
}

static void gather_rows(const tr_tape *tape, tr_span block)
{
    const tr_acts *last = &tape->acts[tape->plan.config->layers - 1];
    const size_t d = tape->plan.config->d_model;
    if (last->kept) return;
    for (size_t i = block.first; i < block.first + block.rows; i++) {
        memcpy(tape->head.rows + i * d, last->out + tr__answer_row(tape, (uint32_t)i) * d,
               d * sizeof(float));
    }
}

void tr__head_forward(const tr_tape *tape, const tr_weights *weights, size_t block, float *logits)
{
    const tr_plan *plan = &tape->plan;
    const tr_head_acts *head = &tape->head;
    const tr_span own = tr__answer_block(tape, block);
    const size_t d = plan->config->d_model, first = own.first * d, n = own.rows * d;
    float *features = head->features + first, *out = logits + own.first * plan->logits.out;
    const float *x = head->rows + first;
    gather_rows(tape, own);
    if (plan->has_dense) {
        float *activated = head->activated + first;
        tr__apply(weights, &plan->dense, head->pre + first, x, own.rows);
        memcpy(activated, head->pre + first, n * sizeof *activated);
        if (pools(tape))
            nn_tanh(activated, n);
        else
            tr__activate(tape, activated, n);
        x = activated;
    }
    if (plan->final_norm != TR_NONE)
        tr__normalise(tape, weights, plan->final_norm, features, x, own.rows);
    else
        memcpy(features, x, n * sizeof *features);
    if (pools(tape)) drop_pooled(tape, own, features);
    tr__apply(weights, &plan->logits, out, features, own.rows);
    tr__visit(tape, TR_STAGE_LOGITS, 0, out, own.first, own.rows, plan->logits.out);
}

void tr__head_backward(const tr_backward_pass *pass, size_t block, unsigned thread)
{
    const tr_tape *tape = pass->tape;
    const tr_plan *plan = &tape->plan;
    const tr_head_acts *head = &tape->head;
    const tr_span own = tr__answer_block(tape, block);
    const size_t d = plan->config->d_model, first = own.first * d, n = own.rows * d;
    const float *dlogits = pass->dlogits + own.first * plan->logits.out;
    float *part = tape->head_parts + block * 2 * d, *d_rows = head->d_rows + first;
    float *d_features = plan->has_dense ? head->d_pre + first : d_rows;
    memset(part, 0, 2 * d * sizeof *part);
    tr__apply_backward(pass->weights, &plan->logits, d_features, dlogits, own.rows, 0);
    if (pools(tape)) drop_pooled(tape, own, d_features);
    if (plan->final_norm != TR_NONE) {
        const float *x = plan->has_dense ? head->activated + first : head->rows + first;
        tr__normalise_backward(pass, plan->final_norm, d_features, x, own.rows, part);
    }
    if (!plan->has_dense) return;
    if (pools(tape))
        nn_tanh_backward(d_features, head->activated + first, n);
    else
        tr__activate_backward(tape, d_features, head->pre + first, n);
    tr__apply_backward(pass->weights, &plan->dense, d_rows, d_features, own.rows, 0);
}
