/* Trials through every protection: decoding what is touched against decoding everything, redundant
 * bits that are hit, the same data faults in every arm. */
#include "trial_fixture.h"

#include <math.h>

static const char *const lists[] = {
    "ep",
    "mset",
    "cep",
    "cep-7",
    "cep-15",
    "op",
    "secded",
    "secded-zero",
    "secded-reload",
    "secded-exponent",
    "tmr-exponent",
    "range",
    "range-clip",
    "scrub",
    "cep, ep",
    "ep, cep",
    "secded, cep",
    "scrub, secded",
    "secded, range",
    "range, mset, tmr-exponent",
    "cep, scrub",
    "ep, secded-exponent, scrub",
    "secded-reload, op",
};
enum { LISTS = sizeof lists / sizeof lists[0] };

typedef struct codecs {
    fixture f;
    wk_executor *fast, *brute;
} codecs;

/* A small model with one arm for each list, and one without; `metadata` of the arms. */
static void codecs_open(codecs *self, fs_model_kind kind, const char *metadata, const char *sweeps)
{
    fs_buf arms = {0};
    assert_ok(fs_buf_printf(&arms, "  - {name: plain}\n"));
    for (int i = 0; i < LISTS; i++)
        assert_ok(fs_buf_printf(&arms, "  - {name: a%d, protect: [%s], metadata: %s}\n", i,
                                lists[i], metadata));
    fixture_options options = {.spec = tiny_spec_default(kind, FS_TASK_CLASSIFICATION),
                               .rows = 3,
                               .arms = fs_buf_text(&arms),
                               .sweeps = sweeps};
    options.spec.layers = 1;
    options.spec.width = 10; /* no multiple of eight words */
    options.spec.heads = 2;
    options.spec.inner = 13;
    fixture_open(&self->f, &options);
    fs_buf_free(&arms);
    wk_options run = {.threads = 1,
                      .check_always = 1,
                      .golden_bytes_max = 1u << 30,
                      .private_bytes_max = 1u << 30};
    self->fast = trial_executor(&self->f, &run);
    run.brute_force = 1;
    self->brute = trial_executor(&self->f, &run);
}

static void codecs_close(codecs *self)
{
    wk_executor_destroy(&self->fast);
    wk_executor_destroy(&self->brute);
    fixture_close(&self->f);
}

static fs_trial_record run(wk_executor *e, uint32_t cell, uint64_t trial, fs_buf *bytes)
{
    fs_trial_record record = trial_run(e, 0, cell, trial, bytes), again;
    assert_ok(fs_trial_decode(&again, bytes->data, bytes->size));
    assert_int_equal(again.check_faults, record.check_faults);
    return record;
}

/* 200 trials of each list: few faults, many, one in two bits of a byte. */
static void against_brute_force(fs_model_kind kind)
{
    codecs all;
    codecs_open(&all, kind, "true",
                "  - {name: few, site: {parameters: all}, amount: {count: [1, 4]}, trials: 25}\n"
                "  - {name: some, site: {parameters: all}, amount: {ber: [0.0003, 0.01]},"
                " kind: [flip, stuck1], trials: 10}\n"
                "  - {name: part, site: {parameters: [attention, layernorm]},"
                " amount: {rate: 0.05}, guard: [none, {threshold: 2}], trials: 5}\n");
    fs_buf want = {0}, got = {0};
    uint64_t corrected = 0, detected = 0, miscorrected = 0, checks = 0;
    for (uint32_t c = 0; c < all.f.plan->cell_count; c++) {
        const fs_cell *cell = &all.f.plan->cells[c];
        for (uint64_t t = 0; t < cell->trials; t++) {
            fs_trial_record record = run(all.brute, c, t, &want);
            run(all.fast, c, t, &got);
            trial_assert_equal(&want, &got, cell, t, "when it decodes what is hit");
            corrected += record.corrected;
            detected += record.detected;
            miscorrected += record.miscorrected;
            checks += record.check_faults;
        }
    }
    assert_true(corrected > 0 && detected > 0 && miscorrected > 0 && checks > 0);
    fs_buf_free(&want);
    fs_buf_free(&got);
    codecs_close(&all);
}

static void test_bert(void **state)
{
    against_brute_force(FS_MODEL_BERT);
}

static void test_gpt2(void **state)
{
    against_brute_force(FS_MODEL_GPT2);
}

static uint32_t cell_of(const fixture *f, const char *list, const char *sweep)
{
    char id[64];
    for (int i = 0; i < LISTS; i++) {
        if (strcmp(lists[i], list) != 0) continue;
        snprintf(id, sizeof id, "%s/a%d", sweep, i);
        int64_t cell = fs_plan_find(f->plan, id);
        assert_true(cell >= 0);
        return (uint32_t)cell;
    }
    fail();
    return 0;
}

/* One flip is mended without a trace; check bits are hit in proportion, unless the campaign says no
 * or names bits of the words; all arms meet the same faults in their data. */
static void test_counts(void **state)
{
    static const char *const sweeps =
        "  - {name: one, site: {parameters: mlp}, amount: {count: 1}, trials: 20}\n"
        "  - {name: many, site: {parameters: all}, amount: {ber: 0.002}, trials: 20}\n"
        "  - {name: named, site: {parameters: all}, amount: {ber: 0.01}, bits: [exponent],"
        " trials: 3}\n";
    for (int metadata = 0; metadata < 2; metadata++) {
        codecs all;
        fs_buf bytes = {0};
        uint64_t data = 0, checks = 0, rows = 0;
        codecs_open(&all, FS_MODEL_BERT, metadata ? "true" : "false", sweeps);
        const uint32_t secded = cell_of(&all.f, "secded", "many"), plain = 0;
        const int64_t plain_many = fs_plan_find(all.f.plan, "many/plain");
        assert_int_equal(plain, fs_plan_find(all.f.plan, "one/plain"));
        for (uint64_t t = 0; t < 20; t++) {
            fs_trial_record alone = run(all.fast, plain, t, &bytes);
            fs_trial_record one = run(all.fast, cell_of(&all.f, "secded", "one"), t, &bytes);
            assert_int_equal(one.faults_checksum, alone.faults_checksum);
            if (one.check_faults == 0) {
                assert_int_equal(one.corrected, 1);
                assert_int_equal(one.visible + one.detected + one.miscorrected, 0);
                assert_int_equal(one.outcome, FS_OUTCOME_MASKED);
            }
            one = run(all.fast, cell_of(&all.f, "scrub", "one"), t, &bytes);
            assert_int_equal(one.visible + one.detected, 0);
            assert_true(one.corrected >= 1);
            fs_trial_record many = run(all.fast, secded, t, &bytes);
            fs_trial_record other = run(all.fast, (uint32_t)plain_many, t, &bytes);
            assert_int_equal(many.faults_checksum, other.faults_checksum);
            data += many.faults;
            checks += many.check_faults;
            rows += run(all.fast, cell_of(&all.f, "scrub", "many"), t, &bytes).check_faults;
            if (many.detected > 0) assert_int_equal(many.outcome, FS_OUTCOME_DUE);
        }
        for (uint64_t t = 0; t < 3; t++)
            assert_int_equal(
                run(all.fast, cell_of(&all.f, "secded", "named"), t, &bytes).check_faults, 0);
        if (metadata) {
            /* An eighth, and a little more for the rows' last codewords; within 5 sigma. */
            assert_true((double)checks > 0.125 * (double)data - 5 * 0.36 * sqrt((double)data));
            assert_true((double)checks < 0.16 * (double)data + 5 * 0.36 * sqrt((double)data));
            assert_true(rows > 0);
        } else {
            assert_int_equal(checks + rows, 0);
        }
        fs_buf_free(&bytes);
        codecs_close(&all);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bert),
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
