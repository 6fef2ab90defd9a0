/** A look into the forward pass: a callback that sees, and may change, activations as they are
 * made.
 *
 * A view that has a probe calls it at every stage (activation.h) of nn_embed, nn_layer and
 * nn_classify, for the rows of one sequence at a time, before anything reads them. nn_layer_last
 * and nn_lm_logits, which knows no sequences, call none. The arithmetic is the same with and
 * without a probe, bit for bit; attention scores, which the plain pass scales inside the softmax,
 * are written out for the probe. Thread rule: called by the thread that runs the view. */
#ifndef NN_PROBE_H
#define NN_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include "activation.h"
#include "nn_model.h"

/** Rows [row, row + rows) of one stage. Of scores and probabilities, of one head, where row r holds
 * what position r attends to: all positions of the sequence, or 0..r. */
typedef struct nn_tap {
    fs_stage stage;
    uint32_t layer;    /* 0 for stages of no layer */
    uint32_t sequence; /* of the batch */
    uint32_t head;     /* 0 unless scores or probabilities */
    uint32_t row;      /* position in the sequence; logits of a classifier: 0 */
    uint32_t rows;
    float *values; /* of the first row */
    size_t stride; /* floats from one row to the next */
} nn_tap;

typedef struct nn_probe {
    void (*tap)(void *context, const nn_tap *tap);
    void *context;
} nn_probe;

/** Sets the view's probe; NULL: none, as in a new view. Borrowed until the next call. */
void nn_view_set_probe(nn_view *self, const nn_probe *probe);

#endif
