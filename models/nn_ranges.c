#include "nn_ranges.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "hash.h"
#include "nn_image.h"

typedef struct bounds {
    float low, high;
} bounds;

struct nn_ranges {
    uint32_t layers;
    bounds *all; /* [1 + layers * FS_STAGE_COUNT]; the first of embedding.out */
};

static size_t bounds_count(const nn_ranges *self)
{
    return 1 + (size_t)self->layers * FS_STAGE_COUNT;
}

fs_status nn_ranges_new(nn_ranges **out, const fs_config *config)
{
    *out = NULL;
    nn_ranges *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for bounds of activations");
    self->layers = config->layers;
    self->all = malloc(bounds_count(self) * sizeof *self->all);
    if (self->all == NULL) {
        free(self);
        return fs_fail(FS_ENOMEM, "no memory for bounds of activations");
    }
    for (size_t i = 0; i < bounds_count(self); i++)
        self->all[i] = (bounds){.low = INFINITY, .high = -INFINITY};
    *out = self;
    return FS_OK;
}

void nn_ranges_destroy(nn_ranges **self)
{
    if (*self == NULL) return;
    free((*self)->all);
    free(*self);
    *self = NULL;
}

/* Bounds have one zero: which of two a run meets first depends on its threads. */
static void widen(bounds *b, float low, float high)
{
    if (low < b->low) b->low = low + 0.0f;
    if (high > b->high) b->high = high + 0.0f;
}

void nn_ranges_merge(nn_ranges *self, const nn_ranges *other)
{
    FS_ASSERT(self->layers == other->layers);
    for (size_t i = 0; i < bounds_count(self); i++)
        widen(&self->all[i], other->all[i].low, other->all[i].high);
}

static bounds *at(const nn_ranges *self, fs_stage stage, uint32_t layer)
{
    if (stage == FS_STAGE_EMBEDDING_OUT) return &self->all[0];
    FS_ASSERT(layer < self->layers && stage < FS_STAGE_COUNT);
    return &self->all[1 + (size_t)layer * FS_STAGE_COUNT + stage];
}

void nn_ranges_get(const nn_ranges *self, fs_stage stage, uint32_t layer, float *low, float *high)
{
    *low = at(self, stage, layer)->low;
    *high = at(self, stage, layer)->high;
}

uint64_t nn_ranges_checksum(const nn_ranges *self)
{
    uint64_t sum = fs_checksum(NULL, 0);
    for (size_t i = 0; i < bounds_count(self); i++) {
        uint32_t words[2];
        uint8_t bytes[16];
        memcpy(&words[0], &self->all[i].low, sizeof words[0]);
        memcpy(&words[1], &self->all[i].high, sizeof words[1]);
        for (int b = 0; b < 8; b++) bytes[b] = (uint8_t)(sum >> (8 * b));
        for (int b = 0; b < 8; b++) bytes[8 + b] = (uint8_t)(words[b / 4] >> (8 * (b % 4)));
        sum = fs_checksum(bytes, sizeof bytes);
    }
    return sum;
}

/* --- Of a view -------------------------------------------------------------------------------- */

void nn_view_learn_ranges(nn_view *self, nn_ranges *ranges)
{
    self->learns = ranges;
}

void nn_view_restrict(nn_view *self, const nn_ranges *ranges, int clip)
{
    self->ranges = ranges;
    self->clips = clip;
}

uint64_t nn_view_take_outside(nn_view *self)
{
    const uint64_t outside = self->outside;
    self->outside = 0;
    return outside;
}

static void learn_row(bounds *b, float *x, size_t width)
{
    float low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < width; i++) {
        if (isnan(x[i])) x[i] = 0;
        if (x[i] < low) low = x[i];
        if (x[i] > high) high = x[i];
    }
    widen(b, low, high);
}

static uint64_t restrict_row(const bounds *b, int clip, float *x, size_t width)
{
    uint64_t outside = 0;
    for (size_t i = 0; i < width; i++) {
        const float value = x[i];
        if (value >= b->low && value <= b->high) continue;
        outside++;
        x[i] = !clip || isnan(value) ? 0 : value < b->low ? b->low : b->high;
    }
    return outside;
}

void nn__restrict(nn_view *self, fs_stage stage, uint32_t layer, float *x, size_t stride,
                  size_t width, size_t rows)
{
    if (self->learns != NULL) {
        bounds *b = at(self->learns, stage, layer);
        for (size_t i = 0; i < rows; i++) learn_row(b, x + i * stride, width);
    }
    if (self->ranges != NULL) {
        const bounds *b = at(self->ranges, stage, layer);
        for (size_t i = 0; i < rows; i++)
            self->outside += restrict_row(b, self->clips, x + i * stride, width);
    }
}
