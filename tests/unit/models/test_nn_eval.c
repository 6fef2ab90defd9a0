#include "testing.h"

#include <math.h>

#include "dataset.h"
#include "file.h"
#include "limits.h"
#include "nn_eval.h"
#include "oracle.h"
#include "tiny_model.h"

/* A small random model on disk and in memory, with data. */
typedef struct fixture {
    char *dir;
    tiny_model *tiny;
    nn_model *model;
    tok *tokeniser;
    dataset *data;
} fixture;

static fixture fixture_open(fs_model_kind kind, fs_task_kind task, uint32_t stride)
{
    fixture f = {.dir = testing_folder()};
    fs_config config;
    tiny_spec spec = tiny_spec_default(kind, task);
    spec.seed = 7;
    spec.positions = 24;
    if (kind == FS_MODEL_GPT2) spec.vocab = 300;
    fs_task wanted = {.kind = task, .stride = stride};
    assert_ok(tiny_model_new(&f.tiny, &spec));
    assert_ok(tiny_model_write(f.tiny, f.dir));
    assert_ok(fs_path_join(wanted.data, f.dir, "data"));
    assert_ok(tiny_model_write_data(f.tiny, wanted.data, 120));
    assert_ok(fs_config_read(&config, f.dir));
    assert_ok(tok_open(&f.tokeniser, f.dir));
    assert_ok(dataset_read(&f.data, &wanted, &config, f.tokeniser));
    assert_ok(nn_model_open(&f.model, f.dir, NULL));
    return f;
}

static void fixture_close(fixture *f)
{
    dataset_destroy(&f->data);
    tok_close(&f->tokeniser);
    nn_model_close(&f->model);
    tiny_model_destroy(&f->tiny);
    testing_remove(f->dir);
}

/* Everything that came out of a run. */
typedef struct results {
    const fixture *fixture;
    uint32_t items;
    double *losses; /* one after the other */
    uint64_t loss_count;
    float *logits;
    uint64_t logit_count;
    uint32_t fail_at; /* the sink fails here; 0: never */
} results;

static fs_status collect(void *context, const nn_eval_item *item)
{
    results *r = context;
    double sum = 0;
    assert_int_equal(item->input, r->items); /* in order, each once */
    r->items++;
    if (r->fail_at != 0 && r->items == r->fail_at) return fs_fail(FS_ENOSPC, "made to fail");
    r->losses = realloc(r->losses, (r->loss_count + item->answers) * sizeof *r->losses);
    for (uint32_t i = 0; i < item->answers; i++) {
        sum += item->losses[i];
        r->losses[r->loss_count++] = item->losses[i];
    }
    assert_true(sum == item->loss);
    if (item->logits == NULL) return FS_OK;
    r->logits = realloc(r->logits, (r->logit_count + item->logit_count) * sizeof *r->logits);
    memcpy(r->logits + r->logit_count, item->logits, item->logit_count * sizeof *r->logits);
    r->logit_count += item->logit_count;
    return FS_OK;
}

static results evaluate(const fixture *f, uint32_t threads, int lm_logits)
{
    results r = {.fixture = f};
    nn_eval_options options = {threads, lm_logits, collect, &r};
    assert_ok(nn_eval_run(f->model, f->data, &options));
    assert_int_equal(r.items, f->data->count);
    assert_true(r.loss_count == f->data->answers);
    return r;
}

static void results_free(results *r)
{
    free(r->losses);
    free(r->logits);
}

/* -log softmax, in the plainest way. */
static double loss_of(const double *logits, uint32_t n, int32_t target)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += exp(logits[i] - logits[target]);
    return log(sum);
}

/* The oracle is a forward pass in double precision that shares no code with the engine. */
static void test_classification_against_the_oracle(void **state)
{
    fixture f = fixture_open(FS_MODEL_BERT, FS_TASK_CLASSIFICATION, 0);
    results r = evaluate(&f, 2, 0);
    uint32_t labels = f.tiny->spec.labels;
    assert_true(r.logit_count == (uint64_t)f.data->count * labels);
    for (uint32_t i = 0; i < f.data->count; i++) {
        double logits[16];
        oracle_logits(f.tiny, f.data->ids + f.data->off[i], f.data->off[i + 1] - f.data->off[i],
                      logits);
        for (uint32_t k = 0; k < labels; k++)
            assert_true(fabs((double)r.logits[i * labels + k] - logits[k]) < 1e-4);
        assert_true(fabs(r.losses[i] - loss_of(logits, labels, f.data->labels[i])) < 1e-4);
    }
    results_free(&r);
    fixture_close(&f);
}

static void check_language_model(uint32_t stride)
{
    fixture f = fixture_open(FS_MODEL_GPT2, FS_TASK_LM, stride);
    results r = evaluate(&f, 2, 1);
    uint32_t vocab = f.tiny->spec.vocab;
    double *logits = malloc((size_t)24 * vocab * sizeof *logits);
    uint64_t at = 0, row = 0;
    for (uint32_t i = 0; i < f.data->count; i++) {
        const int32_t *ids = f.data->ids + f.data->off[i];
        uint32_t length = f.data->off[i + 1] - f.data->off[i];
        oracle_logits(f.tiny, ids, length, logits);
        for (uint64_t k = 0; k < (uint64_t)length * vocab; k++)
            assert_true(fabs((double)r.logits[row * vocab + k] - logits[k]) < 1e-4);
        row += length;
        for (uint32_t k = length - f.data->scored[i]; k < length; k++) {
            double expected = loss_of(logits + (size_t)(k - 1) * vocab, vocab, ids[k]);
            assert_true(fabs(r.losses[at++] - expected) < 1e-4);
        }
    }
    free(logits);
    results_free(&r);
    fixture_close(&f);
}

static void test_language_model_against_the_oracle(void **state)
{
    check_language_model(0);
    check_language_model(7);
}

static void check_threads(fs_model_kind kind, fs_task_kind task, int lm_logits)
{
    fixture f = fixture_open(kind, task, 0);
    results one = evaluate(&f, 1, lm_logits);
    for (uint32_t threads = 2; threads <= 9; threads += 7) {
        results many = evaluate(&f, threads, lm_logits);
        assert_memory_equal(one.losses, many.losses, one.loss_count * sizeof *one.losses);
        assert_true(one.logit_count == many.logit_count);
        if (one.logit_count > 0)
            assert_memory_equal(one.logits, many.logits, one.logit_count * sizeof *one.logits);
        results_free(&many);
    }
    results_free(&one);
    fixture_close(&f);
}

static void test_bits_do_not_depend_on_threads(void **state)
{
    check_threads(FS_MODEL_BERT, FS_TASK_CLASSIFICATION, 0);
    check_threads(FS_MODEL_GPT2, FS_TASK_CLASSIFICATION, 0);
    check_threads(FS_MODEL_GPT2, FS_TASK_LM, 0);
}

/* Losses found in blocks of logits are those found with all logits kept. */
static void test_losses_with_and_without_logits(void **state)
{
    fixture f = fixture_open(FS_MODEL_GPT2, FS_TASK_LM, 0);
    results kept = evaluate(&f, 1, 1), blocks = evaluate(&f, 1, 0);
    assert_memory_equal(kept.losses, blocks.losses, kept.loss_count * sizeof *kept.losses);
    assert_true(blocks.logit_count == 0);
    results_free(&kept);
    results_free(&blocks);
    fixture_close(&f);
}

static void test_a_failing_sink_ends_the_run(void **state)
{
    fixture f = fixture_open(FS_MODEL_BERT, FS_TASK_CLASSIFICATION, 0);
    for (uint32_t at = 1; at <= f.data->count; at += 17) {
        results r = {.fixture = &f, .fail_at = at};
        nn_eval_options options = {4, 0, collect, &r};
        assert_status(nn_eval_run(f.model, f.data, &options), FS_ENOSPC);
        assert_detail("made to fail"); /* also when another thread met it */
        assert_int_equal(r.items, at);
        results_free(&r);
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classification_against_the_oracle),
        cmocka_unit_test(test_language_model_against_the_oracle),
        cmocka_unit_test(test_bits_do_not_depend_on_threads),
        cmocka_unit_test(test_losses_with_and_without_logits),
        cmocka_unit_test(test_a_failing_sink_ends_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
