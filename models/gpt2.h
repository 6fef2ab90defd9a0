/** GPT-2's forward pass in steps; see nn_model.h, whose functions call these.
 * Source: Radford et al. 2019; transformers' modeling_gpt2.py. */
#ifndef GPT2_H
#define GPT2_H

#include "nn_block.h"

/** Indices of tensors, in the geometry's order; every weight is followed by its bias. */
enum {
    GPT2_TOKEN_TABLE,
    GPT2_POSITION_TABLE,
    GPT2_LAYERS_FIRST,
    /* within a layer */
    GPT2_C_ATTN = 0,
    GPT2_ATTENTION_OUT = 2,
    GPT2_ATTENTION_NORM = 4,
    GPT2_MLP_UP = 6,
    GPT2_MLP_DOWN = 8,
    GPT2_MLP_NORM = 10,
    GPT2_PER_LAYER = 12,
    /* behind the layers */
    GPT2_FINAL_NORM = 0,
    GPT2_HEAD = 2
};

void gpt2_embed(const nn_view *self, const nn_batch *batch, float *state);
/** One block on one group's rows of the state. `which`: NN_ROWS_ALL, or NN_ROWS_LAST to compute
 * the last row of each sequence only. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status gpt2_layer(nn_view *self, uint32_t layer, const nn_group *group, float *x,
                                   nn_rows which);
/** Final norm and score of one group's last rows. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status gpt2_classify(nn_view *self, const nn_group *group, const float *x,
                                      float *logits);
/** These two do not store what they make. */
void gpt2_final_norm(const nn_view *self, float *out, const float *x, size_t rows);
void gpt2_lm_logits(const nn_view *self, const float *normed, size_t rows, float *logits);

#endif
