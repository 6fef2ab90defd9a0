/** What only the running coordinator knows, as JSON: workers, rate, time left.
 *
 * `{state, trials_remaining, rate_per_s, eta_s, retries, leases, workers: [{uuid, host, pid,
 * threads, busy, state, leases, trials, silent_s}]}`. The state is running, paused (the disk is
 * full), draining, leaving or complete; eta_s is null while it is not known. status_json() lays it
 * over the store's document. Thread rule: the loop's thread. */
#ifndef COORD_LIVE_H
#define COORD_LIVE_H

#include <jansson.h>

#include "coord_core.h"
#include "coord_progress.h"

/** @return a new reference, NULL without memory. */
json_t *coord_live_json(const coord_core *core, const coord_progress *progress);

#endif
