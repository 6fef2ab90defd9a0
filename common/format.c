#include "format.h"

#include <string.h>

#include "assert.h"

static const fs_format formats[FS_FORMAT_COUNT] = {
    {FS_FORMAT_FP32, "fp32", 32, 23, 0x80000000u, 0x7f800000u, 0x007fffffu, 0x40000000u},
    {FS_FORMAT_FP16, "fp16", 16, 10, 0x8000u, 0x7c00u, 0x03ffu, 0x4000u},
    {FS_FORMAT_BF16, "bf16", 16, 7, 0x8000u, 0x7f80u, 0x007fu, 0x4000u},
    {FS_FORMAT_INT8, "int8", 8, 7, 0x80u, 0, 0x7fu, 0},
};

const fs_format *fs_format_of(fs_format_kind kind)
{
    FS_ASSERT(kind < FS_FORMAT_COUNT);
    return &formats[kind];
}

const fs_format *fs_format_find(const char *name)
{
    for (unsigned i = 0; i < FS_FORMAT_COUNT; i++) {
        if (strcmp(formats[i].name, name) == 0) return &formats[i];
    }
    return NULL;
}

/* Drops the low `drop` bits of `value`, rounding to the nearest, ties to even. A carry out of the
 * mantissa raises the exponent beside it, which is what the next magnitude is. */
static uint32_t round_off(uint32_t value, unsigned drop)
{
    uint32_t half = 1u << (drop - 1), rest = value & ((1u << drop) - 1), kept = value >> drop;
    return kept + (rest > half || (rest == half && (kept & 1u)));
}

/* The upper `drop`-less bits of a NaN's payload, or the quiet bit where those are 0. */
static uint32_t narrow_nan(uint32_t fp32, unsigned drop, uint32_t quiet)
{
    uint32_t payload = (fp32 & 0x007fffffu) >> drop;
    return payload != 0 ? payload : quiet;
}

static uint32_t narrow_fp16(uint32_t fp32)
{
    const uint32_t sign = fp32 >> 16 & 0x8000u, magnitude = fp32 & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return sign | 0x7c00u | narrow_nan(fp32, 13, 0x200u);
    if (magnitude >= 0x477ff000u) return sign | 0x7c00u; /* 65520 and above, Inf too */
    if (magnitude >= 0x38800000u) {                      /* 2^-14: normal there too */
        return sign | round_off(magnitude - (112u << 23), 13);
    }
    /* A multiple of 2^-24. Below 2^-25 nothing is left of it; 2^-25 itself is a tie to 0. */
    const unsigned exponent = magnitude >> 23;
    if (exponent < 102) return sign;
    return sign | round_off((magnitude & 0x007fffffu) | 0x00800000u, 126 - exponent);
}

/* binary16 widened bit by bit: subnormals become normal. */
static uint32_t widen_fp16(uint32_t half)
{
    const uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31u;
    const uint32_t mantissa = half & 0x3ffu;
    if (exponent == 31) return sign | 0x7f800000u | mantissa << 13;
    if (exponent > 0) return sign | (exponent + 112) << 23 | mantissa << 13;
    if (mantissa == 0) return sign;
    /* mantissa x 2^-24: its highest bit becomes the implicit one. */
    const unsigned top = 31u - (unsigned)__builtin_clz(mantissa);
    return sign | (top + 103) << 23 | (mantissa << (23 - top) & 0x7fffffu);
}

static uint32_t narrow_bf16(uint32_t fp32)
{
    const uint32_t sign = fp32 >> 16 & 0x8000u, magnitude = fp32 & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return sign | 0x7f80u | narrow_nan(fp32, 16, 0x40u);
    return sign | round_off(magnitude, 16);
}

uint32_t fs_format_narrow(const fs_format *self, uint32_t fp32)
{
    FS_ASSERT(self->kind != FS_FORMAT_INT8);
    if (self->kind == FS_FORMAT_FP16) return narrow_fp16(fp32);
    return self->kind == FS_FORMAT_BF16 ? narrow_bf16(fp32) : fp32;
}

uint32_t fs_format_widen(const fs_format *self, uint32_t word)
{
    FS_ASSERT(self->kind != FS_FORMAT_INT8);
    if (self->kind == FS_FORMAT_FP16) return widen_fp16(word);
    return self->kind == FS_FORMAT_BF16 ? word << 16 : word;
}
