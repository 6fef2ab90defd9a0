#include "stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "rng.h"

enum { RESAMPLES = 2000, RESAMPLED_VALUES_MAX = 1 << 16 };

static const fs_interval unknown = {NAN, NAN};

static double clamp(double p)
{
    return p < 0 ? 0 : p > 1 ? 1 : p;
}

/** The normal deviate of a two-sided interval. */
static double deviate(double confidence)
{
    FS_ASSERT(confidence > 0 && confidence < 1);
    return fs_normal_quantile(0.5 + confidence / 2);
}

fs_interval fs_wilson(uint64_t k, uint64_t n, double confidence)
{
    FS_ASSERT(k <= n);
    if (n == 0) return (fs_interval){0, 1};
    const double z = deviate(confidence), trials = (double)n, p = (double)k / trials;
    const double centre = (p + z * z / (2 * trials)) / (1 + z * z / trials);
    const double half = fs_half_width(p, n, confidence);
    /* At the ends the bound is exact, and rounding must not hide that. */
    return (fs_interval){k == 0 ? 0 : clamp(centre - half), k == n ? 1 : clamp(centre + half)};
}

double fs_half_width(double p, uint64_t n, double confidence)
{
    if (n == 0) return 0.5;
    const double z = deviate(confidence), trials = (double)n;
    return z * sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials);
}

fs_interval fs_clopper_pearson(uint64_t k, uint64_t n, double confidence)
{
    FS_ASSERT(k <= n && confidence > 0 && confidence < 1);
    if (n == 0) return (fs_interval){0, 1};
    const double tail = (1 - confidence) / 2, successes = (double)k, failures = (double)(n - k);
    fs_interval out = {0, 1};
    /* At the ends the beta quantile has a closed form. */
    if (k == 0) {
        out.high = -expm1(log(tail) / (double)n);
    } else if (k == n) {
        out.low = exp(log(tail) / (double)n);
    } else {
        out.low = fs_beta_quantile(tail, successes, failures + 1);
        out.high = fs_beta_quantile(1 - tail, successes + 1, failures);
    }
    return out;
}

fs_interval fs_cluster_rate(const uint32_t *k, size_t n, uint32_t m, double confidence)
{
    FS_ASSERT(m > 0 && n <= UINT32_MAX);
    if (n < 2) return (fs_interval){0, 1};
    /* Sums of integers: exact, and the same in whatever order the trials came. */
    unsigned __int128 sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        FS_ASSERT(k[i] <= m);
        sum += k[i];
        squares += (uint64_t)k[i] * k[i];
    }
    const double trials = (double)n, mean = (double)sum / trials / m;
    const unsigned __int128 spread = n * squares - sum * sum;
    if (spread == 0) {
        /* All trials alike say nothing about variance. A trial of another kind has at most the
         * chance that n trials could have missed, and anything from 0 to 1 as its rate. */
        const double missed = fs_clopper_pearson(0, n, confidence).high;
        return (fs_interval){mean * (1 - missed), mean * (1 - missed) + missed};
    }
    const double variance = (double)spread / (trials * trials * (trials - 1)) / m / m;
    const double half = fs_student_quantile(0.5 + confidence / 2, trials - 1) * sqrt(variance);
    return (fs_interval){clamp(mean - half), clamp(mean + half)};
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/** Sorted copies make results independent of the order in which trials came in.
 * @return the copy, or NULL without memory. */
static double *sorted_copy(const double *values, size_t n)
{
    double *copy = malloc(n * sizeof *copy);
    if (copy == NULL) return NULL;
    memcpy(copy, values, n * sizeof *copy);
    qsort(copy, n, sizeof *copy, compare_doubles);
    return copy;
}

static double sum_of(const double *values, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += values[i];
    return sum;
}

static fs_interval normal_mean(const double *values, size_t n, double confidence)
{
    const double trials = (double)n, mean = sum_of(values, n) / trials;
    double squares = 0;
    for (size_t i = 0; i < n; i++) squares += (values[i] - mean) * (values[i] - mean);
    const double half = deviate(confidence) * sqrt(squares / (trials - 1) / trials);
    return (fs_interval){mean - half, mean + half};
}

/** Resample r draws from stream r of the key, so each mean can be had on its own. A draw is a
 * 32-bit fraction of n: of at most 2^16 values none is preferred by more than 2^-16. */
static double resampled_mean(const double *values, size_t n, uint64_t key, uint64_t resample)
{
    fs_rng rng;
    fs_rng_init(&rng, key, resample);
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += values[(uint64_t)fs_rng_u32(&rng) * n >> 32];
    return sum / (double)n;
}

fs_interval fs_bootstrap_mean(const double *values, size_t n, double confidence, uint64_t key)
{
    FS_ASSERT(confidence > 0 && confidence < 1);
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i])) return unknown;
    }
    if (n < 2) return unknown;
    double *sorted = sorted_copy(values, n);
    if (sorted == NULL) return unknown;
    fs_interval out;
    if (n > RESAMPLED_VALUES_MAX) {
        out = normal_mean(sorted, n, confidence);
    } else {
        double means[RESAMPLES];
        for (size_t r = 0; r < RESAMPLES; r++) means[r] = resampled_mean(sorted, n, key, r);
        qsort(means, RESAMPLES, sizeof *means, compare_doubles);
        out.low = fs_quantile_sorted(means, RESAMPLES, (1 - confidence) / 2);
        out.high = fs_quantile_sorted(means, RESAMPLES, (1 + confidence) / 2);
    }
    free(sorted);
    return out;
}

fs_interval fs_bootstrap_difference(const double *a, const double *b, size_t n, double confidence,
                                    uint64_t key)
{
    if (n == 0) return unknown;
    double *differences = malloc(n * sizeof *differences);
    if (differences == NULL) return unknown;
    for (size_t i = 0; i < n; i++) differences[i] = b[i] - a[i];
    fs_interval out = fs_bootstrap_mean(differences, n, confidence, key);
    free(differences);
    return out;
}

/** @return the chance of at most k heads in n tosses, k < n. */
static double heads_at_most(uint64_t k, uint64_t n)
{
    return fs_beta_cdf(0.5, (double)(n - k), (double)k + 1);
}

/** The median lies below the r-th smallest value when fewer than r values fall below it: at most
 * r - 1 heads in n tosses. The greatest r at which that is rare enough gives the interval. */
fs_interval fs_median_interval(const double *values, size_t n, double confidence)
{
    FS_ASSERT(confidence > 0 && confidence < 1);
    for (size_t i = 0; i < n; i++) {
        if (isnan(values[i])) return unknown;
    }
    if (n == 0) return unknown;
    const double tail = (1 - confidence) / 2;
    size_t rank = 0, too_high = n / 2 + 1;
    while (too_high - rank > 1) {
        const size_t middle = rank + (too_high - rank) / 2;
        if (heads_at_most(middle - 1, n) <= tail) {
            rank = middle;
        } else {
            too_high = middle;
        }
    }
    if (rank == 0) return (fs_interval){-INFINITY, INFINITY};
    double *sorted = sorted_copy(values, n);
    if (sorted == NULL) return unknown;
    fs_interval out = {sorted[rank - 1], sorted[n - rank]};
    free(sorted);
    return out;
}

double fs_mcnemar(uint64_t b, uint64_t c)
{
    const uint64_t fewer = b < c ? b : c;
    if (b == c) return 1;
    return fmin(1, 2 * heads_at_most(fewer, b + c));
}

fs_interval fs_risk_ratio(uint64_t k1, uint64_t n1, uint64_t k2, uint64_t n2, double confidence)
{
    FS_ASSERT(n1 > 0 && n2 > 0 && k1 <= n1 && k2 <= n2);
    const double a = (double)k1 + 0.5, b = (double)n1 + 0.5;
    const double c = (double)k2 + 0.5, d = (double)n2 + 0.5;
    const double middle = log(a / b) - log(c / d);
    const double half = deviate(confidence) * sqrt(1 / a - 1 / b + 1 / c - 1 / d);
    return (fs_interval){exp(middle - half), exp(middle + half)};
}

double fs_quantile_sorted(const double *sorted, size_t n, double q)
{
    FS_ASSERT(q >= 0 && q <= 1);
    if (n == 0) return NAN;
    const double at = q * (double)(n - 1);
    const size_t below = (size_t)at;
    const double rest = at - (double)below;
    /* Between equal values, which may be Inf, and at a value there is nothing to interpolate. */
    if (rest == 0 || sorted[below] == sorted[below + 1]) return sorted[below];
    return sorted[below] + rest * (sorted[below + 1] - sorted[below]);
}
