/** What is left of random errors in weights behind a list of protections.
 *
 * Weights are drawn to the histogram of GPT-2 that `paper.md` gives, log-uniformly within each of
 * its ranges of magnitude, with a random sign. A weight is big if it reads as more than 8 or not
 * finite; the noise is the root of the mean squared error of the others over that of the weights.
 */
#ifndef RESIDUAL_H
#define RESIDUAL_H

#include <stddef.h>
#include <stdint.h>

#include "protect.h"

typedef struct residual {
    double big;   /* share */
    double noise; /* relative */
} residual;

/** How often bits are hit. */
typedef struct residual_amount {
    int per_value; /* nonzero: a share of values, each with one uniform bit; else of bits */
    double rate;
} residual_amount;

/** Fills `out` with bits of fp32, as a function of the seed. */
void residual_weights(uint32_t *out, size_t count, uint64_t seed);
/** Stores, hits and reads `count` weights, a multiple of 8, as one tensor in rows of 1024;
 * redundant bits beside the words are hit as often as the words' own. */
residual residual_measure(const uint32_t *weights, size_t count, const char *const *names,
                          unsigned name_count, residual_amount amount, uint64_t seed);

#endif
