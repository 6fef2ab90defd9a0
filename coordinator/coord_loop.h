/** Runs a campaign to its end: the libuv loop around coord_core, with clock, signals, local
 * workers, control socket and progress. Thread rule: blocks the calling thread, one at a time. */
#ifndef COORD_LOOP_H
#define COORD_LOOP_H

#include <stdint.h>

#include "plan.h"
#include "status.h"
#include "store.h"

enum {
    COORD_TICK_MS = 50,          /* how often we look whether the end is reached */
    COORD_CORE_TICK_MS = 200,    /* how often we look for silent workers and expired leases */
    COORD_LEAVE_MS = 3000,       /* for workers to say goodbye */
    COORD_DRAIN_MS = 120000,     /* for leases to be finished when draining */
    COORD_LINGER_MS = 500,       /* for the last frames to leave */
    COORD_LINE_FIRST_MS = 10000, /* the first plain progress line, */
    COORD_LINE_MS = 60000,       /* and between lines */
    COORD_BAR_MS = 250           /* between changes of the bar */
};

typedef struct coord_loop_options {
    const fs_plan *plan;
    const char *campaign_text; /* effective */
    const char *state_dir;     /* the store's folder, for the control socket */
    const char *endpoint;      /* to bind */
    uint32_t workers;          /* local ones to start, 0: none */
    uint32_t threads;          /* of each, 0: its default */
    int brute_force;
    int simulate;
    uint64_t simulate_us; /* of each simulated trial */
    double audit;
    const char *work;  /* as coord_local_options' */
    int grace;         /* workers of a former coordinator may be alive: wait for them */
    uint64_t until_ms; /* wall clock: drain then; 0: never */
    /** Told the bound endpoint before anything else happens; may be NULL. */
    fs_status (*bound)(void *data, const char *endpoint);
    void *data;
} coord_loop_options;

/** Runs. The store is taken over, and closed when this returns.
 * @return FS_OK if the campaign is complete; FS_EINCOMPLETE if it was stopped or drained and
 * FS_EINTERRUPTED if it was told twice, the detail says how to go on; the first failure otherwise.
 */
FS_MUST_CHECK fs_status coord_loop_run(const coord_loop_options *options, fs_store **store);

#endif
