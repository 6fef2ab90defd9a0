/** What `train` and `finetune` share: their options, and a run from files to files.
 *
 * OUT is made by one command: `training.json` says with which options and whether it is complete,
 * `checkpoint` and `metrics.jsonl` are tr_loop.h's, and the model's own files come at the end.
 * Thread rule: one thread at a time. */
#ifndef MAIN_LEARN_H
#define MAIN_LEARN_H

#include "main.h"
#include "main_tune.h"

/** Values of the options; 0 and NULL where what is usual depends on others. */
typedef struct main_learn {
    int json, keep_best;
    const char *model, *task, *data, *dev, *from, *tokenizer, *vocab_data, *activation;
    uint32_t layers, width, heads, inner, positions, vocab, labels;
    uint64_t steps, seed;
    double epochs;
    uint32_t batch, window, accumulate, threads;
    double rate, warmup, decay, clip, beta2, smoothing, dropout, attention_dropout, masking;
    double init_range;
    const char *schedule;
    uint64_t log_every, eval_every, checkpoint_every;
    main_tune tune;
} main_learn;

#define MAIN_LEARN_AT(field) offsetof(main_learn, field)

extern const main_learn main_learn_train_defaults, main_learn_tune_defaults;

/* Rows that both option tables have. clang-format would stand each value on a line. */
/* clang-format off */
#define MAIN_LEARN_OPTIONS                                                                        \
    {"json", 0, NULL, FS_OPTION_FLAG, MAIN_LEARN_AT(json),                                        \
     "print one JSON document at the end", 0, 0},                                                 \
    {"task", 0, "masked|causal|classification", FS_OPTION_CHOICE, MAIN_LEARN_AT(task),            \
     "what is learned (default: what the model's head is for; BERT from scratch: "                \
     "masked)", 0, 0},                                                                            \
    {"data", 'd', "FILE", FS_OPTION_TEXT, MAIN_LEARN_AT(data),                                    \
     "what is learned from: plain text, or for classification a header line, then "               \
     "\"sentence TAB label\"", 0, 0},                                                             \
    {"dev", 0, "FILE", FS_OPTION_TEXT, MAIN_LEARN_AT(dev),                                        \
     "the same form: measured on, not learned from", 0, 0},                                       \
    {"labels", 0, "N", FS_OPTION_U32, MAIN_LEARN_AT(labels),                                      \
     "classes of a new classifier (default: 2)", 2, FS_LABELS_MAX},                               \
    {"epochs", 'e', "X", FS_OPTION_REAL, MAIN_LEARN_AT(epochs),                                   \
     "times through the data (default: train 1, finetune 3)", 1e-9, 1e6},                         \
    {"steps", 'n', "N", FS_OPTION_U64, MAIN_LEARN_AT(steps),                                      \
     "steps, instead of epochs", 1, 1e12},                                                        \
    {"batch", 'b', "N", FS_OPTION_U32, MAIN_LEARN_AT(batch),                                      \
     "sequences in a batch (default: train 32, finetune 16)", 1, 1 << 16},                        \
    {"accumulate", 0, "N", FS_OPTION_U32, MAIN_LEARN_AT(accumulate),                              \
     "batches in a step (default: 1)", 1, 1 << 16},                                               \
    {"window", 0, "N", FS_OPTION_U32, MAIN_LEARN_AT(window),                                      \
     "tokens of a sequence of running text (default: the model's "                                \
     "positions)", 3, FS_POSITIONS_MAX},                                                          \
    {"rate", 0, "X", FS_OPTION_REAL, MAIN_LEARN_AT(rate),                                         \
     "learning rate after the warm-up (default: train 5e-4, finetune 5e-5)", 1e-30, 1e38},         \
    {"schedule", 0, "constant|linear|cosine", FS_OPTION_CHOICE, MAIN_LEARN_AT(schedule),          \
     "how the rate falls to 0 (default: linear)", 0, 0},                                          \
    {"warmup", 0, "X", FS_OPTION_REAL, MAIN_LEARN_AT(warmup),                                     \
     "steps in which the rate rises, below 1 a share of all (default: 0.1)", 0, 1e12},            \
    {"decay", 0, "X", FS_OPTION_REAL, MAIN_LEARN_AT(decay),                                       \
     "weight decay, not of biases and LayerNorm (default: 0.01)", 0, 1e6},                        \
    {"clip", 0, "X", FS_OPTION_REAL, MAIN_LEARN_AT(clip),                                         \
     "largest norm of a step's gradient, 0: no clipping (default: 1)", 0, 1e30},                  \
    {"beta2", 0, "X", FS_OPTION_REAL, MAIN_LEARN_AT(beta2),                                       \
     "AdamW's memory of squared gradients (default: 0.999)", 0, 0.999999},                        \
    {"smoothing", 0, "X", FS_OPTION_REAL, MAIN_LEARN_AT(smoothing),                               \
     "label smoothing (default: 0)", 0, 0.999},                                                   \
    {"dropout", 0, "X", FS_OPTION_REAL, MAIN_LEARN_AT(dropout),                                   \
     "of embeddings and of what enters the residual stream (default: 0.1)", 0, 0.999},            \
    {"attention-dropout", 0, "X", FS_OPTION_REAL, MAIN_LEARN_AT(attention_dropout),               \
     "of attention's probabilities (default: 0.1)", 0, 0.999},                                    \
    {"masking", 0, "X", FS_OPTION_REAL, MAIN_LEARN_AT(masking),                                   \
     "share of tokens to be predicted under --task masked (default: 0.15)", 0.001, 0.999},        \
    {"init-range", 0, "X", FS_OPTION_REAL, MAIN_LEARN_AT(init_range),                             \
     "deviation of first values (default: 0.02; narrow models learn sooner with one over the "    \
     "root of the width)", 1e-9, 10},                                                             \
    {"seed", 's', "N", FS_OPTION_U64, MAIN_LEARN_AT(seed),                                        \
     "decides first values, order, masks and dropout (default: 1)", 0, 0},                        \
    {"threads", 't', "T", FS_OPTION_U32, MAIN_LEARN_AT(threads),                                  \
     "compute threads; the bits do not depend on them (default: one per "                         \
     "core)", 1, FS_THREADS_MAX},                                                                 \
    {"log-every", 0, "N", FS_OPTION_U64, MAIN_LEARN_AT(log_every),                                \
     "steps between lines of metrics.jsonl (default: 50)", 1, 1e12},                              \
    {"eval-every", 0, "N", FS_OPTION_U64, MAIN_LEARN_AT(eval_every),                              \
     "steps between measurements on --dev (default: each epoch's end)", 1, 1e12},                 \
    {"keep-best", 0, NULL, FS_OPTION_FLAG, MAIN_LEARN_AT(keep_best),                              \
     "keep the weights that measured best, not the last", 0, 0},                                  \
    {"checkpoint-every", 0, "N", FS_OPTION_U64, MAIN_LEARN_AT(checkpoint_every),                  \
     "steps between checkpoints (default: once a minute)", 1, 1e12}
/* clang-format on */

/** Runs `verb`, "train" or "finetune", into the folder `out`. Errors: exit codes as in cli.md;
 * FS_EREFUSED for a folder made by other options. */
FS_MUST_CHECK fs_status main_learn_run(const char *verb, const main_learn *options,
                                       const char *out);

#endif
