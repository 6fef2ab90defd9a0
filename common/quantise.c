#include "quantise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"

#define WORD_MAX 127.0f
#define NAN_BITS 0x7fc00000u

/* The channels of one tensor. */
typedef struct channels {
    fs_channels kind;
    uint32_t cols;
    uint64_t elements;
    size_t first; /* of its scales among the model's */
    size_t count;
} channels;

struct fs_scales {
    channels *tensors;
    size_t tensor_count;
    float *values;
    size_t count;
};

fs_channels fs_channels_of(const fs_geometry *geometry, uint32_t tensor)
{
    const fs_tensor *t = &geometry->tensors[tensor];
    if (t->rank == 1) return FS_CHANNELS_ONE;
    /* GPT-2's blocks hold Conv1D, [in, out]; all else is [out, in] or a table. */
    const int conv = geometry->config.kind == FS_MODEL_GPT2 && strncmp(t->name, "h.", 2) == 0;
    return conv ? FS_CHANNELS_COLUMNS : FS_CHANNELS_ROWS;
}

uint64_t fs_channel_count(const fs_geometry *geometry, uint32_t tensor)
{
    const fs_tensor *t = &geometry->tensors[tensor];
    const fs_channels kind = fs_channels_of(geometry, tensor);
    if (kind == FS_CHANNELS_ROWS) return t->rows;
    return kind == FS_CHANNELS_COLUMNS ? t->cols : 1;
}

/* In double a quotient that is a tie is exact, and none that is not becomes one: of two fp32
 * numbers it is at least 2^-33 away from a tie below 128. */
uint32_t fs_quantise(uint32_t fp32, float scale)
{
    float value;
    memcpy(&value, &fp32, sizeof value);
    double word = rint((double)value / (double)scale);
    if (word > (double)WORD_MAX) word = (double)WORD_MAX;
    if (word < (double)-WORD_MAX) word = (double)-WORD_MAX;
    return (uint32_t)(int32_t)word & 0xffu;
}

uint32_t fs_dequantise(uint32_t word, float scale)
{
    const int32_t number = (int32_t)(word & 0x7fu) - (int32_t)(word & 0x80u);
    const float value = (float)number * scale;
    uint32_t bits;
    if (isnan(value)) return NAN_BITS;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

fs_status fs_scales_new(fs_scales **out, const fs_geometry *geometry)
{
    *out = NULL;
    fs_scales *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for scales");
    self->tensors = calloc(geometry->tensor_count, sizeof *self->tensors);
    for (uint32_t i = 0; self->tensors != NULL && i < geometry->tensor_count; i++) {
        const fs_tensor *t = &geometry->tensors[i];
        self->tensors[i] = (channels){.kind = fs_channels_of(geometry, i),
                                      .cols = t->cols,
                                      .elements = (uint64_t)t->rows * t->cols,
                                      .first = self->count,
                                      .count = (size_t)fs_channel_count(geometry, i)};
        self->count += self->tensors[i].count;
    }
    self->tensor_count = geometry->tensor_count;
    self->values = calloc(self->count + 1, sizeof *self->values);
    if (self->tensors == NULL || self->values == NULL) {
        fs_scales_destroy(&self);
        return fs_fail(FS_ENOMEM, "no memory for scales");
    }
    *out = self;
    return FS_OK;
}

void fs_scales_destroy(fs_scales **self)
{
    if (*self == NULL) return;
    free((*self)->tensors);
    free((*self)->values);
    free(*self);
    *self = NULL;
}

static const channels *channels_at(const fs_scales *self, uint32_t tensor)
{
    FS_ASSERT(tensor < self->tensor_count);
    return &self->tensors[tensor];
}

int fs_scales_learn(fs_scales *self, uint32_t tensor, uint64_t row, const float *values)
{
    const channels *c = channels_at(self, tensor);
    size_t step;
    float *most = self->values + (fs_scales_at(self, tensor, row * c->cols, &step) - self->values);
    int finite = 1;
    for (size_t i = 0; i < c->cols; i++) {
        const float magnitude = fabsf(values[i]);
        finite &= isfinite(magnitude) != 0;
        if (magnitude > most[i * step]) most[i * step] = magnitude;
    }
    return finite;
}

void fs_scales_settle(fs_scales *self, uint32_t tensor)
{
    const channels *c = channels_at(self, tensor);
    for (size_t i = 0; i < c->count; i++) {
        float *scale = &self->values[c->first + i];
        *scale /= WORD_MAX;
        if (!(*scale > 0)) *scale = 1;
    }
}

const float *fs_scales_at(const fs_scales *self, uint32_t tensor, uint64_t element, size_t *step)
{
    const channels *c = channels_at(self, tensor);
    *step = c->kind == FS_CHANNELS_COLUMNS;
    return self->values + c->first +
           (c->kind == FS_CHANNELS_ROWS      ? element / c->cols
            : c->kind == FS_CHANNELS_COLUMNS ? element % c->cols
                                             : 0);
}

uint64_t fs_scales_channel(const fs_scales *self, uint32_t tensor, uint64_t element)
{
    const channels *c = channels_at(self, tensor);
    if (c->kind == FS_CHANNELS_ONE) return 0;
    return c->kind == FS_CHANNELS_COLUMNS ? element % c->cols : element - element % c->cols;
}

uint64_t fs_scales_next(const fs_scales *self, uint32_t tensor, uint64_t channel, uint64_t element)
{
    const channels *c = channels_at(self, tensor);
    uint64_t next = element > channel ? element : channel;
    if (c->kind == FS_CHANNELS_ROWS) return next < channel + c->cols ? next : UINT64_MAX;
    if (c->kind == FS_CHANNELS_COLUMNS) {
        const uint64_t col = next % c->cols;
        next += col <= channel ? channel - col : c->cols - col + channel;
    }
    return next < c->elements ? next : UINT64_MAX;
}
