/** Losses from logits, and their gradients. Sums in double, in the order of the rows.
 *
 * NaN in gives NaN out. Thread rule: as the pool's; bits do not depend on the number of threads. */
#ifndef TR_LOSS_H
#define TR_LOSS_H

#include "tr_pool.h"

/** Cross-entropy with label smoothing: -(1-s) log p[t] - s/n sum log p, in nats.
 * @param dlogits [rows, n]: `scale` times the gradient, written; may be logits; NULL: not wanted
 * @param right   rows whose first largest logit is the target, added to; NULL: not wanted
 * @return the sum over rows (not scaled). Source: PyTorch's CrossEntropyLoss. */
double tr_loss_cross_entropy(tr_pool *pool, const float *logits, const int32_t *targets,
                             uint32_t rows, uint32_t n, float smoothing, float scale,
                             float *dlogits, uint64_t *right);
/** Sum over rows of ||faulty - clean||_2 (not squared; Chen et al. 2025). A row without difference
 * has gradient 0. Gradients are added to dfaulty and dclean (NULL: not wanted), times `scale`. */
double tr_loss_l2(tr_pool *pool, const float *clean, const float *faulty, uint32_t rows, uint32_t n,
                  float scale, float *dclean, float *dfaulty);
/** Sum over rows of KL(softmax(clean) || softmax(faulty)), the clean side held constant; the
 * gradient is added to dfaulty, times `scale`. */
double tr_loss_kl(tr_pool *pool, const float *clean, const float *faulty, uint32_t rows, uint32_t n,
                  float scale, float *dfaulty);

#endif
