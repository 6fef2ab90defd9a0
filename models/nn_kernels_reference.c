/* The kernels in plain C: the oracle of the vector ones, and what runs where there are none. Each
 * line does one operation of theirs, in the same order; the comments that explain are here. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "nn_isa.h"
#include "nn_kernels.h"
#include "nn_poly.h"

enum { LANES = 16 };

/* The x86 minimum: y when either is NaN. */
static float lesser(float x, float y)
{
    return x < y ? x : y;
}

static float greater(float x, float y)
{
    return x > y ? x : y;
}

static float power_of_two(int32_t n)
{
    uint32_t bits = (uint32_t)(n + 127) << 23;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/** x * 2^n, rounded once, where magic_sum = NN_MAGIC + n. */
static float scale(float x, float magic_sum)
{
    float magic = NN_MAGIC;
    uint32_t sum_bits, magic_bits;
    memcpy(&sum_bits, &magic_sum, sizeof sum_bits);
    memcpy(&magic_bits, &magic, sizeof magic_bits);
    /* A NaN's bits give some n; the product is NaN whatever it is, if the powers are formed
     * without overflow of an integer. */
    int32_t n = isnan(magic_sum) ? 0 : (int32_t)(sum_bits - magic_bits);
    int32_t first = n >= 0 ? n / 2 : -((1 - n) / 2);
    return x * power_of_two(first) * power_of_two(n - first);
}

/** exp(r) - 1 for |r| <= ln(2)/2 */
static float expm1_small(float r)
{
    float p = fmaf(NN_EXPM1_C6, r, NN_EXPM1_C5);
    p = fmaf(p, r, NN_EXPM1_C4);
    p = fmaf(p, r, NN_EXPM1_C3);
    p = fmaf(p, r, NN_EXPM1_C2);
    return fmaf(p, r * r, r);
}

/** Splits x into n ln 2 + r; returns r and gives n as NN_MAGIC + n. */
static float reduce(float x, float *magic_sum)
{
    *magic_sum = fmaf(x, NN_LOG2E, NN_MAGIC);
    float n = *magic_sum - NN_MAGIC;
    return fmaf(n, -NN_LN2_LO, fmaf(n, -NN_LN2_HI, x));
}

static float exp_one(float x)
{
    float magic_sum;
    x = lesser(NN_EXP_MAX, greater(NN_EXP_MIN, x));
    float r = reduce(x, &magic_sum);
    return scale(expm1_small(r) + 1.0f, magic_sum);
}

/** With e = exp(2|x|) - 1, which keeps its relative accuracy near 0, tanh|x| = e / (e + 2). */
static float tanh_one(float x)
{
    float magic_sum;
    float z = lesser(NN_TANH_MAX, fabsf(x));
    float m = expm1_small(reduce(z + z, &magic_sum));
    float power = scale(1.0f, magic_sum);
    float e = fmaf(power, m, power - 1.0f);
    return copysignf(e / (e + 2.0f), x);
}

/** z^2 is formed with its rounding error, by which exp(-z^2/2) would else be off in the tail. */
static float gelu_erf_one(float x)
{
    float z = lesser(NN_PHI_MAX, fabsf(x));
    float square = z * z;
    float lost = fmaf(z, z, -square);
    float e = exp_one(-0.5f * square);
    e = fmaf(e, -0.5f * lost, e);
    float t = 1.0f / fmaf(NN_PHI_P, z, 1.0f);
    float p = fmaf(NN_PHI_T9, t, NN_PHI_T8);
    p = fmaf(p, t, NN_PHI_T7);
    p = fmaf(p, t, NN_PHI_T6);
    p = fmaf(p, t, NN_PHI_T5);
    p = fmaf(p, t, NN_PHI_T4);
    p = fmaf(p, t, NN_PHI_T3);
    p = fmaf(p, t, NN_PHI_T2);
    p = fmaf(p, t, NN_PHI_T1);
    float tail = p * t * e;
    return x * (x < 0 ? tail : 1.0f - tail);
}

static float gelu_tanh_one(float x)
{
    return x / (1.0f + exp_one(x * fmaf(x * x, NN_GELU_B, NN_GELU_A)));
}

/** 0 for x < 0; NaN and -0 stay. */
static float relu_one(float x)
{
    return greater(0.0f, x);
}

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

/** The fixed tree: lane i + lane i+8, then +4, +2, +1. */
static float tree(float lanes[LANES])
{
    for (size_t width = LANES / 2; width > 0; width /= 2) {
        for (size_t i = 0; i < width; i++) lanes[i] += lanes[i + width];
    }
    return lanes[0];
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
            for (size_t k = 0; k < g->k; k++) sum = fmaf(a[k], b[k * LANES], sum);
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
};
