/** Self-correction: a network learns to answer the same with flipped weights.
 *
 * Each run of a step is answered twice with the same dropout masks: by the clean weights and by a
 * copy in which fresh faults flip one bit in each of a share `rate` of the parameters, drawn by
 * fs_fault_draw with the step's number as trial. What is minimised, a mean over outputs, is
 *     task loss (of the clean answers, the faulty ones, or half of each) + lambda * divergence.
 * Gradients of both branches are summed onto the clean parameters, as if the flips were constants
 * (straight through). Exponent protection is on: parameters are clipped to +-(2 - 2^-23) before
 * the first step and after every update, and hit words are read with bit 30 at 0.
 *
 * What the branches share: batches, masks, the values of tensors that are neither trained nor hit,
 * and the products before the first block that a step's faults hit: forward, the faulty branch
 * begins with the clean one's state there; backward, the gradients of both go down from there as
 * one sum. Not more, with adapters as without: whatever a flipped word touches makes other
 * activations, and all products after it have other operands. So faults in every parameter, the
 * paper's case, share nothing, a flip in the embeddings being there in every step; faults in the
 * last blocks or the head alone share most. Nothing is shared where the faulty gradient is clamped,
 * which needs it apart from the clean one in every layer, or where none flows into the clean
 * branch.
 *
 * With rate 0 only exponent protection is left. A step without hits, or before faults are switched
 * on, is a step of plain fine-tuning, bit for bit as long as no parameter reaches 2. Steps whose
 * loss or gradient is not finite are left out (tr_hooks.skips). Thread rule: one thread at a time;
 * bits do not depend on the pool's threads.
 *
 * Source: Chen et al. 2025, eq. 7 and algorithm 1 (`paper.md`); the options beyond: Stutz et al.
 * 2021 (RandBET), `codecs.md`. */
#ifndef TR_CORRECT_H
#define TR_CORRECT_H

#include "fault.h"
#include "tr_objective.h"

typedef enum tr_correct_task {
    TR_CORRECT_CLEAN,  /* eq. 7 */
    TR_CORRECT_FAULTY, /* algorithm 1 */
    TR_CORRECT_BOTH    /* half of each */
} tr_correct_task;

typedef enum tr_divergence {
    TR_DIVERGENCE_L2, /* ||faulty - clean|| of an output's logits, gradients into both branches */
    TR_DIVERGENCE_KL  /* KL(clean || faulty), the clean side held constant */
} tr_divergence;

typedef struct tr_correct_options {
    double rate;   /* of parameters hit in a step, in [0, 1] */
    double lambda; /* weight of the divergence, >= 0 */
    tr_correct_task task;
    tr_divergence divergence;
    fs_component_set components; /* where faults may hit; 0: everywhere */
    const int *layers;           /* [layer_count] blocks where they may hit, -1: what lies in none;
                                    borrowed by tr_correct_new alone */
    size_t layer_count;          /* 0: everywhere */
    double clamp;                /* the faulty branch's gradient is cut to +-clamp, element by
                                    element; 0: not */
    int drop_hit;                /* nonzero: hit words take no gradient from the faulty branch */
    uint64_t after_steps;        /* faults from this step on */
    double below_loss; /* faults once the task loss, a running mean over 16 steps, has been below;
                          0: not waited for */
    uint64_t key;      /* of the draws, from the run's seed */
    /* Measuring under faults, where dev is measured: */
    uint32_t lists;      /* fixed fault lists, trials 0, 1, ... of measure_key; 0: none */
    double measure_rate; /* of parameters hit in each, in [0, 1] */
    uint64_t measure_key;
} tr_correct_options;

typedef struct tr_correct tr_correct;

/** Clips `weights` to the EP range and packs what changed. `weights`, `pool` and `adapter` (NULL:
 * none) are the run's and borrowed. Errors: FS_ECONFIG if the components hold no parameter of the
 * model, FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_correct_new(tr_correct **out, const tr_correct_options *options,
                                       tr_weights *weights, tr_pool *pool,
                                       const tr_adapter *adapter);
void tr_correct_destroy(tr_correct **self);
/** @return hooks of a run; live as long as `self`. */
const tr_hooks *tr_correct_hooks(const tr_correct *self);
/** @return the faults of the step made last; borrowed until a measurement or the next step. */
const fs_fault_list *tr_correct_faults(const tr_correct *self);

/** Cuts values to +-(2 - 2^-23), bit for bit as the encoder of protection `ep`.
 * @return how many were cut. */
uint64_t tr_correct_clip(tr_pool *pool, float *values, size_t count);

#endif
