/** Leases and their state machine, and the table that holds them.
 *
 * A lease lends a run of trials of one cell to one worker until a deadline that its heartbeats
 * renew. Expired is not failed: the holder may come back, and its results are welcome. Nothing but
 * coord_lease_transition() changes a lease's state. Ids never repeat, also not over restarts of the
 * coordinator, so that a late message can never mean another lease.
 * Thread rule: one thread at a time. */
#ifndef COORD_LEASE_H
#define COORD_LEASE_H

#include <stddef.h>
#include <stdint.h>

#include "coord_ranges.h"
#include "limits.h"

typedef enum coord_lease_state {
    COORD_LEASE_FREE,    /* not in use */
    COORD_LEASE_GRANTED, /* sent to its worker, nothing came back yet */
    COORD_LEASE_RUNNING, /* results came */
    COORD_LEASE_EXPIRED, /* its trials may be granted elsewhere; the holder may come back */
    COORD_LEASE_STATE_COUNT
} coord_lease_state;

typedef enum coord_lease_event {
    COORD_LEASE_GRANT,    /* given out, or held by a worker that we learn about */
    COORD_LEASE_RESULTS,  /* results of it came */
    COORD_LEASE_RENEW,    /* its holder says that it holds it */
    COORD_LEASE_DEADLINE, /* no word for too long */
    COORD_LEASE_END,      /* finished, given back, or its holder is gone */
    COORD_LEASE_EVENT_COUNT
} coord_lease_event;

typedef struct coord_lease {
    uint64_t id;
    uint64_t first; /* as granted */
    uint64_t count;
    coord_ranges rest; /* granted and not received; empty while expired */
    uint64_t granted_ms;
    uint64_t deadline_ms;
    uint64_t expected_ms; /* how long it should take, 0 where that is not known */
    uint64_t twin;        /* id of the other copy at the tail, 0: none */
    uint32_t cell;
    uint32_t worker;
    unsigned deaths; /* seen ones, of workers on this suspect trial before */
    unsigned losses; /* of workers that fell silent on this range before */
    coord_lease_state state;
    int suspect;    /* granted alone, because workers died on it */
    int warm;       /* its worker has made the golden run: a death now is the trials' */
    uint32_t chain; /* next index in the same bucket */
} coord_lease;

typedef struct coord_leases {
    coord_lease *at; /* [used], free ones among them */
    uint32_t used;
    uint32_t capacity;
    uint32_t live;      /* not free */
    uint32_t free_list; /* chained by `chain` */
    uint64_t next_id;
    uint32_t *bucket; /* [COORD_LEASE_BUCKETS] */
} coord_leases;

enum { COORD_LEASE_BUCKETS = 4096, COORD_LEASES_MAX = FS_WORKERS_MAX * FS_LEASES_PER_WORKER_MAX };

/** @return the lease's new state, which is set. Asserts that the event is legal in its state. */
coord_lease_state coord_lease_transition(coord_lease *self, coord_lease_event event);
/** @return nonzero if the event is legal in the lease's state. */
int coord_lease_allows(const coord_lease *self, coord_lease_event event);

/** `first_id` must be above every id given out before. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_leases_init(coord_leases *self, uint64_t first_id);
void coord_leases_free(coord_leases *self);
/** Makes a lease with a fresh id, or with `id` if that is not 0 (a lease from before a restart),
 * in state granted. The pointer is valid until the next coord_leases_add(). Errors: FS_ENOMEM,
 * FS_ELIMIT beyond COORD_LEASES_MAX, FS_EPROTO if `id` is in use. */
FS_MUST_CHECK fs_status coord_leases_add(coord_leases *self, uint64_t id, coord_lease **out);
/** @return the lease of that id, NULL if there is none (any more). */
coord_lease *coord_leases_find(const coord_leases *self, uint64_t id);
/** Ends a lease and frees its slot. */
void coord_leases_end(coord_leases *self, coord_lease *lease);

#endif
