/** Who runs which trials: pure logic with a virtual clock, no input or output.
 *
 * The queue is ranges: of every cell the trials below the look in force that have no result yet.
 * Cells are opened up to their first look; when every trial below it is committed the stopping rule
 * decides, so that the decision depends on complete prefixes only and never on the order of
 * arrival. Work is granted in leases of one to five seconds by the measured cost of the cell,
 * smaller near the end; idle workers get a second copy of a straggler's range. A range whose worker
 * was seen to die while running it becomes suspect: it is granted alone and bisected, and a single
 * trial that killed FS_LEASE_DEATHS_MAX workers is quarantined. Silence is no death: a switch that
 * restarts must not condemn a trial. A range whose workers fall silent again and again is bisected
 * too, so that the rest of it gets done, and never quarantined for that.
 *
 * A trial below the look is in exactly one of: available, suspect, the rest of one lease (of two,
 * if they are twins), received and not yet committed, done. Thread rule: one thread at a time. */
#ifndef COORD_SCHEDULER_H
#define COORD_SCHEDULER_H

#include <stddef.h>
#include <stdint.h>

#include "coord_ledger.h"

typedef struct coord_scheduler coord_scheduler;

/** How a worker went. */
typedef enum coord_departure {
    COORD_PLANNED, /* said goodbye, or we let it go: nothing to suspect */
    COORD_LOST,    /* fell silent: it may live, and its connection may not */
    COORD_DIED     /* its process was seen to end */
} coord_departure;

enum {
    COORD_STRAGGLER_MS = 1500, /* beyond twice its expected time a lease gets a second copy */
    COORD_COLD_DEATHS_MAX = 3  /* deaths in a row before a golden run was made, from which on they
                                  are put down to the trials too */
};

/** `first_lease` must be above every lease id given out before. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_scheduler_new(coord_scheduler **out, const coord_cells *cells,
                                            uint64_t first_lease);
void coord_scheduler_destroy(coord_scheduler **self);
/** Tells what the store has of a cell, before the first grant: its done trials and how many of
 * them are critical. Errors: FS_ENOMEM, FS_ECORRUPT for trials beyond the cell's. */
FS_MUST_CHECK fs_status coord_scheduler_load(coord_scheduler *self, uint32_t cell,
                                             const fs_range *done, size_t count, uint64_t critical);
/** Tells of a trial that a former coordinator quarantined, before coord_scheduler_load().
 * Errors: FS_ENOMEM, FS_ECORRUPT for a trial that the plan does not have. */
FS_MUST_CHECK fs_status coord_scheduler_load_quarantined(coord_scheduler *self, uint32_t cell,
                                                         uint64_t trial);
/** Sets the compute threads of all workers together, by which the rest is divided at the end. */
void coord_scheduler_capacity(coord_scheduler *self, uint32_t threads);

/** Grants a worker its next lease, if there is work for it. `*granted` tells. A worker has at most
 * FS_LEASES_PER_WORKER_MAX leases, expired ones that it may still hold included.
 * Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_scheduler_grant(coord_scheduler *self, uint32_t worker,
                                              uint32_t threads, uint64_t now_ms, fs_lease *out,
                                              int *granted);
/** Notes that the lease's worker has made the golden run it needs. */
void coord_scheduler_warm(coord_scheduler *self, uint64_t lease);
/** A worker says that it holds a lease that we may not know: it is re-created over what nobody else
 * was granted of its range. Errors: FS_EPROTO for a lease outside the plan or of another worker or
 * one too many; FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_scheduler_adopt(coord_scheduler *self, uint32_t worker,
                                              const fs_lease *lease, uint64_t now_ms);
/** Renews the leases that a worker says it holds. Those that expired are its own again as far as
 * their trials were not granted elsewhere; expired ones not named are ended.
 * Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_scheduler_heartbeat(coord_scheduler *self, uint32_t worker,
                                                  const uint64_t *leases, size_t count,
                                                  uint64_t now_ms);
/** A worker introduces itself again: of its leases only those named still stand.
 * Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_scheduler_keep(coord_scheduler *self, uint32_t worker,
                                             const fs_lease *leases, size_t count);
/** Results arrived, in whatever state their lease is; they are on their way to the store.
 * `cost_us` is their compute time, 0 if unknown. Errors: FS_EPROTO for trials that were never
 * opened, FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_scheduler_received(coord_scheduler *self, uint32_t worker,
                                                 uint64_t lease, uint32_t cell,
                                                 const fs_range *ranges, size_t count, int last,
                                                 uint64_t cost_us, uint64_t now_ms);
/** Results are durable. `critical` counts those of them that were new. May end the cell or open
 * it up to its next look. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_scheduler_committed(coord_scheduler *self, uint32_t cell,
                                                  const fs_range *ranges, size_t count,
                                                  uint64_t critical);
/** A worker gives a part of its lease back. Errors: FS_EPROTO, FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_scheduler_returned(coord_scheduler *self, uint32_t worker,
                                                 const fs_lease *part);
/** A trial could not be run by a worker that lives on; counts as a death on that trial.
 * Errors: FS_EPROTO, FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_scheduler_trial_failed(coord_scheduler *self, uint64_t lease,
                                                     uint32_t cell, uint64_t trial);
/** A worker is gone, with all its leases. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_scheduler_left(coord_scheduler *self, uint32_t worker,
                                             coord_departure how);
/** Expires leases whose deadline is past. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_scheduler_tick(coord_scheduler *self, uint64_t now_ms);
/** Takes one trial that has been quarantined since and is to be stored as such. It counts as done.
 * @return nonzero if there was one. */
int coord_scheduler_quarantined(coord_scheduler *self, coord_quarantine *out);

/** @return nonzero when every cell is complete or stopped by its rule. */
int coord_scheduler_complete(const coord_scheduler *self);
/** @return trials of all cells that have a result or are quarantined. */
uint64_t coord_scheduler_done(const coord_scheduler *self);
/** @return trials that the campaign still may need: those not done in cells that go on. */
uint64_t coord_scheduler_remaining(const coord_scheduler *self);
/** Writes the leases that a worker holds, expired ones included. @return how many. */
uint32_t coord_scheduler_held(const coord_scheduler *self, uint32_t worker,
                              fs_lease out[FS_LEASES_PER_WORKER_MAX]);
/** @return nonzero if trials wait that are nobody's. */
int coord_scheduler_waiting(coord_scheduler *self);
/** @return when a lease was granted, 0 if it is not known (any more). */
uint64_t coord_scheduler_granted_ms(const coord_scheduler *self, uint64_t lease);
/** @return leases of all workers. */
uint32_t coord_scheduler_leases(const coord_scheduler *self);
/** @return how often trials became available again after a lease ended or expired undone. */
uint64_t coord_scheduler_retries(const coord_scheduler *self);
/** The look in force: trials below it are open. */
uint64_t coord_scheduler_look(const coord_scheduler *self, uint32_t cell);
/** Asserts that every open trial is in exactly one place; for tests. */
void coord_scheduler_check(const coord_scheduler *self);

#endif
