#include "tr_plan.h"

tr_linear tr__linear(int weight, size_t in, size_t out, int conv)
{
    return (tr_linear){
        .weight = {weight}, .bias = {weight + 1}, .parts = 1, .in = in, .out = out, .conv = conv};
}

void tr__plan(tr_plan *out, const tr_layout *layout)
{
    if (layout->geometry->config.kind == FS_MODEL_BERT)
        tr__bert_plan(out, layout);
    else
        tr__gpt2_plan(out, layout);
}

tr_block tr__block(const tr_plan *self, uint32_t layer)
{
    return self->config->kind == FS_MODEL_BERT ? tr__bert_block(self->config, layer)
                                               : tr__gpt2_block(self->config, layer);
}
