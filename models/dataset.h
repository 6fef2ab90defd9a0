/** A data set ready for a model: packed token sequences with labels or scored positions.
 *
 * Classification: TSV with a header line, then `sentence TAB label`. Language model: plain text cut
 * into windows; the first token of the first window is context, a later window scores only what
 * earlier ones did not. Const after reading. Source: `cli.md`; HuggingFace's perplexity recipe. */
#ifndef DATASET_H
#define DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "campaign.h"
#include "config.h"
#include "nn_model.h"
#include "tok.h"

enum {
    DATASET_BATCH_TOKENS = 512 /* enough for the matrix kernels, small enough for the caches */
};

typedef struct dataset {
    fs_task_kind kind;
    int32_t *ids;     /* [off[count]] */
    uint32_t *off;    /* [count + 1] */
    uint32_t count;   /* inputs: sentences or windows */
    int32_t *labels;  /* [count], classification; NULL otherwise */
    uint32_t *scored; /* [count], language model: the last scored[i] tokens of window i are scored,
                         each from the row before it; NULL otherwise */
    uint64_t answers; /* inputs, or scored tokens in all */
    uint64_t words;   /* whitespace words of the text covered, for per-word perplexity */
} dataset;

/** Errors: FS_EFORMAT naming `path`, and the line that is not UTF-8; or that there is no text. */
FS_MUST_CHECK fs_status dataset_check_text(const char *path, const char *text, size_t size);
/** Errors: FS_EFORMAT for an id that a model of `vocab` entries does not have. */
FS_MUST_CHECK fs_status dataset_check_ids(const int32_t *ids, size_t count, uint32_t vocab);

/** Reads task->data for the model's tokeniser and configuration.
 * Errors: FS_ENOENT, FS_ELIMIT; FS_EFORMAT naming file and line: no tab, a label that is not a
 * whole number in range, invalid UTF-8, no examples; ids beyond the model's vocabulary;
 * FS_ECONFIG if window or stride do not fit the model; FS_ENOMEM. */
FS_MUST_CHECK fs_status dataset_read(dataset **out, const fs_task *task, const fs_config *config,
                                     const tok *tokeniser);
void dataset_destroy(dataset **self);
/** @return how many inputs from `first` on make one batch: whole inputs of up to
 * DATASET_BATCH_TOKENS tokens together, or a single longer one. */
uint32_t dataset_batch_inputs(const dataset *self, uint32_t first);
/** @return inputs [first, first + n) as a batch; `off` must hold n + 1 and is written. Borrowed. */
nn_batch dataset_batch(const dataset *self, uint32_t first, uint32_t n, uint32_t *off);
/** Marks in `token_read`, [vocab] and zeroed, the rows of the token embeddings that any input
 * reads.
 * @return the longest input's tokens: so many rows of the position embeddings are read. */
uint32_t dataset_reads(const dataset *self, uint8_t *token_read);

#endif
