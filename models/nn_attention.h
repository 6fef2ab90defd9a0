/** Multi-head attention over a packed batch, without padding and without masks by large numbers.
 *
 * Row i of a sequence attends to all its rows, or with `causal` to rows 0..i; scores are chains of
 * fused multiply-adds over the head's width, scaled by 1/sqrt(d_head), softmax as nn_softmax, then
 * a chain over the attended rows in order. What a row does not attend to cannot touch it, not even
 * as 0 * Inf. A row's bits depend on its own sequence only. Reentrant.
 * Source: Vaswani et al. 2017, eq. 1. */
#ifndef NN_ATTENTION_H
#define NN_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

/** Which query rows of each sequence are wanted. */
typedef enum nn_rows { NN_ROWS_ALL, NN_ROWS_FIRST, NN_ROWS_LAST } nn_rows;

typedef struct nn_attention_shape {
    uint32_t heads;
    uint32_t d_head;
    int causal;
    nn_rows rows;
} nn_attention_shape;

/** @return floats of scratch that sequences up to len_max rows need. */
size_t nn_attention_scratch(const nn_attention_shape *shape, uint32_t len_max);

/** @param out     [off[n_seq], d] for NN_ROWS_ALL, else [n_seq, d]; d = heads * d_head; written
 *  @param qkv     [off[n_seq], 3*d], rows are q|k|v, heads contiguous
 *  @param off     [n_seq + 1] token offsets
 *  @param scratch [nn_attention_scratch(shape, longest)] floats, 64-byte aligned */
void nn_attention(float *out, const float *qkv, const uint32_t *off, uint32_t n_seq,
                  const nn_attention_shape *shape, float *scratch);
/** The plain loops with fmaf and nn_softmax_reference; the oracle, bit for bit. */
void nn_attention_reference(float *out, const float *qkv, const uint32_t *off, uint32_t n_seq,
                            const nn_attention_shape *shape, float *scratch);

#endif
