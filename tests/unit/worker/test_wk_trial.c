/* The fast path against brute force, on models of every kind, for every component. */
#include "testing.h"

#include <math.h>

#include "buf.h"
#include "campaign.h"
#include "file.h"
#include "plan.h"
#include "tiny_model.h"
#include "wk_executor.h"

typedef struct fixture {
    char *folder;
    fs_campaign *campaign;
    fs_plan *plan;
} fixture;

/* A model, its data and a campaign whose sweeps are `sweeps`. */
static void fixture_open(fixture *f, const tiny_spec *spec, const char *protect, const char *sweeps)
{
    fs_buf text = {0};
    char data[FS_PATH_BYTES_MAX];
    tiny_model *model;
    int lm = spec->task == FS_TASK_LM;
    f->folder = testing_folder();
    assert_ok(tiny_model_new(&model, spec));
    assert_ok(tiny_model_write(model, f->folder));
    assert_ok(fs_path_join(data, f->folder, lm ? "data.txt" : "data.tsv"));
    assert_ok(tiny_model_write_data(model, data, 40));
    tiny_model_destroy(&model);
    assert_ok(fs_buf_printf(&text,
                            "campaign: t\nseed: 3\n"
                            "task: {kind: %s, model: %s, data: %s%s}\n"
                            "arms:\n  - {name: plain}\n  - {name: guarded, protect: [%s]}\n"
                            "sweep:\n%s",
                            lm ? "language-model" : "classification", f->folder, data,
                            lm ? ", window: 24, stride: 16, examples: 12" : "", protect, sweeps));
    assert_ok(fs_campaign_parse(&f->campaign, fs_buf_text(&text), text.size, "test.yaml"));
    assert_ok(fs_plan_new(&f->plan, f->campaign));
    assert_true(f->plan->has_fingerprint);
    fs_buf_free(&text);
}

static void fixture_close(fixture *f)
{
    fs_plan_destroy(&f->plan);
    fs_campaign_destroy(&f->campaign);
    testing_remove(f->folder);
}

static wk_executor *executor(const fixture *f, int brute_force, uint64_t golden_bytes)
{
    wk_executor *made;
    const wk_options options = {.threads = 1,
                                .brute_force = brute_force,
                                .check_always = 1,
                                .golden_bytes_max = golden_bytes,
                                .private_bytes_max = golden_bytes};
    assert_ok(wk_executor_new(&made, f->plan, &options));
    return made;
}

/* Runs a trial and appends its record's bytes. */
static fs_trial_record run(wk_executor *e, uint32_t cell, uint64_t trial, fs_buf *bytes)
{
    fs_trial_record record;
    fs_buf_clear(bytes);
    assert_ok(wk_executor_run(e, 0, cell, trial, &record));
    assert_ok(fs_trial_encode(&record, bytes));
    assert_int_equal(record.inputs, record.masked + record.benign + record.sdc + record.due);
    return record;
}

static const char *const every_site =
    "  - {name: each, site: {parameters: all, by: [layer, component]}, amount: {count: [1, 6]},"
    " trials: 6}\n"
    "  - {name: top, site: {parameters: all, by: [component]}, amount: {count: 2}, bits: [30],"
    " trials: 4}\n"
    "  - {name: rates, site: {parameters: all}, amount: {rate: [0.0005, 0.02, 0.5]},"
    " guard: [none, nonfinite-zero, {threshold: 3}], trials: 4}\n"
    "  - {name: bers, site: {parameters: [mlp, layernorm]}, amount: {ber: [0.0001, 0.01]},"
    " kind: [flip, stuck0, stuck1], trials: 4}\n"
    "  - {name: zero, site: {parameters: all}, amount: {count: 0}, trials: 2}\n";

static void check_against_brute_force(const tiny_spec *spec)
{
    fixture f;
    fixture_open(&f, spec, "ep", every_site);
    /* No boundary beyond the mandatory ones, some, all: the memory must not show. */
    wk_executor *brute = executor(&f, 1, 0), *fast[3];
    const uint64_t bytes[3] = {0, 60000, 1u << 30};
    for (int i = 0; i < 3; i++) fast[i] = executor(&f, 0, bytes[i]);
    fs_buf want = {0}, got = {0};
    unsigned outcomes[FS_OUTCOME_COUNT] = {0};
    for (uint32_t c = 0; c < f.plan->cell_count; c++) {
        const fs_cell *cell = &f.plan->cells[c];
        for (uint64_t t = 0; t < cell->trials; t++) {
            fs_trial_record record = run(brute, c, t, &want);
            outcomes[record.outcome]++;
            for (int i = 0; i < 3; i++) {
                run(fast[i], c, t, &got);
                if (want.size != got.size || memcmp(want.data, got.data, got.size) != 0) {
                    fail_msg("%s/%llu differs from brute force with %llu golden bytes", cell->id,
                             (unsigned long long)t, (unsigned long long)bytes[i]);
                }
            }
            if (strncmp(cell->id, "zero/", 5) == 0) {
                assert_int_equal(record.masked, record.inputs);
                assert_int_equal(record.outcome, FS_OUTCOME_MASKED);
                wk_golden_info golden;
                assert_ok(wk_executor_golden(brute, cell->variant, &golden));
                assert_true(record.metric == golden.metric && record.loss == golden.loss);
            }
        }
    }
    /* The trials must exercise what they are meant to. */
    assert_true(outcomes[FS_OUTCOME_MASKED] > 0 && outcomes[FS_OUTCOME_BENIGN] > 0);
    assert_true(outcomes[FS_OUTCOME_SDC] > 0 && outcomes[FS_OUTCOME_DUE] > 0);
    fs_buf_free(&want);
    fs_buf_free(&got);
    wk_executor_destroy(&brute);
    for (int i = 0; i < 3; i++) wk_executor_destroy(&fast[i]);
    fixture_close(&f);
}

static void test_bert(void **state)
{
    tiny_spec spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    spec.layers = 3;
    check_against_brute_force(&spec);
}

static void test_gpt2_tied(void **state)
{
    tiny_spec spec = tiny_spec_default(FS_MODEL_GPT2, FS_TASK_LM);
    spec.layers = 3;
    check_against_brute_force(&spec);
}

static void test_gpt2_untied(void **state)
{
    tiny_spec spec = tiny_spec_default(FS_MODEL_GPT2, FS_TASK_LM);
    spec.untied = 1;
    check_against_brute_force(&spec);
}

static void test_gpt2_classifier(void **state)
{
    tiny_spec spec = tiny_spec_default(FS_MODEL_GPT2, FS_TASK_CLASSIFICATION);
    check_against_brute_force(&spec);
}

/* Bit 30 is 0 in every |w| < 2: under ep nothing it does is seen; without, a value grows by 2^128.
 */
static void test_bit_30_under_ep(void **state)
{
    tiny_spec spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    fixture f;
    fixture_open(&f, &spec, "ep",
                 "  - {name: top, site: {parameters: mlp}, amount: {count: 1}, bits: [30],"
                 " trials: 60}\n");
    wk_executor *e = executor(&f, 0, 1u << 30);
    fs_buf bytes = {0};
    unsigned harmed = 0;
    for (uint32_t c = 0; c < f.plan->cell_count; c++) {
        int protected_arm = f.plan->cells[c].arm == 1;
        for (uint64_t t = 0; t < 60; t++) {
            fs_trial_record record = run(e, c, t, &bytes);
            assert_int_equal(record.faults, 1);
            assert_int_equal(record.effective, 1);
            assert_int_equal(record.fault[0].before ^ record.fault[0].after, 1u << 30);
            if (protected_arm) {
                assert_int_equal(record.outcome, FS_OUTCOME_MASKED);
                assert_int_equal(record.visible, 0);
                assert_int_equal(record.fault[0].value_before, record.fault[0].value_after);
            }
            harmed += !protected_arm && record.outcome >= FS_OUTCOME_SDC;
        }
    }
    assert_true(harmed >= 45);
    fs_buf_free(&bytes);
    wk_executor_destroy(&e);
    fixture_close(&f);
}

/* Both arms meet the same faults, and the order of trials cannot show. */
static void test_pairs_and_order(void **state)
{
    tiny_spec spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    fixture f;
    fixture_open(&f, &spec, "ep",
                 "  - {name: some, site: {parameters: all}, amount: {count: 3}, trials: 20}\n");
    wk_executor *e = executor(&f, 0, 1u << 30);
    fs_buf forward[20] = {{0}}, bytes = {0};
    for (uint64_t t = 0; t < 20; t++) {
        fs_trial_record plain = run(e, 0, t, &forward[t]), guarded = run(e, 1, t, &bytes);
        assert_true(plain.faults_checksum == guarded.faults_checksum);
    }
    for (uint64_t t = 20; t-- > 0;) {
        run(e, 0, t, &bytes);
        assert_int_equal(bytes.size, forward[t].size);
        assert_memory_equal(bytes.data, forward[t].data, bytes.size);
        fs_buf_free(&forward[t]);
    }
    fs_buf_free(&bytes);
    wk_executor_destroy(&e);
    fixture_close(&f);
}

/* An audit of every trial passes, and threads of their own views give the same records. */
static void test_audit(void **state)
{
    tiny_spec spec = tiny_spec_default(FS_MODEL_GPT2, FS_TASK_LM);
    fixture f;
    fixture_open(&f, &spec, "ep",
                 "  - {name: some, site: {parameters: all}, amount: {rate: 0.001}, trials: 10}\n");
    const wk_options options = {.threads = 3, .audit = 1, .golden_bytes_max = 1u << 30};
    wk_executor *e;
    assert_ok(wk_executor_new(&e, f.plan, &options));
    fs_buf a = {0}, b = {0};
    for (uint64_t t = 0; t < 10; t++) {
        fs_trial_record record;
        fs_buf_clear(&a);
        fs_buf_clear(&b);
        assert_ok(wk_executor_run(e, 0, 0, t, &record));
        assert_ok(fs_trial_encode(&record, &a));
        assert_ok(wk_executor_run(e, 1 + (unsigned)(t % 2), 0, t, &record));
        assert_ok(fs_trial_encode(&record, &b));
        assert_int_equal(a.size, b.size);
        assert_memory_equal(a.data, b.data, a.size);
    }
    fs_buf_free(&a);
    fs_buf_free(&b);
    wk_executor_destroy(&e);
    fixture_close(&f);
}

/* @return bytes of private copies of pages of models, in all maps of this process. */
static uint64_t private_bytes(void)
{
    char line[512];
    int inside = 0;
    uint64_t kb = 0;
    unsigned long long n;
    FILE *file = fopen("/proc/self/smaps", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strchr(line, '-') != NULL && strchr(line, '-') < strchr(line, ' '))
            inside = strstr(line, "memfd:flipsweep-model") != NULL;
        else if (inside && sscanf(line, "Anonymous: %llu kB", &n) == 1)
            kb += n;
    }
    fclose(file);
    return kb * 1024;
}

/* Whatever trials write, big ones or many small ones, a thread keeps little of it to itself. */
static void test_private_pages_are_bounded(void **state)
{
    tiny_spec spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    spec.width = 64;
    fixture f;
    fixture_open(&f, &spec, "ep",
                 "  - {name: few, site: {parameters: all}, amount: {count: 3}, trials: 80}\n"
                 "  - {name: many, site: {parameters: all}, amount: {rate: 0.05}, trials: 2}\n");
    fs_buf alone[2] = {{0}}, bytes = {0};
    wk_executor *e = executor(&f, 0, 0);
    run(e, 0, 79, &alone[0]);
    wk_executor_destroy(&e);
    e = executor(&f, 0, 0);
    run(e, 2, 1, &alone[1]);
    const fs_geometry *geometry = f.plan->models[0].geometry;
    uint64_t image = 0, most = 0;
    for (size_t t = 0; t < geometry->tensor_count; t++)
        image += sizeof(float) * geometry->tensors[t].rows * geometry->tensors[t].cols;
    assert_true(image > 64 * 4096);
    assert_int_equal(private_bytes(), 0); /* more values than an eighth of the pages */
    for (uint64_t t = 0; t < 80; t++) {
        run(e, 0, t, &bytes);
        uint64_t now = private_bytes();
        if (now > most) most = now;
    }
    assert_true(most > 0 && most <= image / 8 + 4096);
    assert_memory_equal(bytes.data, alone[0].data, bytes.size);
    run(e, 2, 1, &bytes);
    assert_memory_equal(bytes.data, alone[1].data, bytes.size);
    assert_int_equal(private_bytes(), 0);
    for (int i = 0; i < 2; i++) fs_buf_free(&alone[i]);
    fs_buf_free(&bytes);
    wk_executor_destroy(&e);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bert),
        cmocka_unit_test(test_gpt2_tied),
        cmocka_unit_test(test_gpt2_untied),
        cmocka_unit_test(test_gpt2_classifier),
        cmocka_unit_test(test_bit_30_under_ep),
        cmocka_unit_test(test_pairs_and_order),
        cmocka_unit_test(test_audit),
        cmocka_unit_test(test_private_pages_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
