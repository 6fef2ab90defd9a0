#include "tr_layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"

enum { FLOATS_PER_LINE = 16 };

static int is_norm(const char *name)
{
    return strstr(name, "LayerNorm") != NULL || strstr(name, "ln_") != NULL;
}

static int ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* The heads lie beside the encoder in HuggingFace's files; everything else has its prefix. */
static const char *prefix_of(const fs_config *config, const char *name)
{
    static const char *const outside[] = {"classifier.", "score.", "lm_head."};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        if (strncmp(name, outside[i], strlen(outside[i])) == 0) return "";
    }
    return config->kind == FS_MODEL_BERT ? "bert." : "transformer.";
}

static void add(tr_layout *self, const char *prefix, const char *name, int rank, uint32_t rows,
                uint32_t cols, int used)
{
    tr_tensor *tensor = &self->tensors[self->count++];
    const int n = snprintf(tensor->name, sizeof tensor->name, "%s%s", prefix, name);
    FS_ASSERT(n > 0 && (size_t)n < sizeof tensor->name);
    tensor->rank = rank;
    tensor->rows = rows;
    tensor->cols = cols;
    tensor->first = self->floats;
    tensor->decays = !is_norm(name) && !ends_with(name, "bias");
    tensor->used = used;
    const uint64_t values = (uint64_t)rows * cols;
    self->floats += (values + FLOATS_PER_LINE - 1) / FLOATS_PER_LINE * FLOATS_PER_LINE;
    if (used) self->parameters += values;
}

static void add_masked_head(tr_layout *self)
{
    const fs_config *c = &self->geometry->config;
    const char *prefix = "cls.predictions.";
    add(self, prefix, "transform.dense.weight", 2, c->d_model, c->d_model, 1);
    add(self, prefix, "transform.dense.bias", 1, 1, c->d_model, 1);
    add(self, prefix, "transform.LayerNorm.weight", 1, 1, c->d_model, 1);
    add(self, prefix, "transform.LayerNorm.bias", 1, 1, c->d_model, 1);
    add(self, prefix, "bias", 1, 1, c->vocab, 1);
}

static fs_status check(const fs_config *config, tr_head head)
{
    const int bert = config->kind == FS_MODEL_BERT, classifies = head == TR_HEAD_CLASSIFY;
    if (bert && head == TR_HEAD_CAUSAL) {
        return fs_fail(FS_EUNSUPPORTED, "BERT attends both ways and cannot learn the next token");
    }
    if (!bert && head == TR_HEAD_MASKED) {
        return fs_fail(FS_EUNSUPPORTED, "GPT-2 cannot learn masked tokens, it sees one side only");
    }
    if (classifies != (config->task == FS_TASK_CLASSIFICATION) && head != TR_HEAD_MASKED) {
        return fs_fail(FS_EUNSUPPORTED, "the model has a head for %s",
                       classifies ? "language modelling" : "classification");
    }
    return FS_OK;
}

fs_status tr_layout_new(tr_layout **out, const fs_config *config, tr_head head)
{
    *out = NULL;
    FS_TRY(check(config, head));
    tr_layout *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a training layout");
    self->head = head;
    fs_status status = fs_geometry_new(&self->geometry, config);
    if (status != FS_OK) goto out;
    const fs_geometry *geometry = self->geometry;
    self->tensors = calloc(geometry->tensor_count + TR_MASKED_COUNT, sizeof *self->tensors);
    if (self->tensors == NULL) {
        status = fs_fail(FS_ENOMEM, "no memory for a training layout");
        goto out;
    }
    for (size_t i = 0; i < geometry->tensor_count; i++) {
        const fs_tensor *t = &geometry->tensors[i];
        const int head_only =
            strncmp(t->name, "pooler.", 7) == 0 || strncmp(t->name, "classifier.", 11) == 0;
        add(self, prefix_of(config, t->name), t->name, t->rank, t->rows, t->cols,
            head != TR_HEAD_MASKED || !head_only);
    }
    if (head == TR_HEAD_MASKED) add_masked_head(self);
out:
    if (status != FS_OK) tr_layout_destroy(&self);
    *out = self;
    return status;
}

void tr_layout_destroy(tr_layout **self)
{
    if (*self == NULL) return;
    fs_geometry_destroy(&(*self)->geometry);
    free((*self)->tensors);
    free(*self);
    *self = NULL;
}

int tr_layout_find(const tr_layout *self, const char *name)
{
    for (size_t i = 0; i < self->count; i++) {
        const char *own = self->tensors[i].name;
        const char *bare = i < self->geometry->tensor_count ? self->geometry->tensors[i].name : own;
        if (strcmp(own, name) == 0 || strcmp(bare, name) == 0) return (int)i;
    }
    return -1;
}
