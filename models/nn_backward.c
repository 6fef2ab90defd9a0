#include "nn_backward.h"

#include "nn_isa.h"

void nn_column_sums(float *out, const float *x, size_t ldx, size_t rows, size_t cols)
{
    nn__ops()->column_sums(out, x, ldx, rows, cols);
}

void nn_gelu_erf_backward(float *dy, const float *x, size_t n)
{
    nn__ops()->gelu_erf_backward(dy, x, n);
}

void nn_gelu_tanh_backward(float *dy, const float *x, size_t n)
{
    nn__ops()->gelu_tanh_backward(dy, x, n);
}

void nn_relu_backward(float *dy, const float *x, size_t n)
{
    nn__ops()->relu_backward(dy, x, n);
}

void nn_tanh_backward(float *dy, const float *y, size_t n)
{
    nn__ops()->tanh_backward(dy, y, n);
}

void nn_layernorm_backward(float *dx, const float *dy, const float *x, const float *gain,
                           float *dgain, float *dbias, size_t rows, size_t d, float eps)
{
    nn__ops()->layernorm_backward(dx, dy, x, gain, dgain, dbias, rows, d, eps);
}
