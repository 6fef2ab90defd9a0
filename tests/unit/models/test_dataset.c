#include "testing.h"

#include "dataset.h"
#include "file.h"
#include "limits.h"

#define SHARED FS_SOURCE_DIR "/../shared/data"

/* A folder with a tokeniser whose ids are easy to foresee, and a data file. */
typedef struct fixture {
    char *dir;
    tok *tokeniser;
    fs_config config;
    fs_task task;
} fixture;

static void write_file(const fixture *f, const char *name, const char *text, size_t size)
{
    char path[FS_PATH_BYTES_MAX];
    assert_ok(fs_path_join(path, f->dir, name));
    assert_ok(fs_file_write_atomic(path, text, size));
}

static void set_data(fixture *f, const char *text, size_t size)
{
    write_file(f, "data", text, size);
    assert_ok(fs_path_join(f->task.data, f->dir, "data"));
}

/* [UNK] 0, [CLS] 1, [SEP] 2, a 3, b 4, c 5. */
static fixture *open_classifier(uint32_t positions, uint32_t labels)
{
    static const char vocabulary[] = "[UNK]\n[CLS]\n[SEP]\na\nb\nc\n";
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->dir = testing_folder();
    write_file(f, "vocab.txt", vocabulary, sizeof vocabulary - 1);
    assert_ok(tok_open(&f->tokeniser, f->dir));
    f->config = (fs_config){.kind = FS_MODEL_BERT,
                            .task = FS_TASK_CLASSIFICATION,
                            .vocab = 6,
                            .positions = positions,
                            .labels = labels};
    f->task.kind = FS_TASK_CLASSIFICATION;
    return f;
}

/* Letters and space are one token each: a 0 ... z 25, space 26, line feed 27, e-acute's two bytes
 * 28 and 29; "th" is 30. */
static fixture *open_language_model(uint32_t positions)
{
    fixture *f = calloc(1, sizeof *f);
    fs_buf text = {0};
    assert_non_null(f);
    f->dir = testing_folder();
    assert_ok(fs_buf_puts(&text, "{"));
    for (int c = 'a'; c <= 'z'; c++) assert_ok(fs_buf_printf(&text, "\"%c\": %d, ", c, c - 'a'));
    assert_ok(fs_buf_puts(&text, "\"\u0120\": 26, \"\u010A\": 27, \"\u00C3\": 28, "
                                 "\"\u00A9\": 29, \"th\": 30}"));
    write_file(f, "vocab.json", fs_buf_text(&text), text.size);
    write_file(f, "merges.txt", "t h\n", 4);
    fs_buf_free(&text);
    assert_ok(tok_open(&f->tokeniser, f->dir));
    f->config =
        (fs_config){.kind = FS_MODEL_GPT2, .task = FS_TASK_LM, .vocab = 31, .positions = positions};
    f->task.kind = FS_TASK_LM;
    return f;
}

static void fixture_close(fixture *f)
{
    tok_close(&f->tokeniser);
    testing_remove(f->dir);
    free(f);
}

static dataset *expect_data(fixture *f, const char *text)
{
    dataset *data = NULL;
    set_data(f, text, strlen(text));
    assert_ok(dataset_read(&data, &f->task, &f->config, f->tokeniser));
    return data;
}

static void expect_bytes_error(fixture *f, const char *text, size_t size, fs_status code,
                               const char *part)
{
    dataset *data = NULL;
    set_data(f, text, size);
    assert_status(dataset_read(&data, &f->task, &f->config, f->tokeniser), code);
    assert_null(data);
    assert_detail(part);
}

static void expect_error(fixture *f, const char *text, const char *part)
{
    expect_bytes_error(f, text, strlen(text), FS_EFORMAT, part);
}

static void expect_ids(const dataset *data, uint32_t input, const int32_t *ids, uint32_t count)
{
    assert_int_equal(data->off[input + 1] - data->off[input], count);
    assert_memory_equal(data->ids + data->off[input], ids, count * sizeof *ids);
}

static void test_rows_are_packed(void **state)
{
    fixture *f = open_classifier(5, 3);
    dataset *data = expect_data(f, "sentence\tlabel\na b\t1\n\t0\r\na\tb\t2\na b c a b c\t002");
    assert_int_equal(data->count, 4);
    assert_int_equal(data->answers, 4);
    assert_null(data->scored);
    expect_ids(data, 0, (int32_t[]){1, 3, 4, 2}, 4);
    expect_ids(data, 1, (int32_t[]){1, 2}, 2);          /* an empty sentence has its specials */
    expect_ids(data, 2, (int32_t[]){1, 3, 4, 2}, 4);    /* the label is after the last tab */
    expect_ids(data, 3, (int32_t[]){1, 3, 4, 5, 2}, 5); /* cut to the positions */
    assert_memory_equal(data->labels, ((int32_t[]){1, 0, 2, 2}), 4 * sizeof(int32_t));
    uint32_t off[3];
    nn_batch batch = dataset_batch(data, 1, 2, off);
    assert_int_equal(batch.n_seq, 2);
    assert_memory_equal(batch.off, ((uint32_t[]){0, 2, 6}), sizeof off);
    assert_ptr_equal(batch.ids, data->ids + 4);
    dataset_destroy(&data);
    dataset_destroy(&data); /* idempotent */
    f->task.examples = 2;
    data = expect_data(f, "sentence\tlabel\na\t0\nb\t1\nno tab here\n");
    assert_int_equal(data->count, 2);
    dataset_destroy(&data);
    f->task.examples = 100; /* more than there are: all */
    data = expect_data(f, "sentence\tlabel\na\t0\nb\t1\n\n\n");
    assert_int_equal(data->count, 2);
    dataset_destroy(&data);
    fixture_close(f);
}

static void test_bad_rows_name_file_and_line(void **state)
{
    fixture *f = open_classifier(8, 2);
    expect_error(f, "", "data: empty");
    expect_error(f, "\n\r\n\n", "data: empty");
    expect_error(f, "sentence\tlabel", "data: only a header line, no examples");
    expect_error(f, "sentence\tlabel\n", "data: only a header line, no examples");
    expect_error(f, "h\na\t1\nb 1\n", "data:3: no tab");
    expect_error(f, "h\na\t1\n\nb\t1\n", "data:3: no tab");
    expect_error(f, "h\na\t\n", "data:2: label \"\" is not a whole number");
    expect_error(f, "h\na\t1 \n", "data:2: label \"1 \" is not a whole number");
    expect_error(f, "h\na\t-1\n", "data:2: label \"-1\" is not a whole number");
    expect_error(f, "h\na\tpositive\n", "data:2: label \"positive\" is not a whole number");
    expect_error(f, "h\na\t0.5\n", "data:2: label \"0.5\" is not");
    expect_error(f, "h\na\t4294967296\n", "data:2: label \"4294967296\" is not");
    expect_error(f, "h\na\t1\na\t2\n", "data:3: label 2: the model has labels 0 to 1");
    expect_error(f, "h\na\xFF\t1\n", "data:2: not UTF-8 text");
    expect_bytes_error(f, "h\na\0b\t1\n", 8, FS_EFORMAT, "data:2: not UTF-8 text");
    f->config.vocab = 4;
    expect_error(f, "h\na\t1\nb\t1\n", "data:3: token id 4 is beyond the model's vocabulary of 4");
    fixture_close(f);
}

static void test_lines_at_the_limit(void **state)
{
    fixture *f = open_classifier(8, 2);
    const size_t limit = 1 << 20;
    char *text = malloc(limit + 8);
    dataset *data = NULL;
    assert_non_null(text);
    memset(text, 'a', limit + 8);
    memcpy(text, "h\n", 2);
    memcpy(text + limit, "\t1\n", 3); /* a line of 2^20 bytes */
    set_data(f, text, limit + 3);
    assert_ok(dataset_read(&data, &f->task, &f->config, f->tokeniser));
    dataset_destroy(&data);
    memcpy(text + limit, "a\t1\n", 4); /* and one more */
    expect_bytes_error(f, text, limit + 4, FS_EFORMAT,
                       "data:2: a line of 1048577 bytes; at most 1048576");
    free(text);
    fixture_close(f);
}

static void test_task_and_head_must_fit(void **state)
{
    fixture *f = open_classifier(8, 2);
    dataset *data = NULL;
    set_data(f, "h\na\t1\n", 6);
    f->config.task = FS_TASK_LM;
    assert_status(dataset_read(&data, &f->task, &f->config, f->tokeniser), FS_ECONFIG);
    assert_detail("language model");
    f->config.task = FS_TASK_CLASSIFICATION;
    f->task.kind = FS_TASK_LM;
    assert_status(dataset_read(&data, &f->task, &f->config, f->tokeniser), FS_ECONFIG);
    assert_detail("classifier");
    f->task.kind = FS_TASK_CLASSIFICATION;
    f->config.positions = 1;
    assert_status(dataset_read(&data, &f->task, &f->config, f->tokeniser), FS_ECONFIG);
    assert_detail("no room for [CLS] and [SEP]");
    memcpy(f->task.data, "/nonexistent", 13);
    assert_status(dataset_read(&data, &f->task, &f->config, f->tokeniser), FS_ENOENT);
    memcpy(f->task.data, "/", 2);
    assert_status(dataset_read(&data, &f->task, &f->config, f->tokeniser), FS_EFORMAT);
    fixture_close(f);
}

static void test_gpt2_classifies_rows_but_not_empty_ones(void **state)
{
    fixture *f = open_language_model(4);
    f->config.task = FS_TASK_CLASSIFICATION;
    f->config.labels = 2;
    f->task.kind = FS_TASK_CLASSIFICATION;
    dataset *data = expect_data(f, "h\nab\t1\nabcdef\t0\n");
    expect_ids(data, 0, (int32_t[]){0, 1}, 2);
    expect_ids(data, 1, (int32_t[]){0, 1, 2, 3}, 4);
    dataset_destroy(&data);
    expect_error(f, "h\nab\t1\n\t0\n", "data:3: the sentence is empty");
    expect_error(f, "h\na7\t1\n", "data:2: the vocabulary has no piece for byte 0x37");
    fixture_close(f);
}

/* What is scored is a token with something before it that no earlier window has scored. */
static void check_windows(const char *text, uint32_t window, uint32_t stride)
{
    fixture *f = open_language_model(64);
    f->task.window = window;
    f->task.stride = stride;
    dataset *data = expect_data(f, text);
    uint32_t total = (uint32_t)strlen(text), scored_end = 0;
    uint64_t scored = 0;
    for (uint32_t i = 0; i < data->count; i++) {
        uint32_t begin = i * stride, length = data->off[i + 1] - data->off[i];
        assert_int_equal(length, total - begin < window ? total - begin : window);
        for (uint32_t k = 0; k < length; k++)
            assert_int_equal(data->ids[data->off[i] + k], text[begin + k] - 'a');
        uint32_t first = begin + length - data->scored[i]; /* place in the text */
        assert_int_equal(first, scored_end > begin + 1 ? scored_end : begin + 1);
        scored_end = begin + length;
        scored += data->scored[i];
    }
    assert_in_range(scored_end, total - 1, total); /* a last token alone cannot be scored */
    assert_true(data->answers == scored);
    if (stride < window) assert_true(scored == total - 1);
    dataset_destroy(&data);
    fixture_close(f);
}

static void test_windows_and_strides(void **state)
{
    static const char text[] = "abcdefgabcdefgabcdefgabcdefgab";
    static const uint32_t cases[][2] = {{10, 10}, {10, 5}, {10, 1},  {7, 7},  {7, 3},
                                        {30, 30}, {31, 4}, {29, 29}, {2, 2},  {2, 1},
                                        {8, 7},   {64, 1}, {64, 64}, {15, 14}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_windows(text, cases[i][0], cases[i][1]);
}

static void test_windows_by_default_are_the_positions(void **state)
{
    fixture *f = open_language_model(4);
    dataset *data = expect_data(f, "abcdefghij");
    assert_int_equal(data->count, 3);
    assert_memory_equal(data->scored, ((uint32_t[]){3, 3, 1}), 3 * sizeof(uint32_t));
    dataset_destroy(&data);
    f->task.examples = 2;
    data = expect_data(f, "abcdefghij");
    assert_int_equal(data->count, 2);
    assert_int_equal(data->answers, 6);
    dataset_destroy(&data);
    fixture_close(f);
}

static void test_words_of_the_text_covered(void **state)
{
    fixture *f = open_language_model(4);
    dataset *data = expect_data(f, " the \n\nthe \u00E9\u00E9 ");
    assert_int_equal(data->words, 3);
    dataset_destroy(&data);
    f->task.examples = 1; /* " th e ": the merged piece counts its two bytes */
    data = expect_data(f, " the abc");
    assert_int_equal(data->words, 1);
    dataset_destroy(&data);
    f->task.window = 3; /* " th e" ends before the space */
    data = expect_data(f, " the abc");
    expect_ids(data, 0, (int32_t[]){26, 30, 4}, 3);
    assert_int_equal(data->words, 1);
    dataset_destroy(&data);
    fixture_close(f);
}

/* "\n\n".join([row, ...]) where a row keeps its line end and a blank line is "". */
static void test_rows_that_inputs_read(void **state)
{
    int32_t ids[] = {3, 1, 3, 0, 7, 7, 5};
    uint32_t off[] = {0, 2, 6, 7};
    const dataset data = {.ids = ids, .off = off, .count = 3};
    uint8_t read[9] = {0};
    const uint8_t expected[9] = {1, 1, 0, 1, 0, 1, 0, 1, 0};
    assert_int_equal(dataset_reads(&data, read), 4);
    assert_memory_equal(read, expected, sizeof read);
}

static void test_huggingface_rows(void **state)
{
    fixture *f = open_language_model(64);
    f->task.recipe = FS_RECIPE_HF;
    dataset *data = expect_data(f, " \nab\n\n \nc");
    /* rows: "", "ab\n", "", "", "c" -> "\n\nab\n\n\n\n\n\n\nc" */
    expect_ids(data, 0, (int32_t[]){27, 27, 0, 1, 27, 27, 27, 27, 27, 27, 27, 2}, 12);
    dataset_destroy(&data);
    f->task.recipe = FS_RECIPE_AS_IS;
    data = expect_data(f, " \nab\n");
    expect_ids(data, 0, (int32_t[]){26, 27, 0, 1, 27}, 5);
    dataset_destroy(&data);
    fixture_close(f);
}

static void test_bad_texts_and_windows(void **state)
{
    fixture *f = open_language_model(8);
    expect_error(f, "", "data: empty");
    expect_error(f, "a", "data: too short");
    expect_error(f, "ab\ncd\n\xC3\n", "data:3: not UTF-8 text");
    expect_bytes_error(f, "ab\0c", 4, FS_EFORMAT, "data:1: not UTF-8 text");
    expect_error(f, "ab7", "data: the vocabulary has no piece for byte 0x37");
    f->task.window = 9;
    expect_bytes_error(f, "abc", 3, FS_ECONFIG, "window: 9 tokens; the model has 8 positions");
    f->task.window = 1;
    expect_bytes_error(f, "abc", 3, FS_ECONFIG, "window: 1 tokens; at least 2");
    f->task.window = 4;
    f->task.stride = 5;
    expect_bytes_error(f, "abc", 3, FS_ECONFIG, "stride: 5 tokens");
    f->task.stride = 4;
    f->config.vocab = 2;
    expect_error(f, "abc", "data: token id 2 is beyond");
    fixture_close(f);
}

/* The counts of data/SOURCES.md. */
static void test_wikitext(void **state)
{
    dataset *data = NULL;
    tok *tokeniser = NULL;
    fs_config config = {.kind = FS_MODEL_GPT2, .task = FS_TASK_LM, .vocab = 8192, .positions = 256};
    fs_task task = {.kind = FS_TASK_LM,
                    .data = SHARED "/wikitext/wiki.test.raw",
                    .examples = 24,
                    .window = 256,
                    .stride = 256};
    if (!fs_file_exists(task.data)) {
        print_message("skipped: needs %s\n", task.data);
        skip();
    }
    assert_ok(tok_open(&tokeniser, SHARED "/models/gpt2-mini-wiki"));
    assert_ok(dataset_read(&data, &task, &config, tokeniser));
    assert_int_equal(data->answers, 6120);
    dataset_destroy(&data);
    task.examples = 0;
    assert_ok(dataset_read(&data, &task, &config, tokeniser));
    assert_int_equal(data->answers, 346531);
    assert_int_equal(data->off[data->count], 347890);
    dataset_destroy(&data);
    tok_close(&tokeniser);
    assert_ok(tok_open(&tokeniser, SHARED "/vocab/gpt2"));
    config.vocab = 50257;
    task.recipe = FS_RECIPE_HF;
    assert_ok(dataset_read(&data, &task, &config, tokeniser));
    assert_int_equal(data->off[data->count], 287644);
    dataset_destroy(&data);
    tok_close(&tokeniser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_packed),
        cmocka_unit_test(test_bad_rows_name_file_and_line),
        cmocka_unit_test(test_lines_at_the_limit),
        cmocka_unit_test(test_task_and_head_must_fit),
        cmocka_unit_test(test_gpt2_classifies_rows_but_not_empty_ones),
        cmocka_unit_test(test_windows_and_strides),
        cmocka_unit_test(test_windows_by_default_are_the_positions),
        cmocka_unit_test(test_words_of_the_text_covered),
        cmocka_unit_test(test_rows_that_inputs_read),
        cmocka_unit_test(test_huggingface_rows),
        cmocka_unit_test(test_bad_texts_and_windows),
        cmocka_unit_test(test_wikitext),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
