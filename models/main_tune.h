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
} main_tune;

/* The rows of an option table; `at(field)` is the offset of a field of main_tune. */
#define MAIN_TUNE_OPTIONS(at)                                                                      \
    {                                                                                              \
        "lora", 0, "RANK", FS_OPTION_U32, at(lora),                                                \
            "train adapters of this rank (default: all weights)", 1, 4096                          \
    }

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
