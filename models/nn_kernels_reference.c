/* The kernels in plain C: the oracle of the vector ones, and what runs where there are none. Each
 * line does one operation of theirs, in the same order; the comments that explain are here and in
 * nn_scalar.h. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "nn_backward.h"
#include "nn_isa.h"
#include "nn_kernels.h"
#include "nn_scalar.h"

void nn_exp_reference(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = exp_one(x[i]);
}

void nn_tanh_reference(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = tanh_one(x[i]);
}

void nn_gelu_erf_reference(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = gelu_erf_one(x[i]);
}

void nn_gelu_tanh_reference(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = gelu_tanh_one(x[i]);
}

void nn_relu_reference(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = relu_one(x[i]);
}

void nn_add_reference(float *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = a[i] + b[i];
}

/** The maximum passes over NaN: the NaN itself then makes the sum NaN, and that the whole row. So
 * does a maximum of +-Inf, as Inf - Inf. */
static void softmax_scaled(float *x, size_t n, float factor)
{
    float top = -INFINITY, sums[LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        x[i] = factor * x[i];
        top = greater(x[i], top);
    }
    for (size_t i = 0; i < n; i++) {
        x[i] = exp_one(x[i] - top);
        sums[i % LANES] += x[i];
    }
    const float sum = tree(sums);
    for (size_t i = 0; i < n; i++) x[i] = x[i] / sum;
}

void nn_softmax_reference(float *x, size_t n)
{
    softmax_scaled(x, n, 1.0f);
}

void nn_layernorm_reference(float *out, const float *x, const float *gain, const float *bias,
                            size_t rows, size_t d, float eps)
{
    for (size_t row = 0; row < rows; row++, x += d, out += d) {
        float sums[LANES] = {0}, squares[LANES] = {0};
        for (size_t i = 0; i < d; i++) sums[i % LANES] += x[i];
        const float mean = tree(sums) / (float)d;
        for (size_t i = 0; i < d; i++) {
            const float centred = x[i] - mean;
            squares[i % LANES] = fmaf(centred, centred, squares[i % LANES]);
        }
        const float scaling = 1.0f / sqrtf(tree(squares) / (float)d + eps);
        for (size_t i = 0; i < d; i++) out[i] = fmaf((x[i] - mean) * scaling, gain[i], bias[i]);
    }
}

static void gemm(const nn_product *g)
{
    for (size_t row = 0; row < g->m; row++) {
        const float *a = g->a + row * g->lda;
        for (size_t col = 0; col < g->n; col++) {
            const float *b = g->b + col / LANES * g->panel_stride + col % LANES;
            float *c = g->c + row * g->ldc + col;
            float sum = g->onto ? *c : 0.0f;
            for (size_t k = 0; k < g->k; k++) sum = fmaf(a[k * g->a_step], b[k * LANES], sum);
            *c = g->bias != NULL ? sum + g->bias[col] : sum;
        }
    }
}

static void pack_transposed(float *packed, const float *source, size_t ld, size_t k, size_t n)
{
    for (size_t col = 0; col < n; col += LANES) {
        const size_t columns = n - col < LANES ? n - col : LANES;
        for (size_t row = 0; row < k; row++, packed += LANES) {
            for (size_t j = 0; j < LANES; j++) {
                packed[j] = j < columns ? source[(col + j) * ld + row] : 0.0f;
            }
        }
    }
}

const nn_ops nn__ops_portable = {
    .gemm = gemm,
    .pack_transposed = pack_transposed,
    .exp = nn_exp_reference,
    .tanh = nn_tanh_reference,
    .gelu_erf = nn_gelu_erf_reference,
    .gelu_tanh = nn_gelu_tanh_reference,
    .relu = nn_relu_reference,
    .add = nn_add_reference,
    .softmax = softmax_scaled,
    .layernorm = nn_layernorm_reference,
    .column_sums = nn_column_sums_reference,
    .gelu_erf_backward = nn_gelu_erf_backward_reference,
    .gelu_tanh_backward = nn_gelu_tanh_backward_reference,
    .relu_backward = nn_relu_backward_reference,
    .tanh_backward = nn_tanh_backward_reference,
    .layernorm_backward = nn_layernorm_backward_reference,
    .softmax_backward = nn__softmax_backward_portable,
    .dropout = nn__dropout_portable,
};
