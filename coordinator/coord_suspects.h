/** Ranges of trials on which workers died or were lost, waiting to be granted alone.
 *
 * Bounded by COORD_SUSPECTS_MAX. First in, first out. Thread rule: one thread at a time. */
#ifndef COORD_SUSPECTS_H
#define COORD_SUSPECTS_H

#include <stddef.h>
#include <stdint.h>

#include "coord_ranges.h"

enum { COORD_SUSPECTS_MAX = 4096 };

typedef struct coord_suspect {
    uint32_t cell;
    unsigned deaths; /* seen ones, on this one trial; 0 for a range of several */
    unsigned losses; /* of workers that fell silent on this very range */
    fs_range range;
} coord_suspect;

typedef struct coord_suspects {
    coord_suspect *at;
    size_t count;
    size_t capacity;
} coord_suspects;

void coord_suspects_free(coord_suspects *self);
/** Errors: FS_ENOMEM; FS_ELIMIT when full, which leaves it to the caller where the trials go. */
FS_MUST_CHECK fs_status coord_suspects_add(coord_suspects *self, coord_suspect suspect);
/** Takes the oldest one. @return nonzero if there was one. */
int coord_suspects_take(coord_suspects *self, coord_suspect *out);
/** Forgets the trials of a range of a cell. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_suspects_remove(coord_suspects *self, uint32_t cell, fs_range range);
/** Moves the suspect trials of a cell within a range to `out`, but no trial with seen deaths into a
 * longer range. `found` gets how many trials, and the most deaths and losses of them. Errors:
 * FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_suspects_reclaim(coord_suspects *self, uint32_t cell, fs_range range,
                                               coord_ranges *out, coord_suspect *found);

#endif
