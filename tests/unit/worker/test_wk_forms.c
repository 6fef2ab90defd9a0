/* Bursts, random values, rows and columns in trials: the fast path against brute force for each,
 * in parameters with and without redundant bits and in activations, and what a record says. */
#include "trial_fixture.h"

#include "redundancy.h"

static void open_sweeps(fixture *f, fs_model_kind kind, const char *sweeps)
{
    tiny_spec spec =
        tiny_spec_default(kind, kind == FS_MODEL_GPT2 ? FS_TASK_LM : FS_TASK_CLASSIFICATION);
    const fixture_options options = {.spec = spec,
                                     .rows = 10,
                                     .windows = "window: 24, stride: 16, examples: 4",
                                     .arms = "  - {name: plain}\n"
                                             "  - {name: secded, protect: [secded]}\n"
                                             "  - {name: cep, protect: [cep, ep]}\n",
                                     .sweeps = sweeps};
    fixture_open(f, &options);
}

#define FORMS                                                                                      \
    " kind: [flip, {burst: 3}, value, stuck1],"                                                    \
    " pattern: [element, {row: 4}, {column: 4}, {row: all}, {column: all}]"

static const char *const every_form =
    "  - {name: few, site: {parameters: all}, amount: {count: 2}, trials: 3," FORMS "}\n"
    "  - {name: many, site: {parameters: all}, amount: {rate: 0.003}, trials: 1," FORMS "}\n"
    "  - {name: norms, site: {parameters: [layernorm, embedding.position]}, amount: {count: 1},"
    " trials: 1," FORMS "}\n"
    "  - {name: bers, site: {parameters: [attention, mlp]}, amount: {ber: 0.0001}, trials: 2,"
    " kind: [{burst: 2}, {burst: 32}, stuck0], pattern: [element, {row: 2}, {column: all}],"
    " guard: [none, nonfinite-zero]}\n"
    "  - {name: once, site: {activations: all}, amount: {count: 1}, trials: 3," FORMS "}\n"
    "  - {name: always, site: {activations: all}, persistence: permanent, trials: 1,"
    " amount: {rate: 0.0005}," FORMS "}\n"
    "  - {name: weights, site: {activations: [attention.scores, attention.probs, logits]},"
    " amount: {count: 1}, trials: 2," FORMS "}\n";

/* What is known of every list of a cell. */
static void check_record(const fs_cell *cell, const fs_trial_record *r)
{
    const fs_form *form = &cell->form;
    assert_true(r->effective <= r->faults && r->kept <= r->faults);
    for (uint32_t i = 0; i < r->kept; i++) {
        const fs_fault_record *f = &r->fault[i];
        if (form->kind.word == FS_FORM_VALUE)
            assert_true(f->kind == FS_FAULT_STUCK0 || f->kind == FS_FAULT_STUCK1);
        else if (form->kind.word == FS_FORM_BURST)
            assert_int_equal(f->kind, FS_FAULT_FLIP);
        else
            assert_int_equal(f->kind, form->kind.word);
    }
    if (cell->amount.kind != FS_AMOUNT_COUNT) return;
    /* A fault of one value has its own bits, and no pattern has less. */
    const uint64_t bits = form->kind.word == FS_FORM_VALUE   ? 32
                          : form->kind.word == FS_FORM_BURST ? form->kind.burst
                                                             : 1;
    const uint64_t most = (uint64_t)cell->amount.value * bits;
    if (form->pattern.axis == FS_FORM_ELEMENT)
        assert_true(cell->amount.value > 1 ? r->faults <= most && r->faults > bits
                                           : r->faults == bits);
    else if (form->pattern.span > 0)
        assert_true(r->faults >= bits && r->faults <= most * form->pattern.span);
    else
        assert_true(r->faults >= bits && r->faults % bits == 0);
}

static void check_against_brute_force(fs_model_kind kind)
{
    fixture f;
    trial_rivals rivals;
    unsigned outcomes[FS_OUTCOME_COUNT] = {0}, trials = 0;
    uint64_t checks = 0, corrected = 0;
    open_sweeps(&f, kind, every_form);
    trial_rivals_open(&rivals, &f, 30000);
    for (uint32_t c = 0; c < f.plan->cell_count; c++) {
        const fs_cell *cell = &f.plan->cells[c];
        /* Activations pass protections by: one arm is enough. */
        if (cell->site->when == FS_SITE_COMPUTED && cell->arm > 0) continue;
        for (uint64_t t = 0; t < cell->trials; t++, trials++) {
            fs_trial_record record = trial_rivals_run(&rivals, f.plan, c, t);
            check_record(cell, &record);
            outcomes[record.outcome]++;
            checks += record.check_faults;
            corrected += record.corrected;
        }
    }
    print_message("%u trials: %u masked, %u benign, %u sdc, %u due\n", trials, outcomes[0],
                  outcomes[1], outcomes[2], outcomes[3]);
    assert_true(trials >= 400 && checks > 0 && corrected > 0);
    for (int o = FS_OUTCOME_MASKED; o <= FS_OUTCOME_DUE; o++) assert_true(outcomes[o] > 0);
    trial_rivals_close(&rivals);
    fixture_close(&f);
}

static void test_bert(void **state)
{
    check_against_brute_force(FS_MODEL_BERT);
}

static void test_gpt2(void **state)
{
    check_against_brute_force(FS_MODEL_GPT2);
}

/* SECDED mends one flip of a word, sees two, and never mends a burst of three unseen. */
static void test_bursts_and_codes(void **state)
{
    fixture f;
    fs_buf bytes = {0};
    open_sweeps(&f, FS_MODEL_BERT,
                "  - {name: burst, site: {parameters: mlp}, amount: {count: 1}, trials: 40,"
                " kind: [flip, {burst: 2}, {burst: 3}]}\n");
    const wk_options options = {.threads = 1, .check_always = 1, .golden_bytes_max = 1u << 30};
    wk_executor *e = trial_executor(&f, &options);
    const char *const kinds[] = {"flip", "burst:2", "burst:3"};
    for (int k = 0; k < 3; k++) {
        char id[64];
        snprintf(id, sizeof id, "burst/secded,kind=%s", kinds[k]);
        const int64_t cell = fs_plan_find(f.plan, id);
        assert_true(cell >= 0);
        for (uint64_t t = 0; t < 40; t++) {
            const fs_trial_record r = trial_run(e, 0, (uint32_t)cell, t, &bytes);
            if (r.check_faults > 0) continue;
            assert_int_equal(r.effective, k + 1);
            /* Hsiao's code: one is corrected, two are detected, three never read as clean. */
            if (k == 0) assert_true(r.corrected == 1 && r.detected == 0 && r.visible == 0);
            if (k == 1) assert_true(r.detected == 1 && r.corrected == 0);
            if (k == 2) assert_true(r.detected + r.miscorrected == 1 && r.visible > 0);
        }
    }
    fs_buf_free(&bytes);
    wk_executor_destroy(&e);
    fixture_close(&f);
}

/* A row or column of an activation is one input's, and its list ends with it. */
static void test_lanes(void **state)
{
    fixture f;
    fs_buf bytes = {0};
    open_sweeps(&f, FS_MODEL_BERT,
                "  - {name: lane, site: {activations: mlp.hidden, layers: 0}, amount: {count: 1},"
                " kind: stuck1, bits: [30], pattern: {column: all}, trials: 20}\n");
    const wk_options options = {.threads = 1, .golden_bytes_max = 1u << 30};
    wk_executor *e = trial_executor(&f, &options);
    for (uint64_t t = 0; t < 20; t++) {
        const fs_trial_record r = trial_run(e, 0, 0, t, &bytes);
        const uint32_t width = f.plan->models[0].geometry->config.d_ff;
        assert_true(r.kept > 0 && r.faults >= r.kept);
        for (uint32_t i = 0; i < r.kept; i++) {
            /* Down one column from the input's first token on. */
            assert_int_equal(r.fault[i].input, r.fault[0].input);
            assert_true(r.fault[i].element == r.fault[0].element + (uint64_t)i * width);
            assert_true(r.fault[i].element / width == i);
        }
        assert_true(r.visible > 0); /* no fault-free value has this bit */
    }
    fs_buf_free(&bytes);
    wk_executor_destroy(&e);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bert),
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_bursts_and_codes),
        cmocka_unit_test(test_lanes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
