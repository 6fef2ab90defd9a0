#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "cli.h"
#include "cli_campaign.h"
#include "coord_local.h"
#include "coord_loop.h"
#include "cores.h"
#include "file.h"
#include "limits.h"
#include "log.h"

typedef struct run_values {
    cli_campaign campaign;
    uint32_t workers;
    uint32_t threads;
    int brute_force;
    uint64_t simulate_us;
    double audit;
} run_values;

static const fs_option run_options[] = {
    {"workers", 'w', "N", FS_OPTION_U32, offsetof(run_values, workers),
     "local worker processes (default: 1)", 1, COORD_LOCAL_MAX},
    {"threads", 't', "T", FS_OPTION_U32, offsetof(run_values, threads),
     "compute threads of each worker (default: the cores, shared out)", 1, FS_THREADS_MAX},
    CLI_CAMPAIGN_OPTIONS,
    {"json", 0, NULL, FS_OPTION_FLAG, offsetof(run_values, campaign.json),
     "print one JSON document at the end, as status --json", 0, 0},
    /* Without help they are not listed: switches for checks. Brute force runs every trial's whole
     * forward pass, audit a share of them both ways; simulated workers invent results. */
    {"brute-force", 0, NULL, FS_OPTION_FLAG, offsetof(run_values, brute_force), NULL, 0, 0},
    {"audit", 0, "SHARE", FS_OPTION_REAL, offsetof(run_values, audit), NULL, 0, 1},
    {"simulate-us", 0, "MICROSECONDS", FS_OPTION_U64, offsetof(run_values, simulate_us), NULL, 0,
     3600e6},
    {0},
};

/** Compute threads of each worker: all cores, shared out. */
static uint32_t threads_each(const run_values *values, uint32_t workers)
{
    if (values->threads > 0) return values->threads;
    uint32_t cores = fs_cores_usable();
    return cores / workers > 0 ? cores / workers : 1;
}

static fs_status run_loop(const void *data, coord_campaign *campaign, uint64_t until_ms)
{
    const run_values *values = data;
    fs_info("%s: %zu cells, at most %" PRIu64 " trials; results in %s", campaign->campaign->name,
            campaign->plan->cell_count, campaign->plan->trials, campaign->dir);
    char endpoint[FS_PATH_BYTES_MAX], temporary[FS_PATH_BYTES_MAX], work[FS_PATH_BYTES_MAX];
    FS_TRY(fs_path_join(work, campaign->dir, "work"));
    FS_TRY(coord_private_endpoint(campaign->state_dir, endpoint, temporary));
    uint32_t workers = values->workers > 0 ? values->workers : 1;
    coord_loop_options options = {
        .plan = campaign->plan,
        .campaign_text = fs_buf_text(&campaign->text),
        .state_dir = campaign->state_dir,
        .endpoint = endpoint,
        .workers = workers,
        .threads = threads_each(values, workers),
        .brute_force = values->brute_force,
        .simulate = values->campaign.simulate,
        .simulate_us = values->simulate_us,
        .audit = values->audit,
        .work = work,
        .until_ms = until_ms,
    };
    fs_status status = coord_loop_run(&options, &campaign->store);
    coord_private_endpoint_remove(endpoint, temporary);
    return status;
}

static fs_status run_run(const void *data, const fs_arguments *arguments)
{
    return cli_campaign_run(data, arguments->items[0], run_loop);
}

const fs_command cli_run = {
    .name = "run",
    .summary = "Runs a campaign on this machine and writes its report; the same command resumes.",
    .synopsis = "FILE",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = run_options,
    .values_bytes = sizeof(run_values),
    .details = "Ctrl-C once finishes what is leased, twice stops at once; both can be resumed.\n"
               "Exit codes: 0 complete, 2 bad file, 3 stopped before the end or with trials "
               "quarantined, 4 refused, 130 interrupted twice.\n",
    .run = run_run,
};
