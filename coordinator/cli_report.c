#include "cli.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli_print.h"
#include "file.h"
#include "log.h"
#include "report.h"

typedef struct report_values {
    int json;
    const char *out;
} report_values;

static const fs_option report_options[] = {
    {"out", 'o', "FILE", FS_OPTION_TEXT, offsetof(report_values, out),
     "where the page goes (default: report.html in DIR)", 0, 0},
    {"json", 0, NULL, FS_OPTION_FLAG, offsetof(report_values, json), "print one JSON document", 0,
     0},
    {0},
};

/* The plan of the stored campaign. Weights and data may have gone since, as a page needs none of
 * them; but if they are there and others, its provenance would be a lie. */
static fs_status stored_plan(fs_store *store, fs_campaign **campaign, fs_plan **plan)
{
    fs_buf text = {0}, identity = {0}, difference = {0};
    fs_hash stored;
    fs_status status = fs_store_campaign(store, &text);
    if (status == FS_OK) {
        status = fs_campaign_parse(campaign, fs_buf_text(&text), text.size, "stored campaign");
    }
    if (status == FS_OK) status = fs_plan_new(plan, *campaign);
    if (status == FS_OK) status = fs_store_fingerprint(store, &stored);
    if (status == FS_OK && !(*plan)->has_fingerprint) {
        fs_warn("the report names no hashes of models and data: %s", (*plan)->absent);
    } else if (status == FS_OK && !fs_hash_equal(&stored, &(*plan)->fingerprint)) {
        status = fs_store_identity(store, &identity);
        if (status == FS_OK) {
            status = fs_identity_difference((*plan)->identity, fs_buf_text(&identity), &difference);
        }
        if (status == FS_OK) {
            status = fs_fail(FS_EREFUSED, "not the files that the campaign ran on: %s",
                             fs_buf_text(&difference));
        }
    }
    fs_buf_free(&text);
    fs_buf_free(&identity);
    fs_buf_free(&difference);
    return status;
}

static fs_status print_result(const report_values *values, const char *path, size_t bytes)
{
    if (!values->json) return printf("%s\n", path) < 0 ? fs_fail(FS_EIO, "stdout") : FS_OK;
    return cli_print_json(json_pack("{s:s, s:I}", "report", path, "bytes", (json_int_t)bytes));
}

static fs_status run_report(const void *data, const fs_arguments *arguments)
{
    const report_values *values = data;
    const char *dir = arguments->items[0];
    char path[FS_PATH_BYTES_MAX];
    fs_store *store = NULL;
    fs_campaign *campaign = NULL;
    fs_plan *plan = NULL;
    size_t bytes = 0;
    if (values->out != NULL) {
        FS_TRY(fs_path_join(path, "", values->out));
    } else {
        FS_TRY(fs_path_join(path, dir, REPORT_FILE_NAME));
    }
    fs_status status = fs_store_open(&store, dir, FS_STORE_READ, NULL, NULL);
    if (status == FS_OK) status = stored_plan(store, &campaign, &plan);
    if (status == FS_OK) status = report_write_sized(store, plan, path, &bytes);
    if (status == FS_OK) status = print_result(values, path, bytes);
    fs_plan_destroy(&plan);
    fs_campaign_destroy(&campaign);
    fs_store_close(&store);
    return status;
}

const fs_command cli_report = {
    .name = "report",
    .summary = "Writes the HTML page of a campaign, finished or not.",
    .synopsis = "DIR",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = report_options,
    .values_bytes = sizeof(report_values),
    .details =
        "DIR is the folder of `run --out` or `serve --out`. The page is one file that opens\n"
        "offline; cells.csv is written beside it. Works while the campaign runs.\n",
    .run = run_report,
};
