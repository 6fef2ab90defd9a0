/* The weights' gradient, in blocks that fit the caches. Both factors are read down their columns,
 * so a block of each is copied first: A's as it is, its rows next to each other, B's into panels.
 */
#include <string.h>

#include "nn_backward.h"
#include "nn_gemm.h"
#include "nn_isa.h"

/* The block of A, 132 KiB, stays in the second-level cache and serves all columns of C; the panels
 * of B, 16 KiB, stay in the first and serve all its rows. Both are on the stack. */
enum { ROWS = 264, COLUMNS = 32, STEPS = 128 };

/** The rows of C that `block` is about, all columns. */
static void block_row(nn_product block, float *c, const float *b, size_t ldb, size_t n)
{
    _Alignas(64) float panels[COLUMNS * STEPS];
    block.b = panels;
    for (size_t col = 0; col < n; col += COLUMNS) {
        block.n = n - col < COLUMNS ? n - col : COLUMNS;
        block.c = c + col;
        nn__pack(panels, b + col, ldb, block.k, block.n);
        nn__ops()->gemm(&block);
    }
}

void nn_gemm_tn(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb,
                size_t m, size_t n, size_t k)
{
    _Alignas(64) float rows[ROWS * STEPS];
    if (m == 0) return;
    const size_t blocks = (m + ROWS - 1) / ROWS;
    const size_t high = (m + blocks - 1) / blocks; /* nearly equal ones */
    for (size_t step = 0; step < k; step += STEPS) {
        const size_t steps = k - step < STEPS ? k - step : STEPS;
        for (size_t row = 0; row < m; row += high) {
            const size_t count = m - row < high ? m - row : high;
            const float *from = a + step * lda + row;
            for (size_t i = 0; i < steps; i++, from += lda) {
                memcpy(rows + i * count, from, count * sizeof *rows);
            }
            nn_product block = {.a = rows,
                                .lda = 1,
                                .a_step = count,
                                .ldc = ldc,
                                .panel_stride = steps * NN_PANEL,
                                .m = count,
                                .k = steps,
                                .onto = 1};
            block_row(block, c + row * ldc, b + step * ldb, ldb, n);
        }
    }
}
