#include "coord_scheduler.h"

#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "coord_shard.h"
#include "coord_suspects.h"

struct coord_scheduler {
    coord_queue queue;
    coord_leases leases;
    uint64_t held[FS_WORKERS_MAX][FS_LEASES_PER_WORKER_MAX]; /* lease ids, 0: none */
    coord_suspects suspects;
    coord_quarantine *quarantine; /* [quarantine_count], not yet taken by the owner */
    size_t quarantine_count, quarantine_capacity;
    uint32_t threads_total;
    uint64_t retries;
    unsigned cold_deaths; /* in a row */
};

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

fs_status coord_scheduler_load_quarantined(coord_scheduler *self, uint32_t cell, uint64_t trial)
{
    const coord_cells *cells = &self->queue.cells;
    if (cell >= cells->count || trial >= cells->trials(cells->data, cell))
        return fs_fail(FS_ECORRUPT,
                       "the store has quarantined trial %llu of cell %u, which the "
                       "plan does not have",
                       (unsigned long long)trial, cell);
    return coord_queue_quarantine(&self->queue, cell, trial, 1);
}

void coord_scheduler_capacity(coord_scheduler *self, uint32_t threads)
{
    self->threads_total = threads;
}

/* --- ending leases --- */

static coord_lease *find(const coord_scheduler *self, uint64_t id)
{
    return id != 0 ? coord_leases_find(&self->leases, id) : NULL;
}

/** Takes a run of trials away from wherever it waits or is leased. */
static fs_status claim_away(coord_scheduler *self, uint32_t cell, fs_range range)
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
static fs_status part_twins(coord_scheduler *self, coord_lease *lease)
{
    coord_lease *twin = find(self, lease->twin);
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

static void end_lease(coord_scheduler *self, coord_lease *lease)
{
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++)
        if (self->held[lease->worker][i] == lease->id) self->held[lease->worker][i] = 0;
    coord_leases_end(&self->leases, lease);
}

static fs_status finish(coord_scheduler *self, coord_lease *lease)
{
    FS_TRY(release(self, lease));
    end_lease(self, lease);
    return FS_OK;
}

/* --- suspects and quarantine --- */

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
    return coord_queue_quarantine(&self->queue, cell, trial, 0);
}

/** A run of trials, in nobody's hands, on which a worker died or was lost. */
static fs_status suspect(coord_scheduler *self, const coord_suspect *what)
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
static fs_status set_aside(coord_scheduler *self, coord_lease *lease, int halve, unsigned deaths,
                           unsigned losses)
{
    if (lease->rest.trials > 0) self->retries++;
    for (size_t i = 0; i < lease->rest.count; i++) {
        fs_range range = lease->rest.at[i];
        uint64_t head = halve && lease->rest.count == 1 ? (range.count + 1) / 2 : range.count;
        coord_suspect front = {lease->cell, deaths, losses, {range.first, head}};
        coord_suspect back = {
            lease->cell, deaths, losses, {range.first + head, range.count - head}};
        FS_TRY(suspect(self, &front));
        FS_TRY(suspect(self, &back));
    }
    coord_ranges_clear(&lease->rest);
    return FS_OK;
}

/** The lease's worker was seen to die while running it: its rest is bisected. A single trial that
 * was granted alone counts its deaths. */
static fs_status strike(coord_scheduler *self, coord_lease *lease)
{
    FS_TRY(part_twins(self, lease));
    FS_TRY(set_aside(self, lease, 1, lease->rest.trials == 1 ? lease->deaths + 1 : 0, 0));
    end_lease(self, lease);
    return FS_OK;
}

/** The lease's worker fell silent while running it. That is no strike; only the range which it
 * happens to over and over is halved. */
static fs_status lose(coord_scheduler *self, coord_lease *lease)
{
    FS_TRY(part_twins(self, lease));
    int many = lease->rest.trials > 1;
    int halve = many && lease->losses + 1 >= COORD_LOSSES_MAX;
    return set_aside(self, lease, halve, many ? 0 : lease->deaths, halve ? 0 : lease->losses + 1);
}

/** @return the lease that a worker has had longest and not expired, NULL if it has none. */
static coord_lease *oldest_of(coord_scheduler *self, uint32_t worker)
{
    coord_lease *oldest = NULL;
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++) {
        coord_lease *lease = find(self, self->held[worker][i]);
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
        uint64_t other = self->held[lease->worker][i];
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
        coord_lease *lease = find(self, self->held[worker][i]);
        if (lease == NULL) continue;
        int running = oldest_id != 0 && (lease->state == COORD_LEASE_RUNNING ||
                                         (lease->id == oldest_id && (lease->warm || cold)));
        if (running && how == COORD_DIED) {
            FS_TRY(strike(self, lease));
            struck = 1;
            continue;
        }
        if (running) FS_TRY(lose(self, lease));
        FS_TRY(finish(self, lease));
    }
    if (how == COORD_DIED && oldest_id != 0 && !struck) self->cold_deaths++;
    return FS_OK;
}

fs_status coord_scheduler_trial_failed(coord_scheduler *self, uint64_t lease_id, uint32_t cell,
                                       uint64_t trial)
{
    if (cell >= self->queue.cells.count || trial >= self->queue.cell[cell].look)
        return fs_fail(FS_EPROTO, "a failed trial %llu of cell %u, which was never granted",
                       (unsigned long long)trial, cell);
    coord_lease *lease = find(self, lease_id);
    if (lease == NULL || lease->cell != cell || coord_ranges_overlap(&lease->rest, trial, 1) == 0)
        return FS_OK; /* somebody else has it, or its result is here */
    unsigned deaths = lease->suspect && lease->count == 1 ? lease->deaths + 1 : 1;
    FS_TRY(claim_away(self, cell, (fs_range){trial, 1}));
    return suspect(self, &(coord_suspect){cell, deaths, 0, {trial, 1}});
}

int coord_scheduler_quarantined(coord_scheduler *self, coord_quarantine *out)
{
    if (self->quarantine_count == 0) return 0;
    *out = self->quarantine[0];
    memmove(self->quarantine, self->quarantine + 1,
            --self->quarantine_count * sizeof *self->quarantine);
    return 1;
}

/* --- granting --- */

static size_t free_place(const coord_scheduler *self, uint32_t worker)
{
    size_t i = 0;
    while (i < FS_LEASES_PER_WORKER_MAX && self->held[worker][i] != 0) i++;
    return i;
}

/** Makes a lease over `rest`, which it copies, in a free place of the worker. */
static fs_status lend(coord_scheduler *self, uint32_t worker, const fs_lease *wanted,
                      uint64_t now_ms, coord_lease **out)
{
    size_t place = free_place(self, worker);
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

static coord_shard shard_of(coord_scheduler *self, uint32_t cell, uint32_t threads, uint64_t now_ms)
{
    return (coord_shard){.cell_us = self->queue.cell[cell].cost_us,
                         .mean_us = self->queue.mean_us,
                         .left_us = coord_queue_work_us(&self->queue, now_ms),
                         .threads = threads,
                         .threads_total = self->threads_total};
}

/** The lease that waits longest beyond what it should have taken, and has no second copy. */
static coord_lease *straggler(coord_scheduler *self, uint32_t worker, uint64_t now_ms)
{
    coord_lease *worst = NULL;
    for (uint32_t i = 0; i < self->leases.used; i++) {
        coord_lease *lease = &self->leases.at[i];
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
    if (free_place(self, worker) == FS_LEASES_PER_WORKER_MAX) return 0;
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++) {
        const coord_lease *lease = find(self, self->held[worker][i]);
        if (lease != NULL && lease->suspect) return 0;
    }
    return 1;
}

static int has_none(const coord_scheduler *self, uint32_t worker)
{
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++)
        if (self->held[worker][i] != 0) return 0;
    return 1;
}

/** Picks what to lend: open work, then a suspect range, then a copy of a straggler's range.
 * `out->count` stays 0 if there is nothing. */
static void pick(coord_scheduler *self, uint32_t worker, uint32_t threads, uint64_t now_ms,
                 fs_lease *out, coord_suspect *suspect_range, coord_lease **original)
{
    uint32_t cell = coord_queue_next(&self->queue);
    fs_range range = {0};
    if (cell < self->queue.cells.count) {
        coord_shard shard = shard_of(self, cell, threads, now_ms);
        range = coord_ranges_take(&self->queue.cell[cell].available, coord_shard_trials(&shard));
    } else if (has_none(self, worker) && coord_suspects_take(&self->suspects, suspect_range)) {
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
    FS_TRY(lend(self, worker, &wanted, now_ms, &lease));
    FS_TRY(coord_ranges_add(&lease->rest, wanted.first, wanted.count));
    lease->suspect = suspect_range.range.count > 0;
    lease->deaths = suspect_range.deaths;
    lease->losses = suspect_range.losses;
    lease->twin = original_id;
    original = find(self, original_id);
    if (original != NULL) original->twin = lease->id;
    coord_shard shard = shard_of(self, wanted.cell, threads, now_ms);
    lease->expected_ms = coord_shard_ms(&shard, wanted.count);
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++) {
        const coord_lease *before = find(self, self->held[worker][i]);
        if (before != NULL && before != lease) lease->expected_ms += before->expected_ms;
    }
    *out = (fs_lease){lease->id, lease->cell, lease->first, lease->count};
    *granted = 1;
    return FS_OK;
}

void coord_scheduler_warm(coord_scheduler *self, uint64_t lease_id)
{
    coord_lease *lease = find(self, lease_id);
    if (lease != NULL) lease->warm = 1;
}

/** Gives the lease what nobody else was granted of its range. That its worker is back takes one
 * loss back. */
static fs_status reclaim(coord_scheduler *self, coord_lease *lease)
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

fs_status coord_scheduler_adopt(coord_scheduler *self, uint32_t worker, const fs_lease *wanted,
                                uint64_t now_ms)
{
    FS_ASSERT(worker < FS_WORKERS_MAX);
    coord_lease *lease = find(self, wanted->id);
    if (lease != NULL && lease->worker == worker)
        return coord_scheduler_heartbeat(self, worker, &wanted->id, 1, now_ms);
    if (wanted->id == 0 || lease != NULL || wanted->cell >= self->queue.cells.count ||
        wanted->count == 0 || wanted->count > FS_SHARD_TRIALS_MAX || wanted->first >= FS_TRIALS_MAX)
        return fs_fail(FS_EPROTO, "it holds a lease %llu that cannot be its own",
                       (unsigned long long)wanted->id);
    if (free_place(self, worker) == FS_LEASES_PER_WORKER_MAX)
        return fs_fail(FS_EPROTO, "it holds more than %d leases", (int)FS_LEASES_PER_WORKER_MAX);
    FS_TRY(lend(self, worker, wanted, now_ms, &lease));
    return reclaim(self, lease);
}

/* --- what workers report --- */

static fs_status renew(coord_scheduler *self, coord_lease *lease, uint64_t now_ms)
{
    int expired = lease->state == COORD_LEASE_EXPIRED;
    coord_lease_transition(lease, COORD_LEASE_RENEW);
    lease->deadline_ms = now_ms + FS_LEASE_MS;
    return expired ? reclaim(self, lease) : FS_OK;
}

fs_status coord_scheduler_heartbeat(coord_scheduler *self, uint32_t worker, const uint64_t *leases,
                                    size_t count, uint64_t now_ms)
{
    FS_ASSERT(worker < FS_WORKERS_MAX);
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++) {
        coord_lease *lease = find(self, self->held[worker][i]);
        int named = 0;
        for (size_t k = 0; lease != NULL && k < count; k++) named |= leases[k] == lease->id;
        if (named)
            FS_TRY(renew(self, lease, now_ms));
        else if (lease != NULL && lease->state == COORD_LEASE_EXPIRED)
            FS_TRY(finish(self, lease));
    }
    return FS_OK;
}

fs_status coord_scheduler_keep(coord_scheduler *self, uint32_t worker, const fs_lease *leases,
                               size_t count)
{
    FS_ASSERT(worker < FS_WORKERS_MAX);
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++) {
        coord_lease *lease = find(self, self->held[worker][i]);
        int named = 0;
        for (size_t k = 0; lease != NULL && k < count; k++) named |= leases[k].id == lease->id;
        if (lease != NULL && !named) FS_TRY(finish(self, lease));
    }
    return FS_OK;
}

/** Takes received trials from where they are: as a rule from the rest of their lease. */
static fs_status take_received(coord_scheduler *self, coord_lease *lease, uint32_t cell,
                               fs_range range)
{
    if (lease == NULL ||
        coord_ranges_overlap(&lease->rest, range.first, range.count) != range.count)
        return claim_away(self, cell, range);
    FS_TRY(coord_ranges_remove(&lease->rest, range.first, range.count));
    coord_lease *twin = find(self, lease->twin);
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
    coord_lease *lease = find(self, lease_id);
    if (lease != NULL && (lease->worker != worker || lease->cell != cell)) lease = NULL;
    for (size_t i = 0; i < count; i++) FS_TRY(take_received(self, lease, cell, ranges[i]));
    if (lease == NULL) return FS_OK;
    coord_lease_transition(lease, COORD_LEASE_RESULTS);
    lease->deadline_ms = now_ms + FS_LEASE_MS;
    return last ? finish(self, lease) : FS_OK;
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
    coord_lease *lease = find(self, part->id);
    if (lease == NULL || lease->worker != worker) return FS_OK; /* void already */
    if (part->cell != lease->cell || part->first < lease->first || part->count > lease->count ||
        part->first - lease->first > lease->count - part->count)
        return fs_fail(FS_EPROTO, "it gives back trials that lease %llu does not have",
                       (unsigned long long)part->id);
    if (part->first == lease->first) return finish(self, lease);
    /* The lease goes on with what was kept; the part's trials wait again, unless a twin has them.
     */
    coord_ranges back = {0};
    fs_status status = coord_ranges_intersect(&lease->rest, part->first, part->count, &back);
    const coord_lease *twin = find(self, lease->twin);
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
        FS_TRY(at_work(self, lease) ? lose(self, lease) : release(self, lease));
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
        const coord_lease *lease = find(self, self->held[worker][i]);
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
    const coord_lease *lease = find(self, lease_id);
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
            const coord_lease *twin = find(self, lease->twin);
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
