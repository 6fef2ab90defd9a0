/** A model in memory and its copy-on-write views.
 *
 * An nn_model holds the golden weights once, in the layout that the kernels read (matrices packed
 * in column panels). Each compute thread owns an nn_view: a private copy-on-write map of the same
 * memory, so that a fault costs one page and threads never see each other's. A view's weights
 * equal the model's but where nn_view_set() wrote.
 *
 * The weights are what arithmetic reads: stored words decoded by a variant's protections and guard
 * (see protect.h). Activations are stored in the variant's format if it has 16 bits (nn_storage.h).
 * Thread rule: a model is const after opening; a view belongs to one thread. */
#ifndef NN_MODEL_H
#define NN_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "coding.h"
#include "geometry.h"
#include "status.h"

typedef struct nn_model nn_model;
typedef struct nn_view nn_view;

/** Loads a HuggingFace folder and reads every parameter through `protect` (NULL: plain).
 * Codewords lie within the rows of a tensor (codec.h). The weights are then what the format of
 * `protect` can hold; int8 learns its scales first. F32, F16 and BF16 tensors; prefixes "bert."
 * and "transformer." optional; old LayerNorm.gamma and beta; buffers that are no parameters are
 * ignored. Errors: as fs_config_read and fs_safetensors_open; FS_EFORMAT naming a missing tensor or
 * a wrong shape or dtype, with what was expected, or for int8 a tensor with a value that is not
 * finite; FS_ENOMEM. */
FS_MUST_CHECK fs_status nn_model_open(nn_model **out, const char *dir, const fs_protect *protect);
/** The same of values in memory, as they come out of training. `values` [tensor_count of the
 * configuration's geometry] are borrowed while the model lives.
 * @param bounds  of a model of the same shape read through `protect`: what its codecs have learnt,
 *                kept to here, so that values may be outside of it; NULL: learnt of `values`
 * Errors: FS_EFORMAT for values that the format of `protect` has no words for; FS_ENOMEM. */
FS_MUST_CHECK fs_status nn_model_of_values(nn_model **out, const fs_config *config,
                                           const float *const *values, const fs_protect *protect,
                                           const fs_protection *bounds);
/** Frees; every view must be gone. Nulls; idempotent. */
void nn_model_close(nn_model **self);
const fs_geometry *nn_model_geometry(const nn_model *self);
/** @return the clean stored-side word before encoding: the file's value as fp32 bits. Cost O(1). */
uint32_t nn_model_clean(const nn_model *self, uint32_t tensor, uint64_t element);
/** @return how many values storing and reading through `protect` changed (rounded, clipped, masked,
 * guarded). */
uint64_t nn_model_altered(const nn_model *self);
/** @return what decoding the clean words noticed: nothing, but for values outside of given bounds.
 */
fs_codec_report nn_model_noticed(const nn_model *self);
/** @return the protections that the weights were read through, with what they have learnt. */
const fs_protection *nn_model_protection(const nn_model *self);
/** Hands that over to the caller, who frees it; the model lives on without. */
void nn_model_take_protection(nn_model *self, fs_protection **out);
/** @return the format that activations are stored in, see nn_storage.h. */
fs_format_kind nn_model_activations(const nn_model *self);
/** @return what is done with activations outside of their bounds, see nn_ranges.h; who runs the
 * model learns the bounds and sets them. */
fs_restriction nn_model_restriction(const nn_model *self);
/** @return XXH3-64 over the packed weights. */
uint64_t nn_model_checksum(const nn_model *self);

FS_MUST_CHECK fs_status nn_view_new(nn_view **out, const nn_model *model);
void nn_view_destroy(nn_view **self);
const nn_model *nn_view_model(const nn_view *self);
/** Reads and writes one parameter as arithmetic sees it (bits of fp32). O(1). */
uint32_t nn_view_get(const nn_view *self, uint32_t tensor, uint64_t element);
void nn_view_set(nn_view *self, uint32_t tensor, uint64_t element, uint32_t bits);
/** @return pages of memory that the weights take: as many may become private. */
size_t nn_view_pages(const nn_view *self);
/** Drops every private page: the view is the model again, and its memory is shared again. */
FS_MUST_CHECK fs_status nn_view_reset(nn_view *self);
/** @return XXH3-64 over the view's weights; equal to the model's after an undone trial. */
uint64_t nn_view_checksum(const nn_view *self);

/** A packed batch of token sequences: no padding. Borrowed by the functions below. */
typedef struct nn_batch {
    const int32_t *ids;  /* [off[n_seq]] token ids, each < vocab (asserted) */
    const uint32_t *off; /* [n_seq + 1] offsets, off[0] == 0; each length 1..positions */
    uint32_t n_seq;
} nn_batch;

/* The forward pass in steps, so that a trial can start at any layer and stop after any. All state
 * is [off[n_seq], d_model], row-major. A row's bits depend on its own sequence only, never on the
 * company it is computed in, nor on the instruction set. NaN and Inf propagate. Each needs the
 * view's own scratch memory and may fail with FS_ENOMEM only. */

/** Token, position and segment embeddings (and BERT's embedding norm) into `state`. */
FS_MUST_CHECK fs_status nn_embed(nn_view *self, const nn_batch *batch, float *state);
/** One transformer block, in place. */
FS_MUST_CHECK fs_status nn_layer(nn_view *self, uint32_t layer, const nn_batch *batch,
                                 float *state);
/** The last block of a classifier: only what its head reads is defined afterwards (BERT: row 0 of
 * each sequence; GPT-2: the last row), bit-equal to nn_layer's. */
FS_MUST_CHECK fs_status nn_layer_last(nn_view *self, const nn_batch *batch, float *state);
/** Pooler and classifier (BERT), or final norm and score (GPT-2): logits [n_seq, labels]. */
FS_MUST_CHECK fs_status nn_classify(nn_view *self, const nn_batch *batch, const float *state,
                                    float *logits);
/** The final norm of a language model, out of place: [off[n_seq], d_model]. */
FS_MUST_CHECK fs_status nn_final_norm(nn_view *self, const nn_batch *batch, const float *state,
                                      float *normed);
/** Logits [rows, vocab] of rows of the normed state. */
FS_MUST_CHECK fs_status nn_lm_logits(nn_view *self, const float *normed, uint32_t rows,
                                     float *logits);

#endif
