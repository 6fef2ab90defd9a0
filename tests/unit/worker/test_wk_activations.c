/* Faults in activations: the fast path against brute force, and what a record says of them. */
#include "trial_fixture.h"

#include "wk_activations.h"

static int is_long; /* 8 trials of a cell instead of one */

static void open_sweeps(fixture *f, const tiny_spec *spec, const char *sweeps)
{
    const fixture_options options = {.spec = *spec,
                                     .rows = 24,
                                     .windows = "window: 24, stride: 16, examples: 6",
                                     .arms = "  - {name: plain}\n",
                                     .sweeps = sweeps};
    fixture_open(f, &options);
}

static const char *const every_stage =
    "  - {name: each, site: {activations: all, by: [layer, stage]}, amount: {count: [1, 5]},"
    " trials: 8}\n"
    "  - {name: top, site: {activations: all, by: stage}, amount: {count: 1}, bits: [30],"
    " trials: 8}\n"
    "  - {name: bers, site: {activations: all, by: stage}, persistence: permanent,"
    " amount: {ber: 0.0005}, kind: [flip, stuck0, stuck1], trials: 8}\n"
    "  - {name: rates, site: {activations: all}, amount: {rate: [0.0005, 0.05]},"
    " guard: [none, nonfinite-zero, {threshold: 3}], trials: 8}\n"
    "  - {name: whole, site: {activations: [boundaries, attention.scores]}, amount: {count: 2},"
    " persistence: permanent, trials: 8}\n"
    "  - {name: late, site: {activations: all, layers: [1]}, amount: {count: 3},"
    " persistence: permanent, trials: 8}\n"
    "  - {name: zero, site: {activations: all}, amount: {count: 0}, trials: 8}\n"
    "  - {name: nil, site: {activations: all}, amount: {ber: 0}, persistence: permanent,"
    " trials: 8}\n";

/* Each fault of a record took place: its words differ by its bit, or it was stuck where it was. */
static void check_faults(const fs_cell *cell, const fs_trial_record *r)
{
    assert_int_equal(r->activations, 1);
    assert_true(r->effective <= r->faults && r->visible <= r->effective);
    for (uint32_t i = 0; i < r->kept; i++) {
        const fs_fault_record *f = &r->fault[i];
        assert_true(cell->set >> fs_place_stage(f->place) & 1);
        assert_true(!cell->transient || f->input == r->fault[0].input);
        if (cell->amount.kind == FS_AMOUNT_COUNT && cell->amount.value == 1)
            assert_int_equal(f->before ^ f->after, 1u << f->bit);
        if (cell->guard.kind == FS_GUARD_NONE) assert_int_equal(f->after, f->value_after);
    }
    if (cell->transient) assert_true(r->masked + 1 >= r->inputs);
}

static void check_against_brute_force(const tiny_spec *spec)
{
    fixture f;
    trial_rivals rivals;
    open_sweeps(&f, spec, every_stage);
    trial_rivals_open(&rivals, &f, 30000);
    unsigned outcomes[FS_OUTCOME_COUNT] = {0}, trials = 0;
    for (uint32_t c = 0; c < f.plan->cell_count; c++) {
        const fs_cell *cell = &f.plan->cells[c];
        for (uint64_t t = 0; t < (is_long ? cell->trials : 1); t++, trials++) {
            fs_trial_record record = trial_rivals_run(&rivals, f.plan, c, t);
            check_faults(cell, &record);
            outcomes[record.outcome]++;
            if (cell->amount.value == 0) trial_assert_golden(rivals.brute, cell, &record);
        }
    }
    print_message("%u trials: %u masked, %u benign, %u sdc, %u due\n", trials, outcomes[0],
                  outcomes[1], outcomes[2], outcomes[3]);
    assert_true(trials >= (is_long ? 500 : 60));
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

static void test_gpt2(void **state)
{
    tiny_spec spec = tiny_spec_default(FS_MODEL_GPT2, FS_TASK_LM);
    spec.layers = 3;
    check_against_brute_force(&spec);
}

static void test_gpt2_classifier(void **state)
{
    tiny_spec spec = tiny_spec_default(FS_MODEL_GPT2, FS_TASK_CLASSIFICATION);
    check_against_brute_force(&spec);
}

/* Threads and the order of trials cannot show. */
static void test_threads_and_order(void **state)
{
    tiny_spec spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    fixture f;
    open_sweeps(&f, &spec,
                "  - {name: a, site: {activations: all}, amount: {count: 2}, trials: 12}\n"
                "  - {name: b, site: {activations: all}, amount: {ber: 0.0001},"
                " persistence: permanent, trials: 12}\n");
    const wk_options options = {.threads = 3, .golden_bytes_max = 1u << 30};
    wk_executor *e = trial_executor(&f, &options);
    fs_buf first[2][12] = {{{0}}}, again = {0};
    for (uint32_t c = 0; c < 2; c++)
        for (uint64_t t = 0; t < 12; t++) trial_run(e, 0, c, t, &first[c][t]);
    for (uint64_t t = 12; t-- > 0;) {
        for (uint32_t c = 0; c < 2; c++) {
            trial_run(e, 1 + (unsigned)(t % 2), c, t, &again);
            assert_int_equal(again.size, first[c][t].size);
            assert_memory_equal(again.data, first[c][t].data, again.size);
            fs_buf_free(&first[c][t]);
        }
    }
    fs_buf_free(&again);
    wk_executor_destroy(&e);
    fixture_close(&f);
}

/* Inputs drawn in one batch, or one by one, have the same faults. */
static void test_batches(void **state)
{
    enum { INPUTS = 9 };
    uint32_t off[INPUTS + 1] = {0};
    for (uint32_t i = 0; i < INPUTS; i++) off[i + 1] = off[i] + 2 + i % 4;
    const dataset data = {.kind = FS_TASK_CLASSIFICATION, .off = off, .count = INPUTS};
    tiny_spec spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    fixture f;
    open_sweeps(&f, &spec,
                "  - {name: a, site: {activations: all}, amount: {rate: 0.01},"
                " persistence: permanent, trials: 5}\n");
    wk_activations hits;
    assert_ok(wk_activations_init(&hits, &data, INPUTS));
    for (uint64_t t = 0; t < 5; t++) {
        fs_trial_record whole = {0}, parts = {0};
        fs_fault *all;
        wk_activations_begin(&hits, &f.plan->cells[0], t, &whole);
        assert_ok(wk_activations_draw(&hits, 0, INPUTS));
        assert_true(whole.faults > 20 && whole.faults == hits.list.count);
        all = calloc(hits.list.count, sizeof *all);
        assert_non_null(all);
        memcpy(all, hits.list.items, hits.list.count * sizeof *all);
        wk_activations_begin(&hits, &f.plan->cells[0], t, &parts);
        for (uint32_t first = 0, n; first < INPUTS; first += n) {
            n = first == 0 ? 1 : first == 1 ? 3 : INPUTS - first;
            assert_ok(wk_activations_draw(&hits, first, n));
            assert_memory_equal(all + hits.earlier, hits.list.items, hits.list.count * sizeof *all);
        }
        assert_memory_equal(&whole, &parts, sizeof whole);
        free(all);
    }
    wk_activations_free(&hits);
    fixture_close(&f);
}

int main(int argc, char **argv)
{
    is_long = argc > 1 && strcmp(argv[1], "--long") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bert),
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_gpt2_classifier),
        cmocka_unit_test(test_threads_and_order),
        cmocka_unit_test(test_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
