#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "campaign_status.h"
#include "report_fixture.h"
#include "report_groups.h"
#include "report_tables.h"
#include "summary.h"

enum { EXPONENT_TOP = 30 };

static void put(report_fixture *f, uint32_t cell, uint64_t trial, const fs_trial_record *r)
{
    fs_buf bytes = {0};
    int verdict;
    assert_int_equal(fs_trial_encode(r, &bytes), FS_OK);
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    assert_int_equal(fs_store_put_trial(f->store, cell, trial, bytes.data, bytes.size, &verdict),
                     FS_OK);
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    fs_buf_free(&bytes);
}

/* Cells 0 and 1, a pair, are of a log: of ten trials, the first `critical` are critical, and the
 * last `missed` hit nothing. */
static void run_log(report_fixture *f, uint32_t cell, uint64_t critical, uint64_t missed)
{
    f->base->plan.cells[cell].site = &fs__site_addresses;
    for (uint64_t t = 0; t < 10; t++) {
        fs_trial_record r = {.outcome = FS_OUTCOME_NOT_INJECTED, .metric = NAN};
        if (t < 10 - missed)
            r = (fs_trial_record){.outcome = t < critical ? FS_OUTCOME_SDC : FS_OUTCOME_MASKED,
                                  .inputs = FIXTURE_INPUTS,
                                  .answers = FIXTURE_INPUTS,
                                  .critical = t < critical,
                                  .sdc = t < critical ? FIXTURE_INPUTS : 0,
                                  .masked = t < critical ? 0 : FIXTURE_INPUTS,
                                  .answers_changed = t < critical ? FIXTURE_INPUTS : 0,
                                  .metric = t < critical ? 0.1 : 0.9};
        put(f, cell, t, &r);
    }
}

static void assert_no_interval(const summary_rate *rate)
{
    assert_true(isnan(rate->interval.low));
    assert_true(isnan(rate->interval.high));
}

static void close_to(double value, double expected)
{
    if (!(fabs(value - expected) < 1e-12)) fail_msg("%.17g, expected %.17g", value, expected);
}

static void test_a_log_is_counted_and_not_sampled(void **state)
{
    report_fixture *f = report_fixture_new("log", 10);
    summary *s;
    run_log(f, 0, 3, 4);
    assert_int_equal(summary_new(&s, f->store, &f->base->plan), FS_OK);
    const summary_cell *c = &s->cells[0];
    assert_int_equal(c->basis, SUMMARY_ENUMERATED);
    assert_int_equal(c->n, 10);
    assert_int_equal(c->injected, 6);
    close_to(c->critical.value, 0.5);
    close_to(c->sdc_trials.value, 0.5);
    close_to(c->due_trials.value, 0);
    close_to(c->masked_trials.value, 0.5);
    close_to(c->sdc_inputs.value, 0.5);
    close_to(c->metric_mean, 0.5);
    assert_no_interval(&c->critical);
    assert_no_interval(&c->sdc_trials);
    assert_no_interval(&c->masked_trials);
    assert_no_interval(&c->sdc_inputs);
    assert_true(isnan(c->critical_confidence));
    assert_true(isnan(c->metric.low) && isnan(c->metric_median_interval.high));
    assert_int_equal(s->cells[2].basis, SUMMARY_SAMPLED);
    assert_true(s->cells[2].critical.interval.high == 1);
    summary_destroy(&s);
    report_fixture_free(f);
}

static void test_arms_of_a_log_are_compared_without_a_test(void **state)
{
    report_fixture *f = report_fixture_new("log", 10);
    summary *s;
    report_pair *pairs;
    report_groups *groups;
    run_log(f, 0, 3, 4);
    run_log(f, 1, 1, 8);
    assert_int_equal(summary_new(&s, f->store, &f->base->plan), FS_OK);
    assert_int_equal(report_pairs_new(&pairs, f->store, s), FS_OK);
    assert_int_equal(pairs[1].pair.n, 2); /* trials 0 and 1: the others hit nothing of arm ep */
    assert_int_equal(pairs[1].pair.both, 1);
    assert_int_equal(pairs[1].pair.only_a, 1);
    assert_true(isnan(pairs[1].pair.mcnemar_p));
    assert_true(isnan(pairs[1].pair.critical_ratio.high));
    assert_true(isnan(pairs[1].pair.metric_interval.low));
    assert_int_equal(report_groups_new(&groups, s, pairs), FS_OK);
    size_t found = 0;
    for (size_t i = 0; i < groups->count; i++) {
        const report_group *g = &groups->items[i];
        if (g->first > 1 || g->cells != 1) continue;
        found++;
        assert_int_equal(g->basis, SUMMARY_ENUMERATED);
        assert_int_equal(g->n, 10);
        assert_int_equal(g->injected, g->first == 0 ? 6 : 2);
        close_to(g->rate[REPORT_CRITICAL].interval.low, 0.5);
        close_to(g->rate[REPORT_CRITICAL].interval.high, 0.5);
        if (g->first == 0) continue;
        assert_int_equal(g->effect[REPORT_CRITICAL], REPORT_EFFECT_NONE);
        assert_true(isnan(g->paired[REPORT_CRITICAL].p));
        assert_true(isnan(g->paired[REPORT_CRITICAL].holm));
        close_to(g->paired[REPORT_CRITICAL].times, 2);
        assert_int_equal(g->comparisons, 0);
    }
    assert_int_equal(found, 2);
    report_groups_destroy(&groups);
    free(pairs);
    summary_destroy(&s);
    report_fixture_free(f);
}

/* In arm ep, a choice of the top exponent bit alone hits nothing that is read. */
static void choose_unread_bit(report_fixture *f, uint32_t cell)
{
    const fs_codec *ep = fs_codec_find("ep");
    f->base->variants[1].protect.codecs[0] = ep;
    f->base->variants[1].protect.codec_count = 1;
    fs_fault_space_destroy(&f->spaces[0]);
    assert_int_equal(fs_fault_space_new(&f->spaces[0], f->base->model.geometry, f->base->sweep.set,
                                        NULL, 0, (fs_bits)1 << EXPONENT_TOP),
                     FS_OK);
    for (size_t i = 0; i < REPORT_CELLS; i++)
        if (i / 2 % 2 == 0) f->base->plan.cells[i].space = f->spaces[0];
    f->base->plan.cells[cell].masked_sites = fs_cell_sites(&f->base->plan.cells[cell]);
}

static void test_what_cannot_matter_is_known_without_trials(void **state)
{
    report_fixture *f = report_fixture_new("proved", 10);
    const fs_trial_record masked = {.outcome = FS_OUTCOME_MASKED,
                                    .inputs = FIXTURE_INPUTS,
                                    .masked = FIXTURE_INPUTS,
                                    .answers = FIXTURE_INPUTS,
                                    .metric = 0.9};
    summary *s;
    choose_unread_bit(f, 1);
    for (uint64_t n = 0; n < 3; n++) {
        assert_int_equal(summary_new(&s, f->store, &f->base->plan), FS_OK);
        const summary_cell *c = &s->cells[1];
        assert_int_equal(c->n, n);
        assert_int_equal(c->basis, SUMMARY_PROVED);
        close_to(c->critical.value, 0);
        close_to(c->sdc_trials.value, 0);
        close_to(c->due_inputs.value, 0);
        close_to(c->masked_trials.value, 1);
        assert_no_interval(&c->critical);
        assert_int_equal(s->cells[0].basis, SUMMARY_SAMPLED); /* the same bit without protection */
        summary_destroy(&s);
        put(f, 1, n, &masked);
    }
    /* A record that contradicts the proof is shown for what it is. */
    fs_trial_record sdc = masked;
    sdc.outcome = FS_OUTCOME_SDC;
    sdc.masked--;
    sdc.sdc++;
    put(f, 1, 5, &sdc);
    assert_int_equal(summary_new(&s, f->store, &f->base->plan), FS_OK);
    assert_int_equal(s->cells[1].basis, SUMMARY_SAMPLED);
    close_to(s->cells[1].sdc_trials.value, 0.25);
    summary_destroy(&s);
    report_fixture_free(f);
}

static const json_t *cell_at(const json_t *status, size_t i)
{
    return json_array_get(json_object_get(status, "cells"), i);
}

static void assert_text(const json_t *object, const char *key, const char *expected)
{
    assert_string_equal(json_string_value(json_object_get(object, key)), expected);
}

static void test_status_says_what_a_number_rests_on(void **state)
{
    report_fixture *f = report_fixture_new("basis", 10);
    json_t *status;
    char *text = NULL;
    size_t size;
    choose_unread_bit(f, 1);
    run_log(f, 0, 3, 4);
    assert_int_equal(status_json(f->store, &f->base->plan, NULL, &status), FS_OK);
    const json_t *log = cell_at(status, 0), *proved = cell_at(status, 1);
    assert_text(log, "basis", "enumerated");
    assert_text(proved, "basis", "proved");
    assert_text(cell_at(status, 2), "basis", "sampled");
    assert_int_equal(json_integer_value(json_object_get(log, "injected")), 6);
    assert_int_equal(json_integer_value(json_object_get(log, "trials_not_injected")), 4);
    const json_t *rate = json_object_get(log, "critical_rate");
    close_to(json_number_value(json_object_get(rate, "value")), 0.5);
    assert_true(json_is_null(json_object_get(rate, "low")));
    assert_true(json_is_null(json_object_get(rate, "high")));
    assert_true(json_is_null(json_object_get(log, "critical_confidence")));
    assert_true(json_is_null(json_object_get(log, "metric_low")));
    rate = json_object_get(proved, "critical_rate");
    close_to(json_number_value(json_object_get(rate, "value")), 0);
    assert_true(json_is_null(json_object_get(rate, "high")));
    FILE *out = open_memstream(&text, &size);
    status_print(out, status);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(text, "3 of 6"));
    assert_non_null(strstr(text, "enumerated, not sampled"));
    assert_non_null(strstr(text, "0 (proved)"));
    assert_non_null(strstr(text, "not injected: 4 trials"));
    free(text);
    json_decref(status);
    report_fixture_free(f);
}

static void test_tables_have_no_interval_there(void **state)
{
    report_fixture *f = report_fixture_new("tables", 10);
    fs_buf out = {0};
    summary *s;
    choose_unread_bit(f, 1);
    run_log(f, 0, 3, 4);
    assert_int_equal(summary_new(&s, f->store, &f->base->plan), FS_OK);
    assert_int_equal(report_tables_html(&out, s), FS_OK);
    assert_non_null(strstr(fs_buf_text(&out), "<td>3 of 6</td>"));
    assert_non_null(strstr(fs_buf_text(&out), "<td>0 (proved)</td>"));
    fs_buf_clear(&out);
    assert_int_equal(report_tables_csv(&out, s), FS_OK);
    assert_non_null(strstr(fs_buf_text(&out), ",3,0.5,,,0.5,,,0,,,0.5,,,0.5,,,"));
    assert_non_null(strstr(fs_buf_text(&out), ",enumerated\r\n"));
    assert_non_null(strstr(fs_buf_text(&out), ",proved\r\n"));
    fs_buf_free(&out);
    summary_destroy(&s);
    report_fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_log_is_counted_and_not_sampled),
        cmocka_unit_test(test_arms_of_a_log_are_compared_without_a_test),
        cmocka_unit_test(test_what_cannot_matter_is_known_without_trials),
        cmocka_unit_test(test_status_says_what_a_number_rests_on),
        cmocka_unit_test(test_tables_have_no_interval_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
