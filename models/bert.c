#include "bert.h"

#include <string.h>

#include "nn_kernels.h"

void bert_embed(const nn_view *self, const nn_batch *batch, float *state)
{
    const size_t d = self->model->geometry->config.d_model;
    const float *words = nn__weights(self, BERT_WORD_TABLE);
    const float *positions = nn__weights(self, BERT_POSITION_TABLE);
    const float *segment = nn__weights(self, BERT_SEGMENT_TABLE); /* every token is of segment 0 */
    for (uint32_t s = 0; s < batch->n_seq; s++) {
        for (uint32_t row = batch->off[s]; row < batch->off[s + 1]; row++) {
            float *x = state + row * d;
            nn_add(x, words + (size_t)batch->ids[row] * d, segment, d);
            nn_add(x, x, positions + (row - batch->off[s]) * d, d);
        }
    }
    nn__keep(self, state, batch->off[batch->n_seq] * d);
    nn__norm(self, BERT_EMBEDDING_NORM, state, state, batch->off[batch->n_seq]);
}

fs_status bert_layer(nn_view *self, uint32_t layer, const nn_group *group, float *x, nn_rows which)
{
    const fs_config *config = &self->model->geometry->config;
    const size_t d = config->d_model;
    const uint32_t base = BERT_LAYERS_FIRST + layer * BERT_PER_LAYER;
    const nn_attention_shape shape = {
        .heads = config->heads, .d_head = config->d_model / config->heads, .rows = which};
    nn_parts parts;
    FS_TRY(nn__parts(&parts, self, group, &shape));

    /* Keys and values of every row, queries of the wanted ones. */
    size_t rows = group->rows;
    float *kept = x;
    nn__linear(self, base + BERT_KEY, parts.qkv + d, 3 * d, x, rows, d, d);
    nn__linear(self, base + BERT_VALUE, parts.qkv + 2 * d, 3 * d, x, rows, d, d);
    if (which == NN_ROWS_ALL) {
        nn__linear(self, base + BERT_QUERY, parts.qkv, 3 * d, x, rows, d, d);
        nn__made(self, group, FS_STAGE_ATTENTION_Q, parts.qkv, 3 * d, 0, rows);
    } else {
        rows = group->n_seq;
        kept = parts.kept;
        nn__gather(kept, x, d, group, which);
        nn__linear(self, base + BERT_QUERY, parts.product, d, kept, rows, d, d);
        nn__keep(self, parts.product, rows * d);
        nn__scatter(parts.qkv, 3 * d, parts.product, d, group, which);
    }
    nn__made(self, group, FS_STAGE_ATTENTION_K, parts.qkv + d, 3 * d, 0, group->rows);
    nn__made(self, group, FS_STAGE_ATTENTION_V, parts.qkv + 2 * d, 3 * d, 0, group->rows);
    nn__attend(self, group, &shape, &parts);

    nn__made(self, group, FS_STAGE_ATTENTION_CONTEXT, parts.context, d, 0, rows);
    nn__linear(self, base + BERT_ATTENTION_OUT, parts.product, d, parts.context, rows, d, d);
    nn__made(self, group, FS_STAGE_ATTENTION_OUT, parts.product, d, 0, rows);
    nn_add(kept, parts.product, kept, rows * d);
    nn__keep(self, kept, rows * d);
    nn__norm(self, base + BERT_ATTENTION_NORM, kept, kept, rows);
    nn__keep(self, kept, rows * d);
    nn__mlp(self, base + BERT_MLP_UP, parts.product, kept, parts.hidden, rows, group);
    nn_add(kept, parts.product, kept, rows * d);
    nn__keep(self, kept, rows * d);
    nn__norm(self, base + BERT_MLP_NORM, kept, kept, rows);
    if (which != NN_ROWS_ALL) nn__scatter(x, d, kept, d, group, which);
    return FS_OK;
}

fs_status bert_classify(nn_view *self, const nn_group *group, const float *x, float *logits)
{
    const fs_config *config = &self->model->geometry->config;
    const size_t d = config->d_model, state = nn__aligned(group->n_seq * d);
    const uint32_t base = BERT_LAYERS_FIRST + config->layers * BERT_PER_LAYER;
    float *first, *pooled;
    FS_TRY(nn__scratch(self, 2 * state, &first));
    pooled = first + state;
    nn__gather(first, x, d, group, NN_ROWS_FIRST);
    nn__linear(self, base + BERT_POOLER, pooled, d, first, group->n_seq, d, d);
    nn_tanh(pooled, group->n_seq * d);
    nn__keep(self, pooled, group->n_seq * d);
    nn__linear(self, base + BERT_CLASSIFIER, logits, config->labels, pooled, group->n_seq,
               config->labels, d);
    return FS_OK;
}
