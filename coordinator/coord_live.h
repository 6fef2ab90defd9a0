/** What only the running coordinator knows, as JSON: workers, rate, time left.
 *
 * `{state, phase, trials_remaining, rate_per_s, eta_s, retries, leases, workers: [{id,
 * host, pid, threads, busy, state, leases, trials, silent_s}]}`. eta_s is null while it is
 * not known. Thread rule: the loop's thread. */
#ifndef COORD_LIVE_H
#define COORD_LIVE_H

#include <jansson.h>

#include "coord_core.h"
#include "coord_progress.h"

/** @return a new reference, NULL without memory. */
json_t *coord_live_json(const coord_core *core, const coord_progress *progress);

#endif
