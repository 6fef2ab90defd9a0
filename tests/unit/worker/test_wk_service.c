/* What a worker makes of a WELCOME, with small real models: equal plans, moved files, changed ones.
 */
#include "testing.h"

#include "campaign.h"
#include "file.h"
#include "plan.h"
#include "tiny_model.h"
#include "wk_service.h"

/** A campaign as a coordinator sends it. */
typedef struct sent {
    char *folder; /* holds m/ and data.tsv */
    fs_buf text;
    char *identity;
    fs_hash fingerprint;
} sent;

static void write_files(const char *folder, uint64_t seed)
{
    char path[FS_PATH_BYTES_MAX];
    tiny_model *model;
    tiny_spec spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    spec.seed = seed;
    assert_ok(tiny_model_new(&model, &spec));
    assert_ok(fs_path_join(path, folder, "m"));
    assert_ok(tiny_model_write(model, path));
    assert_ok(fs_path_join(path, folder, "data.tsv"));
    assert_ok(tiny_model_write_data(model, path, 20));
    tiny_model_destroy(&model);
}

static void sent_open(sent *self)
{
    fs_buf text = {0};
    fs_campaign *campaign;
    fs_plan *plan;
    memset(self, 0, sizeof *self);
    self->folder = testing_folder();
    write_files(self->folder, 11);
    assert_ok(fs_buf_printf(&text,
                            "campaign: t\nseed: 3\n"
                            "task: {kind: classification, model: %s/m, data: %s/data.tsv}\n"
                            "arms:\n  - {name: plain}\n  - {name: guarded, protect: [ep]}\n"
                            "sweep:\n  - name: s\n    site: {parameters: all}\n"
                            "    amount: {rate: [0.01]}\n    trials: 50\n",
                            self->folder, self->folder));
    assert_ok(fs_campaign_parse(&campaign, fs_buf_text(&text), text.size, "test.yaml"));
    assert_ok(fs_campaign_write(campaign, &self->text));
    assert_ok(fs_plan_new(&plan, campaign));
    self->fingerprint = plan->fingerprint;
    self->identity = strdup(plan->identity);
    fs_plan_destroy(&plan);
    fs_campaign_destroy(&campaign);
    fs_buf_free(&text);
}

static void sent_close(sent *self)
{
    testing_remove(self->folder);
    fs_buf_free(&self->text);
    free(self->identity);
}

static wk_service_request request_of(const sent *self, const char *models)
{
    return (wk_service_request){.campaign = fs_buf_text(&self->text),
                                .campaign_bytes = self->text.size,
                                .identity = self->identity,
                                .fingerprint = self->fingerprint,
                                .models = models,
                                .options = {.threads = 1, .golden_bytes_max = 1 << 24}};
}

static void encode_trial(const wk_service *service, uint32_t cell, uint64_t trial, fs_buf *out)
{
    const wk_work *work = wk_service_work(service);
    fs_trial_record record;
    fs_buf_clear(out);
    assert_true(cell < work->cells && work->variant(work->context, cell) < work->variants);
    assert_ok(work->run(work->context, 0, cell, trial, &record));
    assert_ok(fs_trial_encode(&record, out));
}

static void a_welcome_becomes_work(void **state)
{
    sent s;
    sent_open(&s);
    const wk_service_request request = request_of(&s, NULL);
    wk_service *one, *two;
    wk_golden_info golden[2];
    fs_buf a = {0}, b = {0};
    assert_ok(wk_service_new(&one, &request));
    assert_ok(wk_service_new(&two, &request));
    assert_int_equal(wk_service_work(one)->cells, 2);
    assert_int_equal(wk_service_work(one)->variants, 2);
    const wk_work *work = wk_service_work(one);
    for (uint32_t v = 0; v < 2; v++) assert_ok(work->golden(work->context, v, &golden[v]));
    assert_int_equal(golden[0].answers, 20);
    for (uint32_t v = 0; v < 2; v++) {
        assert_in_range(golden[v].positions_read, 3, 64); /* [CLS], a word or more, [SEP] */
        assert_true(golden[v].token_rows_read > 3 && golden[v].bounds_checksum == 0);
    }
    for (uint64_t t = 0; t < 5; t++) {
        encode_trial(one, 1, t, &a);
        encode_trial(two, 1, t, &b);
        assert_int_equal(a.size, b.size);
        assert_memory_equal(a.data, b.data, a.size);
    }
    wk_service_destroy(&one);
    wk_service_destroy(&one);
    wk_service_destroy(&two);
    fs_buf_free(&a);
    fs_buf_free(&b);
    sent_close(&s);
}

static void files_may_lie_elsewhere(void **state)
{
    sent s;
    sent_open(&s);
    char *elsewhere = testing_folder();
    write_files(elsewhere, 11);
    char gone[FS_PATH_BYTES_MAX];
    assert_true((size_t)snprintf(gone, sizeof gone, "%s-gone", s.folder) < sizeof gone);
    assert_int_equal(rename(s.folder, gone), 0);
    wk_service *service;
    wk_service_request request = request_of(&s, NULL);
    assert_true(wk_service_new(&service, &request) != FS_OK);
    assert_null(service);
    assert_detail(s.folder);
    request.models = "/nonexistent";
    assert_true(wk_service_new(&service, &request) != FS_OK);
    request.models = elsewhere;
    assert_ok(wk_service_new(&service, &request));
    fs_buf a = {0};
    encode_trial(service, 0, 0, &a);
    fs_buf_free(&a);
    wk_service_destroy(&service);
    assert_int_equal(rename(gone, s.folder), 0);
    testing_remove(elsewhere);
    sent_close(&s);
}

/** The coordinator's files lay in its cache; this machine has the same names in its own. */
static void names_are_looked_up_here(void **state)
{
    sent s;
    sent_open(&s);
    char *cache = testing_folder();
    char gone[FS_PATH_BYTES_MAX], owned[FS_PATH_BYTES_MAX], model[FS_PATH_BYTES_MAX];
    assert_true((size_t)snprintf(gone, sizeof gone, "%s-gone", s.folder) < sizeof gone);
    assert_int_equal(rename(s.folder, gone), 0);
    wk_service *service;
    wk_service_request request = request_of(&s, NULL);
    setenv("FLIPSWEEP_CACHE", cache, 1);
    assert_status(wk_service_new(&service, &request), FS_ENOENT);
    write_files(cache, 11);
    assert_ok(wk_service_new(&service, &request));
    wk_service_destroy(&service);
    /* OWNER/NAME, as fetch leaves it. */
    const char *owner = strrchr(s.folder, '/') + 1;
    assert_ok(fs_path_join(owned, cache, owner));
    assert_ok(fs_dir_make(owned));
    assert_ok(fs_path_join(model, cache, "m"));
    assert_true(strlen(owned) + 2 < sizeof owned);
    memcpy(owned + strlen(owned), "/m", 3);
    assert_int_equal(rename(model, owned), 0);
    assert_ok(wk_service_new(&service, &request));
    wk_service_destroy(&service);
    /* The same name with other contents is refused. */
    write_files(cache, 12);
    assert_status(wk_service_new(&service, &request), FS_EREFUSED);
    unsetenv("FLIPSWEEP_CACHE");
    assert_int_equal(rename(gone, s.folder), 0);
    testing_remove(cache);
    sent_close(&s);
}

static void other_weights_are_refused_by_name(void **state)
{
    sent s;
    sent_open(&s);
    char data[FS_PATH_BYTES_MAX];
    fs_buf kept = {0};
    assert_ok(fs_path_join(data, s.folder, "data.tsv"));
    assert_ok(fs_file_read(&kept, data, 1 << 20));
    write_files(s.folder, 12);
    assert_ok(fs_file_write_atomic(data, kept.data, kept.size));
    fs_buf_free(&kept);
    wk_service *service;
    wk_service_request request = request_of(&s, NULL);
    assert_status(wk_service_new(&service, &request), FS_EREFUSED);
    assert_detail("model");
    assert_detail(", was ");
    request.identity = "";
    assert_status(wk_service_new(&service, &request), FS_EREFUSED);
    assert_detail("fingerprints differ");
    sent_close(&s);
}

static void damaged_campaigns_are_errors(void **state)
{
    sent s;
    sent_open(&s);
    wk_service *service;
    wk_service_request request = request_of(&s, NULL);
    request.campaign = "campaign: [";
    request.campaign_bytes = strlen(request.campaign);
    assert_true(wk_service_new(&service, &request) != FS_OK);
    assert_null(service);
    /* Cut anywhere, it is an error, another campaign, or the same, and never a crash. */
    request.campaign = fs_buf_text(&s.text);
    for (size_t size = 0; size + 1 < s.text.size; size += 7) {
        request.campaign_bytes = size;
        if (wk_service_new(&service, &request) == FS_OK) wk_service_destroy(&service);
    }
    sent_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_welcome_becomes_work),
        cmocka_unit_test(files_may_lie_elsewhere),
        cmocka_unit_test(names_are_looked_up_here),
        cmocka_unit_test(other_weights_are_refused_by_name),
        cmocka_unit_test(damaged_campaigns_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
