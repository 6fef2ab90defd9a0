/* Speed of the kernels against OpenBLAS and libm, in one run on one machine:
 *
 *     build/tests/bench_kernels
 *
 * OpenBLAS chooses its kernels by the processor's name; where it does not know the name, as the
 * first line shows, OPENBLAS_CORETYPE=SkylakeX makes it use AVX-512 as well.
 *
 * Each figure is the best of several short runs, so that a busy neighbour costs little. The last
 * table counts the rows of an OpenBLAS product whose bits change with the number of rows asked for
 * together: the reason why trials do not use it. */
#include <cblas.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nn_attention.h"
#include "nn_backward.h"
#include "nn_cpu.h"
#include "nn_gemm.h"
#include "nn_kernels.h"

enum { ROUNDS = 7, ROWS_MAX = 512, ELEMENTS = 4096 };
static const double ROUND_SECONDS = 0.01;

static const char *const kernels[] = {"portable", "avx2", "avx512"};
enum { KERNELS = 3 };

/** Processor time, so that a busy machine does not show. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *random_floats(size_t n)
{
    float *x = aligned_alloc(64, (n * sizeof *x + 63) / 64 * 64);
    uint32_t state = 12345;
    if (x == NULL) {
        fputs("bench_kernels: out of memory\n", stderr);
        exit(1);
    }
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) * 0x1p-23f - 1;
    }
    return x;
}

/** Something to time, and what it works on. */
typedef struct work {
    void (*run)(const struct work *self);
    float *a, *b, *c, *weights;
    size_t m, n, k;
    void (*kernel)(float *x, size_t n);
    void (*backward)(float *dy, const float *x, size_t n);
    float (*scalar)(float x);
    const nn_attention_shape *shape;
    float probability;
    float *scratch;
} work;

static double seconds_of_runs(const work *w, size_t runs)
{
    const double start = now();
    for (size_t i = 0; i < runs; i++) w->run(w);
    return now() - start;
}

/** @return seconds of one run: the best of a few rounds of so many runs that the clock, which costs
 * a system call, does not count. */
static double seconds_of(const work *w)
{
    size_t runs = 1;
    while (seconds_of_runs(w, runs) < ROUND_SECONDS) runs *= 2;
    double best = INFINITY;
    for (int round = 0; round < ROUNDS; round++) best = fmin(best, seconds_of_runs(w, runs));
    return best / (double)runs;
}

static void run_gemm(const work *w)
{
    nn_gemm(w->c, w->n, w->a, w->k, w->b, NULL, w->m, w->n, w->k);
}

static void run_openblas(const work *w)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)w->m, (int)w->n, (int)w->k, 1, w->a,
                (int)w->k, w->weights, (int)w->k, 0, w->c, (int)w->n);
}

static void run_gemm_tn(const work *w)
{
    nn_gemm_tn(w->c, w->n, w->a, w->m, w->b, w->n, w->m, w->n, w->k);
}

static void run_openblas_tn(const work *w)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)w->m, (int)w->n, (int)w->k, 1, w->a,
                (int)w->m, w->b, (int)w->n, 1, w->c, (int)w->n);
}

static void product_header(void)
{
    printf("%5s %5s %5s %10s %10s %10s %10s %14s\n", "m", "k", "n", "openblas", "portable", "avx2",
           "avx512", "best/openblas");
}

/** One line: a product by OpenBLAS and by every kernel. */
static void bench_product(work *w, void (*openblas)(const work *), void (*ours)(const work *))
{
    const double giga = 2e-9 * (double)(w->m * w->n * w->k);
    w->run = openblas;
    const double blas = giga / seconds_of(w);
    double best = 0;
    printf("%5zu %5zu %5zu %10.1f", w->m, w->k, w->n, blas);
    for (int i = 0; i < KERNELS; i++) {
        /* The portable loop is far too slow for the large ones. */
        if (nn_kernel_choose(kernels[i]) != FS_OK || (i == 0 && giga > 0.05)) {
            printf(" %10s", "-");
            continue;
        }
        w->run = ours;
        const double speed = giga / seconds_of(w);
        best = fmax(best, speed);
        printf(" %10.1f", speed);
        fflush(stdout);
    }
    printf(" %14.2f\n", best / blas);
}

static void bench_gemm_tn(void)
{
    static const size_t shapes[][3] = {{256, 256, 500},   {256, 1024, 1000}, {1024, 256, 1000},
                                       {768, 768, 1000},  {768, 768, 4096},  {8192, 256, 1000},
                                       {3072, 768, 1000}, {256, 64, 30}};
    puts("\nGFLOP/s of C[m, n] += A[k, m]^T B[k, n], a weight's gradient");
    product_header();
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        work w = {.m = shapes[s][0], .n = shapes[s][1], .k = shapes[s][2]};
        w.a = random_floats(w.k * w.m);
        w.b = random_floats(w.k * w.n);
        w.c = random_floats(w.m * w.n);
        bench_product(&w, run_openblas_tn, run_gemm_tn);
        free(w.a);
        free(w.b);
        free(w.c);
    }
}

static void bench_gemm(void)
{
    static const size_t rows[] = {1, 6, 25, 128, 512};
    static const size_t shapes[][2] = {
        {256, 256}, {256, 1024}, {768, 768}, {768, 3072}, {3072, 768}};
    printf("GFLOP/s of C[m, n] = A[m, k] W[n, k]^T, one thread; OpenBLAS core %s\n",
           openblas_get_corename());
    product_header();
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        work w = {.k = shapes[s][0], .n = shapes[s][1]};
        w.a = random_floats(ROWS_MAX * w.k);
        w.weights = random_floats(w.n * w.k);
        w.b = random_floats(nn_packed_size(w.k, w.n));
        w.c = random_floats(ROWS_MAX * w.n);
        nn_pack(w.b, w.weights, w.k, w.n, 1);
        for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
            w.m = rows[r];
            bench_product(&w, run_openblas, run_gemm);
        }
        free(w.a);
        free(w.weights);
        free(w.b);
        free(w.c);
    }
}

static float gelu_erf_libm(float x)
{
    return 0.5f * x * (1 + erff(x * (float)M_SQRT1_2));
}

static float gelu_tanh_libm(float x)
{
    return 0.5f * x * (1 + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)));
}

static void run_elementwise(const work *w)
{
    memcpy(w->c, w->a, w->n * sizeof *w->c);
    w->kernel(w->c, w->n);
}

static void run_scalar(const work *w)
{
    for (size_t i = 0; i < w->n; i++) w->c[i] = w->scalar(w->a[i]);
}

static void bench_elementwise(void)
{
    static const struct {
        const char *name;
        void (*kernel)(float *x, size_t n);
        float (*scalar)(float x);
    } functions[] = {
        {"exp", nn_exp, expf},
        {"tanh", nn_tanh, tanhf},
        {"gelu_erf", nn_gelu_erf, gelu_erf_libm},
        {"gelu_tanh", nn_gelu_tanh, gelu_tanh_libm},
        {"softmax", nn_softmax, NULL},
    };
    work w = {.a = random_floats(ELEMENTS), .c = random_floats(ELEMENTS), .n = ELEMENTS};
    for (size_t i = 0; i < ELEMENTS; i++) w.a[i] *= 4;
    printf("\nns per element\n%10s %10s %10s %10s %10s\n", "", "libm", "portable", "avx2",
           "avx512");
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        w.run = run_scalar;
        w.scalar = functions[f].scalar;
        printf("%10s", functions[f].name);
        if (w.scalar == NULL) {
            printf(" %10s", "-");
        } else {
            printf(" %10.2f", 1e9 * seconds_of(&w) / ELEMENTS);
        }
        w.run = run_elementwise;
        w.kernel = functions[f].kernel;
        for (int i = 0; i < KERNELS; i++) {
            if (nn_kernel_choose(kernels[i]) != FS_OK) {
                printf(" %10s", "-");
            } else {
                printf(" %10.2f", 1e9 * seconds_of(&w) / ELEMENTS);
            }
        }
        putchar('\n');
    }
    free(w.a);
    free(w.c);
}

static void run_backward(const work *w)
{
    memcpy(w->c, w->b, w->n * sizeof *w->c);
    w->backward(w->c, w->a, w->n);
}

enum { ROW = 256 }; /* ELEMENTS as rows of it */

static void layernorm_rows(float *dy, const float *x, size_t n)
{
    static float dgain[ROW], dbias[ROW];
    nn_layernorm_backward(dy, dy, x, x, dgain, dbias, n / ROW, ROW, 1e-5f);
}

static void column_sums(float *dy, const float *x, size_t n)
{
    nn_column_sums(dy, x, ROW, n / ROW, ROW);
}

static void dropout(float *dy, const float *x, size_t n)
{
    const nn_dropout mask = {1, 2, 3, 0.1f};
    nn_dropout_apply(&mask, dy, 0, n);
}

static void bench_backward(void)
{
    static const struct {
        const char *name;
        void (*backward)(float *dy, const float *x, size_t n);
    } functions[] = {
        {"gelu_erf", nn_gelu_erf_backward},
        {"gelu_tanh", nn_gelu_tanh_backward},
        {"relu", nn_relu_backward},
        {"tanh", nn_tanh_backward},
        {"layernorm", layernorm_rows},
        {"columns", column_sums},
        {"dropout", dropout},
    };
    work w = {.a = random_floats(ELEMENTS), .c = random_floats(ELEMENTS), .n = ELEMENTS};
    w.b = random_floats(ELEMENTS);
    w.run = run_backward;
    printf("\nns per element of the gradient\n%10s %10s %10s %10s\n", "", "portable", "avx2",
           "avx512");
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        printf("%10s", functions[f].name);
        w.backward = functions[f].backward;
        for (int i = 0; i < KERNELS; i++) {
            if (nn_kernel_choose(kernels[i]) != FS_OK) {
                printf(" %10s", "-");
            } else {
                printf(" %10.2f", 1e9 * seconds_of(&w) / ELEMENTS);
            }
        }
        putchar('\n');
    }
    free(w.a);
    free(w.b);
    free(w.c);
}

static void run_attention(const work *w)
{
    const uint32_t off[] = {0, (uint32_t)w->m};
    nn_attention(w->c, w->a, off, 1, w->shape, w->scratch);
}

static void bench_attention(void)
{
    static const struct {
        uint32_t len;
        nn_attention_shape shape;
    } cases[] = {
        {25, {4, 64, 0, NN_ROWS_ALL}},    {25, {12, 64, 0, NN_ROWS_ALL}},
        {25, {12, 64, 0, NN_ROWS_FIRST}}, {128, {12, 64, 0, NN_ROWS_ALL}},
        {25, {12, 64, 1, NN_ROWS_ALL}},   {1024, {12, 64, 1, NN_ROWS_ALL}},
    };
    puts("\nattention of one sequence, us (and GFLOP/s of its products)");
    printf("%6s %6s %6s %7s %5s %16s %16s\n", "tokens", "heads", "d_head", "causal", "rows", "avx2",
           "avx512");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const nn_attention_shape *shape = &cases[i].shape;
        const size_t len = cases[i].len, d = (size_t)shape->heads * shape->d_head;
        const size_t rows = shape->rows == NN_ROWS_ALL ? len : 1;
        const double pairs =
            shape->causal ? (double)len * (double)(len + 1) / 2 : (double)rows * (double)len;
        work w = {.run = run_attention, .m = len, .shape = shape, .a = random_floats(3 * d * len)};
        w.c = random_floats(d * len);
        w.scratch = random_floats(nn_attention_scratch(shape, cases[i].len));
        printf("%6zu %6u %6u %7d %5zu", len, shape->heads, shape->d_head, shape->causal, rows);
        for (int kernel = 1; kernel < KERNELS; kernel++) {
            if (nn_kernel_choose(kernels[kernel]) != FS_OK) {
                printf(" %16s", "-");
                continue;
            }
            const double seconds = seconds_of(&w);
            printf(" %8.1f (%5.1f)", 1e6 * seconds, 4e-9 * pairs * (double)d / seconds);
        }
        putchar('\n');
        free(w.a);
        free(w.c);
        free(w.scratch);
    }
}

static void run_attention_backward(const work *w)
{
    const uint32_t off[] = {0, (uint32_t)w->m};
    const nn_dropout mask = {1, 2, 3, w->probability};
    nn_attention_backward(w->c, w->b, w->a, off, 1, w->shape, &mask, 0, off[1], w->scratch);
}

/** With the scores computed again there are five products where the forward pass has two. */
static void bench_attention_backward(void)
{
    static const struct {
        uint32_t len;
        nn_attention_shape shape;
        float probability;
    } cases[] = {
        {25, {4, 64, 0, NN_ROWS_ALL}, 0},     {25, {4, 64, 0, NN_ROWS_ALL}, 0.1f},
        {25, {4, 64, 1, NN_ROWS_ALL}, 0},     {128, {4, 64, 0, NN_ROWS_ALL}, 0.1f},
        {128, {4, 64, 1, NN_ROWS_ALL}, 0.1f}, {1024, {12, 64, 1, NN_ROWS_ALL}, 0},
    };
    puts("\ngradient of attention of one sequence, us (and GFLOP/s of its products)");
    printf("%6s %6s %6s %7s %7s %16s %16s\n", "tokens", "heads", "d_head", "causal", "dropout",
           "avx2", "avx512");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const nn_attention_shape *shape = &cases[i].shape;
        const size_t len = cases[i].len, d = (size_t)shape->heads * shape->d_head;
        const double pairs =
            shape->causal ? (double)len * (double)(len + 1) / 2 : (double)len * (double)len;
        work w = {.run = run_attention_backward,
                  .m = len,
                  .shape = shape,
                  .probability = cases[i].probability,
                  .a = random_floats(3 * d * len)};
        w.b = random_floats(d * len);
        w.c = random_floats(3 * d * len);
        w.scratch = random_floats(nn_attention_backward_scratch(shape, cases[i].len));
        printf("%6zu %6u %6u %7d %7.1f", len, shape->heads, shape->d_head, shape->causal,
               (double)cases[i].probability);
        for (int kernel = 1; kernel < KERNELS; kernel++) {
            if (nn_kernel_choose(kernels[kernel]) != FS_OK) {
                printf(" %16s", "-");
                continue;
            }
            const double seconds = seconds_of(&w);
            printf(" %8.1f (%5.1f)", 1e6 * seconds, 10e-9 * pairs * (double)d / seconds);
        }
        putchar('\n');
        free(w.a);
        free(w.b);
        free(w.c);
        free(w.scratch);
    }
}

/** Rows of A W^T whose bits are others when only the first m rows are multiplied. */
static size_t rows_that_differ(const work *all, size_t m, int openblas)
{
    work part = *all;
    part.m = m;
    part.c = random_floats(m * all->n);
    if (openblas) {
        run_openblas(&part);
    } else {
        run_gemm(&part);
    }
    size_t differ = 0;
    for (size_t row = 0; row < m; row++) {
        const size_t at = row * all->n;
        differ += memcmp(part.c + at, all->c + at, all->n * sizeof(float)) != 0;
    }
    free(part.c);
    return differ;
}

static void show_invariance(void)
{
    static const size_t rows[] = {1, 6, 7, 25, 100, 128, 240, 300};
    work w = {.m = ROWS_MAX, .n = 768, .k = 768};
    w.a = random_floats(w.m * w.k);
    w.weights = random_floats(w.n * w.k);
    w.b = random_floats(nn_packed_size(w.k, w.n));
    w.c = random_floats(w.m * w.n);
    nn_pack(w.b, w.weights, w.k, w.n, 1);
    printf("\nrows whose bits are others than among %d rows (k = n = 768)\n%10s", ROWS_MAX, "m");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) printf(" %5zu", rows[i]);
    for (int openblas = 1; openblas >= 0; openblas--) {
        printf("\n%10s", openblas ? "openblas" : nn_kernel_name());
        if (openblas) {
            run_openblas(&w);
        } else {
            run_gemm(&w);
        }
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            printf(" %5zu", rows_that_differ(&w, rows[i], openblas));
        }
    }
    putchar('\n');
    free(w.a);
    free(w.weights);
    free(w.b);
    free(w.c);
}

int main(void)
{
    openblas_set_num_threads(1);
    bench_gemm();
    bench_gemm_tn();
    bench_elementwise();
    bench_backward();
    bench_attention();
    bench_attention_backward();
    show_invariance();
    return 0;
}
