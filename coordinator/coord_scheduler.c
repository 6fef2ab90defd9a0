#include "coord_scheduler.h"

#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "coord_shard.h"

struct coord_scheduler {
    coord_ledger ledger;
    uint32_t threads_total;
    unsigned cold_deaths; /* in a row */
};

fs_status coord_scheduler_new(coord_scheduler **out, const coord_cells *cells, uint64_t first_lease)
{
    coord_scheduler *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for the scheduler");
    fs_status status = coord_ledger_init(&self->ledger, cells, first_lease);
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
    coord_ledger_free(&(*self)->ledger);
    free(*self);
    *self = NULL;
}

fs_status coord_scheduler_load(coord_scheduler *self, uint32_t cell, const fs_range *done,
                               size_t count, uint64_t critical)
{
    return coord_queue_load(&self->ledger.queue, cell, done, count, critical);
}

fs_status coord_scheduler_load_quarantined(coord_scheduler *self, uint32_t cell, uint64_t trial)
{
    const coord_cells *cells = &self->ledger.queue.cells;
    if (cell >= cells->count || trial >= cells->trials(cells->data, cell))
        return fs_fail(FS_ECORRUPT,
                       "the store has quarantined trial %llu of cell %u, which the "
                       "plan does not have",
                       (unsigned long long)trial, cell);
    return coord_queue_quarantine(&self->ledger.queue, cell, trial, 1);
}

void coord_scheduler_capacity(coord_scheduler *self, uint32_t threads)
{
    self->threads_total = threads;
}

/* --- workers that go, trials that fail --- */

/** @return the lease that a worker has had longest and not expired, NULL if it has none. */
static coord_lease *oldest_of(coord_scheduler *self, uint32_t worker)
{
    coord_lease *oldest = NULL;
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++) {
        coord_lease *lease = coord_ledger_held(&self->ledger, worker, i);
        if (lease == NULL || lease->state == COORD_LEASE_EXPIRED || lease->rest.trials == 0)
            continue;
        if (oldest == NULL || lease->id < oldest->id) oldest = lease;
    }
    return oldest;
}

/** @return nonzero if the lease's worker was at it when it was last heard of. */
static int at_work(const coord_scheduler *self, const coord_lease *lease)
{
    int first = 1;
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++) {
        uint64_t other = self->ledger.held[lease->worker][i];
        first &= other == 0 || other >= lease->id;
    }
    return lease->state == COORD_LEASE_RUNNING || (lease->warm && first);
}

fs_status coord_scheduler_left(coord_scheduler *self, uint32_t worker, coord_departure how)
{
    FS_ASSERT(worker < FS_WORKERS_MAX);
    const coord_lease *oldest = how != COORD_PLANNED ? oldest_of(self, worker) : NULL;
    uint64_t oldest_id = oldest != NULL ? oldest->id : 0;
    int cold = how == COORD_DIED && self->cold_deaths >= COORD_COLD_DEATHS_MAX;
    int struck = 0;
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++) {
        coord_lease *lease = coord_ledger_held(&self->ledger, worker, i);
        if (lease == NULL) continue;
        int running = oldest_id != 0 && (lease->state == COORD_LEASE_RUNNING ||
                                         (lease->id == oldest_id && (lease->warm || cold)));
        if (running && how == COORD_DIED) {
            FS_TRY(coord_ledger_strike(&self->ledger, lease));
            struck = 1;
            continue;
        }
        if (running) FS_TRY(coord_ledger_lose(&self->ledger, lease));
        FS_TRY(coord_ledger_finish(&self->ledger, lease));
    }
    if (how == COORD_DIED && oldest_id != 0 && !struck) self->cold_deaths++;
    return FS_OK;
}

fs_status coord_scheduler_trial_failed(coord_scheduler *self, uint64_t lease_id, uint32_t cell,
                                       uint64_t trial)
{
    if (cell >= self->ledger.queue.cells.count || trial >= self->ledger.queue.cell[cell].look)
        return fs_fail(FS_EPROTO, "a failed trial %llu of cell %u, which was never granted",
                       (unsigned long long)trial, cell);
    coord_lease *lease = coord_ledger_find(&self->ledger, lease_id);
    if (lease == NULL || lease->cell != cell || coord_ranges_overlap(&lease->rest, trial, 1) == 0)
        return FS_OK; /* somebody else has it, or its result is here */
    unsigned deaths = lease->suspect && lease->count == 1 ? lease->deaths + 1 : 1;
    FS_TRY(coord_ledger_claim(&self->ledger, cell, (fs_range){trial, 1}));
    return coord_ledger_suspect(&self->ledger, &(coord_suspect){cell, deaths, 0, {trial, 1}});
}

/* --- granting --- */

static coord_shard shard_of(coord_scheduler *self, uint32_t cell, uint32_t threads, uint64_t now_ms)
{
    return (coord_shard){.cell_us = self->ledger.queue.cell[cell].cost_us,
                         .mean_us = self->ledger.queue.mean_us,
                         .left_us = coord_queue_work_us(&self->ledger.queue, now_ms),
                         .threads = threads,
                         .threads_total = self->threads_total};
}

/** The lease that waits longest beyond what it should have taken, and has no second copy. */
static coord_lease *straggler(coord_scheduler *self, uint32_t worker, uint64_t now_ms)
{
    coord_lease *worst = NULL;
    for (uint32_t i = 0; i < self->ledger.leases.used; i++) {
        coord_lease *lease = &self->ledger.leases.at[i];
        if (lease->state != COORD_LEASE_GRANTED && lease->state != COORD_LEASE_RUNNING) continue;
        if (lease->worker == worker || lease->twin != 0 || lease->suspect) continue;
        if (lease->rest.trials == 0) continue;
        if (now_ms - lease->granted_ms < 2 * lease->expected_ms + COORD_STRAGGLER_MS) continue;
        if (worst == NULL || lease->granted_ms < worst->granted_ms) worst = lease;
    }
    return worst;
}

/** @return nonzero if the worker may have another lease now. A suspect range runs alone. */
static int may_have_more(coord_scheduler *self, uint32_t worker)
{
    if (coord_ledger_free_place(&self->ledger, worker) == FS_LEASES_PER_WORKER_MAX) return 0;
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++) {
        const coord_lease *lease = coord_ledger_held(&self->ledger, worker, i);
        if (lease != NULL && lease->suspect) return 0;
    }
    return 1;
}

static int has_none(const coord_scheduler *self, uint32_t worker)
{
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++)
        if (self->ledger.held[worker][i] != 0) return 0;
    return 1;
}

/** Picks what to lend: open work, then a suspect range, then a copy of a straggler's range.
 * `out->count` stays 0 if there is nothing. */
static void pick(coord_scheduler *self, uint32_t worker, uint32_t threads, uint64_t now_ms,
                 fs_lease *out, coord_suspect *suspect_range, coord_lease **original)
{
    uint32_t cell = coord_queue_next(&self->ledger.queue);
    fs_range range = {0};
    if (cell < self->ledger.queue.cells.count) {
        coord_shard shard = shard_of(self, cell, threads, now_ms);
        range =
            coord_ranges_take(&self->ledger.queue.cell[cell].available, coord_shard_trials(&shard));
    } else if (has_none(self, worker) &&
               coord_suspects_take(&self->ledger.suspects, suspect_range)) {
        cell = suspect_range->cell;
        range = suspect_range->range;
    } else if ((*original = straggler(self, worker, now_ms)) != NULL) {
        cell = (*original)->cell;
        range = (*original)->rest.at[0];
        coord_shard shard = shard_of(self, cell, threads, now_ms);
        uint64_t max = coord_shard_trials(&shard);
        if (range.count > max) range.count = max;
    }
    *out = (fs_lease){.cell = cell, .first = range.first, .count = range.count};
}

fs_status coord_scheduler_grant(coord_scheduler *self, uint32_t worker, uint32_t threads,
                                uint64_t now_ms, fs_lease *out, int *granted)
{
    FS_ASSERT(worker < FS_WORKERS_MAX && threads >= 1);
    *granted = 0;
    if (!may_have_more(self, worker)) return FS_OK;
    coord_suspect suspect_range = {0};
    coord_lease *original = NULL, *lease = NULL;
    fs_lease wanted;
    pick(self, worker, threads, now_ms, &wanted, &suspect_range, &original);
    if (wanted.count == 0) return FS_OK;
    uint64_t original_id = original != NULL ? original->id : 0;
    FS_TRY(coord_ledger_lend(&self->ledger, worker, &wanted, now_ms, &lease));
    FS_TRY(coord_ranges_add(&lease->rest, wanted.first, wanted.count));
    lease->suspect = suspect_range.range.count > 0;
    lease->deaths = suspect_range.deaths;
    lease->losses = suspect_range.losses;
    lease->twin = original_id;
    original = coord_ledger_find(&self->ledger, original_id);
    if (original != NULL) original->twin = lease->id;
    coord_shard shard = shard_of(self, wanted.cell, threads, now_ms);
    lease->expected_ms = coord_shard_ms(&shard, wanted.count);
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++) {
        const coord_lease *before = coord_ledger_held(&self->ledger, worker, i);
        if (before != NULL && before != lease) lease->expected_ms += before->expected_ms;
    }
    *out = (fs_lease){lease->id, lease->cell, lease->first, lease->count};
    *granted = 1;
    return FS_OK;
}

void coord_scheduler_warm(coord_scheduler *self, uint64_t lease_id)
{
    coord_lease *lease = coord_ledger_find(&self->ledger, lease_id);
    if (lease != NULL) lease->warm = 1;
}

fs_status coord_scheduler_adopt(coord_scheduler *self, uint32_t worker, const fs_lease *wanted,
                                uint64_t now_ms)
{
    FS_ASSERT(worker < FS_WORKERS_MAX);
    coord_lease *lease = coord_ledger_find(&self->ledger, wanted->id);
    if (lease != NULL && lease->worker == worker)
        return coord_scheduler_heartbeat(self, worker, &wanted->id, 1, now_ms);
    if (wanted->id == 0 || lease != NULL || wanted->cell >= self->ledger.queue.cells.count ||
        wanted->count == 0 || wanted->count > FS_SHARD_TRIALS_MAX || wanted->first >= FS_TRIALS_MAX)
        return fs_fail(FS_EPROTO, "it holds a lease %llu that cannot be its own",
                       (unsigned long long)wanted->id);
    if (coord_ledger_free_place(&self->ledger, worker) == FS_LEASES_PER_WORKER_MAX)
        return fs_fail(FS_EPROTO, "it holds more than %d leases", (int)FS_LEASES_PER_WORKER_MAX);
    FS_TRY(coord_ledger_lend(&self->ledger, worker, wanted, now_ms, &lease));
    return coord_ledger_reclaim(&self->ledger, lease);
}

/* --- what workers report --- */

static fs_status renew(coord_scheduler *self, coord_lease *lease, uint64_t now_ms)
{
    int expired = lease->state == COORD_LEASE_EXPIRED;
    coord_lease_transition(lease, COORD_LEASE_RENEW);
    lease->deadline_ms = now_ms + FS_LEASE_MS;
    return expired ? coord_ledger_reclaim(&self->ledger, lease) : FS_OK;
}

fs_status coord_scheduler_heartbeat(coord_scheduler *self, uint32_t worker, const uint64_t *leases,
                                    size_t count, uint64_t now_ms)
{
    FS_ASSERT(worker < FS_WORKERS_MAX);
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++) {
        coord_lease *lease = coord_ledger_held(&self->ledger, worker, i);
        int named = 0;
        for (size_t k = 0; lease != NULL && k < count; k++) named |= leases[k] == lease->id;
        if (named)
            FS_TRY(renew(self, lease, now_ms));
        else if (lease != NULL && lease->state == COORD_LEASE_EXPIRED)
            FS_TRY(coord_ledger_finish(&self->ledger, lease));
    }
    return FS_OK;
}

fs_status coord_scheduler_keep(coord_scheduler *self, uint32_t worker, const fs_lease *leases,
                               size_t count)
{
    FS_ASSERT(worker < FS_WORKERS_MAX);
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++) {
        coord_lease *lease = coord_ledger_held(&self->ledger, worker, i);
        int named = 0;
        for (size_t k = 0; lease != NULL && k < count; k++) named |= leases[k].id == lease->id;
        if (lease != NULL && !named) FS_TRY(coord_ledger_finish(&self->ledger, lease));
    }
    return FS_OK;
}

/** Takes received trials from where they are: as a rule from the rest of their lease. */
static fs_status take_received(coord_scheduler *self, coord_lease *lease, uint32_t cell,
                               fs_range range)
{
    if (lease == NULL ||
        coord_ranges_overlap(&lease->rest, range.first, range.count) != range.count)
        return coord_ledger_claim(&self->ledger, cell, range);
    FS_TRY(coord_ranges_remove(&lease->rest, range.first, range.count));
    coord_lease *twin = coord_ledger_find(&self->ledger, lease->twin);
    return twin != NULL ? coord_ranges_remove(&twin->rest, range.first, range.count) : FS_OK;
}

fs_status coord_scheduler_received(coord_scheduler *self, uint32_t worker, uint64_t lease_id,
                                   uint32_t cell, const fs_range *ranges, size_t count, int last,
                                   uint64_t cost_us, uint64_t now_ms)
{
    FS_ASSERT(worker < FS_WORKERS_MAX);
    if (cell >= self->ledger.queue.cells.count)
        return fs_fail(FS_EPROTO, "results of cell %u, the plan has %u", cell,
                       self->ledger.queue.cells.count);
    uint64_t trials = 0;
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].first + ranges[i].count > self->ledger.queue.cell[cell].look)
            return fs_fail(FS_EPROTO, "a result of trial %llu of cell %u, which was never granted",
                           (unsigned long long)(ranges[i].first + ranges[i].count - 1), cell);
        trials += ranges[i].count;
    }
    coord_queue_measured(&self->ledger.queue, cell, trials, cost_us);
    coord_lease *lease = coord_ledger_find(&self->ledger, lease_id);
    if (lease != NULL && (lease->worker != worker || lease->cell != cell)) lease = NULL;
    for (size_t i = 0; i < count; i++) FS_TRY(take_received(self, lease, cell, ranges[i]));
    if (lease == NULL) return FS_OK;
    coord_lease_transition(lease, COORD_LEASE_RESULTS);
    lease->deadline_ms = now_ms + FS_LEASE_MS;
    return last ? coord_ledger_finish(&self->ledger, lease) : FS_OK;
}

fs_status coord_scheduler_committed(coord_scheduler *self, uint32_t cell, const fs_range *ranges,
                                    size_t count, uint64_t critical)
{
    self->cold_deaths = 0;
    return coord_queue_done(&self->ledger.queue, cell, ranges, count, critical);
}

fs_status coord_scheduler_returned(coord_scheduler *self, uint32_t worker, const fs_lease *part)
{
    FS_ASSERT(worker < FS_WORKERS_MAX);
    coord_lease *lease = coord_ledger_find(&self->ledger, part->id);
    if (lease == NULL || lease->worker != worker) return FS_OK; /* void already */
    if (part->cell != lease->cell || part->first < lease->first || part->count > lease->count ||
        part->first - lease->first > lease->count - part->count)
        return fs_fail(FS_EPROTO, "it gives back trials that lease %llu does not have",
                       (unsigned long long)part->id);
    if (part->first == lease->first) return coord_ledger_finish(&self->ledger, lease);
    /* The lease goes on with what was kept; the part's trials wait again, unless a twin has them.
     */
    coord_ranges back = {0};
    fs_status status = coord_ranges_intersect(&lease->rest, part->first, part->count, &back);
    const coord_lease *twin = coord_ledger_find(&self->ledger, lease->twin);
    for (size_t i = 0; status == FS_OK && i < back.count; i++)
        status = coord_ranges_remove(&lease->rest, back.at[i].first, back.at[i].count);
    for (size_t i = 0; status == FS_OK && twin != NULL && i < twin->rest.count; i++)
        status = coord_ranges_remove(&back, twin->rest.at[i].first, twin->rest.at[i].count);
    for (size_t i = 0; status == FS_OK && i < back.count; i++)
        status = coord_queue_put(&self->ledger.queue, lease->cell, back.at[i]);
    coord_ranges_free(&back);
    return status;
}

fs_status coord_scheduler_tick(coord_scheduler *self, uint64_t now_ms)
{
    for (uint32_t i = 0; i < self->ledger.leases.used; i++) {
        coord_lease *lease = &self->ledger.leases.at[i];
        if (lease->state != COORD_LEASE_GRANTED && lease->state != COORD_LEASE_RUNNING) continue;
        if (now_ms < lease->deadline_ms) continue;
        FS_TRY(at_work(self, lease) ? coord_ledger_lose(&self->ledger, lease)
                                    : coord_ledger_release(&self->ledger, lease));
        coord_lease_transition(lease, COORD_LEASE_DEADLINE);
    }
    return FS_OK;
}

/* --- getters --- */

int coord_scheduler_complete(const coord_scheduler *self)
{
    return self->ledger.queue.open_cells == 0;
}

uint64_t coord_scheduler_done(const coord_scheduler *self)
{
    return self->ledger.queue.done;
}

uint64_t coord_scheduler_remaining(const coord_scheduler *self)
{
    return self->ledger.queue.remaining;
}

uint64_t coord_scheduler_look(const coord_scheduler *self, uint32_t cell)
{
    return self->ledger.queue.cell[cell].look;
}

uint32_t coord_scheduler_held(const coord_scheduler *self, uint32_t worker,
                              fs_lease out[FS_LEASES_PER_WORKER_MAX])
{
    uint32_t count = 0;
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++) {
        const coord_lease *lease = coord_ledger_held(&self->ledger, worker, i);
        if (lease != NULL)
            out[count++] = (fs_lease){lease->id, lease->cell, lease->first, lease->count};
    }
    return count;
}

int coord_scheduler_waiting(coord_scheduler *self)
{
    return coord_queue_next(&self->ledger.queue) < self->ledger.queue.cells.count ||
           self->ledger.suspects.count > 0;
}

uint64_t coord_scheduler_granted_ms(const coord_scheduler *self, uint64_t lease_id)
{
    const coord_lease *lease = coord_ledger_find(&self->ledger, lease_id);
    return lease != NULL ? lease->granted_ms : 0;
}

uint32_t coord_scheduler_leases(const coord_scheduler *self)
{
    return self->ledger.leases.live;
}

uint64_t coord_scheduler_retries(const coord_scheduler *self)
{
    return self->ledger.retries;
}

int coord_scheduler_quarantined(coord_scheduler *self, coord_quarantine *out)
{
    return coord_ledger_quarantined(&self->ledger, out);
}

void coord_scheduler_check(const coord_scheduler *self)
{
    coord_ledger_check(&self->ledger);
}
