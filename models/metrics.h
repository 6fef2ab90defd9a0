/** Answers and their quality from logits, in double. NaN is different from everything; an argmax
 * over NaN is no answer. Thread rule: reentrant. */
#ifndef METRICS_H
#define METRICS_H

#include <stddef.h>
#include <stdint.h>

/** @return index of the first largest of n logits; -1 if any is NaN. */
int32_t metrics_argmax(const float *logits, size_t n);
/** @return nonzero if all are finite. */
int metrics_all_finite(const float *logits, size_t n);
/** Cross-entropy in nats of the target under softmax(logits): max-shifted, double sums in index
 * order. +Inf and NaN as they come out; a NaN logit gives NaN. */
double metrics_loss(const float *logits, size_t n, int32_t target);
/** KL(p || q) in nats of softmax(golden) against softmax(faulty); NaN if not finite. */
double metrics_kl(const float *golden, const float *faulty, size_t n);
/** @return largest |a - b|; Inf if either holds a non-finite value where bits differ. */
double metrics_deviation(const float *a, const float *b, size_t n);

#endif
