#include "testing.h"

#include <sys/stat.h>

#include "buf.h"
#include "rng.h"
#include "tiny_model.h"
#include "tr_text.h"
#include "tr_vocab.h"

enum { TEXT_BYTES = 3 << 20 /* several chunks */ };

static char *folder;
static tok *tokenisers[2]; /* by fs_model_kind */

static const char *path_of(const char *name)
{
    static char path[FS_PATH_BYTES_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Words, marks and every kind of white space, in any order, drawn from `seed`. */
static fs_buf random_text(uint64_t seed, size_t bytes)
{
    static const char *const parts[] = {
        "the",
        "cat",
        "sat",
        "on",
        "a",
        "caf\u00e9",
        "'s",
        "'",
        ".",
        ",",
        "123",
        " ",
        " ",
        " ",
        " ",
        " ",
        "  ",
        "\n",
        "\n",
        "\n",
        "\n",
        "\n\n",
        "\n\n",
        "\n\n\n",
        " \n",
        "\n ",
        "\r\n",
        "\t",
        "\n\n",
        "\u00a0\n",
        "\n\u00a0",
        "\u2028",
        "[SEP]",
        "<|endoftext|>",
        "e\n\u0301",
        "\n'll",
        "\u65e5\u672c",
        "\r\n\r\n",
        "[",
        "\n|>\n",
    };
    enum { PARTS = sizeof parts / sizeof *parts };
    fs_buf text = {0};
    fs_rng rng;
    fs_rng_init(&rng, 5, seed);
    while (text.size < bytes) assert_ok(fs_buf_puts(&text, parts[fs_rng_below(&rng, PARTS)]));
    return text;
}

static int setup(void **state)
{
    folder = testing_folder();
    if (folder == NULL) return 1;
    fs_buf text = random_text(1, 20000);
    assert_ok(tiny_file_write(path_of("data"), text.data, text.size));
    fs_buf_free(&text);
    for (int kind = FS_MODEL_BERT; kind <= FS_MODEL_GPT2; kind++) {
        const tr_vocab_options options = {.kind = (fs_model_kind)kind, .size = 300};
        tr_vocab_counts counts;
        char dir[FS_PATH_BYTES_MAX];
        snprintf(dir, sizeof dir, "%s/%d", folder, kind);
        assert_ok(tr_vocab_train(dir, path_of("data"), &options, &counts));
        assert_ok(tok_open(&tokenisers[kind], dir));
    }
    return 0;
}

static int teardown(void **state)
{
    for (int i = 0; i < 2; i++) tok_close(&tokenisers[i]);
    testing_remove(folder);
    return 0;
}

static tr_text read_text(const fs_buf *text, const tok *tokeniser, int divide, unsigned threads)
{
    tr_pool *pool;
    tr_text out;
    assert_ok(tiny_file_write(path_of("data"), text->data, text->size));
    assert_ok(tr_pool_new(&pool, threads));
    assert_ok(tr_text_read(&out, path_of("data"), tokeniser, divide, pool));
    tr_pool_destroy(&pool);
    return out;
}

/* The ids of the parts are those of the whole text at once, whatever the threads. */
static void test_parts_make_the_whole(void **state)
{
    for (uint64_t seed = 10; seed < 12; seed++) {
        fs_buf text = random_text(seed, TEXT_BYTES);
        for (int kind = 0; kind < 2; kind++) {
            tok_ids whole = {0};
            assert_ok(tok_encode(tokenisers[kind], fs_buf_text(&text), text.size, &whole));
            for (unsigned threads = 1; threads <= 3; threads += 2) {
                tr_text got = read_text(&text, tokenisers[kind], 0, threads);
                assert_int_equal(got.document_count, 0);
                assert_int_equal(got.count, whole.count);
                assert_memory_equal(got.ids, whole.items, whole.count * sizeof *got.ids);
                tr_text_free(&got);
            }
            tok_ids_free(&whole);
        }
        fs_buf_free(&text);
    }
}

/** @return whether the line at `text`, up to `end`, is blank; *size is its size with its end. */
static int blank_line(const char *text, const char *end, size_t *size)
{
    size_t n = 0;
    while (text + n < end && text[n] != '\n') n++;
    const int blank = n == 0 || (n == 1 && text[0] == '\r');
    *size = n + (text + n < end);
    return blank;
}

/* Documents as a loop over lines finds them, each encoded by itself. */
static void test_documents_as_line_by_line(void **state)
{
    fs_buf text = random_text(20, TEXT_BYTES);
    for (int kind = 0; kind < 2; kind++) {
        tr_text got = read_text(&text, tokenisers[kind], 1, 2);
        tok_ids ids = {0};
        uint32_t document = 0;
        const char *at = fs_buf_text(&text), *end = at + text.size;
        while (at < end) {
            const char *begin = at;
            size_t size;
            while (at < end && !blank_line(at, end, &size)) at += size;
            const size_t before = ids.count;
            assert_ok(tok_encode(tokenisers[kind], begin, (size_t)(at - begin), &ids));
            if (ids.count > before) {
                assert_true(document < got.document_count);
                assert_int_equal(got.documents[document], before);
                document++;
            }
            while (at < end && blank_line(at, end, &size)) at += size;
        }
        assert_int_equal(document, got.document_count);
        assert_int_equal(got.documents[document], ids.count);
        assert_int_equal(got.count, ids.count);
        assert_memory_equal(got.ids, ids.items, ids.count * sizeof *got.ids);
        assert_true(document > 10000);
        tok_ids_free(&ids);
        tr_text_free(&got);
    }
    fs_buf_free(&text);
}

/* Nothing to cut at: one line of several megabytes; and a document of many, which is one still. */
static void test_long_lines_and_documents(void **state)
{
    fs_buf line = {0}, lines = {0};
    while (line.size < 3 << 20) assert_ok(fs_buf_puts(&line, "cat "));
    while (lines.size < 3 << 20) assert_ok(fs_buf_puts(&lines, "cat\n"));
    assert_ok(fs_buf_puts(&lines, "\ncat"));
    const uint32_t words = (3 << 20) / 4;
    tr_text got = read_text(&line, tokenisers[FS_MODEL_BERT], 1, 2);
    assert_int_equal(got.count, words);
    assert_int_equal(got.document_count, 1);
    tr_text_free(&got);
    got = read_text(&lines, tokenisers[FS_MODEL_BERT], 1, 2);
    assert_int_equal(got.document_count, 2);
    assert_int_equal(got.documents[1], words);
    assert_int_equal(got.documents[2], words + 1);
    tr_text_free(&got);
    fs_buf_free(&line);
    fs_buf_free(&lines);
}

/* The first of the errors, by place, whoever found it; here a byte that the vocabulary lacks. */
static void test_an_error_in_a_part(void **state)
{
    fs_buf text = {0};
    static const char vocabulary[] = "{\"a\": 0, \"\u010a\": 1}";
    char dir[FS_PATH_BYTES_MAX];
    tok *bare;
    tr_pool *pool;
    tr_text out;
    snprintf(dir, sizeof dir, "%s/bare", folder);
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_ok(tiny_file_write(path_of("bare/vocab.json"), vocabulary, sizeof vocabulary - 1));
    assert_ok(tiny_file_write(path_of("bare/merges.txt"), "", 0));
    assert_ok(tok_open(&bare, dir));
    while (text.size < TEXT_BYTES) {
        const char *line = text.size == 2 << 20  ? "ab\n"
                           : text.size > 2 << 20 ? "aq\n"
                                                 : "aaaaaaa\n";
        assert_ok(fs_buf_puts(&text, line));
    }
    assert_ok(tiny_file_write(path_of("data"), text.data, text.size));
    assert_ok(tr_pool_new(&pool, 3));
    assert_status(tr_text_read(&out, path_of("data"), bare, 0, pool), FS_EFORMAT);
    assert_detail("data: the vocabulary has no piece for byte 0x62");
    assert_null(out.ids);
    assert_status(tr_text_read(&out, path_of("none"), bare, 0, pool), FS_ENOENT);
    tr_pool_destroy(&pool);
    tok_close(&bare);
    fs_buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_make_the_whole),
        cmocka_unit_test(test_documents_as_line_by_line),
        cmocka_unit_test(test_long_lines_and_documents),
        cmocka_unit_test(test_an_error_in_a_part),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
