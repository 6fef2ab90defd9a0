#include "coord_ranges.h"

#include <stdlib.h>
#include <string.h>

#include "assert.h"

static uint64_t end_of(fs_range range)
{
    return range.first + range.count;
}

/** @return index of the first range that ends after `trial`; `count` if none does. */
static size_t lower(const coord_ranges *self, uint64_t trial)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (end_of(self->at[middle]) > trial)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static fs_status reserve(coord_ranges *self, size_t count)
{
    if (count <= self->capacity) return FS_OK;
    size_t capacity = self->capacity > 0 ? self->capacity : 4;
    while (capacity < count) capacity *= 2;
    fs_range *at = realloc(self->at, capacity * sizeof *at);
    if (at == NULL) return fs_fail(FS_ENOMEM, "no memory for %zu ranges of trials", capacity);
    self->at = at;
    self->capacity = capacity;
    return FS_OK;
}

/** Replaces `old` ranges from index `at` on by room for `fresh` ones; the room is there. */
static void splice(coord_ranges *self, size_t at, size_t old, size_t fresh)
{
    memmove(self->at + at + fresh, self->at + at + old,
            (self->count - at - old) * sizeof *self->at);
    self->count = self->count - old + fresh;
}

void coord_ranges_free(coord_ranges *self)
{
    free(self->at);
    *self = (coord_ranges){0};
}

void coord_ranges_clear(coord_ranges *self)
{
    self->count = 0;
    self->trials = 0;
}

fs_status coord_ranges_add(coord_ranges *self, uint64_t first, uint64_t count)
{
    if (count == 0) return FS_OK;
    FS_ASSERT(first + count > first);
    FS_TRY(reserve(self, self->count + 1));
    /* Ranges [from, to) overlap or touch the new one and melt into it. */
    size_t from = lower(self, first > 0 ? first - 1 : 0), to = from;
    fs_range merged = {first, count};
    while (to < self->count && self->at[to].first <= first + count) {
        fs_range old = self->at[to++];
        uint64_t end = end_of(old) > end_of(merged) ? end_of(old) : end_of(merged);
        if (old.first < merged.first) merged.first = old.first;
        merged.count = end - merged.first;
        self->trials -= old.count;
    }
    splice(self, from, to - from, 1);
    self->at[from] = merged;
    self->trials += merged.count;
    return FS_OK;
}

fs_status coord_ranges_add_all(coord_ranges *self, const coord_ranges *other)
{
    for (size_t i = 0; i < other->count; i++)
        FS_TRY(coord_ranges_add(self, other->at[i].first, other->at[i].count));
    return FS_OK;
}

fs_status coord_ranges_remove(coord_ranges *self, uint64_t first, uint64_t count)
{
    if (count == 0) return FS_OK;
    FS_ASSERT(first + count > first);
    uint64_t end = first + count;
    size_t from = lower(self, first), to = from;
    fs_range left[2];
    size_t kept = 0;
    uint64_t gone = 0;
    for (; to < self->count && self->at[to].first < end; to++) {
        fs_range old = self->at[to];
        gone += old.count;
        if (old.first < first) left[kept++] = (fs_range){old.first, first - old.first};
        if (end_of(old) > end) left[kept++] = (fs_range){end, end_of(old) - end};
    }
    if (to == from) return FS_OK;
    FS_TRY(reserve(self, self->count - (to - from) + kept));
    splice(self, from, to - from, kept);
    for (size_t i = 0; i < kept; i++) {
        self->at[from + i] = left[i];
        gone -= left[i].count;
    }
    self->trials -= gone;
    return FS_OK;
}

fs_status coord_ranges_intersect(const coord_ranges *self, uint64_t first, uint64_t count,
                                 coord_ranges *out)
{
    uint64_t end = first + count;
    for (size_t i = lower(self, first); i < self->count && self->at[i].first < end; i++) {
        uint64_t a = self->at[i].first > first ? self->at[i].first : first;
        uint64_t b = end_of(self->at[i]) < end ? end_of(self->at[i]) : end;
        FS_TRY(coord_ranges_add(out, a, b - a));
    }
    return FS_OK;
}

fs_range coord_ranges_take(coord_ranges *self, uint64_t max)
{
    if (self->count == 0 || max == 0) return (fs_range){0};
    fs_range taken = self->at[0];
    if (taken.count > max) {
        taken.count = max;
        self->at[0].first += max;
        self->at[0].count -= max;
    } else {
        splice(self, 0, 1, 0);
    }
    self->trials -= taken.count;
    return taken;
}

uint64_t coord_ranges_overlap(const coord_ranges *self, uint64_t first, uint64_t count)
{
    uint64_t end = first + count, sum = 0;
    for (size_t i = lower(self, first); i < self->count && self->at[i].first < end; i++) {
        uint64_t a = self->at[i].first > first ? self->at[i].first : first;
        uint64_t b = end_of(self->at[i]) < end ? end_of(self->at[i]) : end;
        sum += b - a;
    }
    return sum;
}
