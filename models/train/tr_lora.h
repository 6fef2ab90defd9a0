/** Low-rank adapters: in place of a frozen matrix W, W + alpha / r * (A B) with A and B trained.
 *
 * An adapter belongs to a matrix of one component of one layer; GPT-2's fused c_attn may have
 * three. What is trained is a layout of its own: for each adapter lora_A [r, in], of normal values,
 * and lora_B^T [r, out], zero at first, so that tuning begins at the model; then the tensors that
 * are trained in full. The effective matrices are formed anew after each update, so every pass, the
 * faulty one of self-correction too, is that of a plain model, and what is saved is merged.
 * Gradients of A and B come from the effective matrix's: with s = alpha / r and y = x W + s x A B,
 * dA = s dW B^T and dB = s A^T dW.
 *
 * NaN and Inf propagate. Thread rule: one thread at a time; bits do not depend on the pool's
 * threads. Source: Hu et al. 2022; names and first values as peft's. */
#ifndef TR_LORA_H
#define TR_LORA_H

#include "tr_objective.h"

typedef struct tr_lora_options {
    uint32_t rank;         /* >= 1 */
    double alpha;          /* > 0 */
    fs_component_set on;   /* linear components that get adapters */
    fs_component_set full; /* components whose tensors are trained themselves; 0: none */
    uint64_t key;          /* of the first values, from the run's seed */
    int clip;              /* exponent protection: effective values are cut to +-(2 - 2^-23) */
} tr_lora_options;

typedef struct tr_lora tr_lora;

/** Takes the frozen values from `weights`. Errors: FS_EUSAGE for a component that has no matrix of
 * a linear layer in this model, one in both sets, or a rank above a matrix's smaller side;
 * FS_ELIMIT; FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_lora_new(tr_lora **out, const tr_lora_options *options,
                                    tr_weights *weights, tr_pool *pool);
void tr_lora_destroy(tr_lora **self);
/** @return what a trainer asks for; lives as long as `self`. */
const tr_adapter *tr_lora_adapter(const tr_lora *self);

#endif
