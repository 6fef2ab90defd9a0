#include <stdio.h>
#include <sys/stat.h>

#include "cli.h"
#include "cli_campaign.h"
#include "coord_loop.h"
#include "file.h"
#include "json_file.h"
#include "log.h"

typedef struct serve_values {
    cli_campaign campaign;
    const char *bind;
} serve_values;

/* What the loop hands back once it listens. */
typedef struct listener {
    const coord_campaign *campaign;
    int json;
} listener;

static const fs_option serve_options[] = {
    {"bind", 'b', "tcp://HOST:PORT", FS_OPTION_TEXT, offsetof(serve_values, bind),
     "where workers connect; port * takes a free one (default: tcp://127.0.0.1:*)", 0, 0},
    CLI_CAMPAIGN_OPTIONS,
    {"json", 0, NULL, FS_OPTION_FLAG, offsetof(serve_values, campaign.json),
     "print one JSON document at the end, as status --json, and not the endpoint", 0, 0},
    {0},
};

/** Prints where workers connect and leaves the access file, which is all that a worker needs. */
static fs_status on_bound(void *data, const char *endpoint)
{
    const listener *self = data;
    const coord_campaign *campaign = self->campaign;
    char path[FS_PATH_BYTES_MAX], hex[FS_HASH_HEX_BYTES];
    fs_hash_hex(&campaign->plan->fingerprint, hex);
    json_t *access = json_pack("{s:s, s:s, s:s}", "endpoint", endpoint, "campaign",
                               campaign->campaign->name, "fingerprint", hex);
    fs_status status = fs_path_join(path, campaign->dir, "access.json");
    mode_t old = umask(0177);
    if (status == FS_OK)
        status = fs_json_file_write(access, path, 17);
    else
        json_decref(access);
    umask(old);
    if (status != FS_OK) return status;
    if (!self->json) {
        printf("%s\n", endpoint);
        fflush(stdout);
    }
    fs_info("workers connect with: flipsweep worker --connect %s (or --access %s)", endpoint, path);
    return FS_OK;
}

static fs_status serve_loop(const void *data, coord_campaign *campaign, uint64_t until_ms)
{
    const serve_values *values = data;
    listener listening = {campaign, values->campaign.json};
    coord_loop_options options = {
        .plan = campaign->plan,
        .campaign_text = fs_buf_text(&campaign->text),
        .state_dir = campaign->state_dir,
        .endpoint = values->bind != NULL ? values->bind : "tcp://127.0.0.1:*",
        .simulate = values->campaign.simulate,
        .grace = 1,
        .until_ms = until_ms,
        .bound = on_bound,
        .data = &listening,
    };
    fs_status status = coord_loop_run(&options, &campaign->store);
    if (status == FS_OK) fs_info("%s: the campaign is complete", campaign->dir);
    return status;
}

static fs_status run_serve(const void *data, const fs_arguments *arguments)
{
    return cli_campaign_run(data, arguments->items[0], serve_loop);
}

const fs_command cli_serve = {
    .name = "serve",
    .summary = "Coordinates a campaign for workers that connect over the network.",
    .synopsis = "FILE",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = serve_options,
    .values_bytes = sizeof(serve_values),
    .details = "The same command resumes. Ctrl-C once finishes what is leased, twice stops at once."
               "\nConnections are neither encrypted nor authenticated: bind to addresses that only "
               "\nmachines you trust can reach.\n",
    .run = run_serve,
};
