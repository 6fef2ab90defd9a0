/* Trials on models stored in every format: decoding what is touched against decoding everything,
 * nothing hit, threads. */
#include "testing.h"

#include <math.h>

#include "buf.h"
#include "campaign.h"
#include "file.h"
#include "plan.h"
#include "tiny_model.h"
#include "wk_executor.h"

static const char *const of_floats[] = {
    "", "ep", "mset, scrub", "cep, ep", "op, secded", "secded-exponent, range", NULL};
static const char *const of_int8[] = {
    "", "op, secded", "secded-zero, range", "scrub", "range-clip", "secded-reload", NULL};

typedef struct fixture {
    char *folder;
    fs_campaign *campaign;
    fs_plan *plan;
} fixture;

static wk_executor *executor(const fixture *f, int brute_force, unsigned threads)
{
    wk_executor *made;
    const wk_options options = {.threads = threads,
                                .brute_force = brute_force,
                                .check_always = 1,
                                .golden_bytes_max = 1u << 30,
                                .private_bytes_max = 1u << 30};
    assert_ok(wk_executor_new(&made, f->plan, &options));
    return made;
}

static void fixture_open_spec(fixture *f, const tiny_spec *spec, const char *arms,
                              const char *sweeps)
{
    const int lm = spec->task == FS_TASK_LM;
    fs_buf text = {0};
    char data[FS_PATH_BYTES_MAX];
    tiny_model *model;
    f->folder = testing_folder();
    assert_ok(tiny_model_new(&model, spec));
    assert_ok(tiny_model_write(model, f->folder));
    assert_ok(fs_path_join(data, f->folder, lm ? "data.txt" : "data.tsv"));
    assert_ok(tiny_model_write_data(model, data, lm ? 24 : 3));
    tiny_model_destroy(&model);
    assert_ok(fs_buf_printf(&text,
                            "campaign: t\nseed: 3\ntask: {kind: %s, model: %s, data: %s%s}\n"
                            "arms:\n%ssweep:\n%s",
                            lm ? "language-model" : "classification", f->folder, data,
                            lm ? ", window: 24, stride: 16, examples: 3" : "", arms, sweeps));
    assert_ok(fs_campaign_parse(&f->campaign, fs_buf_text(&text), text.size, "test.yaml"));
    assert_ok(fs_plan_new(&f->plan, f->campaign));
    fs_buf_free(&text);
}

static void fixture_open(fixture *f, fs_model_kind kind, fs_task_kind task, const char *arms,
                         const char *sweeps)
{
    tiny_spec spec = tiny_spec_default(kind, task);
    spec.width = 12; /* no multiple of eight words */
    spec.heads = 2;
    spec.inner = 21;
    fixture_open_spec(f, &spec, arms, sweeps);
}

static void fixture_close(fixture *f)
{
    fs_plan_destroy(&f->plan);
    fs_campaign_destroy(&f->campaign);
    testing_remove(f->folder);
}

static fs_trial_record run(wk_executor *e, unsigned thread, uint32_t cell, uint64_t trial,
                           fs_buf *bytes)
{
    fs_trial_record record, again;
    fs_buf_clear(bytes);
    assert_ok(wk_executor_run(e, thread, cell, trial, &record));
    assert_ok(fs_trial_encode(&record, bytes));
    assert_ok(fs_trial_decode(&again, bytes->data, bytes->size));
    return record;
}

static float value_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* What the trials of a fixture did in all. */
typedef struct tally {
    unsigned trials, outcomes[FS_OUTCOME_COUNT];
    uint64_t corrected, detected, checks, visible;
} tally;

static void check_nothing_hit(wk_executor *e, const fs_cell *cell, const fs_trial_record *r)
{
    wk_golden_info golden;
    assert_ok(wk_executor_golden(e, cell->variant, &golden));
    assert_int_equal(r->masked, r->inputs);
    assert_int_equal(r->faults + r->check_faults + r->detected, 0);
    assert_true(r->metric == golden.metric && r->loss == golden.loss);
}

static tally against_brute_force(const fixture *f)
{
    wk_executor *brute = executor(f, 1, 1), *fast = executor(f, 0, 2);
    fs_buf want = {0}, got = {0};
    tally sum = {0};
    for (uint32_t c = 0; c < f->plan->cell_count; c++) {
        const fs_cell *cell = &f->plan->cells[c];
        for (uint64_t t = 0; t < cell->trials; t++) {
            fs_trial_record r = run(brute, 0, c, t, &want);
            for (unsigned thread = 0; thread < 2; thread++) {
                run(fast, thread, c, t, &got);
                if (want.size != got.size || memcmp(want.data, got.data, got.size) != 0)
                    fail_msg("%s/%llu differs from brute force", cell->id, (unsigned long long)t);
            }
            if (cell->amount.value == 0) check_nothing_hit(brute, cell, &r);
            for (uint32_t i = 0; i < r.kept; i++) {
                const unsigned bits = fs_format_of(cell->format)->bits;
                assert_true(r.fault[i].bit < bits);
                assert_true(bits == 32 || (r.fault[i].before | r.fault[i].after) >> bits == 0);
            }
            sum.trials++;
            sum.outcomes[r.outcome]++;
            sum.corrected += r.corrected;
            sum.detected += r.detected;
            sum.checks += r.check_faults;
            sum.visible += r.visible;
        }
    }
    print_message("%u trials: %u masked, %u benign, %u sdc, %u due\n", sum.trials, sum.outcomes[0],
                  sum.outcomes[1], sum.outcomes[2], sum.outcomes[3]);
    fs_buf_free(&want);
    fs_buf_free(&got);
    wk_executor_destroy(&brute);
    wk_executor_destroy(&fast);
    return sum;
}

static const char *const parameter_sweeps =
    "  - {name: none, amount: {count: 0}, trials: 1}\n"
    "  - {name: few, amount: {count: [1, 6]}, trials: 6}\n"
    "  - {name: some, amount: {ber: [0.0003, 0.01]}, kind: [flip, stuck1], trials: 3}\n"
    "  - {name: part, site: {parameters: [attention, layernorm]}, amount: {rate: 0.05},"
    " guard: [none, {threshold: 2}], bits: [sign, mantissa, 3], trials: 2}\n";

static void parameters(fs_model_kind kind, fs_task_kind task, const char *dtype)
{
    fixture f;
    fs_buf arms = {0};
    const char *const *protections = strcmp(dtype, "int8") == 0 ? of_int8 : of_floats;
    for (int i = 0; protections[i] != NULL; i++)
        assert_ok(fs_buf_printf(&arms, "  - {name: a%d, dtype: %s, protect: [%s]}\n", i, dtype,
                                protections[i]));
    fixture_open(&f, kind, task, fs_buf_text(&arms), parameter_sweeps);
    const tally sum = against_brute_force(&f);
    assert_true(sum.corrected > 0 && sum.detected > 0 && sum.checks > 0 && sum.visible > 0);
    assert_true(sum.outcomes[FS_OUTCOME_MASKED] > 0 && sum.outcomes[FS_OUTCOME_BENIGN] > 0);
    fs_buf_free(&arms);
    fixture_close(&f);
}

static void test_fp16(void **state)
{
    parameters(FS_MODEL_BERT, FS_TASK_CLASSIFICATION, "fp16");
}

static void test_bf16(void **state)
{
    parameters(FS_MODEL_GPT2, FS_TASK_LM, "bf16");
}

static void test_int8_bert(void **state)
{
    parameters(FS_MODEL_BERT, FS_TASK_CLASSIFICATION, "int8");
}

static void test_int8_gpt2(void **state)
{
    parameters(FS_MODEL_GPT2, FS_TASK_LM, "int8");
}

static void test_int8_gpt2_classifier(void **state)
{
    parameters(FS_MODEL_GPT2, FS_TASK_CLASSIFICATION, "int8");
}

/* Scales are hit as often as words, bit for bit, in every int8 arm the same ones; not where the
 * campaign says no, nor where it names bits of the words. */
static void test_scales(void **state)
{
    static const char *const arms = "  - {name: a, dtype: int8}\n"
                                    "  - {name: b, dtype: int8, metadata: false}\n"
                                    "  - {name: c, dtype: int8, protect: [range]}\n"
                                    "  - {name: d, dtype: bf16}\n";
    static const char *const sweeps =
        "  - {name: s, amount: {ber: 0.003}, trials: 40}\n"
        "  - {name: n, amount: {ber: 0.01}, bits: [sign], trials: 3}\n";
    fixture f;
    fs_buf bytes = {0};
    uint64_t faults = 0, scales = 0, channels = 0;
    fixture_open(&f, FS_MODEL_GPT2, FS_TASK_CLASSIFICATION, arms, sweeps);
    const fs_geometry *geometry = f.plan->models[0].geometry;
    for (uint32_t t = 0; t < geometry->tensor_count; t++) {
        const fs_tensor *tensor = &geometry->tensors[t];
        const int conv = strncmp(tensor->name, "h.", 2) == 0;
        channels += tensor->rank == 1 ? 1 : conv ? tensor->cols : tensor->rows;
    }
    const fs_protect int8 = {.format = FS_FORMAT_INT8};
    assert_int_equal(fs_check_sites(f.plan->cells[0].space, &int8), 32 * channels);
    wk_executor *e = executor(&f, 0, 1);
    for (uint64_t t = 0; t < 40; t++) {
        fs_trial_record a = run(e, 0, 0, t, &bytes), b = run(e, 0, 1, t, &bytes);
        fs_trial_record c = run(e, 0, 2, t, &bytes), d = run(e, 0, 3, t, &bytes);
        assert_int_equal(b.check_faults + d.check_faults, 0);
        assert_int_equal(a.check_faults, c.check_faults);
        assert_int_equal(a.faults_checksum, b.faults_checksum);
        assert_int_equal(a.faults_checksum, c.faults_checksum);
        faults += a.faults;
        scales += a.check_faults;
        if (t < 3) assert_int_equal(run(e, 0, 4, t, &bytes).check_faults, 0);
    }
    /* As many for each stored bit, within 5 sigma. */
    const double ratio = 32.0 * (double)channels / (8.0 * (double)geometry->values);
    const double mean = ratio * (double)faults, sigma = sqrt(mean * (1 + ratio));
    assert_true(scales > 100 && fabs((double)scales - mean) < 5 * sigma);
    wk_executor_destroy(&e);
    fs_buf_free(&bytes);
    fixture_close(&f);
}

/* A word that is right again stays right where its scale is hit: loading it again corrects words
 * and no scale, so nothing is ever miscorrected. A code that can err still does. */
static void test_scales_are_not_miscorrected(void **state)
{
    fixture f;
    fs_buf bytes = {0};
    uint64_t corrected = 0, visible = 0, checks = 0, miscorrected = 0;
    fixture_open(&f, FS_MODEL_BERT, FS_TASK_CLASSIFICATION,
                 "  - {name: a, dtype: int8, protect: [scrub]}\n"
                 "  - {name: b, dtype: int8, protect: [secded]}\n",
                 "  - {name: s, amount: {ber: 0.01}, trials: 10}\n");
    wk_executor *e = executor(&f, 0, 1);
    for (uint64_t t = 0; t < 10; t++) {
        const fs_trial_record r = run(e, 0, 0, t, &bytes);
        assert_int_equal(r.miscorrected, 0);
        corrected += r.corrected;
        visible += r.visible;
        checks += r.check_faults;
        miscorrected += run(e, 0, 1, t, &bytes).miscorrected;
    }
    assert_true(corrected > 0 && visible > 0 && checks > 0 && miscorrected > 0);
    wk_executor_destroy(&e);
    fs_buf_free(&bytes);
    fixture_close(&f);
}

static const char *const activation_sweeps =
    "  - {name: none, site: {activations: all}, amount: {count: 0}, trials: 1}\n"
    "  - {name: each, site: {activations: all, by: [layer, stage]}, amount: {count: 3},"
    " trials: 2}\n"
    "  - {name: top, site: {activations: all, by: stage}, amount: {count: 1}, bits: [14, exponent],"
    " trials: 2}\n"
    "  - {name: bers, site: {activations: all}, persistence: permanent, amount: {ber: 0.0005},"
    " guard: [none, {threshold: 3}], trials: 3}\n"
    "  - {name: late, site: {activations: all, layers: [1]}, amount: {rate: 0.002},"
    " persistence: permanent, trials: 3}\n"
    "  - {name: weights, amount: {ber: 0.001}, trials: 3}\n";

static void activations(fs_model_kind kind, fs_task_kind task)
{
    fixture f;
    fixture_open(&f, kind, task,
                 "  - {name: h, dtype: fp16}\n  - {name: b, dtype: bf16, protect: [ep]}\n"
                 "  - {name: i, dtype: int8}\n",
                 activation_sweeps);
    const tally sum = against_brute_force(&f);
    for (int i = 0; i < FS_OUTCOME_TIMEOUT; i++) assert_true(sum.outcomes[i] > 0);
    /* int8 is of parameters. */
    assert_int_equal(f.plan->cells[fs_plan_find(f.plan, "none/i")].format, FS_FORMAT_FP32);
    assert_int_equal(f.plan->cells[fs_plan_find(f.plan, "none/b")].format, FS_FORMAT_BF16);
    fixture_close(&f);
}

static void test_activations_bert(void **state)
{
    activations(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
}

static void test_activations_gpt2(void **state)
{
    activations(FS_MODEL_GPT2, FS_TASK_LM);
}

/* Formats that read equal weights have golden runs of their own: their activations differ. */
static void test_golden_runs(void **state)
{
    tiny_spec spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    fixture f;
    wk_golden_info golden[2];
    spec.dtype = TINY_BF16;
    fixture_open_spec(&f, &spec, "  - {name: a}\n  - {name: b, dtype: bf16}\n",
                      "  - {name: s, amount: {count: 1}, trials: 1}\n");
    wk_executor *e = executor(&f, 0, 1);
    for (uint32_t i = 0; i < 2; i++) {
        assert_ok(wk_executor_golden(e, i, &golden[i]));
        assert_int_equal(golden[i].altered, 0);
    }
    assert_true(golden[0].checksum != golden[1].checksum);
    wk_executor_destroy(&e);
    fixture_close(&f);
}

static const char *const bounded_arms =
    "  - {name: z, protect: [range-activations]}\n"
    "  - {name: c, protect: [range-activations-clip]}\n"
    "  - {name: b, dtype: bf16, protect: [ep, range-activations-clip]}\n"
    "  - {name: h, dtype: fp16, protect: [range-activations, secded]}\n"
    "  - {name: i, dtype: int8, protect: [range, range-activations]}\n"
    "  - {name: none}\n";

/* Activations kept within the bounds of the golden run, whether words or activations are hit. */
static void bounded(fs_model_kind kind, fs_task_kind task)
{
    fixture f;
    fixture_open(&f, kind, task, bounded_arms, activation_sweeps);
    const tally sum = against_brute_force(&f);
    assert_true(sum.detected > 0);
    fixture_close(&f);
}

static void test_bounded_bert(void **state)
{
    bounded(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
}

static void test_bounded_gpt2(void **state)
{
    bounded(FS_MODEL_GPT2, FS_TASK_LM);
}

static void test_bounded_gpt2_classifier(void **state)
{
    bounded(FS_MODEL_GPT2, FS_TASK_CLASSIFICATION);
}

/* A top exponent bit makes a small activation huge: it is seen, whatever it is, and harmless as a 0
 * in one place is; without bounds it is not. Bounds are a golden run's and equal on every thread.
 */
static void test_bounds(void **state)
{
    fixture f;
    fs_buf bytes = {0};
    wk_golden_info golden[6], again;
    unsigned harmed = 0, harmless = 0;
    fixture_open(&f, FS_MODEL_BERT, FS_TASK_CLASSIFICATION, bounded_arms,
                 "  - {name: s, site: {activations: [block.out, mlp.hidden]}, amount: {count: 1},"
                 " bits: [14], trials: 30}\n");
    wk_executor *one = executor(&f, 0, 1), *three = executor(&f, 0, 3);
    for (uint32_t i = 0; i < 6; i++) {
        assert_ok(wk_executor_golden(one, i, &golden[i]));
        assert_ok(wk_executor_golden(three, i, &again));
        assert_true(golden[i].bounds_checksum == again.bounds_checksum);
        assert_true((golden[i].bounds_checksum == 0) == (i == 5));
    }
    assert_true(golden[0].checksum == golden[5].checksum);
    assert_true(golden[0].bounds_checksum == golden[1].bounds_checksum);
    assert_true(golden[0].bounds_checksum != golden[4].bounds_checksum);
    for (uint64_t t = 0; t < 30; t++) {
        fs_trial_record h = run(one, 0, 3, t, &bytes);
        if (!(fabsf(value_of(h.fault[0].value_after)) > 100)) continue; /* it was tiny */
        assert_true(h.detected > 0);
        harmless += h.due == 0 && h.deviation_max < 1;
        harmed += 1;
    }
    assert_true(harmed > 10 && harmless >= harmed - 2);
    wk_executor_destroy(&one);
    wk_executor_destroy(&three);
    fs_buf_free(&bytes);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fp16),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_int8_bert),
        cmocka_unit_test(test_int8_gpt2),
        cmocka_unit_test(test_int8_gpt2_classifier),
        cmocka_unit_test(test_scales),
        cmocka_unit_test(test_scales_are_not_miscorrected),
        cmocka_unit_test(test_activations_bert),
        cmocka_unit_test(test_activations_gpt2),
        cmocka_unit_test(test_golden_runs),
        cmocka_unit_test(test_bounded_bert),
        cmocka_unit_test(test_bounded_gpt2),
        cmocka_unit_test(test_bounded_gpt2_classifier),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
