#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "campaign.h"
#include "hash.h"
#include "plan_fixture.h"
#include "store.h"

static const char bert_config[] =
    "{\"model_type\": \"bert\", \"architectures\": [\"BertForSequenceClassification\"], "
    "\"vocab_size\": 12, \"max_position_embeddings\": 8, \"type_vocab_size\": 2, "
    "\"hidden_size\": 8, \"num_hidden_layers\": 2, \"num_attention_heads\": 2, "
    "\"intermediate_size\": 16, \"hidden_act\": \"gelu\", \"layer_norm_eps\": 1e-12, "
    "\"num_labels\": 2}";

static const char campaign_yaml[] =
    "campaign: small\n"
    "seed: 3\n"
    "task: {kind: classification, model: ./a, data: ./data.tsv, examples: 4}\n"
    "arms:\n"
    "  - {name: unprotected}\n"
    "  - {name: other, model: ./b, protect: [ep]}\n"
    "sweep:\n"
    "  - {name: one, site: {parameters: all, by: [layer]}, amount: {count: [1, 4]}, trials: 20}\n";

typedef struct fixture {
    char models[64];
    char dir[64];
} fixture;

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void remove_file(const char *dir, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(remove(path), 0);
}

static void make_models(const fixture *f)
{
    char path[256];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", f->models, i == 0 ? "a" : "b");
        assert_int_equal(mkdir(path, 0777), 0);
        write_file(path, "config.json", bert_config);
        write_file(path, "model.safetensors", i == 0 ? "weights" : "other weights");
    }
    write_file(f->models, "data.tsv", "sentence\tlabel\ngood\t1\n");
    write_file(f->models, "c.yaml", campaign_yaml);
}

static void remove_models(const fixture *f)
{
    char path[256];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", f->models, i == 0 ? "a" : "b");
        remove_file(path, "config.json");
        remove_file(path, "model.safetensors");
        assert_int_equal(rmdir(path), 0);
    }
    remove_file(f->models, "data.tsv");
    remove_file(f->models, "c.yaml");
    assert_int_equal(rmdir(f->models), 0);
}

static void read_plan(const fixture *f, fs_campaign **campaign, fs_plan **plan, fs_buf *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/c.yaml", f->models);
    fs_status status = fs_campaign_read(campaign, path);
    if (status == FS_OK) status = fs_plan_new(plan, *campaign);
    if (status != FS_OK) print_message("%s\n", fs_status_detail());
    assert_int_equal(status, FS_OK);
    fs_buf_clear(text);
    assert_int_equal(fs_campaign_write(*campaign, text), FS_OK);
}

static void assert_same_plan(const fs_plan *a, const fs_plan *b)
{
    assert_true(b->has_fingerprint);
    assert_true(fs_hash_equal(&a->fingerprint, &b->fingerprint));
    assert_string_equal(a->identity, b->identity);
    assert_int_equal(a->trials, b->trials);
    assert_int_equal(a->cell_count, b->cell_count);
    fs_fault_list x = {0}, y = {0};
    for (size_t i = 0; i < a->cell_count; i++) {
        assert_string_equal(a->cells[i].id, b->cells[i].id);
        assert_int_equal(a->cells[i].draw_key, b->cells[i].draw_key);
        assert_int_equal(fs_cell_draw(&x, &a->cells[i], 7), FS_OK);
        assert_int_equal(fs_cell_draw(&y, &b->cells[i], 7), FS_OK);
        assert_int_equal(fs_fault_list_checksum(&x), fs_fault_list_checksum(&y));
    }
    fs_fault_list_free(&x);
    fs_fault_list_free(&y);
}

static void test_a_plan_comes_back_without_its_models(void **state)
{
    fixture f;
    fixture_mkdir(f.models);
    fixture_mkdir(f.dir);
    make_models(&f);
    fs_campaign *campaign = NULL, *campaign2 = NULL;
    fs_plan *plan = NULL, *plan2 = NULL;
    fs_store *store = NULL;
    fs_buf text = {0};
    read_plan(&f, &campaign, &plan, &text);
    fs_status status = fs_store_open(&store, f.dir, FS_STORE_CREATE, plan, fs_buf_text(&text));
    assert_int_equal(status, FS_OK);
    fs_store_close(&store);
    remove_models(&f);
    assert_int_equal(fs_store_open(&store, f.dir, FS_STORE_READ, NULL, NULL), FS_OK);
    status = fs_store_plan(store, &campaign2, &plan2);
    if (status != FS_OK) print_message("%s\n", fs_status_detail());
    assert_int_equal(status, FS_OK);
    assert_same_plan(plan, plan2);
    fs_plan_destroy(&plan2);
    fs_campaign_destroy(&campaign2);
    fs_plan_destroy(&plan);
    fs_campaign_destroy(&campaign);
    fs_store_close(&store);
    fs_buf_free(&text);
    fixture_rmdir(f.dir);
}

/* A store with a result belongs to its campaign. */
static void put_one_trial(fs_store *store)
{
    const fs_trial_record record = {.inputs = 1, .masked = 1};
    fs_buf bytes = {0};
    int verdict;
    assert_int_equal(fs_trial_encode(&record, &bytes), FS_OK);
    assert_int_equal(fs_store_begin(store), FS_OK);
    assert_int_equal(fs_store_put_trial(store, 0, 0, bytes.data, bytes.size, &verdict), FS_OK);
    assert_int_equal(fs_store_commit(store), FS_OK);
    fs_buf_free(&bytes);
}

static void test_changed_weights_and_data_are_refused_by_name(void **state)
{
    fixture f;
    fixture_mkdir(f.models);
    fixture_mkdir(f.dir);
    make_models(&f);
    char path[256];
    snprintf(path, sizeof path, "%s/b", f.models);
    fs_campaign *campaign = NULL;
    fs_plan *plan = NULL;
    fs_store *store = NULL;
    fs_buf text = {0};
    /* What is changed before each opening, and the line that must be named. */
    const char *const files[] = {"", "model.safetensors", "model.safetensors", "data.tsv"};
    const char *const texts[] = {"", "new weights", "other weights", "sentence\tlabel\nbad\t0\n"};
    const char *const named[] = {NULL, "arm.other.model", NULL, "task.data"};
    for (int i = 0; i < 4; i++) {
        if (i > 0) write_file(i == 3 ? f.models : path, files[i], texts[i]);
        read_plan(&f, &campaign, &plan, &text);
        fs_status status = fs_store_open(&store, f.dir, FS_STORE_CREATE, plan, fs_buf_text(&text));
        assert_int_equal(status, named[i] == NULL ? FS_OK : FS_EREFUSED);
        if (named[i] != NULL) assert_non_null(strstr(fs_status_detail(), named[i]));
        if (i == 0) put_one_trial(store);
        fs_store_close(&store);
        fs_plan_destroy(&plan);
        fs_campaign_destroy(&campaign);
    }
    fs_buf_free(&text);
    remove_models(&f);
    fixture_rmdir(f.dir);
}

/* Orchestration can be tried without models; such a store must be readable too. */
static void test_a_simulated_campaign_comes_back(void **state)
{
    fixture f;
    fixture_mkdir(f.models);
    fixture_mkdir(f.dir);
    make_models(&f);
    char path[256];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", f.models, i == 0 ? "a" : "b");
        remove_file(path, "model.safetensors");
    }
    fs_campaign *campaign = NULL, *campaign2 = NULL;
    fs_plan *plan = NULL, *plan2 = NULL;
    fs_store *store = NULL;
    fs_buf text = {0}, identity = {0};
    read_plan(&f, &campaign, &plan, &text);
    assert_false(plan->has_fingerprint);
    assert_int_equal(fs_buf_printf(&identity, "%ssimulated: yes\n", plan->identity), FS_OK);
    free(plan->identity);
    plan->identity = strdup(fs_buf_text(&identity));
    plan->has_fingerprint = 1;
    fs_hash_bytes(&plan->fingerprint, "simulated", 9);
    assert_int_equal(fs_store_open(&store, f.dir, FS_STORE_CREATE, plan, fs_buf_text(&text)),
                     FS_OK);
    fs_status status = fs_store_plan(store, &campaign2, &plan2);
    if (status != FS_OK) print_message("%s\n", fs_status_detail());
    assert_int_equal(status, FS_OK);
    assert_true(fs_hash_equal(&plan->fingerprint, &plan2->fingerprint));
    assert_int_equal(plan->cell_count, plan2->cell_count);
    fs_plan_destroy(&plan2);
    fs_campaign_destroy(&campaign2);
    fs_plan_destroy(&plan);
    fs_campaign_destroy(&campaign);
    fs_store_close(&store);
    fs_buf_free(&text);
    fs_buf_free(&identity);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", f.models, i == 0 ? "a" : "b");
        write_file(path, "model.safetensors", "");
    }
    remove_models(&f);
    fixture_rmdir(f.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_plan_comes_back_without_its_models),
        cmocka_unit_test(test_changed_weights_and_data_are_refused_by_name),
        cmocka_unit_test(test_a_simulated_campaign_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
