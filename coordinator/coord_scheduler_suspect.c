/* Trials that kill: bisected, granted alone, and in the end quarantined. */
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "coord_scheduler_impl.h"

static fs_status put_quarantine(coord_scheduler *self, uint32_t cell, uint64_t trial,
                                unsigned deaths)
{
    if (self->quarantine_count == self->quarantine_capacity) {
        size_t capacity = self->quarantine_capacity > 0 ? self->quarantine_capacity * 2 : 8;
        coord_quarantine *q = realloc(self->quarantine, capacity * sizeof *q);
        if (q == NULL) return fs_fail(FS_ENOMEM, "no memory for %zu quarantines", capacity);
        self->quarantine = q;
        self->quarantine_capacity = capacity;
    }
    self->quarantine[self->quarantine_count++] = (coord_quarantine){cell, trial, deaths};
    return coord_queue_done(&self->queue, cell, &(fs_range){trial, 1}, 1, 0);
}

/** A run of trials, in nobody's hands, on which a worker died. */
static fs_status suspect(coord_scheduler *self, uint32_t cell, fs_range range, unsigned deaths)
{
    if (range.count == 0) return FS_OK;
    if (range.count == 1 && deaths >= FS_LEASE_DEATHS_MAX)
        return put_quarantine(self, cell, range.first, deaths);
    if (self->suspects.count >= COORD_SUSPECTS_MAX)
        return coord_queue_put(&self->queue, cell, range);
    return coord_suspects_add(&self->suspects, (coord_suspect){cell, deaths, range});
}

/** The lease's worker died while running it: its rest is suspect, in halves (or in the pieces that
 * several threads left). A single trial that was granted alone counts its deaths. */
static fs_status strike(coord_scheduler *self, coord_lease *lease)
{
    FS_TRY(coord_scheduler__part_twins(self, lease));
    if (lease->rest.trials > 0) self->retries++;
    for (size_t i = 0; i < lease->rest.count; i++) {
        fs_range range = lease->rest.at[i];
        if (lease->rest.trials == 1) {
            FS_TRY(suspect(self, lease->cell, range, lease->deaths + 1));
            continue;
        }
        uint64_t half = lease->rest.count == 1 ? (range.count + 1) / 2 : range.count;
        FS_TRY(suspect(self, lease->cell, (fs_range){range.first, half}, 0));
        FS_TRY(suspect(self, lease->cell, (fs_range){range.first + half, range.count - half}, 0));
    }
    coord_ranges_clear(&lease->rest);
    coord_scheduler__end(self, lease);
    return FS_OK;
}

/** @return the lease that a worker has had longest and not expired, NULL if it has none. */
static coord_lease *oldest_of(coord_scheduler *self, uint32_t worker)
{
    coord_lease *oldest = NULL;
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++) {
        coord_lease *lease = coord_scheduler__find(self, self->held[worker][i]);
        if (lease == NULL || lease->state == COORD_LEASE_EXPIRED || lease->rest.trials == 0)
            continue;
        if (oldest == NULL || lease->id < oldest->id) oldest = lease;
    }
    return oldest;
}

fs_status coord_scheduler_left(coord_scheduler *self, uint32_t worker, coord_departure how)
{
    FS_ASSERT(worker < FS_WORKERS_MAX);
    coord_lease *oldest = how == COORD_DIED ? oldest_of(self, worker) : NULL;
    uint64_t oldest_id = oldest != NULL ? oldest->id : 0;
    int struck = 0;
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++) {
        coord_lease *lease = coord_scheduler__find(self, self->held[worker][i]);
        if (lease == NULL) continue;
        int first = lease->id == oldest_id;
        int cold = self->cold_deaths >= COORD_COLD_DEATHS_MAX;
        if (oldest_id != 0 &&
            (lease->state == COORD_LEASE_RUNNING || (first && (lease->warm || cold)))) {
            FS_TRY(strike(self, lease));
            struck = 1;
        } else {
            FS_TRY(coord_scheduler__finish(self, lease));
        }
    }
    if (oldest_id != 0 && !struck) self->cold_deaths++;
    return FS_OK;
}

fs_status coord_scheduler_trial_failed(coord_scheduler *self, uint64_t lease_id, uint32_t cell,
                                       uint64_t trial)
{
    if (cell >= self->queue.cells.count || trial >= self->queue.cell[cell].look)
        return fs_fail(FS_EPROTO, "a failed trial %llu of cell %u, which was never granted",
                       (unsigned long long)trial, cell);
    coord_lease *lease = coord_scheduler__find(self, lease_id);
    if (lease == NULL || lease->cell != cell || coord_ranges_overlap(&lease->rest, trial, 1) == 0)
        return FS_OK; /* somebody else has it, or its result is here */
    unsigned deaths = lease->suspect && lease->count == 1 ? lease->deaths + 1 : 1;
    FS_TRY(coord_scheduler__claim_away(self, cell, (fs_range){trial, 1}));
    return suspect(self, cell, (fs_range){trial, 1}, deaths);
}

int coord_scheduler_quarantined(coord_scheduler *self, coord_quarantine *out)
{
    if (self->quarantine_count == 0) return 0;
    *out = self->quarantine[0];
    memmove(self->quarantine, self->quarantine + 1,
            --self->quarantine_count * sizeof *self->quarantine);
    return 1;
}
