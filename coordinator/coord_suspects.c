#include "coord_suspects.h"

#include <stdlib.h>
#include <string.h>

#include "grow.h"

void coord_suspects_free(coord_suspects *self)
{
    free(self->at);
    *self = (coord_suspects){0};
}

static fs_status append(coord_suspects *self, coord_suspect suspect)
{
    coord_suspect *at = fs_grow(self->at, self->count, &self->capacity, sizeof *at);
    if (at == NULL) return fs_fail(FS_ENOMEM, "no memory for more suspect ranges");
    self->at = at;
    self->at[self->count++] = suspect;
    return FS_OK;
}

fs_status coord_suspects_add(coord_suspects *self, coord_suspect suspect)
{
    if (self->count >= COORD_SUSPECTS_MAX)
        return fs_fail(FS_ELIMIT, "more than %d suspect ranges", (int)COORD_SUSPECTS_MAX);
    return append(self, suspect);
}

static void drop(coord_suspects *self, size_t at)
{
    memmove(self->at + at, self->at + at + 1, (self->count - at - 1) * sizeof *self->at);
    self->count--;
}

int coord_suspects_take(coord_suspects *self, coord_suspect *out)
{
    if (self->count == 0) return 0;
    *out = self->at[0];
    drop(self, 0);
    return 1;
}

fs_status coord_suspects_remove(coord_suspects *self, uint32_t cell, fs_range range)
{
    uint64_t end = range.first + range.count;
    for (size_t i = 0; i < self->count;) {
        fs_range old = self->at[i].range;
        uint64_t old_end = old.first + old.count;
        if (self->at[i].cell != cell || old.first >= end || old_end <= range.first) {
            i++;
            continue;
        }
        coord_suspect front = self->at[i], back = front;
        front.range.count = range.first > old.first ? range.first - old.first : 0;
        back.range.first = end;
        back.range.count = old_end > end ? old_end - end : 0;
        if (front.range.count > 0 && back.range.count > 0) {
            FS_TRY(append(self, back));
            self->at[i++] = front;
        } else if (front.range.count > 0 || back.range.count > 0) {
            self->at[i++] = front.range.count > 0 ? front : back;
        } else {
            drop(self, i);
        }
    }
    return FS_OK;
}

fs_status coord_suspects_reclaim(coord_suspects *self, uint32_t cell, fs_range range,
                                 coord_ranges *out, coord_suspect *found)
{
    uint64_t end = range.first + range.count;
    *found = (coord_suspect){.cell = cell, .range = {range.first, 0}};
    for (size_t i = 0; i < self->count;) {
        coord_suspect s = self->at[i];
        uint64_t s_end = s.range.first + s.range.count;
        uint64_t a = s.range.first > range.first ? s.range.first : range.first;
        uint64_t b = s_end < end ? s_end : end;
        if (s.cell != cell || a >= b || (s.deaths > 0 && range.count > 1)) {
            i++;
            continue;
        }
        FS_TRY(coord_ranges_add(out, a, b - a));
        FS_TRY(coord_suspects_remove(self, cell, (fs_range){a, b - a}));
        found->range.count += b - a;
        if (s.deaths > found->deaths) found->deaths = s.deaths;
        if (s.losses > found->losses) found->losses = s.losses;
        i = 0; /* what is left of it may lie at the same place, outside the range */
    }
    return FS_OK;
}
