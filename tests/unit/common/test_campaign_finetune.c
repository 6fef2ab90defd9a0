/* The section `finetune`, sweeps of that phase, and the cells that they make. */
#include "campaign_cases.h"

static const char base[] = "campaign: f\n"                                           /* 1 */
                           "seed: 5\n"                                               /* 2 */
                           "task: {kind: classification, model: bert, data: rows}\n" /* 3 */
                           "finetune:\n"                                             /* 4 */
                           "  data: rows\n"                                          /* 5 */
                           "  steps: 20\n"                                           /* 6 */
                           "  batch: 4\n"                                            /* 7 */
                           "sweep:\n"                                                /* 8 */
                           "  - name: g\n"                                           /* 9 */
                           "    phase: finetune\n"                                   /* 10 */
                           "    site: {gradients: mlp}\n"                            /* 11 */
                           "    amount: {count: 2}\n"                                /* 12 */
                           "    trials: 3\n";                                        /* 13 */

static const mistake cases[] = {
    {4, "other:", 4, "other", "unknown key"},
    {5, "", 6, "finetune", "'data' is missing"},
    {5, "  data: nowhere", 5, "finetune.data", "no data file"},
    {5, "  data: ./bert", 5, "finetune.data", "regular file"},
    {6, "", 5, "finetune", "'steps' is missing"},
    {6, "  steps: 0", 6, "finetune.steps", "from 1"},
    {6, "  steps: 1048577", 6, "finetune.steps", "1048576"},
    {6, "  steps: 10\n  warmup: 11", 5, "finetune", "warmup 11 is more than all 10 steps"},
    {7, "  batch: 0", 7, "finetune.batch", "from 1"},
    {7, "  batch: 65537", 7, "finetune.batch", "65536"},
    {7, "  epochs: 3", 7, "finetune.epochs", "unknown key"},
    {7, "  rate: 1", 7, "finetune.rate", "unknown key"},
    {7, "  learning_rate: 0", 7, "finetune.learning_rate", "above 0"},
    {7, "  learning_rate: -1", 7, "finetune.learning_rate", "from 0"},
    {7, "  window: 8", 5, "finetune", "language-model only"},
    {7, "  schedule: line", 7, "finetune.schedule", "did you mean 'linear'"},
    {7, "  dropout: 1", 7, "finetune.dropout", "0.999"},
    {7, "  exponent_protection: yes", 7, "finetune.exponent_protection", "false, true"},
    {7, "  keep: some", 7, "finetune.keep", "none, critical, all"},
    {7, "  checkpoint_steps: 0", 7, "finetune.checkpoint_steps", "from 1"},
    {7, "  data_hash: abc", 7, "finetune.data_hash", ""},
    {10, "    phase: inference", 9, "sweep[0]", "exist while a model is tuned"},
    {10, "    phase: tune", 10, "sweep[0].phase", "inference, finetune"},
    {11, "    site: {activations: all}", 9, "sweep[0]", "phase finetune has no activations"},
    {11, "    site: {optimizer: adam}", 11, "sweep[0].site.optimizer", "adam.m"},
    {11, "    site: {optimizer: adam.m, by: component}", 11, "sweep[0].site", "not one of them"},
    {11, "    site: {gradients: all, by: stage}", 11, "sweep[0].site", "not one of them"},
    {11, "    site: {gradients: all, parameters: all}", 11, "sweep[0].site", "exclude each other"},
};

static void errors_name_file_line_and_key(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) refuse(base, &cases[i]);
}

/* A section without such sweeps and such sweeps without a section are both mistakes. */
static void section_and_sweeps_need_each_other(void **state)
{
    fs_campaign *c = NULL;
    char *text = with_line(base, 10, ""),
         *plain = with_line(text, 11, "    site: {parameters: all}");
    assert_status(fixture_parse(&c, dir, plain), FS_ECONFIG);
    assert_detail("c.yaml:5: finetune: no sweep is of phase finetune");
    free(text);
    free(plain);
    assert_status(fixture_parse(&c, dir,
                                "campaign: f\n"
                                "task: {kind: classification, model: bert, data: rows}\n"
                                "sweep: [{name: g, phase: finetune, site: {optimizer: adam.v},"
                                " amount: {count: 1}, trials: 1}]\n"),
                  FS_ECONFIG);
    assert_detail("sweep g is of phase finetune: the section 'finetune' is missing");
}

static void defaults_are_those_of_the_command(void **state)
{
    fs_campaign *c = NULL;
    char *text = with_line(base, 7, "");
    fs_hash hash;
    assert_ok(fixture_parse(&c, dir, text));
    const fs_finetune *f = &c->finetune;
    assert_int_equal(f->batch, 16);
    assert_true(f->rate == 5e-5 && f->warmup == 0.1 && f->decay == 0.01 && f->clip == 1);
    assert_true(f->dropout == 0.1 && f->attention_dropout == 0.1);
    assert_int_equal(f->schedule, FS_TUNE_LINEAR);
    assert_int_equal(f->seed, 1);
    assert_int_equal(f->exponent_protection, 0);
    assert_int_equal(f->keep, FS_KEEP_NONE);
    assert_int_equal(f->checkpoint_steps, 100);
    assert_ok(fs_hash_file(&hash, f->data));
    assert_true(fs_hash_equal(&hash, &f->data_hash));
    assert_int_equal(c->sweeps[0].finetunes, 1);
    assert_int_equal(c->sweeps[0].transient, 0);
    free(text);
    fs_campaign_destroy(&c);
}

static const char everything[] =
    "campaign: f\n"
    "task: {kind: language-model, model: gpt2, data: text}\n"
    "finetune: {data: text, steps: 7, batch: 3, window: 8, learning_rate: 1.0e-3, warmup: 2,\n"
    "  schedule: cosine, decay: 0, clip: 0.5, dropout: 0, attention_dropout: 0.25, seed: 9,\n"
    "  exponent_protection: true, keep: critical, checkpoint_steps: none}\n"
    "sweep:\n"
    "  - {name: g, phase: finetune, site: {gradients: [mlp, layernorm], by: [layer, group]},\n"
    "     amount: {rate: 0.001}, trials: 2}\n"
    "  - {name: o, phase: finetune, site: {optimizer: [adam.m, adam.v], layers: [0, 2]},\n"
    "     persistence: transient, amount: {ber: 0.001}, trials: 2}\n"
    "  - {name: p, phase: finetune, site: {parameters: all}, amount: {count: 1}, trials: 2}\n"
    "  - {name: i, amount: {count: 1}, trials: 2}\n";

/* The effective text says everything, and a stored one needs no file. */
static void the_effective_text_reads_back(void **state)
{
    fs_campaign *c = NULL, *again = NULL;
    fs_buf first = {0}, second = {0};
    assert_ok(fixture_parse(&c, dir, everything));
    assert_ok(fs_campaign_write(c, &first));
    assert_ok(fs_campaign_parse_stored(&again, fs_buf_text(&first), first.size, "stored"));
    assert_memory_equal(&again->finetune, &c->finetune, sizeof c->finetune);
    assert_ok(fs_campaign_write(again, &second));
    assert_string_equal(fs_buf_text(&first), fs_buf_text(&second));
    assert_non_null(
        strstr(fs_buf_text(&first), "site: {optimizer: [adam.m, adam.v], layers: [0, 2]"));
    assert_non_null(strstr(fs_buf_text(&first), "checkpoint_steps: none"));
    fs_campaign_destroy(&again);
    fs_campaign_destroy(&c);
    fs_buf_free(&first);
    fs_buf_free(&second);
}

/* A stored hash and a file that was changed since. */
static void changed_data_are_refused(void **state)
{
    fs_campaign *c = NULL;
    fs_buf text = {0};
    assert_ok(fixture_parse(&c, dir, base));
    assert_ok(fs_campaign_write(c, &text));
    fs_campaign_destroy(&c);
    fixture_write(dir, "rows.tsv", "sentence\tlabel\nbad\t0\n");
    assert_status(fixture_parse(&c, dir, fs_buf_text(&text)), FS_EREFUSED);
    assert_detail("rows.tsv was changed");
    fixture_write(dir, "rows.tsv", "sentence\tlabel\ngood\t1\n");
    assert_ok(fixture_parse(&c, dir, fs_buf_text(&text)));
    fs_campaign_destroy(&c);
    fs_buf_free(&text);
}

static void cells_know_their_steps_and_arrays(void **state)
{
    planned all = plan_of(everything);
    const fs_cell *g = cell_of(&all, "g/unprotected,layer=1,group=mlp");
    const fs_cell *o = cell_of(&all, "o/unprotected"), *p = cell_of(&all, "p/unprotected");
    const fs_cell *i = cell_of(&all, "i/unprotected");
    assert_int_equal(g->steps, 7);
    assert_int_equal(fs_cell_arrays(g), 1 << FS_TUNE_GRADIENTS);
    assert_int_equal(fs_cell_arrays(o), 1 << FS_TUNE_ADAM_M | 1 << FS_TUNE_ADAM_V);
    assert_int_equal(fs_cell_arrays(p), 1 << FS_TUNE_PARAMETERS);
    assert_int_equal(fs_cell_arrays(i), 0);
    /* 8 wide, 32 inside: two matrices and two biases of one layer. */
    assert_int_equal(g->space->values, 2 * 8 * 32 + 32 + 8);
    assert_true(fs_cell_faults(g) == 7 * (0.001 * 552));
    assert_int_equal(fs_cell_sites(o), 2 * 32 * o->space->values);
    assert_true(fs_cell_faults(o) == 2 * (0.001 * (double)o->space->values * 32));
    assert_true(fs_cell_faults(p) == 7 && fs_cell_faults(i) == 1);
    assert_int_equal(p->masked_sites, 0);
    /* Tuning and inference of one arm have fault-free runs of their own, and other faults. */
    assert_int_equal(all.plan->variant_count, 2);
    assert_true(p->variant != i->variant && all.plan->variants[p->variant].tuned);
    assert_true(p->variant == g->variant && p->draw_key != i->draw_key);
    release(&all);
}

/* Inference cells of a campaign draw what they drew before it tuned as well. */
static void other_sweeps_keep_their_faults(void **state)
{
    static const char plain[] = "campaign: f\n"
                                "task: {kind: language-model, model: gpt2, data: text}\n"
                                "sweep:\n  - {name: i, amount: {count: 1}, trials: 2}\n";
    planned one = plan_of(plain), all = plan_of(everything);
    assert_true(cell_of(&one, "i/unprotected")->draw_key ==
                cell_of(&all, "i/unprotected")->draw_key);
    assert_null(strstr(one.plan->identity, "phase"));
    assert_null(strstr(one.plan->identity, "finetune"));
    assert_non_null(strstr(all.plan->identity, "\nsweep.g.phase: finetune\n"));
    assert_non_null(strstr(all.plan->identity, "\nfinetune.steps: 7\n"));
    assert_null(strstr(all.plan->identity, "keep"));
    release(&one);
    release(&all);
}

static void impossible_plans_are_refused(void **state)
{
    static const struct {
        int number;
        const char *line;
        const char *says;
    } plans[] = {
        {12, "    amount: {count: 33409}", "33409 faults are wanted, but there are 33408 sites"},
        {11, "    site: {gradients: final.norm}", "no final.norm"},
        {11, "    site: {optimizer: adam.m, layers: [3]}", "layer 3"},
    };
    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++) {
        char *text = with_line(base, plans[i].number, plans[i].line);
        planned p;
        assert_status(try_plan(&p, text), FS_ECONFIG);
        assert_detail(plans[i].says);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_name_file_line_and_key),
        cmocka_unit_test(section_and_sweeps_need_each_other),
        cmocka_unit_test(defaults_are_those_of_the_command),
        cmocka_unit_test(the_effective_text_reads_back),
        cmocka_unit_test(changed_data_are_refused),
        cmocka_unit_test(cells_know_their_steps_and_arrays),
        cmocka_unit_test(other_sweeps_keep_their_faults),
        cmocka_unit_test(impossible_plans_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
