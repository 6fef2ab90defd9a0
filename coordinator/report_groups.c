#include "report_groups.h"

#include <math.h>
#include <stdlib.h>

enum { FLAVOURS = 4 };

/* A cell with the key of its group, in the order of comparison: arms of one point are neighbours.
 */
typedef struct entry {
    uint32_t sweep;
    uint32_t kind;
    uint32_t burst;
    uint32_t axis;
    uint32_t span;
    uint32_t guard;
    float threshold;
    double amount;
    uint32_t bits;
    int layer;
    uint32_t set;
    uint32_t arm;
    uint32_t cell;
} entry;

#define COMPARE(a, b)                                                                              \
    do {                                                                                           \
        if ((a) != (b)) return (a) < (b) ? -1 : 1;                                                 \
    } while (0)

static int compare_point(const entry *x, const entry *y)
{
    COMPARE(x->sweep, y->sweep);
    COMPARE(x->kind, y->kind);
    COMPARE(x->burst, y->burst);
    COMPARE(x->axis, y->axis);
    COMPARE(x->span, y->span);
    COMPARE(x->guard, y->guard);
    COMPARE(x->threshold, y->threshold);
    COMPARE(x->amount, y->amount);
    COMPARE(x->bits, y->bits);
    COMPARE(x->layer, y->layer);
    COMPARE(x->set, y->set);
    return 0;
}

static int compare_entries(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    int point = compare_point(x, y);
    if (point != 0) return point;
    COMPARE(x->arm, y->arm);
    COMPARE(x->cell, y->cell);
    return 0;
}

static int compare_groups(const void *a, const void *b)
{
    const report_group *x = a, *y = b;
    COMPARE(x->first, y->first);
    COMPARE(x->by_place, y->by_place);
    COMPARE(x->by_bits, y->by_bits);
    return 0;
}

/* A mean over overlapping choices would count the shared bits twice. */
static int bits_overlap(const fs_sweep *sweep)
{
    fs_bits seen = 0;
    for (size_t i = 0; i < sweep->bits_count; i++) {
        if ((seen & sweep->bits[i].bits) != 0) return 1;
        seen |= sweep->bits[i].bits;
    }
    return 0;
}

/* Whether the sweep has a group of this flavour beyond those of plainer ones. */
static int wanted(const fs_sweep *sweep, int by_bits, int by_place)
{
    if (by_place && sweep->by == 0) return 0;
    if (by_bits) return sweep->bits_count > 1;
    return !bits_overlap(sweep);
}

static entry entry_of(const summary *s, uint32_t index, int by_bits, int by_place)
{
    const fs_cell *cell = s->cells[index].cell;
    return (entry){
        .sweep = cell->sweep,
        .kind = (uint32_t)cell->form.kind.word,
        .burst = cell->form.kind.burst,
        .axis = (uint32_t)cell->form.pattern.axis,
        .span = cell->form.pattern.span,
        .guard = (uint32_t)cell->guard.kind,
        .threshold = cell->guard.kind == FS_GUARD_THRESHOLD ? cell->guard.threshold : 0,
        .amount = cell->amount.value,
        .bits = by_bits ? cell->bits->bits : 0,
        .layer = by_place ? cell->layer : -1,
        .set = by_place ? cell->set : 0,
        .arm = cell->arm,
        .cell = index,
    };
}

static uint64_t events(const summary_cell *cell, int measure)
{
    switch (measure) {
    case REPORT_CRITICAL:
        return cell->totals.critical;
    case REPORT_SDC:
        return cell->totals.outcomes[FS_OUTCOME_SDC];
    default:
        return cell->totals.outcomes[FS_OUTCOME_DUE];
    }
}

static report_rate one_rate(const summary_cell *cell, int measure)
{
    const summary_rate *rates[] = {&cell->critical, &cell->sdc_trials, &cell->due_trials};
    const double value = rates[measure]->value;
    const fs_interval exact = {value, value};
    return (report_rate){events(cell, measure), value,
                         cell->basis == SUMMARY_SAMPLED ? rates[measure]->interval : exact,
                         UINT32_MAX};
}

static double sites(const fs_cell *cell)
{
    return (double)fs_cell_sites(cell);
}

/* @return nonzero if its rates are known or estimated. */
static int has_rate(const summary_cell *cell)
{
    return cell->injected > 0 || cell->basis == SUMMARY_PROVED;
}

/* The rate of such a cell; proved ones need no trials. */
static double rate_of(const summary_cell *cell, int measure)
{
    return cell->injected > 0 ? (double)events(cell, measure) / (double)cell->injected : 0;
}

/* What a cell adds to the width of a mean: nothing, if its rate is not sampled. */
static fs_interval own_interval(const summary_cell *cell, int measure)
{
    const double confidence =
        measure == REPORT_CRITICAL ? cell->critical_confidence : SUMMARY_CONFIDENCE_PERCENT / 100.0;
    const double exact = rate_of(cell, measure);
    if (cell->basis != SUMMARY_SAMPLED && has_rate(cell)) return (fs_interval){exact, exact};
    return fs_wilson(events(cell, measure), cell->injected, confidence);
}

/* The weighted mean, and the squares of its distances to the cells' limits. */
static report_rate mean_rate(const summary *s, const entry *entries, size_t count, int measure)
{
    double weight = 0, run = 0, sum = 0, below = 0, above = 0, most = 0;
    report_rate out = {.widest = UINT32_MAX};
    for (size_t i = 0; i < count; i++) {
        const summary_cell *cell = &s->cells[entries[i].cell];
        weight += sites(cell->cell);
        if (!has_rate(cell)) continue;
        run += sites(cell->cell);
        sum += sites(cell->cell) * rate_of(cell, measure);
        out.k += events(cell, measure);
    }
    out.value = run > 0 ? sum / run : NAN;
    for (size_t i = 0; i < count && run > 0; i++) {
        const summary_cell *cell = &s->cells[entries[i].cell];
        double w = sites(cell->cell) / weight;
        double p = has_rate(cell) ? rate_of(cell, measure) : out.value;
        fs_interval own = own_interval(cell, measure);
        below += w * w * (p - own.low) * (p - own.low);
        double up = w * w * (own.high - p) * (own.high - p);
        above += up;
        if (up > most) {
            most = up;
            out.widest = entries[i].cell;
        }
    }
    if (most <= above / 2) out.widest = UINT32_MAX;
    out.interval.low = run > 0 && out.k > 0 ? fmax(0, out.value - sqrt(below)) : 0;
    out.interval.high = run > 0 ? fmin(1, out.value + sqrt(above)) : 1;
    return out;
}

summary_rate report_difference(const report_rate *a, const report_rate *b)
{
    double d = b->value - a->value;
    double below = hypot(b->value - b->interval.low, a->interval.high - a->value);
    double above = hypot(b->interval.high - b->value, a->value - a->interval.low);
    return (summary_rate){d, {fmax(-1, d - below), fmin(1, d + above)}};
}

static report_group make_group(const summary *s, const report_pair *pairs, const entry *entries,
                               size_t count, int by_bits, int by_place)
{
    report_group out = {.first = entries[0].cell,
                        .cells = (uint32_t)count,
                        .by_bits = by_bits,
                        .by_place = by_place,
                        .basis = s->cells[entries[0].cell].basis,
                        .comparisons = 1};
    for (size_t i = 0; i < count; i++) {
        if (s->cells[entries[i].cell].basis != out.basis) out.basis = SUMMARY_SAMPLED;
        out.n += s->cells[entries[i].cell].n;
        out.injected += s->cells[entries[i].cell].injected;
        out.planned += s->cells[entries[i].cell].cell->trials;
        out.sites += fs_cell_sites(s->cells[entries[i].cell].cell);
        out.masked_sites += s->cells[entries[i].cell].masked_sites;
    }
    for (int m = 0; m < REPORT_MEASURE_COUNT; m++) {
        out.rate[m] =
            count == 1 ? one_rate(&s->cells[entries[0].cell], m) : mean_rate(s, entries, count, m);
        for (size_t i = 0; i < count; i++) {
            report_paired_add(&out.paired[m], &pairs[entries[i].cell].pair, (report_measure)m);
        }
        report_paired_test(&out.paired[m]);
        if (out.basis == SUMMARY_ENUMERATED) report_paired_exact(&out.paired[m]);
    }
    return out;
}

static const report_group *group_of_arm(const summary *s, const report_group *groups, size_t count,
                                        uint32_t arm)
{
    for (size_t i = 0; i < count; i++) {
        if (s->cells[groups[i].first].cell->arm == arm) return &groups[i];
    }
    return NULL;
}

/* Compares the groups of one point, which are neighbours, each with that of its base arm. */
static void compare_arms(const summary *s, report_group *groups, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        report_group *g = &groups[i];
        const uint32_t arm = s->cells[g->first].cell->arm;
        const report_group *base =
            group_of_arm(s, groups, count, report_base_of(s->plan->campaign, arm));
        if (base == NULL || g == base || g->n == 0 || base->n == 0) continue;
        g->has_difference = 1;
        for (int m = 0; m < REPORT_MEASURE_COUNT; m++) {
            g->difference[m] = report_difference(&base->rate[m], &g->rate[m]);
        }
    }
}

static void add_flavour(report_groups *self, const summary *s, const report_pair *pairs,
                        entry *entries, int by_bits, int by_place)
{
    size_t count = 0;
    for (uint32_t i = 0; i < s->plan->cell_count; i++) {
        const fs_sweep *sweep = &s->plan->campaign->sweeps[s->cells[i].cell->sweep];
        if (wanted(sweep, by_bits, by_place)) entries[count++] = entry_of(s, i, by_bits, by_place);
    }
    qsort(entries, count, sizeof *entries, compare_entries);
    size_t point = self->count; /* the first group of the current point */
    for (size_t i = 0; i < count;) {
        size_t n = 1;
        while (i + n < count && entries[i + n].arm == entries[i].arm &&
               compare_point(&entries[i + n], &entries[i]) == 0)
            n++;
        self->items[self->count++] = make_group(s, pairs, &entries[i], n, by_bits, by_place);
        i += n;
        if (i == count || compare_point(&entries[i], &entries[i - 1]) != 0) {
            compare_arms(s, &self->items[point], self->count - point);
            point = self->count;
        }
    }
}

/* Whether two groups of one flavour stand side by side in a figure: points that differ in their
 * place or, where places are taken together, in their bits. */
static int one_figure(const summary *s, const report_group *a, const report_group *b)
{
    entry x = entry_of(s, a->first, a->by_bits && a->by_place, 0);
    entry y = entry_of(s, b->first, b->by_bits && b->by_place, 0);
    return compare_point(&x, &y) == 0;
}

/* Adjusts the tests of one arm in one figure for their number. */
static void adjust(const summary *s, report_group *groups, size_t count, uint32_t arm,
                   report_paired **scratch)
{
    for (int m = 0; m < REPORT_MEASURE_COUNT; m++) {
        uint32_t tests = 0;
        for (size_t i = 0; i < count; i++) {
            if (s->cells[groups[i].first].cell->arm != arm || groups[i].paired[m].n == 0 ||
                isnan(groups[i].paired[m].p))
                continue;
            scratch[tests++] = &groups[i].paired[m];
        }
        report_paired_holm(scratch, tests);
        for (size_t i = 0; i < count; i++) {
            if (s->cells[groups[i].first].cell->arm == arm) groups[i].comparisons = tests;
        }
    }
}

static void adjust_flavour(const summary *s, report_group *groups, size_t count,
                           report_paired **scratch)
{
    for (size_t i = 0, n; i < count; i += n) {
        for (n = 1; i + n < count && one_figure(s, &groups[i], &groups[i + n]);) n++;
        for (uint32_t arm = 0; arm < s->plan->campaign->arm_count; arm++) {
            adjust(s, &groups[i], n, arm, scratch);
        }
    }
}

/* Of a list, the difference itself is known. The paired test decides; without common trials the
 * interval of the difference does. */
static report_effect effect_of(const report_group *g, int measure)
{
    const double alpha = 1 - SUMMARY_CONFIDENCE_PERCENT / 100.0;
    const report_paired *paired = &g->paired[measure];
    const fs_interval *d = &g->difference[measure].interval;
    if (!g->has_difference || isnan(d->low) || isnan(d->high)) return REPORT_EFFECT_UNKNOWN;
    if (g->basis == SUMMARY_ENUMERATED)
        return d->high < 0  ? REPORT_EFFECT_FEWER
               : d->low > 0 ? REPORT_EFFECT_MORE
                            : REPORT_EFFECT_NONE;
    const int few = paired->only_arm < paired->only_base;
    if (paired->n > 0 && paired->holm < alpha)
        return few ? REPORT_EFFECT_FEWER : REPORT_EFFECT_MORE;
    if (paired->n > 0 && paired->p < alpha)
        return few ? REPORT_EFFECT_HINT_FEWER : REPORT_EFFECT_HINT_MORE;
    if (d->high < 0) return paired->n > 0 ? REPORT_EFFECT_HINT_FEWER : REPORT_EFFECT_FEWER;
    if (d->low > 0) return paired->n > 0 ? REPORT_EFFECT_HINT_MORE : REPORT_EFFECT_MORE;
    return REPORT_EFFECT_NONE;
}

static void decide(report_groups *self)
{
    for (size_t i = 0; i < self->count; i++) {
        report_group *g = &self->items[i];
        for (int m = 0; m < REPORT_MEASURE_COUNT; m++) g->effect[m] = effect_of(g, m);
    }
}

fs_status report_groups_new(report_groups **out, const summary *s, const report_pair *pairs)
{
    size_t cells = s->plan->cell_count;
    report_groups *self = calloc(1, sizeof *self);
    entry *entries = malloc((cells + 1) * sizeof *entries);
    if (self != NULL) self->items = calloc(FLAVOURS * cells + 1, sizeof *self->items);
    report_paired **scratch = malloc((cells + 1) * sizeof *scratch);
    if (self == NULL || entries == NULL || scratch == NULL || self->items == NULL) {
        free(scratch);
        free(entries);
        report_groups_destroy(&self);
        return fs_fail(FS_ENOMEM, "no memory for the groups of %zu cells", cells);
    }
    for (int flavour = 0; flavour < FLAVOURS; flavour++) {
        size_t before = self->count;
        add_flavour(self, s, pairs, entries, flavour & 1, flavour >> 1);
        adjust_flavour(s, &self->items[before], self->count - before, scratch);
    }
    decide(self);
    qsort(self->items, self->count, sizeof *self->items, compare_groups);
    free(scratch);
    free(entries);
    *out = self;
    return FS_OK;
}

void report_groups_destroy(report_groups **self)
{
    if (*self == NULL) return;
    free((*self)->items);
    free(*self);
    *self = NULL;
}
