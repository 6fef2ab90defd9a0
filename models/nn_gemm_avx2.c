/* 12 accumulators of 8 lanes, a broadcast and a panel's row: 15 of the 16 registers. */
#if defined(__x86_64__)
#include "nn_gemm.h"
#include "nn_isa.h"
#include "nn_v16_avx2.h"
#include "nn_vector.h"

#define V16_ROWS_MAX 6
#define V16_TILES(X) X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(1, 2) X(2, 2) X(3, 2) X(1, 4)
#include "nn_gemm_v16.h"

void nn__gemm_avx2(const nn_product *block)
{
    gemm(block);
}
#endif
