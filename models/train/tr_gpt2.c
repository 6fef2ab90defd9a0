#include "gpt2.h"
#include "tr_plan.h"

void tr__gpt2_plan(tr_plan *out, const tr_layout *layout)
{
    const fs_config *c = &layout->geometry->config;
    const int behind = GPT2_LAYERS_FIRST + (int)c->layers * GPT2_PER_LAYER;
    const int lm = layout->head == TR_HEAD_CAUSAL;
    *out = (tr_plan){.config = c,
                     .pre_norm = 1,
                     .token = GPT2_TOKEN_TABLE,
                     .position = GPT2_POSITION_TABLE,
                     .segment = TR_NONE,
                     .embedding_norm = TR_NONE,
                     .final_norm = behind + GPT2_FINAL_NORM};
    out->logits = tr__linear(lm && c->tied ? GPT2_TOKEN_TABLE : behind + GPT2_HEAD, c->d_model,
                             lm ? c->vocab : c->labels, 0);
    out->logits.bias[0] = TR_NONE;
}

tr_block tr__gpt2_block(const fs_config *c, uint32_t layer)
{
    const int base = GPT2_LAYERS_FIRST + (int)layer * GPT2_PER_LAYER;
    const size_t d = c->d_model;
    return (tr_block){.qkv = tr__linear(base + GPT2_C_ATTN, d, 3 * d, 1),
                      .context = tr__linear(base + GPT2_ATTENTION_OUT, d, d, 1),
                      .up = tr__linear(base + GPT2_MLP_UP, d, c->d_ff, 1),
                      .down = tr__linear(base + GPT2_MLP_DOWN, c->d_ff, d, 1),
                      .before = base + GPT2_ATTENTION_NORM,
                      .middle = base + GPT2_MLP_NORM,
                      .after = TR_NONE};
}
