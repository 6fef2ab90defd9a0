/** A slow forward pass in double precision, one sequence at a time, straight from the papers: the
 * oracle of the engine, with which it shares no code. */
#ifndef ORACLE_H
#define ORACLE_H

#include <stdint.h>

#include "activation.h"
#include "tiny_model.h"

/** Logits of one sequence: [labels], or [n, vocab] of a language model. Aborts without memory. */
void oracle_logits(const tiny_model *model, const int32_t *ids, uint32_t n, double *logits);

/** One activation that is replaced as soon as it is made. */
typedef struct oracle_hit {
    fs_stage stage;
    uint32_t layer; /* 0 for stages of no layer */
    uint32_t head;  /* of scores and probabilities */
    uint32_t row;   /* 0 in a classifier's logits */
    uint32_t column;
    double value;
} oracle_hit;

/** oracle_logits with one activation replaced. */
void oracle_logits_hit(const tiny_model *model, const int32_t *ids, uint32_t n,
                       const oracle_hit *hit, double *logits);

/** BERT's masked head, torch's layout. */
typedef struct oracle_masked {
    const float *dense, *dense_bias; /* [d, d], [d] */
    const float *gain, *gain_bias;   /* [d] */
    const float *bias;               /* [vocab] */
} oracle_masked;

/** Logits [n, vocab] of a BERT encoder with that head, tied to the word embeddings. */
void oracle_masked_logits(const tiny_model *model, const oracle_masked *head, const int32_t *ids,
                          uint32_t n, double *logits);

#endif
