/** The name of what training made: a hash of a network's values alone.
 *
 * Two networks of one shape with the same values have the same hash, whoever made them and whatever
 * file they lie in; one NaN stands for all, as they differ from one instruction set to the next.
 * Thread rule: reentrant. */
#ifndef TR_HASH_H
#define TR_HASH_H

#include "hash.h"
#include "tr_layout.h"

/** BLAKE2b-256 over the used tensors in the layout's order, each its name as a field and then its
 * values, row-major, little-endian. `values` [layout->floats]. */
void tr_hash_values(fs_hash *out, const tr_layout *layout, const float *values);

#endif
