#include "testing.h"

#include "file.h"
#include "limits.h"
#include "tok.h"

enum { LINE_BYTES = 512 };

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[FS_PATH_BYTES_MAX];
    assert_ok(fs_path_join(path, dir, name));
    assert_ok(fs_file_write_atomic(path, text, strlen(text)));
}

static void expect_open_error(const char *dir, fs_status code, const char *part)
{
    tok *tokeniser = NULL;
    assert_status(tok_open(&tokeniser, dir), code);
    assert_null(tokeniser);
    assert_detail(part);
}

/* Expects ids written as text, "7 4 5". */
static void expect_text_ids(const tok *tokeniser, const char *text, size_t size,
                            const char *expected)
{
    tok_ids ids = {0};
    char out[LINE_BYTES] = "";
    size_t used = 0;
    assert_ok(tok_encode(tokeniser, text, size, &ids));
    for (size_t i = 0; i < ids.count; i++)
        used += (size_t)snprintf(out + used, sizeof out - used, i > 0 ? " %d" : "%d", ids.items[i]);
    assert_string_equal(out, expected);
    tok_ids_free(&ids);
}

static void expect_ids(const tok *tokeniser, const char *text, const char *expected)
{
    expect_text_ids(tokeniser, text, strlen(text), expected);
}

/* The vocabulary and the example of google-research/bert, tokenization_test.py. */
static const char published[] = "[UNK]\n[CLS]\n[SEP]\nwant\n##want\n##ed\nwa\nun\nrunn\n##ing\n,\n";

static void test_published_wordpiece_examples(void **state)
{
    char *dir = testing_folder();
    tok *tokeniser = NULL;
    write_file(dir, "vocab.txt", published);
    assert_ok(tok_open(&tokeniser, dir));
    assert_int_equal(tok_vocab_size(tokeniser), 11);
    assert_string_equal(tok_piece(tokeniser, 4), "##want");
    assert_null(tok_piece(tokeniser, 11));
    assert_null(tok_piece(tokeniser, -1));
    expect_ids(tokeniser, "UNwant\u00E9d,running", "7 4 5 10 8 9");
    expect_ids(tokeniser, "", "");
    expect_ids(tokeniser, "unwanted running", "7 4 5 8 9");
    expect_ids(tokeniser, "unwantedX running", "0 8 9");
    /* Special tokens count in raw text only, and as they are written. */
    expect_ids(tokeniser, "wa[SEP]wa[CLS][UNK]", "6 2 6 1 0");
    expect_ids(tokeniser, "[sep] [SEP", "0 0 0 0 0");
    expect_text_ids(tokeniser, "w\0a\xFF", 4, "6"); /* NUL and broken bytes vanish */
    tok_close(&tokeniser);
    testing_remove(dir);
}

static void test_special_tokens_frame_an_input(void **state)
{
    char *dir = testing_folder();
    tok *tokeniser = NULL;
    tok_ids ids = {0};
    write_file(dir, "vocab.txt", published);
    assert_ok(tok_open(&tokeniser, dir));
    assert_ok(tok_encode_input(tokeniser, "unwanted running", 16, 0, &ids));
    assert_int_equal(ids.count, 7);
    assert_int_equal(ids.items[0], 1);
    assert_int_equal(ids.items[6], 2);
    assert_ok(tok_encode_input(tokeniser, "unwanted running", 16, 4, &ids)); /* appends */
    assert_int_equal(ids.count, 11);
    assert_memory_equal(ids.items + 7, ((int32_t[]){1, 7, 4, 2}), 4 * sizeof(int32_t));
    assert_ok(tok_encode_input(tokeniser, "wa", 2, 3, &ids)); /* fits exactly */
    assert_memory_equal(ids.items + 11, ((int32_t[]){1, 6, 2}), 3 * sizeof(int32_t));
    assert_ok(tok_encode_input(tokeniser, "wa", 2, 2, &ids));
    assert_memory_equal(ids.items + 14, ((int32_t[]){1, 2}), 2 * sizeof(int32_t));
    assert_status(tok_encode_input(tokeniser, "wa", 2, 1, &ids), FS_ECONFIG);
    tok_ids_free(&ids);
    tok_close(&tokeniser);
    testing_remove(dir);
}

static void test_words_beyond_a_hundred_characters_are_unknown(void **state)
{
    char *dir = testing_folder(), word[2 * 101 + 1] = "";
    tok *tokeniser = NULL;
    tok_ids ids = {0};
    write_file(dir, "vocab.txt", "[UNK]\n[CLS]\n[SEP]\n\u0434\n##\u0434\n");
    assert_ok(tok_open(&tokeniser, dir));
    for (int i = 0; i < 101; i++) memcpy(word + 2 * i, "\u0434", 3);
    assert_ok(tok_encode(tokeniser, word, 200, &ids)); /* characters count, not bytes */
    assert_int_equal(ids.count, 100);
    assert_int_equal(ids.items[99], 4);
    ids.count = 0;
    assert_ok(tok_encode(tokeniser, word, 202, &ids));
    assert_int_equal(ids.count, 1);
    assert_int_equal(ids.items[0], 0);
    tok_ids_free(&ids);
    tok_close(&tokeniser);
    testing_remove(dir);
}

static void test_tokenizer_config_is_followed(void **state)
{
    char *dir = testing_folder();
    tok *tokeniser = NULL;
    write_file(dir, "vocab.txt", "<u>\n<s>\n</s>\na\nA\n\u00E9\ne\n\u4E2D\u4E2D\n\u4E2D\n");
    write_file(dir, "tokenizer_config.json",
               "{\"unk_token\": \"<u>\", \"cls_token\": {\"content\": \"<s>\"}, "
               "\"sep_token\": \"</s>\", \"do_lower_case\": false}");
    assert_ok(tok_open(&tokeniser, dir));
    expect_ids(tokeniser, "a A \u00E9 e <s> \u4E2D\u4E2D", "3 4 5 6 1 8 8");
    tok_close(&tokeniser);
    write_file(dir, "tokenizer_config.json",
               "{\"unk_token\": \"<u>\", \"cls_token\": \"<s>\", \"sep_token\": \"</s>\", "
               "\"strip_accents\": false, \"tokenize_chinese_chars\": false}");
    assert_ok(tok_open(&tokeniser, dir));
    expect_ids(tokeniser, "A \u00C9 \u4E2D\u4E2D", "3 5 7");
    tok_close(&tokeniser);
    write_file(dir, "tokenizer_config.json", "{\"do_lower_case\": \"yes\"}");
    expect_open_error(dir, FS_EFORMAT, "tokenizer_config.json: do_lower_case: expected true");
    write_file(dir, "tokenizer_config.json", "{\"unk_token\": 3}");
    expect_open_error(dir, FS_EFORMAT, "unk_token: expected a token");
    write_file(dir, "tokenizer_config.json", "{\n\"unk_token\": }");
    expect_open_error(dir, FS_EFORMAT, "tokenizer_config.json:2:");
    testing_remove(dir);
}

static void test_bad_wordpiece_vocabularies(void **state)
{
    char *dir = testing_folder();
    write_file(dir, "vocab.txt", "");
    expect_open_error(dir, FS_EFORMAT, "vocab.txt: empty");
    write_file(dir, "vocab.txt", "[CLS]\n[SEP]\n");
    expect_open_error(dir, FS_EFORMAT, "vocab.txt: the vocabulary has no [UNK]");
    write_file(dir, "vocab.txt", "[UNK]\n[SEP]\n");
    expect_open_error(dir, FS_EFORMAT, "has no [CLS]");
    write_file(dir, "vocab.txt", "[UNK]\n[CLS]\n");
    expect_open_error(dir, FS_EFORMAT, "has no [SEP]");
    write_file(dir, "vocab.txt", "[UNK]\n[CLS]\n\xFF\n");
    expect_open_error(dir, FS_EFORMAT, "vocab.txt:3: not UTF-8");
    testing_remove(dir);
}

static void test_windows_line_ends_and_a_missing_last_one(void **state)
{
    char *dir = testing_folder();
    tok *tokeniser = NULL;
    write_file(dir, "vocab.txt", "[UNK]\r\n[CLS]\r\n\r\n[SEP]\r\nlast");
    assert_ok(tok_open(&tokeniser, dir));
    assert_int_equal(tok_vocab_size(tokeniser), 5);
    assert_string_equal(tok_piece(tokeniser, 2), ""); /* an empty line is a piece */
    expect_ids(tokeniser, "last", "4");
    tok_close(&tokeniser);
    testing_remove(dir);
}

static void test_which_files_decide(void **state)
{
    char *dir = testing_folder();
    tok *tokeniser = NULL;
    expect_open_error("/nonexistent/folder", FS_ENOENT, "/nonexistent/folder: no such folder");
    expect_open_error(dir, FS_ENOENT, "no vocab.txt, and no vocab.json with merges.txt");
    write_file(dir, "vocab.json", "{\"a\": 0, \"b\": 1, \"ab\": 2}");
    expect_open_error(dir, FS_ENOENT, "merges.txt: not found");
    write_file(dir, "merges.txt", "a b\n");
    assert_ok(tok_open(&tokeniser, dir));
    expect_ids(tokeniser, "abba", "2 1 0");
    tok_close(&tokeniser);
    write_file(dir, "vocab.txt", published);
    expect_open_error(dir, FS_ENOENT, "config.json"); /* both kinds: config.json must say */
    write_file(dir, "config.json", "{\"model_type\": \"gpt2\"}");
    assert_ok(tok_open(&tokeniser, dir));
    assert_int_equal(tok_vocab_size(tokeniser), 3);
    tok_close(&tokeniser);
    write_file(dir, "config.json", "{\"model_type\": \"bert\"}");
    assert_ok(tok_open(&tokeniser, dir));
    assert_int_equal(tok_vocab_size(tokeniser), 11);
    tok_close(&tokeniser);
    write_file(dir, "config.json", "{\"model_type\": \"llama\"}");
    expect_open_error(dir, FS_EFORMAT, "model_type must be bert or gpt2");
    testing_remove(dir);
}

static void test_bad_bpe_vocabularies(void **state)
{
    static const struct {
        const char *vocab, *part;
    } rows[] = {
        {"[]", "vocab.json: not a JSON object"},
        {"{}", "vocab.json: empty"},
        {"{\"a\": 0,\n\"a\": 1}", "vocab.json:2:3: not valid JSON: duplicate object key"},
        {"{\"a\": 0, \"b\": 0}", "\"a\" and \"b\" both have id 0"},
        {"{\"a\": 0, \"b\": 2}", "\"b\": id 2 is not in 0..1"},
        {"{\"a\": -1}", "\"a\": id -1 is not in 0..0"},
        {"{\"a\": 99999999999999999999}", "vocab.json:1:"},
        {"{\"a\": 0.5}", "\"a\": its id is not a whole number"},
        {"{\"a\": \"0\"}", "\"a\": its id is not a whole number"},
        {"{\"a\\u0000b\": 0}", "vocab.json:1:"},
        {"{\"\xFF\": 0}", "vocab.json:1:"},
        {"{\"a\": 0", "vocab.json:1:"},
    };
    char *dir = testing_folder();
    write_file(dir, "merges.txt", "#version: 0.2\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_file(dir, "vocab.json", rows[i].vocab);
        expect_open_error(dir, FS_EFORMAT, rows[i].part);
    }
    testing_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_wordpiece_examples),
        cmocka_unit_test(test_special_tokens_frame_an_input),
        cmocka_unit_test(test_words_beyond_a_hundred_characters_are_unknown),
        cmocka_unit_test(test_tokenizer_config_is_followed),
        cmocka_unit_test(test_bad_wordpiece_vocabularies),
        cmocka_unit_test(test_windows_line_ends_and_a_missing_last_one),
        cmocka_unit_test(test_which_files_decide),
        cmocka_unit_test(test_bad_bpe_vocabularies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
