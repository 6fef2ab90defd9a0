#include "report_cells.h"

#include <stdio.h>

#include "report_columns.h"
#include "report_place.h"

/* The columns of a rate or a value with its interval; names are literals, as columns borrow them.
 */
#define INTERVAL(table, name, v, i)                                                                \
    do {                                                                                           \
        report_columns_number(table, name, v);                                                     \
        report_columns_number(table, name "_low", (i).low);                                        \
        report_columns_number(table, name "_high", (i).high);                                      \
    } while (0)

#define RATE(table, name, count, v, i)                                                             \
    do {                                                                                           \
        report_columns_number(table, name "_k", (double)(count));                                  \
        INTERVAL(table, name, v, i);                                                               \
    } while (0)

static void put_count(report_columns *t, const char *name, uint64_t value)
{
    report_columns_number(t, name, (double)value);
}

static void put_layer(report_columns *t, const fs_cell *cell)
{
    report_columns_number(t, "layer", cell->by_layer ? cell->layer : -1);
}

/* "flip", "burst:4, column:all". */
static void put_form(report_columns *t, const fs_form *form)
{
    char kind[FS_FORM_TEXT_BYTES], pattern[FS_FORM_TEXT_BYTES], text[2 * FS_FORM_TEXT_BYTES + 2];
    fs_form_kind_text(form->kind, kind);
    fs_form_pattern_text(form->pattern, pattern);
    const int whole = form->pattern.axis != FS_FORM_ELEMENT;
    snprintf(text, sizeof text, "%s%s%s", kind, whole ? ", " : "", whole ? pattern : "");
    report_columns_text(t, "kind", text);
}

/* What cells and groups say of their point in the same words. */
static fs_status put_point(report_columns *t, const fs_cell *cell, fs_buf *scratch)
{
    fs_buf_clear(scratch);
    FS_TRY(fs_guard_write(&cell->guard, scratch));
    report_columns_text(t, "guard", fs_buf_text(scratch));
    put_count(t, "sweep", cell->sweep);
    put_count(t, "arm", cell->arm);
    report_columns_number(t, "amount", cell->amount.value);
    put_form(t, &cell->form);
    return FS_OK;
}

static fs_status put_place(report_columns *t, const fs_cell *cell, fs_buf *scratch)
{
    fs_buf_clear(scratch);
    FS_TRY(report_place_cell(scratch, cell));
    report_columns_text(t, "place", fs_buf_text(scratch));
    return FS_OK;
}

static void put_ends(report_columns *t, const fs_totals *totals)
{
    static const char *const names[FS_OUTCOME_COUNT] = {
#define X(name, text) "end_" text,
        FS_OUTCOME_MAP(X)
#undef X
    };
    for (int i = 0; i < FS_OUTCOME_COUNT; i++) put_count(t, names[i], totals->outcomes[i]);
}

static void put_counts(report_columns *t, const summary_cell *cell)
{
    const fs_totals *totals = &cell->totals;
    put_count(t, "variant", cell->cell->variant);
    put_count(t, "pair", cell->cell->pair);
    put_count(t, "sites", fs_cell_sites(cell->cell));
    put_count(t, "masked_sites", cell->masked_sites);
    put_count(t, "masked_segments", cell->masked.segments);
    put_count(t, "masked_positions", cell->masked.positions);
    put_count(t, "masked_token_rows", cell->masked.token_rows);
    put_count(t, "masked_bits", cell->masked.bits);
    put_count(t, "reads_known", cell->reads_known != 0);
    put_count(t, "planned", cell->cell->trials);
    put_count(t, "n", cell->n);
    put_count(t, "injected", cell->injected);
    put_count(t, "complete", cell->complete != 0);
    put_count(t, "stopped", cell->stopped != 0);
    put_count(t, "inputs", totals->inputs);
    put_count(t, "faults", totals->faults);
    put_count(t, "visible", totals->visible);
    put_count(t, "corrected", totals->corrected);
    put_count(t, "detected", totals->detected);
    put_count(t, "miscorrected", totals->miscorrected);
    put_count(t, "check_faults", totals->check_faults);
    put_ends(t, totals);
}

static void put_rates(report_columns *t, const summary_cell *c)
{
    const fs_totals *totals = &c->totals;
    const uint64_t *ends = totals->outcomes;
    RATE(t, "critical", totals->critical, c->critical.value, c->critical.interval);
    RATE(t, "sdc", ends[FS_OUTCOME_SDC], c->sdc_trials.value, c->sdc_trials.interval);
    RATE(t, "due", ends[FS_OUTCOME_DUE], c->due_trials.value, c->due_trials.interval);
    RATE(t, "masked", ends[FS_OUTCOME_MASKED], c->masked_trials.value, c->masked_trials.interval);
    RATE(t, "sdc_inputs", totals->sdc, c->sdc_inputs.value, c->sdc_inputs.interval);
    INTERVAL(t, "metric", c->metric_mean, c->metric);
    INTERVAL(t, "median", c->metric_median, c->metric_median_interval);
    report_columns_number(t, "q05", c->metric_q05);
    report_columns_number(t, "q95", c->metric_q95);
    put_count(t, "nonfinite", c->metric_nonfinite);
    put_count(t, "metric_equal", c->metric_equal);
}

static fs_status write_cells(fs_buf *out, const summary *s)
{
    report_columns *t = NULL;
    fs_buf scratch = {0};
    fs_status status = report_columns_new(&t);
    for (size_t i = 0; i < s->plan->cell_count && status == FS_OK; i++) {
        const summary_cell *cell = &s->cells[i];
        report_columns_text(t, "id", cell->cell->id);
        report_columns_text(t, "bits", cell->cell->bits->name);
        report_columns_text(t, "basis", summary_basis_name(cell->basis));
        put_layer(t, cell->cell);
        status = put_point(t, cell->cell, &scratch);
        if (status == FS_OK) status = put_place(t, cell->cell, &scratch);
        put_counts(t, cell);
        put_rates(t, cell);
        report_columns_row(t);
    }
    if (status == FS_OK) status = report_columns_write(t, out);
    report_columns_destroy(&t);
    fs_buf_free(&scratch);
    return status;
}

/* Names are literals, as columns borrow them. */
#define PAIRED(table, name, g, m)                                                                  \
    do {                                                                                           \
        const report_paired *paired_ = &(g)->paired[m];                                            \
        put_count(table, name "_pair_n", paired_->n);                                              \
        put_count(table, name "_pair_base", paired_->base);                                        \
        put_count(table, name "_pair_arm", paired_->arm);                                          \
        put_count(table, name "_pair_only_base", paired_->only_base);                              \
        put_count(table, name "_pair_only_arm", paired_->only_arm);                                \
        report_columns_number(table, name "_pair_p", paired_->p);                                  \
        report_columns_number(table, name "_pair_holm", paired_->holm);                            \
        report_columns_number(table, name "_pair_times", paired_->times);                          \
        report_columns_text(table, name "_effect", effect_names[(g)->effect[m]]);                  \
        report_columns_number(table, name "_widest", widest((g)->rate[m].widest));                 \
    } while (0)

static const char *const effect_names[REPORT_EFFECT_COUNT] = {
    [REPORT_EFFECT_UNKNOWN] = "unknown",       [REPORT_EFFECT_NONE] = "none",
    [REPORT_EFFECT_FEWER] = "fewer",           [REPORT_EFFECT_MORE] = "more",
    [REPORT_EFFECT_HINT_FEWER] = "hint-fewer", [REPORT_EFFECT_HINT_MORE] = "hint-more",
};

static double widest(uint32_t cell)
{
    return cell == UINT32_MAX ? -1 : (double)cell;
}

static void put_group(report_columns *t, const report_group *g)
{
    const report_rate *r = g->rate;
    const summary_rate *d = g->difference;
    report_columns_number(t, "cell", g->cells == 1 ? (double)g->first : -1);
    put_count(t, "cells", g->cells);
    report_columns_text(t, "basis", summary_basis_name(g->basis));
    put_count(t, "n", g->n);
    put_count(t, "injected", g->injected);
    put_count(t, "planned", g->planned);
    put_count(t, "sites", g->sites);
    put_count(t, "masked_sites", g->masked_sites);
    put_count(t, "has_difference", g->has_difference != 0);
    RATE(t, "critical", r[REPORT_CRITICAL].k, r[REPORT_CRITICAL].value,
         r[REPORT_CRITICAL].interval);
    RATE(t, "sdc", r[REPORT_SDC].k, r[REPORT_SDC].value, r[REPORT_SDC].interval);
    RATE(t, "due", r[REPORT_DUE].k, r[REPORT_DUE].value, r[REPORT_DUE].interval);
    INTERVAL(t, "critical_diff", d[REPORT_CRITICAL].value, d[REPORT_CRITICAL].interval);
    INTERVAL(t, "sdc_diff", d[REPORT_SDC].value, d[REPORT_SDC].interval);
    INTERVAL(t, "due_diff", d[REPORT_DUE].value, d[REPORT_DUE].interval);
    put_count(t, "comparisons", g->comparisons);
    PAIRED(t, "critical", g, REPORT_CRITICAL);
    PAIRED(t, "sdc", g, REPORT_SDC);
    PAIRED(t, "due", g, REPORT_DUE);
}

static fs_status write_groups(fs_buf *out, const summary *s, const report_groups *groups)
{
    report_columns *t = NULL;
    fs_buf scratch = {0};
    fs_status status = report_columns_new(&t);
    for (size_t i = 0; i < groups->count && status == FS_OK; i++) {
        const report_group *g = &groups->items[i];
        const fs_cell *cell = s->cells[g->first].cell;
        report_columns_text(t, "scope", g->by_place ? "place" : "amount");
        report_columns_text(t, "bits", g->by_bits ? cell->bits->name : "");
        status = put_point(t, cell, &scratch);
        if (g->by_place) {
            put_layer(t, cell);
            if (status == FS_OK) status = put_place(t, cell, &scratch);
        } else {
            report_columns_number(t, "layer", -1);
            report_columns_text(t, "place", "");
        }
        put_group(t, g);
        report_columns_row(t);
    }
    if (status == FS_OK) status = report_columns_write(t, out);
    report_columns_destroy(&t);
    fs_buf_free(&scratch);
    return status;
}

static void put_pair(report_columns *t, uint32_t b, const report_pair *entry)
{
    const summary_pair *pair = &entry->pair;
    put_count(t, "a", entry->base);
    put_count(t, "b", b);
    put_count(t, "n", pair->n);
    put_count(t, "both", pair->both);
    put_count(t, "only_a", pair->only_a);
    put_count(t, "only_b", pair->only_b);
    put_count(t, "neither", pair->neither);
    report_columns_number(t, "p", pair->mcnemar_p);
    INTERVAL(t, "ratio", pair->critical_ratio_value, pair->critical_ratio);
    INTERVAL(t, "metric", pair->metric_difference, pair->metric_interval);
    report_columns_row(t);
}

static fs_status write_pairs(fs_buf *out, const summary *s, const report_pair *pairs)
{
    static const char *const names[] = {
        "a", "b",     "n",         "both",       "only_a", "only_b",     "neither",
        "p", "ratio", "ratio_low", "ratio_high", "metric", "metric_low", "metric_high"};
    report_columns *t = NULL;
    FS_TRY(report_columns_new(&t));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) report_columns_declare(t, names[i]);
    for (uint32_t b = 0; b < s->plan->cell_count; b++) {
        if (report_columns_rows(t) >= REPORT_PAIRS_MAX) break;
        if (pairs[b].pair.n > 0) put_pair(t, b, &pairs[b]);
    }
    fs_status status = report_columns_write(t, out);
    report_columns_destroy(&t);
    return status;
}

fs_status report_cells_write(fs_buf *out, const summary *s, const report_groups *groups,
                             const report_pair *pairs)
{
    FS_TRY(fs_buf_puts(out, "{\"cells\":"));
    FS_TRY(write_cells(out, s));
    FS_TRY(fs_buf_puts(out, ",\"groups\":"));
    FS_TRY(write_groups(out, s, groups));
    FS_TRY(fs_buf_puts(out, ",\"pairs\":"));
    FS_TRY(write_pairs(out, s, pairs));
    return fs_buf_puts(out, "}");
}
