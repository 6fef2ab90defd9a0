/* Sweeps over activations, and cells that are masked whatever happens. */
#include "sweep_fixture.h"

/* @return what reading and planning the sweeps says. */
static fs_status open_sweeps(fixture *f, fs_model_kind kind, const char *sweeps)
{
    const fs_task_kind task = kind == FS_MODEL_GPT2 ? FS_TASK_LM : FS_TASK_CLASSIFICATION;
    const fixture_options options = {.spec = tiny_spec_default(kind, task),
                                     .rows = 8,
                                     .windows = "window: 24",
                                     .arms = "  - {name: plain}\n  - {name: ep, protect: [ep]}\n",
                                     .sweeps = sweeps};
    return fixture_try(f, &options);
}

static void refuse(fs_model_kind kind, const char *sweep, const char *reason)
{
    fixture f;
    assert_int_equal(open_sweeps(&f, kind, sweep), FS_ECONFIG);
    if (strstr(fs_status_detail(), reason) == NULL)
        fail_msg("'%s' does not say '%s'", fs_status_detail(), reason);
    fixture_close(&f);
}

static void test_cells(void **state)
{
    fixture f;
    assert_ok(
        open_sweeps(&f, FS_MODEL_BERT,
                    "  - {name: a, site: {activations: boundaries, by: [layer, stage]},"
                    " amount: {count: 1}, trials: 5}\n"
                    "  - {name: b, site: {activations: [attention.q, mlp.hidden], layers: [1],"
                    " by: stage}, persistence: permanent, amount: {ber: 0.001}, trials: 5}\n"));
    static const char *const ids[] = {"a/plain,layer=none,stage=embedding.out",
                                      "a/plain,layer=none,stage=logits",
                                      "a/plain,layer=0,stage=block.out",
                                      "a/plain,layer=1,stage=block.out",
                                      "b/plain,stage=attention.q",
                                      "b/plain,stage=mlp.hidden"};
    for (size_t i = 0; i < 6; i++) {
        int64_t at = fs_plan_find(f.plan, ids[i]);
        if (at < 0) fail_msg("there is no cell %s", ids[i]);
        const fs_cell *cell = &f.plan->cells[at];
        assert_int_equal(cell->transient, i < 4);
        assert_true(cell->site == &fs__site_activations && cell->space->place_count == 1);
        /* Arms meet the same faults. */
        for (size_t c = 0; c < f.plan->cell_count; c++)
            if (f.plan->cells[c].pair == cell->pair)
                assert_true(f.plan->cells[c].draw_key == cell->draw_key);
    }
    assert_int_equal(f.plan->cell_count, 12);
    assert_non_null(strstr(f.plan->identity, "sweep.a.persistence: transient\n"));
    assert_non_null(strstr(f.plan->identity, "sweep.b.persistence: permanent\n"));
    fixture_close(&f);
}

/* The effective campaign means the same. */
static void test_round_trip(void **state)
{
    fixture f;
    fs_campaign *again;
    fs_plan *plan;
    fs_buf text = {0};
    assert_ok(
        open_sweeps(&f, FS_MODEL_GPT2,
                    "  - {name: a, site: {activations: [attention.scores, logits],"
                    " by: [layer, stage]}, amount: {count: 1}, trials: 5}\n"
                    "  - {name: b, site: {activations: all, by: layer, layers: [0]},"
                    " persistence: permanent, amount: {rate: 0.001}, trials: 5}\n"
                    "  - {name: c, site: {parameters: mlp}, amount: {count: 1}, trials: 5}\n"));
    assert_ok(fs_campaign_write(f.campaign, &text));
    assert_ok(fs_campaign_parse(&again, fs_buf_text(&text), text.size, "again.yaml"));
    assert_ok(fs_plan_new(&plan, again));
    assert_string_equal(plan->identity, f.plan->identity);
    assert_null(strstr(plan->identity, "sweep.c.persistence"));
    fs_plan_destroy(&plan);
    fs_campaign_destroy(&again);
    fs_buf_free(&text);
    fixture_close(&f);
}

static void test_refusals(void **state)
{
#define TAIL ", amount: {count: 1}, trials: 5}\n"
    refuse(FS_MODEL_BERT, "  - {name: a, site: {activations: all, parameters: all}" TAIL,
           "exclude each other");
    refuse(FS_MODEL_BERT, "  - {name: a, site: {activations: all, by: component}" TAIL,
           "not one of them");
    refuse(FS_MODEL_BERT, "  - {name: a, site: {parameters: all, by: stage}" TAIL,
           "not one of them");
    refuse(FS_MODEL_BERT, "  - {name: a, site: {parameters: all}, persistence: transient" TAIL,
           "not of parameters");
    refuse(FS_MODEL_BERT, "  - {name: a, site: {activations: attention.score}" TAIL,
           "attention.scores");
    refuse(FS_MODEL_BERT, "  - {name: a, site: {activations: attention.scores, layers: [2]}" TAIL,
           "layer 2 is selected, but the model has 2");
    refuse(FS_MODEL_BERT, "  - {name: a, site: {activations: logits, layers: [0]}" TAIL,
           "belong to no layer");
    refuse(FS_MODEL_GPT2, "  - {name: a, site: {parameters: embedding.segment}" TAIL,
           "GPT-2 has no embedding.segment");
    refuse(FS_MODEL_BERT,
           "  - {name: a, site: {activations: logits}, bits: [sign], amount: {count: 3},"
           " trials: 5}\n",
           "there are 2 sites");
#undef TAIL
}

/* Bit 30 under EP, segments but the first, positions beyond a window: nothing of them is read. */
static void test_masked_sites(void **state)
{
    fixture f;
    assert_ok(open_sweeps(&f, FS_MODEL_BERT,
                          "  - {name: a, site: {parameters: mlp}, amount: {count: 1},"
                          " bits: [30, exponent], trials: 5}\n"
                          "  - {name: b, site: {parameters: embedding.segment},"
                          " amount: {count: 1}, bits: [3], trials: 5}\n"
                          "  - {name: c, site: {activations: all}, amount: {count: 1},"
                          " bits: [30], trials: 5}\n"));
    for (size_t i = 0; i < f.plan->cell_count; i++) {
        const fs_cell *cell = &f.plan->cells[i];
        const uint64_t values = cell->space->values;
        uint64_t want = 0;
        if (cell->sweep == 0 && cell->arm == 1) want = values;
        if (cell->sweep == 1) want = values / 2; /* two segments, one read */
        assert_true(cell->masked_sites == want);
        assert_int_equal(fs_cell_masked(cell),
                         cell->sweep == 0 && cell->arm == 1 && cell->space->bit_count == 1);
    }
    fixture_close(&f);
    assert_ok(open_sweeps(&f, FS_MODEL_GPT2,
                          "  - {name: a, site: {parameters: embedding.position},"
                          " amount: {count: 1}, trials: 5}\n"));
    const fs_config *config = &f.plan->models[0].geometry->config;
    uint64_t rows = config->positions - 24, all = rows * config->d_model * 32;
    uint64_t read = 24u * (uint64_t)config->d_model;
    assert_true(f.plan->cells[0].masked_sites == all);
    assert_true(f.plan->cells[1].masked_sites == all + read); /* and bit 30 under EP */
    fixture_close(&f);
}

/* Reasons are disjoint, and what a worker knows adds to what the plan does. */
static void test_masked_sites_by_reason(void **state)
{
    fixture f;
    fs_masked m;
    assert_ok(open_sweeps(&f, FS_MODEL_BERT,
                          "  - {name: a, site: {parameters: embedding}, amount: {count: 1},"
                          " trials: 5}\n"
                          "  - {name: b, site: {parameters: embedding.token}, amount: {count: 1},"
                          " pattern: [{column: 2}, {column: all}, {row: all}], trials: 5}\n"));
    const fs_config *config = &f.plan->models[0].geometry->config;
    const uint64_t width = config->d_model;
    const fs_reads reads = {config->vocab - 7, config->positions - 3};
    const fs_reads all_read = {config->vocab, config->positions};
    for (size_t i = 0; i < f.plan->cell_count; i++) {
        const fs_cell *cell = &f.plan->cells[i];
        const int ep = cell->arm == 1, plain = cell->sweep == 0;
        const int row = plain || cell->form.pattern.axis == FS_FORM_ROW;
        const uint64_t segments = plain ? width * 32 : 0;
        uint64_t sum = fs_cell_masked_sites(f.plan, cell, NULL, &m);
        assert_true(sum == cell->masked_sites);
        assert_true(m.segments == segments && m.positions == 0 && m.token_rows == 0);
        assert_true(m.bits == (ep ? cell->space->values - segments / 32 : 0));
        assert_true(fs_cell_masked_sites(f.plan, cell, &all_read, &m) == sum);
        sum = fs_cell_masked_sites(f.plan, cell, &reads, &m);
        assert_true(m.segments == segments);
        assert_true(m.positions == (plain ? 3 * width * 32 : 0));
        assert_true(m.token_rows == (row ? 7 * width * 32 : 0));
        const uint64_t rows = m.segments + m.positions + m.token_rows;
        assert_true(m.bits == (ep ? cell->space->values - rows / 32 : 0));
        assert_true(sum == rows + m.bits && sum <= fs_cell_sites(cell));
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_masked_sites),
        cmocka_unit_test(test_masked_sites_by_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
