/* The network's forward pass against the engine's, bit for bit, and what no bit depends on. */
#include "net_cases.h"

#include "nn_cpu.h"
#include "nn_model.h"

/* The engine's logits of all rows, or of all sequences. The caller frees them. */
static float *engine_logits(const network *net, const nn_batch *batch)
{
    const fs_config *config = &net->layout->geometry->config;
    const uint32_t rows = batch->off[batch->n_seq];
    nn_model *model;
    nn_view *view;
    assert_ok(nn_model_open(&model, net->dir, NULL));
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

static void check_engine(const net_case *c, const tiny_spec *spec, uint32_t sequences,
                         uint32_t longest)
{
    network net;
    net_text text;
    net_make(&net, spec, c->head, 2);
    net_write(&text, &net, sequences, longest, 5);
    const size_t n = tr_logit_count(net.layout);
    float *logits = net_floats(net_logits(&net, &text.batch));
    float *expected = engine_logits(&net, &text.batch.tokens);
    assert_ok(tr_forward(net.tape, net.weights, &text.batch, &(tr_pass){0}, logits));
    for (size_t i = 0; i < text.batch.outputs; i++) {
        const size_t row = c->head == TR_HEAD_CLASSIFY ? i : text.rows[i];
        if (memcmp(logits + i * n, expected + row * n, n * sizeof *logits) != 0) {
            fail_msg("%s: answer %zu has other bits than the engine's", c->name, i);
        }
    }
    free(expected);
    free(logits);
    net_unmake(&net);
}

static void has_the_engines_bits(void **state)
{
    for (size_t i = 0; i < NET_CASES; i++) {
        const net_case *c = &net_cases[i];
        if (c->head == TR_HEAD_MASKED) continue; /* the engine has none */
        tiny_spec spec = net_spec(c);
        check_engine(c, &spec, 20, 40);
        spec.width = 15, spec.heads = 3, spec.inner = 21; /* no multiple of a panel */
        spec.activation = "relu";
        check_engine(c, &spec, 20, 40);
        spec.positions = 300;
        check_engine(c, &spec, 5, 300); /* sequences longer than a group */
        spec.layers = 1, spec.positions = 7;
        spec.activation = c->kind == FS_MODEL_BERT ? "gelu_new" : "gelu";
        check_engine(c, &spec, 20, 7);
    }
}

/* Logits and gradients of one step. */
typedef struct result {
    size_t logit_count, grad_count;
    float *logits, *grads;
} result;

static const tr_pass dropping = {.dropout = 0.1f, .attention_dropout = 0.2f, .key = 7, .step = 3};

static result step(const network *net, const net_text *text, const tr_pass *pass)
{
    const tr_batch *batch = &text->batch;
    result r = {.logit_count = net_logits(net, batch), .grad_count = net->layout->floats};
    float *dlogits = net_noise(r.logit_count, 3);
    r.logits = net_floats(r.logit_count);
    r.grads = net_floats(r.grad_count);
    assert_ok(tr_forward(net->tape, net->weights, batch, pass, r.logits));
    assert_ok(tr_backward(net->tape, net->weights, dlogits, r.grads, NULL));
    free(dlogits);
    return r;
}

static void release(result *r)
{
    free(r->logits);
    free(r->grads);
}

static int same_bits(const result *a, const result *b)
{
    return memcmp(a->logits, b->logits, a->logit_count * sizeof *a->logits) == 0 &&
           memcmp(a->grads, b->grads, a->grad_count * sizeof *a->grads) == 0;
}

static void has_the_same_bits_for_any_number_of_threads(void **state)
{
    for (size_t i = 0; i < NET_CASES; i++) {
        result alone = {0};
        for (unsigned threads = 1; threads <= 4; threads++) {
            network net;
            net_text text;
            net_make_case(&net, &text, &net_cases[i], threads);
            result r = step(&net, &text, &dropping);
            if (threads == 1) {
                alone = r;
            } else {
                if (!same_bits(&alone, &r)) fail_msg("%s, %u threads", net_cases[i].name, threads);
                release(&r);
            }
            net_unmake(&net);
        }
        release(&alone);
    }
}

static void has_the_same_bits_on_any_instruction_set(void **state)
{
    static const char *const names[] = {"avx2", "avx512"};
    const char *chosen = nn_kernel_name();
    for (size_t i = 0; i < NET_CASES; i++) {
        network net;
        net_text text;
        net_make_case(&net, &text, &net_cases[i], 2);
        assert_ok(nn_kernel_choose("portable"));
        result portable = step(&net, &text, &dropping);
        for (unsigned k = 0; k < 2; k++) {
            if (nn_kernel_choose(names[k]) != FS_OK) continue;
            result r = step(&net, &text, &dropping);
            if (!same_bits(&portable, &r)) fail_msg("%s, %s", net_cases[i].name, names[k]);
            release(&r);
        }
        release(&portable);
        net_unmake(&net);
        assert_ok(nn_kernel_choose(chosen));
    }
}

/* What a larger batch, dropout or a gradient left on the tape is not seen by the next pass. */
static void remembers_nothing_of_the_pass_before(void **state)
{
    for (size_t i = 0; i < NET_CASES; i++) {
        network net;
        net_text large, text;
        net_make_case(&net, &large, &net_cases[i], 2);
        net_write(&text, &net, 3, 9, 6);
        result first = step(&net, &text, &(tr_pass){0});
        result between = step(&net, &large, &dropping);
        result again = step(&net, &text, &(tr_pass){0});
        assert_true(same_bits(&first, &again));
        release(&first);
        release(&between);
        release(&again);
        net_unmake(&net);
    }
}

static void takes_a_batch_without_answers(void **state)
{
    network net;
    net_text text;
    net_make_case(&net, &text, &net_cases[1], 2);
    text.batch.outputs = 0;
    result r = step(&net, &text, &dropping);
    for (size_t i = 0; i < r.grad_count; i++) assert_true(r.grads[i] == 0);
    release(&r);
    net_unmake(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_the_engines_bits),
        cmocka_unit_test(has_the_same_bits_for_any_number_of_threads),
        cmocka_unit_test(has_the_same_bits_on_any_instruction_set),
        cmocka_unit_test(remembers_nothing_of_the_pass_before),
        cmocka_unit_test(takes_a_batch_without_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
