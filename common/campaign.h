/** The campaign file: YAML in, a checked structure out, and the effective text with all defaults.
 *
 * Every value on a sweep's axis is a list; a scalar stands for a list of one. Unknown keys, wrong
 * types and impossible combinations are errors with file, line and key. A campaign is complete:
 * nothing outside it changes a number. Source: `cli.md`. Thread rule: const after reading. */
#ifndef FS_CAMPAIGN_H
#define FS_CAMPAIGN_H

#include <stddef.h>
#include <stdint.h>

#include "activation.h"
#include "buf.h"
#include "config.h"
#include "fault_file.h"
#include "fault_form.h"
#include "hash.h"
#include "limits.h"
#include "protect.h"
#include "site.h"

/** How text becomes windows of a language model. */
typedef enum fs_recipe {
    FS_RECIPE_AS_IS, /* "as-is": the file's bytes, tokenised as one text */
    FS_RECIPE_HF     /* "hf": lines as HuggingFace's wikitext rows, joined by blank lines */
} fs_recipe;

typedef struct fs_task {
    fs_task_kind kind;
    char model[FS_PATH_BYTES_MAX]; /* folder, resolved; the arms' default */
    char data[FS_PATH_BYTES_MAX];  /* file, resolved */
    uint64_t examples;             /* inputs used, from the first on; 0: all */
    uint32_t window;               /* tokens in a window (language model); 0: the positions */
    uint32_t stride;               /* tokens between windows; 0: the window */
    fs_recipe recipe;
} fs_task;

typedef struct fs_arm {
    char name[FS_NAME_BYTES_MAX];
    char model[FS_PATH_BYTES_MAX];
    fs_format_kind dtype; /* storage of its parameters; see fs_activation_format for the rest */
    unsigned protect_count;
    char protect[FS_PROTECT_MAX][FS_NAME_BYTES_MAX];
    int metadata; /* what is stored beside the words, redundant bits and scales, is hit too */
} fs_arm;

/** A stopping rule on the share of critical trials: looks at fixed trial counts, interval of
 * Clopper-Pearson at 1 - (1 - confidence) / looks. Zero `half_width`: no rule. */
typedef struct fs_stop {
    double half_width;
    double confidence;
    uint64_t at_most;
} fs_stop;

/** One value of the `bits` axis and the word it was written as ("exponent", "30", "23+24"). A word
 * means other bits in each format; here they are those of fp32, fs_bits_choice_in gives another's.
 */
typedef struct fs_bits_choice {
    fs_bits bits;
    char name[FS_NAME_BYTES_MAX];
} fs_bits_choice;

typedef struct fs_sweep {
    char name[FS_NAME_BYTES_MAX];
    const fs_site_class *site;
    fs_site_set set;           /* of the class's words */
    fs_fault_source source;    /* of a class that is not drawn; all components are its set */
    int transient;             /* a fault lasts once, see FS_LASTS_ONCE; 0: the whole evaluation */
    int layers[FS_LAYERS_MAX]; /* restricts the selection; none: all */
    size_t layer_count;
    unsigned by;
    fs_amount_kind amount_kind;
    double amounts[FS_AXIS_MAX];
    size_t amount_count;
    fs_form_kind kinds[FS_AXIS_MAX];
    size_t kind_count;
    fs_form_pattern patterns[FS_AXIS_MAX];
    size_t pattern_count;
    fs_bits_choice bits[FS_AXIS_MAX];
    size_t bits_count;
    fs_guard guards[FS_AXIS_MAX];
    size_t guard_count;
    int finetunes;   /* phase finetune: trials tune under faults and are evaluated then */
    uint64_t trials; /* per cell; with a stopping rule, its at_most */
    fs_stop stop;
} fs_sweep;

typedef enum fs_tune_schedule { FS_TUNE_LINEAR, FS_TUNE_COSINE, FS_TUNE_CONSTANT } fs_tune_schedule;

/** Which tuned models stay on the worker's disk. */
typedef enum fs_tune_keep { FS_KEEP_NONE, FS_KEEP_CRITICAL, FS_KEEP_ALL } fs_tune_keep;

/** How trials of phase finetune tune their arm's model before they are evaluated. */
typedef struct fs_finetune {
    char data[FS_PATH_BYTES_MAX]; /* file to learn from, resolved */
    fs_hash data_hash;            /* of its content; zero: it was absent */
    uint64_t steps;               /* 0: the campaign has no such trials */
    uint32_t batch;               /* sequences in a step */
    uint32_t window;              /* tokens in a sequence (language model); 0: the positions */
    double rate;                  /* learning rate after the warm-up */
    double warmup;                /* steps in which it rises, below 1 a share of all */
    fs_tune_schedule schedule;
    double decay, clip, dropout, attention_dropout;
    uint64_t seed;             /* of order and dropout */
    int exponent_protection;   /* parameters stay below 2 while tuning, and are read so */
    fs_tune_keep keep;         /* does not change a result, and so stands in no fingerprint; */
    uint64_t checkpoint_steps; /* nor does this; 0: no checkpoints */
} fs_finetune;

/** What makes a trial critical. */
typedef struct fs_critical {
    double accuracy_drop;    /* classification: golden - faulty accuracy >= this */
    double perplexity_ratio; /* language model: faulty / golden perplexity >= this */
} fs_critical;

typedef struct fs_campaign {
    char name[FS_NAME_BYTES_MAX];
    uint64_t seed;
    fs_task task;
    fs_arm *arms;
    size_t arm_count;
    fs_sweep *sweeps;
    size_t sweep_count;
    fs_critical critical;
    fs_finetune finetune; /* steps 0: no section */
} fs_campaign;

/** Reads a campaign file. Relative paths are relative to the file; a bare name without a slash is
 * looked up beside the file, then in the zoo, then in the cache (names.h).
 * Errors: FS_ENOENT, FS_ECONFIG and FS_ELIMIT naming file, line and key, FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_campaign_read(fs_campaign **out, const char *path);
/** The same from memory; `path` names it in messages and anchors relative paths. */
FS_MUST_CHECK fs_status fs_campaign_parse(fs_campaign **out, const char *text, size_t size,
                                          const char *path);
/** The same for an effective campaign that was stored: its paths are absolute and taken as they
 * are, whether the models and data are still there or not. `name` is for messages. */
FS_MUST_CHECK fs_status fs_campaign_parse_stored(fs_campaign **out, const char *text, size_t size,
                                                 const char *name);
void fs_campaign_destroy(fs_campaign **self);
/** Appends the effective campaign: YAML with every default written out and paths resolved, which
 * fs_campaign_parse reads back to an equal campaign. */
FS_MUST_CHECK fs_status fs_campaign_write(const fs_campaign *self, fs_buf *out);
/** Appends the guard's word, "none", "nonfinite-zero" or "threshold:T". */
FS_MUST_CHECK fs_status fs_guard_write(const fs_guard *guard, fs_buf *out);
/** Resolves a choice for words of a format. Errors: FS_ECONFIG naming a bit that the words lack, or
 * that the format has no exponent. */
FS_MUST_CHECK fs_status fs_bits_choice_in(const fs_bits_choice *choice, const fs_format *format,
                                          fs_bits *out);
/** @return nonzero if the arm keeps bits beside the words: its protections' redundant ones, or the
 * scales of int8. */
int fs_arm_has_checks(const fs_arm *arm);
/** @return "count", "rate", "ber"; "flip", "stuck0", "stuck1"; "as-is", "hf". */
const char *fs_amount_name(fs_amount_kind kind);
const char *fs_fault_kind_name(fs_fault_kind kind);
const char *fs_recipe_name(fs_recipe recipe);
/** @return "linear", "cosine", "constant"; "none", "critical", "all". */
const char *fs_tune_schedule_name(fs_tune_schedule schedule);
const char *fs_tune_keep_name(fs_tune_keep keep);

#endif
