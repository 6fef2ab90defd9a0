/** The parts that the passes of the network are made of; internal. Each works on the rows of one
 * group or one block of answers, in one task. */
#ifndef TR_PARTS_H
#define TR_PARTS_H

#include "tr_tape.h"

/* The places of dropout masks. */
enum {
    TR_PLACE_EMBEDDING,
    TR_PLACE_POOLED,
    TR_PLACE_LAYERS, /* then, for each layer: */
    TR_PLACE_PROBABILITIES = 0,
    TR_PLACE_ATTENTION_OUT,
    TR_PLACE_MLP_OUT,
    TR_PLACES_PER_LAYER
};

/** What a backward pass shares. */
typedef struct tr_backward_pass {
    tr_tape *tape;
    const tr_weights *weights;
    const uint8_t *wanted;
    const float *dlogits;
    const tr_tape *branch; /* what began at this tape's state, or NULL */
    uint32_t floor;        /* the lowest block that has anything to do */
    int down_to_ids;       /* nonzero: the embeddings' gradients are wanted */
} tr_backward_pass;

/** @return nonzero if the gradient of a tensor is wanted; TR_NONE never is. */
int tr__wants(const tr_backward_pass *pass, int tensor);
int tr__wants_norm(const tr_backward_pass *pass, tr_norm norm);
int tr__wants_linear(const tr_backward_pass *pass, const tr_linear *linear);

/** y = x W + b for `rows` rows. */
void tr__apply(const tr_weights *weights, const tr_linear *linear, float *y, const float *x,
               size_t rows);
/** dx = dy W^T, or with `onto` added to dx. */
void tr__apply_backward(const tr_weights *weights, const tr_linear *linear, float *dx,
                        const float *dy, size_t rows, int onto);
void tr__normalise(const tr_tape *tape, const tr_weights *weights, tr_norm norm, float *out,
                   const float *x, size_t rows);
/** d := the gradient by x, x being what was normalised; the parameters' are added to `part`. */
void tr__normalise_backward(const tr_backward_pass *pass, tr_norm norm, float *d, const float *x,
                            size_t rows, float *part);
void tr__activate(const tr_tape *tape, float *x, size_t n);
void tr__activate_backward(const tr_tape *tape, float *d, const float *x, size_t n);
/** Dropout of rows [row_first, row_first + rows) of the batch, which is its own gradient. */
void tr__drop(const tr_tape *tape, uint32_t place, float *x, size_t row_first, size_t rows);
void tr__visit(const tr_tape *tape, tr_stage stage, uint32_t layer, float *values, size_t row_first,
               size_t rows, size_t cols);

/** Token, position and segment embeddings of a group, their norm and dropout. */
void tr__embed(const tr_tape *tape, const tr_weights *weights, const tr_group *group);
/** d_state := the gradient of the embeddings' sum. */
void tr__embed_backward(const tr_backward_pass *pass, const tr_group *group);
void tr__block_forward(const tr_tape *tape, const tr_weights *weights, uint32_t layer,
                       const tr_group *group, unsigned thread);
/** @param d [own, d] the gradient of what the block gave, its contents are lost; may be the group's
 *  rows of d_state, where the gradient of what entered is written. */
void tr__block_backward(const tr_backward_pass *pass, uint32_t layer, const tr_group *group,
                        float *d, unsigned thread);
/** Logits of one block of answers. */
void tr__head_forward(const tr_tape *tape, const tr_weights *weights, size_t block, float *logits);
/** Gradients of one block of answers down to head.d_rows. */
void tr__head_backward(const tr_backward_pass *pass, size_t block, unsigned thread);
/** All parameters' gradients, once those of the activations are there. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tr__gradients(const tr_backward_pass *pass, float *grads);

#endif
