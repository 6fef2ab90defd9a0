#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

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
    report_groups *g;
} setup;

static void prepare(setup *x, const uint64_t trials[REPORT_CELLS])
{
    x->f = report_fixture_new("groups", REPORT_TRIALS);
    for (uint32_t i = 0; i < REPORT_CELLS; i++) {
        if (trials[i] > 0) report_fixture_run(x->f, i, trials[i]);
    }
    assert_int_equal(summary_new(&x->s, x->f->store, &x->f->base->plan), FS_OK);
    assert_int_equal(report_groups_new(&x->g, x->s), FS_OK);
}

static void finish(setup *x)
{
    report_groups_destroy(&x->g);
    assert_null(x->g);
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
    const report_rate ra = {48, 0.6, a}, rb = {56, 0.8, b};
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
    assert_int_equal(summary_new(&x.s, x.f->store, &x.f->base->plan), FS_OK);
    assert_int_equal(report_groups_new(&x.g, x.s), FS_OK);
    for (size_t i = 0; i < x.g->count; i++) assert_int_equal(x.g->items[i].by_bits, 1);
    assert_int_equal(x.g->count, REPORT_CELLS);
    finish(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_cell_keeps_its_exact_interval),
        cmocka_unit_test(test_cells_together_are_weighted_by_their_bits),
        cmocka_unit_test(test_difference_is_newcombes),
        cmocka_unit_test(test_arms_are_compared_with_the_one_without_protection),
        cmocka_unit_test(test_what_has_not_run_widens_the_interval),
        cmocka_unit_test(test_overlapping_bits_are_never_taken_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
