/** Which tensors of a layout do what; internal to the network.
 *
 * BERT and GPT-2 are one network with a norm in another place. With `pre_norm` (GPT-2) a block is
 *     sum = x + attention(norm(x)),  out = sum + mlp(norm(sum))
 * and without (BERT)
 *     sum = norm(x + attention(x)),  out = norm(sum + mlp(sum)). */
#ifndef TR_PLAN_H
#define TR_PLAN_H

#include "tr_layout.h"

enum { TR_NONE = -1, TR_LINEAR_PARTS_MAX = 3 };

/** y = x W + b. BERT's query, key and value are three parts side by side in y. */
typedef struct tr_linear {
    int weight[TR_LINEAR_PARTS_MAX]; /* tensors */
    int bias[TR_LINEAR_PARTS_MAX];   /* or TR_NONE */
    unsigned parts;
    size_t in, out; /* widths of x and of one part of y */
    int conv;       /* the weight lies [in, out] and not [out, in] */
} tr_linear;

/** A LayerNorm's gain; its bias is the next tensor. */
typedef int tr_norm;

typedef struct tr_block {
    tr_linear qkv, context, up, down;
    tr_norm before; /* the attention; pre_norm only, else TR_NONE */
    tr_norm middle; /* between attention and MLP */
    tr_norm after;  /* the MLP; TR_NONE with pre_norm */
} tr_block;

typedef struct tr_plan {
    const fs_config *config;
    int pre_norm;
    int token, position, segment; /* tables; segment is TR_NONE in GPT-2 */
    tr_norm embedding_norm;       /* or TR_NONE */
    tr_norm final_norm;           /* of answering rows; GPT-2's, or the masked head's; or TR_NONE */
    int has_dense;                /* BERT's pooler, the masked head's transform */
    tr_linear dense;
    tr_linear logits;
} tr_plan;

void tr__bert_plan(tr_plan *out, const tr_layout *layout);
void tr__gpt2_plan(tr_plan *out, const tr_layout *layout);
void tr__plan(tr_plan *out, const tr_layout *layout);
tr_block tr__bert_block(const fs_config *config, uint32_t layer);
tr_block tr__gpt2_block(const fs_config *config, uint32_t layer);
tr_block tr__block(const tr_plan *self, uint32_t layer);
/** One whole linear layer whose bias follows its weight. */
tr_linear tr__linear(int weight, size_t in, size_t out, int conv);

#endif
