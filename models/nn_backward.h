/** Gradients of the elementwise and row kernels, of the matrix product, and dropout.
 *
 * Like their forward partners: explicit fused multiply-adds in one order, portable, AVX2 and
 * AVX-512 equal bit for bit. NaN in gives NaN out. Thread rule: reentrant. */
#ifndef NN_BACKWARD_H
#define NN_BACKWARD_H

#include <stddef.h>
#include <stdint.h>

#include "nn_attention.h"

/** C += A^T B, a chain of fused multiply-adds over k = 0..K-1 onto the value that is there: the
 * weight gradient of a linear layer, A its input rows and B its output gradients. So neither
 * cutting the rows into several calls nor C into blocks changes a bit. Takes 150 KiB of stack.
 *  @param c [m, n], row stride ldc  @param a [k, m], stride lda  @param b [k, n], stride ldb */
void nn_gemm_tn(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb,
                size_t m, size_t n, size_t k);
/** Adds x's rows to `out`, one after the other onto the value that is there: a bias's gradient.
 *  @param out [cols]  @param x [rows, cols], row stride ldx */
void nn_column_sums(float *out, const float *x, size_t ldx, size_t rows, size_t cols);
/** dy := dy * gelu'(x) for x before the activation. An infinite x gives NaN, as in PyTorch. */
void nn_gelu_erf_backward(float *dy, const float *x, size_t n);
void nn_gelu_tanh_backward(float *dy, const float *x, size_t n);
/** dy := x > 0 ? dy : 0, whatever dy is. A NaN x gives NaN. */
void nn_relu_backward(float *dy, const float *x, size_t n);
/** dy := dy * (1 - y^2) for y after the tanh. */
void nn_tanh_backward(float *dy, const float *y, size_t n);
/** Gradient of nn_layernorm by its input, and added to its parameters' gradients, rows in order.
 *  @param dx    [rows, d], written; may be dy
 *  @param dy    [rows, d]  @param x [rows, d] the input of the forward pass  @param gain [d]
 *  @param dgain [d] added to, @param dbias [d] added to; both NULL: not wanted */
void nn_layernorm_backward(float *dx, const float *dy, const float *x, const float *gain,
                           float *dgain, float *dbias, size_t rows, size_t d, float eps);

/** Which numbers decide a dropout mask: element `i` of place `place` is dropped iff its 16 bits of
 * Philox(key; step, place, i / 8) are below probability * 65536; what stays is scaled by
 * 1 / (1 - p) with p so rounded. The same in a forward pass and when it is repeated.
 *
 * The Philox4x32-10 counter is {i / 8, place, step's low word, its high word}, the key {low word,
 * high word}; element i has half i % 2 (0: the low one) of word i % 8 / 2. So i < 2^35. */
typedef struct nn_dropout {
    uint64_t key;
    uint64_t step;
    uint32_t place;    /* a number for (layer, stage) */
    float probability; /* 0: nothing is done; below 1 */
} nn_dropout;

/** x[j] := 0 or x[j] * scale, for elements first + j, j < n. Its own gradient. */
void nn_dropout_apply(const nn_dropout *self, float *x, uint64_t first, size_t n);

/** nn_attention for NN_ROWS_ALL, with dropout of the probabilities. Without dropout, NULL or of
 * probability 0, its bits are nn_attention's. Probability (row, head, attended row j of the
 * sequence) is element ((row_first + row) * heads + head) * positions + j.
 *  @param off       [n_seq + 1], into the rows of out and qkv; off[0] may be any
 *  @param positions upper bound of sequence lengths; row_first: number of the batch's row 0 */
void nn_attention_dropped(float *out, const float *qkv, const uint32_t *off, uint32_t n_seq,
                          const nn_attention_shape *shape, const nn_dropout *dropout,
                          uint64_t row_first, uint32_t positions, float *scratch);
/** Gradient of nn_attention_dropped by qkv; probabilities are computed again, nothing is kept. Each
 * element is one chain over the rows that attend to it, or that it attends to, in order.
 *  @param dqkv [off[n_seq], 3*d] written  @param dout [off[n_seq], d]
 *  @param scratch [nn_attention_backward_scratch()] floats, 64-byte aligned */
void nn_attention_backward(float *dqkv, const float *dout, const float *qkv, const uint32_t *off,
                           uint32_t n_seq, const nn_attention_shape *shape,
                           const nn_dropout *dropout, uint64_t row_first, uint32_t positions,
                           float *scratch);
/** @return floats of scratch for sequences up to len_max rows, enough for nn_attention_dropped. */
size_t nn_attention_backward_scratch(const nn_attention_shape *shape, uint32_t len_max);

/* The same by plain loops, whatever kernels are chosen: the oracles of the tests. */
void nn_gemm_tn_reference(float *c, size_t ldc, const float *a, size_t lda, const float *b,
                          size_t ldb, size_t m, size_t n, size_t k);
void nn_column_sums_reference(float *out, const float *x, size_t ldx, size_t rows, size_t cols);
void nn_gelu_erf_backward_reference(float *dy, const float *x, size_t n);
void nn_gelu_tanh_backward_reference(float *dy, const float *x, size_t n);
void nn_relu_backward_reference(float *dy, const float *x, size_t n);
void nn_tanh_backward_reference(float *dy, const float *y, size_t n);
void nn_layernorm_backward_reference(float *dx, const float *dy, const float *x, const float *gain,
                                     float *dgain, float *dbias, size_t rows, size_t d, float eps);
void nn_dropout_apply_reference(const nn_dropout *self, float *x, uint64_t first, size_t n);
void nn_attention_dropped_reference(float *out, const float *qkv, const uint32_t *off,
                                    uint32_t n_seq, const nn_attention_shape *shape,
                                    const nn_dropout *dropout, uint64_t row_first,
                                    uint32_t positions, float *scratch);
void nn_attention_backward_reference(float *dqkv, const float *dout, const float *qkv,
                                     const uint32_t *off, uint32_t n_seq,
                                     const nn_attention_shape *shape, const nn_dropout *dropout,
                                     uint64_t row_first, uint32_t positions, float *scratch);

#endif
