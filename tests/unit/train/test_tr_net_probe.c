/* Probes: who is visited with what, and that what a probe writes is what the next operation reads,
 * forward and backward. Adding a constant to a stage is the same as adding it to the bias before
 * it, so the oracle is the network without a probe and with another bias. */
#include "net_cases.h"

#include <pthread.h>

static const float shift = 0.625f;

/* Adds `shift` to one column of one stage of one layer. */
typedef struct shifter {
    tr_stage stage;
    uint32_t layer;
    uint32_t column;
    pthread_mutex_t lock;
    uint32_t seen[NET_TOKENS_MAX]; /* visits of each row */
    uint32_t cols;
} shifter;

static void visit(void *context, tr_stage stage, uint32_t layer, float *values, uint32_t row_first,
                  uint32_t rows, uint32_t cols)
{
    shifter *self = context;
    if (stage != self->stage || layer != self->layer) return;
    pthread_mutex_lock(&self->lock);
    self->cols = cols;
    for (uint32_t r = 0; r < rows; r++) {
        self->seen[row_first + r]++;
        values[r * cols + self->column] += shift;
    }
    pthread_mutex_unlock(&self->lock);
}

/* Stages and the tensors of both models whose bias they follow; for layer 1. */
typedef struct place {
    tr_stage stage;
    const char *bert, *gpt2;
    uint32_t bert_column, gpt2_column; /* of the bias, for column 3 of the stage */
} place;

static const place places[] = {
    {TR_STAGE_ATTENTION_QKV, "encoder.layer.1.attention.self.query.bias", "h.1.attn.c_attn.bias", 3,
     3},
    /* What is added to every value is added to their mean, whatever the probabilities. */
    {TR_STAGE_ATTENTION_CONTEXT, "encoder.layer.1.attention.self.value.bias",
     "h.1.attn.c_attn.bias", 3, 67},
    {TR_STAGE_ATTENTION_OUT, "encoder.layer.1.attention.output.dense.bias", "h.1.attn.c_proj.bias",
     3, 3},
    {TR_STAGE_MLP_OUT, "encoder.layer.1.output.dense.bias", "h.1.mlp.c_proj.bias", 3, 3},
    {TR_STAGE_BLOCK_OUT, "encoder.layer.1.output.LayerNorm.bias", "h.1.mlp.c_proj.bias", 3, 3},
};

typedef struct answer {
    float *logits, *grads;
} answer;

static answer run(const network *net, const net_text *text, const tr_pass *pass)
{
    const size_t n = net_logits(net, &text->batch);
    answer a = {net_floats(n), net_floats(net->layout->floats)};
    float *dlogits = net_noise(n, 3);
    assert_ok(tr_forward(net->tape, net->weights, &text->batch, pass, a.logits));
    assert_ok(tr_backward(net->tape, net->weights, dlogits, a.grads, NULL));
    free(dlogits);
    return a;
}

static void release(answer *a)
{
    free(a->logits);
    free(a->grads);
}

static double distance(const float *a, const float *b, size_t n)
{
    double worst = 0, scale = 1e-30;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
        scale = fmax(scale, fabs((double)a[i]));
    }
    return worst / scale;
}

static answer run_probed(const network *net, const net_text *text, shifter *s)
{
    const tr_probe probe = {visit, s};
    pthread_mutex_init(&s->lock, NULL);
    answer a = run(net, text, &(tr_pass){.probe = &probe});
    pthread_mutex_destroy(&s->lock);
    return a;
}

/* Compares with the network whose `values` are moved by `by`. */
static void check_same(const char *name, const network *net, const net_text *text, answer *probed,
                       float *values, size_t count, const float *by)
{
    answer plain = run(net, text, &(tr_pass){0});
    for (size_t i = 0; i < count; i++) values[i] += by[i];
    tr_weights_pack(net->weights, net->pool);
    answer moved = run(net, text, &(tr_pass){0});
    for (size_t i = 0; i < count; i++) values[i] -= by[i];
    tr_weights_pack(net->weights, net->pool);
    const size_t n = net_logits(net, &text->batch);
    if (!(distance(moved.logits, probed->logits, n) < 1e-4)) fail_msg("%s: logits", name);
    if (!(distance(moved.logits, plain.logits, n) > 1e-3)) fail_msg("%s changes nothing", name);
    for (size_t i = 0; i < net->layout->count; i++) {
        const tr_tensor *t = &net->layout->tensors[i];
        const size_t size = (size_t)t->rows * t->cols;
        /* A key's bias has no gradient but for rounding. */
        if (strstr(t->name, "key.bias") != NULL) continue;
        if (!(distance(moved.grads + t->first, probed->grads + t->first, size) < 1e-3)) {
            fail_msg("%s: gradient of %s", name, t->name);
        }
    }
    release(&plain);
    release(&moved);
}

static void reads_what_a_probe_wrote(void **state)
{
    for (size_t c = 0; c < NET_CASES; c++) {
        const int bert = net_cases[c].kind == FS_MODEL_BERT;
        network net;
        net_text text;
        net_make_case(&net, &text, &net_cases[c], 2);
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            const place *p = &places[i];
            shifter s = {.stage = p->stage, .layer = 1, .column = 3};
            answer probed = run_probed(&net, &text, &s);
            assert_int_equal(s.cols, p->stage == TR_STAGE_ATTENTION_QKV ? 96 : 32);
            for (uint32_t r = 0; r < NET_TOKENS_MAX; r++) {
                assert_int_equal(s.seen[r], r < text.off[20]); /* every row, once */
            }
            float *bias = net_tensor(&net, bert ? p->bert : p->gpt2);
            bias += bert ? p->bert_column : p->gpt2_column;
            check_same(bert ? p->bert : p->gpt2, &net, &text, &probed, bias, 1, &shift);
            release(&probed);
        }
        net_unmake(&net);
    }
}

/* Adding to the embeddings is adding to every position, or to BERT's norm's bias; adding to one
 * hidden unit is adding its row of the next product. */
static void reads_what_a_probe_wrote_elsewhere(void **state)
{
    for (size_t c = 0; c < NET_CASES; c++) {
        const int bert = net_cases[c].kind == FS_MODEL_BERT;
        network net;
        net_text text;
        net_make_case(&net, &text, &net_cases[c], 2);
        const size_t d = 32, ff = 128, positions = bert ? 1 : 64;
        float *by = net_floats(64 * d);
        for (size_t i = 0; i < positions; i++) by[i * d + 3] = shift;
        shifter s = {.stage = TR_STAGE_EMBEDDING_OUT, .column = 3};
        answer probed = run_probed(&net, &text, &s);
        check_same("embedding.out", &net, &text, &probed,
                   net_tensor(&net, bert ? "embeddings.LayerNorm.bias" : "wpe.weight"),
                   positions * d, by);
        release(&probed);

        const float *w = net_tensor(&net, bert ? "encoder.layer.0.output.dense.weight"
                                               : "h.0.mlp.c_proj.weight");
        for (size_t o = 0; o < d; o++) by[o] = shift * (bert ? w[o * ff + 100] : w[100 * d + o]);
        s = (shifter){.stage = TR_STAGE_MLP_HIDDEN, .layer = 0, .column = 100};
        probed = run_probed(&net, &text, &s);
        /* The next product reads the unit and not the bias: its gradient by the unit's weights is
         * larger by the shift times the bias's gradient. */
        const float *values = tr_weights_values(net.weights);
        float *bias =
            net_tensor(&net, bert ? "encoder.layer.0.output.dense.bias" : "h.0.mlp.c_proj.bias");
        float *d_w = probed.grads + (w - values);
        for (size_t o = 0; o < d; o++) {
            d_w[bert ? o * ff + 100 : 100 * d + o] -= shift * probed.grads[bias + o - values];
        }
        check_same("mlp.hidden", &net, &text, &probed, bias, d, by);
        release(&probed);
        free(by);
        net_unmake(&net);
    }
}

static void sees_logits_last(void **state)
{
    for (size_t c = 0; c < NET_CASES; c++) {
        network net;
        net_text text;
        net_make_case(&net, &text, &net_cases[c], 2);
        const size_t n = tr_logit_count(net.layout);
        shifter s = {.stage = TR_STAGE_LOGITS, .column = 2};
        answer probed = run_probed(&net, &text, &s), plain = run(&net, &text, &(tr_pass){0});
        for (uint32_t i = 0; i < text.batch.outputs; i++) {
            assert_int_equal(s.seen[i], 1);
            plain.logits[i * n + 2] += shift;
        }
        assert_int_equal(s.cols, n);
        assert_memory_equal(plain.logits, probed.logits, text.batch.outputs * n * sizeof(float));
        release(&probed);
        release(&plain);
        net_unmake(&net);
    }
}

/* Dropout, seen through a probe. With both products of a GPT-2 block zero and their biases one, the
 * block adds to each element of the stream 0 or 1/(1-p) twice, by masks of their own. */
typedef struct stream {
    float values[NET_TOKENS_MAX * 32];
    float embedded[NET_TOKENS_MAX * 32];
} stream;

static void watch(void *context, tr_stage stage, uint32_t layer, float *values, uint32_t row_first,
                  uint32_t rows, uint32_t cols)
{
    stream *self = context;
    float *to = stage == TR_STAGE_EMBEDDING_OUT ? self->embedded : self->values;
    if (stage != TR_STAGE_EMBEDDING_OUT && (stage != TR_STAGE_BLOCK_OUT || layer != 0)) return;
    memcpy(to + row_first * 32, values, rows * cols * sizeof *values);
}

static void drops_independently_in_each_place(void **state)
{
    network net;
    net_text text;
    net_make_case(&net, &text, &net_cases[3], 2);
    stream *seen = calloc(1, sizeof *seen);
    assert_non_null(seen);
    static const char *const products[] = {"h.0.attn.c_proj", "h.0.mlp.c_proj"};
    for (unsigned i = 0; i < 2; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s.weight", products[i]);
        memset(net_tensor(&net, name), 0, (i == 0 ? 32u : 128u) * 32 * sizeof(float));
        snprintf(name, sizeof name, "%s.bias", products[i]);
        for (unsigned j = 0; j < 32; j++) net_tensor(&net, name)[j] = i == 0 ? 8 : 64;
    }
    tr_weights_pack(net.weights, net.pool);
    const tr_probe probe = {watch, seen};
    float *logits = net_floats(net_logits(&net, &text.batch));
    tr_pass pass = {.dropout = 0.5f, .key = 1, .step = 9, .probe = &probe};
    assert_ok(tr_forward(net.tape, net.weights, &text.batch, &pass, logits));
    const uint32_t n = text.off[20] * 32;
    unsigned counts[8] = {0};
    for (uint32_t i = 0; i < n; i++) {
        unsigned combination = 8;
        for (unsigned c = 0; c < 8; c++) {
            const float expected = (float)((c & 1) * 2) * seen->embedded[i] +
                                   (float)((c >> 1 & 1) * 16) + (float)((c >> 2) * 128);
            if (fabsf(expected - seen->values[i]) < 1e-4f) combination = c;
        }
        assert_true(combination < 8);
        counts[combination]++;
    }
    for (unsigned c = 0; c < 8; c++) { /* five standard deviations of n/8 */
        assert_true(fabs(counts[c] - n / 8.0) < 5 * sqrt(n * 7 / 64.0));
    }
    free(logits);
    free(seen);
    net_unmake(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_a_probe_wrote),
        cmocka_unit_test(reads_what_a_probe_wrote_elsewhere),
        cmocka_unit_test(sees_logits_last),
        cmocka_unit_test(drops_independently_in_each_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
