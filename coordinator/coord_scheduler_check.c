/* The invariant of coord_scheduler.h, checked from the definition. */
#include "assert.h"
#include "coord_scheduler_impl.h"

/** Adds a place's trials to those seen; none may have been seen before. */
static void see(coord_ranges *seen, const coord_ranges *undone, fs_range range)
{
    FS_ASSERT(coord_ranges_overlap(seen, range.first, range.count) == 0);
    FS_ASSERT(coord_ranges_overlap(undone, range.first, range.count) == range.count);
    FS_ASSERT(coord_ranges_add(seen, range.first, range.count) == FS_OK);
}

void coord_scheduler_check(const coord_scheduler *self)
{
    for (uint32_t cell = 0; cell < self->queue.cells.count; cell++) {
        const coord_cell *c = &self->queue.cell[cell];
        coord_ranges seen = {0};
        for (size_t i = 0; i < c->available.count; i++) see(&seen, &c->undone, c->available.at[i]);
        for (size_t i = 0; i < self->suspects.count; i++)
            if (self->suspects.at[i].cell == cell)
                see(&seen, &c->undone, self->suspects.at[i].range);
        for (uint32_t i = 0; i < self->leases.used; i++) {
            const coord_lease *lease = &self->leases.at[i];
            if (lease->state == COORD_LEASE_FREE || lease->cell != cell) continue;
            const coord_lease *twin = coord_scheduler__find(self, lease->twin);
            FS_ASSERT(twin == NULL || twin->twin == lease->id);
            coord_ranges own = {0};
            FS_ASSERT(coord_ranges_add_all(&own, &lease->rest) == FS_OK);
            for (size_t k = 0; twin != NULL && twin->id < lease->id && k < twin->rest.count; k++)
                FS_ASSERT(coord_ranges_remove(&own, twin->rest.at[k].first,
                                              twin->rest.at[k].count) == FS_OK);
            for (size_t k = 0; k < own.count; k++) see(&seen, &c->undone, own.at[k]);
            coord_ranges_free(&own);
        }
        coord_ranges_free(&seen);
    }
}
