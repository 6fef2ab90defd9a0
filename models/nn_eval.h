/** The fault-free forward pass over a whole data set, on several threads.
 *
 * Inputs are packed into batches in their order; threads take batches as they come, and results are
 * handed over in the order of the inputs, so that nothing depends on the number of threads. */
#ifndef NN_EVAL_H
#define NN_EVAL_H

#include <stdint.h>

#include "dataset.h"
#include "nn_model.h"

/** What came out for one input. Borrowed: valid during the call. */
typedef struct nn_eval_item {
    uint32_t input;
    double loss;          /* sum of `losses`, in order */
    const double *losses; /* [answers], nats; NaN where a logit is NaN */
    uint32_t answers;     /* 1 (classification) or scored tokens */
    int32_t answer;       /* classification: the first largest logit's class, -1 for NaN */
    const float *logits;  /* classification: [labels]; language model: [length, vocab] if asked for,
                             else NULL */
    uint64_t logit_count;
} nn_eval_item;

typedef struct nn_eval_options {
    uint32_t threads; /* 1 to FS_THREADS_MAX */
    int lm_logits;    /* nonzero: keep a language model's logits, window x vocab for each thread */
    /** Takes one item; called in the order of inputs, never twice at once, from any of the threads.
     * A status that is not FS_OK ends the run with it. */
    fs_status (*sink)(void *context, const nn_eval_item *item);
    void *context;
} nn_eval_options;

/** Runs every input of `data`, which must have been read for this model.
 * Errors: FS_ENOMEM, FS_EIO (a thread cannot start), what `sink` returns. */
FS_MUST_CHECK fs_status nn_eval_run(const nn_model *model, const dataset *data,
                                    const nn_eval_options *options);

#endif
