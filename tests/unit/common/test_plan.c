#include "campaign_cases.h"

/* The shapes of the fixture's models, from their configurations. */
enum {
    D = FIXTURE_WIDTH,
    FF = FIXTURE_FF,
    LAYERS = FIXTURE_LAYERS,
    VOCAB = 11,
    POSITIONS = 16,
    BERT_LAYER = 4 * (D * D + D) + (D * FF + FF) + (FF * D + D) + 2 * 2 * D,
    BERT_VALUES =
        (VOCAB + POSITIONS + 2) * D + 2 * D + LAYERS * BERT_LAYER + (D * D + D) + (2 * D + 2),
    LAYER_COMPONENTS = 8,      /* query key value output norm, up down norm */
    BERT_OTHER_COMPONENTS = 6, /* token position segment norm, pooler classifier */
    GPT2_OTHER_COMPONENTS = 3  /* token position, final norm; the head is tied */
};

#define BERT "task: {kind: classification, model: bert, data: rows}\n"
#define GPT2 "task: {kind: language-model, model: gpt2, data: text}\n"
#define HEAD "campaign: c\nseed: 9\n"

static void assert_ids_unique(const fs_plan *plan)
{
    for (size_t i = 0; i < plan->cell_count; i++)
        assert_int_equal(fs_plan_find(plan, plan->cells[i].id), i);
}

static void counts_by_closed_form(void **state)
{
    static const struct {
        const char *task, *sweep;
        size_t sites; /* of one arm */
    } cases[] = {
        {BERT, "site: {by: [layer, component]}", LAYERS * LAYER_COMPONENTS + BERT_OTHER_COMPONENTS},
        {BERT, "site: {by: component}", LAYER_COMPONENTS + BERT_OTHER_COMPONENTS},
        {BERT, "site: {by: layer}", LAYERS + 1},
        {BERT, "site: {by: group}", 5},
        /* embedding and head have no layer; attention and mlp one each; norms both */
        {BERT, "site: {by: [layer, group]}", 2 + 2 * LAYERS + LAYERS + 1},
        {BERT, "site: {by: [layer, component], layers: [0, 2]}", 2 * LAYER_COMPONENTS},
        {BERT, "site: {by: [layer, component], parameters: [mlp, embedding.norm]}", 2 * LAYERS + 1},
        {BERT, "site: {by: component, parameters: [final.norm, mlp.up]}", 1},
        {GPT2, "site: {by: [layer, component]}", LAYERS * LAYER_COMPONENTS + GPT2_OTHER_COMPONENTS},
        {GPT2, "site: {by: layer, layers: 1}", 1},
        {GPT2, "site: {parameters: all}", 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024];
        snprintf(text, sizeof text,
                 HEAD "%sarms: [{name: a}, {name: b, protect: ep}]\n"
                      "sweep: [{name: s, %s, amount: {rate: [0.1, 0.2, 0.3]}, trials: 7,"
                      " kind: [flip, stuck1], bits: [all, sign, 30, [1, 2]],"
                      " guard: [none, {threshold: 8}]}]\n",
                 cases[i].task, cases[i].sweep);
        planned p = plan_of(text);
        size_t expected = 2 * cases[i].sites * 3 * 2 * 4 * 2;
        assert_int_equal(p.plan->cell_count, expected);
        assert_int_equal(p.plan->trials, 7 * expected);
        assert_int_equal(p.plan->variant_count, 4);
        assert_int_equal(p.plan->model_count, 1);
        assert_ids_unique(p.plan);
        release(&p);
    }
}

/** Cells of a sweep by layer and component tile the model: no value twice, none left out. */
static void cells_partition_the_model(void **state)
{
    static const char *const by[] = {
        "none", "layer", "component", "group", "[layer, component]", "[layer, group]"};
    (void)state;
    for (size_t i = 0; i < sizeof by / sizeof by[0]; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 HEAD BERT "sweep: [{name: s, site: {by: %s}, amount: {count: 1}, trials: 1}]\n",
                 by[i]);
        planned p = plan_of(text);
        uint64_t values = 0;
        for (size_t c = 0; c < p.plan->cell_count; c++) values += p.plan->cells[c].space->values;
        assert_int_equal(values, BERT_VALUES);
        release(&p);
    }
}

static void ids_name_the_axes_that_vary(void **state)
{
    static const char text[] =
        HEAD BERT "arms: [{name: a}, {name: b, protect: ep}]\n"
                  "sweep:\n"
                  "  - {name: zero, amount: {count: 0}, trials: 1}\n"
                  "  - {name: r, amount: {rate: [0.001, 1.0e-6]}, trials: 1,"
                  " guard: [none, {threshold: 10}]}\n"
                  "  - {name: w, amount: {count: 1}, trials: 1, bits: [sign, [24, 23]],"
                  " site: {parameters: [embedding.token, mlp.up], layers: [0, 2],"
                  " by: [layer, component]}}\n"
                  "  - {name: x, amount: {count: 1}, trials: 1, kind: [flip, stuck0],"
                  " site: {parameters: [embedding, mlp], by: [layer, group]}}\n";
    static const char *const ids[] = {"zero/a",
                                      "zero/b",
                                      "r/a,rate=0.001,guard=none",
                                      "r/a,rate=0.001,guard=threshold:10",
                                      "r/a,rate=1e-6,guard=none",
                                      "r/b,rate=1e-6,guard=threshold:10",
                                      "w/a,layer=0,bits=sign",
                                      "w/b,layer=2,bits=23+24",
                                      "x/a,layer=none,group=embedding,kind=flip",
                                      "x/b,layer=1,group=mlp,kind=stuck0"};
    planned p = plan_of(text);
    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
        if (fs_plan_find(p.plan, ids[i]) < 0) fail_msg("no cell %s", ids[i]);
    /* One component has layers 0 and 2 here, so that the component does not vary. */
    assert_int_equal(fs_plan_find(p.plan, "w/a,layer=0,component=mlp.up,bits=sign"), -1);
    assert_int_equal(p.plan->cell_count, 2 * (1 + 4 + 4 + 2 * (1 + LAYERS)));
    const fs_cell *cell = &p.plan->cells[fs_plan_find(p.plan, ids[9])];
    assert_int_equal(cell->layer, 1);
    assert_true(cell->by_layer);
    assert_int_equal(cell->form.kind.word, FS_FORM_STUCK0);
    assert_int_equal(cell->space->values, (D * FF + FF) + (FF * D + D));
    cell = &p.plan->cells[fs_plan_find(p.plan, "w/a,layer=2,bits=23+24")];
    assert_int_equal(cell->space->bits, 0x01800000);
    assert_int_equal(cell->space->values, D * FF + FF);
    release(&p);
}

static void order_is_sweep_arm_site_amount_kind_bits_guard(void **state)
{
    static const char text[] =
        HEAD BERT "arms: [{name: a}, {name: b, protect: ep}]\n"
                  "sweep: [{name: s, amount: {count: [1, 2]}, trials: 1, kind: [flip, stuck0],"
                  " bits: [sign, all], guard: [none, nonfinite-zero],"
                  " site: {parameters: mlp.up, by: layer}}]\n";
    planned p = plan_of(text);
    size_t i = 0;
    (void)state;
    for (uint32_t arm = 0; arm < 2; arm++)
        for (int layer = 0; layer < LAYERS; layer++)
            for (int count = 1; count <= 2; count++)
                for (int kind = 0; kind < 2; kind++)
                    for (int bits = 0; bits < 2; bits++)
                        for (int guard = 0; guard < 2; guard++, i++) {
                            const fs_cell *c = &p.plan->cells[i];
                            assert_int_equal(c->arm, arm);
                            assert_int_equal(c->layer, layer);
                            assert_true(c->amount.value == count);
                            assert_int_equal(c->form.kind.word, kind);
                            assert_ptr_equal(c->bits, &p.campaign->sweeps[0].bits[bits]);
                            assert_int_equal(c->guard.kind, guard);
                            assert_int_equal(c->pair, i % (p.plan->cell_count / 2));
                        }
    assert_int_equal(i, p.plan->cell_count);
    release(&p);
}

static void assert_same_faults(const fs_cell *a, const fs_cell *b)
{
    fs_fault_list x = {0}, y = {0};
    for (uint64_t trial = 0; trial < 20; trial++) {
        assert_ok(fs_cell_draw(&x, a, trial));
        assert_ok(fs_cell_draw(&y, b, trial));
        assert_int_equal(x.count, y.count);
        for (size_t i = 0; i < x.count; i++) {
            assert_int_equal(x.items[i].tensor, y.items[i].tensor);
            assert_int_equal(x.items[i].element, y.items[i].element);
            assert_int_equal(x.items[i].bit, y.items[i].bit);
        }
    }
    fs_fault_list_free(&x);
    fs_fault_list_free(&y);
}

static void arms_and_guards_meet_the_same_faults(void **state)
{
    static const char text[] =
        HEAD BERT "arms: [{name: a}, {name: b, protect: ep}, {name: t, model: bert-tuned}]\n"
                  "sweep:\n"
                  "  - {name: s, amount: {rate: [0.01, 0.05]}, bits: [all, sign], trials: 20,"
                  " kind: [flip, stuck1], guard: [none, nonfinite-zero, threshold: 4],"
                  " site: {by: [layer, group]}}\n"
                  "  - {name: t, amount: {rate: [0.01, 0.05]}, bits: [all, sign], trials: 20,"
                  " kind: [flip, stuck1], guard: [none, nonfinite-zero, threshold: 4],"
                  " site: {by: [layer, group]}}\n";
    planned p = plan_of(text);
    const fs_plan *plan = p.plan;
    (void)state;
    assert_int_equal(plan->model_count, 2);
    for (size_t i = 0; i < plan->cell_count; i++)
        for (size_t j = 0; j < i; j++) {
            const fs_cell *a = &plan->cells[i], *b = &plan->cells[j];
            int same_axes = a->sweep == b->sweep && a->layer == b->layer && a->set == b->set &&
                            a->amount.value == b->amount.value &&
                            fs_form_equal(&a->form, &b->form) && a->bits == b->bits;
            int same_guard = a->guard.kind == b->guard.kind;
            /* Nothing but arm and guard leaves the key as it is. */
            assert_int_equal(a->draw_key == b->draw_key, same_axes);
            assert_int_equal(a->pair == b->pair, same_axes && same_guard);
        }
    assert_same_faults(&plan->cells[0], &plan->cells[plan->cell_count / 6]);
    assert_int_equal(plan->cells[0].arm + 1, plan->cells[plan->cell_count / 6].arm);
    release(&p);
}

static void variants_are_shared(void **state)
{
    static const char text[] =
        HEAD BERT "arms: [{name: a}, {name: same}, {name: ep, protect: ep},"
                  " {name: t, model: bert-tuned, protect: ep}]\n"
                  "sweep:\n"
                  "  - {name: s, amount: {count: 1}, trials: 1, guard: [none, {threshold: 4}]}\n"
                  "  - {name: t, amount: {count: 1}, trials: 1, guard: [{threshold: 4}, none]}\n";
    planned p = plan_of(text);
    (void)state;
    assert_int_equal(p.plan->variant_count, 3 * 2);
    for (size_t i = 0; i < p.plan->cell_count; i++) {
        const fs_cell *c = &p.plan->cells[i];
        const fs_variant *v = &p.plan->variants[c->variant];
        assert_int_equal(v->protect.guard.kind, c->guard.kind);
        assert_int_equal(v->protect.codec_count, c->arm >= 2);
        assert_int_equal(v->model, c->arm == 3);
        assert_true(v->arm <= c->arm);
    }
    release(&p);
}

/* --- Fingerprint --- */

static const char base[] = HEAD "task: {kind: classification, model: bert, data: rows}\n" /* 3 */
                                "arms: [{name: a}, {name: b, protect: ep}]\n"             /* 4 */
                                "sweep:\n"                                                /* 5 */
                                "  - name: s\n"                                           /* 6 */
                                "    site: {parameters: [mlp, embedding]}\n"              /* 7 */
                                "    amount: {count: 1}\n"                                /* 8 */
                                "    trials: 5\n"                                         /* 9 */
                                "critical: {accuracy_drop: 0.1}\n";                       /* 10 */

static void the_fingerprint_follows_every_key(void **state)
{
    static const struct {
        int number;
        const char *line;
        const char *difference;
    } changes[] = {
        {1, "campaign: d", "campaign: d, was c"},
        {2, "seed: 10", "seed: 10, was 9"},
        {3, "task: {kind: classification, model: bert-tuned, data: rows}", "arm.a.model: "},
        {3, "task: {kind: classification, model: bert, data: text.txt}", "task.data: "},
        {3, "task: {kind: classification, model: bert, data: rows, examples: 1}",
         "task.examples: 1, was all"},
        {4, "arms: [{name: a}]", "arms: a, was a b"},
        {4, "arms: [{name: b, protect: ep}, {name: a}]", "arms: b a, was a b"},
        {4, "arms: [{name: a}, {name: b}]", "arm.b.protect: none, was ep"},
        {6, "  - name: u", "sweeps: u, was s"},
        {7, "    site: {parameters: mlp}",
         "sweep.s.parameters: mlp.up mlp.down, was embedding.token embedding.position "
         "embedding.segment mlp.up mlp.down"},
        {7, "    site: {parameters: [mlp, embedding], layers: 1}", "sweep.s.layers: 1, was all"},
        {7, "    site: {parameters: [mlp, embedding], by: layer}", "sweep.s.by: layer, was none"},
        {8, "    amount: {count: 2}", "sweep.s.count: 2, was 1"},
        {8, "    amount: {rate: 1.0e-3}", "sweep.s.rate: 0.001, was absent"},
        {9, "    trials: 6", "sweep.s.trials: 6, was 5"},
        {9, "    stop: {half_width: 0.1, at_most: 5}",
         "sweep.s.stop: half_width 0.1 confidence 0.95, was none"},
        {9, "    trials: 5\n    bits: sign", "sweep.s.bits: sign, was all"},
        {9, "    trials: 5\n    kind: stuck0", "sweep.s.kind: stuck0, was flip"},
        {9, "    trials: 5\n    kind: [flip, {burst: 4}, value]",
         "sweep.s.kind: flip burst:4 value, was flip"},
        {9, "    trials: 5\n    pattern: {column: all}", "sweep.s.pattern: column:all, was absent"},
        {9, "    trials: 5\n    pattern: [element, {row: 8}]",
         "sweep.s.pattern: element row:8, was absent"},
        {9, "    trials: 5\n    guard: {threshold: 2.5}", "sweep.s.guard: threshold:2.5, was none"},
        {10, "critical: {accuracy_drop: 0.2}", "critical.accuracy_drop: 0.2, was 0.1"},
    };
    planned before = plan_of(base);
    (void)state;
    assert_true(before.plan->has_fingerprint);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        char *text = with_line(base, changes[i].number, changes[i].line);
        planned now = plan_of(text);
        fs_buf difference = {0};
        assert_false(fs_hash_equal(&now.plan->fingerprint, &before.plan->fingerprint));
        assert_ok(fs_identity_difference(now.plan->identity, before.plan->identity, &difference));
        if (strncmp(fs_buf_text(&difference), changes[i].difference,
                    strlen(changes[i].difference)) != 0)
            fail_msg("wanted '%s', got '%s'", changes[i].difference, fs_buf_text(&difference));
        fs_buf_free(&difference);
        release(&now);
        free(text);
    }
    release(&before);
}

static void the_fingerprint_ignores_paths_and_spelling(void **state)
{
    static const struct {
        int number;
        const char *line;
    } same[] = {
        {3, "task: {kind: classification, model: copy/other-name, data: copy/lines.txt}"},
        {4, "arms: [{name: a, protect: none}, {name: b, model: bert, protect: [ep], dtype: fp32}]"},
        {7, "    site: {by: none, layers: all, parameters: [embedding.token, embedding.position,"
            " embedding.segment, mlp.down, mlp.up]}"},
        {8, "    amount: {count: [1]}"},
        {9, "    trials: 5\n    bits: [all]\n    kind: [flip]\n    guard: none\n"
            "    pattern: [element]\n"
            "    phase: inference"},
        {2, "seed: 9 # a comment"},
    };
    (void)state;
    fixture_write(dir, "copy/other-name/config.json", bert_config);
    fixture_write(dir, "copy/other-name/model.safetensors", "weights of bert");
    fixture_write(dir, "copy/lines.txt", "sentence\tlabel\ngood\t1\n");
    planned before = plan_of(base);
    assert_null(strstr(before.plan->identity, dir));
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        char *text = with_line(base, same[i].number, same[i].line);
        planned now = plan_of(text);
        fs_buf difference = {0};
        assert_string_equal(now.plan->identity, before.plan->identity);
        assert_true(fs_hash_equal(&now.plan->fingerprint, &before.plan->fingerprint));
        assert_ok(fs_identity_difference(now.plan->identity, before.plan->identity, &difference));
        assert_string_equal(fs_buf_text(&difference), "");
        release(&now);
        free(text);
    }
    release(&before);
}

static void planning_needs_no_weights_and_no_data(void **state)
{
    char *text = with_line(base, 3, "task: {kind: classification, model: bert-bare, data: rows}");
    planned p = plan_of(text);
    (void)state;
    assert_false(p.plan->has_fingerprint);
    assert_non_null(strstr(p.plan->absent, "bert-bare"));
    assert_int_equal(p.plan->cell_count, 2);
    release(&p);
    free(text);
    text = with_line(base, 3, "task: {kind: classification, model: bert, data: ./later.tsv}");
    p = plan_of(text);
    assert_false(p.plan->has_fingerprint);
    assert_non_null(strstr(p.plan->absent, "later.tsv"));
    release(&p);
    free(text);
}

static void impossible_combinations_are_refused(void **state)
{
    static const struct {
        int number;
        const char *line;
        fs_status status;
        const char *says;
    } bad[] = {
        {4, "arms: [{name: a}, {name: b, model: bert-other}]", FS_ECONFIG, "unlike shape"},
        {7, "    site: {layers: [0, 3]}", FS_ECONFIG, "sweep s: layer 3"},
        {7, "    site: {parameters: final.norm}", FS_ECONFIG, "sweep s: the selection holds no"},
        {7, "    site: {parameters: embedding, layers: 0}", FS_ECONFIG, "the selection holds no"},
        {8, "    amount: {count: 18433}\n    bits: sign", FS_ECONFIG, "faults are wanted"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char *text = with_line(base, bad[i].number, bad[i].line);
        planned p;
        assert_status(try_plan(&p, text), bad[i].status);
        assert_detail(bad[i].says);
        free(text);
    }
    planned p;
    assert_status(try_plan(&p, HEAD "task: {kind: language-model, model: bert, data: text}\n"
                                    "sweep: [{name: s, amount: {count: 1}, trials: 1}]\n"),
                  FS_ECONFIG);
    assert_detail(
        "task.kind is language-model, but arm unprotected has a model for classification");
    assert_status(try_plan(&p, HEAD
                           "task: {kind: language-model, model: gpt2, data: text, window: 17}\n"
                           "sweep: [{name: s, amount: {count: 1}, trials: 1}]\n"),
                  FS_ECONFIG);
    assert_detail("has 16 positions");
}

static void counts_reach_the_number_of_sites(void **state)
{
    enum { MLP_AND_EMBEDDING = LAYERS * (D * FF + FF + FF * D + D) + (VOCAB + POSITIONS + 2) * D };
    (void)state;
    for (int over = 0; over < 2; over++) {
        char line[64];
        snprintf(line, sizeof line, "    amount: {count: %d}\n    bits: [[3, 5]]",
                 2 * MLP_AND_EMBEDDING + over);
        char *text = with_line(base, 8, line);
        planned p;
        assert_status(try_plan(&p, text), over ? FS_ECONFIG : FS_OK);
        if (!over) {
            assert_true(fs_cell_faults(&p.plan->cells[0]) == 2 * MLP_AND_EMBEDDING);
            release(&p);
        }
        free(text);
    }
}

static void too_many_cells_are_refused(void **state)
{
    fs_buf text = {0};
    planned p;
    (void)state;
    assert_ok(fs_buf_puts(&text,
                          HEAD BERT "sweep:\n  - {name: s, trials: 1, kind: [flip, stuck0, stuck1],"
                                    " site: {by: [layer, component]}, amount: {count: ["));
    for (int i = 0; i < 128; i++) assert_ok(fs_buf_printf(&text, "%d,", i));
    assert_ok(fs_buf_puts(&text, "]}, guard: ["));
    for (int i = 1; i <= 128; i++) assert_ok(fs_buf_printf(&text, "{threshold: %d},", i));
    assert_ok(fs_buf_puts(&text, "]}\n"));
    assert_status(try_plan(&p, fs_buf_text(&text)), FS_ELIMIT);
    assert_detail("beyond the 100000 cells");
    fs_buf_free(&text);
}

static void trial_ids(void **state)
{
    static const char *const bad[] = {"",
                                      "s",
                                      "s/a",
                                      "s/a/",
                                      "s/a/x",
                                      "s/a/-1",
                                      "s/a/5",
                                      "s/c/0",
                                      "t/a/0",
                                      "s/a/0 ",
                                      "/s/a/0",
                                      "s/a/0x1",
                                      "s/a/99999999999999999999999"};
    planned p = plan_of(base);
    uint32_t cell = 9;
    uint64_t trial = 9;
    (void)state;
    assert_ok(fs_trial_id_parse(p.plan, "s/b/4", &cell, &trial));
    assert_int_equal(cell, 1);
    assert_int_equal(trial, 4);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (fs_trial_id_parse(p.plan, bad[i], &cell, &trial) != FS_EUSAGE)
            fail_msg("read as a trial: %s", bad[i]);
    release(&p);
}

static void expected_faults(void **state)
{
    planned p =
        plan_of(HEAD BERT "sweep:\n"
                          "  - {name: r, amount: {rate: 0.01}, trials: 1, bits: exponent}\n"
                          "  - {name: b, amount: {ber: 1.0e-4}, trials: 1, bits: exponent}\n"
                          "  - {name: c, amount: {count: 3}, trials: 1}\n");
    (void)state;
    assert_float_equal(fs_cell_faults(&p.plan->cells[0]), 0.01 * BERT_VALUES, 1e-9);
    assert_float_equal(fs_cell_faults(&p.plan->cells[1]), 1e-4 * BERT_VALUES * 8, 1e-9);
    assert_true(fs_cell_faults(&p.plan->cells[2]) == 3);
    release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_by_closed_form),
        cmocka_unit_test(cells_partition_the_model),
        cmocka_unit_test(ids_name_the_axes_that_vary),
        cmocka_unit_test(order_is_sweep_arm_site_amount_kind_bits_guard),
        cmocka_unit_test(arms_and_guards_meet_the_same_faults),
        cmocka_unit_test(variants_are_shared),
        cmocka_unit_test(the_fingerprint_follows_every_key),
        cmocka_unit_test(the_fingerprint_ignores_paths_and_spelling),
        cmocka_unit_test(planning_needs_no_weights_and_no_data),
        cmocka_unit_test(impossible_combinations_are_refused),
        cmocka_unit_test(counts_reach_the_number_of_sites),
        cmocka_unit_test(too_many_cells_are_refused),
        cmocka_unit_test(trial_ids),
        cmocka_unit_test(expected_faults),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
