#include "summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

#define CONFIDENCE (SUMMARY_CONFIDENCE_PERCENT / 100.0)

static const fs_interval no_interval = {NAN, NAN};

/* The trials of one cell, as one scan collects them. */
typedef struct scan {
    const fs_plan *plan;
    const fs_cell *cell;
    summary_cell *out;
    uint32_t inputs;     /* of each trial that was evaluated */
    uint32_t *sdc, *due; /* [n] inputs of each evaluated trial */
    double *metrics;     /* [n] of evaluated trials, as they come */
    size_t n, capacity;
    uint64_t *critical; /* indices of critical trials, ascending */
    size_t critical_count, critical_capacity;
    uint64_t *quarantined; /* indices of trials without a result, ascending */
    size_t quarantined_count, quarantined_capacity;
    fs_status status;
} scan;

static fs_status grow(void **data, size_t size, size_t capacity)
{
    void *grown = realloc(*data, size * capacity);
    if (grown == NULL) return fs_fail(FS_ENOMEM, "no memory for %zu trials", capacity);
    *data = grown;
    return FS_OK;
}

static fs_status scan_reserve(scan *s)
{
    if (s->n < s->capacity) return FS_OK;
    size_t capacity = s->capacity == 0 ? 256 : s->capacity * 2;
    void *sdc = s->sdc, *due = s->due, *metrics = s->metrics;
    fs_status status = grow(&sdc, sizeof *s->sdc, capacity);
    s->sdc = sdc;
    if (status == FS_OK) status = grow(&due, sizeof *s->due, capacity);
    s->due = due;
    if (status == FS_OK) status = grow(&metrics, sizeof *s->metrics, capacity);
    s->metrics = metrics;
    if (status == FS_OK) s->capacity = capacity;
    return status;
}

static fs_status note(uint64_t **trials, size_t *count, size_t *capacity, uint64_t trial)
{
    if (*count == *capacity) {
        size_t more = *capacity == 0 ? 64 : *capacity * 2;
        void *data = *trials;
        FS_TRY(grow(&data, sizeof **trials, more));
        *trials = data;
        *capacity = more;
    }
    (*trials)[(*count)++] = trial;
    return FS_OK;
}

static fs_status scan_add(scan *s, uint64_t trial, const fs_trial_record *record)
{
    fs_totals_add(&s->out->totals, record);
    if (record->critical)
        FS_TRY(note(&s->critical, &s->critical_count, &s->critical_capacity, trial));
    if (record->inputs == 0) return FS_OK; /* an end of the infrastructure: nothing was evaluated */
    if (s->n == 0) s->inputs = record->inputs;
    if (record->inputs != s->inputs)
        return fs_fail(FS_ECORRUPT, "trial %s/%llu has %u inputs, others of its cell %u",
                       s->cell->id, (unsigned long long)trial, record->inputs, s->inputs);
    FS_TRY(scan_reserve(s));
    s->sdc[s->n] = record->sdc;
    s->due[s->n] = record->due;
    s->metrics[s->n++] = record->metric;
    return FS_OK;
}

static int scan_visit(void *data, uint32_t cell, uint64_t trial, const fs_trial_record *record,
                      const void *bytes, size_t size)
{
    scan *s = data;
    s->status = scan_add(s, trial, record);
    return s->status != FS_OK;
}

static int visit_quarantined(void *data, uint32_t cell, uint64_t trial, const char *cause)
{
    scan *s = data;
    if (cell == (size_t)(s->cell - s->plan->cells))
        s->status = note(&s->quarantined, &s->quarantined_count, &s->quarantined_capacity, trial);
    return s->status != FS_OK;
}

/* A stream of its own for each cell and purpose, the same on every machine. */
static uint64_t stream_key(const fs_plan *plan, const char *id, const char *purpose)
{
    fs_hasher hasher;
    fs_hash hash;
    fs_hasher_init(&hasher);
    fs_hasher_field(&hasher, plan->fingerprint.bytes, FS_HASH_BYTES);
    fs_hasher_field(&hasher, id, strlen(id));
    fs_hasher_field(&hasher, purpose, strlen(purpose));
    fs_hasher_final(&hasher, &hash);
    return fs_hash_u64(&hash);
}

static summary_rate trial_rate(uint64_t k, uint64_t n, double confidence)
{
    return (summary_rate){n == 0 ? (double)NAN : (double)k / (double)n,
                          fs_clopper_pearson(k, n, confidence)};
}

static summary_rate input_rate(const uint32_t *k, size_t n, uint32_t inputs)
{
    uint64_t sum = 0;
    if (n == 0) return (summary_rate){(double)NAN, {0, 1}};
    for (size_t i = 0; i < n; i++) sum += k[i];
    return (summary_rate){(double)sum / ((double)n * inputs),
                          fs_cluster_rate(k, n, inputs, CONFIDENCE)};
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Between two infinite order statistics there is no number; the quantile is infinite too. */
static double quantile(const double *sorted, size_t n, double q)
{
    double value = fs_quantile_sorted(sorted, n, q);
    return n > 0 && isnan(value) ? (double)INFINITY : value;
}

/* The mean over finite values in trial order; then, in place, the order statistics. */
static fs_status summarise_metric(scan *s)
{
    summary_cell *out = s->out;
    double *finite = malloc((s->n + 1) * sizeof *finite);
    if (finite == NULL) return fs_fail(FS_ENOMEM, "no memory for %zu trials", s->n);
    size_t finite_count = 0, kept = 0;
    double sum = 0;
    int lm = s->plan->campaign->task.kind == FS_TASK_LM;
    for (size_t i = 0; i < s->n; i++) {
        double value = s->metrics[i];
        if (isfinite(value)) {
            finite[finite_count++] = value;
            sum += value;
        } else
            out->metric_nonfinite++;
        /* No perplexity is worse than any; an accuracy that is missing has no place. */
        if (isnan(value) && lm) value = (double)INFINITY;
        if (!isnan(value)) s->metrics[kept++] = value;
    }
    out->metric_mean = finite_count == 0 ? (double)NAN : sum / (double)finite_count;
    out->metric = fs_bootstrap_mean(finite, finite_count, CONFIDENCE,
                                    stream_key(s->plan, s->cell->id, "metric mean"));
    free(finite);
    if (kept > 0) qsort(s->metrics, kept, sizeof *s->metrics, by_value);
    if (finite_count > 0 && finite_count == s->n && s->metrics[0] == s->metrics[s->n - 1])
        out->metric_equal = s->n;
    out->metric_median = quantile(s->metrics, kept, 0.5);
    out->metric_q05 = quantile(s->metrics, kept, 0.05);
    out->metric_q95 = quantile(s->metrics, kept, 0.95);
    out->metric_median_interval = fs_median_interval(s->metrics, kept, CONFIDENCE);
    return FS_OK;
}

/** @return how many of the ascending trials lie below a look. */
static uint64_t below(const uint64_t *trials, size_t count, uint64_t look)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (trials[mid] < look)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Decides as the coordinator did: at complete prefixes of the looks only, and on the trials of them
 * that have a result. */
static void settle(const scan *s, uint64_t prefix)
{
    uint64_t look = 0;
    for (;;) {
        look = fs_cell_next_look(s->plan, s->cell, look);
        if (look > prefix) return;
        s->out->complete = 1;
        if (look >= s->cell->trials) return;
        uint64_t n = look - below(s->quarantined, s->quarantined_count, look);
        if (fs_cell_stops(s->plan, s->cell, n, below(s->critical, s->critical_count, look))) {
            s->out->stopped = 1;
            return;
        }
        s->out->complete = 0;
    }
}

/* Faults of a list are not drawn, and of a cell where no fault can matter nothing needs to be. The
 * trials of a simulated campaign know nothing of proofs. */
static summary_basis basis_of(const scan *s)
{
    const fs_totals *t = &s->out->totals;
    if (s->cell->site->from != FS_SITE_DRAWN) return SUMMARY_ENUMERATED;
    if (s->cell->space == NULL || s->out->masked_sites != fs_cell_sites(s->cell) ||
        t->critical + t->benign + t->sdc + t->due > 0 || fs_identity_simulated(s->plan->identity))
        return SUMMARY_SAMPLED;
    return SUMMARY_PROVED;
}

/* Leaves only what is known without sampling. */
static void drop_intervals(summary_cell *out)
{
    summary_rate *const rates[] = {&out->critical,      &out->sdc_trials, &out->due_trials,
                                   &out->masked_trials, &out->sdc_inputs, &out->due_inputs};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        rates[i]->interval = no_interval;
        if (out->basis == SUMMARY_PROVED) rates[i]->value = rates[i] == &out->masked_trials;
    }
    out->critical_confidence = (double)NAN;
    out->metric = out->metric_median_interval = no_interval;
}

static fs_status summarise(scan *s, const fs_range *done, size_t done_count)
{
    summary_cell *out = s->out;
    const fs_totals *t = &out->totals;
    settle(s, done_count > 0 && done[0].first == 0 ? done[0].count : 0);
    out->n = t->trials;
    out->injected = t->trials - t->outcomes[FS_OUTCOME_NOT_INJECTED];
    out->basis = basis_of(s);
    out->critical_confidence = fs_cell_confidence(s->plan, s->cell, CONFIDENCE);
    out->critical = trial_rate(t->critical, out->injected, out->critical_confidence);
    out->sdc_trials = trial_rate(t->outcomes[FS_OUTCOME_SDC], out->injected, CONFIDENCE);
    out->due_trials = trial_rate(t->outcomes[FS_OUTCOME_DUE], out->injected, CONFIDENCE);
    out->masked_trials = trial_rate(t->outcomes[FS_OUTCOME_MASKED], out->injected, CONFIDENCE);
    out->sdc_inputs = input_rate(s->sdc, s->n, s->inputs);
    out->due_inputs = input_rate(s->due, s->n, s->inputs);
    FS_TRY(summarise_metric(s));
    if (out->basis != SUMMARY_SAMPLED) drop_intervals(out);
    return FS_OK;
}

static fs_status read_golden(fs_store *store, const fs_plan *plan, summary_cell *out)
{
    fs_store_golden golden = {0};
    fs_status status = fs_store_get_golden(store, out->cell->variant, &golden);
    const int known = status == FS_OK;
    out->metric_golden = known ? golden.metric : (double)NAN;
    out->reads_known = known && golden.has_facts;
    const fs_reads reads = {golden.token_rows_read, golden.positions_read};
    out->masked_sites =
        fs_cell_masked_sites(plan, out->cell, out->reads_known ? &reads : NULL, &out->masked);
    return status == FS_ENOENT ? FS_OK : status;
}

/* What leaves no trial comes from the totals, the rest is counted anew from the trials: a live
 * store may have gone on between the two. */
static fs_status summarise_cell(fs_store *store, const fs_plan *plan, uint32_t index,
                                summary_cell *out)
{
    scan s = {.plan = plan, .cell = &plan->cells[index], .out = out};
    fs_range *done;
    size_t done_count;
    fs_totals stored;
    out->cell = s.cell;
    FS_TRY(fs_store_totals(store, index, &stored));
    out->totals.duplicates = stored.duplicates;
    out->totals.mismatches = stored.mismatches;
    out->totals.quarantined = stored.quarantined;
    FS_TRY(read_golden(store, plan, out));
    FS_TRY(fs_store_done(store, index, &done, &done_count));
    fs_status status = FS_OK;
    if (stored.quarantined > 0) status = fs_store_each_quarantine(store, visit_quarantined, &s);
    if (status == FS_OK) status = s.status;
    if (status == FS_OK) status = fs_store_each_trial(store, index, scan_visit, &s);
    if (status == FS_OK) status = s.status;
    if (status == FS_OK) status = summarise(&s, done, done_count);
    free(done);
    free(s.sdc);
    free(s.due);
    free(s.metrics);
    free(s.critical);
    free(s.quarantined);
    return status;
}

static int count_retry(void *data, uint64_t wall_ms, const char *kind, const char *text)
{
    if (strcmp(kind, SUMMARY_EVENT_LEASE_LOST) == 0) ++*(uint64_t *)data;
    return 0;
}

fs_status summary_new(summary **out, fs_store *store, const fs_plan *plan)
{
    *out = NULL;
    summary *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a summary");
    self->plan = plan;
    self->complete = 1;
    self->trials_planned = plan->trials;
    self->cells = calloc(plan->cell_count + 1, sizeof *self->cells);
    fs_status status = self->cells == NULL ? fs_fail(FS_ENOMEM, "no memory for a summary") : FS_OK;
    for (uint32_t i = 0; i < plan->cell_count && status == FS_OK; i++) {
        summary_cell *cell = &self->cells[i];
        status = summarise_cell(store, plan, i, cell);
        self->trials_done += cell->n;
        self->duplicates += cell->totals.duplicates;
        self->mismatches += cell->totals.mismatches;
        self->quarantined += cell->totals.quarantined;
        self->complete &= cell->complete;
    }
    if (status == FS_OK) status = fs_store_each_event(store, count_retry, &self->retries);
    if (status != FS_OK) summary_destroy(&self);
    *out = self;
    return status;
}

void summary_destroy(summary **self)
{
    if (*self == NULL) return;
    free((*self)->cells);
    free(*self);
    *self = NULL;
}

const char *summary_basis_name(summary_basis basis)
{
    switch (basis) {
#define X(name, text)                                                                              \
    case SUMMARY_##name:                                                                           \
        return text;
        SUMMARY_BASIS_MAP(X)
#undef X
    }
    return "unknown";
}
