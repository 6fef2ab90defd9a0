/** How many trials the next lease should have: enough work to make messages cheap, little enough
 * that a lost lease costs seconds and that all workers finish together. Thread rule: reentrant. */
#ifndef COORD_SHARD_H
#define COORD_SHARD_H

#include <stdint.h>

enum {
    COORD_SHARD_MS = 2000,      /* a lease's work, in the middle of a campaign */
    COORD_SHARD_MS_MIN = 50,    /* near the end */
    COORD_SHARD_FIRST_MS = 250, /* while the cell's own cost is not known */
    COORD_SHARD_END_PARTS = 4,  /* near the end a lease is this part of a worker's share */
    COORD_SHARD_BLIND = 4       /* trials per thread while no cost at all is known */
};

typedef struct coord_shard {
    double cell_us;         /* compute time of a trial of the cell; 0: not measured */
    double mean_us;         /* of a trial of the campaign; 0: not measured */
    double left_us;         /* compute time of all open work; 0: not known */
    uint32_t threads;       /* of the worker, at least 1 */
    uint32_t threads_total; /* of all workers */
} coord_shard;

/** @return trials of the next lease, 1..FS_SHARD_TRIALS_MAX, a multiple of the threads if more. */
uint64_t coord_shard_trials(const coord_shard *in);
/** @return the milliseconds that `trials` should take the worker, 0 while no cost is known. */
uint64_t coord_shard_ms(const coord_shard *in, uint64_t trials);

#endif
