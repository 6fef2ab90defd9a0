/* Every kernel against the portable code, bit for bit, and the portable code against libm in
 * double, for about four million floats spread over all bit patterns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <stdlib.h>

#include "floats.h"
#include "nn_cpu.h"
#include "nn_kernels.h"

enum { CHUNK = 65521 };
static const uint32_t STEP = 1021; /* prime: every exponent is met with many mantissas */

typedef void unary_fn(float *x, size_t n);

typedef struct unary {
    const char *name;
    unary_fn *fast, *reference;
    double (*exact)(double x);
    double relative_max; /* of results of normal size */
} unary;

static double gelu_erf_exact(double x)
{
    return 0.5 * x * erfc(-x * M_SQRT1_2);
}

/* 1 + tanh(u) as 2 / (1 + exp(-2u)), which does not cancel. */
static double gelu_tanh_exact(double x)
{
    double u = sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
    return x / (1 + exp(-2 * u));
}

static double relu_exact(double x)
{
    return x < 0 ? 0 : x;
}

static const unary unaries[] = {
    {"exp", nn_exp, nn_exp_reference, exp, 1.5e-7},
    {"tanh", nn_tanh, nn_tanh_reference, tanh, 3e-7},
    {"gelu_erf", nn_gelu_erf, nn_gelu_erf_reference, gelu_erf_exact, 8e-7},
    {"gelu_tanh", nn_gelu_tanh, nn_gelu_tanh_reference, gelu_tanh_exact, 1.2e-5},
    {"relu", nn_relu, nn_relu_reference, relu_exact, 1e-12},
};
enum { UNARIES = sizeof unaries / sizeof unaries[0] };

/** Calls `visit` with consecutive chunks of all the floats that are tried. */
static void for_all_floats(void (*visit)(const unary *f, const float *x, size_t n), const unary *f)
{
    static float x[CHUNK];
    size_t n = 0;
    for (uint64_t bits = 0; bits < (uint64_t)1 << 32; bits += STEP) {
        x[n++] = float_of((uint32_t)bits);
        if (n == CHUNK || bits + STEP >= (uint64_t)1 << 32) {
            visit(f, x, n);
            n = 0;
        }
    }
}

static void compare_kernels(const unary *f, const float *x, size_t n)
{
    static float want[CHUNK], got[CHUNK];
    memcpy(want, x, n * sizeof *x);
    f->reference(want, n);
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        memcpy(got, x, n * sizeof *x);
        f->fast(got, n);
        size_t at = first_difference(got, want, n);
        if (at < n) {
            fail_msg("%s %s(%a) is %a, not %a", kernel_names[i], f->name, (double)x[at],
                     (double)got[at], (double)want[at]);
        }
    }
}

static void every_kernel_gives_the_reference_bits(void **state)
{
    for (size_t i = 0; i < UNARIES; i++) for_all_floats(compare_kernels, &unaries[i]);
}

static double worst, worst_at;

static void compare_with_libm(const unary *f, const float *x, size_t n)
{
    static float got[CHUNK];
    const double wisp = 16 * (double)FLT_MIN;
    memcpy(got, x, n * sizeof *x);
    f->reference(got, n);
    for (size_t i = 0; i < n; i++) {
        if (isnan(x[i])) {
            assert_true(isnan(got[i]));
            continue;
        }
        if (isinf(x[i])) continue;
        const double exact = f->exact((double)x[i]), y = (double)got[i];
        if (fabs(exact) > (double)FLT_MAX) {
            assert_true(isinf(got[i]) || fabs(y) > 0.9999999 * (double)FLT_MAX);
        } else if (fabs(exact) < wisp) {
            /* GELU's last wisps may be flushed: x / Inf, exp(-x^2/2) = 0. */
            assert_true(fabs(y - exact) <= wisp);
        } else {
            const double error = fabs(y - exact) / fabs(exact);
            if (error > worst) {
                worst = error;
                worst_at = (double)x[i];
            }
        }
    }
}

static void libm_agrees(void **state)
{
    for (size_t i = 0; i < UNARIES; i++) {
        worst = 0;
        for_all_floats(compare_with_libm, &unaries[i]);
        print_message("%-10s relative error at most %.3g, at %.9g\n", unaries[i].name, worst,
                      worst_at);
        assert_true(worst <= unaries[i].relative_max);
    }
}

/* Its worst error is in the left tail, where the exponent is large and so is its rounding. */
static void gelu_tanh_is_exact_to_a_millionth_above_minus_3(void **state)
{
    double most = 0;
    for (double at = -3; at < 12; at += 1.7e-5) {
        float x = (float)at;
        const double want = gelu_tanh_exact((double)x);
        nn_gelu_tanh_reference(&x, 1);
        if (want != 0) most = fmax(most, fabs((double)x / want - 1));
    }
    print_message("gelu_tanh  relative error at most %.3g above -3\n", most);
    assert_true(most < 1e-6);
}

/* What PyTorch 1.13 gives for the same inputs. */
static void special_values_are_those_of_pytorch(void **state)
{
    static const float inputs[] = {INFINITY, -INFINITY, 0.0f, -0.0f, 1e20f, -1e20f, NAN};
    static const float outputs[UNARIES][7] = {
        {INFINITY, 0, 1, 1, INFINITY, 0, NAN},        {1, -1, 0, -0.0f, 1, -1, NAN},
        {INFINITY, NAN, 0, -0.0f, 1e20f, -0.0f, NAN}, {INFINITY, NAN, 0, -0.0f, 1e20f, -0.0f, NAN},
        {INFINITY, 0, 0, -0.0f, 1e20f, 0, NAN},
    };
    for (int kernel = 0; kernel < KERNELS; kernel++) {
        if (nn_kernel_choose(kernel_names[kernel]) != FS_OK) continue;
        for (size_t f = 0; f < UNARIES; f++) {
            for (size_t i = 0; i < 7; i++) {
                /* In the vector body and in the tail. */
                float x[19];
                for (size_t j = 0; j < 19; j++) x[j] = inputs[i];
                unaries[f].fast(x, 19);
                for (size_t j = 0; j < 19; j++) {
                    if (!same(x[j], outputs[f][i])) {
                        fail_msg("%s %s(%g) is %g, not %g", kernel_names[kernel], unaries[f].name,
                                 (double)inputs[i], (double)x[j], (double)outputs[f][i]);
                    }
                }
            }
        }
    }
}

/* Each length from 1 to 49, in arrays that end at an unreadable page: the bits of an element do not
 * depend on whether it is in the tail. */
static void tails_are_like_bodies(void **state)
{
    float x[64], want[64];
    for (int kernel = 0; kernel < KERNELS; kernel++) {
        if (nn_kernel_choose(kernel_names[kernel]) != FS_OK) continue;
        for (size_t f = 0; f < UNARIES; f++) {
            for (size_t n = 1; n < 50; n++) {
                guarded got = guarded_new(n);
                fill(x, 64, n, 100000);
                memcpy(want, x, sizeof x);
                unaries[f].fast(want, 64);
                memcpy(got.at, x, n * sizeof *x);
                unaries[f].fast(got.at, n);
                assert_int_equal(first_difference(got.at, want, n), n);
                guarded_free(&got);
            }
        }
    }
}

static void sums_rows_and_softmax_have_the_reference_bits(void **state)
{
    for (size_t n = 1; n < 200; n++) {
        guarded a = guarded_new(n), b = guarded_new(n), c = guarded_new(n);
        guarded want = guarded_new(n), out = guarded_new(n);
        for (uint32_t odd = 0; odd < 3; odd++) {
            fill(a.at, n, n, odd * 5000);
            fill(b.at, n, n + 1000, odd * 5000);
            fill(c.at, n, n + 2000, odd * 5000);
            for (int kernel = 0; kernel < KERNELS; kernel++) {
                if (nn_kernel_choose(kernel_names[kernel]) != FS_OK) continue;
                nn_add_reference(want.at, a.at, b.at, n);
                nn_add(out.at, a.at, b.at, n);
                assert_int_equal(first_difference(out.at, want.at, n), n);
                memcpy(out.at, a.at, n * sizeof(float));
                nn_add(out.at, out.at, b.at, n);
                assert_int_equal(first_difference(out.at, want.at, n), n);
                memcpy(want.at, a.at, n * sizeof(float));
                nn_softmax_reference(want.at, n);
                memcpy(out.at, a.at, n * sizeof(float));
                nn_softmax(out.at, n);
                assert_int_equal(first_difference(out.at, want.at, n), n);
                nn_layernorm_reference(want.at, a.at, b.at, c.at, 1, n, 1e-12f);
                nn_layernorm(out.at, a.at, b.at, c.at, 1, n, 1e-12f);
                assert_int_equal(first_difference(out.at, want.at, n), n);
            }
        }
        guarded *all[] = {&a, &b, &c, &want, &out};
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) guarded_free(all[i]);
    }
}

static void softmax_is_its_definition(void **state)
{
    for (size_t n = 1; n < 1100; n = n * 5 / 4 + 1) {
        float x[1100];
        double exact[1100], sum = 0;
        fill(x, n, n, 0);
        for (size_t i = 0; i < n; i++) {
            x[i] *= 5;
            sum += exact[i] = exp((double)x[i]);
        }
        nn_softmax_reference(x, n);
        for (size_t i = 0; i < n; i++) {
            assert_true(fabs((double)x[i] * sum / exact[i] - 1) < 2e-6);
        }
    }
}

static void a_faulty_softmax_row_is_all_nan(void **state)
{
    for (int kernel = 0; kernel < KERNELS; kernel++) {
        if (nn_kernel_choose(kernel_names[kernel]) != FS_OK) continue;
        for (size_t n = 1; n < 40; n++) {
            for (size_t at = 0; at < n; at++) {
                float nan_row[40], inf_row[40], low_row[40];
                fill(nan_row, n, n, 0);
                memcpy(inf_row, nan_row, sizeof inf_row);
                memcpy(low_row, nan_row, sizeof low_row);
                nan_row[at] = NAN;
                inf_row[at] = INFINITY;
                low_row[at] = -INFINITY;
                nn_softmax(nan_row, n);
                nn_softmax(inf_row, n);
                nn_softmax(low_row, n);
                for (size_t i = 0; i < n; i++) {
                    assert_true(isnan(nan_row[i]) && isnan(inf_row[i]));
                    assert_true(n == 1 ? isnan(low_row[i]) : (low_row[i] == 0) == (i == at));
                }
            }
        }
    }
}

/* A row around 10^4, where the one-pass variance would lose every digit. */
static void layernorm_is_its_definition(void **state)
{
    enum { ROWS = 3, D = 771 };
    static float x[ROWS * D], gain[D], bias[D], out[ROWS * D];
    static const float centres[ROWS] = {0, 3, 1e4f};
    fill(x, ROWS * D, 1, 0);
    fill(gain, D, 2, 0);
    fill(bias, D, 3, 0);
    for (size_t i = 0; i < ROWS * D; i++) x[i] += centres[i / D];
    nn_layernorm(out, x, gain, bias, ROWS, D, 1e-5f);
    for (size_t row = 0; row < ROWS; row++) {
        double mean = 0, var = 0;
        for (size_t i = 0; i < D; i++) mean += (double)x[row * D + i] / D;
        for (size_t i = 0; i < D; i++) var += pow((double)x[row * D + i] - mean, 2) / D;
        for (size_t i = 0; i < D; i++) {
            double unit = ((double)x[row * D + i] - mean) / sqrt(var + (double)1e-5f);
            double want = unit * (double)gain[i] + (double)bias[i];
            /* The mean is rounded to a float's step at the centre. */
            double bound = 2e-6 + 1.5e-7 * (double)centres[row];
            assert_true(fabs(want - (double)out[row * D + i]) <
                        bound * (1 + fabs((double)gain[i])));
        }
    }
    nn_layernorm(x, x, gain, bias, ROWS, D, 1e-5f);
    assert_memory_equal(x, out, sizeof x);
}

static void one_nan_spoils_its_layernorm_row_only(void **state)
{
    float x[3 * 20], gain[20], bias[20];
    fill(x, 60, 1, 0);
    fill(gain, 20, 2, 0);
    fill(bias, 20, 3, 0);
    x[25] = NAN;
    nn_layernorm(x, x, gain, bias, 3, 20, 1e-5f);
    for (size_t i = 0; i < 60; i++) assert_int_equal(isnan(x[i]) != 0, i / 20 == 1);
}

static void kernels_are_chosen_by_name(void **state)
{
    assert_int_equal(nn_kernel_choose("portable"), FS_OK);
    assert_string_equal(nn_kernel_name(), "portable");
    assert_int_equal(nn_cpu_isa(), NN_ISA_PORTABLE);
    assert_int_equal(nn_kernel_choose("sse9"), FS_EUSAGE);
    assert_non_null(strstr(fs_status_detail(), "sse9"));
    assert_string_equal(nn_kernel_name(), "portable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kernel_gives_the_reference_bits),
        cmocka_unit_test(libm_agrees),
        cmocka_unit_test(gelu_tanh_is_exact_to_a_millionth_above_minus_3),
        cmocka_unit_test(special_values_are_those_of_pytorch),
        cmocka_unit_test(tails_are_like_bodies),
        cmocka_unit_test(sums_rows_and_softmax_have_the_reference_bits),
        cmocka_unit_test(softmax_is_its_definition),
        cmocka_unit_test(a_faulty_softmax_row_is_all_nan),
        cmocka_unit_test(layernorm_is_its_definition),
        cmocka_unit_test(one_nan_spoils_its_layernorm_row_only),
        cmocka_unit_test(kernels_are_chosen_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
