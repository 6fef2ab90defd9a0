#include "nn_storage.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "assert.h"

#define NAN_BITS      0x7fc00000u
#define INF_BITS      0x7f800000u
#define FP16_OVERFLOW 0x477ff000u /* 65520: half a step above the largest finite value */
#define FP16_NORMAL   0x38800000u /* 2^-14 */

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Drops the low bits of a magnitude, to nearest even. A carry raises the exponent, up to Inf. */
static uint32_t round_low(uint32_t magnitude, unsigned drop)
{
    const uint32_t odd = magnitude >> drop & 1u, half = (1u << (drop - 1)) - 1;
    return (magnitude + half + odd) >> drop << drop;
}

static float round_bf16(float x)
{
    const uint32_t bits = bits_of(x);
    return float_of(isnan(x) ? NAN_BITS : (bits & 0x80000000u) | round_low(bits & 0x7fffffffu, 16));
}

/* Below 2^-14 all steps are 2^-24, which is what a sum with 1/2 is rounded to. */
static float round_fp16(float x)
{
    const uint32_t bits = bits_of(x), sign = bits & 0x80000000u, magnitude = bits & 0x7fffffffu;
    const uint32_t small = bits_of((float_of(magnitude) + 0.5f) - 0.5f);
    uint32_t rounded = magnitude < FP16_NORMAL ? small : round_low(magnitude, 13);
    if (magnitude >= FP16_OVERFLOW) rounded = INF_BITS;
    return float_of(isnan(x) ? NAN_BITS : sign | rounded);
}

void nn_round(fs_format_kind format, float *x, size_t n)
{
    FS_ASSERT(format != FS_FORMAT_INT8);
    if (format == FS_FORMAT_BF16) {
        for (size_t i = 0; i < n; i++) x[i] = round_bf16(x[i]);
    } else if (format == FS_FORMAT_FP16) {
        for (size_t i = 0; i < n; i++) x[i] = round_fp16(x[i]);
    }
}

void nn_round_rows(fs_format_kind format, float *x, size_t stride, size_t width, size_t rows)
{
    if (format == FS_FORMAT_FP32) return;
    for (size_t i = 0; i < rows; i++) nn_round(format, x + i * stride, width);
}
