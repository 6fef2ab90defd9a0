/* Records from outside: those that a cell can have, and all the ways in which one cannot be its. */
#include "sweep_fixture.h"

#include <string.h>

#include "trial.h"

static const char sweeps[] =
    "  - {name: p, site: {parameters: all}, amount: {count: 1}, trials: 4}\n"
    "  - {name: a, site: {activations: [mlp.out, attention.probs]}, amount: {count: 1}, trials: "
    "4}\n"
    "  - {name: g, phase: finetune, site: {gradients: all}, amount: {count: 1}, trials: 4}\n";

static void setup(fixture *f)
{
    const fixture_options options = {.spec =
                                         tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION),
                                     .rows = 4,
                                     .arms = "  - {name: n}\n  - {name: i, dtype: int8}\n",
                                     .sweeps = sweeps,
                                     .finetune = "steps: 3, batch: 2"};
    fixture_open(f, &options);
}

static const fs_cell *cell_of(const fixture *f, const char *id)
{
    const int64_t at = fs_plan_find(f->plan, id);
    assert_true(at >= 0);
    return &f->plan->cells[at];
}

static fs_trial_record of_parameters(void)
{
    return (fs_trial_record){.faults = 1, .kept = 1, .fault = {{.tensor = 0, .element = 0}}};
}

static void refuse(const fs_cell *cell, const fs_trial_record *record, const char *why)
{
    assert_int_equal(fs_cell_check_record(cell, record), FS_ECORRUPT);
    if (strstr(fs_status_detail(), why) == NULL || strstr(fs_status_detail(), cell->id) == NULL)
        fail_msg("'%s' does not say '%s' of %s", fs_status_detail(), why, cell->id);
}

static void test_parameters(void **state)
{
    fixture f;
    setup(&f);
    const fs_geometry *geometry = f.plan->models[0].geometry;
    const fs_cell *cell = cell_of(&f, "p/n"), *int8 = cell_of(&f, "p/i");
    const fs_tensor *last = &geometry->tensors[geometry->tensor_count - 1];
    fs_trial_record r = of_parameters();
    r.fault[0].tensor = (uint32_t)geometry->tensor_count - 1;
    r.fault[0].element = (uint64_t)last->rows * last->cols - 1;
    r.fault[0].bit = 31;
    assert_ok(fs_cell_check_record(cell, &r));
    refuse(int8, &r, "bit");
    r.fault[0].bit = 7;
    assert_ok(fs_cell_check_record(int8, &r));
    r.fault[0].element++;
    refuse(cell, &r, "value");
    r.fault[0].element = 0;
    r.fault[0].tensor++;
    refuse(cell, &r, "value");
    r = of_parameters();
    r.activations = 1;
    refuse(cell, &r, "another kind");
    r.activations = 0;
    r.tuned = 1;
    refuse(cell, &r, "another kind");
    fixture_close(&f);
}

static void test_activations(void **state)
{
    fixture f;
    setup(&f);
    const fs_config *config = &f.plan->models[0].geometry->config;
    const fs_cell *cell = cell_of(&f, "a/n");
    fs_trial_record r = of_parameters();
    refuse(cell, &r, "another kind");
    r.activations = 1;
    r.fault[0].place = fs_place_of(FS_STAGE_MLP_OUT, 0);
    r.fault[0].element = (uint64_t)config->positions * config->d_model - 1;
    assert_ok(fs_cell_check_record(cell, &r));
    r.fault[0].element++;
    refuse(cell, &r, "activation");
    r.fault[0].place = fs_place_of(FS_STAGE_ATTENTION_PROBS, config->layers - 1);
    r.fault[0].element = (uint64_t)config->heads * config->positions * config->positions - 1;
    assert_ok(fs_cell_check_record(cell, &r));
    r.fault[0].element++;
    refuse(cell, &r, "activation");
    r.fault[0] = (fs_fault_record){.place = fs_place_of(FS_STAGE_MLP_HIDDEN, 0)};
    refuse(cell, &r, "activation");
    fixture_close(&f);
}

static void test_tuning(void **state)
{
    fixture f;
    setup(&f);
    const fs_cell *cell = cell_of(&f, "g/n");
    fs_trial_record r = of_parameters();
    r.tuned = 1;
    r.diverged = 3;
    r.fault[0].step = 2;
    r.fault[0].place = FS_TUNE_GRADIENTS;
    assert_ok(fs_cell_check_record(cell, &r));
    r.diverged = 4;
    refuse(cell, &r, "diverges");
    r.diverged = 0;
    r.fault[0].step = 3;
    refuse(cell, &r, "step");
    r.fault[0].step = 0;
    r.fault[0].place = FS_TUNE_ADAM_V;
    refuse(cell, &r, "array");
    fixture_close(&f);
}

/* Decoding alone, which knows no cell, refuses what no cell can have. */
static void test_unknown_faults(void **state)
{
    fs_trial_record r = of_parameters(), out;
    for (int wrong = 0; wrong < 2; wrong++) {
        fs_buf bytes = {0};
        r.fault[0].bit = wrong ? 32 : 31;
        assert_ok(fs_trial_encode(&r, &bytes));
        assert_int_equal(fs_trial_decode(&out, bytes.data, bytes.size),
                         wrong ? FS_ECORRUPT : FS_OK);
        fs_buf_clear(&bytes);
        r.fault[0].bit = 0;
        r.fault[0].kind = wrong ? FS_FAULT_STUCK1 + 1 : FS_FAULT_STUCK1;
        assert_ok(fs_trial_encode(&r, &bytes));
        assert_int_equal(fs_trial_decode(&out, bytes.data, bytes.size),
                         wrong ? FS_ECORRUPT : FS_OK);
        fs_buf_free(&bytes);
        r.fault[0].kind = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters), cmocka_unit_test(test_activations),
        cmocka_unit_test(test_tuning), cmocka_unit_test(test_unknown_faults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
