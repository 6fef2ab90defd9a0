/* Two arms under the same faults, trial by trial. */
#include "summary.h"

#include <math.h>
#include <stdlib.h>

#include "grow.h"

#define CONFIDENCE (SUMMARY_CONFIDENCE_PERCENT / 100.0)

/* What of a trial is compared. */
typedef struct row {
    uint64_t trial;
    double metric;
    uint8_t outcome;
    uint8_t critical;
} row;

typedef struct rows {
    row *at;
    size_t count, capacity;
    fs_status status;
} rows;

static int take_row(void *data, uint32_t cell, uint64_t trial, const fs_trial_record *record,
                    const void *bytes, size_t size)
{
    rows *r = data;
    row *at = fs_grow(r->at, r->count, &r->capacity, sizeof *at);
    if (at == NULL) {
        r->status = fs_fail(FS_ENOMEM, "no memory for more trials");
        return 1;
    }
    r->at = at;
    r->at[r->count++] = (row){trial, record->metric, record->outcome, record->critical};
    return 0;
}

static fs_status read_rows(fs_store *store, uint32_t cell, rows *out)
{
    FS_TRY(fs_store_each_trial(store, cell, take_row, out));
    return out->status;
}

static int injected(const row *r)
{
    return r->outcome != FS_OUTCOME_NOT_INJECTED;
}

static void count_pair(summary_pair *out, const row *a, const row *b)
{
    out->n++;
    out->both += a->critical && b->critical;
    out->only_a += a->critical && !b->critical;
    out->only_b += !a->critical && b->critical;
    out->neither += !a->critical && !b->critical;
    out->outcomes[a->outcome][b->outcome]++;
}

static fs_status compare(summary_pair *out, const rows *a, const rows *b, uint64_t key)
{
    size_t most = a->count < b->count ? a->count : b->count;
    double *x = malloc((most + 1) * sizeof *x), *y = malloc((most + 1) * sizeof *y);
    if (x == NULL || y == NULL) {
        free(x);
        free(y);
        return fs_fail(FS_ENOMEM, "no memory for %zu trials", most);
    }
    size_t finite = 0;
    double sum = 0;
    for (size_t i = 0, j = 0; i < a->count && j < b->count;) {
        const row *p = &a->at[i], *q = &b->at[j];
        i += p->trial <= q->trial;
        j += q->trial <= p->trial;
        if (p->trial != q->trial || !injected(p) || !injected(q)) continue;
        count_pair(out, p, q);
        if (!isfinite(p->metric) || !isfinite(q->metric)) continue;
        x[finite] = p->metric;
        y[finite++] = q->metric;
        sum += q->metric - p->metric;
    }
    out->mcnemar_p = fs_mcnemar(out->only_a, out->only_b);
    out->metric_difference = finite == 0 ? (double)NAN : sum / (double)finite;
    out->metric_interval = fs_bootstrap_difference(x, y, finite, CONFIDENCE, key);
    free(x);
    free(y);
    return FS_OK;
}

static void compare_risks(summary_pair *out)
{
    uint64_t in_a = out->both + out->only_a, in_b = out->both + out->only_b;
    out->critical_ratio_value = (double)NAN;
    out->critical_ratio = (fs_interval){0, (double)INFINITY};
    if (out->n == 0) return;
    if (in_a > 0) out->critical_ratio_value = (double)in_b / (double)in_a;
    out->critical_ratio = fs_risk_ratio(in_b, out->n, in_a, out->n, CONFIDENCE);
}

fs_status summary_compare(summary_pair *out, fs_store *store, uint32_t cell_a, uint32_t cell_b,
                          uint64_t key)
{
    rows a = {0}, b = {0};
    *out = (summary_pair){0};
    fs_status status = read_rows(store, cell_a, &a);
    if (status == FS_OK) status = read_rows(store, cell_b, &b);
    if (status == FS_OK) status = compare(out, &a, &b, key);
    if (status == FS_OK) compare_risks(out);
    free(a.at);
    free(b.at);
    return status;
}
