/** A set of trials of one cell as sorted disjoint ranges: memory in proportion to the ranges, not
 * to the trials. Touching ranges are merged.
 *
 * A zeroed coord_ranges is empty and valid. A failed change leaves the set as it was. Thread rule:
 * one thread at a time. */
#ifndef COORD_RANGES_H
#define COORD_RANGES_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"
#include "store.h"

typedef struct coord_ranges {
    fs_range *at;
    size_t count;
    size_t capacity;
    uint64_t trials; /* in all ranges together */
} coord_ranges;

/** Frees the memory and empties the set; idempotent. */
void coord_ranges_free(coord_ranges *self);
/** Empties the set and keeps its memory. */
void coord_ranges_clear(coord_ranges *self);
/** Adds [first, first + count); what is there already stays. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_ranges_add(coord_ranges *self, uint64_t first, uint64_t count);
/** Adds every range of `other`. Errors: FS_ENOMEM, with a part of them added. */
FS_MUST_CHECK fs_status coord_ranges_add_all(coord_ranges *self, const coord_ranges *other);
/** Removes what is there of [first, first + count). Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_ranges_remove(coord_ranges *self, uint64_t first, uint64_t count);
/** Adds to `out` the part of this set that lies in [first, first + count). Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_ranges_intersect(const coord_ranges *self, uint64_t first,
                                               uint64_t count, coord_ranges *out);
/** Takes a run of at most `max` trials from the front. @return it; count 0 if the set is empty. */
fs_range coord_ranges_take(coord_ranges *self, uint64_t max);
/** @return how many trials of [first, first + count) are in the set. */
uint64_t coord_ranges_overlap(const coord_ranges *self, uint64_t first, uint64_t count);

#endif
