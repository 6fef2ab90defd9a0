/** Options of `finetune` beyond plain training: LoRA, self-correction, faults while tuning, and
 * what they put into a run.
 *
 * The options are rows of finetune's table; their values lie in one struct inside finetune's own.
 * Thread rule: one thread at a time. */
#ifndef MAIN_TUNE_H
#define MAIN_TUNE_H

#include <jansson.h>

#include "options.h"
#include "tr_objective.h"

/** Values of the options. Zeroed: none given. */
typedef struct main_tune {
    uint32_t lora; /* rank; 0: full fine-tuning */
    double lora_alpha;
    const char *lora_on, *lora_full;
    int self_correction;
    double fault_rate, lambda;
    const char *faults_on, *fault_layers, *task_on, *divergence;
    double clamp;
    int average, drop_hit;
    uint64_t faults_after;
    double faults_below;
    int exponent_protection;
    uint32_t fault_eval;
    double fault_eval_rate;
    const char *inject;
    double inject_rate;
} main_tune;

/* X(at, name, argument, kind, field, help, least, most): an option, and its field of main_tune,
 * whose offset is at(field). Divided by commas. */
#define MAIN_TUNE_MAP(X, at)                                                                       \
    X(at, "lora", "RANK", U32, lora,                                                               \
      "train adapters of this rank, merged on save (default: all weights)", 1, 4096),              \
        X(at, "lora-alpha", "A", REAL, lora_alpha,                                                 \
          "adapters count A / RANK (default: twice the rank)", 1e-6, 1e6),                         \
        X(at, "lora-on", "COMPONENTS", TEXT, lora_on,                                              \
          "linear layers with adapters, by commas (default: attention,mlp)", 0, 0),                \
        X(at, "lora-full", "COMPONENTS", TEXT, lora_full,                                          \
          "train these themselves beside the adapters, as a new head needs (default: none)", 0,    \
          0),                                                                                      \
        X(at, "self-correction", NULL, FLAG, self_correction,                                      \
          "learn to answer the same with flipped weights, under exponent protection", 0, 0),       \
        X(at, "fault-rate", "R", REAL, fault_rate,                                                 \
          "share of parameters flipped in the faulty branch (default: 0.01)", 1e-12, 1),           \
        X(at, "faults-on", "COMPONENTS", TEXT, faults_on,                                          \
          "parameters that may be flipped there, by commas (default: all)", 0, 0),                 \
        X(at, "fault-layers", "LAYERS", TEXT, fault_layers,                                        \
          "layers where they may be flipped, 0 the first, by commas; what comes before is "        \
          "worked out once (default: all)",                                                        \
          0, 0),                                                                                   \
        X(at, "lambda", "L", REAL, lambda,                                                         \
          "weight of the divergence between both branches (default: 0.1)", 1e-12, 1e6),            \
        X(at, "divergence", "l2|kl|none", CHOICE, divergence,                                      \
          "l2 of the logits, or KL with the clean side held constant (default: l2)", 0, 0),        \
        X(at, "task-on", "clean|faulty", CHOICE, task_on,                                          \
          "branch whose answers are compared with the labels (default: clean)", 0, 0),             \
        X(at, "average", NULL, FLAG, average, "the task's loss is the mean of both branches'", 0,  \
          0),                                                                                      \
        X(at, "faulty-gradient-clamp", "C", REAL, clamp,                                           \
          "cut each element of the faulty branch's gradient to +-C (default: not)", 1e-12, 1e6),   \
        X(at, "drop-hit", NULL, FLAG, drop_hit,                                                    \
          "flipped words take no gradient from the faulty branch", 0, 0),                          \
        X(at, "faults-after", "STEPS", U64, faults_after,                                          \
          "plain steps before the first faulty one (default: 0)", 0, 0),                           \
        X(at, "faults-below", "LOSS", REAL, faults_below,                                          \
          "no faults until a running mean of the loss was below (default: at once)", 1e-12, 1e6),  \
        X(at, "exponent-protection", NULL, FLAG, exponent_protection,                              \
          "keep parameters below 2 while tuning, as --self-correction does", 0, 0),                \
        X(at, "fault-eval", "N", U32, fault_eval,                                                  \
          "measure --dev under N fixed fault lists too, with exponent protection (default: 0)", 1, \
          1000),                                                                                   \
        X(at, "fault-eval-rate", "R", REAL, fault_eval_rate,                                       \
          "share of parameters flipped there (default: --fault-rate)", 1e-12, 1),                  \
        X(at, "inject", "SITES", TEXT, inject,                                                     \
          "flips while tuning: gradients, parameters, activations, optimizer, by commas", 0, 0),   \
        X(at, "inject-rate", "R", REAL, inject_rate,                                               \
          "share of values flipped there in each step (default: 0.001)", 1e-12, 1)

/* The rows of an option table. */
#define MAIN_TUNE_ROW(at, name, argument, kind, field, help, least, most)                          \
    {                                                                                              \
        name, 0, argument, FS_OPTION_##kind, at(field), help, least, most                          \
    }
#define MAIN_TUNE_OPTIONS(at) MAIN_TUNE_MAP(MAIN_TUNE_ROW, at)

typedef struct main_tuning main_tuning;

/** What the options make of a run. `weights` holds the model to start from, `seed` is the run's.
 * *out is NULL where no option was given. Errors: FS_EUSAGE for options that contradict each other
 * or the model, FS_ENOMEM. */
FS_MUST_CHECK fs_status main_tuning_new(main_tuning **out, const main_tune *options,
                                        tr_weights *weights, tr_pool *pool, uint64_t seed);
void main_tuning_destroy(main_tuning **self);
/** @return hooks of the run, NULL: none; lives as long as `self`. `self` may be NULL. */
const tr_hooks *main_tuning_hooks(const main_tuning *self);
/** @return the adapter, NULL: none. `self` may be NULL. */
const tr_adapter *main_tuning_adapter(const main_tuning *self);
/** Adds every option that decides the result, for the run's fingerprint and its metrics. */
FS_MUST_CHECK fs_status main_tune_describe(const main_tune *options, json_t *out);

#endif
