/** A model's shape: what a HuggingFace config.json says, checked and in one vocabulary.
 *
 * BERT (`BertForSequenceClassification`) and GPT-2 (`GPT2LMHeadModel`,
 * `GPT2ForSequenceClassification`). Plain data, no weights needed.
 * Source: transformers' BertConfig and GPT2Config. */
#ifndef FS_CONFIG_H
#define FS_CONFIG_H

#include <stdint.h>

#include "hash.h"
#include "limits.h"
#include "status.h"

typedef enum fs_model_kind { FS_MODEL_BERT, FS_MODEL_GPT2 } fs_model_kind;
typedef enum fs_activation {
    FS_ACT_GELU_ERF,  /* "gelu" */
    FS_ACT_GELU_TANH, /* "gelu_new", "gelu_pytorch_tanh" */
    FS_ACT_RELU       /* "relu" */
} fs_activation;
typedef enum fs_task_kind { FS_TASK_CLASSIFICATION, FS_TASK_LM } fs_task_kind;

typedef struct fs_config {
    fs_model_kind kind;
    fs_task_kind task; /* what its head answers */
    fs_activation activation;
    uint32_t vocab;     /* rows of the token embedding, >= 1 */
    uint32_t positions; /* rows of the position embedding, >= 1 */
    uint32_t segments;  /* rows of the segment embedding; 0 for GPT-2 */
    uint32_t d_model;   /* a multiple of heads */
    uint32_t layers;    /* >= 1 */
    uint32_t heads;     /* >= 1 */
    uint32_t d_ff;      /* width of the MLP */
    uint32_t labels;    /* classes; 0 with an LM head */
    int tied;           /* nonzero: the LM head is the token embedding */
    double norm_eps;
} fs_config;

/** Reads `dir`/config.json.
 * Errors: FS_ENOENT; FS_EFORMAT naming file and key for bad JSON, a missing or mistyped key, sizes
 * that contradict each other; FS_ELIMIT beyond limits.h; FS_EUNSUPPORTED for another model_type,
 * architecture or activation. */
FS_MUST_CHECK fs_status fs_config_read(fs_config *out, const char *dir);

/** The same for a model to be trained further. Also takes models without a head of their own or
 * with one that only pretraining uses (BertModel, BertForMaskedLM, BertForPreTraining, GPT2Model):
 * they get their kind's usual head.
 * @param classifies written: nonzero if the folder has a classifier, with out->labels classes */
FS_MUST_CHECK fs_status fs_config_read_base(fs_config *out, const char *dir, int *classifies);

/** @return config.json's word for an activation, as in "gelu_new". */
const char *fs_activation_name(fs_activation activation);

/** The content hash of a model folder: over name, size and BLAKE2b-256 of each file that decides a
 * result (config.json, the weights, the tokenizer's files and tokenizer_config.json), in fixed
 * order; absent optional files count as absent. Errors: FS_ENOENT if config.json or the weights
 * lack, FS_EIO. */
FS_MUST_CHECK fs_status fs_model_hash(fs_hash *out, const char *dir);

#endif
