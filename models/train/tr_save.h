/** A trained network as a HuggingFace folder: config.json, model.safetensors, the tokeniser's
 * files.
 *
 * transformers' from_pretrained and PyTorch's users can load it, and so can nn_model.h. Each file
 * appears whole or not at all, config.json last: a folder that has one is complete.
 * Thread rule: reentrant. Source: transformers' BertConfig, GPT2Config; safetensors' README. */
#ifndef TR_SAVE_H
#define TR_SAVE_H

#include <jansson.h>

#include "tr_layout.h"

typedef struct tr_save_options {
    const char *tokenizer; /* folder whose tokeniser's files are copied; may be the target */
    const json_t *base;    /* config.json of the model started from: its other keys stay; or NULL */
    double dropout, attention_dropout, range;
    int32_t end_token; /* GPT-2: id of <|endoftext|>; -1: the tokeniser has none */
} tr_save_options;

/** Writes `values` [layout->floats] as the model of folder `dir`, which is there. Values that no
 * head reads are left out. Errors: FS_EIO, FS_ENOSPC, FS_ENOENT (no tokeniser), FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_save(const tr_layout *layout, const float *values, const char *dir,
                                const tr_save_options *options);

/* Parts of it. */

/** @return a new config.json, NULL without memory. */
json_t *tr_save_config(const tr_layout *layout, const tr_save_options *options);
FS_MUST_CHECK fs_status tr_save_weights(const tr_layout *layout, const float *values,
                                        const char *path);
/** Copies vocab.txt or vocab.json and merges.txt, and what else describes a tokeniser; writes a
 * tokenizer_config.json where there is none. */
FS_MUST_CHECK fs_status tr_save_tokenizer(const char *dir, const char *from, uint32_t positions);

#endif
