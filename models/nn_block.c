#include "nn_block.h"

#include <string.h>

#include "assert.h"
#include "nn_gemm.h"
#include "nn_head.h"
#include "nn_kernels.h"
#include "nn_storage.h"

int nn__group_next(nn_group *group, const nn_batch *batch)
{
    uint32_t first = group->first + group->n_seq;
    if (first == batch->n_seq) return 0;
    *group = (nn_group){.first = first,
                        .row_first = batch->off[first],
                        .layer = group->layer,
                        .probe = group->probe};
    while (first + group->n_seq < batch->n_seq && group->n_seq < NN_GROUP_SEQUENCES) {
        uint32_t s = first + group->n_seq, length = batch->off[s + 1] - batch->off[s];
        if (group->n_seq > 0 && group->rows + length > NN_GROUP_ROWS) break;
        group->rows += length;
        group->off[++group->n_seq] = group->rows;
        if (length > group->len_max) group->len_max = length;
    }
    return 1;
}

static size_t mlp_rows(const fs_config *config)
{
    const size_t floats_max = (size_t)1 << 20, rows = floats_max / config->d_ff;
    return rows > NN_MLP_ROWS ? NN_MLP_ROWS : rows < 6 ? 6 : rows;
}

fs_status nn__parts(nn_parts *out, nn_view *view, const nn_group *group,
                    const nn_attention_shape *shape)
{
    const fs_config *config = &view->model->geometry->config;
    const size_t state = nn__aligned((size_t)group->rows * config->d_model);
    const size_t qkv = nn__aligned(3 * (size_t)group->rows * config->d_model);
    const size_t hidden = nn__aligned(mlp_rows(config) * config->d_ff);
    float *scratch;
    FS_TRY(nn__scratch(view, qkv + 4 * state + hidden + nn_attention_scratch(shape, group->len_max),
                       &scratch));
    out->qkv = scratch;
    out->context = out->qkv + qkv;
    out->normed = out->context + state;
    out->product = out->normed + state;
    out->kept = out->product + state;
    out->hidden = out->kept + state;
    out->attention = out->hidden + hidden;
    return FS_OK;
}

void nn__linear(const nn_view *view, uint32_t weight, float *out, size_t ldo, const float *in,
                size_t rows, size_t n, size_t k)
{
    nn_gemm(out, ldo, in, k, nn__weights(view, weight), nn__weights(view, weight + 1), rows, n, k);
}

static void look(const nn_group *group, fs_stage stage, float *x, size_t stride, size_t first,
                 size_t rows)
{
    if (group->probe == NULL) return;
    for (uint32_t s = 0; s < group->n_seq; s++) {
        size_t from = group->off[s], end = group->off[s + 1];
        if (from < first) from = first;
        if (end > first + rows) end = first + rows;
        if (from >= end) continue;
        const nn_tap tap = {.stage = stage,
                            .layer = group->layer,
                            .sequence = group->first + s,
                            .row = (uint32_t)(from - group->off[s]),
                            .rows = (uint32_t)(end - from),
                            .values = x + (from - first) * stride,
                            .stride = stride};
        group->probe->tap(group->probe->context, &tap);
    }
}

void nn__made(nn_view *view, const nn_group *group, fs_stage stage, float *x, size_t stride,
              size_t first, size_t rows)
{
    const size_t width = fs_stage_width(&view->model->geometry->config, stage);
    nn_round_rows(view->model->activations, x, stride, width, rows);
    look(group, stage, x, stride, first, rows);
    nn__restrict(view, stage, group->layer, x, stride, width, rows);
}

void nn__keep(const nn_view *view, float *x, size_t n)
{
    nn_round(view->model->activations, x, n);
}

void nn__attend(const nn_view *view, const nn_group *group, const nn_attention_shape *shape,
                const nn_parts *parts)
{
    const nn_head_watch watch = {.format = view->model->activations,
                                 .probe = group->probe,
                                 .layer = group->layer,
                                 .sequence = group->first};
    nn__attention_watched(parts->context, parts->qkv, group->off, group->n_seq, shape,
                          parts->attention, &watch);
}

static void activate(fs_activation activation, float *x, size_t n)
{
    if (activation == FS_ACT_GELU_ERF) {
        nn_gelu_erf(x, n);
    } else if (activation == FS_ACT_GELU_TANH) {
        nn_gelu_tanh(x, n);
    } else {
        FS_ASSERT(activation == FS_ACT_RELU);
        nn_relu(x, n);
    }
}

void nn__mlp(nn_view *view, uint32_t up, float *out, const float *in, float *hidden, size_t rows,
             const nn_group *group)
{
    const fs_config *config = &view->model->geometry->config;
    const size_t d = config->d_model, d_ff = config->d_ff, step = mlp_rows(config);
    for (size_t first = 0; first < rows; first += step) {
        size_t n = rows - first < step ? rows - first : step;
        nn__linear(view, up, hidden, d_ff, in + first * d, n, d_ff, d);
        activate(config->activation, hidden, n * d_ff);
        nn__made(view, group, FS_STAGE_MLP_HIDDEN, hidden, d_ff, first, n);
        nn__linear(view, up + 2, out + first * d, d, hidden, n, d, d_ff);
        nn__made(view, group, FS_STAGE_MLP_OUT, out + first * d, d, first, n);
    }
}

void nn__norm(const nn_view *view, uint32_t gain, float *out, const float *x, size_t rows)
{
    const fs_config *config = &view->model->geometry->config;
    nn_layernorm(out, x, nn__weights(view, gain), nn__weights(view, gain + 1), rows,
                 config->d_model, (float)config->norm_eps);
}

static size_t row_of(const nn_group *group, uint32_t sequence, nn_rows which)
{
    return which == NN_ROWS_FIRST ? group->off[sequence] : group->off[sequence + 1] - 1;
}

void nn__gather(float *out, const float *x, size_t width, const nn_group *group, nn_rows which)
{
    for (uint32_t s = 0; s < group->n_seq; s++) {
        memcpy(out + s * width, x + row_of(group, s, which) * width, width * sizeof *out);
    }
}

void nn__scatter(float *x, size_t ldx, const float *rows, size_t width, const nn_group *group,
                 nn_rows which)
{
    for (uint32_t s = 0; s < group->n_seq; s++) {
        memcpy(x + row_of(group, s, which) * ldx, rows + s * width, width * sizeof *x);
    }
}
