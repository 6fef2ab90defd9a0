/** Where every open trial is: available, suspect, in the rest of a lease, or quarantined; and the
 * moves between these places. Who gets what and when is the scheduler's.
 *
 * A trial below its cell's look is in exactly one place; only twins, two copies of a straggler's
 * range, share theirs. Thread rule: one thread at a time. */
#ifndef COORD_LEDGER_H
#define COORD_LEDGER_H

#include <stddef.h>
#include <stdint.h>

#include "coord_lease.h"
#include "coord_queue.h"
#include "coord_suspects.h"
#include "proto.h"

enum { COORD_LOSSES_MAX = 3 /* silent workers on one range, after which it is halved */ };

typedef struct coord_quarantine {
    uint32_t cell;
    uint64_t trial;
    unsigned deaths;
} coord_quarantine;

typedef struct coord_ledger {
    coord_queue queue;
    coord_leases leases;
    uint64_t held[FS_WORKERS_MAX][FS_LEASES_PER_WORKER_MAX]; /* lease ids, 0: none */
    coord_suspects suspects;
    coord_quarantine *quarantine; /* [quarantine_count], not yet taken by the owner */
    size_t quarantine_count, quarantine_capacity;
    uint64_t retries;
} coord_ledger;

/** `first_lease` as for coord_scheduler_new(). Errors: FS_ENOMEM; free it all the same. */
FS_MUST_CHECK fs_status coord_ledger_init(coord_ledger *self, const coord_cells *cells,
                                          uint64_t first_lease);
void coord_ledger_free(coord_ledger *self);

/** @return the lease of that id; NULL for 0 and for one that is over. */
coord_lease *coord_ledger_find(const coord_ledger *self, uint64_t id);
/** @return the lease in a worker's place, NULL if it is free. */
coord_lease *coord_ledger_held(const coord_ledger *self, uint32_t worker, size_t place);
/** @return the worker's first free place, FS_LEASES_PER_WORKER_MAX if there is none. */
size_t coord_ledger_free_place(const coord_ledger *self, uint32_t worker);

/** Makes a lease, whose rest is empty yet, in a free place of the worker. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_ledger_lend(coord_ledger *self, uint32_t worker,
                                          const fs_lease *wanted, uint64_t now_ms,
                                          coord_lease **out);
/** Gives the lease what nobody else was granted of its range. That its worker is back takes one
 * loss back. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_ledger_reclaim(coord_ledger *self, coord_lease *lease);
/** Takes a run of trials away from wherever it waits or is leased. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_ledger_claim(coord_ledger *self, uint32_t cell, fs_range range);

/** Makes the rest of a lease available again; a suspect range stays one. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_ledger_release(coord_ledger *self, coord_lease *lease);
/** Releases a lease and ends it. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_ledger_finish(coord_ledger *self, coord_lease *lease);
/** The lease's worker was seen to die while running it: its rest is bisected, the lease ends. A
 * single trial that was granted alone counts its deaths. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_ledger_strike(coord_ledger *self, coord_lease *lease);
/** The lease's worker fell silent while running it. That is no strike; only the range which it
 * happens to over and over is halved. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_ledger_lose(coord_ledger *self, coord_lease *lease);

/** A run of trials, in nobody's hands, on which a worker died or was lost, becomes suspect; a
 * single one with FS_LEASE_DEATHS_MAX deaths is quarantined. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_ledger_suspect(coord_ledger *self, const coord_suspect *what);
/** Takes one trial quarantined since. @return nonzero if there was one. */
int coord_ledger_quarantined(coord_ledger *self, coord_quarantine *out);

/** Asserts that every open trial is in exactly one place; for tests. */
void coord_ledger_check(const coord_ledger *self);

#endif
