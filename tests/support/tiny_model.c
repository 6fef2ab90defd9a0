#include "tiny_model.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"

uint64_t tiny_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* The sum of twelve uniforms is normal enough, and exact everywhere. */
static double normal(uint64_t *state)
{
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += (double)(tiny_random(state) >> 11) * 0x1p-53;
    return sum;
}

/* Rounds to a format of `mantissa` explicit bits whose smallest normal number is 2^min. */
static float round_to(float value, int mantissa, int min)
{
    int exponent;
    frexpf(value, &exponent); /* |value| = [0.5, 1) x 2^exponent */
    int lowest = exponent - 1 < min ? min - mantissa : exponent - 1 - mantissa;
    double unit = ldexp(1.0, lowest);
    return (float)(nearbyint((double)value / unit) * unit);
}

float tiny_round(float value, tiny_dtype dtype)
{
    switch (dtype) {
    case TINY_F32:
        return value;
    case TINY_F16:
        return round_to(value, 10, -14);
    case TINY_BF16:
        return round_to(value, 7, -126);
    }
    return value;
}

tiny_spec tiny_spec_default(fs_model_kind kind, fs_task_kind task)
{
    return (tiny_spec){.kind = kind,
                       .task = task,
                       .layers = 2,
                       .width = 32,
                       .heads = 4,
                       .vocab = 512,
                       .positions = 64,
                       .labels = task == FS_TASK_CLASSIFICATION ? 2 : 0,
                       .seed = 1};
}

/* Making the tensors. */

typedef struct maker {
    tiny_model *model;
    size_t capacity;
    int failed;
} maker;

static void add(maker *self, int rank, uint32_t rows, uint32_t cols, double mean, double spread,
                const char *format, ...) __attribute__((format(printf, 7, 8)));

static void add(maker *self, int rank, uint32_t rows, uint32_t cols, double mean, double spread,
                const char *format, ...)
{
    tiny_model *model = self->model;
    if (self->failed) return;
    if (model->count == self->capacity) {
        size_t capacity = 2 * self->capacity + 16;
        tiny_tensor *tensors = realloc(model->tensors, capacity * sizeof *tensors);
        if (tensors == NULL) {
            self->failed = 1;
            return;
        }
        model->tensors = tensors;
        self->capacity = capacity;
    }
    size_t n = (size_t)rows * cols;
    tiny_tensor *tensor = &model->tensors[model->count];
    *tensor = (tiny_tensor){.rank = rank, .rows = rows, .cols = cols};
    tensor->values = malloc(n * sizeof *tensor->values);
    if (tensor->values == NULL) {
        self->failed = 1;
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(tensor->name, sizeof tensor->name, format, args);
    va_end(args);
    uint64_t state = model->spec.seed * 1000003 + model->count;
    for (size_t i = 0; i < n; i++) {
        tensor->values[i] = tiny_round((float)(mean + spread * normal(&state)), model->spec.dtype);
    }
    model->count++;
}

static void add_norm(maker *self, const char *name)
{
    const uint32_t d = self->model->spec.width;
    add(self, 1, 1, d, 1, 0.2, "%s.weight", name);
    add(self, 1, 1, d, 0, 0.2, "%s.bias", name);
}

/* `conv`: [in, out], as GPT-2's; else [out, in]. */
static void add_linear(maker *self, int conv, uint32_t in, uint32_t out, const char *name)
{
    add(self, 2, conv ? in : out, conv ? out : in, 0, 1.2 / sqrt(in), "%s.weight", name);
    add(self, 1, 1, out, 0, 0.2, "%s.bias", name);
}

static const char *layer_name(char name[64], const char *format, uint32_t layer, const char *rest)
{
    snprintf(name, 64, "%s.%u.%s", format, layer, rest);
    return name;
}

static uint32_t inner_of(const tiny_spec *spec)
{
    return spec->inner != 0 ? spec->inner : 4 * spec->width;
}

static void add_bert(maker *self)
{
    const tiny_spec *spec = &self->model->spec;
    const uint32_t d = spec->width;
    const char *stem = "encoder.layer";
    char name[64];
    add(self, 2, spec->vocab, d, 0, 1, "embeddings.word_embeddings.weight");
    add(self, 2, spec->positions, d, 0, 0.3, "embeddings.position_embeddings.weight");
    add(self, 2, 2, d, 0, 0.3, "embeddings.token_type_embeddings.weight");
    add_norm(self, "embeddings.LayerNorm");
    for (uint32_t l = 0; l < spec->layers; l++) {
        add_linear(self, 0, d, d, layer_name(name, stem, l, "attention.self.query"));
        add_linear(self, 0, d, d, layer_name(name, stem, l, "attention.self.key"));
        add_linear(self, 0, d, d, layer_name(name, stem, l, "attention.self.value"));
        add_linear(self, 0, d, d, layer_name(name, stem, l, "attention.output.dense"));
        add_norm(self, layer_name(name, stem, l, "attention.output.LayerNorm"));
        add_linear(self, 0, d, inner_of(spec), layer_name(name, stem, l, "intermediate.dense"));
        add_linear(self, 0, inner_of(spec), d, layer_name(name, stem, l, "output.dense"));
        add_norm(self, layer_name(name, stem, l, "output.LayerNorm"));
    }
    add_linear(self, 0, d, d, "pooler.dense");
    add_linear(self, 0, d, spec->labels, "classifier");
}

static void add_gpt2(maker *self)
{
    const tiny_spec *spec = &self->model->spec;
    const uint32_t d = spec->width;
    char name[64];
    add(self, 2, spec->vocab, d, 0, 1 / sqrt(d), "wte.weight");
    add(self, 2, spec->positions, d, 0, 0.3 / sqrt(d), "wpe.weight");
    for (uint32_t l = 0; l < spec->layers; l++) {
        add_norm(self, layer_name(name, "h", l, "ln_1"));
        add_linear(self, 1, d, 3 * d, layer_name(name, "h", l, "attn.c_attn"));
        add_linear(self, 1, d, d, layer_name(name, "h", l, "attn.c_proj"));
        add_norm(self, layer_name(name, "h", l, "ln_2"));
        add_linear(self, 1, d, inner_of(spec), layer_name(name, "h", l, "mlp.c_fc"));
        add_linear(self, 1, inner_of(spec), d, layer_name(name, "h", l, "mlp.c_proj"));
    }
    add_norm(self, "ln_f");
    if (spec->task == FS_TASK_CLASSIFICATION) {
        add(self, 2, spec->labels, d, 0, 1.2 / sqrt(d), "score.weight");
    } else if (spec->untied) {
        add(self, 2, spec->vocab, d, 0, 1.2 / sqrt(d), "lm_head.weight");
    }
}

fs_status tiny_model_new(tiny_model **out, const tiny_spec *spec)
{
    *out = NULL;
    if (spec->heads == 0 || spec->width % spec->heads != 0) {
        return fs_fail(FS_EUSAGE, "a width of %u is not a multiple of %u heads", spec->width,
                       spec->heads);
    }
    tiny_model *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a small model");
    self->spec = *spec;
    maker tensors = {.model = self};
    if (spec->kind == FS_MODEL_BERT)
        add_bert(&tensors);
    else
        add_gpt2(&tensors);
    if (tensors.failed) {
        tiny_model_destroy(&self);
        return fs_fail(FS_ENOMEM, "no memory for a small model");
    }
    *out = self;
    return FS_OK;
}

void tiny_model_destroy(tiny_model **self)
{
    if (*self == NULL) return;
    for (size_t i = 0; i < (*self)->count; i++) free((*self)->tensors[i].values);
    free((*self)->tensors);
    free(*self);
    *self = NULL;
}

tiny_tensor *tiny_model_tensor(const tiny_model *self, const char *name)
{
    size_t i = 0;
    while (i < self->count && strcmp(self->tensors[i].name, name) != 0) i++;
    FS_ASSERT(i < self->count);
    return &self->tensors[i];
}
