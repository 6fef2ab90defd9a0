/** A vector of 16 floats as one AVX-512 register. See nn_v16_avx2.h for the same in two, and for
 * what minimum and maximum do with NaN. */
#ifndef NN_V16_AVX512_H
#define NN_V16_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

typedef __m512 v16;

#define V16_INLINE static inline __attribute__((always_inline))

V16_INLINE __mmask16 v16_mask(size_t n)
{
    return (__mmask16)((1u << n) - 1);
}

V16_INLINE v16 v16_set1(float x)
{
    return _mm512_set1_ps(x);
}

V16_INLINE v16 v16_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

/** The first n <= 16 lanes; the others are +0 and their memory is not touched. */
V16_INLINE v16 v16_load_n(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(v16_mask(n), p);
}

V16_INLINE void v16_store(float *p, v16 x)
{
    _mm512_storeu_ps(p, x);
}

V16_INLINE void v16_store_n(float *p, v16 x, size_t n)
{
    _mm512_mask_storeu_ps(p, v16_mask(n), x);
}

/** x in the first n lanes, y in the others. */
V16_INLINE v16 v16_first_n(v16 x, v16 y, size_t n)
{
    return _mm512_mask_blend_ps(v16_mask(n), y, x);
}

V16_INLINE v16 v16_add(v16 x, v16 y)
{
    return _mm512_add_ps(x, y);
}

V16_INLINE v16 v16_sub(v16 x, v16 y)
{
    return _mm512_sub_ps(x, y);
}

V16_INLINE v16 v16_mul(v16 x, v16 y)
{
    return _mm512_mul_ps(x, y);
}

V16_INLINE v16 v16_div(v16 x, v16 y)
{
    return _mm512_div_ps(x, y);
}

/** x * y + z, rounded once. */
V16_INLINE v16 v16_fma(v16 x, v16 y, v16 z)
{
    return _mm512_fmadd_ps(x, y, z);
}

/** x * y - z, rounded once. */
V16_INLINE v16 v16_fms(v16 x, v16 y, v16 z)
{
    return _mm512_fmsub_ps(x, y, z);
}

/** z - x * y, rounded once. */
V16_INLINE v16 v16_fnma(v16 x, v16 y, v16 z)
{
    return _mm512_fnmadd_ps(x, y, z);
}

V16_INLINE v16 v16_min(v16 x, v16 y)
{
    return _mm512_min_ps(x, y);
}

V16_INLINE v16 v16_max(v16 x, v16 y)
{
    return _mm512_max_ps(x, y);
}

V16_INLINE v16 v16_abs(v16 x)
{
    return _mm512_abs_ps(x);
}

/** Magnitude of x, which is not negative, with the sign of y. */
V16_INLINE v16 v16_copysign(v16 x, v16 y)
{
    __m512i sign = _mm512_and_si512(_mm512_castps_si512(y), _mm512_set1_epi32(INT32_MIN));
    return _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(x), sign));
}

/** y where x < 0, else z. */
V16_INLINE v16 v16_if_negative(v16 x, v16 y, v16 z)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), z, y);
}

/** x * 2^n for n = magic_sum - magic, an integer in -252..254; x is 0.5 to 2 or NaN. */
V16_INLINE v16 v16_scale(v16 x, v16 magic_sum, float magic)
{
    return _mm512_scalef_ps(x, _mm512_sub_ps(magic_sum, _mm512_set1_ps(magic)));
}

/** The fixed tree: lane i + lane i+8, then +4, +2, +1. */
V16_INLINE float v16_sum(v16 x)
{
    __m256 hi = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1));
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), hi);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/** Greatest lane; no lane is NaN. */
V16_INLINE float v16_top(v16 x)
{
    return _mm512_reduce_max_ps(x);
}

/** x, and +0 in the lanes whose number is below `threshold`. */
V16_INLINE v16 v16_drop(v16 x, const uint16_t numbers[16], uint32_t threshold)
{
    const __m256i narrow = _mm256_loadu_si256((const __m256i *)(const void *)numbers);
    const __m512i wide = _mm512_cvtepu16_epi32(narrow);
    return _mm512_maskz_mov_ps(_mm512_cmpge_epu32_mask(wide, _mm512_set1_epi32((int)threshold)), x);
}

/* Integers for Philox, whose words stand in the low halves of lanes of 64 bits. */
typedef __m512i u64s;
enum { U64S_LANES = 8 };
/* Which block a lane works on, so that u64s_store_blocks has them in order. */
static const uint64_t u64s_order[U64S_LANES] = {0, 4, 1, 5, 2, 6, 3, 7};

V16_INLINE u64s u64s_load(const uint64_t *p)
{
    return _mm512_loadu_si512(p);
}

V16_INLINE u64s u64s_set1(uint64_t x)
{
    return _mm512_set1_epi64((long long)x);
}

V16_INLINE u64s u64s_add(u64s x, u64s y)
{
    return _mm512_add_epi64(x, y);
}

V16_INLINE u64s u64s_xor(u64s x, u64s y)
{
    return _mm512_xor_si512(x, y);
}

/** The product of the low halves. */
V16_INLINE u64s u64s_mul(u64s x, u64s y)
{
    return _mm512_mul_epu32(x, y);
}

V16_INLINE u64s u64s_high(u64s x)
{
    return _mm512_srli_epi64(x, 32);
}

/** The low half of x below that of y. */
V16_INLINE u64s u64s_join(u64s x, u64s y)
{
    return _mm512_mask_shuffle_epi32(x, 0xaaaa, y, _MM_PERM_CCAA);
}

/** Stores the blocks {x, y}, 8 numbers each, in the order of the blocks. */
V16_INLINE void u64s_store_blocks(uint16_t *p, u64s x, u64s y)
{
    _mm512_storeu_si512(p, _mm512_unpacklo_epi64(x, y));
    _mm512_storeu_si512(p + 32, _mm512_unpackhi_epi64(x, y));
}

#endif
