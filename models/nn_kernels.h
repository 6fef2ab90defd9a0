/** Elementwise and row kernels: fast ones beside a portable reference, equal bit for bit.
 *
 * exp, erf and tanh are polynomials evaluated with explicit fused multiply-adds in one order, row
 * sums run in 16 lanes (element i in lane i mod 16) and then a fixed tree: so portable, AVX2 and
 * AVX-512 agree exactly. Errors against libm are below 1e-6 relative (tests/unit/models), but for
 * gelu_tanh below -3: its exponent is rounded, which costs up to 1.1e-5 of a tiny value.
 *
 * NaN in gives NaN out, everywhere. Thread rule: reentrant. */
#ifndef NN_KERNELS_H
#define NN_KERNELS_H

#include <stddef.h>

/** x := exp(x). Overflow gives Inf, underflow a subnormal or 0. */
void nn_exp(float *x, size_t n);
/** x := tanh(x). */
void nn_tanh(float *x, size_t n);
/** x := x * Phi(x), BERT's GELU. GELU(-Inf) is NaN (-Inf * 0) and GELU of a very negative number
 * -0, for this and the next, as in PyTorch. */
void nn_gelu_erf(float *x, size_t n);
/** x := 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), GPT-2's gelu_new. */
void nn_gelu_tanh(float *x, size_t n);
/** x := max(x, 0); NaN and -0 stay. */
void nn_relu(float *x, size_t n);
/** out := a + b. out may be a or b. */
void nn_add(float *out, const float *a, const float *b, size_t n);
/** One row's softmax in place: exp(x - max) / sum. A NaN makes the whole row NaN, as does a row
 * whose maximum is +-Inf (as in PyTorch). n >= 1. */
void nn_softmax(float *x, size_t n);
/** LayerNorm of each row, two passes (mean, then centred squares), biased variance:
 * out = (x - mean) / sqrt(var + eps) * gain + bias. out may be x.
 *  @param out  [rows, d]  @param x [rows, d]  @param gain [d]  @param bias [d] */
void nn_layernorm(float *out, const float *x, const float *gain, const float *bias, size_t rows,
                  size_t d, float eps);

/* The same by the portable code, whatever kernels are chosen: the oracles of the tests. */
void nn_exp_reference(float *x, size_t n);
void nn_tanh_reference(float *x, size_t n);
void nn_gelu_erf_reference(float *x, size_t n);
void nn_gelu_tanh_reference(float *x, size_t n);
void nn_relu_reference(float *x, size_t n);
void nn_add_reference(float *out, const float *a, const float *b, size_t n);
void nn_softmax_reference(float *x, size_t n);
void nn_layernorm_reference(float *out, const float *x, const float *gain, const float *bias,
                            size_t rows, size_t d, float eps);

#endif
