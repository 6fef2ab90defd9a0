#include "coord_live.h"

#include "clock.h"

static const char *state_of(const coord_core *core)
{
    if (coord_scheduler_complete(core->scheduler)) return "complete";
    if (core->phase == COORD_DRAINING) return "draining";
    return core->phase == COORD_LEAVING ? "leaving" : core->paused ? "paused" : "running";
}

static json_t *worker_json(const coord_core *core, uint32_t index)
{
    const coord_worker *worker = coord_workers_at(core->workers, index);
    fs_lease held[FS_LEASES_PER_WORKER_MAX];
    uint32_t leases = coord_scheduler_held(core->scheduler, index, held);
    double silent_s = (double)(fs_clock_mono_ms() - worker->heard_ms) / 1000;
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:s, s:I, s:I, s:f}", "uuid", worker->uuid, "host",
                     worker->host, "pid", (json_int_t)worker->pid, "threads",
                     (json_int_t)worker->threads, "busy", (json_int_t)worker->busy, "state",
                     coord_worker_state_name(worker->state), "leases", (json_int_t)leases, "trials",
                     (json_int_t)worker->trials, "silent_s", silent_s);
}

json_t *coord_live_json(const coord_core *core, const coord_progress *progress)
{
    json_t *workers = json_array();
    for (uint32_t i = 0; i < coord_workers_end(core->workers); i++)
        if (coord_worker_allows(coord_workers_at(core->workers, i), COORD_WORKER_LEAVES))
            json_array_append_new(workers, worker_json(core, i));
    double eta_s = coord_progress_eta(progress);
    return json_pack("{s:s, s:I, s:f, s:o, s:I, s:I, s:o}", "state", state_of(core),
                     "trials_remaining", (json_int_t)coord_scheduler_remaining(core->scheduler),
                     "rate_per_s", coord_progress_rate(progress), "eta_s",
                     eta_s >= 0 ? json_real(eta_s) : json_null(), "retries",
                     (json_int_t)coord_scheduler_retries(core->scheduler), "leases",
                     (json_int_t)coord_scheduler_leases(core->scheduler), "workers", workers);
}
