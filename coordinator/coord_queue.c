#include "coord_queue.h"

#include <stdlib.h>

#include "assert.h"

enum { WORK_ESTIMATE_MS = 200 };

static const double cost_weight = 0.3; /* of a new measurement in the running mean */

static uint64_t trials_of(const coord_queue *self, uint32_t cell)
{
    return self->cells.trials(self->cells.data, cell);
}

fs_status coord_queue_init(coord_queue *self, const coord_cells *cells)
{
    *self = (coord_queue){.cells = *cells, .open_cells = cells->count};
    self->cell = calloc(cells->count > 0 ? cells->count : 1, sizeof *self->cell);
    if (self->cell == NULL) return fs_fail(FS_ENOMEM, "no memory for %u cells", cells->count);
    fs_status status = FS_OK;
    for (uint32_t i = 0; status == FS_OK && i < cells->count; i++) {
        self->remaining += trials_of(self, i);
        status = coord_queue_load(self, i, NULL, 0, 0);
    }
    if (status != FS_OK) coord_queue_free(self);
    return status;
}

void coord_queue_free(coord_queue *self)
{
    for (uint32_t i = 0; self->cell != NULL && i < self->cells.count; i++) {
        coord_ranges_free(&self->cell[i].available);
        coord_ranges_free(&self->cell[i].undone);
        coord_ranges_free(&self->cell[i].quarantined);
    }
    free(self->cell);
    *self = (coord_queue){0};
}

static fs_status make_available(coord_queue *self, uint32_t cell, uint64_t first, uint64_t count)
{
    FS_TRY(coord_ranges_add(&self->cell[cell].available, first, count));
    if (cell < self->hint) self->hint = cell;
    return FS_OK;
}

/** Opens the cell up to `look`. */
static fs_status open_to(coord_queue *self, uint32_t cell, uint64_t look)
{
    coord_cell *c = &self->cell[cell];
    FS_ASSERT(look > c->look);
    FS_TRY(coord_ranges_add(&c->undone, c->look, look - c->look));
    FS_TRY(make_available(self, cell, c->look, look - c->look));
    c->look = look;
    return FS_OK;
}

static void close_cell(coord_queue *self, uint32_t cell)
{
    coord_cell *c = &self->cell[cell];
    FS_ASSERT(!c->closed && c->undone.trials == 0);
    c->closed = 1;
    self->open_cells--;
    self->remaining -= trials_of(self, cell) - c->done;
    coord_ranges_free(&c->available);
    coord_ranges_free(&c->undone);
}

static fs_status take_done(coord_queue *self, uint32_t cell, fs_range range)
{
    coord_cell *c = &self->cell[cell];
    uint64_t before = c->undone.trials;
    FS_TRY(coord_ranges_remove(&c->undone, range.first, range.count));
    uint64_t gone = before - c->undone.trials;
    c->done += gone;
    self->done += gone;
    self->remaining -= gone;
    return FS_OK;
}

/** Decides at a look whose trials are all done: the cell ends, or is opened to the next one. */
static fs_status settle(coord_queue *self, uint32_t cell)
{
    coord_cell *c = &self->cell[cell];
    if (c->closed || c->undone.trials > 0) return FS_OK;
    uint64_t all = trials_of(self, cell), n = c->look - c->quarantined.trials;
    if (c->look >= all || (n > 0 && self->cells.stops(self->cells.data, cell, n, c->critical))) {
        close_cell(self, cell);
        return FS_OK;
    }
    return open_to(self, cell, self->cells.next_look(self->cells.data, cell, c->look));
}

fs_status coord_queue_load(coord_queue *self, uint32_t cell, const fs_range *done, size_t count,
                           uint64_t critical)
{
    FS_ASSERT(cell < self->cells.count);
    coord_cell *c = &self->cell[cell];
    uint64_t end = count > 0 ? done[count - 1].first + done[count - 1].count : 0;
    if (end > trials_of(self, cell))
        return fs_fail(FS_ECORRUPT, "cell %u: the store has trial %llu, the plan has %llu trials",
                       cell, (unsigned long long)(end - 1),
                       (unsigned long long)trials_of(self, cell));
    c->critical = critical;
    /* A trial beyond a look was run only because the rule had said to go on at that look. */
    while (c->look < end)
        FS_TRY(open_to(self, cell, self->cells.next_look(self->cells.data, cell, c->look)));
    for (size_t i = 0; i < count; i++) {
        FS_TRY(coord_ranges_remove(&c->available, done[i].first, done[i].count));
        FS_TRY(take_done(self, cell, done[i]));
    }
    return settle(self, cell);
}

fs_status coord_queue_put(coord_queue *self, uint32_t cell, fs_range range)
{
    coord_cell *c = &self->cell[cell];
    FS_TRY(coord_ranges_intersect(&c->undone, range.first, range.count, &c->available));
    if (cell < self->hint) self->hint = cell;
    return FS_OK;
}

uint32_t coord_queue_next(coord_queue *self)
{
    while (self->hint < self->cells.count && self->cell[self->hint].available.trials == 0)
        self->hint++;
    return self->hint;
}

fs_status coord_queue_done(coord_queue *self, uint32_t cell, const fs_range *ranges, size_t count,
                           uint64_t critical)
{
    FS_ASSERT(cell < self->cells.count);
    coord_cell *c = &self->cell[cell];
    c->critical += critical;
    for (size_t i = 0; i < count; i++) {
        FS_TRY(coord_ranges_remove(&c->quarantined, ranges[i].first, ranges[i].count));
        FS_TRY(take_done(self, cell, ranges[i]));
    }
    return settle(self, cell);
}

fs_status coord_queue_quarantine(coord_queue *self, uint32_t cell, uint64_t trial, int loading)
{
    FS_ASSERT(cell < self->cells.count);
    FS_TRY(coord_ranges_add(&self->cell[cell].quarantined, trial, 1));
    if (loading) return FS_OK;
    FS_TRY(take_done(self, cell, (fs_range){trial, 1}));
    return settle(self, cell);
}

static void learn(double *mean, double value)
{
    *mean = *mean > 0 ? *mean + cost_weight * (value - *mean) : value;
}

void coord_queue_measured(coord_queue *self, uint32_t cell, uint64_t trials, uint64_t cost_us)
{
    if (trials == 0 || cost_us == 0) return;
    double each = (double)cost_us / (double)trials;
    learn(&self->cell[cell].cost_us, each);
    learn(&self->mean_us, each);
}

double coord_queue_work_us(coord_queue *self, uint64_t now_ms)
{
    if (self->work_us > 0 && now_ms - self->work_ms < WORK_ESTIMATE_MS) return self->work_us;
    double sum = 0;
    for (uint32_t i = 0; i < self->cells.count; i++) {
        const coord_cell *c = &self->cell[i];
        sum += (double)c->undone.trials * (c->cost_us > 0 ? c->cost_us : self->mean_us);
    }
    self->work_us = sum;
    self->work_ms = now_ms;
    return sum;
}
