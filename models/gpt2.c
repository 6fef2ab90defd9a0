#include "gpt2.h"

#include <string.h>

#include "nn_gemm.h"
#include "nn_kernels.h"

static uint32_t behind_layers(const nn_view *self, uint32_t tensor)
{
    return GPT2_LAYERS_FIRST + self->model->geometry->config.layers * GPT2_PER_LAYER + tensor;
}

void gpt2_embed(const nn_view *self, const nn_batch *batch, float *state)
{
    const fs_config *config = &self->model->geometry->config;
    const size_t d = config->d_model;
    const float *tokens = nn__weights(self, GPT2_TOKEN_TABLE);
    const float *positions = nn__weights(self, GPT2_POSITION_TABLE);
    for (uint32_t s = 0; s < batch->n_seq; s++) {
        for (uint32_t row = batch->off[s]; row < batch->off[s + 1]; row++) {
            float *x = state + row * d;
            const size_t id = (size_t)batch->ids[row];
            if (config->tied) {
                /* The table is packed for the head: a token's values lie a panel's width apart. */
                const float *packed = tokens + nn_packed_index(d, 0, id);
                for (size_t i = 0; i < d; i++) x[i] = packed[i * NN_PANEL];
            } else {
                memcpy(x, tokens + id * d, d * sizeof *x);
            }
            nn_add(x, x, positions + (row - batch->off[s]) * d, d);
        }
    }
}

/* Keys and values of every row, queries of the wanted ones. The queries' panel that also holds keys
 * is computed for every row; what it says of queries is right and not read. */
static void wanted_qkv(const nn_view *self, uint32_t weight, const nn_parts *parts,
                       const nn_group *group, nn_rows which)
{
    const size_t d = self->model->geometry->config.d_model;
    const size_t first = d / NN_PANEL * NN_PANEL;
    const float *packed = nn__weights(self, weight), *bias = nn__weights(self, weight + 1);
    nn_gemm(parts->qkv + first, 3 * d, parts->normed, d, packed + nn_packed_index(d, 0, first),
            bias + first, group->rows, 3 * d - first, d);
    nn__gather(parts->context, parts->normed, d, group, which);
    nn_gemm(parts->product, d, parts->context, d, packed, bias, group->n_seq, d, d);
    nn__keep(self, parts->product, group->n_seq * d);
    nn__scatter(parts->qkv, 3 * d, parts->product, d, group, which);
}

fs_status gpt2_layer(nn_view *self, uint32_t layer, const nn_group *group, float *x, nn_rows which)
{
    const fs_config *config = &self->model->geometry->config;
    const size_t d = config->d_model;
    const uint32_t base = GPT2_LAYERS_FIRST + layer * GPT2_PER_LAYER;
    const nn_attention_shape shape = {.heads = config->heads,
                                      .d_head = config->d_model / config->heads,
                                      .causal = 1,
                                      .rows = which};
    nn_parts parts;
    FS_TRY(nn__parts(&parts, self, group, &shape));

    size_t rows = group->rows;
    float *kept = x;
    nn__norm(self, base + GPT2_ATTENTION_NORM, parts.normed, x, rows);
    nn__keep(self, parts.normed, rows * d);
    if (which == NN_ROWS_ALL) {
        nn__linear(self, base + GPT2_C_ATTN, parts.qkv, 3 * d, parts.normed, rows, 3 * d, d);
        nn__made(self, group, FS_STAGE_ATTENTION_Q, parts.qkv, 3 * d, 0, rows);
    } else {
        wanted_qkv(self, base + GPT2_C_ATTN, &parts, group, which);
        rows = group->n_seq;
        kept = parts.kept;
        nn__gather(kept, x, d, group, which);
    }
    nn__made(self, group, FS_STAGE_ATTENTION_K, parts.qkv + d, 3 * d, 0, group->rows);
    nn__made(self, group, FS_STAGE_ATTENTION_V, parts.qkv + 2 * d, 3 * d, 0, group->rows);
    nn__attend(self, group, &shape, &parts);

    nn__made(self, group, FS_STAGE_ATTENTION_CONTEXT, parts.context, d, 0, rows);
    nn__linear(self, base + GPT2_ATTENTION_OUT, parts.product, d, parts.context, rows, d, d);
    nn__made(self, group, FS_STAGE_ATTENTION_OUT, parts.product, d, 0, rows);
    nn_add(kept, parts.product, kept, rows * d);
    nn__keep(self, kept, rows * d);
    nn__norm(self, base + GPT2_MLP_NORM, parts.normed, kept, rows);
    nn__keep(self, parts.normed, rows * d);
    nn__mlp(self, base + GPT2_MLP_UP, parts.product, parts.normed, parts.hidden, rows, group);
    nn_add(kept, parts.product, kept, rows * d);
    if (which != NN_ROWS_ALL) nn__scatter(x, d, kept, d, group, which);
    return FS_OK;
}

fs_status gpt2_classify(nn_view *self, const nn_group *group, const float *x, float *logits)
{
    const fs_config *config = &self->model->geometry->config;
    const size_t d = config->d_model;
    float *last;
    FS_TRY(nn__scratch(self, group->n_seq * d, &last));
    nn__gather(last, x, d, group, NN_ROWS_LAST);
    gpt2_final_norm(self, last, last, group->n_seq);
    nn__keep(self, last, group->n_seq * d);
    nn_gemm(logits, config->labels, last, d, nn__weights(self, behind_layers(self, GPT2_HEAD)),
            NULL, group->n_seq, config->labels, d);
    return FS_OK;
}

void gpt2_final_norm(const nn_view *self, float *out, const float *x, size_t rows)
{
    nn__norm(self, behind_layers(self, GPT2_FINAL_NORM), out, x, rows);
}

void gpt2_lm_logits(const nn_view *self, const float *normed, size_t rows, float *logits)
{
    const fs_config *config = &self->model->geometry->config;
    const uint32_t head = config->tied ? GPT2_TOKEN_TABLE : behind_layers(self, GPT2_HEAD);
    nn_gemm(logits, config->vocab, normed, config->d_model, nn__weights(self, head), NULL, rows,
            config->vocab, config->d_model);
}
