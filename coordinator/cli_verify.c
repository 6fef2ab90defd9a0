#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cli_print.h"
#include "coord_campaign.h"
#include "grow.h"
#include "replay.h"
#include "rng.h"
#include "store.h"

enum { RERUN_MAX = 1000000 }; /* trials run again in one call */

typedef struct verify_values {
    int json;
    int dump;
    double rerun;
    uint32_t threads;
} verify_values;

static const fs_option verify_options[] = {
    {"json", 0, NULL, FS_OPTION_FLAG, offsetof(verify_values, json), "print one JSON document", 0,
     0},
    {"rerun", 0, "SHARE", FS_OPTION_REAL, offsetof(verify_values, rerun),
     "run this share of the trials again and compare (default: 0)", 0, 1},
    {"threads", 't', "N", FS_OPTION_U32, offsetof(verify_values, threads),
     "compute threads for that (default: one per core)", 1, FS_THREADS_MAX},
    {"dump", 0, NULL, FS_OPTION_FLAG, offsetof(verify_values, dump),
     "print every trial's number and record in hexadecimal, in order, and nothing else", 0, 0},
    {0},
};

typedef struct report {
    fs_buf problems; /* one a line */
    uint64_t trials;
    uint64_t checksum_errors;
    int totals_equal;
    uint64_t rerun, rerun_equal;
} report;

/* The sample is a function of the campaign and the trial: the same call checks the same trials. */
typedef struct sample {
    uint64_t key;
    double share;
    replay_id *ids;
    size_t count, capacity;
    fs_status status;
} sample;

static int consider(void *data, uint32_t cell, uint64_t trial, const fs_trial_record *record,
                    const void *bytes, size_t size)
{
    sample *s = data;
    fs_rng rng;
    fs_rng_init(&rng, s->key + cell, trial);
    if (fs_rng_unit(&rng) > s->share || s->count == RERUN_MAX) return 0;
    replay_id *ids = fs_grow(s->ids, s->count, &s->capacity, sizeof *ids);
    if (ids == NULL) {
        s->status = fs_fail(FS_ENOMEM, "no memory for more trials");
        return 1;
    }
    s->ids = ids;
    s->ids[s->count++] = (replay_id){cell, trial};
    return 0;
}

/* Where a trial run again is counted. */
typedef struct rerun {
    report *report;
    const fs_plan *plan;
} rerun;

static fs_status compare(void *data, const replay_result *result)
{
    rerun *r = data;
    r->report->rerun++;
    if (result->stored_equal) {
        r->report->rerun_equal++;
        return FS_OK;
    }
    return fs_buf_printf(&r->report->problems, "%s/%llu: run again it gives another result\n",
                         r->plan->cells[result->id.cell].id, (unsigned long long)result->id.trial);
}

static fs_status run_again(fs_store *store, const verify_values *values, report *out)
{
    fs_campaign *campaign = NULL;
    fs_plan *plan = NULL;
    sample s = {.share = values->rerun};
    const replay_options options = {.threads = values->threads};
    fs_status status = replay_plan(store, &campaign, &plan);
    if (status == FS_OK) {
        s.key = fs_hash_u64(&plan->fingerprint);
        status = fs_store_each_trial(store, UINT32_MAX, consider, &s);
    }
    if (status == FS_OK) status = s.status;
    rerun r = {out, plan};
    if (status == FS_OK && s.count > 0)
        status = replay_trials(store, plan, s.ids, s.count, &options, compare, &r);
    free(s.ids);
    fs_plan_destroy(&plan);
    fs_campaign_destroy(&campaign);
    return status;
}

/* A store that cannot even be opened or walked is a finding too, not only an error. */
static fs_status check(const char *dir, const verify_values *values, report *out)
{
    fs_store *store = NULL;
    char state_dir[FS_PATH_BYTES_MAX];
    FS_TRY(coord_state_dir(state_dir, dir));
    fs_status status = fs_store_open(&store, state_dir, FS_STORE_READ, NULL, NULL);
    if (status == FS_OK)
        status = fs_store_verify(store, &out->problems, &out->checksum_errors, &out->totals_equal,
                                 &out->trials);
    if (status == FS_ECORRUPT) FS_TRY(fs_buf_printf(&out->problems, "%s\n", fs_status_detail()));
    if (status == FS_EMISMATCH || status == FS_ECORRUPT) status = FS_OK;
    if (status == FS_OK && out->problems.size == 0 && values->rerun > 0)
        status = run_again(store, values, out);
    fs_store_close(&store);
    return status;
}

static json_t *problems_json(const report *r)
{
    json_t *list = json_array();
    const char *at = fs_buf_text(&r->problems);
    while (*at != '\0') {
        size_t size = strcspn(at, "\n");
        json_array_append_new(list, json_stringn(at, size));
        at += size + (at[size] == '\n');
    }
    return list;
}

static fs_status print(const report *r, const char *dir, int json)
{
    int ok = r->problems.size == 0;
    if (json)
        return cli_print_json(json_pack("{s:b, s:I, s:b, s:I, s:I, s:I, s:o}", "ok", ok, "trials",
                                        (json_int_t)r->trials, "totals_equal", r->totals_equal,
                                        "checksum_errors", (json_int_t)r->checksum_errors, "rerun",
                                        (json_int_t)r->rerun, "rerun_equal",
                                        (json_int_t)r->rerun_equal, "problems", problems_json(r)));
    fputs(fs_buf_text(&r->problems), stdout);
    printf("%s: %llu trials, %s", dir, (unsigned long long)r->trials,
           ok ? "all checksums hold, totals equal the sum of the trials" : "NOT in order");
    if (r->rerun > 0)
        printf("; %llu of %llu run again are equal byte for byte",
               (unsigned long long)r->rerun_equal, (unsigned long long)r->rerun);
    putchar('\n');
    return FS_OK;
}

static int dump_trial(void *data, uint32_t cell, uint64_t trial, const fs_trial_record *record,
                      const void *bytes, size_t size)
{
    const uint8_t *byte = bytes;
    printf("%u/%llu ", cell, (unsigned long long)trial);
    for (size_t i = 0; i < size; i++) printf("%02x", byte[i]);
    putchar('\n');
    return 0;
}

static fs_status dump(const char *dir)
{
    fs_store *store = NULL;
    char state_dir[FS_PATH_BYTES_MAX];
    FS_TRY(coord_state_dir(state_dir, dir));
    FS_TRY(fs_store_open(&store, state_dir, FS_STORE_READ, NULL, NULL));
    fs_status status = fs_store_each_trial(store, UINT32_MAX, dump_trial, NULL);
    fs_store_close(&store);
    return status;
}

static fs_status run(const void *data, const fs_arguments *arguments)
{
    const verify_values *values = data;
    const char *dir = arguments->items[0];
    if (values->dump) return dump(dir);
    report r = {.trials = 0};
    fs_status status = check(dir, values, &r);
    if (status == FS_OK) status = print(&r, dir, values->json);
    if (status == FS_OK && r.problems.size > 0)
        status = fs_fail(FS_EMISMATCH, "%s: the store is not in order", dir);
    fs_buf_free(&r.problems);
    return status;
}

const fs_command cli_verify = {
    .name = "verify",
    .summary = "Check a store: structure, checksums, totals; run a share of it again.",
    .synopsis = "DIR",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = verify_options,
    .values_bytes = sizeof(verify_values),
    .details = "Totals and done ranges are recounted from the trials. Exit code 1 and the list of\n"
               "findings if something is not in order.\n",
    .run = run,
};
