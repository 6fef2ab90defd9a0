#include "wk_scales.h"

#include <stdlib.h>
#include <string.h>

#include "grow.h"

static fs_status add(wk_scales *self, wk_scale scale)
{
    wk_scale *items = fs_grow(self->items, self->count, &self->capacity, sizeof *items);
    if (items == NULL) return fs_fail(FS_ENOMEM, "no memory for more scales");
    self->items = items;
    self->items[self->count++] = scale;
    return FS_OK;
}

static float apply(const fs_check_fault *fault, float value)
{
    uint8_t bytes[sizeof value];
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(bits >> (8 * i));
    fs_check_apply(fault, bytes);
    bits = 0;
    for (int i = 0; i < 4; i++) bits |= (uint32_t)bytes[i] << (8 * i);
    memcpy(&value, &bits, sizeof value);
    return value;
}

fs_status wk_scales_hit(wk_scales *self, const fs_protection *protection,
                        const fs_check_list *checks)
{
    self->count = 0;
    for (size_t i = 0; i < checks->count; i++) {
        const fs_check_fault *fault = &checks->items[i];
        if (fault->codec != FS_CHECK_SCALE) continue;
        wk_scale *last = self->count == 0 ? NULL : &self->items[self->count - 1];
        if (last == NULL || last->tensor != fault->tensor || last->channel != fault->element) {
            size_t step;
            const float *clean =
                fs_scales_at(protection->scales, fault->tensor, fault->element, &step);
            FS_TRY(add(self, (wk_scale){fault->tensor, fault->element, *clean}));
            last = &self->items[self->count - 1];
        }
        last->value = apply(fault, last->value);
    }
    return FS_OK;
}

/* @return the first item that is not before (tensor, channel). */
static size_t lower_bound(const wk_scales *self, uint32_t tensor, uint64_t channel)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const wk_scale *item = &self->items[middle];
        if (item->tensor < tensor || (item->tensor == tensor && item->channel < channel))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* In a tensor whose channels are rows or one, the first channel that is not wholly before the
 * element has it or what comes next; of columns, any may. */
static uint64_t next_in(const wk_scales *self, const fs_protection *protection, uint32_t tensor,
                        uint64_t element)
{
    uint64_t least = UINT64_MAX;
    const uint64_t channel = fs_scales_channel(protection->scales, tensor, element);
    for (size_t i = lower_bound(self, tensor, channel);
         i < self->count && self->items[i].tensor == tensor && least == UINT64_MAX; i++)
        least = fs_scales_next(protection->scales, tensor, self->items[i].channel, element);
    /* Columns to the left of the element go on in the next row. */
    const size_t first = lower_bound(self, tensor, 0);
    if (least == UINT64_MAX && first < self->count && self->items[first].tensor == tensor)
        least = fs_scales_next(protection->scales, tensor, self->items[first].channel, element);
    return least;
}

int wk_scales_next(const wk_scales *self, const fs_protection *protection, uint32_t *tensor,
                   uint64_t *element)
{
    for (size_t at = lower_bound(self, *tensor, 0); at < self->count;
         at = lower_bound(self, *tensor, 0)) {
        if (self->items[at].tensor > *tensor) {
            *tensor = self->items[at].tensor;
            *element = 0;
        }
        const uint64_t next = next_in(self, protection, *tensor, *element);
        if (next != UINT64_MAX) {
            *element = next;
            return 1;
        }
        (*tensor)++;
        *element = 0;
    }
    return 0;
}

void wk_scales_widen(const wk_scales *self, const fs_protection *protection, uint32_t tensor,
                     uint64_t first, uint32_t *words, size_t count)
{
    const size_t hit = lower_bound(self, tensor, 0);
    if (hit == self->count || self->items[hit].tensor != tensor) {
        fs_protection_widen(protection, tensor, first, words, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const uint64_t channel = fs_scales_channel(protection->scales, tensor, first + i);
        const size_t at = lower_bound(self, tensor, channel);
        const int is_hit = at < self->count && self->items[at].tensor == tensor &&
                           self->items[at].channel == channel;
        if (is_hit)
            words[i] = fs_dequantise(words[i], self->items[at].value);
        else
            fs_protection_widen(protection, tensor, first + i, &words[i], 1);
    }
}

void wk_scales_free(wk_scales *self)
{
    free(self->items);
    *self = (wk_scales){0};
}
