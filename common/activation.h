/** Activation sites: the values between a model's layers, and which of them a trial hits.
 *
 * A stage is a kind of intermediate value; a place is a stage of one layer. What a place holds
 * depends on the input, so a draw is one of an input: a pure function of (draw key, trial, input),
 * whatever batch the input is computed in, by whichever thread. Values are numbered place by place
 * in the order of the forward pass; within a place row by row (a row is a token's position within
 * the input), scores and probabilities by (head, row, attended position), only what is attended.
 *
 * A `transient` fault is in one inference: the trial picks one input, every input equally likely,
 * and hits it alone. A `permanent` one is in every inference: each input is drawn for by itself,
 * and a count is the count in each.
 *
 * What is read: a hit value goes through the sweep's read guard once, right behind the fault, if
 * the fault changed it. Values that no fault hit are not looked at: they are what arithmetic made,
 * and a guard on them would change clean runs. Codecs are of stored weights and never see an
 * activation; bounds of a golden run (nn_ranges.h) see them all. The words are of the arm's storage
 * format if it has 16 bits, else fp32.
 *
 * Thread rule: reentrant. Source: `faults.md`, "Sites"; the paper's In / 1..N / Out are
 * embedding.out, block.out of each layer, logits. */
#ifndef FS_ACTIVATION_H
#define FS_ACTIVATION_H

#include <stddef.h>
#include <stdint.h>

#include "fault_form.h"
#include "format.h"
#include "geometry.h"
#include "status.h"

/* X(NAME, text), in the order of the forward pass. All but the first and the last are of a layer.
 */
#define FS_STAGE_MAP(X)                                                                            \
    X(EMBEDDING_OUT, "embedding.out") /* behind the embedding's norm, [length, d] */               \
    X(ATTENTION_Q, "attention.q")     /* [length, d] */                                            \
    X(ATTENTION_K, "attention.k")     /* [length, d] */                                            \
    X(ATTENTION_V, "attention.v")     /* [length, d] */                                            \
    X(ATTENTION_SCORES,                                                                            \
      "attention.scores")                 /* scaled, before softmax: [heads, length, attended] */  \
    X(ATTENTION_PROBS, "attention.probs") /* [heads, length, attended] */                          \
    X(ATTENTION_CONTEXT, "attention.context") /* heads side by side, [length, d] */                \
    X(ATTENTION_OUT, "attention.out")         /* before the residual sum, [length, d] */           \
    X(MLP_HIDDEN, "mlp.hidden")               /* behind the activation function, [length, d_ff] */ \
    X(MLP_OUT, "mlp.out")                     /* before the residual sum, [length, d] */           \
    X(BLOCK_OUT, "block.out")                 /* [length, d] */                                    \
    X(LOGITS, "logits")                       /* [labels], or [scored rows, vocab] */

typedef enum fs_stage {
#define X(name, text) FS_STAGE_##name,
    FS_STAGE_MAP(X)
#undef X
        FS_STAGE_COUNT
} fs_stage;

typedef uint32_t fs_stage_set; /* bit i: stage i */

/** A stage of a layer; places compare in the order of the forward pass. */
typedef uint16_t fs_place;

/** What an input is to the fault space. */
typedef struct fs_extent {
    uint32_t length; /* tokens */
    uint32_t scored; /* language models: rows with a scored token, the last but one and up */
} fs_extent;

/** @return the stage's word; the set of a stage's word, of "all" or of "boundaries" (the paper's In
 * / 1..N / Out), 0 for another word. */
const char *fs_stage_name(fs_stage stage);
fs_stage_set fs_stage_parse(const char *word);

/** @return the format of activations in a model whose parameters are stored in another: the same
 * where that has 16 bits; the others compute in fp32. */
fs_format_kind fs_activation_format(fs_format_kind parameters);

/** `layer` is not read for stages of no layer. */
fs_place fs_place_of(fs_stage stage, uint32_t layer);
fs_stage fs_place_stage(fs_place place);
/** @return -1 for a place of no layer. */
int fs_place_layer(fs_place place);
/** @return zero for a number that is no place of any model. */
int fs_place_valid(uint32_t number);

/** @return elements from one row of a stage to the next. Element (row, column) is row * width +
 * column; scores and probabilities have the row head * positions + position. */
uint32_t fs_stage_width(const fs_config *config, fs_stage stage);
/** Splits an element into its indices: [row, column], [head, row, attended], or [class].
 * @return how many there are. */
unsigned fs_stage_index(const fs_config *config, fs_stage stage, uint64_t element, uint64_t out[3]);
/** @return what a stage of one layer is in the forward pass of one input: its rows are tokens, its
 * copies heads, and causal attention has a lower triangle. */
fs_grid fs_stage_grid(const fs_config *config, fs_stage stage, fs_extent extent);
/** @return values of a stage of one layer in the forward pass of one input. */
uint64_t fs_stage_values(const fs_config *config, fs_stage stage, fs_extent extent);

/** Chooses the places of `stages` in `layers`; those of no layer by the same rule as components.
 * The space's `values` are those of the largest input. Errors: FS_ECONFIG if nothing is left;
 * FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_activation_space_new(fs_fault_space **out, const fs_geometry *geometry,
                                                fs_stage_set stages, const int *layers,
                                                size_t layer_count, fs_bits bits,
                                                fs_extent largest);
/** @return the input that a transient trial hits, below `inputs`. */
uint32_t fs_activation_pick(uint64_t draw_key, uint64_t trial, uint32_t inputs);
/** Draws the faults of one input, replacing `out`'s contents, sorted by (place, element, bit). A
 * count beyond the input's sites takes all of them; rows and columns of a pattern end where the
 * input's own do, columns of attention weights at the end of their head. Errors: FS_ELIMIT,
 * FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_activation_draw(fs_fault_list *out, const fs_fault_space *space,
                                           fs_amount amount, const fs_form *form, uint64_t draw_key,
                                           uint64_t trial, uint32_t input, fs_extent extent);
/** Adds one input's faults to a checksum over inputs in ascending order, which starts as 0. */
uint64_t fs_activation_checksum(uint64_t sum, const fs_fault *faults, size_t count);

#endif
