/* Forward passes of models stored in 16 bits: against loops that round after every operation, bit
 * for bit, whatever company, kernel and way of computing the last block. */
#include "testing.h"

#include <math.h>

#include "nn_cpu.h"
#include "nn_kernels.h"
#include "nn_model.h"
#include "nn_probe.h"
#include "protect.h"
#include "tiny_model.h"

enum { SEQUENCES = 3, TOKENS = 7 + 1 + 23, WIDTH = 24, HEADS = 3, INNER = 50, VOCAB = 512 };

static const uint32_t offsets[SEQUENCES + 1] = {0, 7, 8, TOKENS};

/* --- The loops -------------------------------------------------------------------------------- */

/** One sequence on its way. */
typedef struct naive {
    const tiny_model *model;
    fs_format_kind format;
    uint32_t n;
    float x[TOKENS * WIDTH];
} naive;

static float keep_one(fs_format_kind kind, float x)
{
    const fs_format *format = fs_format_of(kind);
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = fs_format_widen(format, fs_format_narrow(format, bits));
    memcpy(&x, &bits, sizeof bits);
    return x;
}

static void keep(const naive *s, float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = keep_one(s->format, x[i]);
}

/* A weight as it is read from its word. */
static float weight(const naive *s, const char *name, size_t i)
{
    return keep_one(s->format, tiny_model_tensor(s->model, name)->values[i]);
}

static const char *join(char out[96], const char *stem, const char *leaf)
{
    const int size = snprintf(out, 96, "%s.%s", stem, leaf);
    assert_in_range(size, 1, 95);
    return out;
}

static void linear(const naive *s, const char *stem, const float *x, uint32_t rows, uint32_t in,
                   uint32_t out, float *y)
{
    char name[96];
    const int conv = strncmp(stem, "h.", 2) == 0;
    const tiny_tensor *w = tiny_model_tensor(s->model, join(name, stem, "weight"));
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t o = 0; o < out; o++) {
            float sum = 0;
            for (uint32_t i = 0; i < in; i++)
                sum = fmaf(x[r * in + i],
                           keep_one(s->format, w->values[conv ? i * out + o : o * in + i]), sum);
            y[r * out + o] = strcmp(stem, "score") == 0 || strcmp(stem, "wte") == 0
                                 ? sum
                                 : sum + weight(s, join(name, stem, "bias"), o);
        }
    }
}

static void norm(const naive *s, const char *stem, const float *x, uint32_t rows, float *y)
{
    char name[96];
    float gain[WIDTH], bias[WIDTH];
    for (int i = 0; i < WIDTH; i++) {
        gain[i] = weight(s, join(name, stem, "weight"), (size_t)i);
        bias[i] = weight(s, join(name, stem, "bias"), (size_t)i);
    }
    nn_layernorm_reference(y, x, gain, bias, rows, WIDTH,
                           s->model->spec.kind == FS_MODEL_BERT ? 1e-12f : 1e-5f);
    keep(s, y, (size_t)rows * WIDTH);
}

/* q, k, v lie `ld` apart. */
static void attend(const naive *s, const float *q, const float *k, const float *v, uint32_t ld,
                   float *context)
{
    const uint32_t width = WIDTH / HEADS;
    for (uint32_t h = 0; h < HEADS; h++) {
        for (uint32_t r = 0; r < s->n; r++) {
            const uint32_t seen = s->model->spec.kind == FS_MODEL_GPT2 ? r + 1 : s->n;
            float p[TOKENS];
            for (uint32_t j = 0; j < seen; j++) {
                float sum = 0;
                for (uint32_t i = h * width; i < (h + 1) * width; i++)
                    sum = fmaf(q[r * ld + i], k[j * ld + i], sum);
                p[j] = 1.0f / sqrtf((float)width) * sum;
            }
            keep(s, p, seen);
            nn_softmax_reference(p, seen);
            keep(s, p, seen);
            for (uint32_t i = h * width; i < (h + 1) * width; i++) {
                float sum = 0;
                for (uint32_t j = 0; j < seen; j++) sum = fmaf(p[j], v[j * ld + i], sum);
                context[r * WIDTH + i] = sum;
            }
        }
    }
    keep(s, context, (size_t)s->n * WIDTH);
}

static void add_to_state(naive *s, const float *y)
{
    for (uint32_t i = 0; i < s->n * WIDTH; i++) s->x[i] = y[i] + s->x[i];
    keep(s, s->x, (size_t)s->n * WIDTH);
}

static void mlp(const naive *s, const char *up, const char *down, const float *x, float *out)
{
    static float hidden[TOKENS * INNER];
    linear(s, up, x, s->n, WIDTH, INNER, hidden);
    if (s->model->spec.kind == FS_MODEL_BERT)
        nn_gelu_erf_reference(hidden, (size_t)s->n * INNER);
    else
        nn_gelu_tanh_reference(hidden, (size_t)s->n * INNER);
    keep(s, hidden, (size_t)s->n * INNER);
    linear(s, down, hidden, s->n, INNER, WIDTH, out);
    keep(s, out, (size_t)s->n * WIDTH);
}

static const char *named(char out[96], uint32_t layer, const char *leaf)
{
    snprintf(out, 96, leaf[0] == '.' ? "encoder.layer.%u%s" : "h.%u.%s", layer, leaf);
    return out;
}

static void bert_block(naive *s, uint32_t l)
{
    static float q[TOKENS * WIDTH], k[TOKENS * WIDTH], v[TOKENS * WIDTH], y[TOKENS * WIDTH];
    static float context[TOKENS * WIDTH];
    const size_t all = (size_t)s->n * WIDTH;
    char a[96], b[96];
    linear(s, named(a, l, ".attention.self.query"), s->x, s->n, WIDTH, WIDTH, q);
    linear(s, named(a, l, ".attention.self.key"), s->x, s->n, WIDTH, WIDTH, k);
    linear(s, named(a, l, ".attention.self.value"), s->x, s->n, WIDTH, WIDTH, v);
    keep(s, q, all);
    keep(s, k, all);
    keep(s, v, all);
    attend(s, q, k, v, WIDTH, context);
    linear(s, named(a, l, ".attention.output.dense"), context, s->n, WIDTH, WIDTH, y);
    keep(s, y, all);
    add_to_state(s, y);
    norm(s, named(a, l, ".attention.output.LayerNorm"), s->x, s->n, s->x);
    mlp(s, named(a, l, ".intermediate.dense"), named(b, l, ".output.dense"), s->x, y);
    add_to_state(s, y);
    norm(s, named(a, l, ".output.LayerNorm"), s->x, s->n, s->x);
}

static void gpt2_block(naive *s, uint32_t l)
{
    static float qkv[3 * TOKENS * WIDTH], y[TOKENS * WIDTH], normed[TOKENS * WIDTH];
    static float context[TOKENS * WIDTH];
    char a[96], b[96];
    norm(s, named(a, l, "ln_1"), s->x, s->n, normed);
    linear(s, named(a, l, "attn.c_attn"), normed, s->n, WIDTH, 3 * WIDTH, qkv);
    keep(s, qkv, (size_t)s->n * 3 * WIDTH);
    attend(s, qkv, qkv + WIDTH, qkv + 2 * WIDTH, 3 * WIDTH, context);
    linear(s, named(a, l, "attn.c_proj"), context, s->n, WIDTH, WIDTH, y);
    keep(s, y, (size_t)s->n * WIDTH);
    add_to_state(s, y);
    norm(s, named(a, l, "ln_2"), s->x, s->n, normed);
    mlp(s, named(a, l, "mlp.c_fc"), named(b, l, "mlp.c_proj"), normed, y);
    add_to_state(s, y);
}

static void embed(naive *s, const int32_t *ids)
{
    const int bert = s->model->spec.kind == FS_MODEL_BERT;
    for (uint32_t r = 0; r < s->n; r++) {
        for (uint32_t i = 0; i < WIDTH; i++) {
            const size_t word = (size_t)ids[r] * WIDTH + i, position = (size_t)r * WIDTH + i;
            float x = weight(s, bert ? "embeddings.word_embeddings.weight" : "wte.weight", word);
            if (bert) x += weight(s, "embeddings.token_type_embeddings.weight", i);
            x += weight(s, bert ? "embeddings.position_embeddings.weight" : "wpe.weight", position);
            s->x[r * WIDTH + i] = keep_one(s->format, x);
        }
    }
    if (bert) norm(s, "embeddings.LayerNorm", s->x, s->n, s->x);
}

/* @return how many logits one sequence has; a language model's are of every row. */
static size_t naive_logits(naive *s, const int32_t *ids, float *logits)
{
    const tiny_spec *spec = &s->model->spec;
    float y[TOKENS * WIDTH];
    embed(s, ids);
    for (uint32_t l = 0; l < spec->layers; l++)
        if (spec->kind == FS_MODEL_BERT)
            bert_block(s, l);
        else
            gpt2_block(s, l);
    if (spec->kind == FS_MODEL_BERT) {
        linear(s, "pooler.dense", s->x, 1, WIDTH, WIDTH, y);
        nn_tanh_reference(y, WIDTH);
        keep(s, y, WIDTH);
        linear(s, "classifier", y, 1, WIDTH, spec->labels, logits);
        keep(s, logits, spec->labels);
        return spec->labels;
    }
    norm(s, "ln_f", s->x, s->n, y);
    const int lm = spec->task == FS_TASK_LM;
    const uint32_t rows = lm ? s->n : 1, out = lm ? spec->vocab : spec->labels;
    linear(s, lm ? "wte" : "score", lm ? y : y + (size_t)(s->n - 1) * WIDTH, rows, WIDTH, out,
           logits);
    keep(s, logits, (size_t)rows * out);
    return (size_t)rows * out;
}

/* --- The engine ------------------------------------------------------------------------------- */

typedef struct world {
    char *dir;
    tiny_model *tiny;
    int32_t ids[TOKENS];
    float want[TOKENS * VOCAB];
    float state[TOKENS * WIDTH], normed[TOKENS * WIDTH], logits[TOKENS * VOCAB];
} world;

static void ignore(void *context, const nn_tap *tap)
{
    (*(unsigned *)context) += tap->rows;
}

/* Logits of the sequences [first, first + n); `way` 0: plain, 1: only what a classifier's head
 * reads of the last block, 2: with a probe. */
static void pass(world *w, const nn_model *model, uint32_t first, uint32_t n, int way)
{
    const fs_config *config = &nn_model_geometry(model)->config;
    const int lm = config->task == FS_TASK_LM;
    uint32_t off[SEQUENCES + 1];
    unsigned seen = 0;
    const nn_probe probe = {ignore, &seen};
    nn_view *view;
    for (uint32_t i = 0; i <= n; i++) off[i] = offsets[first + i] - offsets[first];
    const nn_batch batch = {w->ids + offsets[first], off, n};
    assert_ok(nn_view_new(&view, model));
    if (way == 2) nn_view_set_probe(view, &probe);
    assert_ok(nn_embed(view, &batch, w->state));
    for (uint32_t l = 0; l < config->layers; l++) {
        if (way == 1 && !lm && l + 1 == config->layers)
            assert_ok(nn_layer_last(view, &batch, w->state));
        else
            assert_ok(nn_layer(view, l, &batch, w->state));
    }
    if (lm) {
        assert_ok(nn_final_norm(view, &batch, w->state, w->normed));
        assert_ok(nn_lm_logits(view, w->normed, off[n], w->logits));
    } else {
        assert_ok(nn_classify(view, &batch, w->state, w->logits));
    }
    assert_true((way == 2) == (seen > 0));
    nn_view_destroy(&view);
}

static void check(const world *w, const char *what, fs_format_kind format, size_t first,
                  size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(&w->logits[i], &w->want[first + i], sizeof(float)) != 0)
            fail_msg("%s, %s: logit %zu is %a, not %a", what, fs_format_of(format)->name, i,
                     (double)w->logits[i], (double)w->want[first + i]);
}

static void check_format(world *w, fs_format_kind format)
{
    static const char *const kernels[] = {"portable", "avx2", "avx512"};
    const fs_protect protect = {.format = format};
    size_t first[SEQUENCES + 1] = {0};
    nn_model *model;
    assert_ok(nn_model_open(&model, w->dir, &protect));
    assert_int_equal(nn_model_activations(model), format);
    assert_true((nn_model_altered(model) > 0) == (format != FS_FORMAT_FP32));
    for (uint32_t s = 0; s < SEQUENCES; s++) {
        static naive one;
        one = (naive){.model = w->tiny, .format = format, .n = offsets[s + 1] - offsets[s]};
        first[s + 1] = first[s] + naive_logits(&one, w->ids + offsets[s], w->want + first[s]);
    }
    for (int k = 0; k < 3; k++) {
        if (nn_kernel_choose(kernels[k]) != FS_OK) continue;
        for (int way = 0; way < 3; way++) {
            pass(w, model, 0, SEQUENCES, way);
            check(w, "together", format, 0, first[SEQUENCES]);
            for (uint32_t s = 0; s < SEQUENCES; s++) {
                pass(w, model, s, 1, way);
                check(w, "alone", format, first[s], first[s + 1] - first[s]);
            }
        }
    }
    nn_model_close(&model);
}

static void check_model(fs_model_kind kind, fs_task_kind task)
{
    static const fs_format_kind formats[] = {FS_FORMAT_FP16, FS_FORMAT_BF16, FS_FORMAT_FP32};
    static world w;
    tiny_spec spec = tiny_spec_default(kind, task);
    spec.width = WIDTH;
    spec.heads = HEADS;
    spec.inner = INNER;
    spec.vocab = VOCAB;
    w.dir = testing_folder();
    assert_ok(tiny_model_new(&w.tiny, &spec));
    assert_ok(tiny_model_write(w.tiny, w.dir));
    for (int i = 0; i < TOKENS; i++) w.ids[i] = (i * 7919 + 13) % VOCAB;
    float fp32[8];
    for (int f = 0; f < 3; f++) check_format(&w, formats[f]);
    memcpy(fp32, w.want, sizeof fp32);
    check_format(&w, FS_FORMAT_BF16);
    assert_memory_not_equal(fp32, w.want, 2 * sizeof *fp32); /* rounding shows */
    tiny_model_destroy(&w.tiny);
    testing_remove(w.dir);
}

static void test_bert(void **state)
{
    check_model(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
}

static void test_gpt2(void **state)
{
    check_model(FS_MODEL_GPT2, FS_TASK_LM);
}

static void test_gpt2_classifier(void **state)
{
    check_model(FS_MODEL_GPT2, FS_TASK_CLASSIFICATION);
}

/* int8 stores parameters; its activations stay as they are. */
static void test_int8(void **state)
{
    const tiny_spec spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    const fs_protect protect = {.format = FS_FORMAT_INT8};
    char *dir = testing_folder();
    tiny_model *tiny;
    nn_model *model;
    nn_view *view;
    assert_ok(tiny_model_new(&tiny, &spec));
    assert_ok(tiny_model_write(tiny, dir));
    assert_ok(nn_model_open(&model, dir, &protect));
    assert_int_equal(nn_model_activations(model), FS_FORMAT_FP32);
    assert_true(nn_model_altered(model) > nn_model_geometry(model)->values / 2);
    assert_ok(nn_view_new(&view, model));
    /* Each value is within half a step, 1/254 of its row's largest, of what the file holds. */
    const tiny_tensor *w = tiny_model_tensor(tiny, "encoder.layer.0.output.dense.weight");
    uint32_t t = 0;
    while (strcmp(nn_model_geometry(model)->tensors[t].name, w->name) != 0) t++;
    for (uint32_t r = 0; r < w->rows; r++) {
        double most = 0;
        for (uint32_t c = 0; c < w->cols; c++)
            most = fmax(most, fabs((double)w->values[(size_t)r * w->cols + c]));
        for (uint32_t c = 0; c < w->cols; c++) {
            const size_t i = (size_t)r * w->cols + c;
            const uint32_t bits = nn_view_get(view, t, i);
            float value;
            memcpy(&value, &bits, sizeof value);
            assert_true(fabs((double)value - (double)w->values[i]) <= most / 254 * (1 + 1e-6));
        }
    }
    nn_view_destroy(&view);
    nn_model_close(&model);
    /* A value that is not finite has no word. */
    tiny_model_tensor(tiny, "classifier.bias")->values[1] = INFINITY;
    assert_ok(tiny_model_write(tiny, dir));
    assert_status(nn_model_open(&model, dir, &protect), FS_EFORMAT);
    assert_detail("classifier.bias");
    assert_detail("not finite");
    tiny_model_destroy(&tiny);
    testing_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bert),
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_gpt2_classifier),
        cmocka_unit_test(test_int8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
