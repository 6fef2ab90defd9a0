#include "testing.h"

#include <math.h>

#include "config.h"
#include "file.h"
#include "tiny_model.h"

static const char bert[] =
    "{\"architectures\": [\"BertForSequenceClassification\"], \"model_type\": \"bert\","
    " \"vocab_size\": 30522, \"hidden_size\": 768, \"num_hidden_layers\": 12,"
    " \"num_attention_heads\": 12, \"intermediate_size\": 3072, \"max_position_embeddings\": 512}";
static const char gpt2[] =
    "{\"architectures\": [\"GPT2LMHeadModel\"], \"model_type\": \"gpt2\", \"vocab_size\": 50257,"
    " \"n_embd\": 768, \"n_layer\": 12, \"n_head\": 12, \"n_positions\": 1024}";

/* Reads a config.json of this text. */
static fs_status read_text(fs_config *out, const char *text)
{
    char path[FS_PATH_BYTES_MAX];
    char *dir = testing_folder();
    assert_ok(fs_path_join(path, dir, "config.json"));
    assert_ok(tiny_file_write(path, text, strlen(text)));
    fs_status status = fs_config_read(out, dir);
    testing_remove(dir);
    return status;
}

/* `base` with more keys, or with another text in place of a part of it. */
static char *with(const char *base, const char *keys)
{
    char *text;
    assert_true(asprintf(&text, "%.*s, %s}", (int)strlen(base) - 1, base, keys) > 0);
    return text;
}

static char *instead(const char *base, const char *part, const char *replacement)
{
    char *text;
    const char *at = strstr(base, part);
    assert_non_null(at);
    assert_true(
        asprintf(&text, "%.*s%s%s", (int)(at - base), base, replacement, at + strlen(part)) > 0);
    return text;
}

static void expect_good(fs_config *out, char *text)
{
    fs_status status = read_text(out, text);
    if (status != FS_OK) fail_msg("%s: %s", text, fs_status_detail());
    free(text);
}

/* The error names the file, and the key where there is one. */
static void expect_bad(char *text, fs_status code, const char *key)
{
    fs_config config;
    fs_status status = read_text(&config, text);
    if (status != code || strstr(fs_status_detail(), key) == NULL ||
        strstr(fs_status_detail(), "/config.json") == NULL) {
        fail_msg("%s: %s: %s", text, fs_status_name(status), fs_status_detail());
    }
    free(text);
}

/* The values that transformers' BertConfig and GPT2Config give when a key is absent. */
static void defaults(void **unused)
{
    fs_config c;
    assert_ok(read_text(&c, bert));
    assert_true(c.kind == FS_MODEL_BERT && c.task == FS_TASK_CLASSIFICATION);
    assert_true(c.activation == FS_ACT_GELU_ERF);
    assert_int_equal(c.segments, 2);
    assert_int_equal(c.labels, 2);
    assert_int_equal(c.d_ff, 3072);
    assert_int_equal(c.positions, 512);
    assert_false(c.tied);
    assert_true(c.norm_eps == 1e-12);

    assert_ok(read_text(&c, gpt2));
    assert_true(c.kind == FS_MODEL_GPT2 && c.task == FS_TASK_LM);
    assert_true(c.activation == FS_ACT_GELU_TANH);
    assert_int_equal(c.vocab, 50257);
    assert_int_equal(c.d_ff, 4 * 768);
    assert_int_equal(c.labels, 0);
    assert_int_equal(c.segments, 0);
    assert_true(c.tied);
    assert_true(c.norm_eps == 1e-5);
}

static void spellings(void **unused)
{
    static const struct {
        const char *name;
        fs_activation value;
    } known[] = {{"gelu", FS_ACT_GELU_ERF},
                 {"gelu_new", FS_ACT_GELU_TANH},
                 {"gelu_pytorch_tanh", FS_ACT_GELU_TANH},
                 {"relu", FS_ACT_RELU}};
    fs_config c;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        char keys[64];
        snprintf(keys, sizeof keys, "\"hidden_act\": \"%s\"", known[i].name);
        expect_good(&c, with(bert, keys));
        assert_true(c.activation == known[i].value);
        snprintf(keys, sizeof keys, "\"activation_function\": \"%s\"", known[i].name);
        expect_good(&c, with(gpt2, keys));
        assert_true(c.activation == known[i].value);
    }
    assert_string_equal(fs_activation_name(FS_ACT_GELU_ERF), "gelu");
    assert_string_equal(fs_activation_name(FS_ACT_GELU_TANH), "gelu_new");
    assert_string_equal(fs_activation_name(FS_ACT_RELU), "relu");
    expect_good(&c, with(gpt2, "\"n_inner\": null"));
    assert_int_equal(c.d_ff, 3072);
    expect_good(&c, with(gpt2, "\"n_inner\": 7"));
    assert_int_equal(c.d_ff, 7);
    expect_good(&c, with(gpt2, "\"tie_word_embeddings\": false"));
    assert_false(c.tied);
    expect_good(&c, instead(gpt2, "GPT2LMHeadModel", "GPT2ForSequenceClassification"));
    assert_true(c.task == FS_TASK_CLASSIFICATION);
    assert_int_equal(c.labels, 2);
    assert_false(c.tied);
    expect_good(&c, with(bert, "\"id2label\": {\"0\": \"a\", \"1\": \"b\", \"2\": \"c\"}"));
    assert_int_equal(c.labels, 3);
    expect_good(&c, with(bert, "\"num_labels\": 5"));
    assert_int_equal(c.labels, 5);
    expect_good(&c, instead(bert, "\"architectures\": [\"BertForSequenceClassification\"],", ""));
    assert_true(c.kind == FS_MODEL_BERT);
    expect_good(&c, instead(gpt2, "\"model_type\": \"gpt2\",", ""));
    assert_true(c.kind == FS_MODEL_GPT2);
    expect_good(&c, with(bert, "\"position_embedding_type\": \"absolute\", \"pad_token_id\": 0,"
                               " \"layer_norm_eps\": 0.5, \"something_else\": [1, {}]"));
    assert_true(c.norm_eps == 0.5);
}

static void bad_sizes(void **unused)
{
    static const char *const bert_keys[] = {"vocab_size",        "hidden_size",
                                            "num_hidden_layers", "num_attention_heads",
                                            "intermediate_size", "max_position_embeddings"};
    static const char *const gpt2_keys[] = {"vocab_size", "n_embd", "n_layer", "n_head",
                                            "n_positions"};
    static const char *const bad[] = {"0",    "-3",  "1.5",   "\"12\"", "null",
                                      "true", "[1]", "1e300", "{}",     "12.0"};
    for (size_t k = 0; k < 11; k++) {
        const char *base = k < 6 ? bert : gpt2, *key = k < 6 ? bert_keys[k] : gpt2_keys[k - 6];
        char quoted[64], other[64], changed[96];
        snprintf(quoted, sizeof quoted, "\"%s\": ", key);
        snprintf(other, sizeof other, "\"other%s\": ", key);
        expect_bad(instead(base, quoted, other), FS_EFORMAT, key);
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
            snprintf(changed, sizeof changed, "\"%s\": %s, \"was\": ", key, bad[i]);
            expect_bad(instead(base, quoted, changed), FS_EFORMAT, key);
        }
        snprintf(changed, sizeof changed, "\"%s\": 4294967297, \"was\": ", key);
        expect_bad(instead(base, quoted, changed), FS_ELIMIT, key);
        snprintf(changed, sizeof changed, "\"%s\": 99999999999999999999999, \"was\": ", key);
        expect_bad(instead(base, quoted, changed), FS_EFORMAT, "config.json");
    }
    expect_bad(instead(bert, "\"hidden_size\": 768", "\"hidden_size\": 767"), FS_EFORMAT,
               "num_attention_heads");
    expect_bad(instead(gpt2, "\"n_embd\": 768", "\"n_embd\": 770"), FS_EFORMAT, "n_head");
}

/* At a limit and one past it. */
static void limits(void **unused)
{
    fs_config c;
    expect_good(&c, instead(gpt2, "\"n_layer\": 12", "\"n_layer\": 512"));
    expect_bad(instead(gpt2, "\"n_layer\": 12", "\"n_layer\": 513"), FS_ELIMIT, "n_layer");
    expect_good(&c, instead(gpt2, "\"vocab_size\": 50257", "\"vocab_size\": 16777216"));
    expect_bad(instead(gpt2, "\"vocab_size\": 50257", "\"vocab_size\": 16777217"), FS_ELIMIT,
               "vocab_size");
    expect_good(&c, instead(gpt2, "\"n_embd\": 768", "\"n_embd\": 262140"));
    expect_bad(instead(gpt2, "\"n_embd\": 768", "\"n_embd\": 262152"), FS_ELIMIT, "n_embd");
    expect_good(&c, with(bert, "\"num_labels\": 4096"));
    expect_bad(with(bert, "\"num_labels\": 4097"), FS_ELIMIT, "num_labels");
}

static void refused(void **unused)
{
    expect_bad(strdup("{}"), FS_EFORMAT, "model_type");
    expect_bad(strdup("[]"), FS_EFORMAT, "object");
    expect_bad(strdup(""), FS_EFORMAT, "JSON");
    expect_bad(strdup("{\"model_type\": "), FS_EFORMAT, ":1:");
    expect_bad(strdup("{\"model_type\": \"gpt2\", \"model_type\": \"bert\"}"), FS_EFORMAT,
               "duplicate");
    expect_bad(strdup("{\"model_type\": \"gpt\xff\"}"), FS_EFORMAT, "byte 0xff");
    expect_bad(instead(bert, "\"model_type\": \"bert\"", "\"model_type\": 3"), FS_EFORMAT,
               "model_type");
    expect_bad(instead(bert, "\"model_type\": \"bert\"", "\"model_type\": \"gpt2\""), FS_EFORMAT,
               "model_type");
    expect_bad(instead(bert, "BertForSequenceClassification", "BertForMaskedLM"), FS_EUNSUPPORTED,
               "BertForMaskedLM");
    expect_bad(strdup("{\"model_type\": \"llama\"}"), FS_EUNSUPPORTED, "llama");
    expect_bad(instead(bert, "[\"BertForSequenceClassification\"]", "[]"), FS_EFORMAT,
               "architectures");
    expect_bad(with(bert, "\"hidden_act\": \"silu\""), FS_EUNSUPPORTED, "hidden_act");
    expect_bad(with(bert, "\"hidden_act\": 1"), FS_EFORMAT, "hidden_act");
    expect_bad(with(bert, "\"position_embedding_type\": \"relative_key\""), FS_EUNSUPPORTED,
               "position_embedding_type");
    expect_bad(with(bert, "\"is_decoder\": true"), FS_EUNSUPPORTED, "is_decoder");
    expect_bad(with(bert, "\"pruned_heads\": {\"0\": [1]}"), FS_EUNSUPPORTED, "pruned_heads");
    expect_bad(with(bert, "\"problem_type\": \"regression\""), FS_EUNSUPPORTED, "problem_type");
    expect_bad(with(bert, "\"num_labels\": 1"), FS_EUNSUPPORTED, "2 labels");
    expect_bad(with(bert, "\"layer_norm_eps\": -1"), FS_EFORMAT, "layer_norm_eps");
    expect_bad(with(bert, "\"layer_norm_eps\": \"1e-12\""), FS_EFORMAT, "layer_norm_eps");
    expect_bad(with(bert, "\"id2label\": {\"0\": \"a\", \"2\": \"b\"}"), FS_EFORMAT, "id2label");
    expect_bad(with(bert, "\"id2label\": {\"0\": \"a\", \"x\": \"b\"}"), FS_EFORMAT, "id2label");
    expect_bad(with(bert, "\"id2label\": [\"a\", \"b\"]"), FS_EFORMAT, "id2label");
    expect_bad(with(bert, "\"num_labels\": 3, \"id2label\": {\"0\": \"a\", \"1\": \"b\"}"),
               FS_EFORMAT, "num_labels");
    expect_bad(with(gpt2, "\"tie_word_embeddings\": 1"), FS_EFORMAT, "tie_word_embeddings");
    expect_bad(with(gpt2, "\"n_inner\": 0"), FS_EFORMAT, "n_inner");
    expect_bad(with(gpt2, "\"scale_attn_weights\": false"), FS_EUNSUPPORTED, "scale_attn_weights");
    expect_bad(with(gpt2, "\"scale_attn_by_inverse_layer_idx\": true"), FS_EUNSUPPORTED,
               "scale_attn_by_inverse_layer_idx");
    expect_bad(with(gpt2, "\"add_cross_attention\": true"), FS_EUNSUPPORTED, "add_cross_attention");
}

/* Nesting is the parser's to bound, not the stack's. */
static void deep_nesting(void **unused)
{
    enum { DEPTH = 1000000 };
    char *text = malloc(DEPTH + 1);
    memset(text, '[', DEPTH);
    text[DEPTH] = '\0';
    char *whole;
    assert_true(asprintf(&whole, "{\"model_type\": %s", text) > 0);
    free(text);
    expect_bad(whole, FS_EFORMAT, "depth");
}

static void absent_folder(void **unused)
{
    fs_config c;
    assert_status(fs_config_read(&c, "/nonexistent/model"), FS_ENOENT);
    assert_detail("/nonexistent/model/config.json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),     cmocka_unit_test(spellings), cmocka_unit_test(bad_sizes),
        cmocka_unit_test(limits),       cmocka_unit_test(refused),   cmocka_unit_test(deep_nesting),
        cmocka_unit_test(absent_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
