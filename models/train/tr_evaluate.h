/** How good a network is on a set that it does not learn from.
 *
 * One epoch of the set's source, no dropout, no faults. Thread rule: as tr_objective.h. */
#ifndef TR_EVALUATE_H
#define TR_EVALUATE_H

#include "tr_source.h"
#include "tr_weights.h"

typedef struct tr_quality {
    double loss;     /* mean over outputs, nats */
    double accuracy; /* share of outputs whose largest logit is the target; NaN logits are wrong */
    double f1;       /* classification: of class 1 of two, else the mean over classes; else 0 */
    uint64_t outputs;
} tr_quality;

/** Errors: FS_ENOMEM, the source's. */
FS_MUST_CHECK fs_status tr_evaluate(tr_quality *out, const tr_weights *weights, tr_pool *pool,
                                    tr_source *source);
/** @return nonzero if `a` is better: by accuracy, then loss, for classification, else by loss. */
int tr_quality_better(const tr_quality *a, const tr_quality *b, tr_head head);

#endif
