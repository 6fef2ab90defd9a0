#include "bert.h"
#include "tr_plan.h"

void tr__bert_plan(tr_plan *out, const tr_layout *layout)
{
    const fs_config *c = &layout->geometry->config;
    const int behind = BERT_LAYERS_FIRST + (int)c->layers * BERT_PER_LAYER;
    *out = (tr_plan){.config = c,
                     .token = BERT_WORD_TABLE,
                     .position = BERT_POSITION_TABLE,
                     .segment = BERT_SEGMENT_TABLE,
                     .embedding_norm = BERT_EMBEDDING_NORM,
                     .final_norm = TR_NONE,
                     .has_dense = 1};
    if (layout->head == TR_HEAD_MASKED) {
        const int masked = (int)layout->geometry->tensor_count;
        out->dense = tr__linear(masked + TR_MASKED_DENSE, c->d_model, c->d_model, 0);
        out->final_norm = masked + TR_MASKED_GAIN;
        out->logits = tr__linear(BERT_WORD_TABLE, c->d_model, c->vocab, 0);
        out->logits.bias[0] = masked + TR_MASKED_BIAS;
    } else {
        out->dense = tr__linear(behind + BERT_POOLER, c->d_model, c->d_model, 0);
        out->logits = tr__linear(behind + BERT_CLASSIFIER, c->d_model, c->labels, 0);
    }
}

tr_block tr__bert_block(const fs_config *c, uint32_t layer)
{
    const int base = BERT_LAYERS_FIRST + (int)layer * BERT_PER_LAYER;
    tr_block block = {.qkv = {.parts = 3, .in = c->d_model, .out = c->d_model},
                      .context = tr__linear(base + BERT_ATTENTION_OUT, c->d_model, c->d_model, 0),
                      .up = tr__linear(base + BERT_MLP_UP, c->d_model, c->d_ff, 0),
                      .down = tr__linear(base + BERT_MLP_DOWN, c->d_ff, c->d_model, 0),
                      .before = TR_NONE,
                      .middle = base + BERT_ATTENTION_NORM,
                      .after = base + BERT_MLP_NORM};
    static const int parts[TR_LINEAR_PARTS_MAX] = {BERT_QUERY, BERT_KEY, BERT_VALUE};
    for (unsigned i = 0; i < TR_LINEAR_PARTS_MAX; i++) {
        block.qkv.weight[i] = base + parts[i];
        block.qkv.bias[i] = base + parts[i] + 1;
    }
    return block;
}
