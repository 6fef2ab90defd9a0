/* What a worker gets next: open work, a suspect range, a copy of a straggler's; or what it holds
 * already from a former coordinator. */
#include "assert.h"
#include "coord_scheduler_impl.h"
#include "coord_shard.h"

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
        const coord_lease *lease = coord_scheduler__find(self, self->held[worker][i]);
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
    lease->twin = original_id;
    original = coord_scheduler__find(self, original_id);
    if (original != NULL) original->twin = lease->id;
    coord_shard shard = shard_of(self, wanted.cell, threads, now_ms);
    lease->expected_ms = coord_shard_ms(&shard, wanted.count);
    for (size_t i = 0; i < FS_LEASES_PER_WORKER_MAX; i++) {
        const coord_lease *before = coord_scheduler__find(self, self->held[worker][i]);
        if (before != NULL && before != lease) lease->expected_ms += before->expected_ms;
    }
    *out = (fs_lease){lease->id, lease->cell, lease->first, lease->count};
    *granted = 1;
    return FS_OK;
}

void coord_scheduler_warm(coord_scheduler *self, uint64_t lease_id)
{
    coord_lease *lease = coord_scheduler__find(self, lease_id);
    if (lease != NULL) lease->warm = 1;
}

fs_status coord_scheduler__reclaim(coord_scheduler *self, coord_lease *lease)
{
    coord_ranges *available = &self->queue.cell[lease->cell].available;
    FS_TRY(coord_ranges_intersect(available, lease->first, lease->count, &lease->rest));
    return coord_ranges_remove(available, lease->first, lease->count);
}

fs_status coord_scheduler_adopt(coord_scheduler *self, uint32_t worker, const fs_lease *wanted,
                                uint64_t now_ms)
{
    FS_ASSERT(worker < FS_WORKERS_MAX);
    coord_lease *lease = coord_scheduler__find(self, wanted->id);
    if (lease != NULL && lease->worker == worker)
        return coord_scheduler_heartbeat(self, worker, &wanted->id, 1, now_ms);
    if (wanted->id == 0 || lease != NULL || wanted->cell >= self->queue.cells.count ||
        wanted->count == 0 || wanted->count > FS_SHARD_TRIALS_MAX || wanted->first >= FS_TRIALS_MAX)
        return fs_fail(FS_EPROTO, "it holds a lease %llu that cannot be its own",
                       (unsigned long long)wanted->id);
    if (free_place(self, worker) == FS_LEASES_PER_WORKER_MAX)
        return fs_fail(FS_EPROTO, "it holds more than %d leases", (int)FS_LEASES_PER_WORKER_MAX);
    FS_TRY(lend(self, worker, wanted, now_ms, &lease));
    return coord_scheduler__reclaim(self, lease);
}
