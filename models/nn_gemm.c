#include "nn_gemm.h"

#include <string.h>

#include "nn_isa.h"

/* A block of A is M_BLOCK * K_BLOCK floats, half of a small second-level cache; what a tile reads
 * of B is K_BLOCK rows of one or two panels, which stay in the first. */
enum { M_BLOCK = 132, K_BLOCK = 256 };

size_t nn_packed_size(size_t k, size_t n)
{
    return (n + NN_PANEL - 1) / NN_PANEL * NN_PANEL * k;
}

size_t nn_packed_index(size_t k, size_t row, size_t col)
{
    return col / NN_PANEL * NN_PANEL * k + row * NN_PANEL + col % NN_PANEL;
}

void nn__pack(float *packed, const float *source, size_t ld, size_t k, size_t n)
{
    for (size_t col = 0; col < n; col += NN_PANEL) {
        const size_t columns = n - col < NN_PANEL ? n - col : NN_PANEL;
        for (size_t row = 0; row < k; row++, packed += NN_PANEL) {
            const float *from = source + row * ld + col;
            if (columns == NN_PANEL) {
                memcpy(packed, from, NN_PANEL * sizeof *packed); /* two moves, no call */
                continue;
            }
            memcpy(packed, from, columns * sizeof *packed);
            memset(packed + columns, 0, (NN_PANEL - columns) * sizeof *packed);
        }
    }
}

void nn_pack(float *packed, const float *source, size_t k, size_t n, int transposed)
{
    if (transposed) {
        nn__ops()->pack_transposed(packed, source, k, k, n);
    } else {
        nn__pack(packed, source, n, k, n);
    }
}

void nn__gemm(const nn_product *whole)
{
    if (whole->m == 0) return;
    const nn_ops *ops = nn__ops();
    const size_t blocks = (whole->m + M_BLOCK - 1) / M_BLOCK;
    const size_t rows = (whole->m + blocks - 1) / blocks; /* nearly equal ones */
    for (size_t row = 0; row < whole->m; row += rows) {
        nn_product part = *whole;
        part.m = whole->m - row < rows ? whole->m - row : rows;
        part.c = whole->c + row * whole->ldc;
        size_t k = 0;
        do {
            const size_t left = whole->k - k;
            part.k = left < K_BLOCK ? left : K_BLOCK;
            part.a = whole->a + row * whole->lda + k * whole->a_step;
            part.b = whole->b + k * NN_PANEL;
            part.bias = left <= K_BLOCK ? whole->bias : NULL;
            part.onto = whole->onto || k > 0;
            ops->gemm(&part);
            k += part.k;
        } while (k < whole->k);
    }
}

/* c (+)= a b, without a bias. */
static nn_product product_of(float *c, size_t ldc, const float *a, size_t lda, const float *b,
                             size_t m, size_t n, size_t k)
{
    return (nn_product){.c = c,
                        .a = a,
                        .b = b,
                        .ldc = ldc,
                        .lda = lda,
                        .a_step = 1,
                        .panel_stride = k * NN_PANEL,
                        .m = m,
                        .n = n,
                        .k = k};
}

void nn_gemm(float *c, size_t ldc, const float *a, size_t lda, const float *b, const float *bias,
             size_t m, size_t n, size_t k)
{
    nn_product whole = product_of(c, ldc, a, lda, b, m, n, k);
    whole.bias = bias;
    nn__gemm(&whole);
}

void nn_gemm_onto(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t m,
                  size_t n, size_t k)
{
    nn_product whole = product_of(c, ldc, a, lda, b, m, n, k);
    whole.onto = 1;
    nn__gemm(&whole);
}
