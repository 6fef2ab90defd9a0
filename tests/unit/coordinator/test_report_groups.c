#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "report_fixture.h"
#include "report_groups.h"

/* Wilson's limits from his formula, apart from the code under test. */
static fs_interval wilson(double k, double n)
{
    const double z = 1.959963984540054, p = k / n, z2 = z * z;
    double middle = (p + z2 / (2 * n)) / (1 + z2 / n);
    double half = z / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
    return (fs_interval){fmax(0, middle - half), fmin(1, middle + half)};
}

static void close_to(double value, double expected)
{
    if (fabs(value - expected) > 1e-9) fail_msg("%.12g, expected %.12g", value, expected);
}

typedef struct setup {
    report_fixture *f;
    summary *s;
    report_pair *pairs;
    report_groups *g;
} setup;

static void group(setup *x)
{
    assert_int_equal(summary_new(&x->s, x->f->store, &x->f->base->plan), FS_OK);
    assert_int_equal(report_pairs_new(&x->pairs, x->f->store, x->s), FS_OK);
    assert_int_equal(report_groups_new(&x->g, x->s, x->pairs), FS_OK);
}

static void prepare(setup *x, const uint64_t trials[REPORT_CELLS])
{
    x->f = report_fixture_new("groups", REPORT_TRIALS);
    for (uint32_t i = 0; i < REPORT_CELLS; i++) {
        if (trials[i] > 0) report_fixture_run(x->f, i, trials[i]);
    }
    group(x);
}

static void finish(setup *x)
{
    report_groups_destroy(&x->g);
    assert_null(x->g);
    free(x->pairs);
    summary_destroy(&x->s);
    report_fixture_free(x->f);
}

/* The group of an amount in an arm: of both classes of bits, or of the class that `cell` has. */
static const report_group *find(const setup *x, uint32_t cell, int by_bits)
{
    for (size_t i = 0; i < x->g->count; i++) {
        const report_group *g = &x->g->items[i];
        const fs_cell *a = x->s->cells[g->first].cell, *b = x->s->cells[cell].cell;
        if (g->by_bits != by_bits || a->arm != b->arm || a->amount.value != b->amount.value)
            continue;
        if (!by_bits || a->bits == b->bits) return g;
    }
    fail_msg("no group for cell %u", cell);
    return NULL;
}

static uint64_t critical(uint32_t cell, uint64_t trials)
{
    uint64_t k = 0;
    for (uint64_t i = 0; i < trials; i++) k += report_fixture_record(cell, i).critical;
    return k;
}

static void test_one_cell_keeps_its_exact_interval(void **state)
{
    static const uint64_t all[REPORT_CELLS] = {60, 60, 60, 60, 60, 60, 60, 60};
    setup x;
    prepare(&x, all);
    for (uint32_t cell = 0; cell < REPORT_CELLS; cell++) {
        const report_group *g = find(&x, cell, 1);
        assert_int_equal(g->cells, 1);
        assert_int_equal(g->first, cell);
        assert_int_equal(g->n, 60);
        assert_int_equal(g->rate[REPORT_CRITICAL].k, critical(cell, 60));
        fs_interval exact = fs_clopper_pearson(critical(cell, 60), 60, 0.95);
        close_to(g->rate[REPORT_CRITICAL].interval.low, exact.low);
        close_to(g->rate[REPORT_CRITICAL].interval.high, exact.high);
    }
    /* 2 amounts x 2 arms, bits together and apart; no place, as nothing is cut by place. */
    assert_int_equal(x.g->count, 4 + 8);
    finish(&x);
}

static void test_cells_together_are_weighted_by_their_bits(void **state)
{
    static const uint64_t all[REPORT_CELLS] = {60, 60, 60, 60, 60, 60, 60, 60};
    setup x;
    prepare(&x, all);
    const report_group *g = find(&x, 0, 0);
    assert_int_equal(g->cells, 2);
    assert_int_equal(g->n, 120);
    /* cell 0 is the 8 exponent bits, cell 2 the 23 mantissa bits, of the same values */
    double p0 = (double)critical(0, 60) / 60, p2 = (double)critical(2, 60) / 60;
    double mean = (8 * p0 + 23 * p2) / 31;
    close_to(g->rate[REPORT_CRITICAL].value, mean);
    fs_interval i0 = wilson(60 * p0, 60), i2 = wilson(60 * p2, 60);
    close_to(g->rate[REPORT_CRITICAL].interval.low,
             mean - hypot(8.0 / 31 * (p0 - i0.low), 23.0 / 31 * (p2 - i2.low)));
    close_to(g->rate[REPORT_CRITICAL].interval.high,
             mean + hypot(8.0 / 31 * (i0.high - p0), 23.0 / 31 * (i2.high - p2)));
    finish(&x);
}

static void test_difference_is_newcombes(void **state)
{
    /* Newcombe 1998, method 10: 56/70 less 48/80 is 0.2, limits 0.0524 and 0.3339. */
    fs_interval a = wilson(48, 80), b = wilson(56, 70);
    const report_rate ra = {.k = 48, .value = 0.6, .interval = a};
    const report_rate rb = {.k = 56, .value = 0.8, .interval = b};
    summary_rate d = report_difference(&ra, &rb);
    close_to(d.value, 0.2);
    assert_true(fabs(d.interval.low - 0.0524) < 5e-5);
    assert_true(fabs(d.interval.high - 0.3339) < 5e-5);
}

static void test_arms_are_compared_with_the_one_without_protection(void **state)
{
    static const uint64_t all[REPORT_CELLS] = {60, 60, 60, 60, 60, 60, 60, 60};
    setup x;
    prepare(&x, all);
    assert_int_equal(report_base_arm(&x.f->base->campaign), 0);
    assert_int_equal(find(&x, 0, 0)->has_difference, 0);
    const report_group *a = find(&x, 0, 0), *b = find(&x, 1, 0);
    assert_int_equal(b->has_difference, 1);
    close_to(b->difference[REPORT_SDC].value,
             b->rate[REPORT_SDC].value - a->rate[REPORT_SDC].value);
    assert_true(b->difference[REPORT_SDC].interval.high < 0);
    x.f->base->arms[0].protect_count = 1;
    x.f->base->arms[1].protect_count = 0;
    assert_int_equal(report_base_arm(&x.f->base->campaign), 1);
    x.f->base->arms[1].protect_count = 1;
    assert_int_equal(report_base_arm(&x.f->base->campaign), 0);
    finish(&x);
}

/* Two-sided: twice the tail of fair coins, from the binomial sum. */
static double sign_test(uint64_t b, uint64_t c)
{
    uint64_t n = b + c, least = b < c ? b : c;
    double sum = 0, term = pow(0.5, (double)n);
    for (uint64_t i = 0; i <= least; i++) {
        sum += term;
        term *= (double)(n - i) / (double)(i + 1);
    }
    return fmin(1, 2 * sum);
}

static void test_discordant_pairs_are_pooled_over_cells(void **state)
{
    static const uint64_t all[REPORT_CELLS] = {60, 60, 60, 60, 60, 60, 60, 60};
    setup x;
    prepare(&x, all);
    const report_group *g = find(&x, 1, 0); /* cells 1 and 3 against 0 and 2 */
    uint64_t in_base = 0, in_arm = 0, only_base = 0, only_arm = 0;
    for (uint32_t cell = 0; cell < 4; cell += 2) {
        for (uint64_t i = 0; i < 60; i++) {
            uint64_t a = report_fixture_record(cell, i).critical;
            uint64_t b = report_fixture_record(cell + 1, i).critical;
            in_base += a;
            in_arm += b;
            only_base += a && !b;
            only_arm += !a && b;
        }
    }
    const report_paired *p = &g->paired[REPORT_CRITICAL];
    assert_int_equal(p->n, 120);
    assert_int_equal(p->base, in_base);
    assert_int_equal(p->arm, in_arm);
    assert_int_equal(p->only_base, only_base);
    assert_int_equal(p->only_arm, only_arm);
    close_to(p->p, sign_test(only_base, only_arm));
    close_to(p->holm, p->p);
    assert_int_equal(g->comparisons, 1);
    /* The two classes of bits stand side by side: Holm doubles the smaller p. */
    const report_paired *q[] = {&find(&x, 1, 1)->paired[REPORT_CRITICAL],
                                &find(&x, 3, 1)->paired[REPORT_CRITICAL]};
    assert_int_equal(find(&x, 1, 1)->comparisons, 2);
    close_to(fmin(q[0]->holm, q[1]->holm), fmin(1, 2 * fmin(q[0]->p, q[1]->p)));
    finish(&x);
}

/* The cell of most weight has few trials: its interval hides what the pairs of the other show. */
static void test_what_the_pairs_show_is_not_denied(void **state)
{
    static const uint64_t few[REPORT_CELLS] = {60, 60, 15, 15, 0, 0, 0, 0};
    setup x;
    x.f = report_fixture_new("pairs", REPORT_TRIALS);
    for (uint32_t i = 0; i < REPORT_CELLS; i++) {
        if (few[i] > 0) report_fixture_run(x.f, i, few[i]);
    }
    group(&x);
    free(x.pairs);
    report_groups_destroy(&x.g);
    x.pairs = calloc(REPORT_CELLS, sizeof *x.pairs);
    for (uint32_t i = 0; i < 4; i++) x.s->cells[i].totals.critical = 0;
    x.s->cells[0].totals.critical = 12; /* exponent: 8 of 31 bits; mantissa 23 of 31 */
    x.pairs[1].pair = (summary_pair){.n = 60, .only_a = 12, .neither = 48};
    x.pairs[3].base = 2;
    x.pairs[3].pair = (summary_pair){.n = 15, .neither = 15};
    assert_int_equal(report_groups_new(&x.g, x.s, x.pairs), FS_OK);
    const report_group *g = find(&x, 1, 0);
    assert_true(g->difference[REPORT_CRITICAL].interval.high > 0); /* too wide to say anything */
    assert_int_equal(g->rate[REPORT_CRITICAL].widest, 3);          /* because of this cell */
    close_to(g->paired[REPORT_CRITICAL].p, pow(0.5, 11));
    assert_int_equal(g->effect[REPORT_CRITICAL], REPORT_EFFECT_FEWER);
    /* None of 12: the exact lower limit of the odds, 0.025^(1/12) against the rest. */
    double low = pow(0.025, 1.0 / 12);
    close_to(g->paired[REPORT_CRITICAL].times, low / (1 - low));
    assert_int_equal(g->effect[REPORT_DUE], REPORT_EFFECT_NONE);
    finish(&x);
}

static void test_holm_adjusts_in_steps(void **state)
{
    /* Sorted p of 4: 0.005, 0.01, 0.03, 0.04 become 0.02, 0.03, 0.06, 0.06. */
    report_paired p[5] = {{.n = 1, .p = 0.01},
                          {.n = 1, .p = 0.04},
                          {.n = 1, .p = 0.03},
                          {.n = 0, .p = 1, .holm = 1},
                          {.n = 1, .p = 0.005}};
    report_paired *list[5] = {&p[0], &p[1], &p[2], &p[3], &p[4]};
    report_paired_holm(list, 5);
    close_to(p[0].holm, 0.03);
    close_to(p[1].holm, 0.06);
    close_to(p[2].holm, 0.06);
    close_to(p[3].holm, 1);
    close_to(p[4].holm, 0.02);
}

static void test_paired_outcomes_are_counted_from_the_matrix(void **state)
{
    summary_pair pair = {.n = 20};
    pair.outcomes[FS_OUTCOME_SDC][FS_OUTCOME_SDC] = 3;
    pair.outcomes[FS_OUTCOME_SDC][FS_OUTCOME_MASKED] = 7;
    pair.outcomes[FS_OUTCOME_SDC][FS_OUTCOME_DUE] = 2;
    pair.outcomes[FS_OUTCOME_MASKED][FS_OUTCOME_SDC] = 1;
    pair.outcomes[FS_OUTCOME_MASKED][FS_OUTCOME_MASKED] = 7;
    report_paired sdc = {0}, due = {0};
    report_paired_add(&sdc, &pair, REPORT_SDC);
    report_paired_add(&due, &pair, REPORT_DUE);
    report_paired_test(&sdc);
    report_paired_test(&due);
    assert_int_equal(sdc.base, 12);
    assert_int_equal(sdc.arm, 4);
    assert_int_equal(sdc.only_base, 9);
    assert_int_equal(sdc.only_arm, 1);
    close_to(sdc.p, 22.0 / 1024);
    close_to(sdc.times, 3);
    assert_int_equal(due.base, 0);
    assert_int_equal(due.only_arm, 2);
    close_to(due.p, 0.5);
    double low = sqrt(0.025);
    close_to(due.times, (1 - low) / low);
}

static void test_what_has_not_run_widens_the_interval(void **state)
{
    static const uint64_t some[REPORT_CELLS] = {60, 60, 0, 60, 0, 0, 0, 0};
    setup x;
    prepare(&x, some);
    const report_group *g = find(&x, 0, 0);
    double p = (double)critical(0, 60) / 60;
    close_to(g->rate[REPORT_CRITICAL].value, p);
    assert_true(g->rate[REPORT_CRITICAL].interval.high >= fmin(1, p + 23.0 / 31 * (1 - p)) - 1e-9);
    const report_group *empty = find(&x, 4, 0);
    assert_int_equal(empty->n, 0);
    assert_true(isnan(empty->rate[REPORT_CRITICAL].value));
    close_to(empty->rate[REPORT_CRITICAL].interval.low, 0);
    close_to(empty->rate[REPORT_CRITICAL].interval.high, 1);
    assert_int_equal(find(&x, 5, 0)->has_difference, 0);
    finish(&x);
}

static void test_overlapping_bits_are_never_taken_together(void **state)
{
    setup x;
    x.f = report_fixture_new("overlap", REPORT_TRIALS);
    x.f->base->sweep.bits[1].bits = FS_BITS_ALL;
    group(&x);
    for (size_t i = 0; i < x.g->count; i++) assert_int_equal(x.g->items[i].by_bits, 1);
    assert_int_equal(x.g->count, REPORT_CELLS);
    finish(&x);
}

/* What is paired decides the words that are hit: activations of an int8 model are fp32 ones. */
static void test_pairs_are_of_cells_whose_words_have_one_format(void **state)
{
    for (int alike = 0; alike < 2; alike++) {
        setup x;
        x.f = report_fixture_new("formats", REPORT_TRIALS);
        x.f->base->arms[1].dtype = FS_FORMAT_INT8;
        for (uint32_t i = 0; i < 2; i++) {
            if (i == 1 && !alike) x.f->base->plan.cells[i].format = FS_FORMAT_INT8;
            report_fixture_run(x.f, i, REPORT_TRIALS);
        }
        group(&x);
        assert_int_equal(x.pairs[1].pair.n, alike ? REPORT_TRIALS : 0);
        finish(&x);
    }
}

static void set_arm(fs_arm *arm, const char *model, fs_format_kind dtype, unsigned protections)
{
    snprintf(arm->model, sizeof arm->model, "%s", model);
    arm->dtype = dtype;
    arm->protect_count = protections;
}

static void test_a_protected_arm_is_compared_within_its_model_and_format(void **state)
{
    static fs_arm arms[8];
    const fs_campaign campaign = {.arms = arms, .arm_count = 8};
    set_arm(&arms[0], "a", FS_FORMAT_FP32, 1);
    set_arm(&arms[1], "a", FS_FORMAT_FP32, 0); /* the baseline */
    set_arm(&arms[2], "a", FS_FORMAT_FP16, 0);
    set_arm(&arms[3], "a", FS_FORMAT_FP16, 1);
    set_arm(&arms[4], "a", FS_FORMAT_INT8, 1);
    set_arm(&arms[5], "b", FS_FORMAT_FP16, 2);
    set_arm(&arms[6], "b", FS_FORMAT_FP16, 0);
    set_arm(&arms[7], "b", FS_FORMAT_FP32, 1);
    static const uint32_t expected[] = {1, 1, 1, 2, 1, 6, 1, 1};
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(report_base_of(&campaign, i), expected[i]);
    }
}

/* Arms 1 and 2 are of one format; arm 0 is the baseline, and in another. */
static void test_pairs_and_differences_are_with_the_arm_of_the_same_format(void **state)
{
    setup x = {.f = report_fixture_new("own base", REPORT_TRIALS)};
    fs_arm arms[3] = {x.f->base->arms[0], x.f->base->arms[1], x.f->base->arms[1]};
    arms[1].protect_count = 0;
    arms[1].dtype = arms[2].dtype = FS_FORMAT_FP16;
    x.f->base->campaign.arms = arms;
    x.f->base->campaign.arm_count = 3;
    fs_cell *cells = x.f->base->plan.cells;
    cells[2].arm = 2; /* the cells of one point: 0, 1 and 2 */
    cells[2].pair = cells[0].pair;
    cells[2].bits = cells[0].bits;
    cells[2].draw_key = cells[0].draw_key;
    cells[1].format = cells[2].format = FS_FORMAT_FP16;
    for (uint32_t i = 0; i < 3; i++) report_fixture_run(x.f, i, REPORT_TRIALS);
    group(&x);
    assert_int_equal(x.pairs[1].pair.n, 0);
    assert_int_equal(x.pairs[2].pair.n, REPORT_TRIALS);
    assert_int_equal(x.pairs[2].base, 1);
    const report_rate *r0 = &find(&x, 0, 1)->rate[REPORT_CRITICAL];
    const report_group *g1 = find(&x, 1, 1), *g2 = find(&x, 2, 1);
    const summary_rate *unlike = &g1->difference[REPORT_CRITICAL];
    close_to(unlike->value, g1->rate[REPORT_CRITICAL].value - r0->value);
    close_to(g2->difference[REPORT_CRITICAL].value,
             g2->rate[REPORT_CRITICAL].value - g1->rate[REPORT_CRITICAL].value);
    /* Without a pair the interval alone decides. */
    assert_int_equal(g1->paired[REPORT_CRITICAL].n, 0);
    assert_true(unlike->interval.high < 0);
    assert_int_equal(g1->effect[REPORT_CRITICAL], REPORT_EFFECT_FEWER);
    finish(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_cell_keeps_its_exact_interval),
        cmocka_unit_test(test_cells_together_are_weighted_by_their_bits),
        cmocka_unit_test(test_difference_is_newcombes),
        cmocka_unit_test(test_arms_are_compared_with_the_one_without_protection),
        cmocka_unit_test(test_discordant_pairs_are_pooled_over_cells),
        cmocka_unit_test(test_what_the_pairs_show_is_not_denied),
        cmocka_unit_test(test_holm_adjusts_in_steps),
        cmocka_unit_test(test_paired_outcomes_are_counted_from_the_matrix),
        cmocka_unit_test(test_what_has_not_run_widens_the_interval),
        cmocka_unit_test(test_overlapping_bits_are_never_taken_together),
        cmocka_unit_test(test_pairs_are_of_cells_whose_words_have_one_format),
        cmocka_unit_test(test_a_protected_arm_is_compared_within_its_model_and_format),
        cmocka_unit_test(test_pairs_and_differences_are_with_the_arm_of_the_same_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
