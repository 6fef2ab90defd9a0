#include "nn_attention.h"

#include <math.h>

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
