/* One head of one sequence at a time: its K and V go into panels, then query rows run in small
 * blocks, so that the panels stay in the second-level cache and the scores in the first.
 *
 * A causal row's chain over V must end at the row itself: going on with weight 0 would turn an Inf
 * of the future into NaN, and -0 into +0. So a few rows share the chain up to the first of them,
 * and each goes on alone from there. */
#include "nn_attention.h"

#include <math.h>

#include "assert.h"
#include "nn_backward.h"
#include "nn_head.h"
#include "nn_isa.h"
#include "nn_storage.h"

size_t nn_attention_scratch(const nn_attention_shape *shape, uint32_t len_max)
{
    return nn__whole_panels(len_max) * shape->d_head + nn__whole_panels(shape->d_head) * len_max +
           NN_QUERY_ROWS * nn__scores_stride(len_max);
}

float nn__head_scale(const nn_head *h)
{
    return 1.0f / sqrtf((float)h->d_head);
}

/* Stores a block of scores or probabilities: rounds them and shows them to the probe. */
static void store(const nn_head *h, fs_stage stage, size_t row, size_t rows)
{
    for (size_t i = 0; i < rows; i++)
        nn_round(h->format, h->scores + i * h->scores_stride, nn__seen(h, row + i));
    if (h->probe == NULL) return;
    nn_tap tap = h->tap;
    tap.stage = stage;
    tap.row = (uint32_t)row;
    tap.rows = (uint32_t)rows;
    tap.values = h->scores;
    tap.stride = h->scores_stride;
    h->probe->tap(h->probe->context, &tap);
}

/* What the softmax does, in steps: it rounds scale * score before all else, and a scale of 1
 * changes nothing. */
static void softmax_in_steps(const nn_head *h, size_t row, size_t rows, float scale)
{
    for (size_t i = 0; i < rows; i++) {
        float *scores = h->scores + i * h->scores_stride;
        for (size_t j = 0; j < nn__seen(h, row + i); j++) scores[j] = scale * scores[j];
    }
    store(h, FS_STAGE_ATTENTION_SCORES, row, rows);
    for (size_t i = 0; i < rows; i++) {
        nn__ops()->softmax(h->scores + i * h->scores_stride, nn__seen(h, row + i), 1.0f);
    }
    store(h, FS_STAGE_ATTENTION_PROBS, row, rows);
}

nn_product nn__head_scores(const nn_head *h, float *out, const float *a, size_t lda,
                           const float *packed, size_t row, size_t rows)
{
    return (nn_product){.c = out,
                        .ldc = h->scores_stride,
                        .a = a,
                        .lda = lda,
                        .a_step = 1,
                        .b = packed,
                        .panel_stride = h->d_head * NN_PANEL,
                        .m = rows,
                        .n = nn__seen(h, row + rows - 1),
                        .k = h->d_head};
}

void nn__head_probabilities(const nn_head *h, size_t row, size_t rows)
{
    const float scale = nn__head_scale(h);
    const nn_product block =
        nn__head_scores(h, h->scores, h->q + row * h->stride, h->stride, h->keys, row, rows);
    nn__gemm(&block);
    if (h->probe != NULL || h->format != FS_FORMAT_FP32) {
        softmax_in_steps(h, row, rows, scale);
        return;
    }
    for (size_t i = 0; i < rows; i++) {
        nn__ops()->softmax(h->scores + i * h->scores_stride, nn__seen(h, row + i), scale);
    }
}

void nn__head_drop(const nn_head *h, float *scores, size_t row, size_t rows)
{
    if (h->mask == NULL) return;
    for (size_t i = 0; i < rows; i++) {
        nn__ops()->dropout(h->mask, scores + i * h->scores_stride,
                           h->element + (row + i) * h->element_stride, nn__seen(h, row + i));
    }
}

/** nn__head_weigh where no row attends beyond itself. */
static void weigh_causal(const nn_head *h, const float *weights, const float *packed, float *out,
                         size_t out_stride, size_t row, size_t rows)
{
    for (size_t i = 0; i < rows; i += NN_SHARED_ROWS) {
        const size_t left = rows - i, high = left < NN_SHARED_ROWS ? left : NN_SHARED_ROWS;
        const size_t shared = row + i + 1;
        nn_product block = {.c = out + i * out_stride,
                            .ldc = out_stride,
                            .a = weights + i * h->scores_stride,
                            .lda = h->scores_stride,
                            .a_step = 1,
                            .b = packed,
                            .panel_stride = h->len * NN_PANEL,
                            .m = high,
                            .n = h->d_head,
                            .k = shared};
        nn__gemm(&block);
        block.b += shared * NN_PANEL;
        block.m = 1;
        block.onto = 1;
        for (size_t j = 1; j < high; j++) {
            block.c = out + (i + j) * out_stride;
            block.a = weights + (i + j) * h->scores_stride + shared;
            block.k = j;
            nn__gemm(&block);
        }
    }
}

void nn__head_weigh(const nn_head *h, const float *weights, const float *packed, float *out,
                    size_t out_stride, size_t row, size_t rows)
{
    if (h->causal) {
        weigh_causal(h, weights, packed, out, out_stride, row, rows);
        return;
    }
    const nn_product block = {.c = out,
                              .ldc = out_stride,
                              .a = weights,
                              .lda = h->scores_stride,
                              .a_step = 1,
                              .b = packed,
                              .panel_stride = h->len * NN_PANEL,
                              .m = rows,
                              .n = h->d_head,
                              .k = h->len};
    nn__gemm(&block);
}

static void one_head(const nn_head *h, nn_rows rows)
{
    const size_t first = rows == NN_ROWS_LAST ? h->len - 1 : 0;
    const size_t end = rows == NN_ROWS_FIRST ? 1 : h->len;
    FS_ASSERT(first < end);
    nn__ops()->pack_transposed(h->keys, h->k, h->stride, h->d_head, h->len);
    nn__pack(h->values, h->v, h->stride, h->len, h->d_head);
    const size_t blocks = (end - first + NN_QUERY_ROWS - 1) / NN_QUERY_ROWS;
    const size_t high = (end - first + blocks - 1) / blocks; /* nearly equal ones */
    for (size_t row = first; row < end; row += high) {
        const size_t count = end - row < high ? end - row : high;
        float *out = h->out + (row - first) * h->out_stride;
        nn__head_probabilities(h, row, count);
        nn__head_drop(h, h->scores, row, count);
        nn__head_weigh(h, h->scores, h->values, out, h->out_stride, row, count);
    }
}

int nn__head_mask(nn_mask *mask, const uint32_t *off, uint32_t n_seq,
                  const nn_attention_shape *shape, const nn_dropout *dropout, uint64_t row_first,
                  uint32_t positions)
{
    const int drops = nn__dropout_mask(mask, dropout);
    for (uint32_t s = 0; s < n_seq; s++) {
        FS_ASSERT(off[s] < off[s + 1]);
        FS_ASSERT(!drops || off[s + 1] - off[s] <= positions);
    }
    if (drops && n_seq > 0) {
        const uint64_t row_elements = (uint64_t)shape->heads * positions;
        FS_ASSERT(shape->rows == NN_ROWS_ALL);
        FS_ASSERT(row_elements > 0);
        FS_ASSERT(row_first + off[n_seq] <= NN_DROPOUT_ELEMENTS_MAX / row_elements);
    }
    return drops;
}

void nn_attention(float *out, const float *qkv, const uint32_t *off, uint32_t n_seq,
                  const nn_attention_shape *shape, float *scratch)
{
    nn_attention_dropped(out, qkv, off, n_seq, shape, NULL, 0, 0, scratch);
}

/* The memory and strides of a sequence's heads. */
static nn_head head_of(const uint32_t *off, uint32_t s, const nn_attention_shape *shape,
                       float *scratch)
{
    const size_t d = (size_t)shape->heads * shape->d_head;
    /* A causal first row sees itself only: the sequence is one row long to it. */
    const int alone = shape->causal && shape->rows == NN_ROWS_FIRST;
    nn_head h = {.stride = 3 * d,
                 .out_stride = d,
                 .len = alone ? 1 : off[s + 1] - off[s],
                 .d_head = shape->d_head,
                 .causal = shape->causal};
    h.keys = scratch;
    h.values = h.keys + nn__whole_panels(h.len) * h.d_head;
    h.scores = h.values + nn__whole_panels(h.d_head) * h.len;
    h.scores_stride = nn__scores_stride(h.len);
    return h;
}

/* Points a head at its columns of a sequence. */
static void move_to_head(nn_head *h, uint32_t head, const float *rows, float *to)
{
    h->q = rows + head * h->d_head;
    h->k = h->q + h->out_stride;
    h->v = h->k + h->out_stride;
    h->out = to + head * h->d_head;
    h->tap.head = head;
}

void nn_attention_dropped(float *out, const float *qkv, const uint32_t *off, uint32_t n_seq,
                          const nn_attention_shape *shape, const nn_dropout *dropout,
                          uint64_t row_first, uint32_t positions, float *scratch)
{
    nn_mask mask;
    const int drops = nn__head_mask(&mask, off, n_seq, shape, dropout, row_first, positions);
    for (uint32_t s = 0; s < n_seq; s++) {
        nn_head h = head_of(off, s, shape, scratch);
        float *to = out + (shape->rows == NN_ROWS_ALL ? off[s] : s) * h.out_stride;
        h.mask = drops ? &mask : NULL;
        h.element_stride = (uint64_t)shape->heads * positions;
        for (uint32_t i = 0; i < shape->heads; i++) {
            move_to_head(&h, i, qkv + off[s] * h.stride, to);
            h.element = (row_first + off[s]) * h.element_stride + (uint64_t)i * positions;
            one_head(&h, shape->rows);
        }
    }
}

void nn__attention_watched(float *out, const float *qkv, const uint32_t *off, uint32_t n_seq,
                           const nn_attention_shape *shape, float *scratch,
                           const nn_head_watch *watch)
{
    FS_ASSERT(watch->probe == NULL || shape->rows == NN_ROWS_ALL);
    for (uint32_t s = 0; s < n_seq; s++) {
        FS_ASSERT(off[s] < off[s + 1]);
        nn_head h = head_of(off, s, shape, scratch);
        float *to = out + (shape->rows == NN_ROWS_ALL ? off[s] : s) * h.out_stride;
        h.format = watch->format;
        h.probe = watch->probe;
        h.tap = (nn_tap){.layer = watch->layer, .sequence = watch->sequence + s};
        for (uint32_t i = 0; i < shape->heads; i++) {
            move_to_head(&h, i, qkv + off[s] * h.stride, to);
            one_head(&h, shape->rows);
        }
    }
}
