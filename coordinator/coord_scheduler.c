#include "coord_scheduler_impl.h"

#include <stdlib.h>

#include "assert.h"

fs_status coord_scheduler_new(coord_scheduler **out, const coord_cells *cells, uint64_t first_lease)
{
    coord_scheduler *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for the scheduler");
    fs_status status = coord_queue_init(&self->queue, cells);
    if (status == FS_OK) status = coord_leases_init(&self->leases, first_lease);
    if (status != FS_OK) {
        coord_scheduler_destroy(&self);
        return status;
    }
    *out = self;
    return FS_OK;
}

void coord_scheduler_destroy(coord_scheduler **self)
{
    if (*self == NULL) return;
    coord_queue_free(&(*self)->queue);
    coord_leases_free(&(*self)->leases);
    coord_suspects_free(&(*self)->suspects);
    free((*self)->quarantine);
    free(*self);
    *self = NULL;
}

fs_status coord_scheduler_load(coord_scheduler *self, uint32_t cell, const fs_range *done,
                               size_t count, uint64_t critical)
{
    return coord_queue_load(&self->queue, cell, done, count, critical);
}

void coord_scheduler_capacity(coord_scheduler *self, uint32_t threads)
{
    self->threads_total = threads;
}

/* --- ending leases --- */

coord_lease *coord_scheduler__find(const coord_scheduler *self, uint64_t id)
{
    return id != 0 ? coord_leases_find(&self->leases, id) : NULL;
}

fs_status coord_scheduler__claim_away(coord_scheduler *self, uint32_t cell, fs_range range)
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

fs_status coord_scheduler__part_twins(coord_scheduler *self, coord_lease *lease)
{
    coord_lease *twin = coord_scheduler__find(self, lease->twin);
    lease->twin = 0;
    if (twin == NULL) return FS_OK;
    twin->twin = 0;
    for (size_t i = 0; i < twin->rest.count; i++)
        FS_TRY(coord_ranges_remove(&lease->rest, twin->rest.at[i].first, twin->rest.at[i].count));
    return FS_OK;
}

/** Makes the rest of a lease available again; a suspect range stays one. */
static fs_status release(coord_scheduler *self, coord_lease *lease)
{
    FS_TRY(coord_scheduler__part_twins(self, lease));
    if (lease->rest.trials > 0) self->retries++;
    for (size_t i = 0; i < lease->rest.count; i++) {
        fs_range range = lease->rest.at[i];
        coord_suspect suspect = {lease->cell, range.count == 1 ? lease->deaths : 0, range};
        if (lease->suspect && self->suspects.count < COORD_SUSPECTS_MAX)
            FS_TRY(coord_suspects_add(&self->suspects, suspect));
        else
            FS_TRY(coord_queue_put(&self->queue, lease->cell, range));
    }
    coord_ranges_clear(&lease->rest);
    return FS_OK;
}

void coord_scheduler__end(coord_scheduler *self, coord_lease *lease)
{
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++)
        if (self->held[lease->worker][i] == lease->id) self->held[lease->worker][i] = 0;
    coord_leases_end(&self->leases, lease);
}

fs_status coord_scheduler__finish(coord_scheduler *self, coord_lease *lease)
{
    FS_TRY(release(self, lease));
    coord_scheduler__end(self, lease);
    return FS_OK;
}

/* --- what workers report --- */

static fs_status renew(coord_scheduler *self, coord_lease *lease, uint64_t now_ms)
{
    int expired = lease->state == COORD_LEASE_EXPIRED;
    coord_lease_transition(lease, COORD_LEASE_RENEW);
    lease->deadline_ms = now_ms + FS_LEASE_MS;
    return expired ? coord_scheduler__reclaim(self, lease) : FS_OK;
}

fs_status coord_scheduler_heartbeat(coord_scheduler *self, uint32_t worker, const uint64_t *leases,
                                    size_t count, uint64_t now_ms)
{
    FS_ASSERT(worker < FS_WORKERS_MAX);
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++) {
        coord_lease *lease = coord_scheduler__find(self, self->held[worker][i]);
        int named = 0;
        for (size_t k = 0; lease != NULL && k < count; k++) named |= leases[k] == lease->id;
        if (named)
            FS_TRY(renew(self, lease, now_ms));
        else if (lease != NULL && lease->state == COORD_LEASE_EXPIRED)
            FS_TRY(coord_scheduler__finish(self, lease));
    }
    return FS_OK;
}

fs_status coord_scheduler_keep(coord_scheduler *self, uint32_t worker, const fs_lease *leases,
                               size_t count)
{
    FS_ASSERT(worker < FS_WORKERS_MAX);
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++) {
        coord_lease *lease = coord_scheduler__find(self, self->held[worker][i]);
        int named = 0;
        for (size_t k = 0; lease != NULL && k < count; k++) named |= leases[k].id == lease->id;
        if (lease != NULL && !named) FS_TRY(coord_scheduler__finish(self, lease));
    }
    return FS_OK;
}

/** Takes received trials from where they are: as a rule from the rest of their lease. */
static fs_status take_received(coord_scheduler *self, coord_lease *lease, uint32_t cell,
                               fs_range range)
{
    if (lease == NULL ||
        coord_ranges_overlap(&lease->rest, range.first, range.count) != range.count)
        return coord_scheduler__claim_away(self, cell, range);
    FS_TRY(coord_ranges_remove(&lease->rest, range.first, range.count));
    coord_lease *twin = coord_scheduler__find(self, lease->twin);
    return twin != NULL ? coord_ranges_remove(&twin->rest, range.first, range.count) : FS_OK;
}

fs_status coord_scheduler_received(coord_scheduler *self, uint32_t worker, uint64_t lease_id,
                                   uint32_t cell, const fs_range *ranges, size_t count, int last,
                                   uint64_t cost_us, uint64_t now_ms)
{
    FS_ASSERT(worker < FS_WORKERS_MAX);
    if (cell >= self->queue.cells.count)
        return fs_fail(FS_EPROTO, "results of cell %u, the plan has %u", cell,
                       self->queue.cells.count);
    uint64_t trials = 0;
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].first + ranges[i].count > self->queue.cell[cell].look)
            return fs_fail(FS_EPROTO, "a result of trial %llu of cell %u, which was never granted",
                           (unsigned long long)(ranges[i].first + ranges[i].count - 1), cell);
        trials += ranges[i].count;
    }
    coord_queue_measured(&self->queue, cell, trials, cost_us);
    coord_lease *lease = coord_scheduler__find(self, lease_id);
    if (lease != NULL && (lease->worker != worker || lease->cell != cell)) lease = NULL;
    for (size_t i = 0; i < count; i++) FS_TRY(take_received(self, lease, cell, ranges[i]));
    if (lease == NULL) return FS_OK;
    coord_lease_transition(lease, COORD_LEASE_RESULTS);
    lease->deadline_ms = now_ms + FS_LEASE_MS;
    return last ? coord_scheduler__finish(self, lease) : FS_OK;
}

fs_status coord_scheduler_committed(coord_scheduler *self, uint32_t cell, const fs_range *ranges,
                                    size_t count, uint64_t critical)
{
    self->cold_deaths = 0;
    return coord_queue_done(&self->queue, cell, ranges, count, critical);
}

fs_status coord_scheduler_returned(coord_scheduler *self, uint32_t worker, const fs_lease *part)
{
    FS_ASSERT(worker < FS_WORKERS_MAX);
    coord_lease *lease = coord_scheduler__find(self, part->id);
    if (lease == NULL || lease->worker != worker) return FS_OK; /* void already */
    if (part->cell != lease->cell || part->first < lease->first || part->count > lease->count ||
        part->first - lease->first > lease->count - part->count)
        return fs_fail(FS_EPROTO, "it gives back trials that lease %llu does not have",
                       (unsigned long long)part->id);
    if (part->first == lease->first) return coord_scheduler__finish(self, lease);
    /* The lease goes on with what was kept; the part's trials wait again, unless a twin has them.
     */
    coord_ranges back = {0};
    fs_status status = coord_ranges_intersect(&lease->rest, part->first, part->count, &back);
    const coord_lease *twin = coord_scheduler__find(self, lease->twin);
    for (size_t i = 0; status == FS_OK && i < back.count; i++)
        status = coord_ranges_remove(&lease->rest, back.at[i].first, back.at[i].count);
    for (size_t i = 0; status == FS_OK && twin != NULL && i < twin->rest.count; i++)
        status = coord_ranges_remove(&back, twin->rest.at[i].first, twin->rest.at[i].count);
    for (size_t i = 0; status == FS_OK && i < back.count; i++)
        status = coord_queue_put(&self->queue, lease->cell, back.at[i]);
    coord_ranges_free(&back);
    return status;
}

fs_status coord_scheduler_tick(coord_scheduler *self, uint64_t now_ms)
{
    for (uint32_t i = 0; i < self->leases.used; i++) {
        coord_lease *lease = &self->leases.at[i];
        if (lease->state != COORD_LEASE_GRANTED && lease->state != COORD_LEASE_RUNNING) continue;
        if (now_ms < lease->deadline_ms) continue;
        FS_TRY(release(self, lease));
        coord_lease_transition(lease, COORD_LEASE_DEADLINE);
    }
    return FS_OK;
}

/* --- getters --- */

int coord_scheduler_complete(const coord_scheduler *self)
{
    return self->queue.open_cells == 0;
}

uint64_t coord_scheduler_done(const coord_scheduler *self)
{
    return self->queue.done;
}

uint64_t coord_scheduler_remaining(const coord_scheduler *self)
{
    return self->queue.remaining;
}

uint64_t coord_scheduler_look(const coord_scheduler *self, uint32_t cell)
{
    return self->queue.cell[cell].look;
}

uint32_t coord_scheduler_held(const coord_scheduler *self, uint32_t worker,
                              fs_lease out[FS_LEASES_PER_WORKER_MAX])
{
    uint32_t count = 0;
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++) {
        const coord_lease *lease = coord_scheduler__find(self, self->held[worker][i]);
        if (lease != NULL)
            out[count++] = (fs_lease){lease->id, lease->cell, lease->first, lease->count};
    }
    return count;
}

int coord_scheduler_waiting(coord_scheduler *self)
{
    return coord_queue_next(&self->queue) < self->queue.cells.count || self->suspects.count > 0;
}

uint64_t coord_scheduler_granted_ms(const coord_scheduler *self, uint64_t lease_id)
{
    const coord_lease *lease = coord_scheduler__find(self, lease_id);
    return lease != NULL ? lease->granted_ms : 0;
}

uint32_t coord_scheduler_leases(const coord_scheduler *self)
{
    return self->leases.live;
}

uint64_t coord_scheduler_retries(const coord_scheduler *self)
{
    return self->retries;
}
