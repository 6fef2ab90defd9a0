/** Matrix product with packed weights, whose bits depend on nothing but the row and the weights.
 *
 * C = A B + bias. Every element is one chain of fused multiply-adds over k = 0..K-1, started at
 * +0, then `+ bias`: the same in the portable, AVX2 and AVX-512 kernels and for every M, so a row's
 * bits never depend on its company, the thread count or the machine. OpenBLAS cannot promise this
 * (see ARCHITECTURE.md); it is the yardstick in tests/bench.
 *
 * NaN and Inf propagate as IEEE 754 says. Thread rule: reentrant. */
#ifndef NN_GEMM_H
#define NN_GEMM_H

#include <stddef.h>
#include <stdint.h>

enum { NN_PANEL = 16 }; /* columns of B in one packed panel */

/** @return floats that a packed [k, n] matrix takes: n rounded up to whole panels, times k. */
size_t nn_packed_size(size_t k, size_t n);
/** @return where B[row, col] lies in the packing: col/16 panels of [k, 16]. */
size_t nn_packed_index(size_t k, size_t row, size_t col);
/** Packs B. `transposed`: the source is [n, k] (torch Linear) and not [k, n] (Conv1D). The padding
 * columns are zero. */
void nn_pack(float *packed, const float *source, size_t k, size_t n, int transposed);

/** @param c    [m, n], row stride ldc, written
 *  @param a    [m, k], row stride lda
 *  @param b    packed [k, n]
 *  @param bias [n] or NULL */
void nn_gemm(float *c, size_t ldc, const float *a, size_t lda, const float *b, const float *bias,
             size_t m, size_t n, size_t k);
/** C += A B: every chain goes on from the value that is there. Shapes as nn_gemm's. */
void nn_gemm_onto(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t m,
                  size_t n, size_t k);
/** The plain loop with fmaf; the oracle of the others, bit for bit. */
void nn_gemm_reference(float *c, size_t ldc, const float *a, size_t lda, const float *b,
                       const float *bias, size_t m, size_t n, size_t k);

#endif
