#include "metrics_avx2.h"

#ifdef __AVX2__
#include <immintrin.h>

#include "math64.h"

/* The steps of fs_exp64(), in its order and without fused operations. */
static __m256d exp4(__m256d x)
{
    const __m256d magic = _mm256_set1_pd(0x1.8p52);
    const __m256d least = _mm256_set1_pd(-708.39);
    /* Operands in this order: the maximum with NaN is the second one, x. */
    __m256d clamped = _mm256_max_pd(least, x);
    __m256d shifted =
        _mm256_add_pd(_mm256_mul_pd(clamped, _mm256_set1_pd(0x1.71547652b82fep+0)), magic);
    __m256d k = _mm256_sub_pd(shifted, magic);
    __m256d r = _mm256_sub_pd(clamped, _mm256_mul_pd(k, _mm256_set1_pd(FS_LN2_HIGH)));
    r = _mm256_sub_pd(r, _mm256_mul_pd(k, _mm256_set1_pd(FS_LN2_LOW)));
    __m256d sum = _mm256_set1_pd(fs_exp64_series[FS_EXP64_TERMS - 1]);
    for (int i = FS_EXP64_TERMS - 2; i >= 0; i--)
        sum = _mm256_add_pd(_mm256_set1_pd(fs_exp64_series[i]), _mm256_mul_pd(sum, r));
    /* The low bits of `shifted` are k: moved into the exponent they scale by 2^k. */
    __m256i bits = _mm256_add_epi64(_mm256_castpd_si256(shifted), _mm256_set1_epi64x(1023));
    __m256d value = _mm256_mul_pd(sum, _mm256_castsi256_pd(_mm256_slli_epi64(bits, 52)));
    value = _mm256_andnot_pd(_mm256_cmp_pd(x, least, _CMP_LT_OQ), value);
    return _mm256_blendv_pd(value, x, _mm256_cmp_pd(x, x, _CMP_UNORD_Q));
}

size_t metrics__exp_avx2(double *out, const float *logits, size_t n, double shift)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        __m256d x = _mm256_cvtps_pd(_mm_loadu_ps(logits + i));
        _mm256_storeu_pd(out + i, exp4(_mm256_sub_pd(x, _mm256_set1_pd(shift))));
    }
    return i;
}
#else
size_t metrics__exp_avx2(double *out, const float *logits, size_t n, double shift)
{
    return 0;
}
#endif
