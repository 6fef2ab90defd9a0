/* The packed copies against the flat array, by the products that read them. */
#include "net_fixture.h"

#include "nn_gemm.h"
#include "tr_packed.h"

/* x W by the packed copy is the plain sum over the tensor as it lies in the file. */
static void check_products(const network *net, const char *name, size_t in, size_t out, int conv)
{
    const uint32_t tensor = (uint32_t)tr_layout_find(net->layout, name);
    const float *w = net_tensor(net, name);
    float *x = net_noise(in, 3), *dy = net_noise(out, 4);
    float *y = net_floats(out), *dx = net_floats(in);
    assert_ptr_equal(tr__values(net->weights, tensor), w);
    nn_gemm(y, out, x, in, tr__forward_copy(net->weights, tensor), NULL, 1, out, in);
    nn_gemm(dx, in, dy, out, tr__backward_copy(net->weights, tensor), NULL, 1, in, out);
    for (size_t o = 0; o < out; o++) {
        double sum = 0;
        for (size_t i = 0; i < in; i++) {
            sum += (double)x[i] * (double)(conv ? w[i * out + o] : w[o * in + i]);
        }
        if (!(fabs(sum - (double)y[o]) < 1e-5)) fail_msg("%s: column %zu", name, o);
    }
    for (size_t i = 0; i < in; i++) {
        double sum = 0;
        for (size_t o = 0; o < out; o++) {
            sum += (double)dy[o] * (double)(conv ? w[i * out + o] : w[o * in + i]);
        }
        if (!(fabs(sum - (double)dx[i]) < 1e-4)) fail_msg("%s: row %zu", name, i);
    }
    free(x);
    free(dy);
    free(y);
    free(dx);
}

static tiny_spec odd_spec(fs_model_kind kind, fs_task_kind task)
{
    tiny_spec spec = tiny_spec_default(kind, task);
    spec.width = 20, spec.heads = 2, spec.inner = 37, spec.vocab = 101;
    return spec;
}

static void packs_berts_linear_layers(void **state)
{
    const tiny_spec spec = odd_spec(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    network net;
    net_make(&net, &spec, TR_HEAD_MASKED, 2);
    check_products(&net, "encoder.layer.1.attention.self.key.weight", 20, 20, 0);
    check_products(&net, "encoder.layer.0.intermediate.dense.weight", 20, 37, 0);
    check_products(&net, "encoder.layer.0.output.dense.weight", 37, 20, 0);
    check_products(&net, "cls.predictions.transform.dense.weight", 20, 20, 0);
    check_products(&net, "embeddings.word_embeddings.weight", 20, 101, 0);
    net_unmake(&net);
}

static void packs_gpt2s_conv1d_layers(void **state)
{
    tiny_spec spec = odd_spec(FS_MODEL_GPT2, FS_TASK_LM);
    network net;
    net_make(&net, &spec, TR_HEAD_CAUSAL, 3);
    check_products(&net, "h.1.attn.c_attn.weight", 20, 60, 1);
    check_products(&net, "h.0.mlp.c_proj.weight", 37, 20, 1);
    check_products(&net, "wte.weight", 20, 101, 0);
    net_unmake(&net);
    spec.untied = 1;
    net_make(&net, &spec, TR_HEAD_CAUSAL, 1);
    check_products(&net, "lm_head.weight", 20, 101, 0);
    net_unmake(&net);
}

static void packs_what_changed_and_nothing_else(void **state)
{
    const tiny_spec spec = odd_spec(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    network net;
    net_make(&net, &spec, TR_HEAD_CLASSIFY, 2);
    const char *names[] = {"encoder.layer.0.attention.self.query.weight",
                           "encoder.layer.1.attention.self.query.weight"};
    uint32_t tensors[2];
    uint8_t *changed = calloc(net.layout->count, 1);
    assert_non_null(changed);
    for (unsigned i = 0; i < 2; i++) {
        tensors[i] = (uint32_t)tr_layout_find(net.layout, names[i]);
        net_tensor(&net, names[i])[0] = 77;
    }
    changed[tensors[1]] = 1;
    tr_weights_pack_some(net.weights, net.pool, changed);
    assert_true(tr__forward_copy(net.weights, tensors[0])[0] != 77);
    assert_true(tr__backward_copy(net.weights, tensors[0])[0] != 77);
    assert_true(tr__forward_copy(net.weights, tensors[1])[0] == 77);
    assert_true(tr__backward_copy(net.weights, tensors[1])[0] == 77);
    tr_weights_pack(net.weights, net.pool);
    assert_true(tr__forward_copy(net.weights, tensors[0])[0] == 77);
    free(changed);
    net_unmake(&net);
}

static void begins_with_zeros(void **state)
{
    const tiny_spec spec = odd_spec(FS_MODEL_GPT2, FS_TASK_LM);
    network net;
    tr_weights *weights;
    net_make(&net, &spec, TR_HEAD_CAUSAL, 1);
    assert_ok(tr_weights_new(&weights, net.layout));
    assert_ptr_equal(tr_weights_layout(weights), net.layout);
    for (size_t i = 0; i < net.layout->floats; i++) {
        assert_true(tr_weights_values(weights)[i] == 0);
    }
    tr_weights_destroy(&weights);
    assert_null(weights);
    tr_weights_destroy(&weights);
    net_unmake(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packs_berts_linear_layers),
        cmocka_unit_test(packs_gpt2s_conv1d_layers),
        cmocka_unit_test(packs_what_changed_and_nothing_else),
        cmocka_unit_test(begins_with_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
