#include "nn_kernels.h"

#include "nn_isa.h"

void nn_exp(float *x, size_t n)
{
    nn__ops()->exp(x, n);
}

void nn_tanh(float *x, size_t n)
{
    nn__ops()->tanh(x, n);
}

void nn_gelu_erf(float *x, size_t n)
{
    nn__ops()->gelu_erf(x, n);
}

void nn_gelu_tanh(float *x, size_t n)
{
    nn__ops()->gelu_tanh(x, n);
}

void nn_relu(float *x, size_t n)
{
    nn__ops()->relu(x, n);
}

void nn_add(float *out, const float *a, const float *b, size_t n)
{
    nn__ops()->add(out, a, b, n);
}

void nn_softmax(float *x, size_t n)
{
    nn__ops()->softmax(x, n, 1.0f);
}

void nn_layernorm(float *out, const float *x, const float *gain, const float *bias, size_t rows,
                  size_t d, float eps)
{
    nn__ops()->layernorm(out, x, gain, bias, rows, d, eps);
}
