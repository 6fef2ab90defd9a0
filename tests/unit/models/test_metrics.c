#include "testing.h"

#include <math.h>

#include "floats.h"
#include "math64.h"
#include "metrics.h"
#include "metrics_avx2.h"
#include "nn_cpu.h"

static void expect_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance)) fail_msg("%.17g, expected %.17g", value, expected);
}

static void test_argmax(void **state)
{
    assert_int_equal(metrics_argmax((float[]){1, 3, 2}, 3), 1);
    assert_int_equal(metrics_argmax((float[]){3, 1, 3}, 3), 0); /* the first of equal ones */
    assert_int_equal(metrics_argmax((float[]){-0.0f, 0.0f}, 2), 0);
    assert_int_equal(metrics_argmax((float[]){7}, 1), 0);
    assert_int_equal(metrics_argmax((float[]){1, INFINITY, -INFINITY}, 3), 1);
    assert_int_equal(metrics_argmax((float[]){-INFINITY, -INFINITY}, 2), 0);
    assert_int_equal(metrics_argmax((float[]){NAN, 1}, 2), -1);
    assert_int_equal(metrics_argmax((float[]){1, NAN}, 2), -1);
    assert_int_equal(metrics_argmax((float[]){INFINITY, NAN}, 2), -1);
}

static void test_all_finite(void **state)
{
    assert_true(metrics_all_finite((float[]){1, -3e38f, 0}, 3));
    assert_false(metrics_all_finite((float[]){1, INFINITY}, 2));
    assert_false(metrics_all_finite((float[]){-INFINITY, 1}, 2));
    assert_false(metrics_all_finite((float[]){0, NAN}, 2));
    assert_true(metrics_all_finite(NULL, 0));
}

static void test_loss_in_closed_form(void **state)
{
    /* Equal logits: ln n. Two logits a apart: ln(1 + e^a). */
    float equal[1000];
    for (int i = 0; i < 1000; i++) equal[i] = 3.25f;
    expect_near(metrics_loss(equal, 1000, 17), log(1000), 1e-15 * 8);
    expect_near(metrics_loss((float[]){0, 0}, 2, 1), log(2), 1e-16);
    expect_near(metrics_loss((float[]){2, 5}, 2, 0), log1p(exp(3)), 1e-15);
    expect_near(metrics_loss((float[]){2, 5}, 2, 1), log1p(exp(-3)), 1e-15);
    expect_near(metrics_loss((float[]){1e30f, -1e30f}, 2, 0), 0, 0);
    expect_near(metrics_loss((float[]){1e4f, 0}, 2, 1), 1e4, 0);
    expect_near(metrics_loss((float[]){-800, 0}, 2, 0), 800, 0);
}

static void test_loss_of_what_is_not_finite(void **state)
{
    assert_true(isnan(metrics_loss((float[]){1, NAN, 2}, 3, 0)));
    assert_true(isnan(metrics_loss((float[]){NAN, 1, 2, 3, 4, 5, 6, 7, 8}, 9, 8)));
    assert_true(isnan(metrics_loss((float[]){NAN, NAN}, 2, 0)));
    assert_true(isnan(metrics_loss((float[]){INFINITY, 0}, 2, 0)));
    assert_true(isnan(metrics_loss((float[]){INFINITY, 0}, 2, 1)));
    assert_true(isnan(metrics_loss((float[]){-INFINITY, -INFINITY}, 2, 1)));
    assert_true(isinf(metrics_loss((float[]){-INFINITY, 0}, 2, 0)));
    expect_near(metrics_loss((float[]){-INFINITY, 0}, 2, 1), 0, 0);
}

/* The plain formula in long double. */
static double loss_slowly(const float *logits, size_t n, int32_t target)
{
    long double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) max = logits[i] > max ? logits[i] : max;
    for (size_t i = 0; i < n; i++) sum += expl(logits[i] - max);
    return (double)(logl(sum) - (logits[target] - max));
}

static void test_loss_against_long_double(void **state)
{
    static const size_t sizes[] = {1, 2, 3, 4, 5, 255, 256, 257, 1023, 8192};
    float logits[8192];
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        fill(logits, sizes[s], s + 1, 0);
        for (size_t i = 0; i < sizes[s]; i++) logits[i] *= 12;
        int32_t target = (int32_t)(sizes[s] / 3);
        double expected = loss_slowly(logits, sizes[s], target);
        expect_near(metrics_loss(logits, sizes[s], target), expected, 1e-14 * (1 + expected));
    }
}

/* Every kernel gives the same bits, also for odd values and lengths. */
static void test_loss_has_the_same_bits_on_every_kernel(void **state)
{
    float logits[1037];
    for (uint64_t seed = 0; seed < 300; seed++) {
        size_t n = 1 + (size_t)(seed * 37 % 1037);
        uint64_t bits[KERNELS];
        int kernels = 0;
        fill(logits, n, seed, seed % 3 == 0 ? 2000 : 0);
        for (int k = 0; k < KERNELS; k++) {
            if (nn_kernel_choose(kernel_names[k]) != FS_OK) continue; /* not on this processor */
            double loss = metrics_loss(logits, n, (int32_t)(seed % n));
            memcpy(&bits[kernels], &loss, sizeof loss);
            if (isnan(loss)) bits[kernels] = 0;
            assert_true(bits[kernels] == bits[0]);
            kernels++;
        }
    }
}

static void test_vector_exponentials_are_those_of_exp64(void **state)
{
    float logits[4];
    double out[4];
    uint64_t random = 99;
    if (nn_kernel_choose("avx2") != FS_OK) {
        print_message("skipped: this processor has no AVX2\n");
        skip();
    }
    for (int round = 0; round < 500000; round++) {
        double shift = (double)(next_u64(&random) % 1000);
        for (int i = 0; i < 4; i++) {
            float down = (float)(next_u64(&random) % 16777216) / 16384.0f;
            logits[i] = (float)shift - (round % 3 ? down : down / 1024);
            if ((double)logits[i] > shift) logits[i] = (float)shift;
        }
        if (round % 1000 == 0) logits[0] = NAN;
        if (round % 1000 == 1) logits[1] = -INFINITY;
        assert_int_equal(metrics__exp_avx2(out, logits, 4, shift), 4);
        for (int i = 0; i < 4; i++) {
            double expected = fs_exp64((double)logits[i] - shift);
            if (memcmp(&out[i], &expected, sizeof expected) != 0 && !isnan(expected))
                fail_msg("e^%.9g: %.17g, expected %.17g", (double)logits[i] - shift, out[i],
                         expected);
            assert_true(isnan(out[i]) == isnan(expected));
        }
    }
}

static void test_kl(void **state)
{
    /* p = (1/2, 1/2), q = (1/4, 3/4): ln 2 - ln(3)/2. */
    float p[] = {0, 0}, q[] = {0, (float)log(3)};
    expect_near(metrics_kl(p, q, 2), log(2) - log(3) / 2, 1e-8);
    expect_near(metrics_kl(q, p, 2), 0.25 * log(0.5) + 0.75 * log(1.5), 1e-8);
    assert_true(metrics_kl(q, q, 2) == 0);
    /* A shift of all logits changes nothing. */
    expect_near(metrics_kl((float[]){1, 2, 3}, (float[]){101, 102, 103}, 3), 0, 1e-13);
    expect_near(metrics_kl((float[]){1000, 0}, (float[]){0, 1000}, 2), 1000, 1e-9);
    assert_true(isnan(metrics_kl((float[]){NAN, 0}, p, 2)));
    assert_true(isnan(metrics_kl(p, (float[]){0, INFINITY}, 2)));
    assert_true(isnan(metrics_kl(p, (float[]){0, -INFINITY}, 2)));
    /* Nearly equal: rounding must not make it negative. */
    for (uint64_t seed = 0; seed < 200; seed++) {
        float a[64], b[64];
        fill(a, 64, seed, 0);
        memcpy(b, a, sizeof a);
        b[seed % 64] = nextafterf(b[seed % 64], 9);
        assert_true(metrics_kl(a, b, 64) >= 0);
    }
}

static void test_deviation(void **state)
{
    assert_true(metrics_deviation((float[]){1, 2}, (float[]){1.5f, 1}, 2) == 1);
    assert_true(metrics_deviation((float[]){0.0f}, (float[]){-0.0f}, 1) == 0);
    assert_true(metrics_deviation((float[]){NAN, INFINITY}, (float[]){NAN, INFINITY}, 2) == 0);
    assert_true(isinf(metrics_deviation((float[]){NAN, 1}, (float[]){1, 1}, 2)));
    assert_true(isinf(metrics_deviation((float[]){0, 1}, (float[]){0, NAN}, 2)));
    assert_true(isinf(metrics_deviation((float[]){INFINITY}, (float[]){-INFINITY}, 1)));
    assert_true(metrics_deviation((float[]){-3e38f}, (float[]){3e38f}, 1) == 2 * (double)3e38f);
    assert_true(isinf(
        metrics_deviation((float[]){float_of(0x7fc00000)}, (float[]){float_of(0x7fc00001)}, 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_argmax),
        cmocka_unit_test(test_all_finite),
        cmocka_unit_test(test_loss_in_closed_form),
        cmocka_unit_test(test_loss_of_what_is_not_finite),
        cmocka_unit_test(test_loss_against_long_double),
        cmocka_unit_test(test_loss_has_the_same_bits_on_every_kernel),
        cmocka_unit_test(test_vector_exponentials_are_those_of_exp64),
        cmocka_unit_test(test_kl),
        cmocka_unit_test(test_deviation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
