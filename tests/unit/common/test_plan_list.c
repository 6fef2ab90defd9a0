#include "campaign_cases.h"

/* A campaign whose sweep is written by each test; line 7 is the sweep's first one. */
#define HEAD                                                                                       \
    "campaign: c\nseed: 9\n"                                                                       \
    "task: {kind: classification, model: bert, data: rows}\n"                                      \
    "arms: [{name: plain}, {name: coded, protect: [ep, secded]}, {name: scrubbed, protect: "       \
    "scrub},"                                                                                      \
    " {name: spared, protect: secded, metadata: false}]\n\n"                                       \
    "sweep:\n"

static int make_files(void **state)
{
    make_folder(state);
    fixture_write(dir, "lists/two.csv",
                  "tensor,index,bit,trial,code\nclassifier.weight,1:2,30,1,\n"
                  "pooler.dense.bias,4,0,0,\npooler.dense.bias,4,0,0,secded\n"
                  "classifier.weight,0,63,1,scrub\n");
    fixture_write(dir, "log.csv", "address,bit\n0x100,7\n0x104,1\n99,1\n");
    fixture_write(dir, "map.csv", "tensor,base\nclassifier.bias,0x100\n");
    fixture_write(
        dir, "tmr.csv",
        "tensor,index,bit,code\nclassifier.bias,0,1,\nclassifier.bias,0,0,tmr-exponent\n");
    fixture_write(dir, "scale.csv",
                  "tensor,index,bit,code\nclassifier.bias,0,1,\nclassifier.bias,0,0,scale\n");
    fixture_write(dir, "bad.csv", "tensor,index,bit\n\nclassifier.wieght,0,1\n");
    fixture_write(dir, "broken.csv", "tensor,index,bit\nclassifier.weight,0,x\n");
    return 0;
}

static fs_status try_sweep(planned *out, const char *sweep)
{
    char text[2048];
    snprintf(text, sizeof text, HEAD "%s", sweep);
    return try_plan(out, text);
}

/* Each arm meets the listed words, and the redundant bits that it keeps. */
static void arms_share_a_list(void **state)
{
    static const struct {
        const char *id;
        size_t checks[2]; /* of each trial */
        unsigned codec;   /* its place in the arm's list */
    } arms[] = {{"s/plain", {0, 0}, 0},
                {"s/coded", {1, 0}, 1},
                {"s/scrubbed", {0, 1}, 0},
                {"s/spared", {0, 0}, 0}};
    (void)state;
    planned p;
    assert_ok(try_sweep(&p, "  - {name: s, site: {list: lists/two.csv}}\n"));
    assert_int_equal(p.plan->cell_count, 4);
    assert_int_equal(p.plan->list_count, 1);
    assert_int_equal(p.plan->trials, 8);
    for (size_t a = 0; a < 4; a++) {
        const fs_cell *cell = cell_of(&p, arms[a].id);
        const fs_protect *protect = &p.plan->variants[cell->variant].protect;
        fs_fault_list faults = {0};
        fs_check_list checks = {0};
        assert_int_equal(cell->trials, 2);
        assert_int_equal(cell->masked_sites, 0);
        for (uint64_t t = 0; t < 2; t++) {
            assert_ok(fs_cell_draw(&faults, cell, t));
            assert_int_equal(faults.count, 1);
            assert_int_equal(faults.items[0].bit, t == 0 ? 0 : 30);
            assert_int_equal(faults.items[0].element, t == 0 ? 4 : FIXTURE_WIDTH + 2);
            assert_ok(fs_cell_draw_checks(&checks, cell, protect, t));
            assert_int_equal(checks.count, arms[a].checks[t]);
            if (checks.count > 0) assert_int_equal(checks.items[0].codec, arms[a].codec);
        }
        fs_fault_list_free(&faults);
        fs_check_list_free(&checks);
    }
    release(&p);
}

/* The effective campaign reads back to the same plan; stored, it needs no file. */
static void stored_campaigns_need_no_file(void **state)
{
    static const char sweep[] =
        "  - {name: s, site: {list: lists/two.csv}, trials: 1}\n"
        "  - {name: a, site: {addresses: log.csv, map: map.csv}, guard: [none, nonfinite-zero]}\n";
    (void)state;
    planned p;
    fs_campaign *again = NULL, *stored = NULL;
    fs_plan *plan = NULL;
    fs_buf text = {0}, second = {0};
    assert_ok(try_sweep(&p, sweep));
    assert_int_equal(fs_plan_outside(p.plan, 0), 0);
    assert_int_equal(fs_plan_outside(p.plan, 1), 1);
    assert_non_null(strstr(p.plan->identity, "\nsweep.a.map: "));
    assert_null(strstr(p.plan->identity, dir));
    assert_ok(fs_campaign_write(p.campaign, &text));
    assert_ok(fs_campaign_parse(&again, fs_buf_text(&text), text.size, "/elsewhere/c.yaml"));
    assert_ok(fs_campaign_write(again, &second));
    assert_string_equal(fs_buf_text(&text), fs_buf_text(&second));
    assert_ok(fs_plan_new(&plan, again));
    assert_true(fs_hash_equal(&plan->fingerprint, &p.plan->fingerprint));
    fs_plan_destroy(&plan);

    char list[FS_PATH_BYTES_MAX], away[FS_PATH_BYTES_MAX];
    assert_ok(fs_path_join(list, dir, "lists/two.csv"));
    assert_ok(fs_path_join(away, dir, "lists/away.csv"));
    assert_int_equal(rename(list, away), 0);
    assert_ok(fs_campaign_parse_stored(&stored, fs_buf_text(&text), text.size, "stored"));
    fs_buf_clear(&second);
    assert_ok(fs_campaign_write(stored, &second));
    assert_string_equal(fs_buf_text(&text), fs_buf_text(&second));
    const fs_config configs[] = {p.plan->models[0].geometry->config};
    const fs_plan_known known = {configs, &p.plan->models[0].hash, 1, p.plan->data_hash};
    assert_ok(fs_plan_new_known(&plan, stored, &known));
    assert_string_equal(plan->identity, p.plan->identity);
    assert_int_equal(plan->cell_count, p.plan->cell_count);
    fs_plan_destroy(&plan);
    /* A worker reads it, and says what is missing, or what has changed. */
    assert_status(fs_plan_new(&plan, stored), FS_ENOENT);
    assert_detail("sweep s: ");
    assert_detail("lists/two.csv: No such file");
    fixture_write(dir, "lists/two.csv", "tensor,index,bit\nclassifier.weight,0,1\n");
    assert_status(fs_plan_new(&plan, stored), FS_EREFUSED);
    assert_detail("lists/two.csv: not the file that the campaign names");
    fs_campaign_destroy(&again);
    assert_status(fs_campaign_parse(&again, fs_buf_text(&text), text.size, "/c.yaml"), FS_EREFUSED);
    assert_detail("lists/two.csv: not the file that the campaign names");
    assert_int_equal(rename(away, list), 0);
    fs_campaign_destroy(&stored);
    fs_buf_free(&text);
    fs_buf_free(&second);
    release(&p);
}

/* Content makes the fingerprint; where the file lies does not. */
static void contents_are_the_identity(void **state)
{
    (void)state;
    planned a, b, c;
    fixture_write(dir, "one.csv", "tensor,index,bit\nclassifier.weight,0,1\n");
    fixture_write(dir, "same.csv", "tensor,index,bit\nclassifier.weight,0,1\n");
    fixture_write(dir, "other.csv", "tensor,index,bit\nclassifier.weight,0,2\n");
    assert_ok(try_sweep(&a, "  - {name: s, site: {list: one.csv}}\n"));
    assert_ok(try_sweep(&b, "  - {name: s, site: {list: ./same.csv}, trials: 1}\n"));
    assert_ok(try_sweep(&c, "  - {name: s, site: {list: other.csv}}\n"));
    assert_true(fs_hash_equal(&a.plan->fingerprint, &b.plan->fingerprint));
    assert_false(fs_hash_equal(&a.plan->fingerprint, &c.plan->fingerprint));
    fs_buf difference = {0};
    assert_ok(fs_identity_difference(c.plan->identity, a.plan->identity, &difference));
    assert_memory_equal(fs_buf_text(&difference), "sweep.s.list: ", 14);
    fs_buf_free(&difference);
    release(&a);
    release(&b);
    release(&c);
}

static void bad_sweeps_are_refused(void **state)
{
    static const struct {
        const char *sweep;
        fs_status status;
        const char *detail;
    } cases[] = {
        {"{name: s, site: {list: lists/two.csv}, amount: {count: 1}}", FS_ECONFIG,
         "c.yaml:7: sweep[0]: 'amount' is of faults that are drawn; the file of 'list' says all of "
         "them"},
        {"{name: s, site: {list: lists/two.csv}, kind: flip}", FS_ECONFIG, "'kind' is of faults"},
        {"{name: s, site: {list: lists/two.csv}, bits: all}", FS_ECONFIG, "'bits' is of faults"},
        {"{name: s, site: {list: lists/two.csv}, stop: {half_width: 0.1, at_most: 2}}", FS_ECONFIG,
         "'stop' is of faults"},
        {"{name: s, site: {list: lists/two.csv}, persistence: transient}", FS_ECONFIG,
         "'persistence: transient' is not of list"},
        {"{name: s, site: {list: lists/two.csv, by: layer}}", FS_ECONFIG,
         "sweep[0].site: 'layers' and 'by' choose where faults are drawn; the file of 'list'"},
        {"{name: s, site: {list: lists/two.csv, layers: 1}}", FS_ECONFIG, "'layers' and 'by'"},
        {"{name: s, site: {list: lists/two.csv, parameters: all}}", FS_ECONFIG,
         "exclude each other"},
        {"{name: s, site: {list: lists/two.csv, map: map.csv}}", FS_ECONFIG,
         "'map' is a word of 'addresses'"},
        {"{name: s, site: {parameters: all, map: map.csv}, amount: {count: 1}, trials: 1}",
         FS_ECONFIG, "'map' is a word of 'addresses'"},
        {"{name: s, site: {parameters: all, faults: 3}, amount: {count: 1}, trials: 1}", FS_ECONFIG,
         "'faults' is a word of 'list' and 'addresses'"},
        {"{name: s, site: {addresses: log.csv}}", FS_ECONFIG,
         "'addresses' wants 'map', a file that says where each tensor lay"},
        {"{name: s, site: {list: [a, b]}}", FS_ECONFIG, "sweep[0].site.list"},
        {"{name: s, site: {list: lists/two.csv, hash: 12}}", FS_ECONFIG, "sweep[0].site.hash"},
        {"{name: s, site: {list: lists/two.csv, faults: 7}}", FS_ECONFIG,
         "two.csv has 4 faults in 2 groups, not what 'faults' and 'groups' say"},
        {"{name: s, site: {list: lists/two.csv}, trials: 3}", FS_ECONFIG, "'trials' is 3, but "},
        {"{name: s, site: {list: nowhere.csv}}", FS_ENOENT, "nowhere.csv: No such file"},
        {"{name: s, site: {list: broken.csv}}", FS_EFORMAT,
         "broken.csv:2: bit 'x' is not a whole number"},
        {"{name: s, site: {list: bad.csv}}", FS_EFORMAT,
         "bad.csv:3: tensor 'classifier.wieght' is unknown (did you mean 'classifier.weight'?)"},
        {"{name: s, site: {list: tmr.csv}}", FS_ECONFIG,
         "hits bits of code tmr-exponent, which no arm keeps where they can be hit"},
        {"{name: s, site: {list: scale.csv}}", FS_ECONFIG,
         "hits bits of code scale, which no arm keeps where they can be hit"},
        {"{name: s, site: {addresses: log.csv, map: nowhere.csv}}", FS_ENOENT,
         "nowhere.csv: No such file"},
        {"{name: s, site: {list: lists/two.csv, hash: "
         "00000000000000000000000000000000000000000000000000000000000000ff}}",
         FS_EREFUSED, "two.csv: not the file that the campaign names: its hash is "},
        {"{name: s, site: {parameters: all}, trials: 1}", FS_ECONFIG, "key 'amount' is missing"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        planned p;
        char sweep[512];
        snprintf(sweep, sizeof sweep, "  - %s\n", cases[i].sweep);
        assert_status(try_sweep(&p, sweep), cases[i].status);
        assert_detail(cases[i].detail);
    }
}

/* What is stored must say what the files held. */
static void stored_campaigns_are_whole(void **state)
{
    static const char text[] = "campaign: c\n"
                               "task: {kind: classification, model: /bert, data: /rows}\n"
                               "sweep:\n  - {name: s, site: {list: /two.csv}, trials: 1}\n";
    fs_campaign *campaign = NULL;
    (void)state;
    assert_status(fs_campaign_parse_stored(&campaign, text, strlen(text), "stored"), FS_ECONFIG);
    assert_detail("'hash', 'faults', 'groups'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arms_share_a_list),
        cmocka_unit_test(stored_campaigns_need_no_file),
        cmocka_unit_test(contents_are_the_identity),
        cmocka_unit_test(bad_sweeps_are_refused),
        cmocka_unit_test(stored_campaigns_are_whole),
    };
    return cmocka_run_group_tests(tests, make_files, remove_folder);
}
