/** The numbers behind exp, tanh and GELU, shared by the portable and the vector kernels. Internal.
 *
 * Minimax polynomials by Sollya's fpminimax with float coefficients; the errors are those of the
 * polynomial alone. */
#ifndef NN_POLY_H
#define NN_POLY_H

/* Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits of the sum. */
#define NN_MAGIC 12582912.0f
#define NN_LOG2E 0x1.715476p0f
/* ln 2 in two parts, so that n * the high part is exact for every n that occurs. */
#define NN_LN2_HI 0x1.62ep-1f
#define NN_LN2_LO 0x1.0bfbe8p-15f
/* exp(x) is Inf above and 0 below, and 2^n can still be built in two factors. */
#define NN_EXP_MAX 89.0f
#define NN_EXP_MIN -104.0f

/* exp(r) - 1 = r + r^2 (C2 + C3 r + C4 r^2 + C5 r^3 + C6 r^4) for |r| <= ln(2)/2, 5.3e-9. */
#define NN_EXPM1_C2 0x1.fffffep-2f
#define NN_EXPM1_C3 0x1.5554bp-3f
#define NN_EXPM1_C4 0x1.555716p-5f
#define NN_EXPM1_C5 0x1.12279ep-7f
#define NN_EXPM1_C6 0x1.6b7376p-10f

/* tanh is 1 in float beyond; exp(2 x) - 1 stays finite. */
#define NN_TANH_MAX 10.0f

/* Phi(-z) = exp(-z^2/2) * (t T1 + ... + t^9 T9), t = 1/(1 + P z), for 0 <= z <= 14.5, 3.0e-8;
 * Abramowitz and Stegun 26.2.17 has five terms. Beyond 14.5 it is 0 in float. */
#define NN_PHI_MAX 14.5f
#define NN_PHI_P   0.26f
#define NN_PHI_T1  0x1.a8fcacp-4f
#define NN_PHI_T2  0x1.a6207cp-4f
#define NN_PHI_T3  0x1.a4ce76p-4f
#define NN_PHI_T4  0x1.ab65ep-5f
#define NN_PHI_T5  0x1.4420fp-3f
#define NN_PHI_T6  -0x1.2d31cp-3f
#define NN_PHI_T7  0x1.fc18d4p-3f
#define NN_PHI_T8  -0x1.359e72p-3f
#define NN_PHI_T9  0x1.ee3928p-6f

/* GPT-2's GELU is x / (1 + exp(x (A + B x^2))): A = -2 sqrt(2/pi), B = 0.044715 A. */
#define NN_GELU_A -0x1.988454p0f
#define NN_GELU_B -0x1.2444f2p-4f
/* Its derivative needs -(A + 3 B x^2), BERT's the bell's height 1/sqrt(2 pi). */
#define NN_GELU_B3     -0x1.b6676cp-3f
#define NN_INV_SQRT2PI 0x1.988454p-2f

#endif
