#include "testing.h"

#include "geometry.h"

static fs_geometry *geometry_of(const fs_config *config)
{
    fs_geometry *geometry;
    assert_ok(fs_geometry_new(&geometry, config));
    return geometry;
}

static const fs_config bert_base = {.kind = FS_MODEL_BERT,
                                    .task = FS_TASK_CLASSIFICATION,
                                    .vocab = 30522,
                                    .positions = 512,
                                    .segments = 2,
                                    .d_model = 768,
                                    .layers = 12,
                                    .heads = 12,
                                    .d_ff = 3072,
                                    .labels = 2,
                                    .norm_eps = 1e-12};
static const fs_config gpt2_small = {.kind = FS_MODEL_GPT2,
                                     .task = FS_TASK_LM,
                                     .vocab = 50257,
                                     .positions = 1024,
                                     .d_model = 768,
                                     .layers = 12,
                                     .heads = 12,
                                     .d_ff = 3072,
                                     .tied = 1,
                                     .norm_eps = 1e-5};

/* The sizes that transformers reports: num_parameters() of bert-base-uncased with a head for two
 * classes is 109,483,778, of gpt2 124,439,808. */
static void published_sizes(void **unused)
{
    fs_config untied = gpt2_small, classifier = gpt2_small;
    untied.tied = 0;
    classifier.task = FS_TASK_CLASSIFICATION;
    classifier.labels = 2;
    classifier.tied = 0;
    fs_geometry *g = geometry_of(&bert_base);
    assert_int_equal(g->values, 109483778);
    assert_int_equal(g->tensor_count, 5 + 12 * 16 + 4);
    fs_geometry_destroy(&g);
    g = geometry_of(&gpt2_small);
    assert_int_equal(g->values, 124439808);
    fs_geometry_destroy(&g);
    g = geometry_of(&untied);
    assert_int_equal(g->values, 124439808 + 50257 * 768);
    fs_geometry_destroy(&g);
    g = geometry_of(&classifier);
    assert_int_equal(g->values, 124439808 + 2 * 768);
    fs_geometry_destroy(&g);
    fs_geometry_destroy(&g);
}

/* Every value of every tensor lies in exactly one slice. */
static void slices_partition(const fs_geometry *g)
{
    uint64_t total = 0;
    for (size_t t = 0; t < g->tensor_count; t++) {
        uint64_t covered = 0;
        uint32_t next = 0;
        for (size_t i = 0; i < g->slice_count; i++) {
            const fs_slice *s = &g->slices[i];
            if (s->tensor != t) continue;
            assert_int_equal(s->col_first, next);
            assert_int_equal(s->values, (uint64_t)g->tensors[t].rows * s->cols);
            next += s->cols;
            covered += s->values;
        }
        assert_int_equal(next, g->tensors[t].cols);
        total += covered;
    }
    assert_int_equal(total, g->values);
}

/* Embeddings, layers ascending, final norm, heads. */
static void slices_ordered(const fs_geometry *g)
{
    int stage = -1;
    for (size_t i = 0; i < g->slice_count; i++) {
        const fs_slice *s = &g->slices[i];
        int here = s->layer;
        if (here < 0) here = s->component <= FS_EMBEDDING_NORM ? -1 : 1000 + (int)s->component;
        assert_true(here >= stage);
        stage = here;
    }
}

static void slices(void **unused)
{
    fs_config small = gpt2_small;
    small.vocab = 3;
    small.d_model = 1;
    small.heads = 1;
    small.layers = 1;
    small.positions = 1;
    small.d_ff = 1;
    const fs_config *configs[] = {&bert_base, &gpt2_small, &small};
    for (size_t i = 0; i < 3; i++) {
        fs_geometry *g = geometry_of(configs[i]);
        slices_partition(g);
        slices_ordered(g);
        fs_geometry_destroy(&g);
    }
}

/* @return how many values of the component lie in the layer (-2: wherever). */
static uint64_t values_of(const fs_geometry *g, fs_component component, int layer)
{
    uint64_t values = 0;
    for (size_t i = 0; i < g->slice_count; i++) {
        const fs_slice *s = &g->slices[i];
        if (s->component == component && (layer == -2 || s->layer == layer)) values += s->values;
    }
    return values;
}

static void components(void **unused)
{
    const uint64_t d = 768, linear = d * d + d, up = 3072 * d + 3072, down = 3072 * d + d;
    fs_geometry *b = geometry_of(&bert_base), *g = geometry_of(&gpt2_small);
    for (int layer = 0; layer < 12; layer++) {
        const fs_geometry *both[] = {b, g};
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(values_of(both[i], FS_ATTENTION_QUERY, layer), linear);
            assert_int_equal(values_of(both[i], FS_ATTENTION_KEY, layer), linear);
            assert_int_equal(values_of(both[i], FS_ATTENTION_VALUE, layer), linear);
            assert_int_equal(values_of(both[i], FS_ATTENTION_OUTPUT, layer), linear);
            assert_int_equal(values_of(both[i], FS_ATTENTION_NORM, layer), 2 * d);
            assert_int_equal(values_of(both[i], FS_MLP_UP, layer), up);
            assert_int_equal(values_of(both[i], FS_MLP_DOWN, layer), down);
            assert_int_equal(values_of(both[i], FS_MLP_NORM, layer), 2 * d);
        }
    }
    assert_int_equal(values_of(b, FS_EMBEDDING_TOKEN, -1), 30522 * d);
    assert_int_equal(values_of(b, FS_EMBEDDING_SEGMENT, -1), 2 * d);
    assert_int_equal(values_of(b, FS_EMBEDDING_NORM, -1), 2 * d);
    assert_int_equal(values_of(b, FS_HEAD_POOLER, -1), linear);
    assert_int_equal(values_of(b, FS_HEAD_CLASSIFIER, -1), 2 * d + 2);
    assert_int_equal(values_of(g, FS_EMBEDDING_POSITION, -1), 1024 * d);
    assert_int_equal(values_of(g, FS_FINAL_NORM, -1), 2 * d);
    assert_int_equal(values_of(g, FS_HEAD_LM, -2), 0);
    assert_int_equal(fs_geometry_components(b) & fs_component_parse("final.norm"), 0);
    assert_int_equal(fs_geometry_components(g) & fs_component_parse("head"), 0);
    assert_int_equal(fs_geometry_components(g) & fs_component_parse("embedding"),
                     fs_component_parse("embedding.token") |
                         fs_component_parse("embedding.position"));
    fs_geometry_destroy(&b);
    fs_geometry_destroy(&g);
}

static void words(void **unused)
{
    fs_component_set all = 0;
    for (unsigned i = 0; i < FS_COMPONENT_COUNT; i++) {
        const char *name = fs_component_name((fs_component)i);
        assert_int_equal(fs_component_parse(name), 1u << i);
    }
    for (unsigned i = 0; i < FS_GROUP_COUNT; i++) {
        fs_component_set set = fs_component_parse(fs_group_name((fs_group)i));
        assert_true(set != 0);
        assert_int_equal(all & set, 0);
        all |= set;
        for (unsigned c = 0; c < FS_COMPONENT_COUNT; c++) {
            if (set >> c & 1u) assert_int_equal(fs_component_group((fs_component)c), i);
        }
    }
    assert_int_equal(all, fs_component_parse("all"));
    assert_int_equal(fs_component_parse(""), 0);
    assert_int_equal(fs_component_parse("Attention"), 0);
    assert_int_equal(fs_component_parse("attention."), 0);
    assert_int_equal(fs_component_parse("layernorm"),
                     fs_component_parse("embedding.norm") | fs_component_parse("attention.norm") |
                         fs_component_parse("mlp.norm") | fs_component_parse("final.norm"));
}

/* The order is part of the fault space: pinned here tensor by tensor for one layer of each. */
static void pinned_order(void **unused)
{
    static const char *const bert_names[] = {"embeddings.word_embeddings.weight",
                                             "embeddings.position_embeddings.weight",
                                             "embeddings.token_type_embeddings.weight",
                                             "embeddings.LayerNorm.weight",
                                             "embeddings.LayerNorm.bias",
                                             "encoder.layer.0.attention.self.query.weight",
                                             "encoder.layer.0.attention.self.query.bias",
                                             "encoder.layer.0.attention.self.key.weight",
                                             "encoder.layer.0.attention.self.key.bias",
                                             "encoder.layer.0.attention.self.value.weight",
                                             "encoder.layer.0.attention.self.value.bias",
                                             "encoder.layer.0.attention.output.dense.weight",
                                             "encoder.layer.0.attention.output.dense.bias",
                                             "encoder.layer.0.attention.output.LayerNorm.weight",
                                             "encoder.layer.0.attention.output.LayerNorm.bias",
                                             "encoder.layer.0.intermediate.dense.weight",
                                             "encoder.layer.0.intermediate.dense.bias",
                                             "encoder.layer.0.output.dense.weight",
                                             "encoder.layer.0.output.dense.bias",
                                             "encoder.layer.0.output.LayerNorm.weight",
                                             "encoder.layer.0.output.LayerNorm.bias",
                                             "pooler.dense.weight",
                                             "pooler.dense.bias",
                                             "classifier.weight",
                                             "classifier.bias"};
    static const char *const gpt2_names[] = {"wte.weight",
                                             "wpe.weight",
                                             "h.0.attn.c_attn.weight",
                                             "h.0.attn.c_attn.bias",
                                             "h.0.attn.c_proj.weight",
                                             "h.0.attn.c_proj.bias",
                                             "h.0.ln_1.weight",
                                             "h.0.ln_1.bias",
                                             "h.0.mlp.c_fc.weight",
                                             "h.0.mlp.c_fc.bias",
                                             "h.0.mlp.c_proj.weight",
                                             "h.0.mlp.c_proj.bias",
                                             "h.0.ln_2.weight",
                                             "h.0.ln_2.bias",
                                             "ln_f.weight",
                                             "ln_f.bias",
                                             "lm_head.weight"};
    fs_config bert = bert_base, gpt2 = gpt2_small;
    bert.layers = gpt2.layers = 1;
    gpt2.tied = 0;
    fs_geometry *g = geometry_of(&bert);
    assert_int_equal(g->tensor_count, sizeof bert_names / sizeof bert_names[0]);
    for (size_t i = 0; i < g->tensor_count; i++) {
        assert_string_equal(g->tensors[i].name, bert_names[i]);
    }
    fs_geometry_destroy(&g);
    g = geometry_of(&gpt2);
    assert_int_equal(g->tensor_count, sizeof gpt2_names / sizeof gpt2_names[0]);
    for (size_t i = 0; i < g->tensor_count; i++) {
        assert_string_equal(g->tensors[i].name, gpt2_names[i]);
    }
    /* c_attn's slices go component by component, weight before bias. */
    for (uint32_t part = 0; part < 3; part++) {
        for (uint32_t leaf = 0; leaf < 2; leaf++) {
            const fs_slice *s = &g->slices[2 + 2 * part + leaf];
            assert_int_equal(s->component, FS_ATTENTION_QUERY + part);
            assert_int_equal(s->tensor, 2 + leaf);
            assert_int_equal(s->col_first, part * 768);
        }
    }
    fs_geometry_destroy(&g);
}

static void limits(void **unused)
{
    fs_config config = gpt2_small;
    fs_geometry *g;
    config.layers = FS_LAYERS_MAX;
    g = geometry_of(&config);
    fs_geometry_destroy(&g);
    config.layers = FS_LAYERS_MAX + 1;
    assert_status(fs_geometry_new(&g, &config), FS_ELIMIT);
    assert_null(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(published_sizes), cmocka_unit_test(slices),
                                       cmocka_unit_test(components),      cmocka_unit_test(words),
                                       cmocka_unit_test(pinned_order),    cmocka_unit_test(limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
