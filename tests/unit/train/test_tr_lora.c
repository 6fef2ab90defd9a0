/* Adapters: their gradients against differences of the engine's own forward pass in double, the
 * merged model against the sum of both products, and what training them must leave alone. */
#include "tune_fixture.h"

#include <math.h>

#include "tr_correct.h"
#include "tr_lora.h"

/* A network, its adapters, and values of theirs that are not the first ones. */
typedef struct subject {
    network net;
    net_text text;
    tr_lora *lora;
    const tr_adapter *adapter;
    float *values, *base;
} subject;

static fs_component_set set_of(const char *a, const char *b, const char *c)
{
    const fs_component_set set = fs_component_parse(a) | (b ? fs_component_parse(b) : 0);
    return set | (c ? fs_component_parse(c) : 0);
}

static void make(subject *self, fs_model_kind kind, const tr_lora_options *options)
{
    const int bert = kind == FS_MODEL_BERT;
    tiny_spec spec = tiny_spec_default(kind, bert ? FS_TASK_CLASSIFICATION : FS_TASK_LM);
    spec.width = 6, spec.heads = 2, spec.inner = 10, spec.vocab = 13, spec.positions = 5;
    spec.labels = bert ? 3 : 0;
    *self = (subject){0};
    net_make(&self->net, &spec, bert ? TR_HEAD_CLASSIFY : TR_HEAD_CAUSAL, 2);
    net_write(&self->text, &self->net, 5, spec.positions, 3);
    const size_t bytes = self->net.layout->floats * sizeof(float);
    self->base = malloc(bytes);
    assert_non_null(self->base);
    memcpy(self->base, tr_weights_values(self->net.weights), bytes);
    assert_ok(tr_lora_new(&self->lora, options, self->net.weights, self->net.pool));
    self->adapter = tr_lora_adapter(self->lora);
    self->values = net_floats(self->adapter->layout->floats);
    self->adapter->init(self->adapter->context, self->values);
}

static void unmake(subject *self)
{
    tr_lora_destroy(&self->lora);
    free(self->values);
    free(self->base);
    net_unmake(&self->net);
}

static float *part(const subject *self, const char *name)
{
    const tr_layout *layout = self->adapter->layout;
    for (size_t i = 0; i < layout->count; i++)
        if (strcmp(layout->tensors[i].name, name) == 0)
            return self->values + layout->tensors[i].first;
    fail_msg("no adapter %s", name);
    return NULL;
}

/* W + s A B by its definition: A [r, in], B^T [r, out]; `conv`: the matrix lies [in, out]. */
static void merge(const float *base, double *out, size_t in, size_t width, size_t ld, int conv,
                  const float *a, const float *b, size_t rank, double s)
{
    for (size_t i = 0; i < in; i++) {
        for (size_t o = 0; o < width; o++) {
            const size_t at = conv ? i * ld + o : o * ld + i;
            out[at] = (double)base[at];
            for (size_t k = 0; k < rank; k++)
                out[at] += s * (double)a[k * in + i] * (double)b[k * width + o];
        }
    }
}

static tr_lora_options bert_options(void)
{
    return (tr_lora_options){.rank = 2,
                             .alpha = 3,
                             .on = set_of("attention.query", "attention.output", "mlp.down"),
                             .full = set_of("head.classifier", "attention.norm", NULL),
                             .key = 8};
}

static tr_lora_options gpt2_options(void)
{
    return (tr_lora_options){.rank = 2,
                             .alpha = 3,
                             .on = set_of("attention.query", "attention.value", "mlp.up"),
                             .key = 8};
}

static void begins_at_the_model(void **state)
{
    subject self;
    const tr_lora_options options = bert_options();
    make(&self, FS_MODEL_BERT, &options);
    self.adapter->compose(self.adapter->context, self.values, self.net.weights, self.net.pool);
    assert_memory_equal(tr_weights_values(self.net.weights), self.base,
                        self.net.layout->floats * sizeof(float));
    /* 2 layers: query 2 (6 + 6), output 2 (6 + 6), down 2 (10 + 6); norm 2 6; classifier 3 (6 + 1)
     */
    assert_int_equal(self.adapter->layout->parameters, 2 * (24 + 24 + 32 + 12) + 21);
    double squares = 0;
    const float *a = part(&self, "1.mlp.down.lora_A");
    for (int i = 0; i < 20; i++) squares += (double)a[i] * (double)a[i];
    assert_true(squares > 20 / 30.0 / 4 && squares < 20 / 30.0 * 4);
    unmake(&self);
}

/* Random values, and the network's weights brought up to date. */
static void shake(subject *self)
{
    uint64_t state = 21;
    const tr_layout *layout = self->adapter->layout;
    for (size_t i = 0; i < layout->count; i++) {
        const tr_tensor *t = &layout->tensors[i];
        for (size_t j = 0; j < (size_t)t->rows * t->cols; j++)
            self->values[t->first + j] += 0.2f * net_normal(&state);
    }
    self->adapter->compose(self->adapter->context, self->values, self->net.weights, self->net.pool);
}

static void merged_is_the_sum_of_both_products(void **state)
{
    subject self;
    static double out[4096];
    const tr_lora_options bert = bert_options(), gpt2 = gpt2_options();
    make(&self, FS_MODEL_BERT, &bert);
    shake(&self);
    const char *name = "encoder.layer.1.output.dense.weight";
    const size_t first = self.net.layout->tensors[tr_layout_find(self.net.layout, name)].first;
    merge(self.base + first, out, 10, 6, 10, 0, part(&self, "1.mlp.down.lora_A"),
          part(&self, "1.mlp.down.lora_B"), 2, 1.5);
    for (size_t i = 0; i < 60; i++)
        assert_true(fabs(out[i] - (double)net_tensor(&self.net, name)[i]) < 1e-6);
    unmake(&self);
    make(&self, FS_MODEL_GPT2, &gpt2);
    shake(&self);
    name = "h.0.attn.c_attn.weight"; /* query, key and value side by side: 12.. is the value */
    const size_t fused = self.net.layout->tensors[tr_layout_find(self.net.layout, name)].first;
    const float *now = net_tensor(&self.net, name);
    merge(self.base + fused + 12, out, 6, 6, 18, 1, part(&self, "0.attention.value.lora_A"),
          part(&self, "0.attention.value.lora_B"), 2, 1.5);
    for (size_t row = 0; row < 6; row++) {
        for (size_t col = 0; col < 6; col++)
            assert_true(fabs(out[row * 18 + col] - (double)now[row * 18 + 12 + col]) < 1e-6);
        assert_memory_equal(now + row * 18 + 6, self.base + fused + row * 18 + 6,
                            6 * sizeof(float)); /* the key has no adapter */
    }
    unmake(&self);
}

/* Sum of logits times noise, by the oracle, with weights merged in double and rounded once: what is
 * lost thereby is far below the differences. */
static double oracle_sum(const subject *self, const float *dlogits)
{
    const network *net = &self->net;
    const tr_batch *batch = &self->text.batch;
    const size_t n = tr_logit_count(net->layout);
    double logits[5 * 13], sum = 0;
    uint32_t at = 0;
    for (size_t i = 0; i < net->layout->count; i++) {
        const tr_tensor *t = &net->layout->tensors[i];
        memcpy(tiny_model_tensor(net->tiny, net->layout->geometry->tensors[i].name)->values,
               tr_weights_values(net->weights) + t->first,
               (size_t)t->rows * t->cols * sizeof(float));
    }
    for (uint32_t s = 0; s < batch->tokens.n_seq; s++) {
        const uint32_t first = self->text.off[s], end = self->text.off[s + 1];
        oracle_logits(net->tiny, self->text.ids + first, end - first, logits);
        for (; at < batch->outputs; at++) {
            const uint32_t row = batch->rows != NULL ? batch->rows[at] : at;
            if (batch->rows != NULL ? row >= end : row > s) break;
            const double *answer = logits + (batch->rows != NULL ? (row - first) * n : 0);
            for (size_t i = 0; i < n; i++) sum += answer[i] * (double)dlogits[at * n + i];
        }
    }
    return sum;
}

static double slope(subject *self, float *value, const float *dlogits)
{
    const tr_adapter *adapter = self->adapter;
    const float kept = *value, step = 0x1p-8f;
    *value = kept + step;
    adapter->compose(adapter->context, self->values, self->net.weights, self->net.pool);
    const double high = (double)*value, above = oracle_sum(self, dlogits);
    *value = kept - step;
    adapter->compose(adapter->context, self->values, self->net.weights, self->net.pool);
    const double low = (double)*value, below = oracle_sum(self, dlogits);
    *value = kept;
    return (above - below) / (high - low);
}

static void check_gradients(fs_model_kind kind, const tr_lora_options *options)
{
    subject self;
    make(&self, kind, options);
    shake(&self);
    const tr_adapter *adapter = self.adapter;
    const tr_layout *layout = adapter->layout;
    float *dlogits = net_noise(net_logits(&self.net, &self.text.batch), 3);
    float *by_network =
        net_gradients(&self.net, &self.text.batch, &(tr_pass){0}, dlogits, adapter->network_wanted);
    float *grads = net_floats(layout->floats);
    adapter->project(adapter->context, self.values, by_network, grads, self.net.pool);
    for (size_t i = 0; i < layout->count; i++) {
        const tr_tensor *t = &layout->tensors[i];
        double worst = 0, scale = 1e-2;
        for (size_t j = 0; j < (size_t)t->rows * t->cols; j++) {
            const double expected = slope(&self, self.values + t->first + j, dlogits);
            scale = fmax(scale, fabs(expected));
            worst = fmax(worst, fabs(expected - (double)grads[t->first + j]));
        }
        if (!(worst < 1e-3 * scale)) fail_msg("gradient of %s is %.3g off", t->name, worst / scale);
    }
    free(dlogits);
    free(by_network);
    free(grads);
    unmake(&self);
}

static void gradients_are_slopes(void **state)
{
    const tr_lora_options bert = bert_options(), gpt2 = gpt2_options();
    check_gradients(FS_MODEL_BERT, &bert);
    check_gradients(FS_MODEL_GPT2, &gpt2);
}

static void refuses_what_cannot_be_adapted(void **state)
{
    subject self;
    tr_lora *lora;
    const tr_lora_options good = bert_options();
    make(&self, FS_MODEL_BERT, &good);
    tr_lora_options bad = good;
    bad.on = set_of("embedding.token", NULL, NULL);
    assert_status(tr_lora_new(&lora, &bad, self.net.weights, self.net.pool), FS_EUSAGE);
    assert_detail("embedding.token");
    bad.on = set_of("head.lm", NULL, NULL);
    assert_status(tr_lora_new(&lora, &bad, self.net.weights, self.net.pool), FS_EUSAGE);
    bad = good;
    bad.full = bad.on;
    assert_status(tr_lora_new(&lora, &bad, self.net.weights, self.net.pool), FS_EUSAGE);
    assert_detail("in full");
    bad = good;
    bad.rank = 6;
    assert_ok(tr_lora_new(&lora, &bad, self.net.weights, self.net.pool));
    tr_lora_destroy(&lora);
    bad.rank = 7;
    assert_status(tr_lora_new(&lora, &bad, self.net.weights, self.net.pool), FS_EUSAGE);
    assert_detail("rank 7");
    assert_null(lora);
    unmake(&self);
}

/* Whole steps of a trainer. */

typedef struct adapted {
    tuner tuner;
    tr_lora *lora;
    tr_correct *correct;
} adapted;

static void start(adapted *self, fs_model_kind kind, int corrects, unsigned threads)
{
    const int bert = kind == FS_MODEL_BERT;
    const tiny_spec spec = tune_spec(kind, bert ? FS_TASK_CLASSIFICATION : FS_TASK_LM);
    *self = (adapted){0};
    tune_make(&self->tuner, &spec, bert ? TR_HEAD_CLASSIFY : TR_HEAD_CAUSAL, threads);
    const network *net = &self->tuner.net;
    const tr_lora_options lora = {.rank = 4,
                                  .alpha = 8,
                                  .on = set_of("attention", "mlp.up", NULL) &
                                        ~set_of("attention.norm", NULL, NULL),
                                  .key = 2,
                                  .clip = corrects};
    const tr_correct_options correct = {
        .rate = 0.02, .lambda = 0.2, .task = TR_CORRECT_BOTH, .clamp = 0.05};
    if (corrects) tr_correct_clip(net->pool, tr_weights_values(net->weights), net->layout->floats);
    assert_ok(tr_lora_new(&self->lora, &lora, net->weights, net->pool));
    if (corrects)
        assert_ok(tr_correct_new(&self->correct, &correct, net->weights, net->pool,
                                 tr_lora_adapter(self->lora)));
    tune_start(&self->tuner, corrects ? tr_correct_hooks(self->correct) : NULL,
               tr_lora_adapter(self->lora));
}

static void finish(adapted *self)
{
    tune_unmake(&self->tuner);
    tr_correct_destroy(&self->correct);
    tr_lora_destroy(&self->lora);
}

static void learns_and_leaves_the_rest_alone(void **state)
{
    adapted self;
    start(&self, FS_MODEL_BERT, 0, 2);
    const tr_layout *layout = self.tuner.net.layout;
    const size_t bytes = layout->floats * sizeof(float);
    float *before = malloc(bytes);
    const float *now = tr_weights_values(self.tuner.net.weights);
    assert_non_null(before);
    memcpy(before, now, bytes);
    for (int i = 0; i < 5; i++) tune_step(&self.tuner);
    unsigned changed = 0;
    for (size_t i = 0; i < layout->count; i++) {
        const tr_tensor *t = &layout->tensors[i];
        const int differs =
            memcmp(before + t->first, now + t->first, (size_t)t->rows * t->cols * 4) != 0;
        const int expected =
            t->rank == 2 && (strstr(t->name, "attention.") || strstr(t->name, "intermediate."));
        assert_int_equal(differs, expected);
        changed += (unsigned)differs;
    }
    assert_int_equal(changed, 2 * 5);
    free(before);
    finish(&self);
}

static void goes_on_to_the_same_bits_with_self_correction_too(void **state)
{
    for (int corrects = 0; corrects < 2; corrects++) {
        adapted whole, first, second;
        const fs_model_kind kind = corrects ? FS_MODEL_GPT2 : FS_MODEL_BERT;
        start(&whole, kind, corrects, 2);
        start(&first, kind, corrects, 1);
        start(&second, kind, corrects, 1);
        for (int i = 0; i < 7; i++) tune_step(&whole.tuner);
        for (int i = 0; i < 4; i++) tune_step(&first.tuner);
        tune_go_on(&second.tuner, &first.tuner);
        for (int i = 0; i < 3; i++) tune_step(&second.tuner);
        tune_assert_equal(&whole.tuner, &second.tuner);
        const float *values = tr_weights_values(whole.tuner.net.weights);
        for (size_t i = 0; corrects && i < whole.tuner.net.layout->floats; i++)
            assert_true(fabsf(values[i]) < 2);
        finish(&whole);
        finish(&first);
        finish(&second);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begins_at_the_model),
        cmocka_unit_test(merged_is_the_sum_of_both_products),
        cmocka_unit_test(gradients_are_slopes),
        cmocka_unit_test(refuses_what_cannot_be_adapted),
        cmocka_unit_test(learns_and_leaves_the_rest_alone),
        cmocka_unit_test(goes_on_to_the_same_bits_with_self_correction_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
