/** Bounds of activations: what each stage of each layer is between in fault-free runs.
 *
 * Every stage has bounds but scores, probabilities and logits: the first two are bounded by what
 * they are made of, and a bound on logits would be one on answers. A view learns bounds, or
 * restricts to them, where a stage is stored: behind rounding (nn_storage.h) and faults
 * (nn_probe.h), before anything reads the values. A NaN is outside of all bounds; while they are
 * learnt it reads 0 as well, so that the run that learns is the run that is restricted.
 *
 * Source: Chen et al., DSN 2021. Thread rule: const after learning; a view belongs to one thread.
 */
#ifndef NN_RANGES_H
#define NN_RANGES_H

#include "activation.h"
#include "nn_model.h"

typedef struct nn_ranges nn_ranges;

/** Nothing is known: everything is outside. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status nn_ranges_new(nn_ranges **out, const fs_config *config);
/** Frees; nulls; idempotent. */
void nn_ranges_destroy(nn_ranges **self);
/** Adds what `other`, of the same shape, has learnt. */
void nn_ranges_merge(nn_ranges *self, const nn_ranges *other);
/** Writes the bounds of a stage; low > high where nothing was learnt. */
void nn_ranges_get(const nn_ranges *self, fs_stage stage, uint32_t layer, float *low, float *high);
/** @return XXH3-64 over all bounds in a fixed encoding. */
uint64_t nn_ranges_checksum(const nn_ranges *self);

/** Lets the view add what it computes to `ranges`; NULL: no more. Borrowed until the next call. */
void nn_view_learn_ranges(nn_view *self, nn_ranges *ranges);
/** Restricts what the view computes: outside reads 0, or with `clip` the nearest bound (NaN 0).
 * NULL: no more. nn_layer_last is then not to be called: it computes less, and so would count less.
 * Borrowed until the next call. */
void nn_view_restrict(nn_view *self, const nn_ranges *ranges, int clip);
/** @return values that were outside since the last call. */
uint64_t nn_view_take_outside(nn_view *self);

#endif
