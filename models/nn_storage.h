/** How activations are stored between operations.
 *
 * Arithmetic is fp32. A model whose parameters are stored in a 16-bit format stores its activations
 * in it too: every result is rounded to it, to nearest even, before the next operation reads it.
 * Results are what the stages are (activation.h), the sum of embeddings, the sums of residual
 * streams, the outputs of normalisations and the pooled state. A bias, the scale of the scores and
 * an activation function belong to the product before them. fp32 and int8 models round nothing.
 *
 * Every NaN becomes one and the same: processors differ in theirs. Thread rule: reentrant. */
#ifndef NN_STORAGE_H
#define NN_STORAGE_H

#include <stddef.h>

#include "format.h"

/** Rounds values to a format and back. @param format  not int8; fp32: nothing is done */
void nn_round(fs_format_kind format, float *x, size_t n);
/** The same of `rows` rows of `width` values, `stride` apart. */
void nn_round_rows(fs_format_kind format, float *x, size_t stride, size_t width, size_t rows);

#endif
