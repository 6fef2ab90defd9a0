/** The scales of an int8 model that a trial's faults hit, and the values that they reach.
 *
 * A hit scale changes its whole channel. Thread rule: one thread at a time. */
#ifndef WK_SCALES_H
#define WK_SCALES_H

#include "coding.h"
#include "redundancy.h"

typedef struct wk_scale {
    uint32_t tensor;
    uint64_t channel; /* its first element */
    float value;      /* as hit */
} wk_scale;

typedef struct wk_scales {
    wk_scale *items; /* sorted by (tensor, channel) */
    size_t count;
    size_t capacity;
} wk_scales;

/** Applies the faults in scales that a list holds, replacing the contents. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status wk_scales_hit(wk_scales *self, const fs_protection *protection,
                                      const fs_check_list *checks);
/** Finds the first element at or behind (*tensor, *element) that is read by a hit scale.
 * @return zero if there is none. */
int wk_scales_next(const wk_scales *self, const fs_protection *protection, uint32_t *tensor,
                   uint64_t *element);
/** fs_protection_widen with the hit scales. */
void wk_scales_widen(const wk_scales *self, const fs_protection *protection, uint32_t tensor,
                     uint64_t first, uint32_t *words, size_t count);
void wk_scales_free(wk_scales *self);

#endif
