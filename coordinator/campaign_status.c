#include "campaign_status.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cell_site.h"
#include "cli_print.h"
#include "hash.h"
#include "history.h"
#include "summary.h"
#include "summary_arms.h"

enum {
    WORKERS_SHOWN_MAX = 10000, /* of the history; workers come and go */
    QUARANTINED_SHOWN_MAX = 20
};

/* Sets fields and remembers whether one failed, for want of memory. */
typedef struct builder {
    int failed;
} builder;

static void set(builder *b, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0) b->failed = 1;
}

static void set_count(builder *b, json_t *object, const char *key, uint64_t value)
{
    set(b, object, key, json_integer((json_int_t)value));
}

static void set_real(builder *b, json_t *object, const char *key, double value)
{
    set(b, object, key, cli_json_real(value));
}

static void set_rate(builder *b, json_t *object, const char *key, const summary_rate *rate)
{
    json_t *out = json_object();
    set_real(b, out, "value", rate->value);
    set_real(b, out, "low", rate->interval.low);
    set_real(b, out, "high", rate->interval.high);
    set(b, object, key, out);
}

/* Where the cell lies in the sweep. */
static void set_axes(builder *b, json_t *out, const fs_plan *plan, const fs_cell *cell)
{
    const fs_campaign *c = plan->campaign;
    char form[FS_FORM_TEXT_BYTES];
    fs_buf guard = {0};
    set(b, out, "id", json_string(cell->id));
    set(b, out, "sweep", json_string(c->sweeps[cell->sweep].name));
    set(b, out, "arm", json_string(c->arms[cell->arm].name));
    set_count(b, out, "pair", cell->pair);
    set(b, out, "layer", cell->by_layer ? json_integer(cell->layer) : json_null());
    if (cell_site_json(out, cell) != 0) b->failed = 1;
    set(b, out, "amount", json_string(fs_amount_name(cell->amount.kind)));
    set_real(b, out, "value", cell->amount.value);
    fs_form_kind_text(cell->form.kind, form);
    set(b, out, "kind", json_string(form));
    fs_form_pattern_text(cell->form.pattern, form);
    set(b, out, "pattern", json_string(form));
    set(b, out, "bits", json_string(cell->bits != NULL ? cell->bits->name : "all"));
    if (fs_guard_write(&cell->guard, &guard) != FS_OK) b->failed = 1;
    set(b, out, "guard", json_string(fs_buf_text(&guard)));
    fs_buf_free(&guard);
}

/* A simulated or invented plan may have cells without sites. */
static void set_masked(builder *b, json_t *out, const summary_cell *cell)
{
    const fs_masked *m = &cell->masked;
    const uint64_t sites = cell->cell->space != NULL ? fs_cell_sites(cell->cell) : 0;
    json_t *reasons = json_object();
    set_count(b, reasons, "segments", m->segments);
    set_count(b, reasons, "positions", m->positions);
    set_count(b, reasons, "token_rows", m->token_rows);
    set_count(b, reasons, "bits", m->bits);
    set_count(b, out, "sites", sites);
    set_count(b, out, "provably_masked_sites", cell->masked_sites);
    set(b, out, "provably_masked_reasons", reasons);
    set(b, out, "provably_masked", json_boolean(sites > 0 && cell->masked_sites == sites));
    set(b, out, "reads_known", json_boolean(cell->reads_known));
}

static void set_counts(builder *b, json_t *out, const summary_cell *cell)
{
    const fs_totals *t = &cell->totals;
    set_count(b, out, "trials", cell->cell->trials);
    set_masked(b, out, cell);
    set_count(b, out, "n", cell->n);
    set_count(b, out, "injected", cell->injected);
    set(b, out, "basis", json_string(summary_basis_name(cell->basis)));
    set(b, out, "complete", json_boolean(cell->complete));
    set(b, out, "stopped", json_boolean(cell->stopped));
    set_count(b, out, "inputs", t->inputs);
    set_count(b, out, "masked", t->masked);
    set_count(b, out, "benign", t->benign);
    set_count(b, out, "sdc", t->sdc);
    set_count(b, out, "due", t->due);
    for (int i = 0; i < FS_OUTCOME_COUNT; i++) {
        char key[64];
        snprintf(key, sizeof key, "trials_%s", fs_outcome_name((fs_outcome)i));
        for (char *p = key; *p != '\0'; p++)
            if (*p == '-') *p = '_';
        set_count(b, out, key, t->outcomes[i]);
    }
    set_count(b, out, "critical", t->critical);
    set_count(b, out, "faults", t->faults);
    set_count(b, out, "effective", t->effective);
    set_count(b, out, "visible", t->visible);
    set_count(b, out, "corrected", t->corrected);
    set_count(b, out, "detected", t->detected);
    set_count(b, out, "miscorrected", t->miscorrected);
    set_count(b, out, "check_faults", t->check_faults);
    set_count(b, out, "duplicates", t->duplicates);
    set_count(b, out, "mismatches", t->mismatches);
    set_count(b, out, "quarantined", t->quarantined);
}

static void set_estimates(builder *b, json_t *out, const summary_cell *cell)
{
    set_rate(b, out, "critical_rate", &cell->critical);
    set_real(b, out, "critical_confidence", cell->critical_confidence);
    set_rate(b, out, "masked_trial_rate", &cell->masked_trials);
    set_rate(b, out, "sdc_trial_rate", &cell->sdc_trials);
    set_rate(b, out, "due_trial_rate", &cell->due_trials);
    set_rate(b, out, "sdc_input_rate", &cell->sdc_inputs);
    set_rate(b, out, "due_input_rate", &cell->due_inputs);
    set_real(b, out, "metric_mean", cell->metric_mean);
    set_real(b, out, "metric_low", cell->metric.low);
    set_real(b, out, "metric_high", cell->metric.high);
    set_real(b, out, "metric_median", cell->metric_median);
    set_real(b, out, "metric_median_low", cell->metric_median_interval.low);
    set_real(b, out, "metric_median_high", cell->metric_median_interval.high);
    set_real(b, out, "metric_q05", cell->metric_q05);
    set_real(b, out, "metric_q95", cell->metric_q95);
    set_count(b, out, "metric_nonfinite", cell->metric_nonfinite);
    set_count(b, out, "metric_equal", cell->metric_equal);
    set_real(b, out, "metric_golden", cell->metric_golden);
}

static json_t *cells_json(builder *b, const summary *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->plan->cell_count; i++) {
        json_t *cell = json_object();
        set_axes(b, cell, s->plan, s->cells[i].cell);
        set_counts(b, cell, &s->cells[i]);
        set_estimates(b, cell, &s->cells[i]);
        if (json_array_append_new(list, cell) != 0) b->failed = 1;
    }
    return list;
}

static fs_status set_arms(builder *b, json_t *out, fs_store *store, const summary *s)
{
    summary_arms *arms = NULL;
    FS_TRY(summary_arms_new(&arms, store, s));
    set(b, out, "arms", summary_arms_json(arms));
    summary_arms_destroy(&arms);
    return FS_OK;
}

static json_t *workers_json(builder *b, const history *h)
{
    json_t *list = json_array();
    for (size_t i = 0; i < h->count && i < WORKERS_SHOWN_MAX; i++) {
        const history_worker *w = &h->workers[i];
        json_t *object = json_object();
        set(b, object, "uuid", json_string(w->uuid));
        set(b, object, "host", json_string(w->host));
        set_count(b, object, "trials", w->accepted);
        set_count(b, object, "duplicates", w->duplicates);
        set_count(b, object, "mismatches", w->mismatches);
        set_count(b, object, "first_ms", w->first_ms);
        set_count(b, object, "last_ms", w->last_ms);
        if (json_array_append_new(list, object) != 0) b->failed = 1;
    }
    return list;
}

static json_t *intervals_json(void)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "trial_rates", "Clopper-Pearson, over trials",
                     "input_rates", "cluster-robust by trial, Student's t", "metric_mean",
                     "percentile bootstrap over trials with a finite metric", "metric_median",
                     "order statistics over all trials");
}

static void set_head(builder *b, json_t *out, const summary *s, const history *h)
{
    const fs_plan *plan = s->plan;
    char hex[FS_HASH_HEX_BYTES];
    fs_hash_hex(&plan->fingerprint, hex);
    int lm = plan->campaign->task.kind == FS_TASK_LM;
    set(b, out, "campaign", json_string(plan->campaign->name));
    set(b, out, "fingerprint", plan->has_fingerprint ? json_string(hex) : json_null());
    set(b, out, "metric", json_string(lm ? "perplexity" : "accuracy"));
    int whole = s->complete && s->quarantined == 0; /* a trial without a result is a hole */
    set(b, out, "state", json_string(whole ? "complete" : "incomplete"));
    set_count(b, out, "trials_planned", s->trials_planned);
    set_count(b, out, "trials_done", s->trials_done);
    set_count(b, out, "duplicates", s->duplicates);
    set_count(b, out, "mismatches", s->mismatches);
    set_count(b, out, "quarantined", s->quarantined);
    set_count(b, out, "retries", s->retries);
    set(b, out, "rate_per_s", json_null()); /* of what runs now: only the coordinator knows */
    set(b, out, "eta_s", s->complete ? json_integer(0) : json_null());
    set_real(b, out, "confidence", SUMMARY_CONFIDENCE_PERCENT / 100.0);
    set(b, out, "intervals", intervals_json());
    set(b, out, "workers", workers_json(b, h));
}

/* The store's count of trials fits its cells; the coordinator's may be ahead. */
static int stays(const char *key)
{
    return strcmp(key, "cells") == 0 || strcmp(key, "trials_done") == 0;
}

/* What only the running coordinator knows. Its own word for what it does is kept as `phase`:
 * `state` has three words only. */
static void lay_over(builder *b, json_t *out, const json_t *live)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)live, key,
                        value) if (!stays(key) && json_object_set(out, key, value) != 0) b->failed =
        1;
    const char *phase = json_string_value(json_object_get(live, "state"));
    if (phase != NULL) set(b, out, "phase", json_string(phase));
    if (phase == NULL || strcmp(phase, "complete") != 0)
        set(b, out, "state", json_string("running"));
}

typedef struct holes {
    const fs_plan *plan;
    json_t *ids;
} holes;

static int visit_quarantine(void *data, uint32_t cell, uint64_t trial, const char *cause)
{
    (void)cause;
    const holes *self = data;
    char id[FS_CELL_ID_BYTES_MAX + 24];
    if (json_array_size(self->ids) >= QUARANTINED_SHOWN_MAX) return 1;
    if (cell >= self->plan->cell_count) return 0;
    snprintf(id, sizeof id, "%s/%" PRIu64, self->plan->cells[cell].id, trial);
    return json_array_append_new(self->ids, json_string(id)) != 0;
}

static fs_status set_holes(builder *b, json_t *out, fs_store *store, const fs_plan *plan)
{
    holes self = {plan, json_array()};
    set(b, out, "quarantined_trials", self.ids);
    return fs_store_each_quarantine(store, visit_quarantine, &self);
}

fs_status status_json(fs_store *store, const fs_plan *plan, const json_t *live, json_t **out)
{
    summary *s = NULL;
    history h = {0};
    builder b = {0};
    json_t *root = NULL;
    *out = NULL;
    fs_status status = summary_new(&s, store, plan);
    if (status == FS_OK) status = history_read(&h, store);
    if (status == FS_OK) {
        root = json_object();
        set_head(&b, root, s, &h);
        if (live != NULL) lay_over(&b, root, live);
        status = set_holes(&b, root, store, plan);
        if (status == FS_OK) status = set_arms(&b, root, store, s);
        set(&b, root, "cells", cells_json(&b, s));
        if (status == FS_OK && b.failed)
            status = fs_fail(FS_ENOMEM, "no memory for a JSON document");
    }
    if (status != FS_OK) {
        json_decref(root);
        root = NULL;
    }
    summary_destroy(&s);
    history_free(&h);
    *out = root;
    return status;
}
