/** What a dropout mask needs, worked out once. Internal to the kernels. */
#ifndef NN_DROPOUT_H
#define NN_DROPOUT_H

#include <stddef.h>
#include <stdint.h>

#include "nn_backward.h"

/** Numbers per Philox block, 16 bits each. */
enum { NN_DROPOUT_BLOCK = 8 };
/** Elements of a place: as many as a word can number blocks. */
static const uint64_t NN_DROPOUT_ELEMENTS_MAX = (uint64_t)NN_DROPOUT_BLOCK << 32;

/** Philox's counter but for its first word, its key, and the two sides of the coin. */
typedef struct nn_mask {
    uint32_t counter[3], key[2];
    uint32_t threshold; /* 0..65536; a number below is dropped */
    float scale;        /* of the others */
} nn_mask;

/** @return whether `dropout`, which may be NULL, drops anything; asserts its probability. */
int nn__dropout_mask(nn_mask *mask, const nn_dropout *dropout);

#endif
