/* The weights' gradient by every kernel against the plain loop, bit for bit, and the plain loop
 * against OpenBLAS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cblas.h>
#include <stdlib.h>

#include "floats.h"
#include "nn_backward.h"
#include "nn_cpu.h"

/** One product by every kernel, in strided arrays that end at an unreadable page; what lies between
 * C's rows must stay. */
static void check_product(size_t m, size_t n, size_t k, uint32_t odd)
{
    const size_t lda = m + k % 3, ldb = n + m % 3, ldc = n + m % 4;
    const uint64_t seed = m * 1000003 + n * 1009 + k;
    guarded a = guarded_new((k - 1) * lda + m), b = guarded_new((k - 1) * ldb + n);
    guarded c = guarded_new((m - 1) * ldc + n);
    float *start = malloc(c.n * sizeof *start), *want = malloc(c.n * sizeof *want);
    fill(a.at, a.n, seed, odd);
    fill(b.at, b.n, seed + 1, odd);
    fill(start, c.n, seed + 2, odd);
    memcpy(want, start, c.n * sizeof *want);
    nn_gemm_tn_reference(want, ldc, a.at, lda, b.at, ldb, m, n, k);
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        memcpy(c.at, start, c.n * sizeof *start);
        nn_gemm_tn(c.at, ldc, a.at, lda, b.at, ldb, m, n, k);
        size_t at = first_difference(c.at, want, c.n);
        if (at < c.n) {
            fail_msg("%s, m %zu n %zu k %zu: row %zu column %zu is %a, not %a", kernel_names[i], m,
                     n, k, at / ldc, at % ldc, (double)c.at[at], (double)want[at]);
        }
    }
    guarded_free(&a);
    guarded_free(&b);
    guarded_free(&c);
    free(start);
    free(want);
}

static void every_kernel_gives_the_reference_bits(void **state)
{
    static const size_t ks[] = {1, 2, 3, 17, 64}, ns[] = {1, 3, 15, 16, 17, 31, 33, 83};
    for (size_t m = 1; m <= 40; m++) {
        for (size_t i = 0; i < sizeof ks / sizeof ks[0]; i++) {
            for (size_t j = 0; j < sizeof ns / sizeof ns[0]; j++) {
                check_product(m, ns[j], ks[i], (i + j) % 2 ? 2000 : 0);
            }
        }
    }
}

static void every_kernel_gives_the_reference_bits_beyond_a_block(void **state)
{
    check_product(5, 7, 1000, 20);
    check_product(25, 96, 129, 10);
    check_product(263, 33, 128, 20);
    check_product(264, 48, 257, 0);
    check_product(265, 17, 131, 20);
    check_product(530, 65, 31, 20);
}

/* One call of k steps, and the same in runs of a few: an accumulation over runs of a batch. */
static void the_chain_goes_on_from_what_is_there(void **state)
{
    enum { M = 29, N = 37, K = 300 };
    static float a[K * M], b[K * N], want[M * N], got[M * N];
    static const size_t cuts[] = {0, 1, 8, 130, 131, 259, K};
    fill(a, K * M, 1, 0);
    fill(b, K * N, 2, 0);
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        memset(want, 0, sizeof want);
        memset(got, 0, sizeof got);
        nn_gemm_tn(want, N, a, M, b, N, M, N, K);
        for (size_t j = 0; j + 1 < sizeof cuts / sizeof cuts[0]; j++) {
            nn_gemm_tn(got, N, a + cuts[j] * M, M, b + cuts[j] * N, N, M, N, cuts[j + 1] - cuts[j]);
        }
        assert_memory_equal(got, want, sizeof got);
        /* Rows and columns of C apart, as threads do them. */
        memset(got, 0, sizeof got);
        nn_gemm_tn(got, N, a, M, b, N, 13, 17, K);
        nn_gemm_tn(got + 17, N, a, M, b + 17, N, 13, N - 17, K);
        nn_gemm_tn(got + 13 * N, N, a + 13, M, b, N, M - 13, N, K);
        assert_memory_equal(got, want, sizeof got);
        nn_gemm_tn(got, N, a, M, b, N, M, N, 0);
        nn_gemm_tn(got, N, a, M, b, N, 0, N, K);
        nn_gemm_tn(got, N, a, M, b, N, M, 0, K);
        assert_memory_equal(got, want, sizeof got);
    }
}

/* As in test_nn_gemm: a chain and not a tree, fused and not rounded twice. */
static void the_order_and_the_fusion_are_as_documented(void **state)
{
    const float ones[2] = {1, 1}, third = 1.0f / 3.0f, three[1] = {3}, thirds[1] = {third};
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        float c = 0x1p24f;
        nn_gemm_tn(&c, 1, ones, 1, ones, 1, 1, 1, 2);
        assert_true(c == 0x1p24f);
        c = -1;
        nn_gemm_tn(&c, 1, three, 1, thirds, 1, 1, 1, 1);
        assert_true(c == 0x1p-25f);
    }
}

static void openblas_agrees(void **state)
{
    static const size_t shapes[][3] = {
        {256, 256, 300}, {100, 768, 515}, {768, 2, 64}, {300, 128, 1}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const size_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
        float *a = malloc(m * k * sizeof *a), *b = malloc(n * k * sizeof *b);
        float *c = malloc(m * n * sizeof *c), *want = malloc(m * n * sizeof *want);
        fill(a, m * k, s, 0);
        fill(b, n * k, s + 100, 0);
        fill(c, m * n, s + 200, 0);
        memcpy(want, c, m * n * sizeof *c);
        nn_gemm_tn(c, n, a, m, b, n, m, n, k);
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)m, (int)n, (int)k, 1, a, (int)m,
                    b, (int)n, 1, want, (int)n);
        const double bound = 4 * 0x1p-24 * (double)(k + 4);
        for (size_t i = 0; i < m * n; i++) {
            assert_true(fabs((double)c[i] - (double)want[i]) < bound);
        }
        free(a);
        free(b);
        free(c);
        free(want);
    }
}

int main(void)
{
    openblas_set_num_threads(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kernel_gives_the_reference_bits),
        cmocka_unit_test(every_kernel_gives_the_reference_bits_beyond_a_block),
        cmocka_unit_test(the_chain_goes_on_from_what_is_there),
        cmocka_unit_test(the_order_and_the_fusion_are_as_documented),
        cmocka_unit_test(openblas_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
