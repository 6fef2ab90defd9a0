/* The whole fault space: random trials of every site class, format, kind, pattern, protection and
 * guard, the fast path against a brute force that shares nothing with it but the draw.
 * usage: test_wk_space [--long] [SEED]; a failure leaves its model and data where it says. */
#include "brute_tune.h"
#include "space_list.h"

#include "wk_executor.h"

enum { WORLD_CAMPAIGNS = 8, REFUSED_MAX_PERCENT = 3 };

static int is_long;
static uint64_t seed = 20261122;

/* A random small model with its data. */
typedef struct world {
    size_t model; /* of AXIS_MODEL */
    tiny_spec spec;
    fs_geometry *geometry;
    char *folder;
    char data[FS_PATH_BYTES_MAX];
    char task[3 * FS_PATH_BYTES_MAX];
} world;

static void world_open(world *self, space *all)
{
    static const uint32_t widths[] = {6, 8, 10, 12};
    tiny_model *model;
    fs_config config;
    const space_campaign none = {.seed = 0};
    *self = (world){.model = space_pick(all, AXIS_MODEL, NULL, &none), .folder = testing_folder()};
    const char *name = all->axes[AXIS_MODEL].values[self->model].text;
    const int bert = strcmp(name, "bert") == 0, untied = strcmp(name, "gpt2, untied") == 0;
    const int lm = untied || strcmp(name, "gpt2") == 0;
    self->spec = (tiny_spec){.kind = bert ? FS_MODEL_BERT : FS_MODEL_GPT2,
                             .task = lm ? FS_TASK_LM : FS_TASK_CLASSIFICATION,
                             .layers = 1 + (uint32_t)space_below(all, 3),
                             .width = widths[space_below(all, 4)],
                             .heads = 2,
                             .vocab = bert ? 60 + (uint32_t)space_below(all, 20) : 40,
                             .positions = 12 + (uint32_t)space_below(all, 8),
                             .labels = lm ? 0 : 2 + (uint32_t)space_below(all, 3),
                             .inner = 5 + (uint32_t)space_below(all, 20),
                             .untied = untied,
                             .seed = space_below(all, 1u << 30)};
    assert_ok(tiny_model_new(&model, &self->spec));
    assert_ok(tiny_model_write(model, self->folder));
    assert_ok(fs_path_join(self->data, self->folder, lm ? "data.txt" : "data.tsv"));
    assert_ok(tiny_model_write_data(model, self->data, 2 + (uint32_t)space_below(all, 4)));
    tiny_model_destroy(&model);
    assert_ok(fs_config_read(&config, self->folder));
    assert_ok(fs_geometry_new(&self->geometry, &config));
    snprintf(self->task, sizeof self->task, "task: {kind: %s, model: %s, data: %s%s}\n",
             lm ? "language-model" : "classification", self->folder, self->data,
             lm ? ", window: 10, stride: 6, examples: 4" : "");
}

static void world_close(world *self)
{
    fs_geometry_destroy(&self->geometry);
    testing_remove(self->folder);
}

static void say(const char *who, const fs_trial_record *r)
{
    print_error("%s: outcome %d critical %d inputs %u: %u %u %u %u, changed %llu/%llu, metric %a "
                "loss %a deviation %a kl %a, faults %llu+%llu effective %llu visible %llu, "
                "corrected %llu detected %llu miscorrected %llu, checksum %llx\n",
                who, r->outcome, r->critical, r->inputs, r->masked, r->benign, r->sdc, r->due,
                (unsigned long long)r->answers_changed, (unsigned long long)r->answers, r->metric,
                r->loss, r->deviation_max, r->kl_mean, (unsigned long long)r->faults,
                (unsigned long long)r->check_faults, (unsigned long long)r->effective,
                (unsigned long long)r->visible, (unsigned long long)r->corrected,
                (unsigned long long)r->detected, (unsigned long long)r->miscorrected,
                (unsigned long long)r->faults_checksum);
    for (uint32_t i = 0; i < r->kept; i++) {
        const fs_fault_record *f = &r->fault[i];
        print_error("  tensor or input %u place %u element %llu bit %u kind %u: %08x %08x, read "
                    "%08x %08x\n",
                    f->tensor, f->place, (unsigned long long)f->element, f->bit, f->kind, f->before,
                    f->after, f->value_before, f->value_after);
    }
}

/* A drawn campaign at work. */
typedef struct bench {
    const world *world;
    const space_campaign *drawn;
    space_list list; /* of a site class that is not drawn */
    fs_buf text;
    fs_campaign *campaign;
    fs_plan *plan;
    wk_executor *fast;
    unsigned threads;
    brute_force brute;
    brute_golden *golden; /* [variant_count] */
    uint64_t outcomes[FS_OUTCOME_COUNT];
    uint64_t corrected, detected, miscorrected, checks;
} bench;

static void fail_trial(const bench *self, const fs_cell *cell, uint64_t trial)
{
    const tiny_spec *s = &self->world->spec;
    fail_msg("%s/%llu differs from brute force; tiny-model layers=%u width=%u vocab=%u "
             "positions=%u labels=%u inner=%u untied=%d seed=%llu\n%s",
             cell->id, (unsigned long long)trial, s->layers, s->width, s->vocab, s->positions,
             s->labels, s->inner, s->untied, (unsigned long long)s->seed, fs_buf_text(&self->text));
}

static void compare(bench *self, uint32_t c, uint64_t trial)
{
    const fs_cell *cell = &self->plan->cells[c];
    fs_trial_record fast, brute;
    fs_buf got = {0}, want = {0};
    assert_ok(wk_executor_run(self->fast, (unsigned)trial % self->threads, c, trial, &fast));
    const int metadata = self->drawn->metadata[cell->arm];
    brute_hits listed = {{0}, {0}};
    const brute_golden *golden = &self->golden[cell->variant];
    if (self->list.trials > 0)
        listed = space_list_hits(&self->list, trial, &self->plan->variants[cell->variant].protect,
                                 metadata);
    if (self->plan->variants[cell->variant].tuned)
        brute_tune_trial(&self->brute, self->world->folder, golden, cell, trial, &brute);
    else
        brute_trial(&self->brute, golden, cell, trial, self->list.trials > 0 ? &listed : NULL,
                    &brute);
    fs_check_list_free(&listed.checks);
    assert_ok(fs_trial_encode(&fast, &got));
    assert_ok(fs_trial_encode(&brute, &want));
    if (got.size != want.size || memcmp(got.data, want.data, got.size) != 0) {
        say("fast path", &fast);
        say("brute force", &brute);
        fail_trial(self, cell, trial);
    }
    fs_buf_free(&got);
    fs_buf_free(&want);
    self->outcomes[fast.outcome]++;
    self->corrected += fast.corrected;
    self->detected += fast.detected;
    self->miscorrected += fast.miscorrected;
    self->checks += fast.check_faults;
}

/* The golden run of each variant, which must be the worker's. */
static void open_golden(bench *self)
{
    const fs_plan *plan = self->plan;
    brute_force tuned = {plan, self->brute.data, {0}};
    fs_trial_record record = {0};
    self->golden = brute_room(plan->variant_count, sizeof *self->golden);
    brute_values_open(&tuned.file, self->brute.file.geometry);
    if (plan->campaign->finetune.steps > 0)
        brute_tune_run(plan, self->world->folder, NULL, 0, &tuned.file, &record);
    for (uint32_t v = 0; v < plan->variant_count; v++) {
        brute_golden *golden = &self->golden[v];
        wk_golden_info info;
        const fs_variant *variant = &plan->variants[v];
        brute_golden_open(golden, variant->tuned ? &tuned : &self->brute, &variant->protect);
        assert_ok(wk_executor_golden(self->fast, v, &info));
        assert_true(info.metric == golden->metric && info.loss == golden->loss);
        assert_int_equal(info.answers, golden->logits.answers);
        assert_int_equal(info.altered, golden->noticed.altered);
    }
    brute_force_close(&tuned);
}

/* @return zero if the product refuses the campaign. */
static int bench_open(bench *self, space *all, const world *at, const space_campaign *drawn,
                      uint64_t trials)
{
    static const uint64_t memory[] = {0, 4000, 1u << 30};
    self->threads = 1 + (unsigned)space_below(all, 2);
    const wk_options options = {.threads = self->threads,
                                .check_always = 1,
                                .golden_bytes_max = memory[space_below(all, 3)],
                                .private_bytes_max = memory[space_below(all, 3)]};
    self->world = at;
    self->drawn = drawn;
    if (space_site(all, drawn)->from != FS_SITE_DRAWN)
        space_list_open(&self->list, all, at->geometry, drawn, at->folder, trials);
    assert_ok(
        fs_buf_printf(&self->text, "campaign: t\nseed: %u\n%s", (unsigned)drawn->seed, at->task));
    space_write(all, drawn, self->list.site, trials, &self->text);
    if (space_is(all, drawn, AXIS_PHASE, "finetune"))
        assert_ok(fs_buf_printf(&self->text,
                                "finetune: {data: %s, steps: %u, batch: %u, learning_rate: 3.0e-3,"
                                " seed: %u, keep: none, checkpoint_steps: none}\n",
                                at->data, 1 + (unsigned)space_below(all, 3),
                                1 + (unsigned)space_below(all, 3), (unsigned)drawn->seed));
    fs_status status =
        fs_campaign_parse(&self->campaign, fs_buf_text(&self->text), self->text.size, "test.yaml");
    if (status == FS_OK) status = fs_plan_new(&self->plan, self->campaign);
    if (status == FS_ECONFIG) {
        print_message("refused: %s\n", fs_status_detail());
        return 0;
    }
    if (status != FS_OK)
        fail_msg("%s: %s\n%s", fs_status_name(status), fs_status_detail(),
                 fs_buf_text(&self->text));
    assert_true(self->plan->has_fingerprint);
    assert_ok(wk_executor_new(&self->fast, self->plan, &options));
    brute_force_open(&self->brute, self->plan, at->folder, wk_executor_data(self->fast, 0));
    open_golden(self);
    return 1;
}

static void bench_close(bench *self)
{
    for (size_t v = 0; self->golden != NULL && v < self->plan->variant_count; v++)
        brute_golden_close(&self->golden[v]);
    free(self->golden);
    brute_force_close(&self->brute);
    wk_executor_destroy(&self->fast);
    fs_plan_destroy(&self->plan);
    fs_campaign_destroy(&self->campaign);
    fs_buf_free(&self->text);
    space_list_close(&self->list);
    self->golden = NULL;
}

static void test_space(void **state)
{
    static space all;
    bench b = {0};
    world at;
    uint64_t campaigns = 0, refused = 0, trials = 0;
    space_open(&all, seed, is_long ? 1000 : 30, is_long ? 100 : 1);
    while (!space_done(&all, AXIS_COUNT)) {
        if (campaigns % WORLD_CAMPAIGNS == 0) {
            if (campaigns > 0) world_close(&at);
            world_open(&at, &all);
        }
        space_campaign drawn;
        const uint64_t each = is_long ? 6 : 3;
        space_draw(&all, at.model, at.geometry, &drawn);
        campaigns++;
        if (bench_open(&b, &all, &at, &drawn, each)) {
            for (uint32_t c = 0; c < b.plan->cell_count; c++)
                for (uint64_t t = 0; t < each; t++, trials++) {
                    compare(&b, c, t);
                    space_count(&all, &drawn, b.plan->cells[c].arm);
                }
        } else {
            refused++;
        }
        bench_close(&b);
    }
    world_close(&at);
    space_print(&all);
    print_message("%llu campaigns, %llu refused; %llu trials: %llu masked, %llu benign, %llu sdc, "
                  "%llu due; %llu corrected, %llu detected, %llu miscorrected, %llu faults in "
                  "redundant bits\n",
                  (unsigned long long)campaigns, (unsigned long long)refused,
                  (unsigned long long)trials, (unsigned long long)b.outcomes[0],
                  (unsigned long long)b.outcomes[1], (unsigned long long)b.outcomes[2],
                  (unsigned long long)b.outcomes[3], (unsigned long long)b.corrected,
                  (unsigned long long)b.detected, (unsigned long long)b.miscorrected,
                  (unsigned long long)b.checks);
    assert_true(refused * 100 <= campaigns * REFUSED_MAX_PERCENT);
    for (int o = FS_OUTCOME_MASKED; o <= FS_OUTCOME_DUE; o++)
        assert_true(b.outcomes[o] > trials / 50);
    assert_true(b.corrected > 0 && b.detected > 0 && b.miscorrected > 0 && b.checks > 0);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--long") == 0)
            is_long = 1;
        else
            seed = strtoull(argv[i], NULL, 10);
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_space)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
