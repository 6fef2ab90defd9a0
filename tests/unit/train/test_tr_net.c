/* The network's forward pass against the engine's, bit for bit, and what a pass promises: the same
 * bits for any number of threads, runs that add up, probes, frozen tensors. */
#include "net_fixture.h"

#include <math.h>

#include "nn_model.h"

typedef struct head_case {
    const char *name;
    fs_model_kind kind;
    fs_task_kind task;
    tr_head head;
    int untied;
} head_case;

static const head_case cases[] = {
    {"BERT, classes", FS_MODEL_BERT, FS_TASK_CLASSIFICATION, TR_HEAD_CLASSIFY, 0},
    {"BERT, masked", FS_MODEL_BERT, FS_TASK_CLASSIFICATION, TR_HEAD_MASKED, 0},
    {"GPT-2, classes", FS_MODEL_GPT2, FS_TASK_CLASSIFICATION, TR_HEAD_CLASSIFY, 0},
    {"GPT-2, tied", FS_MODEL_GPT2, FS_TASK_LM, TR_HEAD_CAUSAL, 0},
    {"GPT-2, own head", FS_MODEL_GPT2, FS_TASK_LM, TR_HEAD_CAUSAL, 1},
};
enum { CASES = sizeof cases / sizeof cases[0] };

static tiny_spec spec_of(const head_case *c)
{
    tiny_spec spec = tiny_spec_default(c->kind, c->task);
    spec.vocab = 299;
    spec.labels = c->task == FS_TASK_CLASSIFICATION ? 3 : 0;
    spec.untied = c->untied;
    return spec;
}

/* The engine's logits of all rows, or of all sequences. The caller frees them. */
static float *engine_logits(const network *self, const nn_batch *batch)
{
    const fs_config *config = &self->layout->geometry->config;
    const uint32_t rows = batch->off[batch->n_seq];
    nn_model *model;
    nn_view *view;
    assert_ok(nn_model_open(&model, self->dir, NULL));
    assert_ok(nn_view_new(&view, model));
    float *state = net_floats((size_t)rows * config->d_model);
    float *logits = net_floats((size_t)rows * (config->vocab + config->labels));
    assert_ok(nn_embed(view, batch, state));
    for (uint32_t l = 0; l < config->layers; l++) assert_ok(nn_layer(view, l, batch, state));
    if (config->task == FS_TASK_LM) {
        assert_ok(nn_final_norm(view, batch, state, state));
        assert_ok(nn_lm_logits(view, state, rows, logits));
    } else {
        assert_ok(nn_classify(view, batch, state, logits));
    }
    free(state);
    nn_view_destroy(&view);
    nn_model_close(&model);
    return logits;
}

static void check_engine(const head_case *c, const tiny_spec *spec)
{
    network self;
    net_text text;
    net_make(&self, spec, c->head, 2);
    net_write(&text, &self, 20, spec->positions < 40 ? spec->positions : 40, 5);
    const size_t n = tr_logit_count(self.layout);
    float *logits = net_floats(net_logits(&self, &text.batch));
    float *expected = engine_logits(&self, &text.batch.tokens);
    assert_ok(tr_forward(self.tape, self.weights, &text.batch, &(tr_pass){0}, logits));
    for (size_t i = 0; i < text.batch.outputs; i++) {
        const size_t row = c->head == TR_HEAD_CLASSIFY ? i : text.rows[i];
        if (memcmp(logits + i * n, expected + row * n, n * sizeof *logits) != 0) {
            fail_msg("%s: answer %zu has other bits than the engine's", c->name, i);
        }
    }
    free(expected);
    free(logits);
    net_unmake(&self);
}

static void has_the_engines_bits(void **state)
{
    for (size_t i = 0; i < CASES; i++) {
        if (cases[i].head == TR_HEAD_MASKED) continue; /* the engine has none */
        tiny_spec spec = spec_of(&cases[i]);
        check_engine(&cases[i], &spec);
        spec.width = 15, spec.heads = 3, spec.inner = 21; /* no multiple of a panel */
        spec.activation = "relu";
        check_engine(&cases[i], &spec);
        spec.layers = 1, spec.positions = 7;
        spec.activation = cases[i].kind == FS_MODEL_BERT ? "gelu_new" : "gelu";
        check_engine(&cases[i], &spec);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_the_engines_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
