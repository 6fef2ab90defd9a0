/* What is saved is read again by the engine's own, independent readers: the same configuration, the
 * same tensors bit for bit, the same logits; and what cannot be loaded says why. */
#include "testing.h"

#include <math.h>

#include "buf.h"
#include "file.h"
#include "json_file.h"
#include "net_fixture.h"
#include "nn_model.h"
#include "safetensors.h"
#include "tr_init.h"
#include "tr_load.h"
#include "tr_save.h"

static char *in_folder(const char *dir, const char *name)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
    return path;
}

static const tr_save_options plain = {
    .dropout = 0.1, .attention_dropout = 0.2, .range = 0.02, .end_token = -1};

static void save(const network *net, const char *dir)
{
    tr_save_options options = plain;
    options.tokenizer = net->dir;
    assert_ok(tr_save(net->layout, tr_weights_values(net->weights), dir, &options));
}

/* Every float of the file, tensor by tensor, and the form of its header. */
static void check_file(const network *net, const char *dir)
{
    fs_safetensors *file;
    fs_buf bytes = {0};
    char *path = in_folder(dir, "model.safetensors");
    size_t used = 0;
    assert_ok(fs_safetensors_open(&file, dir));
    for (size_t i = 0; i < net->layout->count; i++) {
        const tr_tensor *t = &net->layout->tensors[i];
        const fs_tensor_view *view = fs_safetensors_find(file, t->name);
        if (!t->used) {
            assert_null(view);
            continue;
        }
        used++;
        assert_non_null(view);
        assert_int_equal(view->dtype, FS_F32);
        assert_int_equal(view->rank, t->rank);
        assert_memory_equal(view->data, tr_weights_values(net->weights) + t->first, view->bytes);
        assert_int_equal(view->bytes, 4 * (uint64_t)t->rows * t->cols);
    }
    assert_int_equal(fs_safetensors_count(file), used);
    fs_safetensors_close(&file);
    assert_ok(fs_file_read(&bytes, path, 1 << 24));
    uint64_t header;
    memcpy(&header, bytes.data, sizeof header);
    assert_int_equal(header % 8, 0);
    assert_non_null(strstr((const char *)bytes.data + 8, "\"__metadata__\":{\"format\":\"pt\"}"));
    fs_buf_free(&bytes);
    free(path);
}

static void check_same_model(const char *before, const char *after)
{
    nn_model *a, *b;
    fs_config x, y;
    assert_ok(fs_config_read(&x, before));
    assert_ok(fs_config_read(&y, after));
    assert_int_equal(x.kind, y.kind);
    assert_int_equal(x.task, y.task);
    assert_int_equal(x.activation, y.activation);
    assert_int_equal(x.vocab, y.vocab);
    assert_int_equal(x.positions, y.positions);
    assert_int_equal(x.segments, y.segments);
    assert_int_equal(x.d_model, y.d_model);
    assert_int_equal(x.layers, y.layers);
    assert_int_equal(x.heads, y.heads);
    assert_int_equal(x.d_ff, y.d_ff);
    assert_int_equal(x.labels, y.labels);
    assert_int_equal(x.tied, y.tied);
    assert_true(x.norm_eps == y.norm_eps);
    assert_ok(nn_model_open(&a, before, NULL));
    assert_ok(nn_model_open(&b, after, NULL));
    assert_true(nn_model_checksum(a) == nn_model_checksum(b));
    nn_model_close(&a);
    nn_model_close(&b);
}

/* The engine's logits of the saved folder are the bits of the network that was trained. */
static void check_logits(network *net, const char *dir)
{
    const int32_t ids[] = {5, 9, 3, 17, 6, 2, 11};
    const uint32_t off[] = {0, 4, 7};
    const int32_t targets[] = {0, 1};
    const tr_batch batch = {{ids, off, 2}, NULL, targets, 2};
    const tr_pass pass = {0};
    const uint32_t d = net->layout->geometry->config.d_model;
    float *wanted = net_floats(2 * tr_logit_count(net->layout)), *state = net_floats(7 * d);
    float *got = net_floats(2 * tr_logit_count(net->layout));
    nn_model *model;
    nn_view *view;
    assert_ok(tr_forward(net->tape, net->weights, &batch, &pass, wanted));
    assert_ok(nn_model_open(&model, dir, NULL));
    assert_ok(nn_view_new(&view, model));
    assert_ok(nn_embed(view, &batch.tokens, state));
    for (uint32_t i = 0; i < net->layout->geometry->config.layers; i++)
        assert_ok(nn_layer(view, i, &batch.tokens, state));
    assert_ok(nn_classify(view, &batch.tokens, state, got));
    assert_memory_equal(got, wanted, 2 * tr_logit_count(net->layout) * sizeof *got);
    nn_view_destroy(&view);
    nn_model_close(&model);
    free(wanted);
    free(got);
    free(state);
}

static void saves_what_it_loaded(void **state)
{
    tiny_spec specs[6];
    for (size_t i = 0; i < 6; i++) {
        const fs_model_kind kind = i < 2 ? FS_MODEL_BERT : FS_MODEL_GPT2;
        const int classifies = i < 2 || i == 5;
        specs[i] = tiny_spec_default(kind, classifies ? FS_TASK_CLASSIFICATION : FS_TASK_LM);
    }
    specs[1].old_names = specs[1].no_prefix = 1, specs[1].labels = 5;
    specs[1].dtype = TINY_F16, specs[1].activation = "relu", specs[1].inner = 48;
    specs[3].untied = 1, specs[3].shards = 3, specs[3].dtype = TINY_BF16;
    specs[4].inner = 40, specs[4].activation = "gelu", specs[4].buffers = 1;
    for (size_t i = 0; i < 6; i++) {
        const int classifies = specs[i].task == FS_TASK_CLASSIFICATION;
        const tr_head head = classifies ? TR_HEAD_CLASSIFY : TR_HEAD_CAUSAL;
        network net;
        size_t fresh = 99;
        char *out = testing_folder();
        net_make(&net, &specs[i], head, 1);
        memset(tr_weights_values(net.weights), 0, net.layout->floats * sizeof(float));
        assert_ok(tr_load_weights(net.weights, net.dir, &fresh));
        assert_int_equal(fresh, 0);
        tr_weights_pack(net.weights, net.pool);
        save(&net, out);
        check_file(&net, out);
        check_same_model(net.dir, out);
        if (classifies) check_logits(&net, out);
        testing_remove(out);
        net_unmake(&net);
    }
}

static json_t *read_json(const char *dir, const char *name)
{
    json_t *root;
    char *path = in_folder(dir, name);
    assert_ok(fs_json_file_read(&root, path, 1 << 20));
    free(path);
    return root;
}

/* A pretrained encoder becomes a classifier: body kept, pooler and classifier as they were drawn.
 */
static void a_pretrained_encoder_gets_a_new_head(void **state)
{
    const tiny_spec spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    char *out = testing_folder();
    network net;
    fs_config config;
    size_t fresh;
    net_make(&net, &spec, TR_HEAD_MASKED, 1);
    save(&net, out);
    check_file(&net, out);
    assert_status(fs_config_read(&config, out), FS_EUNSUPPORTED); /* it answers nothing yet */
    json_t *json = read_json(out, "config.json");
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(json, "architectures"), 0)),
        "BertForMaskedLM");
    json_decref(json);

    assert_ok(tr_load_config(&config, out, TR_HEAD_CLASSIFY, 3));
    assert_int_equal(config.labels, 3);
    tr_layout *layout;
    tr_weights *weights;
    assert_ok(tr_layout_new(&layout, &config, TR_HEAD_CLASSIFY));
    assert_ok(tr_weights_new(&weights, layout));
    float *values = tr_weights_values(weights);
    tr_init_all(layout, values, 0.02, 4);
    const int head = tr_layout_find(layout, "classifier.weight");
    const float drawn = values[layout->tensors[head].first];
    assert_ok(tr_load_weights(weights, out, &fresh));
    assert_int_equal(fresh, 4); /* pooler and classifier, weight and bias each */
    assert_true(values[layout->tensors[head].first] == drawn);
    const float *body = net_tensor(&net, "encoder.layer.1.output.dense.weight");
    const int same = tr_layout_find(layout, "encoder.layer.1.output.dense.weight");
    assert_memory_equal(values + layout->tensors[same].first, body,
                        sizeof(float) * layout->tensors[same].rows * layout->tensors[same].cols);
    tr_weights_destroy(&weights);
    tr_layout_destroy(&layout);
    testing_remove(out);
    net_unmake(&net);
}

static void config_says_what_transformers_asks(void **state)
{
    const tiny_spec spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    network net;
    net_make(&net, &spec, TR_HEAD_CLASSIFY, 1);
    json_t *base = json_pack("{s:{s:s, s:s}, s:s, s:i, s:s}", "id2label", "0", "negative", "1",
                             "positive", "_name_or_path", "x", "kept", 5, "torch_dtype", "float16");
    tr_save_options options = plain;
    options.base = base;
    json_t *json = tr_save_config(net.layout, &options);
    assert_non_null(json);
    static const char *const keys[] = {
        "architectures",     "model_type",
        "vocab_size",        "hidden_size",
        "num_hidden_layers", "num_attention_heads",
        "intermediate_size", "max_position_embeddings",
        "type_vocab_size",   "hidden_act",
        "layer_norm_eps",    "hidden_dropout_prob",
        "num_labels",        "attention_probs_dropout_prob",
        "initializer_range", "kept",
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(json, keys[i]) == NULL) fail_msg("no key %s", keys[i]);
    assert_true(json_real_value(json_object_get(json, "hidden_dropout_prob")) == 0.1);
    assert_true(json_real_value(json_object_get(json, "attention_probs_dropout_prob")) == 0.2);
    assert_string_equal(json_string_value(json_object_get(json, "torch_dtype")), "float32");
    assert_null(json_object_get(json, "_name_or_path"));
    assert_string_equal(json_string_value(json_object_get(json_object_get(json, "id2label"), "1")),
                        "positive");
    json_decref(json);
    json_decref(base);
    net_unmake(&net);
}

static int64_t id_of(const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);
    return value == NULL ? -1 : json_integer_value(value);
}

/* transformers finds GPT-2's last token by the first that pads: "!" has id 0 and must not pad. */
static void only_the_end_token_pads(void **state)
{
    const tiny_spec spec = tiny_spec_default(FS_MODEL_GPT2, FS_TASK_CLASSIFICATION);
    network net;
    tr_save_options options = plain;
    net_make(&net, &spec, TR_HEAD_CLASSIFY, 1);
    json_t *without = tr_save_config(net.layout, &options);
    options.end_token = 511;
    json_t *with = tr_save_config(net.layout, &options);
    options.base = json_pack("{s:i, s:n}", "eos_token_id", 7, "pad_token_id");
    json_t *further = tr_save_config(net.layout, &options);
    assert_int_equal(id_of(without, "pad_token_id"), -1);
    assert_int_equal(id_of(with, "pad_token_id"), 511);
    assert_int_equal(id_of(with, "eos_token_id"), 511);
    assert_int_equal(id_of(with, "bos_token_id"), 511);
    assert_int_equal(id_of(further, "eos_token_id"), 7);
    assert_int_equal(id_of(further, "pad_token_id"), 511);
    json_decref((json_t *)(uintptr_t)options.base);
    json_decref(further);
    json_decref(with);
    json_decref(without);
    net_unmake(&net);
}

/* Overwrites the first float of a tensor in a saved folder. */
static void spoil(const char *dir, const network *net, const char *name, float value)
{
    network copy = *net;
    float *at = net_tensor(&copy, name), before = *at;
    *at = value;
    save(&copy, dir);
    *at = before;
}

static void says_what_cannot_be_loaded(void **state)
{
    tiny_spec spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    network net, wide;
    size_t fresh;
    fs_config config;
    char *out = testing_folder();
    net_make(&net, &spec, TR_HEAD_CLASSIFY, 1);
    spoil(out, &net, "encoder.layer.0.intermediate.dense.bias", NAN);
    assert_status(tr_load_weights(net.weights, out, &fresh), FS_EFORMAT);
    assert_detail("encoder.layer.0.intermediate.dense.bias: element 0 is not finite");
    net_fill(&net);
    spoil(out, &net, "classifier.bias", -INFINITY);
    assert_status(tr_load_weights(net.weights, out, &fresh), FS_EFORMAT);
    assert_detail("classifier.bias");
    assert_status(tr_load_config(&config, out, TR_HEAD_CLASSIFY, 7), FS_EUSAGE);
    assert_detail("2 labels, not 7");
    spec.width = 48;
    net_make(&wide, &spec, TR_HEAD_CLASSIFY, 1);
    assert_status(tr_load_weights(wide.weights, out, &fresh), FS_EFORMAT);
    assert_detail("must have 512 rows of 48 values");
    spec.width = 32, spec.layers = 3;
    net_unmake(&wide);
    net_make(&wide, &spec, TR_HEAD_CLASSIFY, 1);
    assert_status(tr_load_weights(wide.weights, net.dir, &fresh), FS_EFORMAT);
    assert_detail("lack tensor bert.encoder.layer.2.");
    net_unmake(&wide);
    net_unmake(&net);
    testing_remove(out);
}

static void says_what_cannot_be_saved(void **state)
{
    const tiny_spec spec = tiny_spec_default(FS_MODEL_GPT2, FS_TASK_LM);
    network net;
    char *out = testing_folder();
    net_make(&net, &spec, TR_HEAD_CAUSAL, 1);
    tr_save_options options = plain;
    options.tokenizer = out; /* where there is none */
    assert_status(tr_save(net.layout, tr_weights_values(net.weights), out, &options), FS_ENOENT);
    assert_detail("vocab.txt");
    options.tokenizer = net.dir;
    assert_status(tr_save(net.layout, tr_weights_values(net.weights), "/proc/none", &options),
                  FS_EIO);
    assert_int_equal(fs_file_exists("/proc/none"), 0);
    net_unmake(&net);
    testing_remove(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saves_what_it_loaded),
        cmocka_unit_test(a_pretrained_encoder_gets_a_new_head),
        cmocka_unit_test(config_says_what_transformers_asks),
        cmocka_unit_test(only_the_end_token_pads),
        cmocka_unit_test(says_what_cannot_be_loaded),
        cmocka_unit_test(says_what_cannot_be_saved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
