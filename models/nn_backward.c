#include "nn_backward.h"

void nn_gemm_tn(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb,
                size_t m, size_t n, size_t k)
{
    nn_gemm_tn_reference(c, ldc, a, lda, b, ldb, m, n, k);
}

void nn_column_sums(float *out, const float *x, size_t ldx, size_t rows, size_t cols)
{
    nn_column_sums_reference(out, x, ldx, rows, cols);
}

void nn_gelu_erf_backward(float *dy, const float *x, size_t n)
{
    nn_gelu_erf_backward_reference(dy, x, n);
}

void nn_gelu_tanh_backward(float *dy, const float *x, size_t n)
{
    nn_gelu_tanh_backward_reference(dy, x, n);
}

void nn_relu_backward(float *dy, const float *x, size_t n)
{
    nn_relu_backward_reference(dy, x, n);
}

void nn_tanh_backward(float *dy, const float *y, size_t n)
{
    nn_tanh_backward_reference(dy, y, n);
}

void nn_layernorm_backward(float *dx, const float *dy, const float *x, const float *gain,
                           float *dgain, float *dbias, size_t rows, size_t d, float eps)
{
    nn_layernorm_backward_reference(dx, dy, x, gain, dgain, dbias, rows, d, eps);
}

void nn_attention_dropped(float *out, const float *qkv, const uint32_t *off, uint32_t n_seq,
                          const nn_attention_shape *shape, const nn_dropout *dropout,
                          uint64_t row_first, uint32_t positions, float *scratch)
{
    nn_attention_dropped_reference(out, qkv, off, n_seq, shape, dropout, row_first, positions,
                                   scratch);
}

void nn_attention_backward(float *dqkv, const float *dout, const float *qkv, const uint32_t *off,
                           uint32_t n_seq, const nn_attention_shape *shape,
                           const nn_dropout *dropout, uint64_t row_first, uint32_t positions,
                           float *scratch)
{
    nn_attention_backward_reference(dqkv, dout, qkv, off, n_seq, shape, dropout, row_first,
                                    positions, scratch);
}

size_t nn_attention_backward_scratch(const nn_attention_shape *shape, uint32_t len_max)
{
    return 3 * (size_t)len_max + nn_attention_scratch(shape, len_max);
}
