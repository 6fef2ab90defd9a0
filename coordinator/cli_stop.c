#include <stddef.h>

#include "cli.h"
#include "cli_print.h"
#include "coord_campaign.h"
#include "coord_control.h"
#include "log.h"

enum { ANSWER_MS = 5000 };

typedef struct stop_values {
    int drain;
    int json;
} stop_values;

static const fs_option stop_options[] = {
    {"drain", 0, NULL, FS_OPTION_FLAG, offsetof(stop_values, drain),
     "let workers finish what they have leased", 0, 0},
    {"json", 0, NULL, FS_OPTION_FLAG, offsetof(stop_values, json), "print one JSON document", 0, 0},
    {0},
};

static fs_status run_stop(const void *data, const fs_arguments *arguments)
{
    const stop_values *values = data;
    char dir[FS_PATH_BYTES_MAX];
    fs_buf reply = {0};
    FS_TRY(coord_state_dir(dir, arguments->items[0]));
    fs_status status = coord_control_ask(dir, values->drain ? "drain" : "stop", ANSWER_MS, &reply);
    fs_buf_free(&reply);
    if (status == FS_OK)
        fs_info("%s: the coordinator %s; the same command resumes", arguments->items[0],
                values->drain ? "finishes what is leased and stops" : "stops");
    if (status == FS_OK && values->json)
        status = cli_print_json(
            json_pack("{s:s, s:s}", "state", "running", "asked", values->drain ? "drain" : "now"));
    return status;
}

const fs_command cli_stop = {
    .name = "stop",
    .summary = "Stops the campaign that runs over a store; it can be resumed.",
    .synopsis = "DIR",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = stop_options,
    .values_bytes = sizeof(stop_values),
    .details =
        "It only asks: the coordinator ends by itself, soon after. With --json the document is\n"
        "{state, asked}: `running`, and `drain` or `now`.\n",
    .run = run_stop,
};
