/* The stopping rule, against a plan made by hand. */
#include <math.h>

#include "testing.h"

#include "plan.h"

typedef struct rule {
    fs_sweep sweep;
    fs_campaign campaign;
    fs_plan plan;
    fs_cell cell;
} rule;

static void rule_init(rule *r, double half_width, double confidence, uint64_t at_most)
{
    *r = (rule){0};
    r->sweep.stop = (fs_stop){half_width, confidence, half_width > 0 ? at_most : 0};
    r->sweep.trials = at_most;
    r->campaign.sweeps = &r->sweep;
    r->campaign.sweep_count = 1;
    r->plan.campaign = &r->campaign;
    r->cell.trials = at_most;
}

static void looks_double_from_100(void **state)
{
    static const uint64_t at[] = {0, 99, 100, 101, 199, 200, 399, 400, 799, 800, 999, 1000};
    static const uint64_t next[] = {100, 100, 200, 200, 200, 400, 400, 800, 800, 1000, 1000, 1000};
    rule r;
    (void)state;
    rule_init(&r, 0.05, 0.95, 1000);
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++)
        assert_int_equal(fs_cell_next_look(&r.plan, &r.cell, at[i]), next[i]);
    rule_init(&r, 0.05, 0.95, 60);
    assert_int_equal(fs_cell_next_look(&r.plan, &r.cell, 0), 60);
    rule_init(&r, 0.05, 0.95, (uint64_t)1 << 40);
    assert_int_equal(fs_cell_next_look(&r.plan, &r.cell, (uint64_t)100 << 33), (uint64_t)1 << 40);
    rule_init(&r, 0, 0, 1000);
    assert_int_equal(fs_cell_next_look(&r.plan, &r.cell, 0), 1000);
    assert_false(fs_cell_stops(&r.plan, &r.cell, 1000, 0));
}

/** At zero events the exact interval has the closed form [0, 1 - (alpha/2)^(1/n)], here with alpha
 * divided by the five looks of 1000 trials (100, 200, 400, 800, 1000). */
static void zero_events_stop_by_the_closed_form(void **state)
{
    rule r;
    (void)state;
    /* 1 - 0.005^(1/200) = 0.026145 and half of it 0.013072; at n = 100 the half is 0.025802. */
    rule_init(&r, 0.0131, 0.95, 1000);
    assert_false(fs_cell_stops(&r.plan, &r.cell, 100, 0));
    assert_true(fs_cell_stops(&r.plan, &r.cell, 200, 0));
    rule_init(&r, 0.0130, 0.95, 1000);
    assert_false(fs_cell_stops(&r.plan, &r.cell, 200, 0));
    rule_init(&r, 0.02581, 0.95, 1000);
    assert_true(fs_cell_stops(&r.plan, &r.cell, 100, 0));
    rule_init(&r, 0.02579, 0.95, 1000);
    assert_false(fs_cell_stops(&r.plan, &r.cell, 100, 0));
    /* With one look the whole alpha is spent there: 1 - 0.025^(1/100) = 0.036217. */
    rule_init(&r, 0.01811, 0.95, 100);
    assert_true(fs_cell_stops(&r.plan, &r.cell, 100, 0));
    rule_init(&r, 0.01810, 0.95, 100);
    assert_false(fs_cell_stops(&r.plan, &r.cell, 100, 0));
}

static void the_confidence_of_a_look_is_its_share(void **state)
{
    rule r;
    (void)state;
    rule_init(&r, 0.05, 0.95, 1000); /* 5 looks */
    assert_true(fabs(fs_cell_confidence(&r.plan, &r.cell, 0.5) - 0.99) < 1e-15);
    rule_init(&r, 0.05, 0.90, 400); /* 3 looks */
    assert_true(fabs(fs_cell_confidence(&r.plan, &r.cell, 0.5) - (1 - 0.1 / 3)) < 1e-15);
    rule_init(&r, 0.05, 0.95, 100); /* one look has it all */
    assert_true(fabs(fs_cell_confidence(&r.plan, &r.cell, 0.5) - 0.95) < 1e-15);
    rule_init(&r, 0, 0, 1000); /* no rule */
    assert_true(fs_cell_confidence(&r.plan, &r.cell, 0.95) == 0.95);
}

static void the_middle_is_the_hardest(void **state)
{
    rule r;
    (void)state;
    rule_init(&r, 0.05, 0.95, 100000);
    assert_false(fs_cell_stops(&r.plan, &r.cell, 0, 0));
    assert_true(fs_cell_stops(&r.plan, &r.cell, 800, 8));
    assert_false(fs_cell_stops(&r.plan, &r.cell, 800, 400));
    assert_true(fs_cell_stops(&r.plan, &r.cell, 1600, 800));
    assert_true(fs_cell_stops(&r.plan, &r.cell, 800, 792));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks_double_from_100),
        cmocka_unit_test(zero_events_stop_by_the_closed_form),
        cmocka_unit_test(the_confidence_of_a_look_is_its_share),
        cmocka_unit_test(the_middle_is_the_hardest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
