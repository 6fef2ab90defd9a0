/** The loss of one step and its gradients.
 *
 * A step's outputs are those of `accumulate` batches of the source; its loss is their mean. Batches
 * are cut into runs of whole sequences of bounded tokens, so that the memory of a step does not
 * grow with the batch; a run's gradients are added onto those of the runs before it, in order.
 * Hooks put more into a step: self-correction, faults, adapters. Thread rule: one thread at a time;
 * bits do not depend on the pool's number of threads. */
#ifndef TR_OBJECTIVE_H
#define TR_OBJECTIVE_H

#include <jansson.h>

#include "tr_net.h"
#include "tr_source.h"

enum { TR_HOOK_WORDS = 4 /* that hooks remember from step to step */ };
enum { TR_RUN_TOKENS = 2048 /* of one run, or a single longer sequence */ };

/** All that a step changes. The four arrays have `layout`, which is the network's own unless an
 * adapter is trained in its place. */
typedef struct tr_state {
    uint64_t step; /* 0, 1, ...: the step that is being made */
    const tr_layout *layout;
    tr_weights *weights; /* the network's; pack what you change */
    float *values;       /* what is trained: tr_weights_values(weights), or the adapter's */
    float *grads, *m, *v;
    const uint8_t *wanted; /* [layout->count], nonzero: trained; NULL: all that are used */
    tr_pool *pool;
} tr_state;

/** Sums over outputs, added up run by run in order. */
typedef struct tr_sums {
    double loss;       /* what is minimised: task loss plus weighted divergence */
    double task;       /* of it the task's loss alone */
    double divergence; /* between clean and faulty answers, not weighted; 0 without */
    uint64_t outputs;
    uint64_t right; /* outputs whose largest logit is the target */
} tr_sums;

/** One run of sequences. */
typedef struct tr_run {
    uint64_t step;
    const tr_batch *batch;
    const tr_pass *pass;
    tr_tape *tape; /* of the network, free to use; a second branch brings its own */
    tr_pool *pool;
    const tr_weights *weights; /* clean */
    float smoothing;
    float scale;             /* 1 / outputs of the whole step: of every gradient */
    float *logits, *dlogits; /* [batch->outputs, tr_logit_count()], scratch */
    float *grads;            /* [the network's layout->floats], added to */
    const uint8_t *wanted;   /* of the network's tensors; NULL: all */
} tr_run;

/** What is put into a step, in the order in which it is called. Zeroed members: nothing. A hook
 * must be a pure function of its options, the step's number and the state, so that a run that goes
 * on from a checkpoint gives the same bits. A status other than FS_OK ends the run with it. */
typedef struct tr_hooks {
    void *context;
    /** Before the forward passes: draws the step's faults, prepares faulty weights. */
    fs_status (*begin)(void *context, const tr_state *state);
    /** In place of tr_objective_plain: the losses and gradients of one run. */
    fs_status (*run)(void *context, const tr_run *run, tr_sums *sums);
    /** Sees activations of the plain run's forward pass; NULL: none. */
    const tr_probe *probe;
    /** After all runs, before the gradient's norm is taken: faults in gradients. */
    fs_status (*gradients)(void *context, const tr_state *state);
    /** After the update: clips parameters, faults in moments and parameters. Also called after a
     * skipped one. What is trained is packed, or composed by the adapter, after it. */
    fs_status (*updated)(void *context, const tr_state *state);
    /** Adds what the hooks have to tell of the step just made to its line of metrics. */
    fs_status (*metrics)(void *context, json_t *line);
    /** Adds what the hooks measure themselves on `dev` to the line of a measurement; state as after
     * the step. */
    fs_status (*measured)(void *context, const tr_state *state, tr_source *dev, json_t *line);
    /** [TR_HOOK_WORDS] what the hooks remember from step to step: written to checkpoints, and read
     * back into before the first step of a run that goes on; NULL: nothing. */
    uint64_t *memory;
    /** Nonzero: a step whose loss or gradient is not finite is counted and left out instead of
     * ending the run. */
    int skips;
} tr_hooks;

/** An adapter: other parameters are trained than the network's (LoRA). */
typedef struct tr_adapter {
    void *context;
    const tr_layout *layout; /* of what is trained; borrowed */
    /** Writes the first values of what is trained. */
    void (*init)(void *context, float *values);
    /** Brings the network's weights up to date and packs what changed. */
    void (*compose)(void *context, const float *values, tr_weights *weights, tr_pool *pool);
    /** Turns gradients by the network's tensors into those by what is trained, written. */
    void (*project)(void *context, const float *values, const float *network_grads, float *grads,
                    tr_pool *pool);
    const uint8_t *network_wanted; /* [network layout->count] gradients that project reads */
} tr_adapter;

typedef struct tr_objective_options {
    float smoothing, dropout, attention_dropout;
    uint64_t key;        /* of the dropout masks */
    uint32_t accumulate; /* batches in a step, >= 1 */
    uint32_t run_tokens; /* 0: TR_RUN_TOKENS */
} tr_objective_options;

typedef struct tr_objective tr_objective;

/** `layout` (the network's), `pool` and `hooks` (NULL: none) are borrowed. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_objective_new(tr_objective **out, const tr_layout *layout, tr_pool *pool,
                                         const tr_objective_options *options,
                                         const tr_hooks *hooks);
void tr_objective_destroy(tr_objective **self);
/** Computes the sums of one step and its gradients.
 * @param grads  [layout->floats], overwritten; NULL only with a `run` hook that needs none
 * @param tokens of the step, written
 * Errors: FS_ENOMEM, the source's, the hooks'. */
FS_MUST_CHECK fs_status tr_objective_step(tr_objective *self, tr_source *source,
                                          const tr_weights *weights, uint64_t step, float *grads,
                                          const uint8_t *wanted, tr_sums *sums, uint64_t *tokens);
/** The run without hooks: forward, cross-entropy, backward. For hooks that add to it. */
FS_MUST_CHECK fs_status tr_objective_plain(const tr_run *run, tr_sums *sums);

#endif
