/* Trials through every protection: decoding what is touched against decoding everything, redundant
 * bits that are hit, the same data faults in every arm. */
#include "testing.h"

#include <math.h>

#include "buf.h"
#include "campaign.h"
#include "file.h"
#include "plan.h"
#include "tiny_model.h"
#include "wk_executor.h"

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

typedef struct fixture {
    char *folder;
    fs_campaign *campaign;
    fs_plan *plan;
    wk_executor *fast, *brute;
} fixture;

static wk_executor *executor(const fixture *f, int brute_force)
{
    wk_executor *made;
    const wk_options options = {.threads = 1,
                                .brute_force = brute_force,
                                .check_always = 1,
                                .golden_bytes_max = 1u << 30,
                                .private_bytes_max = 1u << 30};
    assert_ok(wk_executor_new(&made, f->plan, &options));
    return made;
}

/* A small model with one arm for each list, and one without; `metadata` of the arms. */
static void fixture_open(fixture *f, fs_model_kind kind, const char *metadata, const char *sweeps)
{
    tiny_spec spec = tiny_spec_default(kind, FS_TASK_CLASSIFICATION);
    fs_buf text = {0};
    char data[FS_PATH_BYTES_MAX];
    tiny_model *model;
    f->folder = testing_folder();
    spec.layers = 1;
    spec.width = 10; /* no multiple of eight words */
    spec.heads = 2;
    spec.inner = 13;
    assert_ok(tiny_model_new(&model, &spec));
    assert_ok(tiny_model_write(model, f->folder));
    assert_ok(fs_path_join(data, f->folder, "data.tsv"));
    assert_ok(tiny_model_write_data(model, data, 3));
    tiny_model_destroy(&model);
    assert_ok(fs_buf_printf(&text,
                            "campaign: t\nseed: 3\n"
                            "task: {kind: classification, model: %s, data: %s}\n"
                            "arms:\n  - {name: plain}\n",
                            f->folder, data));
    for (int i = 0; i < LISTS; i++)
        assert_ok(fs_buf_printf(&text, "  - {name: a%d, protect: [%s], metadata: %s}\n", i,
                                lists[i], metadata));
    assert_ok(fs_buf_printf(&text, "sweep:\n%s", sweeps));
    assert_ok(fs_campaign_parse(&f->campaign, fs_buf_text(&text), text.size, "test.yaml"));
    assert_ok(fs_plan_new(&f->plan, f->campaign));
    fs_buf_free(&text);
    f->fast = executor(f, 0);
    f->brute = executor(f, 1);
}

static void fixture_close(fixture *f)
{
    wk_executor_destroy(&f->fast);
    wk_executor_destroy(&f->brute);
    fs_plan_destroy(&f->plan);
    fs_campaign_destroy(&f->campaign);
    testing_remove(f->folder);
}

static fs_trial_record run(wk_executor *e, uint32_t cell, uint64_t trial, fs_buf *bytes)
{
    fs_trial_record record, again;
    fs_buf_clear(bytes);
    assert_ok(wk_executor_run(e, 0, cell, trial, &record));
    assert_ok(fs_trial_encode(&record, bytes));
    assert_ok(fs_trial_decode(&again, bytes->data, bytes->size));
    assert_int_equal(again.check_faults, record.check_faults);
    return record;
}

/* 200 trials of each list: few faults, many, one in two bits of a byte. */
static void against_brute_force(fs_model_kind kind)
{
    fixture f;
    fixture_open(&f, kind, "true",
                 "  - {name: few, site: {parameters: all}, amount: {count: [1, 4]}, trials: 25}\n"
                 "  - {name: some, site: {parameters: all}, amount: {ber: [0.0003, 0.01]},"
                 " kind: [flip, stuck1], trials: 10}\n"
                 "  - {name: part, site: {parameters: [attention, layernorm]},"
                 " amount: {rate: 0.05}, guard: [none, {threshold: 2}], trials: 5}\n");
    fs_buf want = {0}, got = {0};
    uint64_t corrected = 0, detected = 0, miscorrected = 0, checks = 0;
    for (uint32_t c = 0; c < f.plan->cell_count; c++) {
        const fs_cell *cell = &f.plan->cells[c];
        for (uint64_t t = 0; t < cell->trials; t++) {
            fs_trial_record record = run(f.brute, c, t, &want);
            run(f.fast, c, t, &got);
            if (want.size != got.size || memcmp(want.data, got.data, got.size) != 0)
                fail_msg("%s/%llu differs from brute force", cell->id, (unsigned long long)t);
            corrected += record.corrected;
            detected += record.detected;
            miscorrected += record.miscorrected;
            checks += record.check_faults;
        }
    }
    assert_true(corrected > 0 && detected > 0 && miscorrected > 0 && checks > 0);
    fs_buf_free(&want);
    fs_buf_free(&got);
    fixture_close(&f);
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
        fixture f;
        fs_buf bytes = {0};
        uint64_t data = 0, checks = 0, rows = 0;
        fixture_open(&f, FS_MODEL_BERT, metadata ? "true" : "false", sweeps);
        const uint32_t secded = cell_of(&f, "secded", "many"), plain = 0;
        const int64_t plain_many = fs_plan_find(f.plan, "many/plain");
        assert_int_equal(plain, fs_plan_find(f.plan, "one/plain"));
        for (uint64_t t = 0; t < 20; t++) {
            fs_trial_record alone = run(f.fast, plain, t, &bytes);
            fs_trial_record one = run(f.fast, cell_of(&f, "secded", "one"), t, &bytes);
            assert_int_equal(one.faults_checksum, alone.faults_checksum);
            if (one.check_faults == 0) {
                assert_int_equal(one.corrected, 1);
                assert_int_equal(one.visible + one.detected + one.miscorrected, 0);
                assert_int_equal(one.outcome, FS_OUTCOME_MASKED);
            }
            one = run(f.fast, cell_of(&f, "scrub", "one"), t, &bytes);
            assert_int_equal(one.visible + one.detected, 0);
            assert_true(one.corrected >= 1);
            fs_trial_record many = run(f.fast, secded, t, &bytes);
            fs_trial_record other = run(f.fast, (uint32_t)plain_many, t, &bytes);
            assert_int_equal(many.faults_checksum, other.faults_checksum);
            data += many.faults;
            checks += many.check_faults;
            rows += run(f.fast, cell_of(&f, "scrub", "many"), t, &bytes).check_faults;
            if (many.detected > 0) assert_int_equal(many.outcome, FS_OUTCOME_DUE);
        }
        for (uint64_t t = 0; t < 3; t++)
            assert_int_equal(run(f.fast, cell_of(&f, "secded", "named"), t, &bytes).check_faults,
                             0);
        if (metadata) {
            /* An eighth, and a little more for the rows' last codewords; within 5 sigma. */
            assert_true((double)checks > 0.125 * (double)data - 5 * 0.36 * sqrt((double)data));
            assert_true((double)checks < 0.16 * (double)data + 5 * 0.36 * sqrt((double)data));
            assert_true(rows > 0);
        } else {
            assert_int_equal(checks + rows, 0);
        }
        fs_buf_free(&bytes);
        fixture_close(&f);
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
