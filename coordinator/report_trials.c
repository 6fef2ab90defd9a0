#include "report_trials.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report_columns.h"
#include "report_text.h"
#include "rng.h"

/* Walks all trials twice: first the worst of each cell, then what is kept. */
typedef struct walk {
    const fs_plan *plan;
    report_columns *table;
    double share; /* of the trials that the sample keeps */
    uint64_t key;
    uint64_t *worst; /* [cells] trial index; UINT64_MAX: none */
    double *harm;    /* [cells] of that trial */
    int32_t *tensor; /* [tensors, then places] index in `names`, -1: not used yet */
    size_t tensors;  /* of the largest model */
    fs_buf names;    /* JSON strings of the tensors and places used */
    int32_t used;
    fs_status status;
} walk;

/* Critical first, then the outcome's rank, then the deviation; an infinite one is beyond all. */
static double harm_of(const fs_trial_record *r)
{
    double deviation = isfinite(r->deviation_max) ? atan(r->deviation_max) / 4 : 0.5;
    return (r->critical ? 100 : 0) + r->outcome + deviation;
}

static int visit_worst(void *data, uint32_t cell, uint64_t trial, const fs_trial_record *record,
                       const void *bytes, size_t size)
{
    walk *w = data;
    double harm = harm_of(record);
    if (w->worst[cell] != UINT64_MAX && harm <= w->harm[cell]) return 0;
    w->worst[cell] = trial;
    w->harm[cell] = harm;
    return 0;
}

static int sampled(const walk *w, uint32_t cell, uint64_t trial)
{
    fs_rng rng;
    fs_rng_init(&rng, w->key ^ ((uint64_t)cell << 32), trial);
    return fs_rng_unit(&rng) <= w->share;
}

static fs_status add_name(walk *w, size_t at, const char *name)
{
    if (w->tensor[at] >= 0) return FS_OK;
    if (w->used > 0) FS_TRY(fs_buf_puts(&w->names, ","));
    FS_TRY(report_json_string(&w->names, name, strlen(name)));
    w->tensor[at] = w->used++;
    return FS_OK;
}

/* Where the first fault is: an index in the list of names, which holds only those that are used. */
static fs_status name_index(walk *w, uint32_t cell, const fs_trial_record *r, int32_t *out)
{
    const fs_geometry *geometry = w->plan->cells[cell].space->geometry;
    char name[64];
    *out = -1;
    if (r->kept == 0) return FS_OK;
    size_t at = r->fault[0].tensor;
    if (r->activations) {
        fs_place place = r->fault[0].place;
        at = w->tensors + place;
        int layer = fs_place_layer(place);
        const char *stage = fs_stage_name(fs_place_stage(place));
        if (layer < 0)
            snprintf(name, sizeof name, "%s", stage);
        else
            snprintf(name, sizeof name, "layer.%d.%s", layer, stage);
        FS_TRY(add_name(w, at, name));
    } else {
        if (at >= geometry->tensor_count) return FS_OK;
        FS_TRY(add_name(w, at, geometry->tensors[at].name));
    }
    *out = w->tensor[at];
    return FS_OK;
}

static void put_fault(report_columns *t, const fs_fault_record *fault, int32_t tensor)
{
    report_columns_number(t, "tensor", tensor);
    report_columns_number(t, "element", (double)fault->element);
    report_columns_number(t, "bit", fault->bit);
    report_columns_number(t, "before", fault->before);
    report_columns_number(t, "after", fault->after);
    report_columns_number(t, "value_before", fault->value_before);
    report_columns_number(t, "value_after", fault->value_after);
}

static int visit_kept(void *data, uint32_t cell, uint64_t trial, const fs_trial_record *r,
                      const void *bytes, size_t size)
{
    static const fs_fault_record no_fault = {0};
    walk *w = data;
    report_columns *t = w->table;
    int32_t tensor = -1;
    if (w->worst[cell] != trial && !sampled(w, cell, trial)) return 0;
    w->status = name_index(w, cell, r, &tensor);
    report_columns_number(t, "cell", cell);
    report_columns_number(t, "trial", (double)trial);
    report_columns_number(t, "outcome", r->outcome);
    report_columns_number(t, "critical", r->critical);
    report_columns_number(t, "metric", r->metric);
    report_columns_number(t, "deviation", r->deviation_max);
    report_columns_number(t, "kl", r->kl_mean);
    report_columns_number(t, "answers", (double)r->answers);
    report_columns_number(t, "changed", (double)r->answers_changed);
    report_columns_number(t, "faults", (double)r->faults);
    put_fault(t, r->kept > 0 ? &r->fault[0] : &no_fault, tensor);
    report_columns_row(t);
    return w->status != FS_OK;
}

static void declare(report_columns *t)
{
    static const char *const names[] = {
        "cell", "trial",   "outcome", "critical",     "metric",     "deviation",
        "kl",   "answers", "changed", "faults",       "tensor",     "element",
        "bit",  "before",  "after",   "value_before", "value_after"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) report_columns_declare(t, names[i]);
}

static fs_status walk_init(walk *w, const fs_plan *plan, uint64_t total)
{
    size_t tensors = 0;
    for (size_t i = 0; i < plan->model_count; i++) {
        if (plan->models[i].geometry->tensor_count > tensors)
            tensors = plan->models[i].geometry->tensor_count;
    }
    *w = (walk){.plan = plan, .key = fs_hash_u64(&plan->fingerprint), .tensors = tensors};
    const size_t names = tensors + UINT16_MAX + 1; /* of tensors, then of places */
    w->share = total <= REPORT_TRIALS_KEPT ? 1 : (double)REPORT_TRIALS_KEPT / (double)total;
    w->worst = malloc((plan->cell_count + 1) * sizeof *w->worst);
    w->harm = calloc(plan->cell_count + 1, sizeof *w->harm);
    w->tensor = malloc(names * sizeof *w->tensor);
    if (w->worst == NULL || w->harm == NULL || w->tensor == NULL)
        return fs_fail(FS_ENOMEM, "no memory to choose trials for the report");
    for (size_t i = 0; i < plan->cell_count; i++) w->worst[i] = UINT64_MAX;
    for (size_t i = 0; i < names; i++) w->tensor[i] = -1;
    FS_TRY(report_columns_new(&w->table));
    declare(w->table);
    return FS_OK;
}

static void walk_free(walk *w)
{
    report_columns_destroy(&w->table);
    fs_buf_free(&w->names);
    free(w->worst);
    free(w->harm);
    free(w->tensor);
}

fs_status report_trials_write(fs_buf *out, report_sample *sample, fs_store *store,
                              const fs_plan *plan, uint64_t total)
{
    walk w;
    fs_status status = walk_init(&w, plan, total);
    if (status == FS_OK && w.share < 1) {
        status = fs_store_each_trial(store, UINT32_MAX, visit_worst, &w);
    }
    if (status == FS_OK) status = fs_store_each_trial(store, UINT32_MAX, visit_kept, &w);
    if (status == FS_OK) status = w.status;
    if (status == FS_OK) status = fs_buf_puts(out, "{\"trials\":");
    if (status == FS_OK) status = report_columns_write(w.table, out);
    if (status == FS_OK) status = fs_buf_printf(out, ",\"tensors\":[%s]}", fs_buf_text(&w.names));
    if (status == FS_OK) *sample = (report_sample){report_columns_rows(w.table), total};
    walk_free(&w);
    return status;
}
