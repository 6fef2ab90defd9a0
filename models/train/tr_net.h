/** Forward with memory, and backward, of BERT and GPT-2.
 *
 * A pass works on a packed batch. Without dropout and faults its logits are the bits of
 * nn_model.h's forward pass. Activations of the whole batch are kept on a tape; weight gradients
 * are one chain of fused multiply-adds over the rows of the batch in order: no bit depends on the
 * number of threads, the machine or its instruction set.
 *
 * NaN and Inf propagate. Thread rule: one pass at a time on a pool and a tape.
 * Source: Vaswani et al. 2017; Devlin et al. 2019; Radford et al. 2019; transformers. */
#ifndef TR_NET_H
#define TR_NET_H

#include "nn_model.h"
#include "tr_weights.h"

/** A packed batch with what it is to answer. Borrowed by the functions below. */
typedef struct tr_batch {
    nn_batch tokens;        /* each sequence 1..positions tokens */
    const uint32_t *rows;   /* [outputs] rows of the batch that answer, ascending; NULL for
                               TR_HEAD_CLASSIFY, where every sequence does */
    const int32_t *targets; /* [outputs] class or token id */
    uint32_t outputs;
} tr_batch;

/** Where an activation is seen, in the order of the forward pass; `faults.md`'s stages. */
#define TR_STAGE_MAP(X)                                                                            \
    X(EMBEDDING_OUT, "embedding.out")                                                              \
    X(ATTENTION_QKV, "attention.qkv")                                                              \
    X(ATTENTION_CONTEXT, "attention.context")                                                      \
    X(ATTENTION_OUT, "attention.out")                                                              \
    X(MLP_HIDDEN, "mlp.hidden")                                                                    \
    X(MLP_OUT, "mlp.out")                                                                          \
    X(BLOCK_OUT, "block.out")                                                                      \
    X(LOGITS, "logits")

typedef enum tr_stage {
#define X(name, text) TR_STAGE_##name,
    TR_STAGE_MAP(X)
#undef X
        TR_STAGE_COUNT
} tr_stage;

/** Sees, and may change, rows [row_first, row_first + rows) of a stage's activations, before
 * dropout and before the next operation reads them. To the backward pass a change is a constant
 * that was added. Rows are those of the batch, of logits the outputs; every row is seen once.
 * `layer` is 0 for embeddings and logits. Called by compute threads, several at a time, on disjoint
 * rows. */
typedef struct tr_probe {
    void (*visit)(void *context, tr_stage stage, uint32_t layer, float *values, uint32_t row_first,
                  uint32_t rows, uint32_t cols);
    void *context;
} tr_probe;

/** How a pass is run. Zeroed: as at inference. */
typedef struct tr_pass {
    float dropout;           /* probability, at embeddings, attention's and the MLP's output, BERT's
                                pooled output */
    float attention_dropout; /* of attention probabilities */
    uint64_t key;            /* of the dropout masks: from the run's seed */
    uint64_t step;           /* the masks are a function of (key, step, row, place) */
    uint32_t row_first;      /* number of this batch's first row within the step */
    const tr_probe *probe;   /* NULL: none */
} tr_pass;

typedef struct tr_tape tr_tape;

/** A tape grows to the largest batch it has seen: of each token about 25 d_model floats a layer.
 * Errors: FS_ENOMEM. `layout` and `pool` are borrowed. */
FS_MUST_CHECK fs_status tr_tape_new(tr_tape **out, const tr_layout *layout, tr_pool *pool);
void tr_tape_destroy(tr_tape **self);
/** Logits of one answer: labels or vocab. */
uint32_t tr_logit_count(const tr_layout *layout);

/** Asserts that ids are below vocab, lengths 1..positions, rows ascending and within the batch, and
 * that a classifier has as many outputs as sequences; no outputs at all are allowed.
 * @param logits [batch->outputs, tr_logit_count()], written
 * Keeps on the tape what tr_backward needs; `batch` must live until then.
 * Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_forward(tr_tape *tape, const tr_weights *weights, const tr_batch *batch,
                                   const tr_pass *pass, float *logits);
/** tr_forward of the batch and pass that `from` has just gone forward with, begun at what enters
 * block `layer` there (layers: what enters the head). The embeddings and blocks before must have
 * the same weights in both; they are not worked out again. 0: nothing is shared. Errors: FS_ENOMEM.
 */
FS_MUST_CHECK fs_status tr_forward_from(tr_tape *tape, const tr_weights *weights,
                                        const tr_tape *from, uint32_t layer, float *logits);
/** Adds the gradient of sum(logits * dlogits) to `grads`, for the last forward of this tape, with
 * the same weights.
 * @param dlogits [batch->outputs, tr_logit_count()], its contents are lost
 * @param grads   [layout->floats], added to
 * @param wanted  [layout->count], nonzero: this tensor's gradient is wanted; NULL: all. A frozen
 *                tensor costs nothing.
 * Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_backward(tr_tape *tape, const tr_weights *weights, float *dlogits,
                                    float *grads, const uint8_t *wanted);
/** The same, and what `branch` has left to it: a tape begun at this one's state by tr_forward_from
 * goes backward (tr_backward) to where it began, and this one takes its gradient further down. */
FS_MUST_CHECK fs_status tr_backward_joined(tr_tape *tape, const tr_weights *weights, float *dlogits,
                                           float *grads, const uint8_t *wanted,
                                           const tr_tape *branch);

#endif
