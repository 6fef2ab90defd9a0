/** What one instruction set provides. Internal to the kernels.
 *
 * The public functions choose blocks and rows and call these; there is one table of them per
 * instruction set. The vector tables are one source (nn_gemm_v16.h, nn_kernels_v16.h) compiled over
 * two definitions of a vector of 16 floats (nn_v16_avx2.h, nn_v16_avx512.h); the portable table is
 * written apart from it in plain C and is the oracle. */
#ifndef NN_ISA_H
#define NN_ISA_H

#include <stddef.h>
#include <stdint.h>

/** C (+)= A B (+ bias), B in panels of NN_PANEL columns. */
typedef struct nn_product {
    float *c;          /* [m, n], row stride ldc */
    const float *a;    /* [m, k], row stride lda, steps of k a_step apart */
    const float *b;    /* first row wanted of the first panel; rows are NN_PANEL apart */
    const float *bias; /* [n], added at the end, or NULL */
    size_t ldc, lda, a_step;
    size_t panel_stride; /* floats from one panel of b to the next */
    size_t m, n, k;
    int onto; /* go on from what C holds; else from +0 */
} nn_product;

struct nn_mask; /* nn_dropout.h */

typedef struct nn_ops {
    /** One block; caches were the caller's concern. */
    void (*gemm)(const nn_product *block);
    /** Packs the columns [0, n) of a [k, n] matrix given as its transpose, [n, k] with row stride
     * ld, into panels of k rows. */
    void (*pack_transposed)(float *packed, const float *source, size_t ld, size_t k, size_t n);
    void (*exp)(float *x, size_t n);
    void (*tanh)(float *x, size_t n);
    void (*gelu_erf)(float *x, size_t n);
    void (*gelu_tanh)(float *x, size_t n);
    void (*relu)(float *x, size_t n);
    void (*add)(float *out, const float *a, const float *b, size_t n);
    /** softmax of scale * x */
    void (*softmax)(float *x, size_t n, float scale);
    void (*layernorm)(float *out, const float *x, const float *gain, const float *bias, size_t rows,
                      size_t d, float eps);
    /* Of nn_backward.h. */
    void (*column_sums)(float *out, const float *x, size_t ldx, size_t rows, size_t cols);
    void (*gelu_erf_backward)(float *dy, const float *x, size_t n);
    void (*gelu_tanh_backward)(float *dy, const float *x, size_t n);
    void (*relu_backward)(float *dy, const float *x, size_t n);
    void (*tanh_backward)(float *dy, const float *y, size_t n);
    void (*layernorm_backward)(float *dx, const float *dy, const float *x, const float *gain,
                               float *dgain, float *dbias, size_t rows, size_t d, float eps);
    /** Of p = softmax(scale * x) by x: dp := p * (dp - sum(dp * p)) * scale */
    void (*softmax_backward)(float *dp, const float *p, size_t n, float scale);
    void (*dropout)(const struct nn_mask *mask, float *x, uint64_t first, size_t n);
} nn_ops;

extern const nn_ops nn__ops_portable;
#if defined(__x86_64__)
extern const nn_ops nn__ops_avx2;
extern const nn_ops nn__ops_avx512;
#endif

/* Rows of the portable table that are written elsewhere. */
void nn__softmax_backward_portable(float *dp, const float *p, size_t n, float scale);
void nn__dropout_portable(const struct nn_mask *mask, float *x, uint64_t first, size_t n);

/** @return the chosen table. */
const nn_ops *nn__ops(void);

/** Packs a [k, n] matrix with row stride ld. */
void nn__pack(float *packed, const float *source, size_t ld, size_t k, size_t n);

/** Any size of `block`, cut to fit the caches. */
void nn__gemm(const nn_product *block);

#endif
