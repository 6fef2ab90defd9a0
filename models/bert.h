/** BERT's forward pass in steps; see nn_model.h, whose functions call these.
 * Source: Devlin et al. 2019; transformers' modeling_bert.py. */
#ifndef BERT_H
#define BERT_H

#include "nn_block.h"

void bert_embed(const nn_view *self, const nn_batch *batch, float *state);
/** One block on one group's rows of the state. `which`: NN_ROWS_ALL, or NN_ROWS_FIRST to compute
 * the first row of each sequence only. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status bert_layer(nn_view *self, uint32_t layer, const nn_group *group, float *x,
                                   nn_rows which);
/** Pooler and classifier of one group. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status bert_classify(nn_view *self, const nn_group *group, const float *x,
                                      float *logits);

#endif
