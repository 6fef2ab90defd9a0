/* The backward kernels in plain C: the oracle of the vector ones, and what runs where there are
 * none. Each line does one operation of theirs, in the same order; the comments that explain are
 * here. */
#include <math.h>
#include <stdint.h>

#include "nn_backward.h"
#include "nn_dropout.h"
#include "nn_isa.h"
#include "nn_scalar.h"
#include "rng.h"

void nn_gemm_tn_reference(float *c, size_t ldc, const float *a, size_t lda, const float *b,
                          size_t ldb, size_t m, size_t n, size_t k)
{
    for (size_t row = 0; row < m; row++) {
        for (size_t col = 0; col < n; col++) {
            float sum = c[row * ldc + col];
            for (size_t i = 0; i < k; i++) sum = fmaf(a[i * lda + row], b[i * ldb + col], sum);
            c[row * ldc + col] = sum;
        }
    }
}

void nn_column_sums_reference(float *out, const float *x, size_t ldx, size_t rows, size_t cols)
{
    for (size_t row = 0; row < rows; row++, x += ldx) {
        for (size_t col = 0; col < cols; col++) out[col] += x[col];
    }
}

/** With Phi the normal distribution and phi its density: (x Phi)' = Phi + x phi. */
static float gelu_erf_slope(float x)
{
    float bell;
    float phi = phi_one(x, &bell);
    return fmaf(NN_INV_SQRT2PI * x, bell, phi);
}

/** GELU is x s with s = 1 / (1 + e), e = exp(x (A + B x^2)): s + x s (1 - s) (-A - 3 B x^2). Of the
 * two ways to 1 - s, one cancels on the right and the other is Inf * 0 on the left. */
static float gelu_tanh_slope(float x)
{
    float square = x * x;
    float e = exp_one(x * fmaf(square, NN_GELU_B, NN_GELU_A));
    float s = 1.0f / (1.0f + e);
    float bump = x * (s * (x < 0 ? 1.0f - s : e * s));
    return fmaf(-bump, fmaf(square, NN_GELU_B3, NN_GELU_A), s);
}

void nn_gelu_erf_backward_reference(float *dy, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) dy[i] = dy[i] * gelu_erf_slope(x[i]);
}

void nn_gelu_tanh_backward_reference(float *dy, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) dy[i] = dy[i] * gelu_tanh_slope(x[i]);
}

void nn_relu_backward_reference(float *dy, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!(x[i] > 0)) dy[i] = isnan(x[i]) ? x[i] : 0.0f;
    }
}

void nn_tanh_backward_reference(float *dy, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) dy[i] = dy[i] * fmaf(-y[i], y[i], 1.0f);
}

/** With u the normalised row and g = dy * gain: dx = (g - mean(g) - u mean(g u)) / deviation. */
static void layernorm_row(float *dx, const float *dy, const float *x, const float *gain,
                          float *dgain, float *dbias, size_t d, float eps)
{
    float sums[LANES] = {0}, squares[LANES] = {0}, plain[LANES] = {0}, along[LANES] = {0};
    for (size_t i = 0; i < d; i++) sums[i % LANES] += x[i];
    const float mean = tree(sums) / (float)d;
    for (size_t i = 0; i < d; i++) {
        const float centred = x[i] - mean;
        squares[i % LANES] = fmaf(centred, centred, squares[i % LANES]);
    }
    const float scaling = 1.0f / sqrtf(tree(squares) / (float)d + eps);
    for (size_t i = 0; i < d; i++) {
        const float g = dy[i] * gain[i], unit = (x[i] - mean) * scaling;
        plain[i % LANES] += g;
        along[i % LANES] = fmaf(g, unit, along[i % LANES]);
    }
    const float mean_plain = tree(plain) / (float)d, mean_along = tree(along) / (float)d;
    for (size_t i = 0; i < d; i++) {
        const float up = dy[i], unit = (x[i] - mean) * scaling;
        if (dgain != NULL) {
            dgain[i] = fmaf(up, unit, dgain[i]);
            dbias[i] += up;
        }
        dx[i] = scaling * fmaf(-unit, mean_along, up * gain[i] - mean_plain);
    }
}

void nn_layernorm_backward_reference(float *dx, const float *dy, const float *x, const float *gain,
                                     float *dgain, float *dbias, size_t rows, size_t d, float eps)
{
    for (size_t row = 0; row < rows * d; row += d) {
        layernorm_row(dx + row, dy + row, x + row, gain, dgain, dbias, d, eps);
    }
}

void nn__softmax_backward_portable(float *dp, const float *p, size_t n, float factor)
{
    float sums[LANES] = {0};
    for (size_t i = 0; i < n; i++) sums[i % LANES] = fmaf(dp[i], p[i], sums[i % LANES]);
    const float along = tree(sums);
    for (size_t i = 0; i < n; i++) dp[i] = p[i] * (dp[i] - along) * factor;
}

void nn__dropout_portable(const nn_mask *mask, float *x, uint64_t first, size_t n)
{
    uint32_t block[4] = {0};
    for (size_t j = 0; j < n; j++) {
        const uint64_t i = first + j;
        if (j == 0 || i % NN_DROPOUT_BLOCK == 0) {
            const uint32_t counter[4] = {(uint32_t)(i / NN_DROPOUT_BLOCK), mask->counter[0],
                                         mask->counter[1], mask->counter[2]};
            fs_philox4x32(block, counter, mask->key);
        }
        const uint32_t word = block[i % NN_DROPOUT_BLOCK / 2];
        const uint32_t number = i % 2 ? word >> 16 : word & 0xffff;
        x[j] = number < mask->threshold ? 0.0f : x[j] * mask->scale;
    }
}

void nn_dropout_apply_reference(const nn_dropout *self, float *x, uint64_t first, size_t n)
{
    nn_mask mask;
    if (nn__dropout_mask(&mask, self)) nn__dropout_portable(&mask, x, first, n);
}
