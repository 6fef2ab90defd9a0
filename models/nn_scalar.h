/** One element at a time: what the portable kernels are made of. Internal to them. */
#ifndef NN_SCALAR_H
#define NN_SCALAR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "nn_poly.h"

enum { LANES = 16 };

/* The x86 minimum: y when either is NaN. */
static inline float lesser(float x, float y)
{
    return x < y ? x : y;
}

static inline float greater(float x, float y)
{
    return x > y ? x : y;
}

static inline float power_of_two(int32_t n)
{
    uint32_t bits = (uint32_t)(n + 127) << 23;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/** x * 2^n, rounded once, where magic_sum = NN_MAGIC + n. */
static inline float scale(float x, float magic_sum)
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
static inline float expm1_small(float r)
{
    float p = fmaf(NN_EXPM1_C6, r, NN_EXPM1_C5);
    p = fmaf(p, r, NN_EXPM1_C4);
    p = fmaf(p, r, NN_EXPM1_C3);
    p = fmaf(p, r, NN_EXPM1_C2);
    return fmaf(p, r * r, r);
}

/** Splits x into n ln 2 + r; returns r and gives n as NN_MAGIC + n. */
static inline float reduce(float x, float *magic_sum)
{
    *magic_sum = fmaf(x, NN_LOG2E, NN_MAGIC);
    float n = *magic_sum - NN_MAGIC;
    return fmaf(n, -NN_LN2_LO, fmaf(n, -NN_LN2_HI, x));
}

static inline float exp_one(float x)
{
    float magic_sum;
    x = lesser(NN_EXP_MAX, greater(NN_EXP_MIN, x));
    float r = reduce(x, &magic_sum);
    return scale(expm1_small(r) + 1.0f, magic_sum);
}

/** With e = exp(2|x|) - 1, which keeps its relative accuracy near 0, tanh|x| = e / (e + 2). */
static inline float tanh_one(float x)
{
    float magic_sum;
    float z = lesser(NN_TANH_MAX, fabsf(x));
    float m = expm1_small(reduce(z + z, &magic_sum));
    float power = scale(1.0f, magic_sum);
    float e = fmaf(power, m, power - 1.0f);
    return copysignf(e / (e + 2.0f), x);
}

/** The normal distribution at x, and its bell: bell = exp(-x^2/2). z^2 is formed with its rounding
 * error, by which the bell would else be off in the tail. */
static inline float phi_one(float x, float *bell)
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
    *bell = e;
    return x < 0 ? tail : 1.0f - tail;
}

static inline float gelu_erf_one(float x)
{
    float bell;
    return x * phi_one(x, &bell);
}

static inline float gelu_tanh_one(float x)
{
    return x / (1.0f + exp_one(x * fmaf(x * x, NN_GELU_B, NN_GELU_A)));
}

/** 0 for x < 0; NaN and -0 stay. */
static inline float relu_one(float x)
{
    return greater(0.0f, x);
}

/** The fixed tree: lane i + lane i+8, then +4, +2, +1. */
static inline float tree(float lanes[LANES])
{
    for (size_t width = LANES / 2; width > 0; width /= 2) {
        for (size_t i = 0; i < width; i++) lanes[i] += lanes[i + width];
    }
    return lanes[0];
}

#endif
