#include "metrics.h"

#include <math.h>
#include <string.h>

#include "assert.h"
#include "math64.h"
#include "metrics_avx2.h"
#include "nn_cpu.h"

/* The exponentials of a block are found first, several at a time where the processor can, and then
 * summed one by one: order and bits are the same on every machine. */

enum { BLOCK = 256 };

int32_t metrics_argmax(const float *logits, size_t n)
{
    FS_ASSERT(n > 0 && n <= INT32_MAX);
    size_t best = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(logits[i])) return -1;
        if (logits[i] > logits[best]) best = i;
    }
    return (int32_t)best;
}

int metrics_all_finite(const float *logits, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(logits[i])) return 0;
    return 1;
}

static double largest(const float *logits, size_t n)
{
    float max = -INFINITY; /* NaN is skipped here and found by the sum */
    for (size_t i = 0; i < n; i++) max = logits[i] > max ? logits[i] : max;
    return (double)max;
}

/** @return sum of e^(logit - shift), in index order. */
static double sum_exp(const float *logits, size_t n, double shift)
{
    double sum = 0, terms[BLOCK];
    for (size_t first = 0; first < n; first += BLOCK) {
        size_t count = n - first < BLOCK ? n - first : BLOCK;
        const float *block = logits + first;
        size_t done = 0;
        if (nn_cpu_isa() != NN_ISA_PORTABLE) done = metrics__exp_avx2(terms, block, count, shift);
        for (size_t i = done; i < count; i++) terms[i] = fs_exp64((double)block[i] - shift);
        for (size_t i = 0; i < count; i++) sum += terms[i];
    }
    return sum;
}

double metrics_loss(const float *logits, size_t n, int32_t target)
{
    FS_ASSERT(target >= 0 && (size_t)target < n);
    double max = largest(logits, n);
    /* An infinite maximum leaves Inf - Inf, which is NaN, as the plain formula does. */
    double sum = sum_exp(logits, n, max);
    if (!isfinite(sum)) return (double)NAN;
    return fs_log64(sum) - ((double)logits[target] - max);
}

double metrics_kl(const float *golden, const float *faulty, size_t n)
{
    if (!metrics_all_finite(golden, n) || !metrics_all_finite(faulty, n)) return (double)NAN;
    double golden_max = largest(golden, n), faulty_max = largest(faulty, n);
    double golden_sum = sum_exp(golden, n, golden_max), faulty_sum = sum_exp(faulty, n, faulty_max);
    double log_ratio = fs_log64(faulty_sum) - fs_log64(golden_sum);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double p = (double)golden[i] - golden_max, q = (double)faulty[i] - faulty_max;
        sum += fs_exp64(p) / golden_sum * (p - q + log_ratio);
    }
    return sum < 0 ? 0 : sum; /* rounding only: the divergence is never negative */
}

double metrics_deviation(const float *a, const float *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t a_bits, b_bits; /* equal NaNs are no deviation */
        memcpy(&a_bits, &a[i], sizeof a_bits);
        memcpy(&b_bits, &b[i], sizeof b_bits);
        if (a_bits == b_bits) continue;
        if (!isfinite(a[i]) || !isfinite(b[i])) return (double)INFINITY;
        double difference = fabs((double)a[i] - (double)b[i]);
        if (difference > most) most = difference;
    }
    return most;
}
