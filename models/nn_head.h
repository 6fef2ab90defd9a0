/** One head of one sequence: what the forward and the backward pass of attention share. Internal.
 */
#ifndef NN_HEAD_H
#define NN_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "nn_attention.h"
#include "nn_dropout.h"
#include "nn_gemm.h"
#include "nn_isa.h"
#include "nn_probe.h"

enum {
    NN_QUERY_ROWS = 36, /* most of one block of scores */
    NN_SHARED_ROWS = 6  /* causal rows with a common chain */
};

typedef struct nn_head {
    const float *q, *k, *v; /* [len, d_head], row stride `stride` */
    float *out;             /* [rows wanted, d_head], row stride `out_stride` */
    size_t stride, out_stride;
    size_t len, d_head;
    int causal;
    float *keys;   /* packed [d_head, len], of the transposed k */
    float *values; /* packed [len, d_head] */
    float *scores; /* [NN_QUERY_ROWS, scores_stride] */
    size_t scores_stride;
    const nn_mask *mask;     /* NULL: no dropout */
    uint64_t element;        /* of the mask: of row 0's first probability */
    uint64_t element_stride; /* from one row to the next */
    fs_format_kind format;   /* that scores and probabilities are stored in */
    const nn_probe *probe;   /* NULL: nobody looks */
    nn_tap tap;              /* of the probe: layer, sequence, head */
} nn_head;

static inline size_t nn__whole_panels(size_t n)
{
    return (n + NN_PANEL - 1) / NN_PANEL * NN_PANEL;
}

/** An odd number of cache lines, so that rows do not compete for the same lines of the cache. */
static inline size_t nn__scores_stride(size_t len)
{
    return (nn__whole_panels(len) / NN_PANEL | 1) * NN_PANEL;
}

/** Rows that row `row` attends to. */
static inline size_t nn__seen(const nn_head *h, size_t row)
{
    return h->causal ? row + 1 : h->len;
}

/** Asserts what a batch must be. @return whether there is dropout, then with its mask. */
int nn__head_mask(nn_mask *mask, const uint32_t *off, uint32_t n_seq,
                  const nn_attention_shape *shape, const nn_dropout *dropout, uint64_t row_first,
                  uint32_t positions);
/** 1/sqrt(d_head) */
float nn__head_scale(const nn_head *h);
/** Probabilities of query rows [row, row + rows), rows <= NN_QUERY_ROWS, into h->scores, without
 * dropout. `keys` are packed. */
void nn__head_probabilities(const nn_head *h, size_t row, size_t rows);
/** Drops elements of the rows [row, row + rows) of `scores`, if there is a mask. */
void nn__head_drop(const nn_head *h, float *scores, size_t row, size_t rows);
/** @return the product of rows [row, row + rows) of `a`, [rows, d_head] with row stride lda, and
 * packed transposed rows, [d_head, len]: what each row sees, into rows of a block of scores. */
nn_product nn__head_scores(const nn_head *h, float *out, const float *a, size_t lda,
                           const float *packed, size_t row, size_t rows);
/** out := weights times packed rows [len, d_head], each row over what it attends to.
 *  @param out [rows, d_head], row stride `out_stride`  @param weights [rows, scores_stride] */
void nn__head_weigh(const nn_head *h, const float *weights, const float *packed, float *out,
                    size_t out_stride, size_t row, size_t rows);

/** What happens to scores and probabilities between the operations. */
typedef struct nn_head_watch {
    fs_format_kind format; /* that they are stored in */
    const nn_probe *probe; /* NULL: nobody looks */
    uint32_t layer;
    uint32_t sequence; /* number in the batch of the first sequence */
} nn_head_watch;

/** nn_attention with such a watch; a probe asks for all rows. */
void nn__attention_watched(float *out, const float *qkv, const uint32_t *off, uint32_t n_seq,
                           const nn_attention_shape *shape, float *scratch,
                           const nn_head_watch *watch);

#endif
