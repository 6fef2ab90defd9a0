/* One head of one sequence at a time: its K and V go into panels, then query rows run in small
 * blocks, so that the panels stay in the second-level cache and the scores in the first.
 *
 * A causal row's chain over V must end at the row itself: going on with weight 0 would turn an Inf
 * of the future into NaN, and -0 into +0. So a few rows share the chain up to the first of them,
 * and each goes on alone from there. */
#include "nn_attention.h"

#include <math.h>

#include "assert.h"
#include "nn_gemm.h"
#include "nn_isa.h"

enum {
    QUERY_ROWS = 36, /* most of one block of scores */
    SHARED_ROWS = 6  /* causal rows with a common chain */
};

typedef struct head {
    const float *q, *k, *v; /* [len, d_head], row stride `stride` */
    float *out;             /* [rows wanted, d_head], row stride `out_stride` */
    size_t stride, out_stride;
    size_t len, d_head;
    int causal;
    float *keys;   /* packed [d_head, len], of the transposed k */
    float *values; /* packed [len, d_head] */
    float *scores; /* [QUERY_ROWS, scores_stride] */
    size_t scores_stride;
} head;

static size_t whole_panels(size_t n)
{
    return (n + NN_PANEL - 1) / NN_PANEL * NN_PANEL;
}

/** An odd number of cache lines, so that rows do not compete for the same lines of the cache. */
static size_t scores_stride_of(size_t len)
{
    return (whole_panels(len) / NN_PANEL | 1) * NN_PANEL;
}

size_t nn_attention_scratch(const nn_attention_shape *shape, uint32_t len_max)
{
    return whole_panels(len_max) * shape->d_head + whole_panels(shape->d_head) * len_max +
           QUERY_ROWS * scores_stride_of(len_max);
}

/** Weights times values of `rows` rows from `row` on, none of which attends beyond itself. */
static void weigh_causal(const head *h, const float *weights, float *out, size_t row, size_t rows)
{
    for (size_t i = 0; i < rows; i += SHARED_ROWS) {
        const size_t shared = row + i + 1, high = rows - i < SHARED_ROWS ? rows - i : SHARED_ROWS;
        nn_product block = {.c = out + i * h->out_stride,
                            .ldc = h->out_stride,
                            .a = weights + i * h->scores_stride,
                            .lda = h->scores_stride,
                            .b = h->values,
                            .panel_stride = h->len * NN_PANEL,
                            .m = high,
                            .n = h->d_head,
                            .k = shared};
        nn__gemm(&block);
        block.b += shared * NN_PANEL;
        block.m = 1;
        block.onto = 1;
        for (size_t j = 1; j < high; j++) {
            block.c = out + (i + j) * h->out_stride;
            block.a = weights + (i + j) * h->scores_stride + shared;
            block.k = j;
            nn__gemm(&block);
        }
    }
}

/** Query rows [row, row + rows), into `out`. */
static void attend(const head *h, float *out, size_t row, size_t rows)
{
    const float scale = 1.0f / sqrtf((float)h->d_head);
    nn_product block = {.c = h->scores,
                        .ldc = h->scores_stride,
                        .a = h->q + row * h->stride,
                        .lda = h->stride,
                        .b = h->keys,
                        .panel_stride = h->d_head * NN_PANEL,
                        .m = rows,
                        .n = h->causal ? row + rows : h->len,
                        .k = h->d_head};
    nn__gemm(&block);
    for (size_t i = 0; i < rows; i++) {
        const size_t seen = h->causal ? row + i + 1 : h->len;
        nn__ops()->softmax(h->scores + i * h->scores_stride, seen, scale);
    }
    if (h->causal) {
        weigh_causal(h, h->scores, out, row, rows);
        return;
    }
    block = (nn_product){.c = out,
                         .ldc = h->out_stride,
                         .a = h->scores,
                         .lda = h->scores_stride,
                         .b = h->values,
                         .panel_stride = h->len * NN_PANEL,
                         .m = rows,
                         .n = h->d_head,
                         .k = h->len};
    nn__gemm(&block);
}

static void one_head(const head *h, nn_rows rows)
{
    const size_t first = rows == NN_ROWS_LAST ? h->len - 1 : 0;
    const size_t end = rows == NN_ROWS_FIRST ? 1 : h->len;
    nn__ops()->pack_transposed(h->keys, h->k, h->stride, h->d_head, h->len);
    nn__pack(h->values, h->v, h->stride, h->len, h->d_head);
    const size_t blocks = (end - first + QUERY_ROWS - 1) / QUERY_ROWS;
    const size_t high = (end - first + blocks - 1) / blocks; /* nearly equal ones */
    for (size_t row = first; row < end; row += high) {
        const size_t count = end - row < high ? end - row : high;
        attend(h, h->out + (row - first) * h->out_stride, row, count);
    }
}

void nn_attention(float *out, const float *qkv, const uint32_t *off, uint32_t n_seq,
                  const nn_attention_shape *shape, float *scratch)
{
    const size_t d = (size_t)shape->heads * shape->d_head;
    for (uint32_t s = 0; s < n_seq; s++) {
        FS_ASSERT(off[s] < off[s + 1]);
        /* A causal first row sees itself only: the sequence is one row long to it. */
        const int alone = shape->causal && shape->rows == NN_ROWS_FIRST;
        head h = {.stride = 3 * d,
                  .out_stride = d,
                  .len = alone ? 1 : off[s + 1] - off[s],
                  .d_head = shape->d_head,
                  .causal = shape->causal};
        h.keys = scratch;
        h.values = h.keys + whole_panels(h.len) * h.d_head;
        h.scores = h.values + whole_panels(h.d_head) * h.len;
        h.scores_stride = scores_stride_of(h.len);
        const float *rows = qkv + off[s] * h.stride;
        float *to = out + (shape->rows == NN_ROWS_ALL ? off[s] : s) * d;
        for (uint32_t i = 0; i < shape->heads; i++) {
            h.q = rows + i * h.d_head;
            h.k = h.q + d;
            h.v = h.k + d;
            h.out = to + i * h.d_head;
            one_head(&h, shape->rows);
        }
    }
}
