/* The fast path against brute force, on models of every kind, for every component. */
#include "trial_fixture.h"

static int is_long; /* all trials of a cell instead of two */

/* Arms "plain" and "guarded", the latter with the codecs `protect`. */
static void open_sweeps(fixture *f, const tiny_spec *spec, const char *protect, const char *sweeps)
{
    char arms[96];
    snprintf(arms, sizeof arms, "  - {name: plain}\n  - {name: guarded, protect: [%s]}\n", protect);
    const fixture_options options = {.spec = *spec,
                                     .rows = 40,
                                     .windows = "window: 24, stride: 16, examples: 6",
                                     .arms = arms,
                                     .sweeps = sweeps};
    fixture_open(f, &options);
}

static wk_executor *executor(const fixture *f, uint64_t golden_bytes)
{
    const wk_options options = {.threads = 1,
                                .check_always = 1,
                                .golden_bytes_max = golden_bytes,
                                .private_bytes_max = golden_bytes};
    return trial_executor(f, &options);
}

static fs_trial_record run(wk_executor *e, uint32_t cell, uint64_t trial, fs_buf *bytes)
{
    return trial_run(e, 0, cell, trial, bytes);
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
    trial_rivals rivals;
    open_sweeps(&f, spec, "ep", every_site);
    trial_rivals_open(&rivals, &f, 60000);
    unsigned outcomes[FS_OUTCOME_COUNT] = {0};
    for (uint32_t c = 0; c < f.plan->cell_count; c++) {
        const fs_cell *cell = &f.plan->cells[c];
        for (uint64_t t = 0; t < (is_long ? cell->trials : 2); t++) {
            fs_trial_record record = trial_rivals_run(&rivals, f.plan, c, t);
            outcomes[record.outcome]++;
            if (cell->amount.value == 0) trial_assert_golden(rivals.brute, cell, &record);
        }
    }
    /* The trials must exercise what they are meant to. */
    assert_true(outcomes[FS_OUTCOME_MASKED] > 0 && outcomes[FS_OUTCOME_BENIGN] > 0);
    assert_true(outcomes[FS_OUTCOME_SDC] > 0 && outcomes[FS_OUTCOME_DUE] > 0);
    trial_rivals_close(&rivals);
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
    spec.vocab = 300; /* logits are most of the work */
    check_against_brute_force(&spec);
}

static void test_gpt2_untied(void **state)
{
    tiny_spec spec = tiny_spec_default(FS_MODEL_GPT2, FS_TASK_LM);
    spec.untied = 1;
    spec.vocab = 300;
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
    open_sweeps(&f, &spec, "ep",
                "  - {name: top, site: {parameters: mlp}, amount: {count: 1}, bits: [30],"
                " trials: 60}\n");
    wk_executor *e = executor(&f, 1u << 30);
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
    open_sweeps(&f, &spec, "ep",
                "  - {name: some, site: {parameters: all}, amount: {count: 3}, trials: 20}\n");
    wk_executor *e = executor(&f, 1u << 30);
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
    open_sweeps(&f, &spec, "ep",
                "  - {name: some, site: {parameters: all}, amount: {rate: 0.001}, trials: 10}\n");
    const wk_options options = {.threads = 3, .audit = 1, .golden_bytes_max = 1u << 30};
    wk_executor *e = trial_executor(&f, &options);
    fs_buf a = {0}, b = {0};
    for (uint64_t t = 0; t < 10; t++) {
        trial_run(e, 0, 0, t, &a);
        trial_run(e, 1 + (unsigned)(t % 2), 0, t, &b);
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
    open_sweeps(&f, &spec, "ep",
                "  - {name: few, site: {parameters: all}, amount: {count: 3}, trials: 80}\n"
                "  - {name: many, site: {parameters: all}, amount: {rate: 0.05}, trials: 2}\n");
    fs_buf alone[2] = {{0}}, bytes = {0};
    wk_executor *e = executor(&f, 0);
    run(e, 0, 79, &alone[0]);
    wk_executor_destroy(&e);
    e = executor(&f, 0);
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

int main(int argc, char **argv)
{
    is_long = argc > 1 && strcmp(argv[1], "--long") == 0;
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
