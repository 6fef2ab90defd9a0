/** BERT's forward pass in steps; see nn_model.h, whose functions call these.
 * Source: Devlin et al. 2019; transformers' modeling_bert.py. */
#ifndef BERT_H
#define BERT_H

#include "nn_block.h"

/** Indices of tensors, in the geometry's order; every weight is followed by its bias. */
enum {
    BERT_WORD_TABLE,
    BERT_POSITION_TABLE,
    BERT_SEGMENT_TABLE,
    BERT_EMBEDDING_NORM,
    BERT_LAYERS_FIRST = BERT_EMBEDDING_NORM + 2,
    /* within a layer */
    BERT_QUERY = 0,
    BERT_KEY = 2,
    BERT_VALUE = 4,
    BERT_ATTENTION_OUT = 6,
    BERT_ATTENTION_NORM = 8,
    BERT_MLP_UP = 10,
    BERT_MLP_DOWN = 12,
    BERT_MLP_NORM = 14,
    BERT_PER_LAYER = 16,
    /* behind the layers */
    BERT_POOLER = 0,
    BERT_CLASSIFIER = 2
};

void bert_embed(const nn_view *self, const nn_batch *batch, float *state);
/** One block on one group's rows of the state. `which`: NN_ROWS_ALL, or NN_ROWS_FIRST to compute
 * the first row of each sequence only. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status bert_layer(nn_view *self, uint32_t layer, const nn_group *group, float *x,
                                   nn_rows which);
/** Pooler and classifier of one group. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status bert_classify(nn_view *self, const nn_group *group, const float *x,
                                      float *logits);

#endif
