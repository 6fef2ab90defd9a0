/* 24 accumulators of 16 lanes, two rows of panels and a broadcast: 27 of the 32 registers. */
#if defined(__x86_64__)
#include "nn_gemm.h"
#include "nn_isa.h"
#include "nn_v16_avx512.h"
#include "nn_vector.h"

#define V16_ROWS_MAX 12
/* clang-format moves these a little further each time it runs. */
/* clang-format off */
#define V16_TILES(X) \
    X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) \
    X(7, 1) X(8, 1) X(9, 1) X(10, 1) X(11, 1) X(12, 1) \
    X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) \
    X(7, 2) X(8, 2) X(9, 2) X(10, 2) X(11, 2) X(12, 2) \
    X(1, 4) X(2, 4) X(3, 4) X(4, 4) X(5, 4) X(6, 4)
/* clang-format on */
#include "nn_gemm_v16.h"

void nn__gemm_avx512(const nn_product *block)
{
    gemm(block);
}
#endif
