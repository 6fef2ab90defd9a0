/** In which order examples are seen: a pure function of (lengths, seed, step).
 *
 * An epoch is a permutation of the examples, drawn anew for each. The batches of it are taken in
 * windows of TR_ORDER_WINDOW; within a window examples are sorted by length, so that a batch holds
 * sequences of about one length, and the batches then shuffled. What is left at the epoch's end,
 * fewer than a batch, is its last batch. Thread rule: one thread at a time. */
#ifndef TR_ORDER_H
#define TR_ORDER_H

#include <stdint.h>

#include "status.h"

enum { TR_ORDER_WINDOW = 64 /* batches */ };

typedef struct tr_order tr_order;

/** @param lengths [count], borrowed; count >= 1, batch >= 1. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_order_new(tr_order **out, const uint32_t *lengths, uint32_t count,
                                     uint32_t batch, uint64_t seed);
void tr_order_destroy(tr_order **self);
/** @return how many examples a step has; *examples are their numbers, valid until the next call. */
uint32_t tr_order_batch(tr_order *self, uint64_t step, const uint32_t **examples);
uint64_t tr_order_epoch_steps(const tr_order *self);

#endif
