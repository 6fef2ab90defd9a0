/** The worker process: one libuv loop with the bus, the session, the compute threads, signals.
 *
 * Preparing for a campaign (hashing models takes seconds) runs on libuv's thread pool, so that
 * heartbeats go on. Signals: TERM and the first INT give back what is not started and leave when
 * what runs is acknowledged; USR1 finishes the leases held first; a second INT leaves at once. */
#ifndef WK_LOOP_H
#define WK_LOOP_H

#include "wk_executor.h"
#include "wk_session.h"

typedef struct wk_loop_options {
    const char *endpoint; /* of the coordinator */
    const char *models;   /* as wk_service_request's; NULL: none */
    wk_options executor;
    uint64_t idle_exit_ms; /* 0: wait for ever */
    int simulate;          /* nonzero: no models; every trial costs simulate_us */
    uint64_t simulate_us;
} wk_loop_options;

/** Serves until the coordinator, a signal or the idle limit ends it; `counts` says what it did.
 * Compute threads may still run when it returns: the process is to end without waiting for them.
 * Errors: FS_EUSAGE for a malformed endpoint; FS_EREFUSED if the coordinator rejected this worker
 * or its models differ; FS_ETIMEOUT if none ever answered within the idle limit; others that kept
 * it from serving. */
FS_MUST_CHECK fs_status wk_loop_run(const wk_loop_options *options, wk_counts *counts);

#endif
