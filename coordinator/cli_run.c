#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "campaign_status.h"
#include "cli.h"
#include "clock.h"
#include "coord_campaign.h"
#include "coord_local.h"
#include "coord_loop.h"
#include "coord_until.h"
#include "cores.h"
#include "file.h"
#include "limits.h"
#include "log.h"
#include "report.h"

typedef struct run_values {
    const char *out;
    const char *state_dir;
    const char *until;
    uint32_t workers;
    uint32_t threads;
    int json;
    int no_report;
    int brute_force;
    int simulate;
    uint64_t simulate_us;
    double audit;
} run_values;

static const fs_option run_options[] = {
    {"out", 'o', "DIR", FS_OPTION_TEXT, offsetof(run_values, out),
     "folder of the results (default: flipsweep-NAME)", 0, 0},
    {"workers", 'w', "N", FS_OPTION_U32, offsetof(run_values, workers),
     "local worker processes (default: 1)", 1, COORD_LOCAL_MAX},
    {"threads", 't', "T", FS_OPTION_U32, offsetof(run_values, threads),
     "compute threads of each worker (default: the cores, shared out)", 1, FS_THREADS_MAX},
    {"until", 0, "TIME", FS_OPTION_TEXT, offsetof(run_values, until),
     "finish what is leased and leave at HH:MM, YYYY-MM-DDTHH:MM, or after +N s, m or h", 0, 0},
    {"json", 0, NULL, FS_OPTION_FLAG, offsetof(run_values, json),
     "print one JSON document at the end, as status --json", 0, 0},
    {"no-report", 0, NULL, FS_OPTION_FLAG, offsetof(run_values, no_report),
     "write no report.html when the campaign is complete", 0, 0},
    {"state-dir", 0, "DIR", FS_OPTION_TEXT, offsetof(run_values, state_dir),
     "folder of the live store, on a local disk (default: the results')", 0, 0},
    /* Without help they are not listed: switches for checks. Brute force runs every trial's whole
     * forward pass, audit a share of them both ways; simulated workers invent results. */
    {"brute-force", 0, NULL, FS_OPTION_FLAG, offsetof(run_values, brute_force), NULL, 0, 0},
    {"audit", 0, "SHARE", FS_OPTION_REAL, offsetof(run_values, audit), NULL, 0, 1},
    {"simulate", 0, NULL, FS_OPTION_FLAG, offsetof(run_values, simulate), NULL, 0, 0},
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

static fs_status run_loop(const run_values *values, coord_campaign *campaign, uint64_t until_ms)
{
    char endpoint[FS_PATH_BYTES_MAX], temporary[FS_PATH_BYTES_MAX];
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
        .simulate = values->simulate,
        .simulate_us = values->simulate_us,
        .audit = values->audit,
        .until_ms = until_ms,
    };
    fs_status status = coord_loop_run(&options, &campaign->store);
    coord_private_endpoint_remove(endpoint, temporary);
    return status;
}

static fs_status print_status(fs_store *store, const fs_plan *plan)
{
    json_t *document = NULL;
    FS_TRY(status_json(store, plan, NULL, &document));
    int failed = json_dumpf(document, stdout, JSON_COMPACT) != 0 || putchar('\n') == EOF;
    json_decref(document);
    return failed ? fs_fail(FS_EIO, "the status could not be printed") : FS_OK;
}

static fs_status write_report(fs_store *store, const coord_campaign *campaign)
{
    char path[FS_PATH_BYTES_MAX];
    FS_TRY(fs_path_join(path, campaign->dir, REPORT_FILE_NAME));
    return report_write(store, campaign->plan, path);
}

/** What is left behind: the report of a complete campaign, and the JSON that was asked for, also
 * of one that was stopped. `ended` is how the loop ended, and stays the verdict if all goes well.
 */
static fs_status conclude(const run_values *values, const coord_campaign *campaign, fs_status ended)
{
    if (ended != FS_OK && ended != FS_EINCOMPLETE && ended != FS_EINTERRUPTED) return ended;
    char why[1024];
    snprintf(why, sizeof why, "%s", fs_status_detail());
    fs_store *store = NULL;
    FS_TRY(fs_store_open(&store, campaign->state_dir, FS_STORE_READ, campaign->plan, NULL));
    fs_status status = FS_OK;
    if (ended == FS_OK && !values->no_report) status = write_report(store, campaign);
    if (status == FS_OK && values->json) status = print_status(store, campaign->plan);
    fs_store_close(&store);
    if (status != FS_OK || ended == FS_OK) return status;
    return fs_fail(ended, "%s", why);
}

static fs_status run_run(const void *data, const fs_arguments *arguments)
{
    const run_values *values = data;
    coord_campaign campaign;
    uint64_t until_ms = 0;
    if (values->until != NULL)
        FS_TRY(coord_until_parse(values->until, fs_clock_wall_ms(), &until_ms));
    FS_TRY(coord_campaign_open(&campaign, arguments->items[0], values->out, values->state_dir,
                               values->simulate));
    fs_info("%s: %zu cells, at most %" PRIu64 " trials; results in %s", campaign.campaign->name,
            campaign.plan->cell_count, campaign.plan->trials, campaign.dir);
    fs_status status = conclude(values, &campaign, run_loop(values, &campaign, until_ms));
    coord_campaign_close(&campaign);
    return status;
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
               "Exit codes: 0 complete, 2 bad file, 3 stopped before the end, 4 refused, 130 "
               "interrupted twice.\n",
    .run = run_run,
};
