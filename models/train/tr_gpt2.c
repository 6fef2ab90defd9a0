#include "tr_plan.h"

/* Indices of tensors, in the geometry's order; a bias follows its weight. */
enum {
    TOKEN_TABLE,
    POSITION_TABLE,
    LAYERS_FIRST,
    /* within a layer */
    C_ATTN = 0,
    ATTENTION_OUT = 2,
    ATTENTION_NORM = 4,
    MLP_UP = 6,
    MLP_DOWN = 8,
    MLP_NORM = 10,
    PER_LAYER = 12,
    /* behind the layers */
    FINAL_NORM = 0,
    HEAD = 2
};

void tr__gpt2_plan(tr_plan *out, const tr_layout *layout)
{
    const fs_config *c = &layout->geometry->config;
    const int behind = LAYERS_FIRST + (int)c->layers * PER_LAYER;
    const int lm = layout->head == TR_HEAD_CAUSAL;
    *out = (tr_plan){.config = c,
                     .pre_norm = 1,
                     .token = TOKEN_TABLE,
                     .position = POSITION_TABLE,
                     .segment = TR_NONE,
                     .embedding_norm = TR_NONE,
                     .final_norm = behind + FINAL_NORM};
    out->logits = tr__linear(lm && c->tied ? TOKEN_TABLE : behind + HEAD, c->d_model,
                             lm ? c->vocab : c->labels, 0);
    out->logits.bias[0] = TR_NONE;
}

tr_block tr__gpt2_block(const fs_config *c, uint32_t layer)
{
    const int base = LAYERS_FIRST + (int)layer * PER_LAYER;
    const size_t d = c->d_model;
    return (tr_block){.qkv = tr__linear(base + C_ATTN, d, 3 * d, 1),
                      .context = tr__linear(base + ATTENTION_OUT, d, d, 1),
                      .up = tr__linear(base + MLP_UP, d, c->d_ff, 1),
                      .down = tr__linear(base + MLP_DOWN, c->d_ff, d, 1),
                      .before = base + ATTENTION_NORM,
                      .middle = base + MLP_NORM,
                      .after = TR_NONE};
}
