/* The engine on small random models of every legal shape, against a forward pass in double
 * precision that shares no code with it. */
#include "testing.h"

#include <math.h>

#include "nn_cpu.h"
#include "nn_model.h"
#include "oracle.h"
#include "tiny_model.h"

/* A model on disk and in memory. */
typedef struct subject {
    char *dir;
    tiny_model *tiny;
    nn_model *model;
    nn_view *view;
    size_t width;
} subject;

static void make(subject *self, const tiny_spec *spec)
{
    *self = (subject){.dir = testing_folder(), .width = spec->width};
    assert_non_null(self->dir);
    assert_ok(tiny_model_new(&self->tiny, spec));
    assert_ok(tiny_model_write(self->tiny, self->dir));
    assert_ok(nn_model_open(&self->model, self->dir, NULL));
    assert_ok(nn_view_new(&self->view, self->model));
}

static void unmake(subject *self)
{
    nn_view_destroy(&self->view);
    nn_model_close(&self->model);
    tiny_model_destroy(&self->tiny);
    testing_remove(self->dir);
}

/* Random sequences that fit a model, their lengths spread over 1..positions, in one batch. */
enum { SEQUENCES = 9, TOKENS_MAX = SEQUENCES * 64 };

typedef struct test_text {
    int32_t ids[TOKENS_MAX];
    uint32_t off[SEQUENCES + 1];
    nn_batch batch;
} test_text;

static void write_text(test_text *self, const tiny_spec *spec)
{
    uint64_t state = spec->seed + 77;
    uint32_t longest = spec->positions < 24 ? spec->positions : 24;
    self->off[0] = 0;
    for (uint32_t s = 0; s < SEQUENCES; s++) {
        uint32_t length = s == 0   ? longest
                          : s == 1 ? 1
                                   : 1 + (uint32_t)(tiny_random(&state) % longest);
        self->off[s + 1] = self->off[s] + length;
        for (uint32_t i = self->off[s]; i < self->off[s + 1]; i++) {
            self->ids[i] = (int32_t)(tiny_random(&state) % spec->vocab);
        }
    }
    self->batch = (nn_batch){self->ids, self->off, SEQUENCES};
}

/* The state behind all layers. The caller frees it. */
static float *run_layers(nn_view *view, const nn_batch *batch, int last_whole)
{
    const fs_config *config = &nn_model_geometry(nn_view_model(view))->config;
    float *state = malloc((size_t)batch->off[batch->n_seq] * config->d_model * sizeof *state);
    assert_non_null(state);
    assert_ok(nn_embed(view, batch, state));
    for (uint32_t l = 0; l + 1 < config->layers; l++) assert_ok(nn_layer(view, l, batch, state));
    if (last_whole)
        assert_ok(nn_layer(view, config->layers - 1, batch, state));
    else
        assert_ok(nn_layer_last(view, batch, state));
    return state;
}

/* Logits of a batch: [n_seq, labels], or [rows, vocab]. The caller frees them. */
static float *run(nn_view *view, const nn_batch *batch, size_t *out_count)
{
    const fs_config *config = &nn_model_geometry(nn_view_model(view))->config;
    const int lm = config->task == FS_TASK_LM;
    const uint32_t rows = batch->off[batch->n_seq];
    float *state = run_layers(view, batch, lm);
    *out_count = lm ? (size_t)rows * config->vocab : (size_t)batch->n_seq * config->labels;
    float *logits = malloc(*out_count * sizeof *logits);
    assert_non_null(logits);
    if (lm) {
        assert_ok(nn_final_norm(view, batch, state, state));
        assert_ok(nn_lm_logits(view, state, rows, logits));
    } else {
        assert_ok(nn_classify(view, batch, state, logits));
    }
    free(state);
    return logits;
}

/* The worst difference to the oracle, relative to the size of its logits. */
static double oracle_error(const subject *self, const test_text *text)
{
    const tiny_spec *spec = &self->tiny->spec;
    const int lm = spec->task == FS_TASK_LM;
    size_t count, at = 0;
    float *logits = run(self->view, &text->batch, &count);
    double worst = 0, scale = 0, *expected = malloc(24 * 4096 * sizeof *expected);
    assert_non_null(expected);
    for (uint32_t s = 0; s < SEQUENCES; s++) {
        uint32_t n = text->off[s + 1] - text->off[s];
        size_t values = lm ? (size_t)n * spec->vocab : spec->labels;
        oracle_logits(self->tiny, text->ids + text->off[s], n, expected);
        for (size_t i = 0; i < values; i++, at++) {
            worst = fmax(worst, fabs((double)logits[at] - expected[i]));
            scale = fmax(scale, fabs(expected[i]));
        }
    }
    assert_int_equal(at, count);
    free(expected);
    free(logits);
    return worst / scale;
}

static void check_against_oracle(const char *name, tiny_spec spec)
{
    subject self;
    test_text text;
    make(&self, &spec);
    write_text(&text, &spec);
    double error = oracle_error(&self, &text);
    if (!(error < 1e-5)) fail_msg("%s: %.3g off", name, error);
    unmake(&self);
}

static tiny_spec bert_spec(void)
{
    tiny_spec spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    spec.vocab = 97;
    return spec;
}

static tiny_spec gpt2_spec(fs_task_kind task)
{
    tiny_spec spec = tiny_spec_default(FS_MODEL_GPT2, task);
    spec.vocab = 97;
    return spec;
}

static tiny_spec spec_of(int i)
{
    return i == 0   ? bert_spec()
           : i == 1 ? gpt2_spec(FS_TASK_LM)
                    : gpt2_spec(FS_TASK_CLASSIFICATION);
}

/* Heads 1 to 16, their widths of every residue modulo the kernels' vectors. */
static void heads_and_widths(void **unused)
{
    for (uint32_t heads = 1; heads <= 16; heads++) {
        for (int i = 0; i < 3; i++) {
            tiny_spec spec = spec_of(i);
            spec.heads = heads;
            spec.width = heads * (1 + (heads * 7 + (uint32_t)i) % 11);
            spec.seed = heads;
            check_against_oracle("heads", spec);
        }
    }
}

static void shapes(void **unused)
{
    for (int i = 0; i < 3; i++) {
        tiny_spec spec = spec_of(i);
        spec.layers = 1;
        check_against_oracle("one layer", spec);
        spec = spec_of(i);
        spec.layers = 5;
        spec.width = 37;
        spec.heads = 1;
        check_against_oracle("a prime width", spec);
        spec = spec_of(i);
        spec.vocab = 3;
        check_against_oracle("a vocabulary of 3", spec);
        spec = spec_of(i);
        spec.positions = 1;
        check_against_oracle("one position", spec);
        spec = spec_of(i);
        spec.inner = 19;
        check_against_oracle("n_inner", spec);
        if (spec.task == FS_TASK_CLASSIFICATION) {
            spec.labels = 17;
            check_against_oracle("17 labels", spec);
        }
    }
}

static void untied_heads(void **unused)
{
    tiny_spec spec = gpt2_spec(FS_TASK_LM);
    spec.untied = 1;
    check_against_oracle("untied", spec);
    spec.vocab = 3;
    check_against_oracle("untied, vocabulary of 3", spec);
    spec.vocab = 100; /* its last panel is not full */
    spec.untied = 0;
    check_against_oracle("tied, vocabulary of 100", spec);
}

static void activations(void **unused)
{
    static const char *const names[] = {"gelu", "gelu_new", "gelu_pytorch_tanh", "relu"};
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        for (int i = 0; i < 3; i++) {
            tiny_spec spec = spec_of(i);
            spec.activation = names[n];
            check_against_oracle(names[n], spec);
        }
    }
}

static void files(void **unused)
{
    for (int i = 0; i < 3; i++) {
        tiny_spec spec = spec_of(i);
        spec.dtype = TINY_F16;
        check_against_oracle("F16", spec);
        spec.dtype = TINY_BF16;
        check_against_oracle("BF16", spec);
        spec = spec_of(i);
        spec.shards = 3;
        check_against_oracle("three shards", spec);
        spec.no_prefix = 1;
        spec.buffers = 1;
        check_against_oracle("no prefix, buffers", spec);
        spec.old_names = 1;
        spec.shards = 0;
        check_against_oracle("old names", spec);
    }
}

/* A row's bits depend on its own sequence only: every sequence alone, and in every rotation of the
 * batch, gives what it gave in company. */
static void batch_composition(void **unused)
{
    for (int i = 0; i < 3; i++) {
        tiny_spec spec = spec_of(i);
        spec.width = 36;
        subject self;
        test_text text;
        size_t count, values = 0;
        make(&self, &spec);
        write_text(&text, &spec);
        float *together = run(self.view, &text.batch, &count);
        for (uint32_t s = 0; s < SEQUENCES; s++) {
            size_t n;
            const uint32_t off[2] = {0, text.off[s + 1] - text.off[s]};
            const nn_batch alone = {text.ids + text.off[s], off, 1};
            float *logits = run(self.view, &alone, &n);
            assert_memory_equal(logits, together + values, n * sizeof *logits);
            values += n;
            free(logits);
        }
        assert_int_equal(values, count);
        free(together);
        unmake(&self);
    }
}

/* Groups and runs of rows are cut where a batch is large: 300 sequences, some of them as long as
 * several groups, agree with each one alone. */
static void large_batches(void **unused)
{
    enum { MANY = 300, LONGEST = 500, TOKENS = MANY * 12 + LONGEST };
    for (int i = 0; i < 3; i++) {
        tiny_spec spec = spec_of(i);
        spec.positions = LONGEST;
        spec.width = 20;
        subject self;
        make(&self, &spec);
        int32_t *ids = malloc(TOKENS * sizeof *ids);
        uint32_t off[MANY + 1] = {0};
        uint64_t state = 5;
        for (uint32_t s = 0; s < MANY; s++) {
            off[s + 1] = off[s] + (s == 150 ? LONGEST : 1 + (uint32_t)(tiny_random(&state) % 12));
        }
        for (uint32_t t = 0; t < off[MANY]; t++) ids[t] = (int32_t)(tiny_random(&state) % 97);
        const nn_batch batch = {ids, off, MANY};
        size_t count, at = 0;
        float *together = run(self.view, &batch, &count);
        for (uint32_t s = 0; s < MANY; s++) {
            size_t n;
            const uint32_t own[2] = {0, off[s + 1] - off[s]};
            const nn_batch alone = {ids + off[s], own, 1};
            float *logits = run(self.view, &alone, &n);
            assert_memory_equal(logits, together + at, n * sizeof *logits);
            at += n;
            free(logits);
        }
        assert_int_equal(at, count);
        free(together);
        free(ids);
        unmake(&self);
    }
}

/* nn_layer_last gives nn_layer's bits in the rows that the head reads, at every width modulo the
 * panel of the packing. */
static void last_layer(void **unused)
{
    for (int i = 0; i < 3; i += 2) {
        for (uint32_t width = 1; width <= 33; width++) {
            tiny_spec spec = spec_of(i);
            spec.heads = 1;
            spec.width = width;
            subject self;
            test_text text;
            make(&self, &spec);
            write_text(&text, &spec);
            float *whole = run_layers(self.view, &text.batch, 1);
            float *last = run_layers(self.view, &text.batch, 0);
            for (uint32_t s = 0; s < SEQUENCES; s++) {
                size_t row = i == 0 ? text.off[s] : text.off[s + 1] - 1;
                assert_memory_equal(whole + row * width, last + row * width, width * sizeof *whole);
            }
            free(whole);
            free(last);
            unmake(&self);
        }
    }
}

/* Every instruction set that this processor has gives the same bits. */
static void instruction_sets(void **unused)
{
    static const char *const names[] = {"avx2", "avx512"};
    const char *usual = nn_kernel_name();
    for (int i = 0; i < 3; i++) {
        tiny_spec spec = spec_of(i);
        spec.width = 44;
        subject self;
        test_text text;
        size_t count;
        make(&self, &spec);
        write_text(&text, &spec);
        assert_ok(nn_kernel_choose("portable"));
        float *portable = run(self.view, &text.batch, &count);
        for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
            if (nn_kernel_choose(names[n]) != FS_OK) continue;
            float *logits = run(self.view, &text.batch, &count);
            assert_memory_equal(logits, portable, count * sizeof *logits);
            free(logits);
        }
        free(portable);
        unmake(&self);
    }
    assert_ok(nn_kernel_choose(usual));
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Writing any one parameter of a view is writing that parameter of the model: for each tensor, some
 * elements are changed in the view and in the oracle's copy, whose answers must follow. The same
 * shows that the comparison notices a single weight. */
static void written_parameters(void **unused)
{
    for (int i = 0; i < 3; i++) {
        tiny_spec spec = spec_of(i);
        spec.layers = 1;
        spec.width = 20;
        spec.vocab = 21;
        subject self;
        test_text text;
        make(&self, &spec);
        write_text(&text, &spec);
        const fs_geometry *geometry = nn_model_geometry(self.model);
        assert_int_equal(geometry->tensor_count, self.tiny->count);
        uint64_t state = 3;
        for (uint32_t t = 0; t < geometry->tensor_count; t++) {
            tiny_tensor *tensor = tiny_model_tensor(self.tiny, geometry->tensors[t].name);
            uint64_t values = (uint64_t)tensor->rows * tensor->cols;
            /* The first row of an embedding is one that some input reads. */
            uint64_t element = tiny_random(&state) % (t < 3 ? tensor->cols : values);
            if (t == 0) element += (uint64_t)text.ids[0] * tensor->cols;
            float old = tensor->values[element];
            nn_view_set(self.view, t, element, bits_of(old + 2));
            if (!(oracle_error(&self, &text) > 1e-5) && strstr(tensor->name, "key.bias") == NULL) {
                fail_msg("changing %s changes nothing", tensor->name);
            }
            tensor->values[element] = old + 2;
            double error = oracle_error(&self, &text);
            if (!(error < 1e-5)) fail_msg("%s: %.3g off", tensor->name, error);
            tensor->values[element] = old;
            nn_view_set(self.view, t, element, bits_of(old));
        }
        assert_true(nn_view_checksum(self.view) == nn_model_checksum(self.model));
        unmake(&self);
    }
}

/* Values in memory make the model that their file makes, through any protection. */
static void values_in_memory(void **state)
{
    static const char *const names[3] = {"ep", "range", "secded"};
    for (unsigned count = 0; count <= 3; count++) {
        const tiny_spec spec = tiny_spec_default(FS_MODEL_GPT2, FS_TASK_LM);
        fs_protect protect;
        subject self;
        nn_model *file, *memory;
        make(&self, &spec);
        const fs_geometry *geometry = nn_model_geometry(self.model);
        const float **values = calloc(geometry->tensor_count, sizeof *values);
        assert_non_null(values);
        for (size_t i = 0; i < geometry->tensor_count; i++)
            values[i] = tiny_model_tensor(self.tiny, geometry->tensors[i].name)->values;
        assert_ok(fs_protect_init(&protect, names, count, (fs_guard){0}));
        assert_ok(nn_model_open(&file, self.dir, &protect));
        assert_ok(nn_model_of_values(&memory, &geometry->config, values, &protect, NULL));
        assert_true(nn_model_checksum(file) == nn_model_checksum(memory));
        assert_int_equal(nn_model_altered(file), nn_model_altered(memory));
        assert_int_equal(nn_model_clean(file, 3, 5), nn_model_clean(memory, 3, 5));
        nn_model_close(&file);
        nn_model_close(&memory);
        free(values);
        unmake(&self);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(heads_and_widths),
                                       cmocka_unit_test(shapes),
                                       cmocka_unit_test(untied_heads),
                                       cmocka_unit_test(activations),
                                       cmocka_unit_test(files),
                                       cmocka_unit_test(batch_composition),
                                       cmocka_unit_test(large_batches),
                                       cmocka_unit_test(last_layer),
                                       cmocka_unit_test(instruction_sets),
                                       cmocka_unit_test(written_parameters),
                                       cmocka_unit_test(values_in_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
