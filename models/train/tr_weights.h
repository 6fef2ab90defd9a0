/** One set of parameters as training reads them: flat, and packed for the products.
 *
 * `values` is the truth; tr_weights_pack() makes the packed copies that the forward pass (x W) and
 * the backward pass (dy W^T) read. Self-correction keeps two sets, the clean and the faulty one.
 * Thread rule: one thread at a time; const while a pass runs. */
#ifndef TR_WEIGHTS_H
#define TR_WEIGHTS_H

#include "tr_layout.h"
#include "tr_pool.h"

typedef struct tr_weights tr_weights;

/** All zero. `layout` is borrowed. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_weights_new(tr_weights **out, const tr_layout *layout);
void tr_weights_destroy(tr_weights **self);
const tr_layout *tr_weights_layout(const tr_weights *self);
/** @return [layout->floats], to read and write; call tr_weights_pack afterwards. */
float *tr_weights_values(tr_weights *self);
/** Brings the packed copies up to date. */
void tr_weights_pack(tr_weights *self, tr_pool *pool);
/** Packs only the tensors named by `changed` [layout->count], nonzero: changed. */
void tr_weights_pack_some(tr_weights *self, tr_pool *pool, const uint8_t *changed);

#endif
