/* Intervals against published tables, closed forms, GSL, and what they promise: coverage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#ifdef FS_HAVE_GSL
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_errno.h>
#endif

#include "rng.h"
#include "stats.h"

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%.17g is not %.17g", got, want);
}

/* Newcombe 1998, Statistics in Medicine 17, table I, methods 3 (Wilson) and 5 (Clopper-Pearson);
 * the rows of 10 from the tables of the binomial in Brown, Cai and DasGupta 2001 and any textbook.
 */
static void proportions_are_those_of_the_tables(void **state)
{
    static const struct {
        uint64_t k, n;
        double wilson[2], exact[2];
    } rows[] = {
        {81, 263, {0.2553, 0.3662}, {0.2527, 0.3676}},
        {15, 148, {0.0624, 0.1605}, {0.0578, 0.1617}},
        {0, 20, {0, 0.1611}, {0, 0.1684}},
        {1, 29, {0.0061, 0.1718}, {0.0009, 0.1776}},
        {5, 10, {0.2366, 0.7634}, {0.1871, 0.8129}},
        {0, 10, {0, 0.2775}, {0, 0.3085}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const uint64_t k = rows[i].k, n = rows[i].n;
        const fs_interval wilson = fs_wilson(k, n, 0.95), exact = fs_clopper_pearson(k, n, 0.95);
        near(wilson.low, rows[i].wilson[0], 6e-5);
        near(wilson.high, rows[i].wilson[1], 6e-5);
        near(exact.low, rows[i].exact[0], 6e-5);
        near(exact.high, rows[i].exact[1], 6e-5);
        /* What is true of k is true of n - k from the other side. */
        near(fs_wilson(n - k, n, 0.95).low, 1 - wilson.high, 1e-12);
        near(fs_clopper_pearson(n - k, n, 0.95).low, 1 - exact.high, 1e-12);
        near(fs_half_width((double)k / (double)n, n, 0.95), (wilson.high - wilson.low) / 2, 1e-12);
    }
}

static void proportions_hold_at_the_ends(void **state)
{
    assert_true(fs_wilson(0, 0, 0.95).low == 0 && fs_wilson(0, 0, 0.95).high == 1);
    assert_true(fs_clopper_pearson(0, 0, 0.95).low == 0 &&
                fs_clopper_pearson(0, 0, 0.95).high == 1);
    for (uint64_t n = 1; n <= 1000000000; n *= 10) {
        assert_true(fs_wilson(0, n, 0.99).low == 0 && fs_wilson(n, n, 0.99).high == 1);
        assert_true(fs_clopper_pearson(0, n, 0.99).low == 0);
        assert_true(fs_clopper_pearson(n, n, 0.99).high == 1);
        near(pow(1 - fs_clopper_pearson(0, n, 0.9).high, (double)n), 0.05, 1e-6);
    }
    /* The rule of three. */
    assert_true(fs_half_width(0.3, 0, 0.95) == 0.5);
}

/** Chance of k successes in n, by the factorials. */
static double binomial(uint64_t k, uint64_t n, double p)
{
    return exp(lgamma((double)n + 1) - lgamma((double)k + 1) - lgamma((double)(n - k) + 1) +
               (double)k * log(p) + (double)(n - k) * log1p(-p));
}

/* Coverage is summed, not simulated: Clopper-Pearson's is never below its name, Wilson's is right
 * on average. */
static void proportions_cover(void **state)
{
    static const uint64_t sizes[] = {5, 10, 37, 100, 400};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const uint64_t n = sizes[s];
        double wilson_sum = 0;
        int points = 0;
        for (double p = 0.005; p < 1; p += 0.01, points++) {
            double wilson = 0, exact = 0;
            for (uint64_t k = 0; k <= n; k++) {
                const fs_interval w = fs_wilson(k, n, 0.95), e = fs_clopper_pearson(k, n, 0.95);
                if (w.low <= p && p <= w.high) wilson += binomial(k, n, p);
                if (e.low <= p && p <= e.high) exact += binomial(k, n, p);
            }
            assert_true(exact >= 0.95);
            wilson_sum += wilson;
        }
        near(wilson_sum / points, 0.95, 0.01);
    }
}

/* The usual tables of Student's t and the normal, to more digits. */
static void quantiles_are_those_of_the_tables(void **state)
{
    near(fs_normal_quantile(0.975), 1.959963984540054, 1e-14);
    near(fs_normal_quantile(0.995), 2.5758293035489004, 1e-14);
    near(fs_normal_quantile(1e-10), -6.361340902404056, 1e-12);
    near(fs_normal_quantile(0.5), 0, 1e-15);
    assert_true(isinf(fs_normal_quantile(0)) && isinf(fs_normal_quantile(1)));
    near(fs_student_quantile(0.975, 1), 12.706204736174694, 1e-10);
    near(fs_student_quantile(0.975, 2), 4.302652729749464, 1e-11);
    near(fs_student_quantile(0.975, 10), 2.228138851986274, 1e-11);
    near(fs_student_quantile(0.975, 120), 1.979930405082423, 1e-11);
    near(fs_student_quantile(0.025, 30), -2.042272456301238, 1e-11);
    near(fs_student_quantile(0.975, 1e9), 1.959963984540054, 1e-7);
    near(fs_student_quantile(0.6, 1), tan(0.1 * M_PI), 1e-12); /* Cauchy */
}

/* Closed forms: I_x(1, b), I_x(a, 1), I_x(1/2, 1/2), symmetry, and the round trip. */
static void the_beta_distribution_has_its_closed_forms(void **state)
{
    static const double sizes[] = {0.5, 1, 2, 3.5, 17, 300, 1e5, 5e8, 1e9};
    enum { SIZES = sizeof sizes / sizeof sizes[0] };
    for (double x = 0.01; x < 1; x += 0.07) {
        near(fs_beta_cdf(x, 1, 7), 1 - pow(1 - x, 7), 1e-14);
        near(fs_beta_cdf(x, 9, 1), pow(x, 9), 1e-14);
        near(fs_beta_cdf(x, 0.5, 0.5), 2 / M_PI * asin(sqrt(x)), 1e-14);
        near(fs_beta_cdf(x, 4, 11) + fs_beta_cdf(1 - x, 11, 4), 1, 1e-14);
    }
    assert_true(fs_beta_cdf(0, 2, 3) == 0 && fs_beta_cdf(1, 2, 3) == 1);
    assert_true(fs_beta_quantile(0, 2, 3) == 0 && fs_beta_quantile(1, 2, 3) == 1);
    for (size_t i = 0; i < SIZES; i++) {
        near(fs_beta_cdf(0.5, sizes[i], sizes[i]), 0.5, 1e-9);
        for (size_t j = 0; j < SIZES; j++) {
            for (double p = 0.0005; p < 1; p += 0.0999) {
                const double x = fs_beta_quantile(p, sizes[i], sizes[j]);
                /* Near 1 a double cannot say how near: compare from whichever side it can. */
                if (x > 0.5 && sizes[i] > 1e4 * sizes[j]) continue;
                near(fs_beta_cdf(x, sizes[i], sizes[j]), p, 1e-7 * p);
            }
        }
    }
}

static void gsl_agrees(void **state)
{
#ifdef FS_HAVE_GSL
    gsl_set_error_handler_off();
    fs_rng rng;
    fs_rng_init(&rng, 1, 1);
    for (int i = 0; i < 3000; i++) {
        const double a = exp(12 * fs_rng_unit(&rng) - 1), b = exp(12 * fs_rng_unit(&rng) - 1);
        const double p = fs_rng_unit(&rng);
        const double x = fs_beta_quantile(p, a, b);
        near(fs_beta_cdf(x, a, b), gsl_cdf_beta_P(x, a, b), 1e-9);
        near(gsl_cdf_beta_P(x, a, b), p, 1e-9);
        near(fs_normal_quantile(p), gsl_cdf_ugaussian_Pinv(p), 1e-12);
        const double t = fs_student_quantile(p, a);
        near(gsl_cdf_tdist_P(t, a), p, 1e-9);
        const uint64_t n = 1 + fs_rng_below(&rng, 3000), k = fs_rng_below(&rng, n + 1);
        const fs_interval exact = fs_clopper_pearson(k, n, 0.95);
        if (k > 0) near(gsl_cdf_binomial_Q((unsigned)k - 1, exact.low, (unsigned)n), 0.025, 1e-8);
        if (k < n) near(gsl_cdf_binomial_P((unsigned)k, exact.high, (unsigned)n), 0.025, 1e-8);
        const double less = gsl_cdf_binomial_P((unsigned)(k < n - k ? k : n - k), 0.5, (unsigned)n);
        near(fs_mcnemar(k, n - k), fmin(1, 2 * less), 1e-9);
    }
#else
    print_message("skipped: GSL was not found when the build was configured\n");
    skip();
#endif
}

static void clopper_pearson_holds_for_a_thousand_million_trials(void **state)
{
    static const uint64_t counts[] = {1, 3, 1000, 250000000, 500000000, 999999999};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        const uint64_t n = 1000000000;
        const double p = (double)counts[i] / (double)n;
        const fs_interval exact = fs_clopper_pearson(counts[i], n, 0.95);
        const fs_interval wilson = fs_wilson(counts[i], n, 0.95);
        assert_true(0 < exact.low && exact.low < p && p < exact.high && exact.high < 1);
        if (counts[i] >= 1000) {
            near(exact.low, wilson.low, 0.03 * (p - wilson.low) + 1e-9);
            near(exact.high, wilson.high, 0.03 * (wilson.high - p) + 1e-9);
        }
    }
    /* Poisson: Garwood's limits (1936) for 1 and for 3 events. */
    near(fs_clopper_pearson(1, 1000000000, 0.95).low * 1e9, 0.025318, 1e-6);
    near(fs_clopper_pearson(1, 1000000000, 0.95).high * 1e9, 5.571643, 1e-6);
    near(fs_clopper_pearson(3, 1000000000, 0.95).low * 1e9, 0.618672, 1e-6);
    near(fs_clopper_pearson(3, 1000000000, 0.95).high * 1e9, 8.767273, 1e-6);
}

/* Trials of 40 inputs: most do nothing, the others spoil any part of their inputs. */
static uint32_t draw_cluster(fs_rng *rng)
{
    if (fs_rng_unit(rng) > 0.4) return 0;
    const double rate = fs_rng_unit(rng);
    uint32_t k = 0;
    for (int i = 0; i < 40; i++) k += fs_rng_unit(rng) < rate;
    return k;
}

static void the_cluster_interval_covers_where_pooling_does_not(void **state)
{
    enum { REPEATS = 1000, TRIALS = 60 };
    int covered = 0, pooled_covered = 0;
    for (uint64_t r = 0; r < REPEATS; r++) {
        fs_rng rng;
        uint32_t k[TRIALS];
        uint64_t sum = 0;
        fs_rng_init(&rng, 7, r);
        for (size_t i = 0; i < TRIALS; i++) sum += k[i] = draw_cluster(&rng);
        const fs_interval own = fs_cluster_rate(k, TRIALS, 40, 0.95);
        const fs_interval pooled = fs_wilson(sum, TRIALS * 40, 0.95);
        covered += own.low <= 0.2 && 0.2 <= own.high;
        pooled_covered += pooled.low <= 0.2 && 0.2 <= pooled.high;
    }
    assert_in_range(covered, 925, 970);
    assert_true(pooled_covered < 600);
}

static void the_cluster_interval_is_the_t_interval(void **state)
{
    /* Rates 0.1, 0.2, 0.3, 0.4: mean 0.25, variance 1/60, t_3 = 3.182446. */
    static const uint32_t k[] = {1, 2, 3, 4}, turned[] = {3, 1, 4, 2};
    const fs_interval got = fs_cluster_rate(k, 4, 10, 0.95);
    near(got.low, 0.25 - 3.182446305284263 * sqrt(1.0 / 60 / 4), 1e-12);
    near(got.high, 0.25 + 3.182446305284263 * sqrt(1.0 / 60 / 4), 1e-12);
    const fs_interval again = fs_cluster_rate(turned, 4, 10, 0.95);
    assert_true(again.low == got.low && again.high == got.high);
}

static void alike_trials_do_not_give_certainty(void **state)
{
    static const uint32_t none[10] = {0}, one[1] = {3};
    uint32_t all[10];
    for (size_t i = 0; i < 10; i++) all[i] = 8;
    const fs_interval zero = fs_cluster_rate(none, 10, 8, 0.95);
    assert_true(zero.low == 0);
    near(zero.high, 0.3085, 5e-5);
    const fs_interval full = fs_cluster_rate(all, 10, 8, 0.95);
    near(full.low, 1 - 0.3085, 5e-5);
    assert_true(full.high == 1);
    const fs_interval alone = fs_cluster_rate(one, 1, 8, 0.95);
    assert_true(alone.low == 0 && alone.high == 1);
}

static void draw_exponentials(double *x, size_t n, uint64_t stream)
{
    fs_rng rng;
    fs_rng_init(&rng, 99, stream);
    for (size_t i = 0; i < n; i++) x[i] = -log(fs_rng_unit(&rng));
}

static void the_bootstrap_is_a_function_of_the_values_and_the_key(void **state)
{
    enum { N = 101 };
    double x[N], turned[N];
    draw_exponentials(x, N, 1);
    for (size_t i = 0; i < N; i++) turned[i] = x[(i * 37) % N];
    const fs_interval first = fs_bootstrap_mean(x, N, 0.95, 5),
                      again = fs_bootstrap_mean(x, N, 0.95, 5);
    const fs_interval other = fs_bootstrap_mean(x, N, 0.95, 6);
    const fs_interval shuffled = fs_bootstrap_mean(turned, N, 0.95, 5);
    assert_true(first.low == again.low && first.high == again.high);
    assert_true(first.low == shuffled.low && first.high == shuffled.high);
    assert_true(first.low != other.low && first.high != other.high);
    near(other.low, first.low, 0.05);
    near(other.high, first.high, 0.05);
}

static void the_bootstrap_covers(void **state)
{
    enum { REPEATS = 300, N = 60 };
    int covered = 0;
    for (uint64_t r = 0; r < REPEATS; r++) {
        double x[N];
        draw_exponentials(x, N, r);
        const fs_interval got = fs_bootstrap_mean(x, N, 0.95, r);
        covered += got.low <= 1 && 1 <= got.high;
    }
    /* The percentile method is known to lose two points at such skewness and size. */
    assert_in_range(covered, 300 * 0.89, 300 * 0.97);
}

/* Beyond 2^16 values the normal interval takes over; both sides of the border agree. */
static void the_bootstrap_meets_the_normal_interval(void **state)
{
    enum { N = 1 << 16 };
    double *x = malloc((N + 1) * sizeof *x);
    double sum = 0, squares = 0;
    assert_non_null(x);
    draw_exponentials(x, N + 1, 3);
    const fs_interval below = fs_bootstrap_mean(x, N, 0.95, 1);
    const fs_interval above = fs_bootstrap_mean(x, N + 1, 0.95, 1);
    for (size_t i = 0; i <= N; i++) sum += x[i];
    for (size_t i = 0; i <= N; i++) squares += pow(x[i] - sum / (N + 1), 2);
    const double half = 1.959963984540054 * sqrt(squares / N / (N + 1));
    near(above.low, sum / (N + 1) - half, 1e-12);
    near(above.high, sum / (N + 1) + half, 1e-12);
    near(below.low, above.low, 0.1 * half);
    near(below.high, above.high, 0.1 * half);
    free(x);
}

static void the_bootstrap_of_too_little_says_so(void **state)
{
    const double one[] = {3}, bad[] = {1, INFINITY, 2}, same[] = {2, 2, 2, 2};
    assert_true(isnan(fs_bootstrap_mean(one, 0, 0.95, 1).low));
    assert_true(isnan(fs_bootstrap_mean(one, 1, 0.95, 1).low));
    assert_true(isnan(fs_bootstrap_mean(one, 1, 0.95, 1).high));
    assert_true(isnan(fs_bootstrap_mean(bad, 3, 0.95, 1).high));
    assert_true(fs_bootstrap_mean(same, 4, 0.95, 1).low == 2);
    assert_true(fs_bootstrap_mean(same, 4, 0.95, 1).high == 2);
    assert_true(isnan(fs_bootstrap_difference(one, same, 1, 0.95, 1).high));
    assert_true(isnan(fs_bootstrap_difference(one, one, 0, 0.95, 1).low));
}

/* Pairing takes out what the pairs have in common. */
static void a_paired_difference_is_tighter_than_its_parts(void **state)
{
    enum { N = 80 };
    double a[N], b[N], noise[N];
    draw_exponentials(a, N, 1);
    draw_exponentials(noise, N, 2);
    for (size_t i = 0; i < N; i++) b[i] = a[i] + 0.5 + 0.01 * noise[i];
    const fs_interval paired = fs_bootstrap_difference(a, b, N, 0.95, 4);
    const fs_interval alone = fs_bootstrap_mean(b, N, 0.95, 4);
    assert_true(paired.low > 0.505 && paired.high < 0.515);
    assert_true(alone.high - alone.low > 20 * (paired.high - paired.low));
}

/* Ranks for 95 % from Conover, Practical Nonparametric Statistics, and any such table. */
static void the_median_interval_has_the_ranks_of_the_tables(void **state)
{
    static const size_t ranks[][3] = {{6, 1, 6},   {10, 2, 9},   {15, 4, 12},  {20, 6, 15},
                                      {25, 8, 18}, {30, 10, 21}, {50, 18, 33}, {100, 40, 61}};
    for (size_t i = 0; i < sizeof ranks / sizeof ranks[0]; i++) {
        double x[100];
        const size_t n = ranks[i][0];
        /* The values 1..n, shuffled: 7 divides none of the sizes. */
        for (size_t j = 0; j < n; j++) x[j] = (double)((j * 7) % n + 1);
        const fs_interval got = fs_median_interval(x, n, 0.95);
        assert_true(got.low == (double)ranks[i][1] && got.high == (double)ranks[i][2]);
    }
}

static void the_median_interval_takes_infinity_and_refuses_nan(void **state)
{
    const double diverging[] = {1, 2, INFINITY, INFINITY, INFINITY, 3, 4, INFINITY};
    const double broken[] = {1, 2, 3, NAN, 5, 6, 7, 8};
    assert_true(fs_median_interval(diverging, 8, 0.95).low == 1);
    assert_true(isinf(fs_median_interval(diverging, 8, 0.95).high));
    assert_true(isnan(fs_median_interval(broken, 8, 0.95).low));
    assert_true(fs_median_interval(diverging, 5, 0.95).low < -1e300);
    assert_true(isnan(fs_median_interval(diverging, 0, 0.95).low));
}

static void the_median_interval_covers(void **state)
{
    enum { REPEATS = 4000, N = 31 };
    int covered = 0;
    for (uint64_t r = 0; r < REPEATS; r++) {
        double x[N];
        draw_exponentials(x, N, 5000 + r);
        const fs_interval got = fs_median_interval(x, N, 0.95);
        covered += got.low <= M_LN2 && M_LN2 <= got.high;
    }
    /* Ranks 10 and 22 of 31 hold it with 1 - 2 * 0.0147 = 0.9706. */
    assert_in_range(covered, REPEATS * 0.960, REPEATS * 0.980);
}

static void mcnemar_counts_heads(void **state)
{
    near(fs_mcnemar(1, 9), 2 * 11 / 1024.0, 1e-14);
    near(fs_mcnemar(10, 2), 2 * 79 / 4096.0, 1e-14);
    near(fs_mcnemar(0, 5), 2 / 32.0, 1e-15);
    near(fs_mcnemar(3, 4), 1, 1e-14);
    assert_true(fs_mcnemar(0, 0) == 1 && fs_mcnemar(6, 6) == 1);
    near(fs_mcnemar(500000000, 500100000), 2 * 0.5 * erfc(99999 / sqrt(1000100000.0) / M_SQRT2),
         1e-5);
}

static void the_risk_ratio_is_log_normal(void **state)
{
    /* 10.5/100.5 over 20.5/100.5 = 0.5121951; sqrt(1/10.5 + 1/20.5 - 2/100.5) = 0.3523040. */
    const fs_interval got = fs_risk_ratio(10, 100, 20, 100, 0.95);
    near(got.low, 0.2567740, 2e-6);
    near(got.high, 1.0216960, 2e-5);
    const fs_interval swapped = fs_risk_ratio(20, 100, 10, 100, 0.95);
    near(swapped.low * got.high, 1, 1e-12);
    const fs_interval none = fs_risk_ratio(0, 50, 0, 50, 0.95);
    near(none.low * none.high, 1, 1e-12);
    assert_true(none.low > 0 && none.low < 0.05);
}

static void quantiles_lie_between_order_statistics(void **state)
{
    const double x[] = {1, 2, 4, 8}, open[] = {1, INFINITY, INFINITY};
    near(fs_quantile_sorted(x, 4, 0), 1, 0);
    near(fs_quantile_sorted(x, 4, 1), 8, 0);
    near(fs_quantile_sorted(x, 4, 0.5), 3, 1e-15);
    near(fs_quantile_sorted(x, 4, 0.9), 6.8, 1e-14);
    assert_true(isnan(fs_quantile_sorted(x, 0, 0.5)));
    assert_true(isinf(fs_quantile_sorted(open, 3, 0.75)) &&
                isinf(fs_quantile_sorted(open, 3, 0.2)));
    assert_true(fs_quantile_sorted(open, 3, 0) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proportions_are_those_of_the_tables),
        cmocka_unit_test(proportions_hold_at_the_ends),
        cmocka_unit_test(proportions_cover),
        cmocka_unit_test(quantiles_are_those_of_the_tables),
        cmocka_unit_test(the_beta_distribution_has_its_closed_forms),
        cmocka_unit_test(gsl_agrees),
        cmocka_unit_test(clopper_pearson_holds_for_a_thousand_million_trials),
        cmocka_unit_test(the_cluster_interval_covers_where_pooling_does_not),
        cmocka_unit_test(the_cluster_interval_is_the_t_interval),
        cmocka_unit_test(alike_trials_do_not_give_certainty),
        cmocka_unit_test(the_bootstrap_is_a_function_of_the_values_and_the_key),
        cmocka_unit_test(the_bootstrap_covers),
        cmocka_unit_test(the_bootstrap_meets_the_normal_interval),
        cmocka_unit_test(the_bootstrap_of_too_little_says_so),
        cmocka_unit_test(a_paired_difference_is_tighter_than_its_parts),
        cmocka_unit_test(the_median_interval_has_the_ranks_of_the_tables),
        cmocka_unit_test(the_median_interval_takes_infinity_and_refuses_nan),
        cmocka_unit_test(the_median_interval_covers),
        cmocka_unit_test(mcnemar_counts_heads),
        cmocka_unit_test(the_risk_ratio_is_log_normal),
        cmocka_unit_test(quantiles_lie_between_order_statistics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
