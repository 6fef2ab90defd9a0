#include "cli.h"

#include <jansson.h>
#include <stdio.h>

#include "cli_print.h"
#include "coord_campaign.h"
#include "file.h"
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

static fs_status print_result(const report_values *values, const char *path, size_t bytes)
{
    if (!values->json) return printf("%s\n", path) < 0 ? fs_fail(FS_EIO, "stdout") : FS_OK;
    return cli_print_json(json_pack("{s:s, s:I}", "report", path, "bytes", (json_int_t)bytes));
}

static fs_status run_report(const void *data, const fs_arguments *arguments)
{
    const report_values *values = data;
    const char *dir = arguments->items[0];
    char path[FS_PATH_BYTES_MAX], state_dir[FS_PATH_BYTES_MAX];
    fs_store *store = NULL;
    fs_campaign *campaign = NULL;
    fs_plan *plan = NULL;
    size_t bytes = 0;
    if (values->out != NULL) {
        FS_TRY(fs_path_join(path, "", values->out));
    } else {
        FS_TRY(fs_path_join(path, dir, REPORT_FILE_NAME));
    }
    FS_TRY(coord_state_dir(state_dir, dir));
    fs_status status = fs_store_open(&store, state_dir, FS_STORE_READ, NULL, NULL);
    if (status == FS_OK) status = fs_store_plan(store, &campaign, &plan);
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
