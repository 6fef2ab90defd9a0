/** Small random models in HuggingFace's layout, for tests: weights in memory and folders on disk.
 *
 * Everything is a function of the specification and its seed, on every machine. The weights are
 * scaled so that a forward pass keeps numbers of order one and answers vary. Thread rule: one
 * thread at a time. */
#ifndef TINY_MODEL_H
#define TINY_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "status.h"

typedef enum tiny_dtype { TINY_F32, TINY_F16, TINY_BF16 } tiny_dtype;

/** What to make. tiny_spec_default() fills in a model that every program accepts. */
typedef struct tiny_spec {
    fs_model_kind kind;
    fs_task_kind task;
    uint32_t layers, width, heads, vocab, positions, labels;
    uint32_t inner;         /* width of the MLP; 0: 4 * width (GPT-2 then says n_inner: null) */
    const char *activation; /* as in config.json; NULL: the model's own */
    tiny_dtype dtype;
    int untied;      /* GPT-2 language models: an lm_head of its own */
    int no_prefix;   /* names without "bert." and "transformer." */
    int old_names;   /* BERT: LayerNorm.gamma and beta */
    int buffers;     /* adds what real files hold beside the weights: position_ids, attn.bias */
    unsigned shards; /* files; 0 and 1: model.safetensors alone, 2 and more: with an index */
    uint64_t seed;
} tiny_spec;

/** One parameter, row-major, rounded to the specification's dtype. */
typedef struct tiny_tensor {
    char name[96]; /* without prefix, in the new style */
    int rank;
    uint32_t rows, cols;
    float *values;
} tiny_tensor;

typedef struct tiny_model {
    tiny_spec spec;
    tiny_tensor *tensors;
    size_t count;
} tiny_model;

/** BERT: 2 layers, 32 wide, 4 heads, 512 pieces, 64 positions, 2 labels; GPT-2 alike, causal. */
tiny_spec tiny_spec_default(fs_model_kind kind, fs_task_kind task);

/** Draws the weights. Errors: FS_EUSAGE for a width that the heads do not divide, FS_ENOMEM. */
FS_MUST_CHECK fs_status tiny_model_new(tiny_model **out, const tiny_spec *spec);
/** Frees; nulls; idempotent. */
void tiny_model_destroy(tiny_model **self);
/** @return the tensor of that name, aborting if there is none. */
tiny_tensor *tiny_model_tensor(const tiny_model *self, const char *name);
/** Writes config.json, the weights, vocab.txt or vocab.json + merges.txt, tokenizer_config.json
 * into `dir`, which is made if need be. Errors: FS_EIO, FS_ENOMEM. */
FS_MUST_CHECK fs_status tiny_model_write(const tiny_model *self, const char *dir);
/** Writes data that the model's vocabulary can spell: `examples` rows of TSV with labels, or lines
 * of text for a language model. Errors: FS_EIO, FS_ENOMEM. */
FS_MUST_CHECK fs_status tiny_model_write_data(const tiny_model *self, const char *path,
                                              uint32_t examples);

/* Parts of the above, for tests of their own. */

/** Writes the tokenizer's files alone. */
FS_MUST_CHECK fs_status tiny_vocab_write(const tiny_spec *spec, const char *dir);
/** Writes a whole file, without the care for power cuts that tests need not wait for. */
FS_MUST_CHECK fs_status tiny_file_write(const char *path, const void *data, size_t size);
/** @return the nearest value of the dtype, ties to even. */
float tiny_round(float value, tiny_dtype dtype);
/** @return the next number of a stream, uniform over 64 bits. Source: SplitMix64. */
uint64_t tiny_random(uint64_t *state);

#endif
