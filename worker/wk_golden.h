/** The golden run of a variant: every input's answers, and the states that trials start from.
 *
 * A boundary l is the state before block l; boundary `layers` is what the head reads. Boundaries 0
 * and `layers` are always kept, the others as far as memory allows, evenly spaced. With a
 * classifier, boundary `layers` holds only the row of each input that the head reads.
 * Thread rule: const after creation. */
#ifndef WK_GOLDEN_H
#define WK_GOLDEN_H

#include "dataset.h"
#include "nn_model.h"
#include "nn_ranges.h"
#include "wk_executor.h"

enum { WK_LM_ROWS = 32 }; /* rows of a language model's logits computed at a time */

typedef struct wk_golden {
    const nn_model *model; /* borrowed */
    const dataset *data;   /* borrowed */
    uint32_t layers;
    uint32_t width;        /* d_model */
    uint32_t classes;      /* labels, or the vocabulary */
    uint32_t *batch_first; /* [batch_count + 1] first input of each batch */
    uint32_t batch_count;
    uint32_t batch_tokens_max;
    uint32_t batch_inputs_max;
    uint64_t *answer_first; /* [count + 1] first answer of each input */
    float **state;          /* [layers + 1] of [tokens, width]; NULL where not kept */
    float *logits;          /* [answers, classes]; NULL: a language model's, recomputed */
    double *loss;           /* [answers] nats */
    int32_t *answer;        /* [answers] argmax, -1: none */
    uint64_t correct;       /* inputs answered rightly; 0 for language models */
    nn_ranges *ranges;      /* bounds of activations; NULL: the model keeps none */
    wk_golden_info info;    /* but for bounds_checksum, which variants of equal weights differ in */
} wk_golden;

/** Runs the data set through the model on `threads` threads. `bytes_max` bounds the kept states and
 * logits beyond the two mandatory boundaries. Errors: FS_ENOMEM, FS_EIO. */
FS_MUST_CHECK fs_status wk_golden_new(wk_golden **out, const nn_model *model, const dataset *data,
                                      unsigned threads, uint64_t bytes_max);
void wk_golden_destroy(wk_golden **self);
/** @return bytes kept, mandatory ones included. */
uint64_t wk_golden_bytes(const wk_golden *self);

/** @return the last kept boundary that is not after l. */
uint32_t wk_golden_floor(const wk_golden *self, uint32_t l);
/** @return an input's rows at a kept boundary; one row at boundary `layers` of a classifier. */
const float *wk_golden_rows(const wk_golden *self, uint32_t boundary, uint32_t input);
/** @return rows that an input has at a boundary. */
uint32_t wk_golden_row_count(const wk_golden *self, uint32_t boundary, uint32_t input);
/** @return the row within a sequence of `length` that a classifier's head reads. */
uint32_t wk_golden_head_row(const wk_golden *self, uint32_t length);
/** Logits [rows, classes] of a language model's answers [first, first + rows) of an input, from the
 * cache or recomputed by `clean`; `scratch` holds rows * (width + classes) floats. Borrowed. */
FS_MUST_CHECK fs_status wk_golden_lm_logits(const wk_golden *self, nn_view *clean, uint32_t input,
                                            uint32_t first, uint32_t rows, float *scratch,
                                            const float **out);

#endif
