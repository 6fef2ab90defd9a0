/** A vector of 16 floats as two AVX2 registers. See nn_v16_avx512.h for the same in one.
 *
 * Minimum and maximum are those of x86: when either operand is NaN the second comes out, so that
 * v16_min(bound, x) keeps a NaN of x. */
#ifndef NN_V16_AVX2_H
#define NN_V16_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

typedef struct v16 {
    __m256 lo, hi;
} v16;

#define V16_INLINE static inline __attribute__((always_inline))

/* Sixteen ones and sixteen zeros: a window of it is the mask of the first n lanes. */
static const int32_t v16_window[32] = {-1, -1, -1, -1, -1, -1, -1, -1,
                                       -1, -1, -1, -1, -1, -1, -1, -1};

V16_INLINE __m256i v16_mask_lo(size_t n)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)(v16_window + 16 - n));
}

V16_INLINE __m256i v16_mask_hi(size_t n)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)(v16_window + 24 - n));
}

V16_INLINE v16 v16_set1(float x)
{
    __m256 v = _mm256_set1_ps(x);
    return (v16){v, v};
}

V16_INLINE v16 v16_load(const float *p)
{
    return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

/** The first n <= 16 lanes; the others are +0 and their memory is not touched. */
V16_INLINE v16 v16_load_n(const float *p, size_t n)
{
    return (v16){_mm256_maskload_ps(p, v16_mask_lo(n)), _mm256_maskload_ps(p + 8, v16_mask_hi(n))};
}

V16_INLINE void v16_store(float *p, v16 x)
{
    _mm256_storeu_ps(p, x.lo);
    _mm256_storeu_ps(p + 8, x.hi);
}

V16_INLINE void v16_store_n(float *p, v16 x, size_t n)
{
    _mm256_maskstore_ps(p, v16_mask_lo(n), x.lo);
    _mm256_maskstore_ps(p + 8, v16_mask_hi(n), x.hi);
}

/** x in the first n lanes, y in the others. */
V16_INLINE v16 v16_first_n(v16 x, v16 y, size_t n)
{
    return (v16){_mm256_blendv_ps(y.lo, x.lo, _mm256_castsi256_ps(v16_mask_lo(n))),
                 _mm256_blendv_ps(y.hi, x.hi, _mm256_castsi256_ps(v16_mask_hi(n)))};
}

V16_INLINE v16 v16_add(v16 x, v16 y)
{
    return (v16){_mm256_add_ps(x.lo, y.lo), _mm256_add_ps(x.hi, y.hi)};
}

V16_INLINE v16 v16_sub(v16 x, v16 y)
{
    return (v16){_mm256_sub_ps(x.lo, y.lo), _mm256_sub_ps(x.hi, y.hi)};
}

V16_INLINE v16 v16_mul(v16 x, v16 y)
{
    return (v16){_mm256_mul_ps(x.lo, y.lo), _mm256_mul_ps(x.hi, y.hi)};
}

V16_INLINE v16 v16_div(v16 x, v16 y)
{
    return (v16){_mm256_div_ps(x.lo, y.lo), _mm256_div_ps(x.hi, y.hi)};
}

/** x * y + z, rounded once. */
V16_INLINE v16 v16_fma(v16 x, v16 y, v16 z)
{
    return (v16){_mm256_fmadd_ps(x.lo, y.lo, z.lo), _mm256_fmadd_ps(x.hi, y.hi, z.hi)};
}

/** x * y - z, rounded once. */
V16_INLINE v16 v16_fms(v16 x, v16 y, v16 z)
{
    return (v16){_mm256_fmsub_ps(x.lo, y.lo, z.lo), _mm256_fmsub_ps(x.hi, y.hi, z.hi)};
}

/** z - x * y, rounded once. */
V16_INLINE v16 v16_fnma(v16 x, v16 y, v16 z)
{
    return (v16){_mm256_fnmadd_ps(x.lo, y.lo, z.lo), _mm256_fnmadd_ps(x.hi, y.hi, z.hi)};
}

V16_INLINE v16 v16_min(v16 x, v16 y)
{
    return (v16){_mm256_min_ps(x.lo, y.lo), _mm256_min_ps(x.hi, y.hi)};
}

V16_INLINE v16 v16_max(v16 x, v16 y)
{
    return (v16){_mm256_max_ps(x.lo, y.lo), _mm256_max_ps(x.hi, y.hi)};
}

V16_INLINE v16 v16_abs(v16 x)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (v16){_mm256_andnot_ps(sign, x.lo), _mm256_andnot_ps(sign, x.hi)};
}

/** Magnitude of x, which is not negative, with the sign of y. */
V16_INLINE v16 v16_copysign(v16 x, v16 y)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (v16){_mm256_or_ps(x.lo, _mm256_and_ps(sign, y.lo)),
                 _mm256_or_ps(x.hi, _mm256_and_ps(sign, y.hi))};
}

/** y where x < 0, else z. */
V16_INLINE v16 v16_if_negative(v16 x, v16 y, v16 z)
{
    __m256 zero = _mm256_setzero_ps();
    return (v16){_mm256_blendv_ps(z.lo, y.lo, _mm256_cmp_ps(x.lo, zero, _CMP_LT_OQ)),
                 _mm256_blendv_ps(z.hi, y.hi, _mm256_cmp_ps(x.hi, zero, _CMP_LT_OQ))};
}

/** 8 lanes of v16_scale. Two factors, since one power of two does not reach the subnormals. */
V16_INLINE __m256 v16_scale_half(__m256 x, __m256 magic_sum, float magic)
{
    __m256i n = _mm256_sub_epi32(_mm256_castps_si256(magic_sum),
                                 _mm256_castps_si256(_mm256_set1_ps(magic)));
    __m256i first = _mm256_srai_epi32(n, 1), bias = _mm256_set1_epi32(127);
    __m256i second = _mm256_sub_epi32(n, first);
    first = _mm256_slli_epi32(_mm256_add_epi32(first, bias), 23);
    second = _mm256_slli_epi32(_mm256_add_epi32(second, bias), 23);
    x = _mm256_mul_ps(x, _mm256_castsi256_ps(first));
    return _mm256_mul_ps(x, _mm256_castsi256_ps(second));
}

/** x * 2^n for n = magic_sum - magic, an integer in -252..254; x is 0.5 to 2 or NaN. */
V16_INLINE v16 v16_scale(v16 x, v16 magic_sum, float magic)
{
    return (v16){v16_scale_half(x.lo, magic_sum.lo, magic),
                 v16_scale_half(x.hi, magic_sum.hi, magic)};
}

/** The fixed tree: lane i + lane i+8, then +4, +2, +1. */
V16_INLINE float v16_sum(v16 x)
{
    __m256 eight = _mm256_add_ps(x.lo, x.hi);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/** Greatest lane; no lane is NaN. */
V16_INLINE float v16_top(v16 x)
{
    __m256 eight = _mm256_max_ps(x.lo, x.hi);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/** 8 lanes of v16_drop; `below` is threshold - 1. */
V16_INLINE __m256 v16_drop_half(__m256 x, const uint16_t numbers[8], __m256i below)
{
    const __m128i narrow = _mm_loadu_si128((const __m128i *)(const void *)numbers);
    const __m256i kept = _mm256_cmpgt_epi32(_mm256_cvtepu16_epi32(narrow), below);
    return _mm256_and_ps(x, _mm256_castsi256_ps(kept));
}

/** x, and +0 in the lanes whose number is below `threshold`. */
V16_INLINE v16 v16_drop(v16 x, const uint16_t numbers[16], uint32_t threshold)
{
    const __m256i below = _mm256_set1_epi32((int)threshold - 1);
    return (v16){v16_drop_half(x.lo, numbers, below), v16_drop_half(x.hi, numbers + 8, below)};
}

/* Integers for Philox, whose words stand in the low halves of lanes of 64 bits. */
typedef __m256i u64s;
enum { U64S_LANES = 4 };
/* Which block a lane works on, so that u64s_store_blocks has them in order. */
static const uint64_t u64s_order[U64S_LANES] = {0, 2, 1, 3};

V16_INLINE u64s u64s_load(const uint64_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

V16_INLINE u64s u64s_set1(uint64_t x)
{
    return _mm256_set1_epi64x((long long)x);
}

V16_INLINE u64s u64s_add(u64s x, u64s y)
{
    return _mm256_add_epi64(x, y);
}

V16_INLINE u64s u64s_xor(u64s x, u64s y)
{
    return _mm256_xor_si256(x, y);
}

/** The product of the low halves. */
V16_INLINE u64s u64s_mul(u64s x, u64s y)
{
    return _mm256_mul_epu32(x, y);
}

V16_INLINE u64s u64s_high(u64s x)
{
    return _mm256_srli_epi64(x, 32);
}

/** The low half of x below that of y. */
V16_INLINE u64s u64s_join(u64s x, u64s y)
{
    return _mm256_blend_epi32(x, _mm256_slli_epi64(y, 32), 0xaa);
}

/** Stores the blocks {x, y}, 8 numbers each, in the order of the blocks. */
V16_INLINE void u64s_store_blocks(uint16_t *p, u64s x, u64s y)
{
    _mm256_storeu_si256((__m256i *)(void *)p, _mm256_unpacklo_epi64(x, y));
    _mm256_storeu_si256((__m256i *)(void *)(p + 16), _mm256_unpackhi_epi64(x, y));
}

#endif
