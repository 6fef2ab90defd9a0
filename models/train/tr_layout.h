/** Which tensors a training run has and where they lie in its flat arrays.
 *
 * Parameters, gradients and both moments are arrays of one layout: the geometry's tensors first, in
 * its order and with its indices (so that a fault space addresses them too), then the tensors of
 * the masked-language-model head, which exist while pretraining only. Each tensor starts on a cache
 * line; the floats between are zero and stay zero. Thread rule: const after creation. */
#ifndef TR_LAYOUT_H
#define TR_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "geometry.h"
#include "status.h"

/** What a network answers while it learns. */
typedef enum tr_head {
    TR_HEAD_CLASSIFY, /* BERT: pooler and classifier; GPT-2: score of the last row */
    TR_HEAD_CAUSAL,   /* GPT-2: the next token, by the tied or own lm_head */
    TR_HEAD_MASKED    /* BERT: the hidden token, by transform, LayerNorm and the tied decoder */
} tr_head;

typedef struct tr_tensor {
    char name[112]; /* HuggingFace's with its prefix, as it is saved */
    int rank;
    uint32_t rows, cols;
    size_t first; /* index of its first float in the flat arrays, a multiple of 16 */
    int decays;   /* nonzero: weight decay applies (no bias, no LayerNorm) */
    int used;     /* 0: this head does not read it (a pooler under TR_HEAD_MASKED); not saved */
} tr_tensor;

/* The masked head's tensors, after the geometry's. */
typedef enum tr_masked_tensor {
    TR_MASKED_DENSE,      /* cls.predictions.transform.dense.weight [d, d], torch's Linear */
    TR_MASKED_DENSE_BIAS, /* [d] */
    TR_MASKED_GAIN,       /* cls.predictions.transform.LayerNorm.weight [d] */
    TR_MASKED_GAIN_BIAS,  /* [d] */
    TR_MASKED_BIAS,       /* cls.predictions.bias [vocab]; the decoder is the token embedding */
    TR_MASKED_COUNT
} tr_masked_tensor;

typedef struct tr_layout {
    fs_geometry *geometry;
    tr_head head;
    tr_tensor *tensors; /* [count]: geometry->tensor_count, then TR_MASKED_COUNT if masked */
    size_t count;
    size_t floats;       /* length of a flat array, a multiple of 16 */
    uint64_t parameters; /* values of used tensors */
} tr_layout;

/** Lays out a checked configuration. With TR_HEAD_MASKED the configuration is a BERT classifier's,
 * whose pooler and classifier stay unused. Errors: FS_EUNSUPPORTED if model and head do not belong
 * together, FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_layout_new(tr_layout **out, const fs_config *config, tr_head head);
/** Frees; nulls; idempotent. */
void tr_layout_destroy(tr_layout **self);
/** @return index of the tensor with that name (with or without prefix), -1 if there is none. */
int tr_layout_find(const tr_layout *self, const char *name);

#endif
