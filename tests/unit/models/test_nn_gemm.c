/* Every kernel against the plain loop, bit for bit, and the plain loop against OpenBLAS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cblas.h>
#include <stdlib.h>

#include "floats.h"
#include "nn_cpu.h"
#include "nn_gemm.h"

enum { UNTOUCHED = 0x12345678 };

/** One product by every kernel, in strided arrays that end at an unreadable page. */
static void check_product(size_t m, size_t n, size_t k, uint32_t odd, int with_bias)
{
    const size_t lda = k + m % 3, ldc = n + m % 4;
    const uint64_t seed = m * 1000003 + n * 1009 + k;
    guarded a = guarded_new((m - 1) * lda + k), b = guarded_new(nn_packed_size(k, n));
    guarded c = guarded_new((m - 1) * ldc + n), want = guarded_new(c.n), bias = guarded_new(n);
    guarded source = guarded_new(k * n);
    fill(a.at, a.n, seed, odd);
    fill(source.at, source.n, seed + 1, odd);
    fill(bias.at, bias.n, seed + 2, odd);
    nn_pack(b.at, source.at, k, n, m % 2 == 0);
    for (size_t i = 0; i < c.n; i++) want.at[i] = float_of(UNTOUCHED);
    const float *add = with_bias ? bias.at : NULL;
    nn_gemm_reference(want.at, ldc, a.at, lda, b.at, add, m, n, k);
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        for (size_t j = 0; j < c.n; j++) c.at[j] = float_of(UNTOUCHED);
        nn_gemm(c.at, ldc, a.at, lda, b.at, add, m, n, k);
        size_t at = first_difference(c.at, want.at, c.n);
        if (at < c.n) {
            fail_msg("%s, m %zu n %zu k %zu: row %zu column %zu is %a, not %a", kernel_names[i], m,
                     n, k, at / ldc, at % ldc, (double)c.at[at], (double)want.at[at]);
        }
    }
    guarded *all[] = {&a, &b, &c, &want, &bias, &source};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) guarded_free(all[i]);
}

static void every_kernel_gives_the_reference_bits(void **state)
{
    static const size_t ks[] = {1, 2, 3, 17, 31, 64, 255, 257},
                        ns[] = {1, 3, 15, 16, 17, 31, 64, 83};
    for (size_t m = 1; m <= 40; m++) {
        for (size_t i = 0; i < sizeof ks / sizeof ks[0]; i++) {
            for (size_t j = 0; j < sizeof ns / sizeof ns[0]; j++) {
                check_product(m, ns[j], ks[i], (i + j) % 2 ? 2000 : 0, (m + i) % 3 != 0);
            }
        }
    }
}

static void every_kernel_gives_the_reference_bits_beyond_a_block(void **state)
{
    check_product(1, 768, 3072, 10, 1);
    check_product(25, 96, 768, 10, 1);
    check_product(133, 48, 513, 20, 1);
    check_product(264, 33, 257, 0, 0);
    check_product(265, 17, 31, 20, 1);
}

static void an_empty_chain_is_the_bias(void **state)
{
    float c[3] = {7, 7, 7}, a[1] = {0};
    const float bias[3] = {1, -0.0f, 3};
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        nn_gemm(c, 3, a, 0, a, bias, 1, 3, 0);
        assert_true(c[0] == 1 && c[1] == 0 && c[2] == 3);
        nn_gemm(c, 3, a, 0, a, NULL, 1, 3, 0);
        assert_true(c[0] == 0 && c[1] == 0 && c[2] == 0);
    }
}

/* A product that goes on from another is the product of both lengths together. */
static void a_chain_goes_on_from_what_is_there(void **state)
{
    static const size_t sizes[][4] = {/* m, n, and where k is cut */
                                      {1, 1, 1, 1},   {5, 17, 3, 30},    {12, 32, 64, 7},
                                      {13, 40, 9, 9}, {140, 33, 300, 5}, {24, 6, 6, 270}};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const size_t m = sizes[s][0], n = sizes[s][1], first = sizes[s][2], k = first + sizes[s][3];
        const size_t ldc = n + 3;
        guarded a = guarded_new(m * k), source = guarded_new(k * n);
        guarded b = guarded_new(nn_packed_size(k, n)), c = guarded_new((m - 1) * ldc + n);
        guarded want = guarded_new(c.n);
        fill(a.at, a.n, s, 500);
        fill(source.at, source.n, s + 1, 500);
        nn_pack(b.at, source.at, k, n, 0);
        for (size_t i = 0; i < c.n; i++) want.at[i] = c.at[i] = 0;
        nn_gemm_reference(want.at, ldc, a.at, k, b.at, NULL, m, n, k);
        for (int i = 0; i < KERNELS; i++) {
            if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
            nn_pack(b.at, source.at, first, n, 0);
            nn_gemm(c.at, ldc, a.at, k, b.at, NULL, m, n, first);
            nn_pack(b.at, source.at + first * n, k - first, n, 0);
            nn_gemm_onto(c.at, ldc, a.at + first, k, b.at, m, n, k - first);
            assert_int_equal(first_difference(c.at, want.at, c.n), c.n);
        }
        guarded *all[] = {&a, &b, &c, &want, &source};
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) guarded_free(all[i]);
    }
}

/* 2^24 + 1 + 1 is 2^24 in a chain from the left and 2^24 + 2 in any tree; 3 * (1/3 rounded) - 1 is
 * 2^-25-ish only if the product is not rounded on its own. */
static void the_order_and_the_fusion_are_as_documented(void **state)
{
    const float a[3] = {1, 1, 1}, third = 1.0f / 3.0f;
    const float weights[3] = {0x1p24f, 1, 1}, minus[2] = {-1, third}, ones[2] = {1, 3};
    float b[3 * NN_PANEL], c[1];
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        nn_pack(b, weights, 3, 1, 0);
        nn_gemm(c, 1, a, 3, b, NULL, 1, 1, 3);
        assert_true(c[0] == 0x1p24f);
        nn_pack(b, minus, 2, 1, 0);
        nn_gemm(c, 1, ones, 2, b, NULL, 1, 1, 2);
        assert_true(c[0] == 0x1p-25f);
    }
}

static void packing_places_every_element_and_pads_with_zero(void **state)
{
    static const size_t sizes[][2] = {{1, 1},   {3, 17},  {8, 8}, {16, 16},
                                      {23, 40}, {64, 25}, {9, 47}};
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            const size_t k = sizes[s][0], n = sizes[s][1];
            guarded source = guarded_new(k * n), packed = guarded_new(nn_packed_size(k, n));
            for (size_t j = 0; j < k * n; j++) source.at[j] = (float)(j + 1);
            for (int transposed = 0; transposed < 2; transposed++) {
                double sum = 0;
                fill(packed.at, packed.n, 1, 0);
                nn_pack(packed.at, source.at, k, n, transposed);
                for (size_t row = 0; row < k; row++) {
                    for (size_t col = 0; col < n; col++) {
                        size_t from = transposed ? col * k + row : row * n + col;
                        assert_true(packed.at[nn_packed_index(k, row, col)] == source.at[from]);
                    }
                }
                for (size_t j = 0; j < packed.n; j++) sum += (double)packed.at[j];
                assert_true(sum == (double)(k * n) * (double)(k * n + 1) / 2);
            }
            guarded_free(&source);
            guarded_free(&packed);
        }
    }
}

static void openblas_agrees(void **state)
{
    static const size_t shapes[][3] = {{1, 256, 256}, {25, 768, 768}, {64, 100, 3072}, {7, 2, 768}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const size_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
        float *a = malloc(m * k * sizeof *a), *w = malloc(n * k * sizeof *w);
        float *b = malloc(nn_packed_size(k, n) * sizeof *b);
        float *c = malloc(m * n * sizeof *c), *want = malloc(m * n * sizeof *want);
        fill(a, m * k, s, 0);
        fill(w, n * k, s + 100, 0);
        nn_pack(b, w, k, n, 1);
        nn_gemm_reference(c, n, a, k, b, NULL, m, n, k);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, (int)n, (int)k, 1, a, (int)k,
                    w, (int)k, 0, want, (int)n);
        /* A sum of k products of unit variance; each of the k roundings costs at most half a unit
         * of a partial sum, and they add up like a random walk. */
        const double bound = 4 * 0x1p-24 * (double)k;
        for (size_t i = 0; i < m * n; i++) {
            assert_true(fabs((double)c[i] - (double)want[i]) < bound);
        }
        free(a);
        free(w);
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
        cmocka_unit_test(an_empty_chain_is_the_bias),
        cmocka_unit_test(a_chain_goes_on_from_what_is_there),
        cmocka_unit_test(the_order_and_the_fusion_are_as_documented),
        cmocka_unit_test(packing_places_every_element_and_pads_with_zero),
        cmocka_unit_test(openblas_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
