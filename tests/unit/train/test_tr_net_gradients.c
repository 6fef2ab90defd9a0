/* Every parameter's gradient against central differences of a forward pass in double precision that
 * shares no code with the network. */
#include "net_fixture.h"

#include <math.h>

typedef struct subject {
    network net;
    net_text text;
    float *dlogits;
} subject;

/* The model that the oracle reads has its own copy of the weights; the masked head is the net's. */
static double oracle_sum(const subject *self)
{
    const network *net = &self->net;
    const tiny_spec *spec = &net->tiny->spec;
    const size_t n = tr_logit_count(net->layout);
    const tr_batch *batch = &self->text.batch;
    double *logits = malloc(64 * 64 * sizeof *logits), sum = 0;
    assert_non_null(logits);
    uint32_t at = 0;
    for (uint32_t s = 0; s < batch->tokens.n_seq; s++) {
        const uint32_t first = self->text.off[s], length = self->text.off[s + 1] - first;
        const int32_t *ids = self->text.ids + first;
        assert_true(length * n <= 64 * 64 && spec->vocab <= 64);
        if (net->layout->head == TR_HEAD_MASKED) {
            const oracle_masked head = {
                net_tensor(net, "cls.predictions.transform.dense.weight"),
                net_tensor(net, "cls.predictions.transform.dense.bias"),
                net_tensor(net, "cls.predictions.transform.LayerNorm.weight"),
                net_tensor(net, "cls.predictions.transform.LayerNorm.bias"),
                net_tensor(net, "cls.predictions.bias")};
            oracle_masked_logits(net->tiny, &head, ids, length, logits);
        } else {
            oracle_logits(net->tiny, ids, length, logits);
        }
        for (; at < batch->outputs; at++) {
            const uint32_t row = batch->rows != NULL ? batch->rows[at] : at;
            if (batch->rows != NULL ? row >= first + length : row > s) break;
            const double *answer = logits + (batch->rows != NULL ? (row - first) * n : 0);
            for (size_t i = 0; i < n; i++) sum += answer[i] * (double)self->dlogits[at * n + i];
        }
    }
    assert_int_equal(at, batch->outputs);
    free(logits);
    return sum;
}

static double difference(const subject *self, float *value)
{
    const float kept = *value, step = 0x1p-12f;
    *value = kept + step;
    const double high = *value, above = oracle_sum(self);
    *value = kept - step;
    const double low = *value, below = oracle_sum(self);
    *value = kept;
    return (above - below) / (high - low);
}

/* @return the worst difference of a tensor's gradient, relative to its largest element; gradients
 * that vanish (a key's bias moves nothing) are measured against the whole model's scale. */
static double tensor_error(const subject *self, size_t tensor, const float *grads, double floor)
{
    const tr_layout *layout = self->net.layout;
    const tr_tensor *t = &layout->tensors[tensor];
    const size_t n = (size_t)t->rows * t->cols;
    float *values =
        tensor < layout->geometry->tensor_count
            ? tiny_model_tensor(self->net.tiny, layout->geometry->tensors[tensor].name)->values
            : tr_weights_values(self->net.weights) + t->first;
    double worst = 0, scale = floor;
    for (size_t i = 0; i < n; i++) {
        const double expected = difference(self, values + i);
        scale = fmax(scale, fabs(expected));
        worst = fmax(worst, fabs(expected - (double)grads[t->first + i]));
    }
    return worst / scale;
}

static void check(const char *name, tr_head head, const tiny_spec *spec)
{
    subject self;
    net_make(&self.net, spec, head, 2);
    net_write(&self.text, &self.net, 4, spec->positions, 11);
    self.dlogits = net_noise(net_logits(&self.net, &self.text.batch), 3);
    float *grads = net_gradients(&self.net, &self.text.batch, &(tr_pass){0}, self.dlogits, NULL);
    double largest = 0;
    for (size_t i = 0; i < self.net.layout->floats; i++) {
        largest = fmax(largest, fabs((double)grads[i]));
    }
    for (size_t i = 0; i < self.net.layout->count; i++) {
        const tr_tensor *t = &self.net.layout->tensors[i];
        if (!t->used) {
            for (size_t j = 0; j < (size_t)t->rows * t->cols; j++) {
                assert_true(grads[t->first + j] == 0);
            }
            continue;
        }
        const double error = tensor_error(&self, i, grads, 1e-3 * largest);
        if (!(error < 1e-4)) fail_msg("%s: gradient of %s is %.3g off", name, t->name, error);
    }
    free(grads);
    free(self.dlogits);
    net_unmake(&self.net);
}

static tiny_spec small(fs_model_kind kind, fs_task_kind task)
{
    tiny_spec spec = tiny_spec_default(kind, task);
    spec.width = 6, spec.heads = 2, spec.inner = 10, spec.vocab = 13, spec.positions = 5;
    spec.labels = task == FS_TASK_CLASSIFICATION ? 3 : 0;
    return spec;
}

static void bert_classifier(void **state)
{
    const tiny_spec spec = small(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    check("BERT, classes", TR_HEAD_CLASSIFY, &spec);
}

static void bert_masked(void **state)
{
    const tiny_spec spec = small(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    check("BERT, masked", TR_HEAD_MASKED, &spec);
}

static void gpt2_classifier(void **state)
{
    const tiny_spec spec = small(FS_MODEL_GPT2, FS_TASK_CLASSIFICATION);
    check("GPT-2, classes", TR_HEAD_CLASSIFY, &spec);
}

static void gpt2_tied(void **state)
{
    const tiny_spec spec = small(FS_MODEL_GPT2, FS_TASK_LM);
    check("GPT-2, tied", TR_HEAD_CAUSAL, &spec);
}

static void gpt2_with_a_head_of_its_own(void **state)
{
    tiny_spec spec = small(FS_MODEL_GPT2, FS_TASK_LM);
    spec.untied = 1;
    check("GPT-2, own head", TR_HEAD_CAUSAL, &spec);
}

static void other_activations(void **state)
{
    tiny_spec spec = small(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    spec.layers = 1;
    spec.activation = "gelu_new";
    check("BERT, masked, gelu_new", TR_HEAD_MASKED, &spec);
    spec = small(FS_MODEL_GPT2, FS_TASK_LM);
    spec.layers = 1;
    spec.activation = "gelu";
    check("GPT-2, gelu", TR_HEAD_CAUSAL, &spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bert_classifier),
        cmocka_unit_test(bert_masked),
        cmocka_unit_test(gpt2_classifier),
        cmocka_unit_test(gpt2_tied),
        cmocka_unit_test(gpt2_with_a_head_of_its_own),
        cmocka_unit_test(other_activations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
