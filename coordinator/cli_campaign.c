#include "cli_campaign.h"

#include <inttypes.h>
#include <stdio.h>

#include "campaign_status.h"
#include "cli_print.h"
#include "clock.h"
#include "coord_until.h"
#include "file.h"
#include "log.h"
#include "report.h"

enum { HOLES_TOLD_MAX = 20 };

static fs_status write_report(fs_store *store, const coord_campaign *campaign)
{
    char path[FS_PATH_BYTES_MAX];
    FS_TRY(fs_path_join(path, campaign->dir, REPORT_FILE_NAME));
    return report_write(store, campaign->plan, path);
}

static fs_status print_status(fs_store *store, const fs_plan *plan)
{
    json_t *document = NULL;
    FS_TRY(status_json(store, plan, NULL, &document));
    return cli_print_json(document);
}

typedef struct holes {
    const fs_plan *plan;
    uint64_t count;
} holes;

static int visit_quarantine(void *data, uint32_t cell, uint64_t trial, const char *cause)
{
    holes *self = data;
    const char *id = cell < self->plan->cell_count ? self->plan->cells[cell].id : "?";
    if (self->count++ < HOLES_TOLD_MAX)
        fs_warn("no result of trial %s/%" PRIu64 ", quarantined %s", id, trial, cause);
    return 0;
}

/* A campaign whose every trial is settled is not complete if some have no result. */
static fs_status find_holes(fs_store *store, const fs_plan *plan)
{
    holes self = {plan, 0};
    FS_TRY(fs_store_each_quarantine(store, visit_quarantine, &self));
    if (self.count == 0) return FS_OK;
    return fs_fail(FS_EINCOMPLETE,
                   "incomplete: %" PRIu64 " trial%s quarantined and will not be run again",
                   self.count, self.count == 1 ? " is" : "s are");
}

/* @return `ended` with its text if all goes well. */
static fs_status conclude(const cli_campaign *options, const coord_campaign *campaign,
                          fs_status ended)
{
    if (ended != FS_OK && ended != FS_EINCOMPLETE && ended != FS_EINTERRUPTED) return ended;
    char why[1024];
    snprintf(why, sizeof why, "%s", fs_status_detail());
    fs_store *store = NULL;
    FS_TRY(fs_store_open(&store, campaign->state_dir, FS_STORE_READ, campaign->plan, NULL));
    fs_status status = FS_OK;
    if (ended == FS_OK && !options->no_report) status = write_report(store, campaign);
    if (status == FS_OK && options->json) status = print_status(store, campaign->plan);
    if (status == FS_OK && ended == FS_OK) status = find_holes(store, campaign->plan);
    fs_store_close(&store);
    if (status != FS_OK || ended == FS_OK) return status;
    return fs_fail(ended, "%s", why);
}

fs_status cli_campaign_run(const void *values, const char *file, cli_campaign_loop loop)
{
    const cli_campaign *options = values;
    coord_campaign campaign;
    uint64_t until_ms = 0;
    if (options->until != NULL)
        FS_TRY(coord_until_parse(options->until, fs_clock_wall_ms(), &until_ms));
    FS_TRY(
        coord_campaign_open(&campaign, file, options->out, options->state_dir, options->simulate));
    fs_status status = loop(values, &campaign, until_ms);
    status = conclude(options, &campaign, status);
    coord_campaign_close(&campaign);
    return status;
}
