#include "coord_ledger.h"

#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "grow.h"

fs_status coord_ledger_init(coord_ledger *self, const coord_cells *cells, uint64_t first_lease)
{
    *self = (coord_ledger){0};
    FS_TRY(coord_queue_init(&self->queue, cells));
    return coord_leases_init(&self->leases, first_lease);
}

void coord_ledger_free(coord_ledger *self)
{
    coord_queue_free(&self->queue);
    coord_leases_free(&self->leases);
    coord_suspects_free(&self->suspects);
    free(self->quarantine);
}

/* --- lending --- */

coord_lease *coord_ledger_find(const coord_ledger *self, uint64_t id)
{
    return id != 0 ? coord_leases_find(&self->leases, id) : NULL;
}

coord_lease *coord_ledger_held(const coord_ledger *self, uint32_t worker, size_t place)
{
    return coord_ledger_find(self, self->held[worker][place]);
}

size_t coord_ledger_free_place(const coord_ledger *self, uint32_t worker)
{
    size_t i = 0;
    while (i < FS_LEASES_PER_WORKER_MAX && self->held[worker][i] != 0) i++;
    return i;
}

fs_status coord_ledger_lend(coord_ledger *self, uint32_t worker, const fs_lease *wanted,
                            uint64_t now_ms, coord_lease **out)
{
    size_t place = coord_ledger_free_place(self, worker);
    FS_ASSERT(place < FS_LEASES_PER_WORKER_MAX);
    coord_lease *lease = NULL;
    FS_TRY(coord_leases_add(&self->leases, wanted->id, &lease));
    self->held[worker][place] = lease->id;
    lease->cell = wanted->cell;
    lease->first = wanted->first;
    lease->count = wanted->count;
    lease->worker = worker;
    lease->granted_ms = now_ms;
    lease->deadline_ms = now_ms + FS_LEASE_MS;
    *out = lease;
    return FS_OK;
}

fs_status coord_ledger_reclaim(coord_ledger *self, coord_lease *lease)
{
    coord_ranges *available = &self->queue.cell[lease->cell].available;
    coord_suspect found;
    FS_TRY(coord_suspects_reclaim(&self->suspects, lease->cell,
                                  (fs_range){lease->first, lease->count}, &lease->rest, &found));
    if (found.range.count > 0) {
        lease->suspect = 1;
        lease->deaths = found.deaths;
        lease->losses = found.losses > 0 ? found.losses - 1 : 0;
    }
    FS_TRY(coord_ranges_intersect(available, lease->first, lease->count, &lease->rest));
    return coord_ranges_remove(available, lease->first, lease->count);
}

/* --- ending leases --- */

fs_status coord_ledger_claim(coord_ledger *self, uint32_t cell, fs_range range)
{
    FS_TRY(coord_ranges_remove(&self->queue.cell[cell].available, range.first, range.count));
    FS_TRY(coord_suspects_remove(&self->suspects, cell, range));
    for (uint32_t i = 0; i < self->leases.used; i++) {
        coord_lease *lease = &self->leases.at[i];
        if (lease->state != COORD_LEASE_FREE && lease->cell == cell)
            FS_TRY(coord_ranges_remove(&lease->rest, range.first, range.count));
    }
    return FS_OK;
}

/** Leaves in `lease` nothing that its twin still has, and parts the twins. */
static fs_status part_twins(coord_ledger *self, coord_lease *lease)
{
    coord_lease *twin = coord_ledger_find(self, lease->twin);
    lease->twin = 0;
    if (twin == NULL) return FS_OK;
    twin->twin = 0;
    for (size_t i = 0; i < twin->rest.count; i++)
        FS_TRY(coord_ranges_remove(&lease->rest, twin->rest.at[i].first, twin->rest.at[i].count));
    return FS_OK;
}

fs_status coord_ledger_release(coord_ledger *self, coord_lease *lease)
{
    FS_TRY(part_twins(self, lease));
    if (lease->rest.trials > 0) self->retries++;
    for (size_t i = 0; i < lease->rest.count; i++) {
        fs_range range = lease->rest.at[i];
        coord_suspect suspect = {lease->cell, range.count == 1 ? lease->deaths : 0, lease->losses,
                                 range};
        if (lease->suspect && self->suspects.count < COORD_SUSPECTS_MAX)
            FS_TRY(coord_suspects_add(&self->suspects, suspect));
        else
            FS_TRY(coord_queue_put(&self->queue, lease->cell, range));
    }
    coord_ranges_clear(&lease->rest);
    return FS_OK;
}

static void end_lease(coord_ledger *self, coord_lease *lease)
{
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++)
        if (self->held[lease->worker][i] == lease->id) self->held[lease->worker][i] = 0;
    coord_leases_end(&self->leases, lease);
}

fs_status coord_ledger_finish(coord_ledger *self, coord_lease *lease)
{
    FS_TRY(coord_ledger_release(self, lease));
    end_lease(self, lease);
    return FS_OK;
}

/* --- suspects and quarantine --- */

static fs_status put_quarantine(coord_ledger *self, uint32_t cell, uint64_t trial, unsigned deaths)
{
    coord_quarantine *q =
        fs_grow(self->quarantine, self->quarantine_count, &self->quarantine_capacity, sizeof *q);
    if (q == NULL) return fs_fail(FS_ENOMEM, "no memory for more quarantines");
    self->quarantine = q;
    self->quarantine[self->quarantine_count++] = (coord_quarantine){cell, trial, deaths};
    return coord_queue_quarantine(&self->queue, cell, trial, 0);
}

fs_status coord_ledger_suspect(coord_ledger *self, const coord_suspect *what)
{
    fs_range range = what->range;
    if (range.count == 0) return FS_OK;
    if (range.count == 1 && what->deaths >= FS_LEASE_DEATHS_MAX)
        return put_quarantine(self, what->cell, range.first, what->deaths);
    if (self->suspects.count >= COORD_SUSPECTS_MAX)
        return coord_queue_put(&self->queue, what->cell, range);
    return coord_suspects_add(&self->suspects, *what);
}

/** Makes the rest of a lease suspect, in the pieces that several threads left; one piece may be
 * halved. */
static fs_status set_aside(coord_ledger *self, coord_lease *lease, int halve, unsigned deaths,
                           unsigned losses)
{
    if (lease->rest.trials > 0) self->retries++;
    for (size_t i = 0; i < lease->rest.count; i++) {
        fs_range range = lease->rest.at[i];
        uint64_t head = halve && lease->rest.count == 1 ? (range.count + 1) / 2 : range.count;
        coord_suspect front = {lease->cell, deaths, losses, {range.first, head}};
        coord_suspect back = {
            lease->cell, deaths, losses, {range.first + head, range.count - head}};
        FS_TRY(coord_ledger_suspect(self, &front));
        FS_TRY(coord_ledger_suspect(self, &back));
    }
    coord_ranges_clear(&lease->rest);
    return FS_OK;
}

fs_status coord_ledger_strike(coord_ledger *self, coord_lease *lease)
{
    FS_TRY(part_twins(self, lease));
    FS_TRY(set_aside(self, lease, 1, lease->rest.trials == 1 ? lease->deaths + 1 : 0, 0));
    end_lease(self, lease);
    return FS_OK;
}

fs_status coord_ledger_lose(coord_ledger *self, coord_lease *lease)
{
    FS_TRY(part_twins(self, lease));
    int many = lease->rest.trials > 1;
    int halve = many && lease->losses + 1 >= COORD_LOSSES_MAX;
    return set_aside(self, lease, halve, many ? 0 : lease->deaths, halve ? 0 : lease->losses + 1);
}

int coord_ledger_quarantined(coord_ledger *self, coord_quarantine *out)
{
    if (self->quarantine_count == 0) return 0;
    *out = self->quarantine[0];
    memmove(self->quarantine, self->quarantine + 1,
            --self->quarantine_count * sizeof *self->quarantine);
    return 1;
}

/** Adds a place's trials to those seen; none may have been seen before. */
static void see(coord_ranges *seen, const coord_ranges *undone, fs_range range)
{
    FS_ASSERT(coord_ranges_overlap(seen, range.first, range.count) == 0);
    FS_ASSERT(coord_ranges_overlap(undone, range.first, range.count) == range.count);
    FS_ASSERT(coord_ranges_add(seen, range.first, range.count) == FS_OK);
}

void coord_ledger_check(const coord_ledger *self)
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
            const coord_lease *twin = coord_ledger_find(self, lease->twin);
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
