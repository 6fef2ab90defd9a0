/** What the blocks of BERT and GPT-2 share; internal to the engine.
 *
 * A batch is worked off in groups of whole sequences, and wide products in runs of rows, so that
 * scratch memory is bounded by the model and its longest sequence, not by the batch. Rows are
 * independent, so neither cut shows in the bits. Thread rule: as the view's. */
#ifndef NN_BLOCK_H
#define NN_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "nn_attention.h"
#include "nn_image.h"
#include "nn_probe.h"

enum {
    NN_GROUP_ROWS = 192, /* rows of a group, but for a longer sequence, which is one alone */
    NN_GROUP_SEQUENCES = 96,
    NN_MLP_ROWS = 96 /* rows whose hidden state lives at a time, fewer in wide models */
};

/** Consecutive sequences of a batch, and who looks at their activations. */
typedef struct nn_group {
    uint32_t first; /* sequence */
    uint32_t n_seq;
    uint32_t row_first; /* of the batch */
    uint32_t rows;
    uint32_t len_max;
    uint32_t layer;                       /* that is being computed */
    const nn_probe *probe;                /* NULL: nobody */
    uint32_t off[NN_GROUP_SEQUENCES + 1]; /* within the group */
} nn_group;

/** Scratch memory of one group, carved from the view's. */
typedef struct nn_parts {
    float *qkv;       /* [rows, 3 * d_model] */
    float *context;   /* [rows, d_model] */
    float *normed;    /* [rows, d_model] */
    float *product;   /* [rows, d_model] */
    float *kept;      /* [rows, d_model], the rows that the last layer keeps */
    float *hidden;    /* [nn__mlp_rows(), d_ff] */
    float *attention; /* nn_attention_scratch() */
} nn_parts;

/** Moves on to the next group; start with a zeroed one. @return 0 at the end of the batch. */
int nn__group_next(nn_group *group, const nn_batch *batch);
/** Carves the memory for one group. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status nn__parts(nn_parts *out, nn_view *view, const nn_group *group,
                                  const nn_attention_shape *shape);
/** out [rows, n] with stride ldo = in [rows, k] times a weight, plus the bias that follows it in
 * the geometry. */
void nn__linear(const nn_view *view, uint32_t weight, float *out, size_t ldo, const float *in,
                size_t rows, size_t n, size_t k);
/** Stores a stage's values before anything reads them: rows [first, first + rows) of a group, of
 * which `x` is the first, are rounded, shown to the group's probe, if there is one, sequence by
 * sequence, and kept within their bounds. */
void nn__made(nn_view *view, const nn_group *group, fs_stage stage, float *x, size_t stride,
              size_t first, size_t rows);
/** Stores values that are of no stage. */
void nn__keep(const nn_view *view, float *x, size_t n);
/** nn_attention on a group's rows, scores and probabilities stored and shown to its probe. */
void nn__attend(const nn_view *view, const nn_group *group, const nn_attention_shape *shape,
                const nn_parts *parts);
/** out [rows, d_model] = MLP of `in` by the four tensors from `up` on: weight, bias, weight, bias.
 * out may not be in. The rows are the group's first. */
void nn__mlp(nn_view *view, uint32_t up, float *out, const float *in, float *hidden, size_t rows,
             const nn_group *group);
/** LayerNorm of rows by the gain and bias from tensor `gain` on, not yet stored. out may be x. */
void nn__norm(const nn_view *view, uint32_t gain, float *out, const float *x, size_t rows);
/** Copies the first (or last) row of each sequence of a group: out [n_seq, width]. */
void nn__gather(float *out, const float *x, size_t width, const nn_group *group, nn_rows which);
/** Copies back: x's first (or last) rows, stride ldx, from rows [n_seq, width]. */
void nn__scatter(float *x, size_t ldx, const float *rows, size_t width, const nn_group *group,
                 nn_rows which);

#endif
