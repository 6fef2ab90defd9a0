/** How a model's parameters lie in memory; internal to the engine.
 *
 * All parameters live in one image, a memory file: the model maps it read-only, each view maps it
 * privately. Every tensor starts on a cache line. Matrices that the products read are packed in
 * column panels (nn_gemm.h), vectors and lookup tables lie as in the file. The token embedding of a
 * tied GPT-2 is one memory with two uses: packed for the head, gathered for the lookup. */
#ifndef NN_IMAGE_H
#define NN_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "activation.h"
#include "coding.h"
#include "nn_model.h"
#include "safetensors.h"

/** Where a tensor lies, and how: with k == 0 row-major as in the file, otherwise packed [k, n]. */
typedef struct nn_place {
    size_t first; /* index of its first float in the image */
    size_t k;
    int transposed;               /* packed from [n, k] (torch's Linear) and not from [k, n] */
    const fs_tensor_view *source; /* in the file */
} nn_place;

struct nn_model {
    fs_geometry *geometry;
    fs_safetensors *weights;   /* kept open for nn_model_clean */
    fs_tensor_view *sources;   /* [tensor_count] in place of it for values in memory */
    nn_place *places;          /* [tensor_count] */
    fs_protection *protection; /* that the weights were read through; NULL once it is taken */
    int image_fd;
    float *image; /* mapped shared; read-only after opening */
    size_t image_bytes;
    uint64_t altered;
    fs_codec_report noticed;
    int given; /* what the codecs know of the tensors is of another model */
    uint64_t checksum;
    fs_format_kind activations; /* that they are stored in */
    fs_restriction restriction; /* of activations */
};

struct nn_view {
    const nn_model *model;
    float *image;   /* mapped privately */
    float *scratch; /* NULL or scratch_size floats, 64-byte aligned */
    size_t scratch_size;
    const struct nn_probe *probe;   /* NULL: none */
    struct nn_ranges *learns;       /* bounds of activations, to be widened; NULL: none */
    const struct nn_ranges *ranges; /* to keep within; NULL: none */
    int clips;
    uint64_t outside; /* values that were not within */
};

/** @return the path of the file that holds a tensor, for messages, or what is in place of it. */
const char *nn__source_path(const nn_model *self, uint32_t tensor);
/** @return the index in the image of an element of a tensor. Asserts the range. */
size_t nn__image_index(const nn_model *self, uint32_t tensor, uint64_t element);
/** Copies `count` values of a tensor from element `first` on to their places in the image. */
void nn__place_values(nn_model *self, uint32_t tensor, uint64_t first, const float *values,
                      size_t count);
/** Reads every parameter through the model's protection into the image and counts what that alters;
 * what the protection learns of the tensors is learnt first. Errors: FS_EFORMAT for what int8
 * cannot hold, FS_ENOMEM. */
FS_MUST_CHECK fs_status nn__load_protected(nn_model *self);
/** Learns from a stage's rows, or restricts them, as the view is told (nn_ranges.h). */
void nn__restrict(nn_view *self, fs_stage stage, uint32_t layer, float *x, size_t stride,
                  size_t width, size_t rows);
/** @return the tensor's first float as the view sees it. */
const float *nn__weights(const nn_view *self, uint32_t tensor);
/** Makes the scratch at least `size` floats large, 64-byte aligned; its contents are undefined.
 * Valid until the next call. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status nn__scratch(nn_view *self, size_t size, float **out);
/** @return `size` floats rounded up to whole cache lines, to carve aligned parts from scratch. */
size_t nn__aligned(size_t size);

#endif
