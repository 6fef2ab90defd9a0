#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "campaign_status.h"
#include "codec.h"
#include "plan_fixture.h"
#include "store.h"
#include "summary_arms.h"

enum { CELLS = 4, TRIALS = 5 };

typedef struct fixture {
    char dir[64];
    plan_fixture *plan;
    fs_store *store;
} fixture;

static void protect(fs_variant *variant, const char *const *names, unsigned count)
{
    assert_int_equal(
        fs_protect_init(&variant->protect, names, count, (fs_guard){.kind = FS_GUARD_NONE}), FS_OK);
}

static int setup(void **state)
{
    static const char *const names[] = {"secded", "scrub"};
    fixture *f = calloc(1, sizeof *f);
    fixture_mkdir(f->dir);
    f->plan = fixture_new(CELLS, TRIALS, 7);
    protect(&f->plan->variants[0], NULL, 0);
    protect(&f->plan->variants[1], names, 2);
    assert_int_equal(
        fs_store_open(&f->store, f->dir, FS_STORE_CREATE, &f->plan->plan, fixture_text), FS_OK);
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

/* Trials of all cells, with counters that sum to something known. */
static void run(fixture *f)
{
    fs_buf bytes = {0};
    int verdict;
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    for (uint32_t cell = 0; cell < CELLS; cell++) {
        for (uint64_t trial = 0; trial < TRIALS; trial++) {
            fs_trial_record r = fixture_record(cell, trial, 0);
            r.metric = 0.75;
            if (cell % 2 == 1) {
                r.check_faults = trial;
                r.corrected = 7;
                r.detected = cell;
                r.miscorrected = 2;
            }
            fs_buf_clear(&bytes);
            assert_int_equal(fs_trial_encode(&r, &bytes), FS_OK);
            assert_int_equal(
                fs_store_put_trial(f->store, cell, trial, bytes.data, bytes.size, &verdict), FS_OK);
        }
    }
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    fs_buf_free(&bytes);
}

static void put_goldens(fixture *f)
{
    const fs_store_golden plain = {.metric = 0.75,
                                   .loss = 0.5,
                                   .answers = FIXTURE_INPUTS,
                                   .checksum = 1,
                                   .has_facts = 1,
                                   .token_rows_read = 6,
                                   .positions_read = 5};
    fs_store_golden coded = plain;
    coded.metric = 0.5;
    coded.loss = 0.625;
    coded.altered = 11;
    coded.bounds_checksum = 0xabcdef;
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    assert_int_equal(fs_store_put_golden(f->store, 0, &plain), FS_OK);
    assert_int_equal(fs_store_put_golden(f->store, 1, &coded), FS_OK);
    assert_int_equal(fs_store_commit(f->store), FS_OK);
}

static summary_arms *arms_of(fixture *f, summary **s)
{
    summary_arms *arms;
    assert_int_equal(summary_new(s, f->store, &f->plan->plan), FS_OK);
    assert_int_equal(summary_arms_new(&arms, f->store, *s), FS_OK);
    return arms;
}

static void test_an_empty_store_says_what_would_be_stored(void **state)
{
    fixture *f = *state;
    summary *s;
    summary_arms *arms = arms_of(f, &s);
    assert_int_equal(arms->count, 2);
    assert_true(arms->items[0].bits_per_value == 32);
    assert_true(arms->items[0].redundant_bits == 0);
    /* SECDED: 8 bits for two words, and all rows of this model are even. Scrubbing: one sum a row.
     */
    const fs_geometry *geometry = f->plan->model.geometry;
    double rows = 0;
    for (size_t t = 0; t < geometry->tensor_count; t++) {
        assert_int_equal(geometry->tensors[t].cols % 2, 0);
        rows += geometry->tensors[t].rows;
    }
    const double sums = rows * fs_codec_find("scrub")->check_bits / (double)geometry->values;
    assert_true(fabs(arms->items[1].redundant_bits - 4 - sums) < 1e-12);
    assert_true(fabs(arms->items[1].bits_per_value - 36 - sums) < 1e-12);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(arms->items[i].arm, i);
        assert_int_equal(arms->items[i].cells, CELLS / 2);
        assert_int_equal(arms->items[i].trials, 0);
        assert_false(arms->items[i].has_golden);
        assert_true(isnan(arms->items[i].metric_change));
    }
    summary_arms_destroy(&arms);
    summary_arms_destroy(&arms);
    summary_destroy(&s);
}

static void test_sums_and_quality_of_each_arm(void **state)
{
    fixture *f = *state;
    summary *s;
    run(f);
    put_goldens(f);
    summary_arms *arms = arms_of(f, &s);
    const summary_arm *plain = &arms->items[0], *coded = &arms->items[1];
    assert_int_equal(plain->trials, CELLS / 2 * TRIALS);
    assert_int_equal(plain->faults, CELLS / 2 * TRIALS);
    assert_int_equal(plain->check_faults + plain->corrected + plain->detected, 0);
    assert_int_equal(coded->check_faults, CELLS / 2 * (0 + 1 + 2 + 3 + 4));
    assert_int_equal(coded->corrected, CELLS / 2 * TRIALS * 7);
    assert_int_equal(coded->detected, TRIALS * (1 + 3));
    assert_int_equal(coded->miscorrected, CELLS / 2 * TRIALS * 2);
    assert_int_equal(plain->reference, -1);
    assert_int_equal(coded->reference, 0);
    assert_true(coded->metric_change == -0.25 && coded->loss_change == 0.125);
    summary_arms_destroy(&arms);
    summary_destroy(&s);
}

static char *printed(fixture *f)
{
    json_t *document;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    assert_int_equal(status_json(f->store, &f->plan->plan, NULL, &document), FS_OK);
    status_print(out, document);
    assert_int_equal(fclose(out), 0);
    json_decref(document);
    return text;
}

/* Loss and metric must both be numbers; of an arm that nobody ran nothing is said. */
static void test_a_golden_run_without_a_finite_answer_is_said(void **state)
{
    static const struct {
        double metric, loss;
        int finite;
    } cases[] = {{0.5, 0.25, 1},
                 {0.5, (double)NAN, 0},
                 {0.5, (double)INFINITY, 0},
                 {(double)INFINITY, 800, 0}};
    fixture *f = *state;
    json_t *document;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const fs_store_golden golden = {.metric = cases[i].metric, .loss = cases[i].loss};
        assert_true(fs_store_golden_finite(&golden) == cases[i].finite);
    }
    char *text = printed(f);
    assert_null(strstr(text, "WARNING"));
    free(text);
    const fs_store_golden golden = {.metric = 0.5, .loss = (double)NAN};
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    assert_int_equal(fs_store_put_golden(f->store, 1, &golden), FS_OK);
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    assert_int_equal(status_json(f->store, &f->plan->plan, NULL, &document), FS_OK);
    const json_t *arms = json_object_get(document, "arms");
    assert_true(json_is_null(json_object_get(json_array_get(arms, 0), "golden_finite")));
    assert_true(json_is_false(json_object_get(json_array_get(arms, 1), "golden_finite")));
    json_decref(document);
    text = printed(f);
    assert_non_null(strstr(text, "WARNING: arm ep: its fault-free run has no finite answer"));
    assert_null(strstr(text, "arm unprotected: its fault-free"));
    free(text);
}

/* A protected model is compared with itself without protection, under the same guard; a format with
 * fp32. */
static void test_what_an_arm_is_compared_with(void **state)
{
    fixture *f = *state;
    summary *s;
    fs_variant *variants = f->plan->variants;
    put_goldens(f);
    variants[1].protect.guard.kind = FS_GUARD_NONFINITE_ZERO;
    summary_arms *arms = arms_of(f, &s);
    assert_int_equal(arms->items[1].reference, -1);
    summary_arms_destroy(&arms);
    variants[0].protect.guard.kind = FS_GUARD_NONFINITE_ZERO;
    assert_int_equal(summary_arms_new(&arms, f->store, s), FS_OK);
    assert_int_equal(arms->items[1].reference, 0);
    summary_arms_destroy(&arms);
    variants[1].protect.codec_count = 0;
    assert_int_equal(summary_arms_new(&arms, f->store, s), FS_OK);
    assert_int_equal(arms->items[1].reference, -1);
    summary_arms_destroy(&arms);
    variants[1].protect.format = FS_FORMAT_BF16;
    assert_int_equal(summary_arms_new(&arms, f->store, s), FS_OK);
    assert_int_equal(arms->items[1].reference, 0);
    assert_int_equal(arms->items[0].reference, -1);
    assert_true(arms->items[1].bits_per_value == 16);
    summary_arms_destroy(&arms);
    variants[1].model = 1; /* another model, of the same shape */
    fs_plan_model models[2] = {f->plan->model, f->plan->model};
    f->plan->plan.models = models;
    assert_int_equal(summary_arms_new(&arms, f->store, s), FS_OK);
    assert_int_equal(arms->items[1].reference, -1);
    summary_arms_destroy(&arms);
    summary_destroy(&s);
}

static void test_the_document_and_the_table(void **state)
{
    fixture *f = *state;
    json_t *document;
    char *text = printed(f); /* stands where nothing is known */
    assert_non_null(strstr(text, "secded+scrub"));
    assert_non_null(strstr(text, "miscorrected: units of codewords"));
    assert_null(strstr(text, "equal"));
    free(text);
    run(f);
    put_goldens(f);
    assert_int_equal(status_json(f->store, &f->plan->plan, NULL, &document), FS_OK);
    const json_t *arm = json_array_get(json_object_get(document, "arms"), 1);
    assert_string_equal(json_string_value(json_object_get(arm, "arm")), "ep");
    assert_string_equal(json_string_value(json_object_get(arm, "compared_with")), "unprotected");
    assert_string_equal(json_string_value(json_object_get(arm, "bounds_checksum")),
                        "0000000000abcdef");
    assert_int_equal(json_integer_value(json_object_get(arm, "altered")), 11);
    assert_int_equal(json_integer_value(json_object_get(arm, "check_faults")), 20);
    assert_int_equal(json_integer_value(json_object_get(arm, "positions_read")), 5);
    assert_true(json_number_value(json_object_get(arm, "metric_change")) == -0.25);
    const json_t *cell = json_array_get(json_object_get(document, "cells"), 3);
    assert_int_equal(json_integer_value(json_object_get(cell, "check_faults")), 10);
    assert_int_equal(json_integer_value(json_object_get(cell, "metric_equal")), TRIALS);
    json_decref(document);
    text = printed(f);
    assert_non_null(strstr(text, "0.75, all 5 equal"));
    assert_null(strstr(text, "[0.75, 0.75]"));
    assert_non_null(strstr(text, "-0.25"));
    free(text);
}

/* What a worker says of the inputs is added to what the plan knows, for its own variant only. */
static void test_masked_sites_need_a_golden_run(void **state)
{
    fixture *f = *state;
    const fs_geometry *geometry = f->plan->model.geometry;
    fs_fault_space *space;
    summary *s;
    assert_int_equal(fs_fault_space_new(&space, geometry, fs_geometry_components(geometry), NULL, 0,
                                        FS_BITS_ALL),
                     FS_OK);
    f->plan->plan.cells[0].space = f->plan->plan.cells[1].space = space;
    const uint64_t row = 32u * (uint64_t)geometry->config.d_model;
    assert_int_equal(summary_new(&s, f->store, &f->plan->plan), FS_OK);
    assert_false(s->cells[0].reads_known);
    assert_int_equal(s->cells[0].masked_sites, row); /* a segment */
    summary_destroy(&s);
    put_goldens(f); /* of 8 token rows 6 are read, of 8 positions 5 */
    assert_int_equal(summary_new(&s, f->store, &f->plan->plan), FS_OK);
    assert_true(s->cells[0].reads_known);
    assert_int_equal(s->cells[0].masked_sites, (1 + 2 + 3) * row);
    assert_int_equal(s->cells[0].masked.token_rows, 2 * row);
    assert_int_equal(s->cells[1].masked_sites, 0); /* secded: what is detected is known */
    summary_destroy(&s);
    char *text = printed(f);
    assert_non_null(strstr(text, "provably masked"));
    assert_non_null(strstr(text, "token rows 256"));
    free(text);
    fs_fault_space_destroy(&space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_empty_store_says_what_would_be_stored, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_sums_and_quality_of_each_arm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_an_arm_is_compared_with, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_golden_run_without_a_finite_answer_is_said, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_masked_sites_need_a_golden_run, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_document_and_the_table, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
