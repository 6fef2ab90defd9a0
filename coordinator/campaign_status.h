/** A campaign's state as `status`, `run` and the report's readers see it: one JSON document with
 * stable field names, and the same for a terminal.
 *
 * Everything comes from the store's summary; a running coordinator may lay what only it knows over
 * it. Equal stores give equal cells, byte for byte. Source: `cli.md`.
 * Thread rule: one thread at a time. */
#ifndef CAMPAIGN_STATUS_H
#define CAMPAIGN_STATUS_H

#include <jansson.h>
#include <stdio.h>

#include "plan.h"
#include "store.h"

/** Builds the document. `live` is NULL, or an object of the running coordinator (coord_live.h)
 * whose fields replace the document's, all but `cells` and `trials_done`; its `state` becomes
 * `phase`. The caller frees `*out` with json_decref.
 *
 * Fields: campaign, fingerprint, metric (its name), state (`running`, `complete`, `incomplete`:
 * so too where all that lacks is quarantined), trials_planned, trials_done, duplicates, mismatches,
 * quarantined, quarantined_trials[] (ids of the first), retries, rate_per_s, eta_s,
 * confidence, intervals (which kind each is), workers[{uuid, host, trials, duplicates, mismatches,
 * first_ms, last_ms}], arms[] (summary_arms.h says what of), cells[]. A cell has id, sweep, arm,
 * pair, layer, components[], stages[], amount, value, kind, bits, guard, trials,
 * sites, provably_masked_sites, provably_masked_reasons{segments, positions, token_rows, bits}
 * (they sum to it; plan.h says what each is), provably_masked (all of its sites are), reads_known
 * (a worker has said what inputs read; if not, only what the plan knows is counted), n, injected
 * (what rates are shares of: n without the trials of a list that hit nothing), basis (`sampled`;
 * `enumerated` for lists and logs and `proved` where no fault can matter: there intervals and
 * critical_confidence are null, and rates of the latter known without trials), complete, stopped,
 * inputs, masked, benign, sdc, due (these five in inputs summed over trials),
 * trials_masked ... trials_not_injected, critical, *_rate{value, low, high}, critical_confidence
 * (of critical_rate: higher than `confidence` under a stopping rule, see fs_cell_confidence()),
 * metric_mean, metric_low, metric_high, metric_median, metric_median_low, metric_median_high,
 * metric_q05, metric_q95, metric_nonfinite, metric_equal (trials, if all have one finite value;
 * else 0), metric_golden, and the sums of the fault counters. A number that does not exist (NaN,
 * Inf) is null; so is rate_per_s where no coordinator runs. Errors: those of the store, FS_ENOMEM.
 */
FS_MUST_CHECK fs_status status_json(fs_store *store, const fs_plan *plan, const json_t *live,
                                    json_t **out);
/** Prints the document for people: the state, then one line for each point of the sweep with the
 * arms side by side (one line for each cell where there are more than three), then what the
 * intervals are, for those that are sampled. */
void status_print(FILE *out, const json_t *status);

#endif
