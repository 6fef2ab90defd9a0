#include "nn_attention.h"

#include <math.h>
#include <string.h>

#include "nn_backward.h"
#include "nn_isa.h"
#include "nn_kernels.h"

/** One query row over `seen` rows of k and v; `weights` holds as many. */
static void one_row(float *out, const float *q, const float *k, const float *v, size_t stride,
                    size_t seen, size_t d_head, float *weights)
{
    const float scale = 1.0f / sqrtf((float)d_head);
    for (size_t row = 0; row < seen; row++) {
        float sum = 0;
        for (size_t i = 0; i < d_head; i++) sum = fmaf(q[i], k[row * stride + i], sum);
        weights[row] = scale * sum;
    }
    nn_softmax_reference(weights, seen);
    for (size_t i = 0; i < d_head; i++) {
        float sum = 0;
        for (size_t row = 0; row < seen; row++) {
            sum = fmaf(weights[row], v[row * stride + i], sum);
        }
        out[i] = sum;
    }
}

void nn_attention_reference(float *out, const float *qkv, const uint32_t *off, uint32_t n_seq,
                            const nn_attention_shape *shape, float *scratch)
{
    const size_t d_head = shape->d_head, d = shape->heads * d_head, stride = 3 * d;
    for (uint32_t s = 0; s < n_seq; s++) {
        const size_t len = off[s + 1] - off[s];
        const size_t first = shape->rows == NN_ROWS_LAST ? len - 1 : 0;
        const size_t end = shape->rows == NN_ROWS_FIRST ? 1 : len;
        const float *rows = qkv + off[s] * stride;
        float *to = out + (shape->rows == NN_ROWS_ALL ? off[s] : s) * d;
        for (size_t row = first; row < end; row++, to += d) {
            for (size_t h = 0; h < d; h += d_head) {
                const float *q = rows + row * stride + h;
                one_row(to + h, q, rows + d + h, rows + 2 * d + h, stride,
                        shape->causal ? row + 1 : len, d_head, scratch);
            }
        }
    }
}

/** One row of one head, and where its numbers go. */
typedef struct row_of_head {
    const float *q, *k, *v; /* k and v: [seen, d_head], row stride `stride` */
    float *p, *kept;        /* [seen] probabilities, without and with dropout */
    size_t stride, seen, d_head;
} row_of_head;

static void probabilities(const row_of_head *r, const nn_dropout *dropout, uint64_t element)
{
    const float scale = 1.0f / sqrtf((float)r->d_head);
    for (size_t j = 0; j < r->seen; j++) {
        float sum = 0;
        for (size_t i = 0; i < r->d_head; i++) sum = fmaf(r->q[i], r->k[j * r->stride + i], sum);
        r->p[j] = scale * sum;
    }
    nn_softmax_reference(r->p, r->seen);
    memcpy(r->kept, r->p, r->seen * sizeof *r->p);
    nn_dropout_apply_reference(dropout, r->kept, element, r->seen);
}

/** `dp` [seen] is scratch; dq is written, dk and dv are added to. */
static void row_backward(const row_of_head *r, const float *dout, float *dq, float *dk, float *dv,
                         float *dp, const nn_dropout *dropout, uint64_t element)
{
    for (size_t j = 0; j < r->seen; j++) {
        dp[j] = 0;
        for (size_t i = 0; i < r->d_head; i++) {
            dp[j] = fmaf(dout[i], r->v[j * r->stride + i], dp[j]);
            dv[j * r->stride + i] = fmaf(r->kept[j], dout[i], dv[j * r->stride + i]);
        }
    }
    nn_dropout_apply_reference(dropout, dp, element, r->seen);
    nn__softmax_backward_portable(dp, r->p, r->seen, 1.0f / sqrtf((float)r->d_head));
    for (size_t i = 0; i < r->d_head; i++) dq[i] = 0;
    for (size_t j = 0; j < r->seen; j++) {
        for (size_t i = 0; i < r->d_head; i++) {
            dq[i] = fmaf(dp[j], r->k[j * r->stride + i], dq[i]);
            dk[j * r->stride + i] = fmaf(dp[j], r->q[i], dk[j * r->stride + i]);
        }
    }
}

/** Forward if dout is NULL, into `out` [., d]; else backward, into `out` [., 3*d]. */
static void every_row(float *out, const float *dout, const float *qkv, const uint32_t *off,
                      uint32_t n_seq, const nn_attention_shape *shape, const nn_dropout *dropout,
                      uint64_t row_first, uint32_t positions, float *scratch)
{
    const size_t d_head = shape->d_head, d = shape->heads * d_head, stride = 3 * d;
    for (uint32_t s = 0; s < n_seq; s++) {
        const size_t first = off[s], len = off[s + 1] - first;
        if (dout != NULL) memset(out + first * stride, 0, len * stride * sizeof *out);
        for (size_t i = 0; i < len * shape->heads; i++) {
            const size_t row = i / shape->heads, head = i % shape->heads, at = first + row;
            const uint64_t element = ((row_first + at) * shape->heads + head) * positions;
            const float *k = qkv + first * stride + d + head * d_head;
            row_of_head r = {
                qkv + at * stride + head * d_head, k,     k + d, scratch, scratch + len, stride,
                shape->causal ? row + 1 : len,     d_head};
            probabilities(&r, dropout, element);
            if (dout != NULL) {
                float *dk = out + first * stride + d + head * d_head;
                row_backward(&r, dout + at * d + head * d_head, out + at * stride + head * d_head,
                             dk, dk + d, scratch + 2 * len, dropout, element);
                continue;
            }
            for (size_t e = 0; e < d_head; e++) {
                float sum = 0;
                for (size_t j = 0; j < r.seen; j++) sum = fmaf(r.kept[j], r.v[j * stride + e], sum);
                out[at * d + head * d_head + e] = sum;
            }
        }
    }
}

void nn_attention_dropped_reference(float *out, const float *qkv, const uint32_t *off,
                                    uint32_t n_seq, const nn_attention_shape *shape,
                                    const nn_dropout *dropout, uint64_t row_first,
                                    uint32_t positions, float *scratch)
{
    every_row(out, NULL, qkv, off, n_seq, shape, dropout, row_first, positions, scratch);
}

void nn_attention_backward_reference(float *dqkv, const float *dout, const float *qkv,
                                     const uint32_t *off, uint32_t n_seq,
                                     const nn_attention_shape *shape, const nn_dropout *dropout,
                                     uint64_t row_first, uint32_t positions, float *scratch)
{
    every_row(dqkv, dout, qkv, off, n_seq, shape, dropout, row_first, positions, scratch);
}
