#include "report_pairs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

uint32_t report_base_arm(const fs_campaign *campaign)
{
    for (uint32_t i = 0; i < campaign->arm_count; i++) {
        if (campaign->arms[i].protect_count == 0) return i;
    }
    return 0;
}

uint32_t report_base_of(const fs_campaign *campaign, uint32_t arm)
{
    const fs_arm *own = &campaign->arms[arm];
    for (uint32_t i = 0; i < campaign->arm_count && own->protect_count > 0; i++) {
        const fs_arm *other = &campaign->arms[i];
        if (other->protect_count == 0 && other->dtype == own->dtype &&
            strcmp(other->model, own->model) == 0)
            return i;
    }
    return report_base_arm(campaign);
}

/* Whether two cells meet equal faults: those in words of unlike formats do not. */
static int comparable(const fs_cell *a, const fs_cell *b)
{
    return a->format == b->format;
}

/* The cell of each pair number and arm, UINT32_MAX without one. */
static fs_status cells_of_pairs(uint32_t **out, const fs_plan *plan)
{
    const size_t arms = plan->campaign->arm_count;
    size_t pairs = 0;
    for (size_t i = 0; i < plan->cell_count; i++) {
        if (plan->cells[i].pair >= pairs) pairs = (size_t)plan->cells[i].pair + 1;
    }
    *out = malloc((pairs * arms + 1) * sizeof **out);
    if (*out == NULL) return fs_fail(FS_ENOMEM, "no memory for %zu pairs", pairs);
    for (size_t i = 0; i < pairs * arms; i++) (*out)[i] = UINT32_MAX;
    for (uint32_t i = 0; i < plan->cell_count; i++) {
        (*out)[plan->cells[i].pair * arms + plan->cells[i].arm] = i;
    }
    return FS_OK;
}

/* Over a list nothing is drawn: counts say all. */
static void drop_sampling(summary_pair *pair)
{
    const fs_interval none = {NAN, NAN};
    pair->mcnemar_p = (double)NAN;
    pair->metric_interval = pair->critical_ratio = none;
}

fs_status report_pairs_new(report_pair **out, fs_store *store, const summary *s)
{
    uint32_t *cells = NULL;
    const fs_campaign *campaign = s->plan->campaign;
    report_pair *pairs = calloc(s->plan->cell_count + 1, sizeof *pairs);
    fs_status status = pairs != NULL ? cells_of_pairs(&cells, s->plan)
                                     : fs_fail(FS_ENOMEM, "no memory for the report's pairs");
    for (uint32_t b = 0; b < s->plan->cell_count && status == FS_OK; b++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): cells_of_pairs fills all */
        uint32_t a = cells[(size_t)s->plan->cells[b].pair * campaign->arm_count +
                           report_base_of(campaign, s->plan->cells[b].arm)];
        if (a == UINT32_MAX || a == b || s->cells[a].n == 0 || s->cells[b].n == 0) continue;
        if (!comparable(&s->plan->cells[a], &s->plan->cells[b])) continue;
        pairs[b].base = a;
        status = summary_compare(&pairs[b].pair, store, a, b, s->cells[a].cell->draw_key);
        if (s->cells[b].basis == SUMMARY_ENUMERATED) drop_sampling(&pairs[b].pair);
    }
    free(cells);
    if (status != FS_OK) free(pairs);
    *out = status == FS_OK ? pairs : NULL;
    return status;
}

void report_paired_add(report_paired *self, const summary_pair *pair, report_measure measure)
{
    uint64_t only_a = pair->only_a, only_b = pair->only_b, both = pair->both;
    if (measure != REPORT_CRITICAL) {
        const int end = measure == REPORT_SDC ? FS_OUTCOME_SDC : FS_OUTCOME_DUE;
        both = pair->outcomes[end][end];
        only_a = only_b = 0;
        for (int i = 0; i < FS_OUTCOME_COUNT; i++) {
            if (i == end) continue;
            only_a += pair->outcomes[end][i];
            only_b += pair->outcomes[i][end];
        }
    }
    self->n += pair->n;
    self->base += both + only_a;
    self->arm += both + only_b;
    self->only_base += only_a;
    self->only_arm += only_b;
}

/* With none of k discordant pairs on one side, the lower limit of the other side's odds. */
static double odds_limit(uint64_t k)
{
    double low = fs_clopper_pearson(k, k, SUMMARY_CONFIDENCE_PERCENT / 100.0).low;
    return low / (1 - low);
}

void report_paired_test(report_paired *self)
{
    self->p = self->holm = fs_mcnemar(self->only_base, self->only_arm);
    if (self->base == 0 && self->arm == 0)
        self->times = (double)NAN;
    else if (self->arm == 0)
        self->times = odds_limit(self->base);
    else if (self->base == 0)
        self->times = 1 / odds_limit(self->arm);
    else
        self->times = (double)self->base / (double)self->arm;
}

void report_paired_exact(report_paired *self)
{
    self->p = self->holm = self->times = (double)NAN;
    if (self->base > 0 && self->arm > 0) self->times = (double)self->base / (double)self->arm;
}

static int by_p(const void *a, const void *b)
{
    const report_paired *x = *(report_paired *const *)a, *y = *(report_paired *const *)b;
    return (x->p > y->p) - (x->p < y->p);
}

void report_paired_holm(report_paired **list, size_t count)
{
    size_t tests = 0, rank = 0;
    double least = 0;
    if (count > 0) qsort(list, count, sizeof *list, by_p);
    for (size_t i = 0; i < count; i++) tests += list[i]->n > 0;
    for (size_t i = 0; i < count; i++) {
        if (list[i]->n == 0) continue;
        least = fmax(least, fmin(1, list[i]->p * (double)(tests - rank++)));
        list[i]->holm = least;
    }
}
