#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "report_fixture.h"
#include "report_trials.h"

static json_t *sample(report_fixture *f, uint64_t total, report_sample *counts)
{
    fs_buf out = {0};
    assert_int_equal(report_trials_write(&out, counts, f->store, &f->base->plan, total), FS_OK);
    json_t *root = json_loads(fs_buf_text(&out), 0, NULL);
    assert_non_null(root);
    fs_buf_free(&out);
    return root;
}

static json_t *column(const json_t *root, const char *name)
{
    return json_object_get(json_object_get(json_object_get(root, "trials"), "cols"), name);
}

static double number(const json_t *list, size_t i)
{
    return json_number_value(json_array_get(list, i));
}

static void test_a_small_campaign_is_there_in_full(void **state)
{
    report_fixture *f = report_fixture_new("small", REPORT_TRIALS);
    for (uint32_t i = 0; i < REPORT_CELLS; i++) report_fixture_run(f, i, REPORT_TRIALS);
    report_sample counts;
    json_t *root = sample(f, REPORT_CELLS * REPORT_TRIALS, &counts);
    json_t *cells = column(root, "cell"), *trials = column(root, "trial");
    json_t *tensors = json_object_get(root, "tensors");
    assert_int_equal(counts.kept, REPORT_CELLS * REPORT_TRIALS);
    for (size_t i = 0; i < counts.kept; i++) {
        uint32_t cell = (uint32_t)number(cells, i);
        uint64_t trial = (uint64_t)number(trials, i);
        assert_int_equal(cell, i / REPORT_TRIALS);
        assert_int_equal(trial, i % REPORT_TRIALS);
        fs_trial_record r = report_fixture_record(cell, trial);
        assert_int_equal(number(column(root, "outcome"), i), r.outcome);
        assert_int_equal(number(column(root, "critical"), i), r.critical);
        assert_int_equal(number(column(root, "changed"), i), r.answers_changed);
        assert_int_equal(number(column(root, "bit"), i), r.fault[0].bit);
        assert_true(fabs(number(column(root, "metric"), i) - r.metric) < 1e-8);
        size_t tensor = (size_t)number(column(root, "tensor"), i);
        assert_string_equal(json_string_value(json_array_get(tensors, tensor)),
                            f->base->model.geometry->tensors[r.fault[0].tensor].name);
    }
    json_decref(root);
    report_fixture_free(f);
}

static double harm(const fs_trial_record *r)
{
    return (r->critical ? 1e9 : 0) + r->outcome * 1e6 + r->deviation_max;
}

static void test_a_large_one_is_sampled_with_the_worst_of_each_cell(void **state)
{
    enum { EACH = 6000, TOTAL = REPORT_CELLS * EACH };
    report_fixture *f = report_fixture_new("large", EACH);
    for (uint32_t i = 0; i < REPORT_CELLS; i++) report_fixture_run(f, i, EACH);
    report_sample counts, again;
    json_t *root = sample(f, TOTAL, &counts), *twin = sample(f, TOTAL, &again);
    assert_true(json_equal(root, twin));
    /* A binomial of 48,000 at 20/48 has a deviation of 108; five of them, and the 8 worst. */
    assert_in_range(counts.kept, REPORT_TRIALS_KEPT - 540, REPORT_TRIALS_KEPT + 548);
    assert_int_equal(counts.total, TOTAL);
    for (uint32_t cell = 0; cell < REPORT_CELLS; cell++) {
        double worst = -1, kept = -1;
        for (uint64_t i = 0; i < EACH; i++) {
            fs_trial_record r = report_fixture_record(cell, i);
            worst = fmax(worst, harm(&r));
        }
        for (size_t i = 0; i < counts.kept; i++) {
            if (number(column(root, "cell"), i) != cell) continue;
            fs_trial_record r =
                report_fixture_record(cell, (uint64_t)number(column(root, "trial"), i));
            kept = fmax(kept, harm(&r));
        }
        assert_true(kept == worst);
    }
    json_decref(root);
    json_decref(twin);
    report_fixture_free(f);
}

static void test_an_empty_store_has_empty_columns(void **state)
{
    report_fixture *f = report_fixture_new("empty", REPORT_TRIALS);
    report_sample counts;
    json_t *root = sample(f, 0, &counts);
    assert_int_equal(counts.kept, 0);
    assert_int_equal(json_array_size(column(root, "value_after")), 0);
    assert_int_equal(json_array_size(json_object_get(root, "tensors")), 0);
    json_decref(root);
    report_fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_small_campaign_is_there_in_full),
        cmocka_unit_test(test_a_large_one_is_sampled_with_the_worst_of_each_cell),
        cmocka_unit_test(test_an_empty_store_has_empty_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
