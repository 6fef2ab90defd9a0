#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "tr_loss.h"

/* The oracles are the formulas in double with libm; gradients are central differences of them. */

enum { ROWS_MAX = 150, COLS_MAX = 1100 };

static tr_pool *new_pool(unsigned threads)
{
    tr_pool *pool;
    assert_int_equal(tr_pool_new(&pool, threads), FS_OK);
    return pool;
}

static void fill(float *x, size_t n, uint64_t seed, double width)
{
    fs_rng rng;
    fs_rng_init(&rng, seed, 0);
    for (size_t i = 0; i < n; i++) x[i] = (float)((fs_rng_unit(&rng) - 0.5) * width);
}

static double log_sum_exp(const double *x, size_t n)
{
    double top = x[0], sum = 0;
    for (size_t i = 0; i < n; i++) top = fmax(top, x[i]);
    for (size_t i = 0; i < n; i++) sum += exp(x[i] - top);
    return top + log(sum);
}

static double cross_entropy(const double *x, size_t n, size_t target, double smoothing)
{
    const double lse = log_sum_exp(x, n);
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += smoothing / (double)n * (lse - x[i]);
    return sum + (1 - smoothing) * (lse - x[target]);
}

static double kl(const double *clean, const double *faulty, size_t n)
{
    const double a = log_sum_exp(clean, n), b = log_sum_exp(faulty, n);
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += exp(clean[i] - a) * (clean[i] - a - faulty[i] + b);
    return sum;
}

static double distance(const double *clean, const double *faulty, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (clean[i] - faulty[i]) * (clean[i] - faulty[i]);
    return sqrt(sum);
}

static void widen(double *out, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = (double)x[i];
}

/* PyTorch 1.13: F.cross_entropy(torch.tensor([[1., 2., 3., -1.], [0.5, 0.25, -2., 4.]]),
 * torch.tensor([2, 0]), reduction='sum', label_smoothing=s) for s = 0 and 0.1, in float64. */
static void agrees_with_published_numbers(void **state)
{
    tr_pool *pool = new_pool(1);
    const float x[8] = {1, 2, 3, -1, 0.5f, 0.25f, -2, 4};
    const int32_t targets[2] = {2, 0};
    uint64_t right = 0;
    assert_true(fabs(tr_loss_cross_entropy(pool, x, targets, 2, 4, 0, 1, NULL, &right) -
                     3.974388414609701) < 1e-6);
    assert_int_equal(right, 1);
    assert_true(fabs(tr_loss_cross_entropy(pool, x, targets, 2, 4, 0.1f, 1, NULL, &right) -
                     4.1306384146097015) < 1e-6);
    assert_int_equal(right, 2);
    tr_pool_destroy(&pool);
}

static void check_cross_entropy(uint32_t rows, uint32_t n, double smoothing, double width)
{
    tr_pool *pool = new_pool(2);
    static float x[ROWS_MAX * COLS_MAX], d[ROWS_MAX * COLS_MAX];
    static double wide[COLS_MAX];
    int32_t targets[ROWS_MAX];
    fs_rng rng;
    fs_rng_init(&rng, n, 1);
    for (uint32_t i = 0; i < rows; i++) targets[i] = (int32_t)fs_rng_below(&rng, n);
    fill(x, (size_t)rows * n, rows, width);
    const float scale = 0.37f;
    const double got =
        tr_loss_cross_entropy(pool, x, targets, rows, n, (float)smoothing, scale, d, NULL);
    double expected = 0;
    for (uint32_t row = 0; row < rows; row++) {
        const size_t target = (size_t)targets[row];
        widen(wide, x + (size_t)row * n, n);
        expected += cross_entropy(wide, n, target, (double)(float)smoothing);
        for (uint32_t k = 0; k < 6; k++) {
            const size_t j = k == 0 ? target : (size_t)fs_rng_below(&rng, n);
            const double step = 1e-5, at = wide[j];
            wide[j] = at + step;
            double slope = cross_entropy(wide, n, target, (double)(float)smoothing);
            wide[j] = at - step;
            slope -= cross_entropy(wide, n, target, (double)(float)smoothing);
            slope *= (double)scale / (2 * step);
            wide[j] = at;
            assert_true(fabs(slope - (double)d[(size_t)row * n + j]) < 1e-7 + 1e-6 * fabs(slope));
        }
    }
    assert_true(fabs(got - expected) < 1e-6 * (rows + expected));
    tr_pool_destroy(&pool);
}

static void cross_entropy_and_its_gradient_are_the_formula(void **state)
{
    check_cross_entropy(1, 1, 0, 4);
    check_cross_entropy(150, 2, 0, 8);
    check_cross_entropy(7, 3, 0.1, 8);
    check_cross_entropy(65, 511, 0, 20);
    check_cross_entropy(64, 512, 0.2, 20);
    check_cross_entropy(130, 1100, 0.1, 6);
}

/* Where the answer is nearly certain, p - 1 is small and must not be rounding noise. */
static void a_certain_answer_keeps_its_gradient(void **state)
{
    tr_pool *pool = new_pool(1);
    const float x[3] = {20, 0, 2};
    const int32_t target = 0;
    float d[3];
    const double loss = tr_loss_cross_entropy(pool, x, &target, 1, 3, 0, 1, d, NULL);
    const double rest = exp(-20) + exp(-18), p = rest / (1 + rest);
    assert_true(fabs(loss - log1p(rest)) < 1e-3 * p);
    assert_true(fabs((double)d[0] + p) < 1e-3 * p);
    assert_true(fabs((double)d[2] - exp(-18)) < 1e-3 * p);
    tr_pool_destroy(&pool);
}

typedef double two_sided(const double *clean, const double *faulty, size_t n);

static void check_divergence(two_sided *oracle, int l2, uint32_t rows, uint32_t n, double tiny)
{
    tr_pool *pool = new_pool(2);
    static float clean[ROWS_MAX * COLS_MAX], faulty[ROWS_MAX * COLS_MAX];
    static float dclean[ROWS_MAX * COLS_MAX], dfaulty[ROWS_MAX * COLS_MAX];
    static double c[COLS_MAX], f[COLS_MAX];
    const size_t all = (size_t)rows * n;
    fill(clean, all, rows + n, 10);
    fill(faulty, all, rows + n + 1, tiny);
    for (size_t i = 0; i < all; i++) {
        faulty[i] += clean[i];
        dclean[i] = dfaulty[i] = 0.25f; /* added to */
    }
    const float scale = 1.5f;
    const double got = l2 ? tr_loss_l2(pool, clean, faulty, rows, n, scale, dclean, dfaulty)
                          : tr_loss_kl(pool, clean, faulty, rows, n, scale, dfaulty);
    double expected = 0;
    fs_rng rng;
    fs_rng_init(&rng, n, 2);
    for (uint32_t row = 0; row < rows; row++) {
        const size_t at = (size_t)row * n;
        widen(c, clean + at, n);
        widen(f, faulty + at, n);
        expected += oracle(c, f, n);
        for (uint32_t k = 0; k < 5; k++) {
            const size_t j = (size_t)fs_rng_below(&rng, n);
            const double step = 1e-6, there = f[j];
            f[j] = there + step;
            double slope = oracle(c, f, n);
            f[j] = there - step;
            slope = (slope - oracle(c, f, n)) * (double)scale / (2 * step);
            f[j] = there;
            assert_true(fabs(slope + 0.25 - (double)dfaulty[at + j]) < 1e-6);
            /* The l2 norm sees the difference only; the clean side of KL is held constant. */
            const double clean_slope = l2 ? -slope : 0;
            assert_true(fabs(clean_slope + 0.25 - (double)dclean[at + j]) < 1e-6);
        }
    }
    assert_true(fabs(got - expected) < 1e-6 * (rows + expected));
    tr_pool_destroy(&pool);
}

static void l2_and_its_gradients_are_the_formula(void **state)
{
    check_divergence(distance, 1, 33, 2, 4);
    check_divergence(distance, 1, 150, 700, 0.5);
}

static void kl_and_its_gradient_are_the_formula(void **state)
{
    check_divergence(kl, 0, 33, 2, 4);
    check_divergence(kl, 0, 20, 1100, 3);
    check_divergence(kl, 0, 70, 513, 0.01);
}

static void equal_logits_diverge_by_nothing(void **state)
{
    tr_pool *pool = new_pool(2);
    float x[5 * 600], d[5 * 600] = {0};
    const float zeros[5 * 600] = {0};
    fill(x, 5 * 600, 3, 10);
    assert_true(tr_loss_l2(pool, x, x, 5, 600, 1, NULL, d) == 0);
    assert_true(tr_loss_kl(pool, x, x, 5, 600, 1, d) == 0);
    assert_memory_equal(d, zeros, sizeof d);
    tr_pool_destroy(&pool);
}

static void nan_and_inf_make_a_loss_that_is_none(void **state)
{
    tr_pool *pool = new_pool(2);
    const int32_t target = 1;
    const float bad[] = {NAN, INFINITY};
    for (size_t i = 0; i < 2; i++) {
        float x[40] = {0}, y[40] = {0}, d[40] = {0};
        uint64_t right = 0;
        x[37] = bad[i];
        const double loss = tr_loss_cross_entropy(pool, x, &target, 1, 40, 0, 1, d, &right);
        assert_true(loss != loss);
        assert_int_equal(right, 0);
        assert_true(d[0] != d[0] && d[1] != d[1] && d[37] != d[37]);
        assert_false(isfinite(tr_loss_l2(pool, y, x, 1, 40, 1, NULL, NULL)) != 0);
        assert_false(isfinite(tr_loss_kl(pool, y, x, 1, 40, 1, NULL)) != 0);
        assert_false(isfinite(tr_loss_kl(pool, x, y, 1, 40, 1, NULL)) != 0);
    }
    tr_pool_destroy(&pool);
}

/* An answer is the first of the largest logits; with a NaN in the row there is none. */
static void right_answers_are_the_first_largest(void **state)
{
    tr_pool *pool = new_pool(1);
    const float x[] = {1, 3, 3, 0, /**/ 1, 3, 3, 0, /**/ 3, 1, 0, NAN, /**/ -1, -2, -3, -4};
    const int32_t targets[] = {1, 2, 0, 0};
    uint64_t right = 10;
    tr_loss_cross_entropy(pool, x, targets, 4, 4, 0, 1, NULL, &right);
    assert_int_equal(right, 12);
    tr_pool_destroy(&pool);
}

static void bits_do_not_depend_on_threads_or_on_where_the_gradient_goes(void **state)
{
    static float x[129 * 777], y[129 * 777], first[129 * 777], second[129 * 777];
    int32_t targets[129];
    const uint32_t rows = 129, cols = 777;
    for (int i = 0; i < 129; i++) targets[i] = i * 5;
    fill(x, 129 * 777, 1, 9);
    fill(y, 129 * 777, 2, 9);
    double losses[2][3];
    for (unsigned threads = 1; threads <= 2; threads++) {
        tr_pool *pool = new_pool(threads * threads);
        float *d = threads == 1 ? first : second;
        /* The second time in place: the gradient takes the place of the logits. */
        if (threads == 2) memcpy(second, x, sizeof x);
        double *loss = losses[threads - 1];
        loss[0] = tr_loss_cross_entropy(pool, threads == 1 ? x : second, targets, rows, cols, 0.1f,
                                        1, d, NULL);
        loss[1] = tr_loss_l2(pool, x, y, rows, cols, 1, NULL, d);
        loss[2] = tr_loss_kl(pool, x, y, rows, cols, 1, d);
        tr_pool_destroy(&pool);
    }
    assert_memory_equal(first, second, sizeof first);
    assert_memory_equal(losses[0], losses[1], sizeof losses[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_published_numbers),
        cmocka_unit_test(cross_entropy_and_its_gradient_are_the_formula),
        cmocka_unit_test(a_certain_answer_keeps_its_gradient),
        cmocka_unit_test(l2_and_its_gradients_are_the_formula),
        cmocka_unit_test(kl_and_its_gradient_are_the_formula),
        cmocka_unit_test(equal_logits_diverge_by_nothing),
        cmocka_unit_test(nan_and_inf_make_a_loss_that_is_none),
        cmocka_unit_test(right_answers_are_the_first_largest),
        cmocka_unit_test(bits_do_not_depend_on_threads_or_on_where_the_gradient_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
