/* Dropout masks against Random123, number by number, and their statistics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <Random123/philox.h>
#include <stdlib.h>

#include "floats.h"
#include "nn_backward.h"
#include "nn_cpu.h"

/** The documented rule, from the header's words. */
static uint32_t number_of(const nn_dropout *d, uint64_t element)
{
    const philox4x32_ctr_t counter = {
        {(uint32_t)(element / 8), d->place, (uint32_t)d->step, (uint32_t)(d->step >> 32)}};
    const philox4x32_key_t key = {{(uint32_t)d->key, (uint32_t)(d->key >> 32)}};
    const philox4x32_ctr_t block = philox4x32_R(10, counter, key);
    const uint32_t word = block.v[element % 8 / 2];
    return element % 2 == 0 ? word & 0xffff : word >> 16;
}

static float expected(const nn_dropout *d, float x, uint64_t element)
{
    const double bound = (double)d->probability * 65536;
    if ((double)number_of(d, element) < bound) return 0;
    return x * (float)(65536 / (65536 - ceil(bound)));
}

static void check(const nn_dropout *d, uint64_t first, size_t n, uint32_t odd)
{
    guarded x = guarded_new(n);
    float *start = malloc(n * sizeof *start), *want = malloc(n * sizeof *want);
    fill(start, n, first + n, odd);
    for (size_t j = 0; j < n; j++) want[j] = expected(d, start[j], first + j);
    memcpy(x.at, start, n * sizeof *start);
    nn_dropout_apply_reference(d, x.at, first, n);
    assert_int_equal(first_difference(x.at, want, n), n);
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        memcpy(x.at, start, n * sizeof *start);
        nn_dropout_apply(d, x.at, first, n);
        size_t at = first_difference(x.at, want, n);
        if (at < n) {
            fail_msg("%s, p %g, element %llu of %zu: %a became %a, not %a", kernel_names[i],
                     (double)d->probability, (unsigned long long)(first + at), n, (double)start[at],
                     (double)x.at[at], (double)want[at]);
        }
    }
    free(start);
    free(want);
    guarded_free(&x);
}

static void every_kernel_follows_the_rule(void **state)
{
    const nn_dropout some[] = {
        {0, 0, 0, 0.5f},
        {0x0123456789abcdefu, 0xfedcba9876543210u, 0xffffffffu, 0.1f},
        {1, (uint64_t)1 << 32, 7, 0.9f},
        {(uint64_t)1 << 32, 1, 8, 1e-9f},
        {5, 6, 9, 0.99998f},
        {UINT64_MAX, UINT64_MAX, 3, 0.25f},
    };
    for (size_t s = 0; s < sizeof some / sizeof some[0]; s++) {
        for (uint64_t first = 0; first < 20; first++) {
            for (size_t n = 1; n < 200; n += n < 70 ? 1 : 17) check(&some[s], first, n, 5000);
        }
        check(&some[s], ((uint64_t)1 << 35) - 333, 333, 0);
        check(&some[s], ((uint64_t)1 << 32) - 5, 333, 0);
    }
}

static void cut_anywhere_it_is_the_same(void **state)
{
    enum { N = 500 };
    const nn_dropout d = {11, 12, 13, 0.3f};
    float whole[N], cut[N];
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        fill(whole, N, 1, 0);
        memcpy(cut, whole, sizeof cut);
        nn_dropout_apply(&d, whole, 1003, N);
        for (size_t at = 0, n = 1; at < N; at += n, n = n * 2 + 1) {
            if (n > N - at) n = N - at;
            nn_dropout_apply(&d, cut + at, 1003 + at, n);
        }
        assert_memory_equal(cut, whole, sizeof whole);
    }
}

static void probability_0_does_nothing(void **state)
{
    float x[40], want[40];
    fill(x, 40, 1, 300000);
    memcpy(want, x, sizeof x);
    const nn_dropout off = {1, 2, 3, 0};
    nn_dropout_apply(&off, x, 0, 40);
    nn_dropout_apply(NULL, x, 0, 40);
    assert_memory_equal(x, want, sizeof x);
}

/* A dropped NaN or Inf is gone, a kept one stays. */
static void what_is_dropped_is_zero_whatever_it_was(void **state)
{
    enum { N = 4000 };
    static float x[N];
    const nn_dropout d = {1, 2, 3, 0.5f};
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        for (size_t j = 0; j < N; j++) x[j] = j % 2 ? NAN : -INFINITY;
        nn_dropout_apply(&d, x, 0, N);
        for (size_t j = 0; j < N; j++) {
            if (expected(&d, 1, j) == 0) {
                assert_int_equal(float_bits(x[j]), 0);
            } else {
                assert_true(j % 2 ? isnan(x[j]) : x[j] == -INFINITY);
            }
        }
    }
}

enum { MANY = 1 << 20 };

static void mask_of(float *x, const nn_dropout *d)
{
    for (size_t i = 0; i < MANY; i++) x[i] = 1;
    nn_dropout_apply(d, x, 0, MANY);
}

/* Binomial counts, within five standard deviations. */
static void as_many_are_dropped_as_asked_for(void **state)
{
    static float x[MANY];
    static const float probabilities[] = {0.001f, 0.1f, 0.5f, 0.9f};
    for (size_t i = 0; i < sizeof probabilities / sizeof probabilities[0]; i++) {
        const nn_dropout d = {100 + i, 3, 4, probabilities[i]};
        const double p = ceil((double)probabilities[i] * 65536) / 65536;
        double dropped = 0, sum = 0;
        mask_of(x, &d);
        for (size_t j = 0; j < MANY; j++) {
            dropped += x[j] == 0;
            sum += (double)x[j];
        }
        const double deviation = sqrt(p * (1 - p) * MANY);
        assert_true(fabs(dropped - p * MANY) < 5 * deviation);
        assert_true(fabs(sum - MANY) < 5 * deviation / (1 - p) + 1e-3 * MANY / 1000);
    }
}

/* Masks that differ in one of key, step, place or by one element agree as often as coins do. */
static void masks_are_independent(void **state)
{
    static float x[MANY], y[MANY];
    const nn_dropout d = {1, 2, 3, 0.5f};
    const nn_dropout others[] = {{2, 2, 3, 0.5f},
                                 {1, 3, 3, 0.5f},
                                 {1, 2, 4, 0.5f},
                                 {1 + ((uint64_t)1 << 32), 2, 3, 0.5f},
                                 {1, 2 + ((uint64_t)1 << 32), 3, 0.5f}};
    const double bound = 5 * sqrt(0.25 * MANY);
    mask_of(x, &d);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        double agree = 0;
        mask_of(y, &others[i]);
        for (size_t j = 0; j < MANY; j++) agree += x[j] == y[j];
        assert_true(fabs(agree - 0.5 * MANY) < bound);
    }
    for (size_t lag = 1; lag <= 64; lag++) {
        double agree = 0;
        for (size_t j = 0; j + lag < MANY; j++) agree += x[j] == x[j + lag];
        assert_true(fabs(agree - 0.5 * (double)(MANY - lag)) < bound);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kernel_follows_the_rule),
        cmocka_unit_test(cut_anywhere_it_is_the_same),
        cmocka_unit_test(probability_0_does_nothing),
        cmocka_unit_test(what_is_dropped_is_zero_whatever_it_was),
        cmocka_unit_test(as_many_are_dropped_as_asked_for),
        cmocka_unit_test(masks_are_independent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
