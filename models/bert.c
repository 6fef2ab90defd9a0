#include "bert.h"

#include <string.h>

#include "nn_kernels.h"

/* Indices of tensors, in the geometry's order. */
enum {
    WORD_TABLE,
    POSITION_TABLE,
    SEGMENT_TABLE,
    EMBEDDING_NORM,
    LAYERS_FIRST = EMBEDDING_NORM + 2,
    /* within a layer; every weight is followed by its bias */
    QUERY = 0,
    KEY = 2,
    VALUE = 4,
    ATTENTION_OUT = 6,
    ATTENTION_NORM = 8,
    MLP_UP = 10,
    MLP_NORM = 14,
    PER_LAYER = 16,
    /* behind the layers */
    POOLER = 0,
    CLASSIFIER = 2
};

void bert_embed(const nn_view *self, const nn_batch *batch, float *state)
{
    const size_t d = self->model->geometry->config.d_model;
    const float *words = nn__weights(self, WORD_TABLE);
    const float *positions = nn__weights(self, POSITION_TABLE);
    const float *segment = nn__weights(self, SEGMENT_TABLE); /* every token is of segment 0 */
    for (uint32_t s = 0; s < batch->n_seq; s++) {
        for (uint32_t row = batch->off[s]; row < batch->off[s + 1]; row++) {
            float *x = state + row * d;
            nn_add(x, words + (size_t)batch->ids[row] * d, segment, d);
            nn_add(x, x, positions + (row - batch->off[s]) * d, d);
        }
    }
    nn__norm(self, EMBEDDING_NORM, state, state, batch->off[batch->n_seq]);
}

fs_status bert_layer(nn_view *self, uint32_t layer, const nn_group *group, float *x, nn_rows which)
{
    const fs_config *config = &self->model->geometry->config;
    const size_t d = config->d_model;
    const uint32_t base = LAYERS_FIRST + layer * PER_LAYER;
    const nn_attention_shape shape = {
        .heads = config->heads, .d_head = config->d_model / config->heads, .rows = which};
    nn_parts parts;
    FS_TRY(nn__parts(&parts, self, group, &shape));

    /* Keys and values of every row, queries of the wanted ones. */
    size_t rows = group->rows;
    float *kept = x;
    nn__linear(self, base + KEY, parts.qkv + d, 3 * d, x, rows, d, d);
    nn__linear(self, base + VALUE, parts.qkv + 2 * d, 3 * d, x, rows, d, d);
    if (which == NN_ROWS_ALL) {
        nn__linear(self, base + QUERY, parts.qkv, 3 * d, x, rows, d, d);
    } else {
        rows = group->n_seq;
        kept = parts.kept;
        nn__gather(kept, x, d, group, which);
        nn__linear(self, base + QUERY, parts.product, d, kept, rows, d, d);
        nn__scatter(parts.qkv, 3 * d, parts.product, d, group, which);
    }
    nn__look(group, FS_STAGE_ATTENTION_Q, parts.qkv, 3 * d, 0, rows);
    nn__look(group, FS_STAGE_ATTENTION_K, parts.qkv + d, 3 * d, 0, rows);
    nn__look(group, FS_STAGE_ATTENTION_V, parts.qkv + 2 * d, 3 * d, 0, rows);
    nn__attend(group, &shape, &parts);

    nn__look(group, FS_STAGE_ATTENTION_CONTEXT, parts.context, d, 0, rows);
    nn__linear(self, base + ATTENTION_OUT, parts.product, d, parts.context, rows, d, d);
    nn__look(group, FS_STAGE_ATTENTION_OUT, parts.product, d, 0, rows);
    nn_add(kept, parts.product, kept, rows * d);
    nn__norm(self, base + ATTENTION_NORM, kept, kept, rows);
    nn__mlp(self, base + MLP_UP, parts.product, kept, parts.hidden, rows, group);
    nn_add(kept, parts.product, kept, rows * d);
    nn__norm(self, base + MLP_NORM, kept, kept, rows);
    if (which != NN_ROWS_ALL) nn__scatter(x, d, kept, d, group, which);
    return FS_OK;
}

fs_status bert_classify(nn_view *self, const nn_group *group, const float *x, float *logits)
{
    const fs_config *config = &self->model->geometry->config;
    const size_t d = config->d_model, state = nn__aligned(group->n_seq * d);
    const uint32_t base = LAYERS_FIRST + config->layers * PER_LAYER;
    float *first, *pooled;
    FS_TRY(nn__scratch(self, 2 * state, &first));
    pooled = first + state;
    nn__gather(first, x, d, group, NN_ROWS_FIRST);
    nn__linear(self, base + POOLER, pooled, d, first, group->n_seq, d, d);
    nn_tanh(pooled, group->n_seq * d);
    nn__linear(self, base + CLASSIFIER, logits, config->labels, pooled, group->n_seq,
               config->labels, d);
    return FS_OK;
}
