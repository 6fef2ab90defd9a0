/** AdamW with decoupled weight decay, gradient clipping by global norm, learning-rate schedules.
 *
 * Thread rule: as the pool's; bits do not depend on the number of threads: sums run over fixed
 * blocks of the flat array in order. Source: Loshchilov and Hutter 2019; PyTorch's AdamW. */
#ifndef TR_OPTIMISER_H
#define TR_OPTIMISER_H

#include "tr_layout.h"
#include "tr_pool.h"

typedef struct tr_adamw {
    double beta1, beta2, epsilon; /* 0.9, 0.999, 1e-8 */
    double decay;                 /* on tensors that decay */
} tr_adamw;

typedef enum tr_schedule_kind {
    TR_SCHEDULE_CONSTANT,
    TR_SCHEDULE_LINEAR,
    TR_SCHEDULE_COSINE
} tr_schedule_kind;

typedef struct tr_schedule {
    tr_schedule_kind kind;
    double peak;           /* learning rate after the warm-up */
    uint64_t warmup_steps; /* linear from 0 */
    uint64_t steps;        /* at which the rate reaches 0 (linear, cosine) */
} tr_schedule;

/** @return the rate of step 0, 1, ...: as transformers' get_*_schedule_with_warmup. */
double tr_schedule_rate(const tr_schedule *self, uint64_t step);
/** @return the 2-norm over all gradients, in double; NaN or Inf if any is not finite. */
double tr_gradient_norm(const tr_layout *layout, tr_pool *pool, const float *grads,
                        const uint8_t *wanted);
/** One update of `values` with first and second moments m, v, the gradient times `grad_scale` (for
 * clipping). `update` counts from 1. Tensors not `wanted` (NULL: all used ones) are left alone. */
void tr_adamw_update(const tr_adamw *self, const tr_layout *layout, tr_pool *pool, float *values,
                     const float *grads, float *m, float *v, double rate, double grad_scale,
                     uint64_t update, const uint8_t *wanted);

#endif
