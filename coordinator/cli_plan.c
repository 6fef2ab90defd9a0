#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cell_site.h"
#include "cli.h"
#include "cli_print.h"
#include "log.h"
#include "number.h"
#include "plan.h"
#include "stats.h"
#include "trial.h"

/* Interval widths are shown for the worst case and for a rare event. */
#define P_WORST 0.5
#define P_RARE  0.05

enum { CONFIDENCE_PERCENT = 95 };

typedef struct plan_values {
    int json;
} plan_values;

static const fs_option plan_options[] = {
    {"json", 0, NULL, FS_OPTION_FLAG, offsetof(plan_values, json), "print one JSON document", 0, 0},
    {0},
};

static double confidence_of(const fs_plan *plan, const fs_cell *cell)
{
    const fs_stop *stop = &plan->campaign->sweeps[cell->sweep].stop;
    return stop->half_width > 0 ? stop->confidence : CONFIDENCE_PERCENT / 100.0;
}

/* Faults of a list are not drawn, and where none can matter nothing is estimated. */
static int is_sampled(const fs_cell *cell)
{
    return cell->site->from == FS_SITE_DRAWN && !fs_cell_masked(cell);
}

/* NaN where nothing is sampled. */
static double half_width(const fs_plan *plan, const fs_cell *cell, double p)
{
    if (!is_sampled(cell)) return (double)NAN;
    return fs_half_width(p, cell->trials, confidence_of(plan, cell));
}

/** Bytes of one record of a cell, as the store will encode it. */
static fs_status record_bytes(const fs_cell *cell, double *out)
{
    fs_trial_record record = {0};
    fs_buf bytes = {0};
    double faults = ceil(fs_cell_faults(cell));
    record.activations = cell->site->when == FS_SITE_COMPUTED;
    record.tuned = cell->steps != 0;
    record.faults = (uint64_t)faults;
    record.kept = faults < FS_FAULTS_KEPT_MAX ? (uint32_t)faults : FS_FAULTS_KEPT_MAX;
    fs_status status = fs_trial_encode(&record, &bytes);
    *out = (double)bytes.size;
    fs_buf_free(&bytes);
    return status;
}

/** A B-tree filled in key order has pages that are half full or better, and pages freed by a commit
 * wait for the next one: twice the records covers both. */
static fs_status disk_bytes(const fs_plan *plan, double *out)
{
    *out = 0;
    for (size_t i = 0; i < plan->cell_count; i++) {
        double bytes;
        FS_TRY(record_bytes(&plan->cells[i], &bytes));
        *out += 2 * bytes * (double)plan->cells[i].trials;
    }
    return FS_OK;
}

static fs_status note(json_t *out, json_t *text)
{
    return json_array_append_new(out, text) == 0 ? FS_OK
                                                 : fs_fail(FS_ENOMEM, "no memory for a plan");
}

static int sees_activations(const fs_arm *arm)
{
    for (unsigned i = 0; i < arm->protect_count; i++)
        if (fs_codec_find(arm->protect[i])->flags & FS_CODEC_ACTIVATIONS) return 1;
    return 0;
}

/** What is allowed and easily misread: protections are of weights and pass activations by, and logs
 * are full of addresses that were somebody else's. */
static fs_status notes(const fs_plan *plan, json_t *out)
{
    const fs_campaign *c = plan->campaign;
    for (uint32_t s = 0; s < c->sweep_count; s++) {
        const json_int_t outside = (json_int_t)fs_plan_outside(plan, s);
        if (outside > 0)
            FS_TRY(note(out, json_sprintf("sweep %s: %" JSON_INTEGER_FORMAT " of %" PRIu64
                                          " addresses lie in no tensor and hit nothing",
                                          c->sweeps[s].name, outside, c->sweeps[s].source.faults)));
        const json_int_t repeated = (json_int_t)fs_plan_repeated(plan, s);
        if (repeated > 0)
            FS_TRY(
                note(out, json_sprintf("sweep %s: %" JSON_INTEGER_FORMAT " of %" PRIu64
                                       " rows report again what another row of their trial does",
                                       c->sweeps[s].name, repeated, c->sweeps[s].source.faults)));
        for (size_t a = 0; c->sweeps[s].site->when == FS_SITE_COMPUTED && a < c->arm_count; a++) {
            if (c->arms[a].protect_count == 0 || sees_activations(&c->arms[a])) continue;
            FS_TRY(note(out, json_sprintf("sweep %s hits activations: the protection of arm %s "
                                          "acts on weights and does not see them",
                                          c->sweeps[s].name, c->arms[a].name)));
        }
    }
    return FS_OK;
}

static json_t *cell_json(const fs_plan *plan, const fs_cell *cell)
{
    const fs_campaign *c = plan->campaign;
    fs_buf guard = {0};
    char kind[FS_FORM_TEXT_BYTES], pattern[FS_FORM_TEXT_BYTES];
    if (fs_guard_write(&cell->guard, &guard) != FS_OK) return NULL;
    fs_form_kind_text(cell->form.kind, kind);
    fs_form_pattern_text(cell->form.pattern, pattern);
    json_t *out = json_pack(
        "{s:s, s:s, s:s, s:i, s:s, s:f, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:f, s:o, s:o}", "id",
        cell->id, "sweep", c->sweeps[cell->sweep].name, "arm", c->arms[cell->arm].name, "pair",
        (int)cell->pair, "amount", fs_amount_name(cell->amount.kind), "value", cell->amount.value,
        "kind", kind, "pattern", pattern, "bits", cell->bits->name, "guard", fs_buf_text(&guard),
        "values", (json_int_t)cell->space->values, "sites", (json_int_t)fs_cell_sites(cell),
        "trials", (json_int_t)cell->trials, "faults_per_trial", fs_cell_faults(cell), "half_width",
        cli_json_real(half_width(plan, cell, P_WORST)), "half_width_rare",
        cli_json_real(half_width(plan, cell, P_RARE)));
    fs_buf_free(&guard);
    if (out == NULL) return NULL;
    json_object_set_new(out, "layer", cell->layer < 0 ? json_null() : json_integer(cell->layer));
    cell_site_json(out, cell);
    json_object_set_new(out, "provably_masked_sites", json_integer((json_int_t)cell->masked_sites));
    json_object_set_new(out, "provably_masked", json_boolean(fs_cell_masked(cell)));
    return out;
}

/** Null for a sweep whose faults are drawn. */
static json_t *source_json(const fs_plan *plan, uint32_t index)
{
    const fs_sweep *sweep = &plan->campaign->sweeps[index];
    char hex[FS_HASH_HEX_BYTES];
    if (sweep->site->from == FS_SITE_DRAWN) return json_null();
    fs_hash_hex(&sweep->source.file_hash, hex);
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "file", sweep->source.file, "hash", hex,
                     "faults", (json_int_t)sweep->source.faults, "groups",
                     (json_int_t)sweep->source.trials, "outside",
                     (json_int_t)fs_plan_outside(plan, index), "repeated",
                     (json_int_t)fs_plan_repeated(plan, index));
}

static json_t *sweeps_json(const fs_plan *plan)
{
    json_t *list = json_array();
    for (uint32_t s = 0; s < plan->campaign->sweep_count; s++) {
        json_int_t cells = 0, trials = 0;
        for (size_t i = 0; i < plan->cell_count; i++) {
            if (plan->cells[i].sweep != s) continue;
            cells++;
            trials += (json_int_t)plan->cells[i].trials;
        }
        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:o}", "name",
                                              plan->campaign->sweeps[s].name, "cells", cells,
                                              "trials", trials, "source", source_json(plan, s)));
    }
    return list;
}

static fs_status print_json(const fs_plan *plan, const char *effective)
{
    double disk;
    char hex[FS_HASH_HEX_BYTES];
    FS_TRY(disk_bytes(plan, &disk));
    fs_hash_hex(&plan->fingerprint, hex);
    json_t *arms = json_array(), *cells = json_array();
    for (size_t i = 0; i < plan->campaign->arm_count; i++)
        json_array_append_new(arms, json_string(plan->campaign->arms[i].name));
    for (size_t i = 0; i < plan->cell_count; i++)
        json_array_append_new(cells, cell_json(plan, &plan->cells[i]));
    json_t *remarks = json_array();
    FS_TRY(notes(plan, remarks));
    json_t *root = json_pack(
        "{s:s, s:o, s:s?, s:s, s:I, s:I, s:o, s:o, s:o, s:I, s:n, s:f, s:f, s:f, s:s, s:o}",
        "campaign", plan->campaign->name, "fingerprint",
        plan->has_fingerprint ? json_string(hex) : json_null(), "fingerprint_absent", plan->absent,
        "convention", FS_CONVENTION, "cells", (json_int_t)plan->cell_count, "trials",
        (json_int_t)plan->trials, "arms", arms, "sweeps", sweeps_json(plan), "cell_list", cells,
        "disk_bytes", (json_int_t)disk, "seconds", "confidence", CONFIDENCE_PERCENT / 100.0,
        "half_width_at", P_WORST, "half_width_rare_at", P_RARE, "effective", effective, "notes",
        remarks);
    return cli_print_json(root);
}

static size_t longest_id(const fs_plan *plan)
{
    size_t longest = strlen("cell");
    for (size_t i = 0; i < plan->cell_count; i++) {
        size_t size = strlen(plan->cells[i].id);
        if (size > longest) longest = size;
    }
    return longest;
}

static void print_cells(const fs_plan *plan)
{
    int width = (int)longest_id(plan);
    printf("#\n# %-*s  %12s  %10s  %9s  %12s  %11s\n", width, "cell", "values", "bits", "trials",
           "faults/trial", "half-width*");
    for (size_t i = 0; i < plan->cell_count; i++) {
        const fs_cell *cell = &plan->cells[i];
        printf("# %-*s  %12" PRIu64 "  %10s  %9" PRIu64 "  %12.6g  ", width, cell->id,
               cell->space->values, cell->bits->name, cell->trials, fs_cell_faults(cell));
        if (is_sampled(cell))
            printf("%.3f/%.3f\n", half_width(plan, cell, P_WORST), half_width(plan, cell, P_RARE));
        else
            puts(fs_cell_masked(cell) ? "masked, provably" : "enumerated, not sampled");
    }
}

/** What an arm keeps in memory, where that is not fp32 alone. */
static void print_storage(const fs_plan *plan)
{
    const fs_campaign *c = plan->campaign;
    for (uint32_t a = 0; a < c->arm_count; a++) {
        const fs_variant *variant = NULL;
        for (size_t i = 0; i < plan->cell_count && variant == NULL; i++)
            if (plan->cells[i].arm == a) variant = &plan->variants[plan->cells[i].variant];
        if (variant == NULL ||
            (c->arms[a].dtype == FS_FORMAT_FP32 && c->arms[a].protect_count == 0))
            continue;
        const fs_format *format = fs_protect_format(&variant->protect);
        const double beside =
            fs_check_bits_per_value(plan->models[variant->model].geometry, &variant->protect);
        printf("# arm %s: words of %s; stored bits a value: %.4g\n", c->arms[a].name, format->name,
               format->bits + beside);
    }
}

static int has_rule(const fs_plan *plan)
{
    for (size_t i = 0; i < plan->campaign->sweep_count; i++)
        if (plan->campaign->sweeps[i].stop.half_width > 0) return 1;
    return 0;
}

/** All but the campaign is YAML comment, so that the output is a campaign file again. */
static fs_status print_text(const fs_plan *plan, const char *effective)
{
    double disk;
    char hex[FS_HASH_HEX_BYTES];
    FS_TRY(disk_bytes(plan, &disk));
    fputs(effective, stdout);
    print_cells(plan);
    printf(
        "# * of the share of critical trials, at %g and at %g, %d %% confidence unless the sweep "
        "says otherwise\n#\n",
        P_WORST, P_RARE, CONFIDENCE_PERCENT);
    printf("# %zu cells, %s%" PRIu64 " trials, about %.1f MB on disk\n", plan->cell_count,
           has_rule(plan) ? "at most " : "", plan->trials, disk / 1e6);
    print_storage(plan);
    json_t *remarks = json_array();
    FS_TRY(notes(plan, remarks));
    for (size_t i = 0; i < json_array_size(remarks); i++)
        printf("# note: %s\n", json_string_value(json_array_get(remarks, i)));
    json_decref(remarks);
    fs_hash_hex(&plan->fingerprint, hex);
    printf("# fingerprint: %s\n", plan->has_fingerprint ? hex : "none yet");
    return FS_OK;
}

static fs_status plan_file(const plan_values *values, const char *path, fs_campaign **campaign,
                           fs_plan **plan, fs_buf *effective)
{
    FS_TRY(fs_campaign_read(campaign, path));
    FS_TRY(fs_campaign_write(*campaign, effective));
    fs_status status = fs_plan_new(plan, *campaign);
    if (status != FS_OK) return fs_wrap(status, "%s", path);
    if ((*plan)->absent != NULL)
        fs_warn("no fingerprint yet, so nothing can run: %s", (*plan)->absent);
    return values->json ? print_json(*plan, fs_buf_text(effective))
                        : print_text(*plan, fs_buf_text(effective));
}

static fs_status run_plan(const void *values, const fs_arguments *arguments)
{
    fs_campaign *campaign = NULL;
    fs_plan *plan = NULL;
    fs_buf effective = {0};
    fs_status status = plan_file(values, arguments->items[0], &campaign, &plan, &effective);
    fs_buf_free(&effective);
    fs_plan_destroy(&plan);
    fs_campaign_destroy(&campaign);
    return status;
}

const fs_command cli_plan = {
    .name = "plan",
    .summary = "Shows what a campaign would run: cells, trials, interval widths, disk.",
    .synopsis = "FILE",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = plan_options,
    .values_bytes = sizeof(plan_values),
    .details = "Prints the effective campaign with every default, then the plan as comments.\n"
               "Weights and data may be absent; nothing is run.\n",
    .run = run_plan,
};
