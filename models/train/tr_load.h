/** Values of a network from a HuggingFace folder.
 *
 * What the folder's model has in common with the one to be trained is taken from it; a head that it
 * lacks begins anew. Thread rule: reentrant. */
#ifndef TR_LOAD_H
#define TR_LOAD_H

#include "tr_weights.h"

/** Reads `dir`/config.json of a model to start from: as fs_config_read, and also encoders and
 * pretraining models without a classifier (BertModel, BertForMaskedLM, BertForPreTraining,
 * GPT2Model), which are given the usual head of `task`.
 * @param labels classes of a new classifier; where the folder has a classifier already: 0 or as it
 *               has
 * Errors: as fs_config_read; FS_EUSAGE if the labels differ. */
FS_MUST_CHECK fs_status tr_load_config(fs_config *out, const char *dir, tr_head head,
                                       uint32_t labels);
/** Fills `weights`, whose head's tensors hold first values already and keep them where the folder
 * has none. Names with or without prefix, old gamma and beta; F32, F16 and BF16.
 * @param fresh number of tensors that the folder lacks, all of them a head's
 * Errors: as fs_safetensors_open; FS_EFORMAT naming a missing tensor of the encoder, a wrong shape
 * or dtype, a value that is NaN or infinite. */
FS_MUST_CHECK fs_status tr_load_weights(tr_weights *weights, const char *dir, size_t *fresh);

#endif
