/* One head of one sequence at a time, its query rows in the same blocks as in the forward pass.
 * With P the probabilities, M the mask, S the scores and O the output:
 *
 *     dV = (M P)^T dO    dP = M (dO V^T)    dS = P (dP - rowsum(dP P)) scale
 *     dQ = dS K          dK = dS^T Q
 *
 * dK and dV are chains over query rows, that go on from block to block. A causal key has no part in
 * the rows before it, which are left out of its chain: so again a few keys share what is common.
 * Source: Vaswani et al. 2017, eq. 1, differentiated. */
#include <string.h>

#include "assert.h"
#include "nn_backward.h"
#include "nn_head.h"
#include "nn_isa.h"

/** A head, and what only its gradient needs. The head's `values` are packed as its keys. */
typedef struct head_back {
    nn_head h;
    const float *dout;   /* [len, d_head], row stride `dout_stride` */
    float *dq, *dk, *dv; /* [len, d_head], row stride h.stride */
    size_t dout_stride;
    float *key_rows;          /* packed [len, d_head] */
    float *queries, *dout_in; /* a block's, packed [rows, d_head] */
    float *kept, *dscores;    /* [NN_QUERY_ROWS, scores_stride] */
} head_back;

size_t nn_attention_backward_scratch(const nn_attention_shape *shape, uint32_t len_max)
{
    return 2 * nn__whole_panels(len_max) * shape->d_head +
           nn__whole_panels(shape->d_head) * len_max +
           2 * nn__whole_panels(shape->d_head) * NN_QUERY_ROWS +
           3 * NN_QUERY_ROWS * nn__scores_stride(len_max);
}

/** to[key] += sum of weights[i][key] * packed[i] over the block's rows i in order, for every key
 * that row i attends to. */
static void gather(const nn_head *h, const float *weights, const float *packed, float *to,
                   size_t row, size_t rows)
{
    nn_product block = {.c = to,
                        .ldc = h->stride,
                        .a = weights,
                        .lda = 1,
                        .a_step = h->scores_stride,
                        .b = packed,
                        .panel_stride = rows * NN_PANEL,
                        .m = h->causal ? row : h->len,
                        .n = h->d_head,
                        .k = rows,
                        .onto = 1};
    nn__gemm(&block);
    if (!h->causal) return;
    /* Key row + i is attended to by the block's rows from i on. */
    for (size_t i = 0; i < rows; i += NN_SHARED_ROWS) {
        const size_t left = rows - i, high = left < NN_SHARED_ROWS ? left : NN_SHARED_ROWS;
        block.m = 1;
        for (size_t j = i; j + 1 < i + high; j++) {
            block.c = to + (row + j) * h->stride;
            block.a = weights + j * h->scores_stride + row + j;
            block.b = packed + j * NN_PANEL;
            block.k = i + high - 1 - j;
            nn__gemm(&block);
        }
        const size_t last = i + high - 1;
        block.m = high;
        block.c = to + (row + i) * h->stride;
        block.a = weights + last * h->scores_stride + row + i;
        block.b = packed + last * NN_PANEL;
        block.k = rows - last;
        nn__gemm(&block);
    }
}

static void block_backward(const head_back *b, size_t row, size_t rows)
{
    const nn_head *h = &b->h;
    const float *kept = h->scores, *dout = b->dout + row * b->dout_stride;
    const nn_product block =
        nn__head_scores(h, b->dscores, dout, b->dout_stride, h->values, row, rows);
    nn__head_probabilities(h, row, rows);
    if (h->mask != NULL) {
        memcpy(b->kept, h->scores, rows * h->scores_stride * sizeof *b->kept);
        nn__head_drop(h, b->kept, row, rows);
        kept = b->kept;
    }
    nn__pack(b->dout_in, dout, b->dout_stride, rows, h->d_head);
    gather(h, kept, b->dout_in, b->dv, row, rows);
    nn__gemm(&block);
    nn__head_drop(h, b->dscores, row, rows);
    for (size_t i = 0; i < rows; i++) {
        const size_t at = i * h->scores_stride;
        nn__ops()->softmax_backward(b->dscores + at, h->scores + at, nn__seen(h, row + i),
                                    nn__head_scale(h));
    }
    nn__head_weigh(h, b->dscores, b->key_rows, b->dq + row * h->stride, h->stride, row, rows);
    nn__pack(b->queries, h->q + row * h->stride, h->stride, rows, h->d_head);
    gather(h, b->dscores, b->queries, b->dk, row, rows);
}

static void head_backward(const head_back *b)
{
    const nn_head *h = &b->h;
    FS_ASSERT(h->len > 0);
    nn__ops()->pack_transposed(h->keys, h->k, h->stride, h->d_head, h->len);
    nn__ops()->pack_transposed(h->values, h->v, h->stride, h->d_head, h->len);
    nn__pack(b->key_rows, h->k, h->stride, h->len, h->d_head);
    const size_t blocks = (h->len + NN_QUERY_ROWS - 1) / NN_QUERY_ROWS;
    const size_t high = (h->len + blocks - 1) / blocks; /* nearly equal ones */
    for (size_t row = 0; row < h->len; row += high) {
        block_backward(b, row, h->len - row < high ? h->len - row : high);
    }
}

/** Lays the buffers out; the order is that of nn_attention_backward_scratch's sum. */
static void place(head_back *b, float *scratch)
{
    nn_head *h = &b->h;
    const size_t packed = nn__whole_panels(h->d_head) * NN_QUERY_ROWS;
    h->scores_stride = nn__scores_stride(h->len);
    h->keys = scratch;
    h->values = h->keys + nn__whole_panels(h->len) * h->d_head;
    b->key_rows = h->values + nn__whole_panels(h->len) * h->d_head;
    b->queries = b->key_rows + nn__whole_panels(h->d_head) * h->len;
    b->dout_in = b->queries + packed;
    h->scores = b->dout_in + packed;
    b->kept = h->scores + NN_QUERY_ROWS * h->scores_stride;
    b->dscores = b->kept + NN_QUERY_ROWS * h->scores_stride;
}

void nn_attention_backward(float *dqkv, const float *dout, const float *qkv, const uint32_t *off,
                           uint32_t n_seq, const nn_attention_shape *shape,
                           const nn_dropout *dropout, uint64_t row_first, uint32_t positions,
                           float *scratch)
{
    const size_t d = (size_t)shape->heads * shape->d_head;
    nn_mask mask;
    const int drops = nn__head_mask(&mask, off, n_seq, shape, dropout, row_first, positions);
    FS_ASSERT(shape->rows == NN_ROWS_ALL);
    for (uint32_t s = 0; s < n_seq; s++) {
        head_back b = {.h = {.stride = 3 * d,
                             .len = off[s + 1] - off[s],
                             .d_head = shape->d_head,
                             .causal = shape->causal,
                             .mask = drops ? &mask : NULL,
                             .element_stride = (uint64_t)shape->heads * positions},
                       .dout_stride = d};
        memset(dqkv + off[s] * b.h.stride, 0, b.h.len * b.h.stride * sizeof *dqkv);
        place(&b, scratch);
        for (uint32_t i = 0; i < shape->heads; i++) {
            const size_t at = off[s] * b.h.stride + i * b.h.d_head;
            b.h.q = qkv + at;
            b.h.k = b.h.q + d;
            b.h.v = b.h.k + d;
            b.dq = dqkv + at;
            b.dk = b.dq + d;
            b.dv = b.dk + d;
            b.dout = dout + off[s] * d + i * b.h.d_head;
            b.h.element = (row_first + off[s]) * b.h.element_stride + (uint64_t)i * positions;
            head_backward(&b);
        }
    }
}
