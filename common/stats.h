/** Statistics of a sweep. The fault is the unit of sampling: inputs within one trial are never
 * pooled as independent. Source: `statistics.md`. Thread rule: reentrant. */
#ifndef FS_STATS_H
#define FS_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

typedef struct fs_interval {
    double low;
    double high;
} fs_interval;

/** Wilson's score interval of k successes in n; [0, 1] for n == 0. */
fs_interval fs_wilson(uint64_t k, uint64_t n, double confidence);
/** Clopper-Pearson's exact interval; at k == 0 its upper end is 1 - (alpha/2)^(1/n). */
fs_interval fs_clopper_pearson(uint64_t k, uint64_t n, double confidence);
/** Interval of a per-input rate, clustered by trial: mean of k_i/m over n trials, linearised
 * variance over trials, Student's t. `k` holds each trial's count out of `m`. n < 2: [0, 1].
 * All k alike: no variance to be seen; then a part of the trials as large as n could have missed
 * (exact, two-sided) is granted any rate, so at zero events the upper end is Clopper-Pearson's. */
fs_interval fs_cluster_rate(const uint32_t *k, size_t n, uint32_t m, double confidence);
/** Percentile bootstrap of the mean over trials, reproducible from the key. Up to 2^16 values are
 * resampled 2000 times; beyond that the normal interval is used, which there is the same.
 * NaNs for n < 2, as one value says nothing of others, if a value is not finite, or without memory.
 * Equal values give [value, value]: no spread was seen, which does not say that there is none. The
 * order of the values does not matter. */
fs_interval fs_bootstrap_mean(const double *values, size_t n, double confidence, uint64_t key);
/** The same of the median, by exact order statistics (binomial). Inf is allowed; NaNs if a value is
 * NaN. With too few values for the confidence (under 6 for 95 %) it is [-Inf, Inf]. */
fs_interval fs_median_interval(const double *values, size_t n, double confidence);
/** Paired difference b - a of the same trials in two arms, bootstrap over trials. NaNs as above. */
fs_interval fs_bootstrap_difference(const double *a, const double *b, size_t n, double confidence,
                                    uint64_t key);
/** McNemar's exact two-sided p for discordant counts b and c; 1 for b + c == 0. */
double fs_mcnemar(uint64_t b, uint64_t c);
/** Risk ratio of paired counts, log-normal with +1/2 in each count; both n > 0. */
fs_interval fs_risk_ratio(uint64_t k1, uint64_t n1, uint64_t k2, uint64_t n2, double confidence);
/** Expected half-width of a proportion near p after n trials (Wilson). */
double fs_half_width(double p, uint64_t n, double confidence);
/** Regularised incomplete beta function I_x(a, b); and its inverse in x. */
double fs_beta_cdf(double x, double a, double b);
double fs_beta_quantile(double p, double a, double b);
/** Quantiles of the standard normal and of Student's t. */
double fs_normal_quantile(double p);
double fs_student_quantile(double p, double degrees);
/** @return the q-quantile of sorted values, linear between order statistics; NaN for n == 0. */
double fs_quantile_sorted(const double *sorted, size_t n, double q);

#endif
