/** Which tokens a masked language model has to guess, and what it sees in their place.
 *
 * A pure function of (key, epoch, token): masks differ from epoch to epoch. Special tokens are
 * never chosen. Thread rule: const after initialising. Source: Devlin et al. 2019, section 3.1. */
#ifndef TR_MASK_H
#define TR_MASK_H

#include <stddef.h>
#include <stdint.h>

#include "tok.h"

typedef struct tr_mask {
    uint64_t key;
    double share;   /* of tokens to guess: 80 % of them hidden, 10 % replaced, 10 % left */
    uint32_t vocab; /* a replacement is any of these ids */
    int32_t specials[TOK_SPECIAL_COUNT]; /* -1: none */
} tr_mask;

/** Errors: FS_EUNSUPPORTED if the vocabulary has no [MASK]. */
FS_MUST_CHECK fs_status tr_mask_init(tr_mask *self, const tok *tokeniser, uint32_t vocab,
                                     double share, uint64_t key);
/** @return nonzero if the token may be chosen. */
int tr_mask_may_choose(const tr_mask *self, int32_t id);
/** Copies a sequence's tokens with some replaced; if chance chooses none, the one nearest to it.
 * @param first  number of ids[0] within the data set
 * @param ids    [count], one of them at least may be chosen
 * @param out    [count], written
 * @param places [count], written: indices of the chosen tokens, ascending
 * @return how many, 1..count */
uint32_t tr_mask_apply(const tr_mask *self, uint64_t epoch, uint64_t first, const int32_t *ids,
                       uint32_t count, int32_t *out, uint32_t *places);

#endif
