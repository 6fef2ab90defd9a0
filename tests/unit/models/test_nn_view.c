/* Loading and views: what is stored where, who sees what, and what a bad folder is told. */
#include "testing.h"

#include <math.h>
#include <pthread.h>

#include "file.h"
#include "nn_model.h"
#include "tiny_model.h"

static tiny_spec spec_of(int i)
{
    tiny_spec spec =
        i == 0 ? tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION)
               : tiny_spec_default(FS_MODEL_GPT2, i == 1 ? FS_TASK_LM : FS_TASK_CLASSIFICATION);
    spec.vocab = 45;
    spec.width = 20;
    spec.untied = i == 3;
    if (i == 3) {
        spec.task = FS_TASK_LM;
        spec.labels = 0;
    }
    return spec;
}

enum { KINDS = 4, LOGITS_MAX = 6 * 45, ROUNDS = 40, THREADS = 3 };

static nn_model *open_spec(const tiny_spec *spec, const fs_protect *protect, tiny_model **out_tiny)
{
    char *dir = testing_folder();
    nn_model *model;
    assert_ok(tiny_model_new(out_tiny, spec));
    assert_ok(tiny_model_write(*out_tiny, dir));
    assert_ok(nn_model_open(&model, dir, protect));
    testing_remove(dir); /* the maps stay */
    return model;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Every element of every tensor, read back from the packing and from the file. */
static void every_element(void **unused)
{
    for (int i = 0; i < KINDS; i++) {
        for (int dtype = TINY_F32; dtype <= TINY_BF16; dtype++) {
            tiny_spec spec = spec_of(i);
            spec.dtype = (tiny_dtype)dtype;
            tiny_model *tiny;
            nn_view *view;
            nn_model *model = open_spec(&spec, NULL, &tiny);
            assert_ok(nn_view_new(&view, model));
            const fs_geometry *geometry = nn_model_geometry(model);
            for (uint32_t t = 0; t < geometry->tensor_count; t++) {
                const tiny_tensor *tensor = tiny_model_tensor(tiny, geometry->tensors[t].name);
                for (uint64_t e = 0; e < (uint64_t)tensor->rows * tensor->cols; e++) {
                    assert_int_equal(nn_view_get(view, t, e), bits_of(tensor->values[e]));
                    assert_int_equal(nn_model_clean(model, t, e), bits_of(tensor->values[e]));
                }
            }
            assert_int_equal(nn_model_altered(model), 0);
            nn_view_destroy(&view);
            nn_model_close(&model);
            tiny_model_destroy(&tiny);
        }
    }
}

/* What one view writes, another and the model do not see; undone or reset, the bits are back. */
static void isolation(void **unused)
{
    for (int i = 0; i < KINDS; i++) {
        tiny_spec spec = spec_of(i);
        tiny_model *tiny;
        nn_model *model = open_spec(&spec, NULL, &tiny);
        nn_view *a, *b;
        assert_ok(nn_view_new(&a, model));
        assert_ok(nn_view_new(&b, model));
        const uint64_t golden = nn_model_checksum(model);
        assert_true(nn_view_checksum(a) == golden && nn_view_checksum(b) == golden);
        for (uint32_t t = 0; t < nn_model_geometry(model)->tensor_count; t++) {
            const uint64_t e = 5 % nn_model_geometry(model)->tensors[t].cols;
            const uint32_t old = nn_view_get(a, t, e), other = old ^ 0x40000000u;
            nn_view_set(a, t, e, other);
            assert_int_equal(nn_view_get(a, t, e), other);
            assert_int_equal(nn_view_get(b, t, e), old);
            assert_true(nn_view_checksum(a) != golden);
            assert_true(nn_view_checksum(b) == golden);
            nn_view_set(b, t, e, old ^ 1u);
            assert_int_equal(nn_view_get(a, t, e), other);
            nn_view_set(a, t, e, old);
            assert_true(nn_view_checksum(a) == golden);
            assert_ok(nn_view_reset(b));
            assert_int_equal(nn_view_get(b, t, e), old);
            assert_true(nn_view_checksum(b) == golden);
        }
        nn_view *late;
        nn_view_set(a, 0, 0, 0x7fc00001u);
        assert_ok(nn_view_new(&late, model));
        assert_true(nn_view_checksum(late) == golden);
        assert_ptr_equal(nn_view_model(late), model);
        nn_view_destroy(&late);
        nn_view_destroy(&late);
        nn_view_destroy(&a);
        nn_view_destroy(&b);
        nn_model_close(&model);
        nn_model_close(&model);
        tiny_model_destroy(&tiny);
    }
}

/* A state of one sequence behind all layers and the head, for NaN tests. */
static size_t run(nn_view *view, const int32_t *ids, uint32_t n, float *logits)
{
    const fs_config *config = &nn_model_geometry(nn_view_model(view))->config;
    const uint32_t off[2] = {0, n};
    const nn_batch batch = {ids, off, 1};
    float state[16 * 20];
    assert_ok(nn_embed(view, &batch, state));
    for (uint32_t l = 0; l < config->layers; l++) assert_ok(nn_layer(view, l, &batch, state));
    if (config->task == FS_TASK_CLASSIFICATION) {
        assert_ok(nn_classify(view, &batch, state, logits));
        return config->labels;
    }
    assert_ok(nn_final_norm(view, &batch, state, state));
    assert_ok(nn_lm_logits(view, state, n, logits));
    return (size_t)n * config->vocab;
}

/* A NaN or Inf in any tensor that the inputs read reaches the answer. */
static void nonfinite_propagates(void **unused)
{
    static const int32_t ids[6] = {0, 1, 2, 3, 4, 0};
    static const uint32_t bad[] = {0x7fc00000u, 0xff800000u, 0x7f800000u, 0x7f800001u};
    for (int i = 0; i < KINDS; i++) {
        tiny_spec spec = spec_of(i);
        spec.activation = "relu";
        tiny_model *tiny;
        nn_view *view;
        nn_model *model = open_spec(&spec, NULL, &tiny);
        assert_ok(nn_view_new(&view, model));
        for (uint32_t t = 0; t < nn_model_geometry(model)->tensor_count; t++) {
            for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
                float logits[LOGITS_MAX];
                int spread = 0;
                nn_view_set(view, t, 3 % nn_model_geometry(model)->tensors[t].cols, bad[k]);
                size_t n = run(view, ids, 6, logits);
                for (size_t j = 0; j < n; j++) spread |= !isfinite(logits[j]);
                /* An Inf may end as a finite number where ReLU or tanh cuts it; a NaN may not. */
                int nan = bad[k] == 0x7fc00000u || bad[k] == 0x7f800001u;
                if (nan && !spread) {
                    fail_msg("a NaN in %s vanishes", nn_model_geometry(model)->tensors[t].name);
                }
                assert_ok(nn_view_reset(view));
            }
        }
        nn_view_destroy(&view);
        nn_model_close(&model);
        tiny_model_destroy(&tiny);
    }
}

/* Causal: a token that comes later cannot touch an earlier row, not even as 0 x NaN. */
static void causality(void **unused)
{
    static const int32_t ids[6] = {0, 1, 2, 3, 4, 7};
    tiny_spec spec = spec_of(3);
    tiny_model *tiny;
    nn_view *view;
    nn_model *model = open_spec(&spec, NULL, &tiny);
    float before[6 * 45], after[6 * 45];
    assert_ok(nn_view_new(&view, model));
    run(view, ids, 6, before);
    nn_view_set(view, 0, 7 * 20 + 3, 0x7fc00000u); /* the last token's embedding */
    run(view, ids, 6, after);
    assert_memory_equal(before, after, 5 * 45 * sizeof *before);
    for (size_t i = 5 * 45; i < 6 * 45; i++) assert_true(isnan(after[i]));
    nn_view_destroy(&view);
    nn_model_close(&model);
    tiny_model_destroy(&tiny);
}

/* What one thread of several does with its own view of a shared model. */
typedef struct labourer {
    const nn_model *model;
    uint64_t seed;
    const float *golden;
    size_t count;
    unsigned wrong; /* rounds after which something was not as before */
} labourer;

static void *labour(void *argument)
{
    static const int32_t ids[6] = {0, 1, 2, 3, 4, 0};
    labourer *self = argument;
    const fs_geometry *geometry = nn_model_geometry(self->model);
    nn_view *view;
    if (nn_view_new(&view, self->model) != FS_OK) {
        self->wrong = ROUNDS;
        return NULL;
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        float logits[LOGITS_MAX];
        uint32_t tensor = (uint32_t)(tiny_random(&self->seed) % geometry->tensor_count);
        uint64_t element = tiny_random(&self->seed) % geometry->tensors[tensor].cols;
        uint32_t old = nn_view_get(view, tensor, element);
        nn_view_set(view, tensor, element, 0x7fc00000u);
        run(view, ids, 6, logits);
        nn_view_set(view, tensor, element, old);
        run(view, ids, 6, logits);
        self->wrong += memcmp(logits, self->golden, self->count * sizeof *logits) != 0;
        self->wrong += nn_view_checksum(view) != nn_model_checksum(self->model);
    }
    nn_view_destroy(&view);
    return NULL;
}

/* Threads with views of their own never meet. */
static void threads(void **unused)
{
    static const int32_t ids[6] = {0, 1, 2, 3, 4, 0};
    for (int i = 0; i < KINDS; i++) {
        tiny_spec spec = spec_of(i);
        tiny_model *tiny;
        nn_view *view;
        nn_model *model = open_spec(&spec, NULL, &tiny);
        float golden[LOGITS_MAX];
        labourer labourers[THREADS];
        pthread_t handles[THREADS];
        assert_ok(nn_view_new(&view, model));
        size_t count = run(view, ids, 6, golden);
        for (unsigned t = 0; t < THREADS; t++) {
            labourers[t] = (labourer){model, t, golden, count, 0};
            assert_int_equal(pthread_create(&handles[t], NULL, labour, &labourers[t]), 0);
        }
        for (unsigned t = 0; t < THREADS; t++) {
            assert_int_equal(pthread_join(handles[t], NULL), 0);
            assert_int_equal(labourers[t].wrong, 0);
        }
        nn_view_destroy(&view);
        nn_model_close(&model);
        tiny_model_destroy(&tiny);
    }
}

/* Weights are read through the protections: EP clips to +-(2 - 2^-23), and says how often. */
static void protections(void **unused)
{
    static const char *const names[] = {"ep"};
    for (int i = 0; i < KINDS; i++) {
        tiny_spec spec = spec_of(i);
        tiny_model *tiny;
        nn_view *view;
        fs_protect protect;
        assert_ok(fs_protect_init(&protect, names, 1, (fs_guard){FS_GUARD_THRESHOLD, 1.5f}));
        nn_model *model = open_spec(&spec, &protect, &tiny);
        assert_ok(nn_view_new(&view, model));
        const fs_geometry *geometry = nn_model_geometry(model);
        uint64_t altered = 0;
        for (uint32_t t = 0; t < geometry->tensor_count; t++) {
            const tiny_tensor *tensor = tiny_model_tensor(tiny, geometry->tensors[t].name);
            for (uint64_t e = 0; e < (uint64_t)tensor->rows * tensor->cols; e++) {
                float value = tensor->values[e];
                /* Clipped to 2 - 2^-23 first, then beyond the threshold all the same. */
                float expected = fabsf(value) > 1.5f ? 0.0f : value;
                assert_int_equal(nn_view_get(view, t, e), bits_of(expected));
                assert_int_equal(nn_model_clean(model, t, e), bits_of(value));
                altered += fabsf(value) > 1.5f;
            }
        }
        assert_true(altered > 0);
        assert_int_equal(nn_model_altered(model), altered);
        nn_view_destroy(&view);
        nn_model_close(&model);
        tiny_model_destroy(&tiny);
    }
}

/* A codec of two words that tells which words it was given: the first is stored in the second's
 * place and back. Codewords end with the row; what fills them up must not leak. */
static void swap_words(const fs_codec_run *run, uint8_t *check)
{
    for (size_t i = 0; i < run->count; i += 2) {
        uint32_t first = run->words[i];
        run->words[i] = run->words[i + 1];
        run->words[i + 1] = first;
        check[i / 2] = (uint8_t)(run->words[i] ^ run->words[i] >> 16);
    }
}

static void swap_back(const fs_codec_run *run, const uint8_t *check, fs_codec_report *report)
{
    for (size_t i = 0; i < run->count; i += 2) {
        uint32_t first = run->words[i];
        report->detected += check[i / 2] != (uint8_t)(first ^ first >> 16);
        run->words[i] = run->words[i + 1];
        run->words[i + 1] = first ^ 1u;
    }
}

static void codewords(void **unused)
{
    static const fs_codec codec = {.name = "swap",
                                   .summary = "for tests",
                                   .family = "swap",
                                   .words = 2,
                                   .check_bits = 8,
                                   .encode = swap_words,
                                   .decode = swap_back};
    const fs_protect protect = {.codecs = {&codec}, .codec_count = 1};
    tiny_spec spec = spec_of(0);
    spec.width = 7;
    spec.heads = 1;
    tiny_model *tiny;
    nn_view *view;
    nn_model *model = open_spec(&spec, &protect, &tiny);
    assert_ok(nn_view_new(&view, model));
    const fs_geometry *geometry = nn_model_geometry(model);
    uint64_t odd = 0;
    for (uint32_t t = 0; t < geometry->tensor_count; t++) {
        const tiny_tensor *tensor = tiny_model_tensor(tiny, geometry->tensors[t].name);
        for (uint64_t e = 0; e < (uint64_t)tensor->rows * tensor->cols; e++) {
            uint64_t second = e % tensor->cols & 1;
            assert_int_equal(nn_view_get(view, t, e), bits_of(tensor->values[e]) ^ second);
            odd += second;
        }
    }
    assert_int_equal(nn_model_altered(model), odd);
    nn_view_destroy(&view);
    nn_model_close(&model);
    tiny_model_destroy(&tiny);
}

/* A folder whose config.json is of `wanted` and whose weights are of `stored`. */
static void expect_mismatch(const tiny_spec *wanted, const tiny_spec *stored, const char *part_a,
                            const char *part_b)
{
    char *dir = testing_folder(), *other = testing_folder();
    char from[FS_PATH_BYTES_MAX], to[FS_PATH_BYTES_MAX];
    tiny_model *a, *b;
    nn_model *model;
    assert_ok(tiny_model_new(&a, wanted));
    assert_ok(tiny_model_new(&b, stored));
    assert_ok(tiny_model_write(a, other));
    assert_ok(tiny_model_write(b, dir));
    assert_ok(fs_path_join(from, other, "config.json"));
    assert_ok(fs_path_join(to, dir, "config.json"));
    assert_int_equal(rename(from, to), 0);
    assert_status(nn_model_open(&model, dir, NULL), FS_EFORMAT);
    assert_null(model);
    assert_detail(part_a);
    assert_detail(part_b);
    tiny_model_destroy(&a);
    tiny_model_destroy(&b);
    testing_remove(dir);
    testing_remove(other);
}

static void mismatches(void **unused)
{
    tiny_spec small = spec_of(0), large = spec_of(0);
    large.layers = 3;
    expect_mismatch(&large, &small, "encoder.layer.2.attention.self.query.weight", "[20, 20]");
    large = spec_of(0);
    large.vocab = 46;
    expect_mismatch(&large, &small, "bert.embeddings.word_embeddings.weight has shape [45, 20]",
                    "[46, 20]");
    large = spec_of(0);
    large.labels = 3;
    expect_mismatch(&large, &small, "classifier.weight has shape [2, 20]", "[3, 20]");
    tiny_spec tied = spec_of(1), untied = spec_of(3);
    expect_mismatch(&untied, &tied, "lm_head.weight", "[45, 20]");
    expect_mismatch(&tied, &untied, "lm_head.weight differs from transformer.wte.weight",
                    "tie_word_embeddings");
    tiny_spec classifier = spec_of(2);
    expect_mismatch(&classifier, &tied, "score.weight", "[2, 20]");
}

/* Patches the dtype of the weights in place: same sizes, no floats. */
static void wrong_dtype(void **unused)
{
    char *dir = testing_folder();
    char path[FS_PATH_BYTES_MAX];
    tiny_spec spec = spec_of(0);
    tiny_model *tiny;
    nn_model *model;
    fs_buf file = {0};
    assert_ok(tiny_model_new(&tiny, &spec));
    assert_ok(tiny_model_write(tiny, dir));
    assert_ok(fs_path_join(path, dir, "model.safetensors"));
    assert_ok(fs_file_read(&file, path, 1 << 24));
    char *found = memmem(file.data, file.size, "\"F32\"", 5);
    assert_non_null(found);
    memcpy(found, "\"I32\"", 5);
    assert_ok(tiny_file_write(path, file.data, file.size));
    assert_status(nn_model_open(&model, dir, NULL), FS_EFORMAT);
    assert_detail("bert.embeddings.word_embeddings.weight");
    assert_detail("expected F32, F16 or BF16");
    fs_buf_free(&file);
    tiny_model_destroy(&tiny);
    testing_remove(dir);
}

/* Of a tied pair some writers keep the head's name only. */
static void tied_by_the_other_name(void **unused)
{
    char *dir = testing_folder();
    char path[FS_PATH_BYTES_MAX];
    tiny_spec spec = spec_of(1);
    tiny_model *tiny;
    nn_model *model;
    fs_buf file = {0};
    assert_ok(tiny_model_new(&tiny, &spec));
    assert_ok(tiny_model_write(tiny, dir));
    assert_ok(fs_path_join(path, dir, "model.safetensors"));
    assert_ok(fs_file_read(&file, path, 1 << 24));
    char *found = memmem(file.data, file.size, "\"transformer.wte.weight\":", 25);
    assert_non_null(found);
    memcpy(found, "\"lm_head.weight\"        :", 25);
    assert_ok(tiny_file_write(path, file.data, file.size));
    assert_ok(nn_model_open(&model, dir, NULL));
    assert_int_equal(nn_model_clean(model, 0, 7),
                     bits_of(tiny_model_tensor(tiny, "wte.weight")->values[7]));
    fs_buf_free(&file);
    nn_model_close(&model);
    tiny_model_destroy(&tiny);
    testing_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_element),
                                       cmocka_unit_test(isolation),
                                       cmocka_unit_test(nonfinite_propagates),
                                       cmocka_unit_test(causality),
                                       cmocka_unit_test(threads),
                                       cmocka_unit_test(protections),
                                       cmocka_unit_test(codewords),
                                       cmocka_unit_test(mismatches),
                                       cmocka_unit_test(wrong_dtype),
                                       cmocka_unit_test(tied_by_the_other_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
