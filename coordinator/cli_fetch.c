#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cli_print.h"
#include "fetch_job.h"
#include "log.h"

enum { STALL_S = 60, STALL_S_MAX = 3600, PAUSE_MS = 1000, PAUSE_MS_MAX = 60000 };

typedef struct fetch_values {
    const char *from;
    const char *server;
    const char *cache;
    const char *sha256;
    uint32_t stall_s;
    uint32_t pause_ms;
    int json;
} fetch_values;

#define AT(member) offsetof(fetch_values, member)
static const fs_option options[] = {
    {"from", 0, "DIR", FS_OPTION_TEXT, AT(from),
     "copy from a folder: a model, a folder of models, another machine's cache, a mirror", 0, 0},
    {"server", 0, "URL", FS_OPTION_TEXT, AT(server),
     "ask this server instead of the usual one (default: " FETCH_HUB ")", 0, 0},
    {"cache", 0, "DIR", FS_OPTION_TEXT, AT(cache),
     "where to put it (default: $FLIPSWEEP_CACHE, $XDG_CACHE_HOME/flipsweep or "
     "~/.cache/flipsweep)",
     0, 0},
    {"sha256", 0, "HEX", FS_OPTION_TEXT, AT(sha256),
     "sha256 that the file must have; of a model, its model.safetensors", 0, 0},
    {"timeout", 0, "SECONDS", FS_OPTION_U32, AT(stall_s),
     "a connection that brings nothing for so long is lost (default: 60)", 1, STALL_S_MAX},
    {"json", 0, NULL, FS_OPTION_FLAG, AT(json), "print one JSON document", 0, 0},
    /* Without help it is not listed: tests do not want to wait. */
    {"pause-ms", 0, "MILLISECONDS", FS_OPTION_U32, AT(pause_ms), NULL, 1, PAUSE_MS_MAX},
    {0},
};

static const char *kind_name(fetch_kind kind)
{
    return kind == FETCH_MODEL ? "model" : "data";
}

static uint64_t all_bytes(const fetch_record *record)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < record->count; i++) bytes += record->files[i].bytes;
    return bytes;
}

static fs_status print_json(const fetch_result *result)
{
    const fetch_record *record = &result->record;
    json_t *files = json_array();
    for (size_t i = 0; i < record->count; i++)
        json_array_append_new(files, json_pack("{s:s, s:I, s:s}", "name", record->files[i].name,
                                               "bytes", (json_int_t)record->files[i].bytes,
                                               "sha256", record->files[i].sha256));
    return cli_print_json(json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:b, s:I, s:o, s:I, s:I, s:I, s:o}", "name", result->name,
        "kind", kind_name(result->kind), "path", result->path, "source", record->source, "revision",
        record->revision[0] == '\0' ? json_null() : json_string(record->revision), "already",
        result->already, "bytes", (json_int_t)all_bytes(record), "files", files, "bytes_fetched",
        (json_int_t)result->bytes_fetched, "bytes_kept", (json_int_t)result->bytes_kept, "retries",
        (json_int_t)result->retries, "note",
        result->note[0] == '\0' ? json_null() : json_string(result->note)));
}

static void print_text(const fetch_result *result)
{
    const fetch_record *record = &result->record;
    printf("%s\n", result->path);
    fs_info("%s, %zu file%s, %.1f MB, from %s", result->already ? "was there" : "fetched",
            record->count, record->count == 1 ? "" : "s", (double)all_bytes(record) / 1e6,
            record->source);
    if (result->kind == FETCH_MODEL) {
        fs_info("campaigns and eval can name it: %s", result->name);
        return;
    }
    for (size_t i = 0; i < record->count; i++) {
        const char *name = record->files[i].name;
        size_t size = strlen(name);
        /* The ending that lookup adds need not be written. */
        if (size > 4 &&
            (strcmp(name + size - 4, ".tsv") == 0 || strcmp(name + size - 4, ".txt") == 0))
            size -= 4;
        fs_info("campaigns and eval can name it: %.*s", (int)size, name);
    }
}

static fs_status run(const void *data, const fs_arguments *arguments)
{
    const fetch_values *values = data;
    const fetch_options job = {
        .cache = values->cache,
        .server = values->server,
        .from = values->from,
        .sha256 = values->sha256,
        .token = getenv("HF_TOKEN"),
        .stall_s = values->stall_s > 0 ? values->stall_s : STALL_S,
        .pause_ms = values->pause_ms > 0 ? values->pause_ms : PAUSE_MS,
    };
    if (values->from != NULL && values->server != NULL)
        return fs_fail(FS_EUSAGE, "give --from DIR or --server URL, not both");
    fetch_result result;
    FS_TRY(fetch_run(&job, arguments->items[0], &result));
    if (result.note[0] != '\0') fs_warn("%s: %s", result.name, result.note);
    fs_status status = FS_OK;
    if (values->json)
        status = print_json(&result);
    else
        print_text(&result);
    fetch_result_free(&result);
    return status;
}

#define X(name, kind, server, path, about, sums, members) "  " name ": " about "\n"
const fs_command cli_fetch = {
    .name = "fetch",
    .summary = "Brings a model or a data set into the cache, checked by size and sha256.",
    .synopsis = "NAME|URL",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = options,
    .values_bytes = sizeof(fetch_values),
    .details = "NAME is one of\n" FETCH_KNOWN_MAP(
        X) "or OWNER/NAME of a BERT or GPT-2 with safetensors on the server. URL is such a "
           "model's\n"
           "page, or a data file. An interrupted fetch goes on by the same command. HF_TOKEN in "
           "the\n"
           "environment goes to huggingface.co or --server, and to no other.\n",
    .run = run,
};
#undef X
