/* Against HuggingFace's own library: ids that it gave for tricky strings (tests/data/tokenizers),
 * and the counts of data/SOURCES.md. Needs the published vocabularies. */
#include "testing.h"

#include <jansson.h>

#include "file.h"
#include "limits.h"
#include "tok.h"

#define SHARED FS_SOURCE_DIR "/../shared/data"

static void need(const char *path)
{
    if (fs_file_exists(path)) return;
    print_message("skipped: needs %s\n", path);
    skip();
}

static json_t *load(const char *path)
{
    json_error_t error;
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (root == NULL) fail_msg("%s:%d: %s", path, error.line, error.text);
    return root;
}

static void expect_list(const tok_ids *ids, const json_t *list, const char *text)
{
    size_t count = json_array_size(list);
    int equal = ids->count == count;
    for (size_t i = 0; equal && i < count; i++)
        equal = ids->items[i] == (int32_t)json_integer_value(json_array_get(list, i));
    if (!equal) fail_msg("ids differ for: %s", text);
}

static void check_cases(const char *dir, const char *key)
{
    json_t *root = load(FS_SOURCE_DIR "/tests/data/tokenizers/cases.json");
    const json_t *cases = json_object_get(root, "cases");
    tok *tokeniser = NULL;
    tok_ids ids = {0};
    assert_ok(tok_open(&tokeniser, dir));
    assert_in_range(json_array_size(cases), 100, 1000);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *row = json_array_get(cases, i), *text = json_object_get(row, "text");
        ids.count = 0;
        assert_ok(tok_encode(tokeniser, json_string_value(text), json_string_length(text), &ids));
        expect_list(&ids, json_object_get(row, key), json_string_value(text));
    }
    tok_ids_free(&ids);
    tok_close(&tokeniser);
    json_decref(root);
}

/* The published vocabulary beside a tokenizer_config.json of ours. */
static void check_bert_cases(const char *config, const char *key)
{
    char *dir = testing_folder(), path[FS_PATH_BYTES_MAX];
    fs_buf text = {0};
    assert_ok(fs_file_read(&text, SHARED "/vocab/bert-base-uncased/vocab.txt", 1 << 20));
    assert_ok(fs_path_join(path, dir, "vocab.txt"));
    assert_ok(fs_file_write_atomic(path, text.data, text.size));
    assert_ok(fs_path_join(path, dir, "tokenizer_config.json"));
    assert_ok(fs_file_write_atomic(path, config, strlen(config)));
    fs_buf_free(&text);
    check_cases(dir, key);
    testing_remove(dir);
}

static void test_bert_strings(void **state)
{
    need(SHARED "/vocab/bert-base-uncased/vocab.txt");
    check_bert_cases("{}", "uncased");
    check_bert_cases("{\"do_lower_case\": false}", "cased");
    check_bert_cases("{\"strip_accents\": false}", "keep_accents");
}

static void test_gpt2_strings(void **state)
{
    need(SHARED "/vocab/gpt2/vocab.json");
    check_cases(SHARED "/vocab/gpt2", "gpt2");
}

static void test_hello_world(void **state)
{
    tok *tokeniser = NULL;
    tok_ids ids = {0};
    need(SHARED "/vocab/gpt2/vocab.json");
    assert_ok(tok_open(&tokeniser, SHARED "/vocab/gpt2"));
    assert_ok(tok_encode(tokeniser, "Hello, world!", 13, &ids));
    assert_int_equal(ids.count, 4);
    assert_memory_equal(ids.items, ((int32_t[]){15496, 11, 995, 0}), 4 * sizeof(int32_t));
    tok_ids_free(&ids);
    tok_close(&tokeniser);
}

static void check_count(const char *vocabulary, size_t expected)
{
    tok *tokeniser = NULL;
    tok_ids ids = {0};
    fs_buf text = {0};
    need(SHARED "/wikitext/wiki.test.raw");
    assert_ok(tok_open(&tokeniser, vocabulary));
    assert_ok(fs_file_read(&text, SHARED "/wikitext/wiki.test.raw", 1 << 24));
    assert_ok(tok_encode(tokeniser, fs_buf_text(&text), text.size, &ids));
    assert_int_equal(ids.count, expected);
    fs_buf_free(&text);
    tok_ids_free(&ids);
    tok_close(&tokeniser);
}

static void test_tokens_of_wikitext(void **state)
{
    need(SHARED "/vocab/gpt2/vocab.json");
    check_count(SHARED "/vocab/gpt2", 286221);
    check_count(SHARED "/models/gpt2-mini-wiki", 347890);
}

/* Ids of all 872 rows of SST-2 dev. */
static void test_sst2_rows(void **state)
{
    need(SHARED "/models/bert-mini-sst2/reference_dev.json");
    json_t *root = load(SHARED "/models/bert-mini-sst2/reference_dev.json");
    const json_t *rows = json_object_get(root, "ids");
    tok *tokeniser = NULL;
    tok_ids ids = {0};
    fs_buf text = {0};
    assert_ok(tok_open(&tokeniser, SHARED "/models/bert-mini-sst2"));
    assert_ok(fs_file_read(&text, SHARED "/sst2/dev.tsv", 1 << 20));
    const char *line = strchr(fs_buf_text(&text), '\n') + 1;
    assert_int_equal(json_array_size(rows), 872);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const char *end = strchr(line, '\n'), *tab = memrchr(line, '\t', (size_t)(end - line));
        ids.count = 0;
        assert_ok(tok_encode_input(tokeniser, line, (size_t)(tab - line), 128, &ids));
        expect_list(&ids, json_array_get(rows, i), line);
        line = end + 1;
    }
    fs_buf_free(&text);
    tok_ids_free(&ids);
    tok_close(&tokeniser);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bert_strings), cmocka_unit_test(test_gpt2_strings),
        cmocka_unit_test(test_hello_world),  cmocka_unit_test(test_tokens_of_wikitext),
        cmocka_unit_test(test_sst2_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
