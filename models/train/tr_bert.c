#include "tr_plan.h"

/* Indices of tensors, in the geometry's order; a bias follows its weight. */
enum {
    WORD_TABLE,
    POSITION_TABLE,
    SEGMENT_TABLE,
    EMBEDDING_NORM,
    LAYERS_FIRST = EMBEDDING_NORM + 2,
    /* within a layer */
    QUERY = 0,
    KEY = 2,
    VALUE = 4,
    ATTENTION_OUT = 6,
    ATTENTION_NORM = 8,
    MLP_UP = 10,
    MLP_DOWN = 12,
    MLP_NORM = 14,
    PER_LAYER = 16,
    /* behind the layers */
    POOLER = 0,
    CLASSIFIER = 2
};

void tr__bert_plan(tr_plan *out, const tr_layout *layout)
{
    const fs_config *c = &layout->geometry->config;
    const int behind = LAYERS_FIRST + (int)c->layers * PER_LAYER;
    *out = (tr_plan){.config = c,
                     .token = WORD_TABLE,
                     .position = POSITION_TABLE,
                     .segment = SEGMENT_TABLE,
                     .embedding_norm = EMBEDDING_NORM,
                     .final_norm = TR_NONE,
                     .has_dense = 1};
    if (layout->head == TR_HEAD_MASKED) {
        const int masked = (int)layout->geometry->tensor_count;
        out->dense = tr__linear(masked + TR_MASKED_DENSE, c->d_model, c->d_model, 0);
        out->final_norm = masked + TR_MASKED_GAIN;
        out->logits = tr__linear(WORD_TABLE, c->d_model, c->vocab, 0);
        out->logits.bias[0] = masked + TR_MASKED_BIAS;
    } else {
        out->dense = tr__linear(behind + POOLER, c->d_model, c->d_model, 0);
        out->logits = tr__linear(behind + CLASSIFIER, c->d_model, c->labels, 0);
    }
}

tr_block tr__bert_block(const fs_config *c, uint32_t layer)
{
    const int base = LAYERS_FIRST + (int)layer * PER_LAYER;
    tr_block block = {.qkv = {.parts = 3, .in = c->d_model, .out = c->d_model},
                      .context = tr__linear(base + ATTENTION_OUT, c->d_model, c->d_model, 0),
                      .up = tr__linear(base + MLP_UP, c->d_model, c->d_ff, 0),
                      .down = tr__linear(base + MLP_DOWN, c->d_ff, c->d_model, 0),
                      .before = TR_NONE,
                      .middle = base + ATTENTION_NORM,
                      .after = base + MLP_NORM};
    static const int parts[TR_LINEAR_PARTS_MAX] = {QUERY, KEY, VALUE};
    for (unsigned i = 0; i < TR_LINEAR_PARTS_MAX; i++) {
        block.qkv.weight[i] = base + parts[i];
        block.qkv.bias[i] = base + parts[i] + 1;
    }
    return block;
}
