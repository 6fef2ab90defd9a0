/* What a golden run says of what inputs read, against brute force: bit 30 of one value of an
 * embedding is flipped, everything is run, and a row is read exactly if something changes. */
#include "trial_fixture.h"

enum { TRIALS = 900, ROWS_MAX = 96, POSITIONS = 90 };

static const char *const rows_of_all =
    "  - {name: token, site: {parameters: embedding.token}, amount: {count: 1}, bits: [30],"
    " trials: 900}\n"
    "  - {name: position, site: {parameters: embedding.position}, amount: {count: 1},"
    " bits: [30], trials: 900}\n";
static const char *const segments =
    "  - {name: segment, site: {parameters: embedding.segment}, amount: {count: 1}, bits: [30],"
    " trials: 900}\n";

/* Runs one cell by brute force. @return how many rows of its tensor changed something; all rows are
 * hit, and each does the same whenever it is. */
static uint64_t rows_that_matter(wk_executor *e, const fixture *f, uint32_t c, uint64_t trials)
{
    const fs_cell *cell = &f->plan->cells[c];
    const fs_tensor *tensor =
        &cell->space->geometry
             ->tensors[cell->space->geometry->slices[cell->space->slices[0]].tensor];
    uint8_t hit[ROWS_MAX] = {0}, matters[ROWS_MAX] = {0};
    uint64_t count = 0;
    fs_buf bytes = {0};
    assert_in_range(tensor->rows, 1, ROWS_MAX);
    for (uint64_t t = 0; t < trials; t++) {
        const fs_trial_record record = trial_run(e, 0, c, t, &bytes);
        const uint64_t row = record.fault[0].element / tensor->cols;
        const uint8_t changed = record.outcome != FS_OUTCOME_MASKED;
        assert_true(!hit[row] || matters[row] == changed);
        hit[row] = 1;
        matters[row] = changed;
    }
    for (uint32_t r = 0; r < tensor->rows; r++) {
        assert_true(hit[r]);
        count += matters[r];
    }
    fs_buf_free(&bytes);
    return count;
}

static void open_model(fixture *f, fs_model_kind kind, fs_task_kind task)
{
    tiny_spec spec = tiny_spec_default(kind, task);
    spec.layers = 1;
    spec.width = 8;
    spec.heads = 2;
    spec.vocab = 80;
    spec.positions = POSITIONS;
    char sweeps[512];
    snprintf(sweeps, sizeof sweeps, "%s%s", rows_of_all, kind == FS_MODEL_BERT ? segments : "");
    const fixture_options options = {.spec = spec,
                                     .rows = 2,
                                     .windows = "window: 16, stride: 16, examples: 2",
                                     .arms = "  - {name: plain}\n  - {name: ep, protect: [ep]}\n"
                                             "  - {name: secded, protect: [secded]}\n",
                                     .sweeps = sweeps};
    fixture_open(f, &options);
}

static fs_reads reads_of(wk_executor *e, uint32_t variant)
{
    wk_golden_info info;
    assert_ok(wk_executor_golden(e, variant, &info));
    return (fs_reads){info.token_rows_read, info.positions_read};
}

static void test_bert(void **state)
{
    fixture f;
    fs_masked masked;
    open_model(&f, FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    const fs_config *config = &f.plan->models[0].geometry->config;
    wk_executor *e = trial_executor(&f, &(wk_options){.threads = 1, .brute_force = 1});
    const fs_reads reads = reads_of(e, 0);
    const uint64_t width = config->d_model, read[] = {reads.token_rows, reads.positions, 1};
    assert_true(reads.token_rows < config->vocab && reads.positions < config->positions);
    for (uint32_t c = 0; c < f.plan->cell_count; c++) {
        const fs_cell *cell = &f.plan->cells[c];
        const uint64_t all = fs_cell_masked_sites(f.plan, cell, &reads, &masked);
        const uint64_t sites = fs_cell_sites(cell);
        if (cell->arm == 0) {
            const uint64_t rows = rows_that_matter(e, &f, c, TRIALS);
            assert_int_equal(rows * width, sites - all);
            assert_int_equal(rows, read[cell->sweep]);
            const uint64_t reasons[] = {masked.token_rows, masked.positions, masked.segments};
            assert_int_equal(reasons[cell->sweep], all);
        } else if (cell->arm == 1) { /* bit 30 is never read under ep, in any row */
            assert_int_equal(all, sites);
            assert_int_equal(masked.bits, read[cell->sweep] * width);
        } else { /* what is detected is known, wherever it lies */
            assert_int_equal(all, 0);
        }
    }
    wk_executor_destroy(&e);
    fixture_close(&f);
}

/* A tied head multiplies every row: no token row is masked. */
static void test_gpt2(void **state)
{
    fixture f;
    fs_masked masked;
    open_model(&f, FS_MODEL_GPT2, FS_TASK_LM);
    wk_executor *e = trial_executor(&f, &(wk_options){.threads = 1, .brute_force = 1});
    const fs_reads reads = reads_of(e, 0);
    const fs_cell *token = &f.plan->cells[0], *position = NULL;
    assert_int_equal(reads.positions, 16); /* the window */
    assert_int_equal(fs_cell_masked_sites(f.plan, token, &reads, &masked), 0);
    const uint32_t rows = f.plan->models[0].geometry->config.vocab;
    assert_int_equal(rows_that_matter(e, &f, 0, TRIALS), rows);
    for (size_t c = 0; c < f.plan->cell_count && position == NULL; c++)
        if (f.plan->cells[c].sweep == 1) position = &f.plan->cells[c];
    const uint64_t width = f.plan->models[0].geometry->config.d_model;
    assert_int_equal(fs_cell_masked_sites(f.plan, position, &reads, &masked),
                     (POSITIONS - 16) * width);
    wk_executor_destroy(&e);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bert),
        cmocka_unit_test(test_gpt2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
