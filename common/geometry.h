/** A model's parameters as the fault space sees them: tensors, components, layers.
 *
 * Built from an fs_config alone, so that the coordinator and `plan` need no weights. The order of
 * tensors and slices is part of the fault space and never changes: it decides which value the n-th
 * draw hits. Source: `faults.md`, "Sites"; names are HuggingFace's without the optional prefix
 * ("bert.", "transformer."). Thread rule: const after creation. */
#ifndef FS_GEOMETRY_H
#define FS_GEOMETRY_H

#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "status.h"

/* X(name, text, group, text for people). One component is one word of a campaign's `site`. */
#define FS_COMPONENT_MAP(X)                                                                        \
    X(EMBEDDING_TOKEN, "embedding.token", EMBEDDING)                                               \
    X(EMBEDDING_POSITION, "embedding.position", EMBEDDING)                                         \
    X(EMBEDDING_SEGMENT, "embedding.segment", EMBEDDING)                                           \
    X(EMBEDDING_NORM, "embedding.norm", LAYERNORM)                                                 \
    X(ATTENTION_QUERY, "attention.query", ATTENTION)                                               \
    X(ATTENTION_KEY, "attention.key", ATTENTION)                                                   \
    X(ATTENTION_VALUE, "attention.value", ATTENTION)                                               \
    X(ATTENTION_OUTPUT, "attention.output", ATTENTION)                                             \
    X(ATTENTION_NORM, "attention.norm", LAYERNORM)                                                 \
    X(MLP_UP, "mlp.up", MLP)                                                                       \
    X(MLP_DOWN, "mlp.down", MLP)                                                                   \
    X(MLP_NORM, "mlp.norm", LAYERNORM)                                                             \
    X(FINAL_NORM, "final.norm", LAYERNORM)                                                         \
    X(HEAD_POOLER, "head.pooler", HEAD)                                                            \
    X(HEAD_CLASSIFIER, "head.classifier", HEAD)                                                    \
    X(HEAD_LM, "head.lm", HEAD)

/* X(name, text): the groups partition the components. */
#define FS_GROUP_MAP(X)                                                                            \
    X(EMBEDDING, "embedding")                                                                      \
    X(ATTENTION, "attention")                                                                      \
    X(MLP, "mlp")                                                                                  \
    X(LAYERNORM, "layernorm")                                                                      \
    X(HEAD, "head")

typedef enum fs_component {
#define X(name, text, group) FS_##name,
    FS_COMPONENT_MAP(X)
#undef X
        FS_COMPONENT_COUNT
} fs_component;

typedef enum fs_group {
#define X(name, text) FS_GROUP_##name,
    FS_GROUP_MAP(X)
#undef X
        FS_GROUP_COUNT
} fs_group;

typedef uint32_t fs_component_set; /* bit i: component i */

/** A parameter tensor, row-major fp32 as stored. A vector has rows == 1 and rank 1. */
typedef struct fs_tensor {
    char name[96]; /* HuggingFace's, without prefix: "encoder.layer.0.output.dense.weight" */
    int rank;      /* 1 or 2 */
    uint32_t rows;
    uint32_t cols;
} fs_tensor;

/** A run of whole columns of one tensor that belongs to one component of one layer. A tensor is one
 * slice, but GPT-2's fused c_attn, which is three. */
typedef struct fs_slice {
    fs_component component;
    int layer;       /* -1: belongs to no layer */
    uint32_t tensor; /* index into tensors */
    uint32_t col_first;
    uint32_t cols;
    uint64_t values; /* rows of the tensor x cols */
} fs_slice;

typedef struct fs_geometry {
    fs_config config;
    fs_tensor *tensors;
    size_t tensor_count;
    fs_slice *slices; /* in site order: embeddings, layers ascending, final norm, heads */
    size_t slice_count;
    uint64_t values; /* all parameters; a tied head counts once */
} fs_geometry;

/** Builds the geometry of a checked configuration. Errors: FS_ELIMIT, FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_geometry_new(fs_geometry **out, const fs_config *config);
/** Frees; nulls; idempotent. */
void fs_geometry_destroy(fs_geometry **self);

const char *fs_component_name(fs_component component);
const char *fs_group_name(fs_group group);
fs_group fs_component_group(fs_component component);
/** Finds a component, a group or "all" by its word. @return 0 if there is none. */
fs_component_set fs_component_parse(const char *word);
/** Finds a tensor by HuggingFace's name, with or without the model's prefix; a tied head is the
 * embedding that it is tied to. Errors: FS_EFORMAT, with the nearest name. */
FS_MUST_CHECK fs_status fs_geometry_find(const fs_geometry *self, const char *name, uint32_t *out);
/** @return the slice that holds a value of a tensor. */
uint32_t fs_geometry_slice(const fs_geometry *self, uint32_t tensor, uint64_t element);
/** @return the components that this model has. */
fs_component_set fs_geometry_components(const fs_geometry *self);

#endif
