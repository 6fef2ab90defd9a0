#if defined(__x86_64__)
#include <immintrin.h>

#include "nn_gemm.h"
#include "nn_vector.h"

/** packed[i][j] = source[j][i] for i, j < 8: rows NN_PANEL apart in `packed`, ld in `source`. */
static void transpose_8x8(float *packed, const float *source, size_t ld)
{
    __m256 pairs[8], fours[8];
    for (size_t i = 0; i < 8; i += 2) {
        __m256 even = _mm256_loadu_ps(source + i * ld),
               odd = _mm256_loadu_ps(source + (i + 1) * ld);
        pairs[i] = _mm256_unpacklo_ps(even, odd);
        pairs[i + 1] = _mm256_unpackhi_ps(even, odd);
    }
    for (size_t i = 0; i < 8; i += 4) {
        fours[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
        fours[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
        fours[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
        fours[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
    }
    for (size_t i = 0; i < 4; i++) {
        __m256 low = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20);
        __m256 high = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31);
        _mm256_storeu_ps(packed + i * NN_PANEL, low);
        _mm256_storeu_ps(packed + (i + 4) * NN_PANEL, high);
    }
}

void nn__pack_transposed_avx2(float *packed, const float *source, size_t ld, size_t k, size_t n)
{
    for (size_t col = 0; col < n; col += NN_PANEL, packed += k * NN_PANEL) {
        const size_t columns = n - col < NN_PANEL ? n - col : NN_PANEL;
        const size_t fast_columns = columns / 8 * 8, fast_rows = k / 8 * 8;
        const float *from = source + col * ld;
        for (size_t row = 0; row < fast_rows; row += 8) {
            for (size_t j = 0; j < fast_columns; j += 8) {
                transpose_8x8(packed + row * NN_PANEL + j, from + j * ld + row, ld);
            }
        }
        for (size_t row = 0; row < k; row++) {
            for (size_t j = row < fast_rows ? fast_columns : 0; j < NN_PANEL; j++) {
                packed[row * NN_PANEL + j] = j < columns ? from[j * ld + row] : 0.0f;
            }
        }
    }
}
#endif
