/** Random first values, as transformers draws them.
 *
 * Matrices and embeddings are normal with mean 0, biases 0, LayerNorm gains 1; GPT-2's projections
 * onto the residual stream are scaled down by sqrt(2 layers). A value is a function of (seed,
 * tensor's name, element) alone: Box-Muller on counter-based random numbers, without libm.
 * Source: transformers' _init_weights of BertPreTrainedModel and GPT2PreTrainedModel. */
#ifndef TR_INIT_H
#define TR_INIT_H

#include "tr_layout.h"

/** transformers' default of initializer_range. */
#define TR_INIT_RANGE 0.02

/** Writes every used tensor of `values` [layout->floats]. */
void tr_init_all(const tr_layout *layout, float *values, double range, uint64_t seed);
/** Writes one tensor, as tr_init_all would. */
void tr_init_tensor(const tr_layout *layout, size_t tensor, float *values, double range,
                    uint64_t seed);
/** Fills `out` with independent normal values of the given standard deviation, the first
 * `count` of stream (key, stream). */
void tr_init_normal(float *out, size_t count, double deviation, uint64_t key, uint64_t stream);

#endif
