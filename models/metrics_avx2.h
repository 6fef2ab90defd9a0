/** The exponentials of metrics.c, four at a time. Internal to metrics.c. */
#ifndef METRICS_AVX2_H
#define METRICS_AVX2_H

#include <stddef.h>

/** Writes e^(logits[i] - shift) for the first multiple of 4 of n logits, none of which exceeds
 * `shift`; the bits are those of fs_exp64(). NaN gives NaN. Needs AVX2.
 * @return how many were written */
size_t metrics__exp_avx2(double *out, const float *logits, size_t n, double shift);

#endif
