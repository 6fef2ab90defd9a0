/** The open work of a campaign: of every cell, which trials wait and which are not done.
 *
 * Cells are opened up to their first look. When every trial below it is done the stopping rule
 * decides, so that the decision rests on a complete prefix and never on the order of arrival. Knows
 * nothing of leases and workers. Thread rule: one thread at a time. */
#ifndef COORD_QUEUE_H
#define COORD_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "coord_ranges.h"

/** What the queue asks about cells; see fs_cell_next_look() and fs_cell_stops(). */
typedef struct coord_cells {
    uint32_t count;
    uint64_t (*trials)(void *data, uint32_t cell); /* the most that can be needed */
    uint64_t (*next_look)(void *data, uint32_t cell, uint64_t done);
    /** `n` trials that have a result, all below a look. */
    int (*stops)(void *data, uint32_t cell, uint64_t n, uint64_t critical);
    void *data;
} coord_cells;

typedef struct coord_cell {
    coord_ranges available;   /* open, and nobody's */
    coord_ranges undone;      /* open, and not done: available, leased, or on the way */
    coord_ranges quarantined; /* below the look, without a result */
    uint64_t look;            /* trials below it are open */
    uint64_t done;            /* committed or quarantined */
    uint64_t critical;        /* of the committed */
    double cost_us;           /* compute time of one trial, 0: not measured */
    int closed;               /* complete, or stopped by its rule */
} coord_cell;

typedef struct coord_queue {
    coord_cells cells;
    coord_cell *cell;    /* [cells.count] */
    uint32_t hint;       /* no cell before it has anything available */
    uint32_t open_cells; /* not closed */
    uint64_t done;       /* trials done, of all cells */
    uint64_t remaining;  /* trials that the cells that go on may still need */
    double mean_us;      /* compute time of a trial lately, 0: not measured */
    double work_us;      /* estimate of the open work, made at work_ms */
    uint64_t work_ms;
} coord_queue;

/** Opens every cell to its first look. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_queue_init(coord_queue *self, const coord_cells *cells);
void coord_queue_free(coord_queue *self);
/** Tells what is done of a cell already, and how much of it is critical. Errors: FS_ENOMEM,
 * FS_ECORRUPT for trials that the cell does not have. */
FS_MUST_CHECK fs_status coord_queue_load(coord_queue *self, uint32_t cell, const fs_range *done,
                                         size_t count, uint64_t critical);
/** Marks a trial that gets no result as done; of those that a former coordinator has quarantined it
 * is told before coord_queue_load(), as `loading`. It does not count when the rule decides, unless
 * a late result of it comes. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_queue_quarantine(coord_queue *self, uint32_t cell, uint64_t trial,
                                               int loading);
/** Puts those of the trials back that are not done. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_queue_put(coord_queue *self, uint32_t cell, fs_range range);
/** @return the first cell with something available, cells.count if none has. */
uint32_t coord_queue_next(coord_queue *self);
/** Marks trials as done, `critical` of them critical, and settles the cell: it may end, or be
 * opened up to its next look. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_queue_done(coord_queue *self, uint32_t cell, const fs_range *ranges,
                                         size_t count, uint64_t critical);
/** Learns the compute time of `trials` of a cell. */
void coord_queue_measured(coord_queue *self, uint32_t cell, uint64_t trials, uint64_t cost_us);
/** @return estimated compute time of everything open and not done, 0 while no cost is known; made
 * anew every WORK_ESTIMATE_MS at most. */
double coord_queue_work_us(coord_queue *self, uint64_t now_ms);

#endif
