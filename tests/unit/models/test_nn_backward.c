/* Elementwise and row gradients: every kernel against the portable code, bit for bit, and the
 * portable code against central differences of the functions in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "floats.h"
#include "nn_backward.h"
#include "nn_cpu.h"

enum { CHUNK = 65521 };
static const uint32_t STEP = 4093; /* prime: every exponent is met with many mantissas */

typedef void backward_fn(float *dy, const float *x, size_t n);

typedef struct slope {
    const char *name;
    backward_fn *fast, *reference;
    double (*of_x)(double x); /* the function, or for tanh_backward of y its antiderivative */
} slope;

static double gelu_erf_exact(double x)
{
    return 0.5 * x * erfc(-x * M_SQRT1_2);
}

static double gelu_tanh_exact(double x)
{
    double u = sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
    return x / (1 + exp(-2 * u));
}

static double relu_exact(double x)
{
    return x < 0 ? 0 : x;
}

/* 1 - y^2 is given y, so what it is the slope of as a function of y is y - y^3 / 3. */
static double tanh_integral(double y)
{
    return y - y * y * y / 3;
}

static const slope slopes[] = {
    {"gelu_erf", nn_gelu_erf_backward, nn_gelu_erf_backward_reference, gelu_erf_exact},
    {"gelu_tanh", nn_gelu_tanh_backward, nn_gelu_tanh_backward_reference, gelu_tanh_exact},
    {"relu", nn_relu_backward, nn_relu_backward_reference, relu_exact},
    {"tanh", nn_tanh_backward, nn_tanh_backward_reference, tanh_integral},
};
enum { SLOPES = sizeof slopes / sizeof slopes[0] };

static void compare_kernels(const slope *f, const float *x, size_t n)
{
    static float dy[CHUNK], want[CHUNK], got[CHUNK];
    fill(dy, n, float_bits(x[0]), 20000);
    memcpy(want, dy, n * sizeof *dy);
    f->reference(want, x, n);
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        memcpy(got, dy, n * sizeof *dy);
        f->fast(got, x, n);
        size_t at = first_difference(got, want, n);
        if (at < n) {
            fail_msg("%s %s'(%a) * %a is %a, not %a", kernel_names[i], f->name, (double)x[at],
                     (double)dy[at], (double)got[at], (double)want[at]);
        }
    }
}

static void every_kernel_gives_the_reference_bits(void **state)
{
    static float x[CHUNK];
    for (size_t f = 0; f < SLOPES; f++) {
        size_t n = 0;
        for (uint64_t bits = 0; bits < (uint64_t)1 << 32; bits += STEP) {
            x[n++] = float_of((uint32_t)bits);
            if (n < CHUNK && bits + STEP < (uint64_t)1 << 32) continue;
            compare_kernels(&slopes[f], x, n);
            n = 0;
        }
    }
}

static void tails_are_like_bodies(void **state)
{
    float x[64], dy[64], want[64];
    for (int kernel = 0; kernel < KERNELS; kernel++) {
        if (nn_kernel_choose(kernel_names[kernel]) != FS_OK) continue;
        for (size_t f = 0; f < SLOPES; f++) {
            for (size_t n = 1; n < 50; n++) {
                guarded got = guarded_new(n), from = guarded_new(n);
                fill(x, 64, n, 100000);
                fill(dy, 64, n + 1000, 100000);
                memcpy(want, dy, sizeof dy);
                slopes[f].fast(want, x, 64);
                memcpy(got.at, dy, n * sizeof *dy);
                memcpy(from.at, x, n * sizeof *x);
                slopes[f].fast(got.at, from.at, n);
                assert_int_equal(first_difference(got.at, want, n), n);
                guarded_free(&got);
                guarded_free(&from);
            }
        }
    }
}

/* The step is 1e-5: its cube and the roundings of the difference stay below 1e-10. */
static void slopes_are_central_differences(void **state)
{
    const double step = 1e-5;
    for (size_t f = 0; f < SLOPES; f++) {
        double worst = 0, worst_at = 0;
        for (double at = -13; at < 13; at += 1.3e-4) {
            const float x = (float)at;
            if (fabsf(x) <= 2e-5f) continue; /* relu's corner */
            const double up = slopes[f].of_x((double)x + step);
            const double down = slopes[f].of_x((double)x - step);
            const double want = (up - down) / (2 * step);
            float got = 1;
            slopes[f].reference(&got, &x, 1);
            const double error = fabs((double)got - want) / fmax(1, fabs(want));
            if (error > worst) {
                worst = error;
                worst_at = (double)x;
            }
        }
        print_message("%-10s error at most %.3g, at %.9g\n", slopes[f].name, worst, worst_at);
        assert_true(worst < 4e-7);
    }
}

/* Upstream gradients multiply; far out the slope is 0 or 1; PyTorch's values for the infinities. */
static void special_values(void **state)
{
    static const float inputs[] = {INFINITY, -INFINITY, 0.0f, -0.0f, 30.0f, -30.0f, NAN};
    static const float outputs[SLOPES][7] = {
        {NAN, NAN, 1.5f, 1.5f, 3, -0.0f, NAN},
        {NAN, NAN, 1.5f, 1.5f, 3, -0.0f, NAN},
        {3, 0, 0, 0, 3, 0, NAN},
        {-INFINITY, -INFINITY, 3, 3, -2697, -2697, NAN},
    };
    for (int kernel = 0; kernel < KERNELS; kernel++) {
        if (nn_kernel_choose(kernel_names[kernel]) != FS_OK) continue;
        for (size_t f = 0; f < SLOPES; f++) {
            for (size_t i = 0; i < 7; i++) {
                float x[19], dy[19];
                for (size_t j = 0; j < 19; j++) {
                    x[j] = inputs[i];
                    dy[j] = 3;
                }
                slopes[f].fast(dy, x, 19);
                for (size_t j = 0; j < 19; j++) {
                    if (isnan(outputs[f][i]) ? !isnan(dy[j]) : dy[j] != outputs[f][i]) {
                        fail_msg("%s 3 %s'(%g) is %g, not %g", kernel_names[kernel], slopes[f].name,
                                 (double)inputs[i], (double)dy[j], (double)outputs[f][i]);
                    }
                }
            }
        }
    }
    float dead[3] = {NAN, INFINITY, 5};
    const float below[3] = {-1, 0, -0.0f};
    nn_relu_backward(dead, below, 3);
    for (size_t i = 0; i < 3; i++) assert_int_equal(float_bits(dead[i]), 0);
}

/** `rows` rows by every kernel, with and without the parameters' gradients, dx apart and in dy. */
static void check_layernorm(size_t rows, size_t d, uint32_t odd)
{
    guarded x = guarded_new(rows * d), dy = guarded_new(rows * d), gain = guarded_new(d);
    guarded dx = guarded_new(rows * d), dgain = guarded_new(d), dbias = guarded_new(d);
    float *want = malloc((rows + 2) * d * sizeof *want), *start = malloc(d * sizeof *start);
    float *want_gain = want + rows * d, *want_bias = want_gain + d;
    fill(x.at, rows * d, rows * 1000 + d, odd);
    fill(dy.at, rows * d, rows * 2000 + d, odd);
    fill(gain.at, d, d, odd);
    fill(start, d, d + 5, 0);
    memcpy(want_gain, start, d * sizeof *start);
    memcpy(want_bias, start, d * sizeof *start);
    nn_layernorm_backward_reference(want, dy.at, x.at, gain.at, want_gain, want_bias, rows, d,
                                    1e-5f);
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        memcpy(dgain.at, start, d * sizeof *start);
        memcpy(dbias.at, start, d * sizeof *start);
        nn_layernorm_backward(dx.at, dy.at, x.at, gain.at, dgain.at, dbias.at, rows, d, 1e-5f);
        assert_int_equal(first_difference(dx.at, want, rows * d), rows * d);
        assert_int_equal(first_difference(dgain.at, want_gain, d), d);
        assert_int_equal(first_difference(dbias.at, want_bias, d), d);
        memcpy(dx.at, dy.at, rows * d * sizeof *want);
        nn_layernorm_backward(dx.at, dx.at, x.at, gain.at, NULL, NULL, rows, d, 1e-5f);
        assert_int_equal(first_difference(dx.at, want, rows * d), rows * d);
    }
    guarded *all[] = {&x, &dy, &gain, &dx, &dgain, &dbias};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) guarded_free(all[i]);
    free(want);
    free(start);
}

static void layernorm_has_the_reference_bits(void **state)
{
    for (size_t d = 1; d < 100; d++) {
        for (size_t rows = 1; rows < 4; rows++) check_layernorm(rows, d, d % 3 == 0 ? 3000 : 0);
    }
    check_layernorm(7, 771, 100);
}

enum { NORM_ROWS = 2, NORM_D = 37 };

/** sum(weight * layernorm(x) in double) */
static double layernorm_loss(const double *x, const double *gain, const double *bias,
                             const float *weight)
{
    double loss = 0;
    for (size_t row = 0; row < NORM_ROWS; row++, x += NORM_D, weight += NORM_D) {
        double mean = 0, var = 0;
        for (size_t i = 0; i < NORM_D; i++) mean += x[i] / NORM_D;
        for (size_t i = 0; i < NORM_D; i++) var += (x[i] - mean) * (x[i] - mean) / NORM_D;
        for (size_t i = 0; i < NORM_D; i++) {
            loss +=
                (double)weight[i] * ((x[i] - mean) / sqrt(var + (double)1e-5f) * gain[i] + bias[i]);
        }
    }
    return loss;
}

static void layernorm_is_its_central_difference(void **state)
{
    enum { N = NORM_ROWS * NORM_D, ALL = N + 2 * NORM_D };
    float x[ALL], dy[N], got[ALL] = {0};
    double values[ALL];
    fill(x, ALL, 1, 0);
    fill(dy, N, 2, 0);
    for (size_t i = 0; i < NORM_D; i++) x[NORM_D + i] = 3 + 0.25f * x[NORM_D + i];
    for (size_t i = 0; i < ALL; i++) values[i] = (double)x[i];
    nn_layernorm_backward_reference(got, dy, x, x + N, got + N, got + N + NORM_D, NORM_ROWS, NORM_D,
                                    1e-5f);
    for (size_t i = 0; i < ALL; i++) {
        const double middle = values[i], step = 1e-5;
        values[i] = middle + step;
        double want = layernorm_loss(values, values + N, values + N + NORM_D, dy);
        values[i] = middle - step;
        want = (want - layernorm_loss(values, values + N, values + N + NORM_D, dy)) / (2 * step);
        values[i] = middle;
        assert_true(fabs((double)got[i] - want) < 2e-5);
    }
}

static void one_nan_spoils_its_layernorm_row_only(void **state)
{
    float x[60], dy[60], gain[20];
    fill(x, 60, 1, 0);
    fill(dy, 60, 2, 0);
    fill(gain, 20, 3, 0);
    x[25] = NAN;
    nn_layernorm_backward(dy, dy, x, gain, NULL, NULL, 3, 20, 1e-5f);
    for (size_t i = 0; i < 60; i++) assert_int_equal(isnan(dy[i]) != 0, i / 20 == 1);
}

static void column_sums_have_the_reference_bits(void **state)
{
    for (size_t cols = 1; cols < 150; cols += cols < 36 ? 1 : 13) {
        for (size_t rows = 1; rows < 40; rows += 6) {
            const size_t ld = cols + rows % 3;
            guarded x = guarded_new((rows - 1) * ld + cols), out = guarded_new(cols);
            float want[150], start[150];
            fill(x.at, x.n, rows * 1000 + cols, cols % 2 ? 2000 : 0);
            fill(start, cols, cols, 0);
            memcpy(want, start, sizeof want);
            nn_column_sums_reference(want, x.at, ld, rows, cols);
            for (int i = 0; i < KERNELS; i++) {
                if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
                memcpy(out.at, start, cols * sizeof *start);
                nn_column_sums(out.at, x.at, ld, rows, cols);
                assert_int_equal(first_difference(out.at, want, cols), cols);
            }
            guarded_free(&x);
            guarded_free(&out);
        }
    }
}

/* 1 + 2^24 - 2^24 in this order is 0, and from either end of the sum another number. */
static void column_sums_go_on_from_what_is_there(void **state)
{
    const float x[4] = {0x1p24f, 100, -0x1p24f, 10};
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        float out[2] = {1, 5};
        nn_column_sums(out, x, 2, 2, 2);
        assert_true(out[0] == 0 && out[1] == 115);
        nn_column_sums(out, x, 2, 0, 2);
        assert_true(out[0] == 0 && out[1] == 115);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kernel_gives_the_reference_bits),
        cmocka_unit_test(tails_are_like_bodies),
        cmocka_unit_test(slopes_are_central_differences),
        cmocka_unit_test(special_values),
        cmocka_unit_test(layernorm_has_the_reference_bits),
        cmocka_unit_test(layernorm_is_its_central_difference),
        cmocka_unit_test(one_nan_spoils_its_layernorm_row_only),
        cmocka_unit_test(column_sums_have_the_reference_bits),
        cmocka_unit_test(column_sums_go_on_from_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
