#include "testing.h"

#include <math.h>

#include "math64.h"
#include "rng.h"

/* Both sides round: the bound is on the relative difference to libm, itself within 1 ulp. */
static void test_log_agrees_with_libm(void **state)
{
    fs_rng rng;
    fs_rng_init(&rng, 11, 0);
    for (int i = 0; i < 200000; i++) {
        double x = ldexp(fs_rng_unit(&rng), (int)fs_rng_below(&rng, 2000) - 1000);
        double want = log(x), got = fs_log64(x);
        assert_true(fabs(got - want) <= 4 * 0x1p-53 * fabs(want) + 0x1p-54);
    }
    assert_true(fs_log64(0) == -INFINITY && fs_log64(INFINITY) == INFINITY);
    assert_true(fs_log64(1) == 0 && isnan(fs_log64(-1)) && isnan(fs_log64(NAN)));
    assert_true(fabs(fs_log64(0x1p-1074) - log(0x1p-1074)) < 1e-12);
}

static void test_log1p_agrees_with_libm(void **state)
{
    fs_rng rng;
    fs_rng_init(&rng, 12, 0);
    for (int i = 0; i < 200000; i++) {
        double x = -ldexp(fs_rng_unit(&rng), -(int)fs_rng_below(&rng, 60)) * 0.999;
        double want = log1p(x), got = fs_log1p64(x);
        assert_true(fabs(got - want) <= 6 * 0x1p-53 * fabs(want));
    }
}

static void test_exp_agrees_with_libm(void **state)
{
    fs_rng rng;
    fs_rng_init(&rng, 13, 0);
    for (int i = 0; i < 200000; i++) {
        double x = (fs_rng_unit(&rng) - 0.5) * 1416;
        double want = exp(x), got = fs_exp64(x);
        assert_true(fabs(got - want) <= 6 * 0x1p-53 * want);
    }
    assert_true(fs_exp64(0) == 1 && fs_exp64(-INFINITY) == 0 && fs_exp64(INFINITY) == INFINITY);
    assert_true(isnan(fs_exp64(NAN)) && fs_exp64(709.79) == INFINITY && fs_exp64(-800) == 0);
    assert_true(isfinite(fs_exp64(709.782)) && fabs(fs_exp64(709.782) / exp(709.782) - 1) < 1e-15);
}

static void test_cos_turns_agrees_with_libm(void **state)
{
    fs_rng rng;
    fs_rng_init(&rng, 14, 0);
    for (int i = 0; i < 200000; i++) {
        const double x = fs_rng_unit(&rng), turn = 2 * acos(-1);
        const double whole = (double)fs_rng_below(&rng, 1000000) - 500000;
        assert_true(fabs(fs_cos_turns64(x) - cos(turn * x)) < 1e-15);
        /* Whole turns change nothing but the rounding of the sum. */
        assert_true(fs_cos_turns64(x + whole) == fs_cos_turns64((x + whole) - whole));
        assert_true(fs_cos_turns64(-x) == fs_cos_turns64(x));
    }
    assert_true(fs_cos_turns64(0) == 1 && fs_cos_turns64(0.5) == -1 && fs_cos_turns64(7) == 1);
    assert_true(fs_cos_turns64(0.25) == 0 && fs_cos_turns64(-0.75) == 0);
    assert_true(fabs(fs_cos_turns64(1.0 / 6) - 0.5) < 2e-16);
    assert_true(isnan(fs_cos_turns64(NAN)) && isnan(fs_cos_turns64(INFINITY)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_agrees_with_libm),
        cmocka_unit_test(test_log1p_agrees_with_libm),
        cmocka_unit_test(test_exp_agrees_with_libm),
        cmocka_unit_test(test_cos_turns_agrees_with_libm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
