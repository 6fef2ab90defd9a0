#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "campaign_status.h"
#include "cli.h"
#include "cli_print.h"
#include "coord_campaign.h"
#include "coord_control.h"

enum {
    ASK_MS = 1000,    /* for a running coordinator to answer */
    WATCH_S = 2,      /* between two looks */
    WATCH_LINE_S = 60 /* between two lines where there is no terminal */
};

typedef struct status_values {
    int json;
    int watch;
} status_values;

static const fs_option status_options[] = {
    {"json", 0, NULL, FS_OPTION_FLAG, offsetof(status_values, json), "print one JSON document", 0,
     0},
    {"watch", 'w', NULL, FS_OPTION_FLAG, offsetof(status_values, watch),
     "look again and again until the campaign has ended", 0, 0},
    {0},
};

/* What the running coordinator says, NULL if none runs. One that does not answer is no reason to
 * show nothing. */
static json_t *ask_coordinator(const char *dir)
{
    fs_buf reply = {0};
    json_t *live = NULL;
    if (coord_control_ask(dir, "status", ASK_MS, &reply) == FS_OK)
        live = json_loadb((const char *)reply.data, reply.size, 0, NULL);
    fs_buf_free(&reply);
    if (json_is_object(live)) return live;
    json_decref(live);
    return NULL;
}

static fs_status read_status(const char *dir, json_t **out)
{
    fs_store *store = NULL;
    fs_campaign *campaign = NULL;
    fs_plan *plan = NULL;
    char state_dir[FS_PATH_BYTES_MAX];
    FS_TRY(coord_state_dir(state_dir, dir));
    json_t *live = ask_coordinator(state_dir);
    fs_status status = fs_store_open(&store, state_dir, FS_STORE_READ, NULL, NULL);
    if (status == FS_OK) status = fs_store_plan(store, &campaign, &plan);
    if (status == FS_OK) status = status_json(store, plan, live, out);
    json_decref(live);
    fs_plan_destroy(&plan);
    fs_campaign_destroy(&campaign);
    fs_store_close(&store);
    return status;
}

static void print_line(const json_t *document)
{
    printf("%s: %lld of %lld trials\n", json_string_value(json_object_get(document, "state")),
           (long long)json_integer_value(json_object_get(document, "trials_done")),
           (long long)json_integer_value(json_object_get(document, "trials_planned")));
}

static void show(const status_values *values, const json_t *document)
{
    if (values->watch && isatty(STDOUT_FILENO)) {
        fputs("\033[H\033[J", stdout); /* home, clear to the end */
        status_print(stdout, document);
    } else if (values->watch)
        print_line(document);
    else
        status_print(stdout, document);
}

static fs_status run(const void *data, const fs_arguments *arguments)
{
    const status_values *values = data;
    const time_t pause = isatty(STDOUT_FILENO) ? WATCH_S : WATCH_LINE_S;
    for (;;) {
        json_t *document = NULL;
        FS_TRY(read_status(arguments->items[0], &document));
        const char *state = json_string_value(json_object_get(document, "state"));
        int ended = state == NULL || strcmp(state, "running") != 0;
        fs_status status = FS_OK;
        if (values->json)
            status = cli_print_json(json_incref(document));
        else
            show(values, document);
        json_decref(document);
        FS_TRY(status);
        if (!values->watch || ended) return FS_OK;
        if (fflush(stdout) != 0) return fs_fail(FS_EIO, "stdout: %s", strerror(errno));
        nanosleep(&(struct timespec){.tv_sec = pause}, NULL);
    }
}

const fs_command cli_status = {
    .name = "status",
    .summary = "Say how far a campaign is and what it shows so far.",
    .synopsis = "DIR",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = status_options,
    .values_bytes = sizeof(status_values),
    .details = "Works while the campaign runs and after, also where its models are not.\n",
    .run = run,
};
