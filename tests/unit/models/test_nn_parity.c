/* The engine against PyTorch 1.13: logits and losses of two trained models, made with transformers
 * and kept beside them. */
#include "testing.h"

#include <jansson.h>
#include <math.h>
#include <time.h>

#include "file.h"
#include "json_file.h"
#include "nn_model.h"

static const char models_dir[] = FS_SOURCE_DIR "/../shared/data/models";

enum { BATCH_TOKENS = 512 };

static json_t *load(const char *model, const char *file, nn_model **out_model, nn_view **out_view)
{
    char dir[FS_PATH_BYTES_MAX], path[FS_PATH_BYTES_MAX];
    json_t *root;
    assert_ok(fs_path_join(dir, models_dir, model));
    if (!fs_dir_exists(dir)) {
        print_message("%s is absent: skipped\n", dir);
        skip();
    }
    assert_ok(fs_path_join(path, dir, file));
    assert_ok(fs_json_file_read(&root, path, 64 << 20));
    assert_ok(nn_model_open(out_model, dir, NULL));
    assert_ok(nn_view_new(out_view, *out_model));
    return root;
}

/* Appends one array of ids to a batch. */
static uint32_t append_ids(int32_t *ids, const json_t *row)
{
    for (size_t i = 0; i < json_array_size(row); i++) {
        ids[i] = (int32_t)json_integer_value(json_array_get(row, i));
    }
    return (uint32_t)json_array_size(row);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void classify(nn_view *view, const nn_batch *batch, float *state, float *logits)
{
    uint32_t layers = nn_model_geometry(nn_view_model(view))->config.layers;
    assert_ok(nn_embed(view, batch, state));
    for (uint32_t l = 0; l + 1 < layers; l++) assert_ok(nn_layer(view, l, batch, state));
    assert_ok(nn_layer_last(view, batch, state));
    assert_ok(nn_classify(view, batch, state, logits));
}

/* Every logit of all 872 sentences of SST-2's development set. */
static void bert_logits(void **unused)
{
    nn_model *model;
    nn_view *view;
    json_t *root = load("bert-mini-sst2", "reference_dev.json", &model, &view);
    const json_t *ids = json_object_get(root, "ids"), *labels = json_object_get(root, "labels");
    const json_t *wanted = json_object_get(root, "logits");
    size_t n = json_array_size(ids), right = 0, tokens = 0;
    assert_int_equal(n, 872);
    assert_int_equal(json_array_size(wanted), n);
    int32_t *batch_ids = calloc(BATCH_TOKENS + 128, sizeof *batch_ids);
    uint32_t *off = calloc(BATCH_TOKENS, sizeof *off);
    float *state = calloc((BATCH_TOKENS + 128) * 256, sizeof *state);
    float *logits = calloc(2 * 872, sizeof *logits);
    double start = seconds();
    for (size_t i = 0; i < n;) {
        nn_batch batch = {batch_ids, off, 0};
        size_t first = i;
        for (; i < n && off[batch.n_seq] < BATCH_TOKENS; i++, batch.n_seq++) {
            off[batch.n_seq + 1] =
                off[batch.n_seq] + append_ids(batch_ids + off[batch.n_seq], json_array_get(ids, i));
        }
        tokens += off[batch.n_seq];
        classify(view, &batch, state, logits + 2 * first);
    }
    double took = seconds() - start, worst = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < 2; c++) {
            double expected = json_number_value(json_array_get(json_array_get(wanted, i), c));
            worst = fmax(worst, fabs(expected - (double)logits[2 * i + c]));
        }
        json_int_t label = json_integer_value(json_array_get(labels, i));
        right += (logits[2 * i + 1] > logits[2 * i]) == (label == 1);
    }
    print_message("872 rows, %zu tokens in %.3f s; worst logit %.3g off\n", tokens, took, worst);
    assert_int_equal(tokens, 21943);
    assert_int_equal(right, 705);
    assert_true(worst < 1e-4);
    free(batch_ids);
    free(off);
    free(state);
    free(logits);
    nn_view_destroy(&view);
    nn_model_close(&model);
    json_decref(root);
}

static double token_loss(const float *logits, size_t vocab, int32_t target)
{
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < vocab; i++) max = fmax(max, (double)logits[i]);
    for (size_t i = 0; i < vocab; i++) sum += exp((double)logits[i] - max);
    return max + log(sum) - (double)logits[target];
}

/* Per-token losses and logits of four windows. */
static void gpt2_losses(void **unused)
{
    enum { LENGTH_MAX = 256, WIDTH = 256, VOCAB = 8192 };
    nn_model *model;
    nn_view *view;
    json_t *root = load("gpt2-mini-wiki", "reference.json", &model, &view);
    const json_t *windows = json_object_get(root, "windows");
    float *state = calloc(LENGTH_MAX * WIDTH, sizeof *state);
    float *normed = calloc(LENGTH_MAX * WIDTH, sizeof *normed);
    float *logits = calloc((size_t)LENGTH_MAX * VOCAB, sizeof *logits);
    double worst_loss = 0, worst_logit = 0;
    assert_int_equal(json_array_size(windows), 4);
    for (size_t w = 0; w < json_array_size(windows); w++) {
        const json_t *window = json_array_get(windows, w);
        const json_t *nll = json_object_get(window, "nll");
        const json_t *last = json_object_get(window, "last_logits_first_16");
        int32_t ids[LENGTH_MAX];
        assert_true(json_array_size(json_object_get(window, "ids")) <= LENGTH_MAX);
        const uint32_t length = append_ids(ids, json_object_get(window, "ids"));
        const uint32_t off[2] = {0, length};
        const nn_batch batch = {ids, off, 1};
        assert_ok(nn_embed(view, &batch, state));
        for (uint32_t l = 0; l < 4; l++) assert_ok(nn_layer(view, l, &batch, state));
        assert_ok(nn_final_norm(view, &batch, state, normed));
        assert_ok(nn_lm_logits(view, normed, length, logits));
        assert_int_equal(json_array_size(nll), length - 1);
        assert_int_equal(json_array_size(last), 16);
        for (size_t i = 0; i + 1 < length; i++) {
            double expected = json_number_value(json_array_get(nll, i));
            double loss = token_loss(logits + i * VOCAB, VOCAB, ids[i + 1]);
            worst_loss = fmax(worst_loss, fabs(expected - loss));
        }
        for (size_t i = 0; i < 16; i++) {
            double expected = json_number_value(json_array_get(last, i));
            double logit = (double)logits[(size_t)(length - 1) * VOCAB + i];
            worst_logit = fmax(worst_logit, fabs(expected - logit));
        }
    }
    print_message("worst loss %.3g off, worst logit %.3g off\n", worst_loss, worst_logit);
    assert_true(worst_loss < 1e-4);
    assert_true(worst_logit < 1e-4);
    free(state);
    free(normed);
    free(logits);
    nn_view_destroy(&view);
    nn_model_close(&model);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bert_logits),
                                       cmocka_unit_test(gpt2_losses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
