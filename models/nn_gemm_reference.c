#include "nn_gemm.h"

#include <math.h>

void nn_gemm_reference(float *c, size_t ldc, const float *a, size_t lda, const float *b,
                       const float *bias, size_t m, size_t n, size_t k)
{
    for (size_t row = 0; row < m; row++) {
        for (size_t col = 0; col < n; col++) {
            float sum = 0;
            for (size_t i = 0; i < k; i++) {
                sum = fmaf(a[row * lda + i], b[nn_packed_index(k, i, col)], sum);
            }
            c[row * ldc + col] = bias != NULL ? sum + bias[col] : sum;
        }
    }
}
