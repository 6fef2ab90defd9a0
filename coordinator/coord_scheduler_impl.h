/** What the parts of the scheduler share: coord_scheduler.c (what workers report), _grant.c (what
 * they get), _suspect.c (what kills them), _check.c. */
#ifndef COORD_SCHEDULER_IMPL_H
#define COORD_SCHEDULER_IMPL_H

#include "coord_scheduler.h"
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

/** @return the lease of that id, NULL if there is none or the id is 0. */
coord_lease *coord_scheduler__find(const coord_scheduler *self, uint64_t id);
/** Takes a run of trials away from wherever it waits or is leased. */
FS_MUST_CHECK fs_status coord_scheduler__claim_away(coord_scheduler *self, uint32_t cell,
                                                    fs_range range);
/** Leaves in `lease` nothing that its twin still has, and parts the twins. */
FS_MUST_CHECK fs_status coord_scheduler__part_twins(coord_scheduler *self, coord_lease *lease);
/** Ends a lease whose rest is dealt with. */
void coord_scheduler__end(coord_scheduler *self, coord_lease *lease);
/** Makes the rest of a lease available again and ends it. */
FS_MUST_CHECK fs_status coord_scheduler__finish(coord_scheduler *self, coord_lease *lease);
/** Gives the lease what is still available of the range it was granted. */
FS_MUST_CHECK fs_status coord_scheduler__reclaim(coord_scheduler *self, coord_lease *lease);

#endif
