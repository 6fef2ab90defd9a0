#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "campaign_status.h"
#include "history.h"
#include "plan_fixture.h"
#include "summary.h"

enum { CELLS = 4, TRIALS = 400 };

typedef struct fixture {
    char dir[64];
    plan_fixture *plan;
    fs_store *store;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    fixture_mkdir(f->dir);
    f->plan = fixture_new(CELLS, TRIALS, 7);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    fs_store_close(&f->store);
    fixture_rmdir(f->dir);
    fixture_free(f->plan);
    free(f);
    return 0;
}

static fs_store *open_writer(const char *dir, const plan_fixture *plan)
{
    fs_store *store;
    fs_status status = fs_store_open(&store, dir, FS_STORE_CREATE, &plan->plan, fixture_text);
    if (status != FS_OK) print_message("%s\n", fs_status_detail());
    assert_int_equal(status, FS_OK);
    return store;
}

static void put_record(fs_store *store, uint32_t cell, uint64_t trial, const fs_trial_record *r)
{
    fs_buf bytes = {0};
    int verdict;
    assert_int_equal(fs_trial_encode(r, &bytes), FS_OK);
    assert_int_equal(fs_store_put_trial(store, cell, trial, bytes.data, bytes.size, &verdict),
                     FS_OK);
    fs_buf_free(&bytes);
}

/* Stores trials first + i * step for i < count of a cell, `group` to a transaction. */
static void fill(fs_store *store, uint32_t cell, const uint64_t *trials, size_t count, size_t group)
{
    for (size_t i = 0; i < count;) {
        assert_int_equal(fs_store_begin(store), FS_OK);
        for (size_t end = i + group; i < end && i < count; i++) {
            fs_trial_record r = fixture_record(cell, trials[i], 0);
            put_record(store, cell, trials[i], &r);
        }
        assert_int_equal(fs_store_commit(store), FS_OK);
    }
}

static void in_order(uint64_t trials[TRIALS])
{
    for (size_t i = 0; i < TRIALS; i++) trials[i] = i;
}

static void shuffled(uint64_t trials[TRIALS], uint64_t seed)
{
    in_order(trials);
    for (size_t i = TRIALS - 1; i > 0; i--) {
        seed = fixture_mix(seed + 0x9e3779b97f4a7c15u);
        size_t j = seed % (i + 1);
        uint64_t t = trials[i];
        trials[i] = trials[j];
        trials[j] = t;
    }
}

static int descending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

static void test_counts_and_rates_equal_a_recount(void **state)
{
    fixture *f = *state;
    uint64_t trials[TRIALS];
    f->store = open_writer(f->dir, f->plan);
    in_order(trials);
    fill(f->store, 2, trials, TRIALS, 33);
    fill(f->store, 1, trials, TRIALS / 2, 7);
    summary *s;
    assert_int_equal(summary_new(&s, f->store, &f->plan->plan), FS_OK);
    assert_int_equal(s->trials_planned, CELLS * TRIALS);
    assert_int_equal(s->trials_done, TRIALS + TRIALS / 2);
    assert_false(s->complete);
    for (uint32_t cell = 1; cell <= 2; cell++) {
        size_t n = cell == 2 ? TRIALS : TRIALS / 2;
        uint64_t critical = 0, sdc = 0, due = 0, ends[FS_OUTCOME_COUNT] = {0};
        double metrics[TRIALS], sum = 0;
        for (uint64_t t = 0; t < n; t++) {
            fs_trial_record r = fixture_record(cell, t, 0);
            critical += r.critical;
            sdc += r.sdc;
            due += r.due;
            ends[r.outcome]++;
            metrics[t] = r.metric;
            sum += r.metric;
        }
        const summary_cell *c = &s->cells[cell];
        assert_int_equal(c->n, n);
        assert_int_equal(c->complete, cell == 2);
        assert_false(c->stopped);
        assert_true(fabs(c->critical.value - (double)critical / (double)n) < 1e-15);
        assert_true(c->critical.interval.low < c->critical.value);
        assert_true(c->critical.interval.high > c->critical.value);
        assert_true(fabs(c->sdc_trials.value - (double)ends[FS_OUTCOME_SDC] / (double)n) < 1e-15);
        assert_true(fabs(c->due_trials.value - (double)ends[FS_OUTCOME_DUE] / (double)n) < 1e-15);
        assert_true(fabs(c->masked_trials.value - (double)ends[FS_OUTCOME_MASKED] / (double)n) <
                    1e-15);
        double inputs = (double)n * FIXTURE_INPUTS;
        assert_true(fabs(c->sdc_inputs.value - (double)sdc / inputs) < 1e-15);
        assert_true(fabs(c->due_inputs.value - (double)due / inputs) < 1e-15);
        assert_true(fabs(c->metric_mean - sum / (double)n) < 1e-12);
        assert_true(c->metric.low <= c->metric_mean && c->metric_mean <= c->metric.high);
        assert_int_equal(c->metric_nonfinite, 0);
        qsort(metrics, n, sizeof *metrics, descending);
        assert_true(fabs(c->metric_median - (metrics[n / 2] + metrics[n / 2 - 1]) / 2) < 1e-15);
        assert_true(isnan(c->metric_golden));
    }
    assert_int_equal(s->cells[0].n, 0);
    assert_true(isnan(s->cells[0].critical.value));
    assert_true(isnan(s->cells[0].metric_mean));
    assert_int_equal(s->cells[0].critical.interval.high, 1);
    summary_destroy(&s);
    assert_null(s);
}

static void test_missing_perplexities_are_the_worst(void **state)
{
    fixture *f = *state;
    f->plan->campaign.task.kind = FS_TASK_LM;
    f->store = open_writer(f->dir, f->plan);
    const double metrics[] = {10, NAN, 30, INFINITY, 20, NAN, 40};
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    for (uint64_t t = 0; t < 7; t++) {
        fs_trial_record r = fixture_record(0, t, 0);
        r.metric = metrics[t];
        put_record(f->store, 0, t, &r);
    }
    fs_trial_record crash = {.outcome = FS_OUTCOME_CRASH, .metric = NAN};
    put_record(f->store, 0, 7, &crash); /* nothing was evaluated: no metric, no inputs */
    fs_store_golden golden = {.metric = 9.5, .kernel = "k", .host = "h"};
    assert_int_equal(fs_store_put_golden(f->store, 0, &golden), FS_OK);
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    summary *s;
    assert_int_equal(summary_new(&s, f->store, &f->plan->plan), FS_OK);
    const summary_cell *c = &s->cells[0];
    assert_int_equal(c->n, 8);
    assert_int_equal(c->metric_nonfinite, 3);
    assert_true(c->metric_mean == 25);   /* of 10, 20, 30, 40 */
    assert_true(c->metric_median == 40); /* of 10 20 30 40 Inf Inf Inf */
    assert_true(isinf(c->metric_q95));
    assert_true(c->metric_q05 >= 10 && c->metric_q05 <= 20);
    assert_true(c->metric_golden == 9.5);
    summary_destroy(&s);
}

/* The rule looks at 100, 200 and 400 trials; with few critical ones it is met at the first look
 * only when all of its trials are there. */
static void test_a_rule_stops_at_complete_looks_only(void **state)
{
    fixture *f = *state;
    f->plan->sweep.stop = (fs_stop){.half_width = 0.05, .confidence = 0.95, .at_most = TRIALS};
    f->store = open_writer(f->dir, f->plan);
    for (uint64_t t = 0; t <= 100; t++) {
        if (t == 50) continue;
        fs_trial_record r = fixture_record(0, t, 0);
        r.critical = 0;
        assert_int_equal(fs_store_begin(f->store), FS_OK);
        put_record(f->store, 0, t, &r);
        assert_int_equal(fs_store_commit(f->store), FS_OK);
    }
    summary *s;
    assert_int_equal(summary_new(&s, f->store, &f->plan->plan), FS_OK);
    assert_false(s->cells[0].complete); /* trial 50 is missing */
    summary_destroy(&s);
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    assert_int_equal(fs_store_put_quarantine(f->store, 0, 50, "killed three workers"), FS_OK);
    /* In cell 1 half of the trials are critical: 400 trials do not suffice for 0.05 at every look.
     */
    for (uint64_t t = 0; t < TRIALS; t++) {
        fs_trial_record r = fixture_record(1, t, 0);
        r.critical = t % 2;
        put_record(f->store, 1, t, &r);
    }
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    assert_int_equal(summary_new(&s, f->store, &f->plan->plan), FS_OK);
    assert_true(s->cells[0].complete);
    assert_true(s->cells[0].stopped);
    /* Three looks share 0.05: no event in 101 trials, so the upper end is 1 - (0.05 / 6)^(1/n). */
    assert_true(fabs(s->cells[0].critical_confidence - (1 - 0.05 / 3)) < 1e-15);
    assert_true(fabs(s->cells[0].critical.interval.high -
                     (1 - pow(0.05 / 6, 1.0 / (double)s->cells[0].n))) < 1e-12);
    assert_int_equal(s->quarantined, 1);
    assert_true(s->cells[1].complete);
    assert_false(s->cells[1].stopped);
    summary_destroy(&s);
}

static void test_pairs_are_compared_trial_by_trial(void **state)
{
    fixture *f = *state;
    f->store = open_writer(f->dir, f->plan);
    uint64_t a_trials[TRIALS], count = 0;
    for (uint64_t t = 0; t < TRIALS; t++)
        if (t % 3 != 0) a_trials[count++] = t;
    fill(f->store, 0, a_trials, count, 50);
    in_order(a_trials);
    fill(f->store, 1, a_trials, TRIALS / 2, 50);
    summary_pair pair;
    assert_int_equal(summary_compare(&pair, f->store, 0, 1, 5), FS_OK);
    uint64_t n = 0, both = 0, only_a = 0, only_b = 0,
             matrix[FS_OUTCOME_COUNT][FS_OUTCOME_COUNT] = {{0}};
    double sum = 0;
    for (uint64_t t = 0; t < TRIALS / 2; t++) {
        if (t % 3 == 0) continue;
        fs_trial_record a = fixture_record(0, t, 0), b = fixture_record(1, t, 0);
        n++;
        both += a.critical && b.critical;
        only_a += a.critical && !b.critical;
        only_b += !a.critical && b.critical;
        matrix[a.outcome][b.outcome]++;
        sum += b.metric - a.metric;
    }
    assert_int_equal(pair.n, n);
    assert_int_equal(pair.both, both);
    assert_int_equal(pair.only_a, only_a);
    assert_int_equal(pair.only_b, only_b);
    assert_int_equal(pair.neither, n - both - only_a - only_b);
    assert_memory_equal(pair.outcomes, matrix, sizeof matrix);
    assert_true(fabs(pair.metric_difference - sum / (double)n) < 1e-12);
    assert_true(pair.metric_interval.low <= pair.metric_difference);
    assert_true(pair.metric_interval.high >= pair.metric_difference);
    double ratio = (double)(both + only_b) / (double)(both + only_a);
    assert_true(fabs(pair.critical_ratio_value - ratio) < 1e-15);
    assert_true(pair.critical_ratio.low < ratio && ratio < pair.critical_ratio.high);
    assert_int_equal(summary_compare(&pair, f->store, 2, 3, 5), FS_OK); /* nothing in either */
    assert_int_equal(pair.n, 0);
    assert_true(isnan(pair.metric_difference));
}

static char *status_text(fs_store *store, const plan_fixture *plan, const json_t *live)
{
    json_t *document;
    assert_int_equal(status_json(store, &plan->plan, live, &document), FS_OK);
    char *text = json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(17));
    assert_non_null(text);
    json_decref(document);
    return text;
}

static void test_the_order_of_commits_cannot_show(void **state)
{
    fixture *f = *state;
    uint64_t trials[TRIALS];
    f->store = open_writer(f->dir, f->plan);
    for (uint32_t cell = 0; cell < CELLS; cell++) {
        in_order(trials);
        fill(f->store, cell, trials, TRIALS, 64);
    }
    char *expected = status_text(f->store, f->plan, NULL);
    fs_store_close(&f->store);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        char dir[64];
        fixture_mkdir(dir);
        fs_store *store = open_writer(dir, f->plan);
        for (uint32_t cell = CELLS; cell-- > 0;) {
            shuffled(trials, seed);
            fill(store, cell, trials, TRIALS, 1 + 40 * (size_t)seed);
        }
        char *text = status_text(store, f->plan, NULL);
        assert_string_equal(text, expected);
        free(text);
        fs_store_close(&store);
        fixture_rmdir(dir);
    }
    free(expected);
}

/* @return what status_print makes of the store. */
static char *printed(fs_store *store, const plan_fixture *plan)
{
    json_t *document;
    char *text = NULL;
    size_t size = 0;
    assert_int_equal(status_json(store, &plan->plan, NULL, &document), FS_OK);
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    status_print(out, document);
    assert_int_equal(fclose(out), 0);
    json_decref(document);
    return text;
}

static void test_people_see_the_median_of_perplexities(void **state)
{
    fixture *f = *state;
    f->plan->campaign.task.kind = FS_TASK_LM;
    f->store = open_writer(f->dir, f->plan);
    const double metrics[] = {10, NAN, 30, INFINITY, 20, NAN, 40};
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    for (uint64_t t = 0; t < 7; t++) {
        fs_trial_record r = fixture_record(0, t, 0);
        r.metric = metrics[t];
        put_record(f->store, 0, t, &r);
    }
    fs_trial_record alone = fixture_record(1, 0, 0);
    alone.metric = 17;
    put_record(f->store, 1, 0, &alone);
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    char *text = printed(f->store, f->plan);
    /* Of 10 20 30 40 Inf Inf Inf the 95 % interval is from the first to the seventh. */
    assert_non_null(strstr(text, "40 [10, -] (3 not finite)"));
    assert_non_null(strstr(text, "17 [-, -] "));
    assert_non_null(strstr(text, "perplexity: median over trials"));
    assert_null(strstr(text, "stopping rule"));
    free(text);
    f->plan->sweep.stop = (fs_stop){.half_width = 0.05, .confidence = 0.95, .at_most = TRIALS};
    text = printed(f->store, f->plan);
    assert_non_null(strstr(text, "under a stopping rule"));
    free(text);
}

static void test_one_trial_has_no_interval(void **state)
{
    fixture *f = *state;
    f->store = open_writer(f->dir, f->plan);
    const uint64_t first = 0;
    fill(f->store, 0, &first, 1, 1);
    json_t *document;
    assert_int_equal(status_json(f->store, &f->plan->plan, NULL, &document), FS_OK);
    const json_t *cell = json_array_get(json_object_get(document, "cells"), 0);
    assert_true(json_is_number(json_object_get(cell, "metric_mean")));
    assert_true(json_is_null(json_object_get(cell, "metric_low")));
    assert_true(json_is_null(json_object_get(cell, "metric_high")));
    json_decref(document);
    char *text = printed(f->store, f->plan);
    assert_non_null(strstr(text, " [-, -] "));
    free(text);
}

/* More workers than the first table holds, in turns: none is lost, and none counted twice. */
static void test_many_workers_are_told_apart(void **state)
{
    enum { WORKERS = 150, ROUNDS = 3 };
    fixture *f = *state;
    f->store = open_writer(f->dir, f->plan);
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    for (unsigned i = 0; i < WORKERS * ROUNDS; i++) {
        fs_attempt attempt = {.accepted = i % WORKERS + 1,
                              .duplicates = 1,
                              .started_ms = 1000 + i,
                              .committed_ms = 2000 + i,
                              .host = "node"};
        snprintf(attempt.worker, sizeof attempt.worker, "worker-%u", i % WORKERS);
        assert_int_equal(fs_store_put_attempt(f->store, &attempt), FS_OK);
    }
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    history h = {0};
    assert_int_equal(history_read(&h, f->store), FS_OK);
    assert_int_equal(h.count, WORKERS);
    uint64_t seen = 0;
    for (size_t i = 0; i < h.count; i++) {
        const history_worker *w = &h.workers[i];
        unsigned long number = strtoul(w->uuid + strlen("worker-"), NULL, 10);
        assert_true(number < WORKERS);
        seen += number;
        assert_int_equal(w->deliveries, ROUNDS);
        assert_int_equal(w->accepted, ROUNDS * (number + 1));
        assert_int_equal(w->duplicates, ROUNDS);
        assert_int_equal(w->first_ms, 1000 + number);
        assert_int_equal(w->last_ms, 2000 + number + (ROUNDS - 1) * WORKERS);
    }
    assert_int_equal(seen, WORKERS * (WORKERS - 1) / 2);
    history_free(&h);
    assert_null(h.workers);
}

static void test_the_document_has_its_stable_fields(void **state)
{
    fixture *f = *state;
    uint64_t trials[TRIALS];
    f->store = open_writer(f->dir, f->plan);
    in_order(trials);
    fill(f->store, 0, trials, 100, 100);
    const fs_attempt attempt = {.cell = 0,
                                .last = 99,
                                .accepted = 100,
                                .started_ms = 1000,
                                .committed_ms = 3000,
                                .worker = "w-1",
                                .host = "node"};
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    assert_int_equal(fs_store_put_attempt(f->store, &attempt), FS_OK);
    assert_int_equal(fs_store_put_event(f->store, 1, SUMMARY_EVENT_LEASE_LOST, "7"), FS_OK);
    assert_int_equal(fs_store_put_event(f->store, 2, "other", "7"), FS_OK);
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    json_t *document, *cell;
    assert_int_equal(status_json(f->store, &f->plan->plan, NULL, &document), FS_OK);
    static const char *const top[] = {"state",      "trials_planned", "trials_done", "duplicates",
                                      "mismatches", "quarantined",    "retries",     "rate_per_s",
                                      "eta_s",      "workers",        "cells"};
    static const char *const of_cell[] = {"id",  "arm", "n",           "masked",     "benign",
                                          "sdc", "due", "metric_mean", "metric_low", "metric_high"};
    for (size_t i = 0; i < sizeof top / sizeof *top; i++)
        assert_non_null(json_object_get(document, top[i]));
    cell = json_array_get(json_object_get(document, "cells"), 0);
    for (size_t i = 0; i < sizeof of_cell / sizeof *of_cell; i++)
        assert_non_null(json_object_get(cell, of_cell[i]));
    assert_string_equal(json_string_value(json_object_get(document, "state")), "incomplete");
    assert_int_equal(json_integer_value(json_object_get(document, "retries")), 1);
    assert_true(json_is_null(json_object_get(document, "rate_per_s"))); /* nothing runs */
    assert_true(json_is_false(json_object_get(cell, "provably_masked")));
    assert_int_equal(json_integer_value(json_object_get(cell, "provably_masked_sites")), 0);
    assert_true(json_number_value(json_object_get(cell, "critical_confidence")) == 0.95);
    json_int_t inputs = 0;
    for (size_t i = 3; i < 7; i++) inputs += json_integer_value(json_object_get(cell, of_cell[i]));
    assert_int_equal(inputs, 100 * FIXTURE_INPUTS);
    FILE *out = fopen("/dev/null", "w");
    status_print(out, document); /* must stand whatever is null */
    fclose(out);
    json_decref(document);
    json_t *live = json_pack("{s:s, s:f, s:i, s:[], s:i, s:f}", "state", "stopping", "eta_s", 12.5,
                             "retries", 9, "cells", "trials_done", 7, "rate_per_s", 40.0);
    assert_int_equal(status_json(f->store, &f->plan->plan, live, &document), FS_OK);
    assert_string_equal(json_string_value(json_object_get(document, "state")), "running");
    assert_string_equal(json_string_value(json_object_get(document, "phase")), "stopping");
    assert_int_equal(json_integer_value(json_object_get(document, "retries")), 9);
    assert_true(json_number_value(json_object_get(document, "rate_per_s")) == 40);
    assert_int_equal(json_integer_value(json_object_get(document, "trials_done")), 100);
    assert_int_equal(json_array_size(json_object_get(document, "cells")), CELLS);
    json_decref(document);
    json_decref(live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_counts_and_rates_equal_a_recount),
        TEST(test_missing_perplexities_are_the_worst),
        TEST(test_a_rule_stops_at_complete_looks_only),
        TEST(test_pairs_are_compared_trial_by_trial),
        TEST(test_the_order_of_commits_cannot_show),
        TEST(test_people_see_the_median_of_perplexities),
        TEST(test_one_trial_has_no_interval),
        TEST(test_many_workers_are_told_apart),
        TEST(test_the_document_has_its_stable_fields),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
