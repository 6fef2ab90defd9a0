#include "geometry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "options.h"

/* The order in which add_* are called below is the fault space's: never change it. */

enum { TENSORS_OUTSIDE_LAYERS_MAX = 12, TENSORS_PER_LAYER = 16, NO_LAYER = -1 };

_Static_assert(TENSORS_OUTSIDE_LAYERS_MAX + TENSORS_PER_LAYER * FS_LAYERS_MAX <= FS_TENSORS_MAX,
               "every legal model has a legal number of tensors");

static uint32_t add_tensor(fs_geometry *self, int rank, uint32_t rows, uint32_t cols,
                           const char *name, const char *suffix)
{
    fs_tensor *tensor = &self->tensors[self->tensor_count];
    int n = snprintf(tensor->name, sizeof tensor->name, "%s.%s", name, suffix);
    FS_ASSERT(n > 0 && (size_t)n < sizeof tensor->name);
    tensor->rank = rank;
    tensor->rows = rows;
    tensor->cols = cols;
    self->values += (uint64_t)rows * cols;
    return (uint32_t)self->tensor_count++;
}

static void add_slice(fs_geometry *self, fs_component component, int layer, uint32_t tensor,
                      uint32_t col_first, uint32_t cols)
{
    self->slices[self->slice_count++] =
        (fs_slice){.component = component,
                   .layer = layer,
                   .tensor = tensor,
                   .col_first = col_first,
                   .cols = cols,
                   .values = (uint64_t)self->tensors[tensor].rows * cols};
}

static void add_matrix(fs_geometry *self, fs_component component, int layer, uint32_t rows,
                       uint32_t cols, const char *name)
{
    add_slice(self, component, layer, add_tensor(self, 2, rows, cols, name, "weight"), 0, cols);
}

static void add_bias(fs_geometry *self, fs_component component, int layer, uint32_t cols,
                     const char *name)
{
    add_slice(self, component, layer, add_tensor(self, 1, 1, cols, name, "bias"), 0, cols);
}

/* torch's Linear is [out, in]. */
static void add_linear(fs_geometry *self, fs_component component, int layer, uint32_t in,
                       uint32_t out, const char *name)
{
    add_matrix(self, component, layer, out, in, name);
    add_bias(self, component, layer, out, name);
}

/* GPT-2's Conv1D is [in, out]. */
static void add_conv1d(fs_geometry *self, fs_component component, int layer, uint32_t in,
                       uint32_t out, const char *name)
{
    add_matrix(self, component, layer, in, out, name);
    add_bias(self, component, layer, out, name);
}

static void add_norm(fs_geometry *self, fs_component component, int layer, const char *name)
{
    const uint32_t d = self->config.d_model;
    add_slice(self, component, layer, add_tensor(self, 1, 1, d, name, "weight"), 0, d);
    add_bias(self, component, layer, d, name);
}

static void add_bert_layer(fs_geometry *self, int layer)
{
    const fs_config *c = &self->config;
    const uint32_t d = c->d_model;
    char name[80];
#define NAME(suffix) (snprintf(name, sizeof name, "encoder.layer.%d." suffix, layer), name)
    add_linear(self, FS_ATTENTION_QUERY, layer, d, d, NAME("attention.self.query"));
    add_linear(self, FS_ATTENTION_KEY, layer, d, d, NAME("attention.self.key"));
    add_linear(self, FS_ATTENTION_VALUE, layer, d, d, NAME("attention.self.value"));
    add_linear(self, FS_ATTENTION_OUTPUT, layer, d, d, NAME("attention.output.dense"));
    add_norm(self, FS_ATTENTION_NORM, layer, NAME("attention.output.LayerNorm"));
    add_linear(self, FS_MLP_UP, layer, d, c->d_ff, NAME("intermediate.dense"));
    add_linear(self, FS_MLP_DOWN, layer, c->d_ff, d, NAME("output.dense"));
    add_norm(self, FS_MLP_NORM, layer, NAME("output.LayerNorm"));
#undef NAME
}

static void add_bert(fs_geometry *self)
{
    const fs_config *c = &self->config;
    add_matrix(self, FS_EMBEDDING_TOKEN, NO_LAYER, c->vocab, c->d_model,
               "embeddings.word_embeddings");
    add_matrix(self, FS_EMBEDDING_POSITION, NO_LAYER, c->positions, c->d_model,
               "embeddings.position_embeddings");
    add_matrix(self, FS_EMBEDDING_SEGMENT, NO_LAYER, c->segments, c->d_model,
               "embeddings.token_type_embeddings");
    add_norm(self, FS_EMBEDDING_NORM, NO_LAYER, "embeddings.LayerNorm");
    for (uint32_t layer = 0; layer < c->layers; layer++) add_bert_layer(self, (int)layer);
    add_linear(self, FS_HEAD_POOLER, NO_LAYER, c->d_model, c->d_model, "pooler.dense");
    add_linear(self, FS_HEAD_CLASSIFIER, NO_LAYER, c->d_model, c->labels, "classifier");
}

/* c_attn is one tensor in the file and three in the network: each of q, k and v gets its columns of
 * the weight and of the bias. */
static void add_c_attn(fs_geometry *self, int layer, const char *name)
{
    static const fs_component parts[3] = {FS_ATTENTION_QUERY, FS_ATTENTION_KEY, FS_ATTENTION_VALUE};
    const uint32_t d = self->config.d_model;
    const uint32_t weight = add_tensor(self, 2, d, 3 * d, name, "weight");
    const uint32_t bias = add_tensor(self, 1, 1, 3 * d, name, "bias");
    for (uint32_t i = 0; i < 3; i++) {
        add_slice(self, parts[i], layer, weight, i * d, d);
        add_slice(self, parts[i], layer, bias, i * d, d);
    }
}

static void add_gpt2_layer(fs_geometry *self, int layer)
{
    const fs_config *c = &self->config;
    const uint32_t d = c->d_model;
    char name[80];
#define NAME(suffix) (snprintf(name, sizeof name, "h.%d." suffix, layer), name)
    add_c_attn(self, layer, NAME("attn.c_attn"));
    add_conv1d(self, FS_ATTENTION_OUTPUT, layer, d, d, NAME("attn.c_proj"));
    add_norm(self, FS_ATTENTION_NORM, layer, NAME("ln_1"));
    add_conv1d(self, FS_MLP_UP, layer, d, c->d_ff, NAME("mlp.c_fc"));
    add_conv1d(self, FS_MLP_DOWN, layer, c->d_ff, d, NAME("mlp.c_proj"));
    add_norm(self, FS_MLP_NORM, layer, NAME("ln_2"));
#undef NAME
}

static void add_gpt2(fs_geometry *self)
{
    const fs_config *c = &self->config;
    add_matrix(self, FS_EMBEDDING_TOKEN, NO_LAYER, c->vocab, c->d_model, "wte");
    add_matrix(self, FS_EMBEDDING_POSITION, NO_LAYER, c->positions, c->d_model, "wpe");
    for (uint32_t layer = 0; layer < c->layers; layer++) add_gpt2_layer(self, (int)layer);
    add_norm(self, FS_FINAL_NORM, NO_LAYER, "ln_f");
    if (c->task == FS_TASK_CLASSIFICATION) {
        add_matrix(self, FS_HEAD_CLASSIFIER, NO_LAYER, c->labels, c->d_model, "score");
    } else if (!c->tied) {
        add_matrix(self, FS_HEAD_LM, NO_LAYER, c->vocab, c->d_model, "lm_head");
    }
}

fs_status fs_geometry_new(fs_geometry **out, const fs_config *config)
{
    *out = NULL;
    if (config->layers > FS_LAYERS_MAX) {
        return fs_fail(FS_ELIMIT, "a model of %u layers, the most is %d", config->layers,
                       FS_LAYERS_MAX);
    }
    fs_geometry *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a model's geometry");
    const size_t max = TENSORS_OUTSIDE_LAYERS_MAX + (size_t)TENSORS_PER_LAYER * config->layers;
    self->config = *config;
    self->tensors = calloc(max, sizeof *self->tensors);
    self->slices = calloc(max, sizeof *self->slices);
    if (self->tensors == NULL || self->slices == NULL) {
        fs_geometry_destroy(&self);
        return fs_fail(FS_ENOMEM, "no memory for a model's geometry");
    }
    if (config->kind == FS_MODEL_BERT)
        add_bert(self);
    else
        add_gpt2(self);
    FS_ASSERT(self->tensor_count <= max && self->slice_count <= max);
    *out = self;
    return FS_OK;
}

void fs_geometry_destroy(fs_geometry **self)
{
    if (*self == NULL) return;
    free((*self)->tensors);
    free((*self)->slices);
    free(*self);
    *self = NULL;
}

static const struct {
    const char *name;
    fs_group group;
} components[FS_COMPONENT_COUNT] = {
#define X(name, text, group) [FS_##name] = {text, FS_GROUP_##group},
    FS_COMPONENT_MAP(X)
#undef X
};

static const char *const groups[FS_GROUP_COUNT] = {
#define X(name, text) [FS_GROUP_##name] = text,
    FS_GROUP_MAP(X)
#undef X
};

const char *fs_component_name(fs_component component)
{
    FS_ASSERT(component < FS_COMPONENT_COUNT);
    return components[component].name;
}

const char *fs_group_name(fs_group group)
{
    FS_ASSERT(group < FS_GROUP_COUNT);
    return groups[group];
}

fs_group fs_component_group(fs_component component)
{
    FS_ASSERT(component < FS_COMPONENT_COUNT);
    return components[component].group;
}

fs_component_set fs_component_parse(const char *word)
{
    fs_component_set set = 0;
    for (unsigned i = 0; i < FS_COMPONENT_COUNT; i++) {
        if (strcmp(word, "all") == 0 || strcmp(word, components[i].name) == 0 ||
            strcmp(word, groups[components[i].group]) == 0) {
            set |= (fs_component_set)1 << i;
        }
    }
    return set;
}

static const char *tensor_name(const void *geometry, size_t i)
{
    const fs_geometry *self = geometry;
    return i < self->tensor_count ? self->tensors[i].name : NULL;
}

fs_status fs_geometry_find(const fs_geometry *self, const char *name, uint32_t *out)
{
    const char *prefix = self->config.kind == FS_MODEL_BERT ? "bert." : "transformer.";
    const size_t size = strlen(prefix);
    const char *plain = strncmp(name, prefix, size) == 0 ? name + size : name;
    if (self->config.task == FS_TASK_LM && self->config.tied && strcmp(name, "lm_head.weight") == 0)
        plain = "wte.weight";
    for (size_t i = 0; i < self->tensor_count; i++) {
        *out = (uint32_t)i;
        if (strcmp(self->tensors[i].name, plain) == 0) return FS_OK;
    }
    const char *near = fs_options_nearest(plain, tensor_name, self);
    if (near == NULL)
        return fs_fail(FS_EFORMAT, "tensor '%.90s' is unknown; '%s' is the first of this model's",
                       name, self->tensors[0].name);
    return fs_fail(FS_EFORMAT, "tensor '%.90s' is unknown (did you mean '%s'?)", name, near);
}

uint32_t fs_geometry_slice(const fs_geometry *self, uint32_t tensor, uint64_t element)
{
    const uint64_t col = element % self->tensors[tensor].cols;
    uint32_t i = 0;
    while (self->slices[i].tensor != tensor || col < self->slices[i].col_first ||
           col >= (uint64_t)self->slices[i].col_first + self->slices[i].cols) {
        i++;
        FS_ASSERT(i < self->slice_count);
    }
    return i;
}

fs_component_set fs_geometry_components(const fs_geometry *self)
{
    fs_component_set set = 0;
    for (size_t i = 0; i < self->slice_count; i++) {
        set |= (fs_component_set)1 << self->slices[i].component;
    }
    return set;
}
