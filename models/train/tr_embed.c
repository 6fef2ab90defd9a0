#include <string.h>

#include "nn_kernels.h"
#include "tr_packed.h"
#include "tr_parts.h"

void tr__embed(const tr_tape *tape, const tr_weights *weights, const tr_group *group)
{
    const tr_plan *plan = &tape->plan;
    const size_t d = plan->config->d_model, first = group->row_first;
    const int32_t *ids = tape->batch->tokens.ids + first;
    const float *tokens = tr__values(weights, (uint32_t)plan->token);
    const float *positions = tr__values(weights, (uint32_t)plan->position);
    float *out = tape->first + first * d;
    float *sum = plan->embedding_norm != TR_NONE ? tape->embedded + first * d : out;
    for (uint32_t s = 0; s < group->n_seq; s++) {
        for (uint32_t row = group->off[s]; row < group->off[s + 1]; row++) {
            const float *token = tokens + (size_t)ids[row] * d;
            float *x = sum + row * d;
            if (plan->segment != TR_NONE) { /* every token is of segment 0 */
                nn_add(x, token, tr__values(weights, (uint32_t)plan->segment), d);
                token = x;
            }
            nn_add(x, token, positions + (row - group->off[s]) * d, d);
        }
    }
    if (plan->embedding_norm != TR_NONE) {
        tr__normalise(tape, weights, plan->embedding_norm, out, sum, group->rows);
    }
    tr__visit(tape, TR_STAGE_EMBEDDING_OUT, 0, out, first, group->rows, d);
    tr__drop(tape, TR_PLACE_EMBEDDING, out, first, group->rows);
}

void tr__embed_backward(const tr_backward_pass *pass, const tr_group *group)
{
    const tr_tape *tape = pass->tape;
    const size_t d = tape->plan.config->d_model, first = group->row_first;
    float *d_sum = tape->d_state + first * d;
    tr__drop(tape, TR_PLACE_EMBEDDING, d_sum, first, group->rows);
    if (tape->plan.embedding_norm == TR_NONE) return;
    tr__normalise_backward(pass, tape->plan.embedding_norm, d_sum, tape->embedded + first * d,
                           group->rows, tr__norm_part(tape, group->index, 0));
}
