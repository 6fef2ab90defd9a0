/* The oracle is byte pair encoding as it is told: look for the best pair, merge, look again. */
#include "testing.h"

#include "file.h"
#include "limits.h"
#include "tok.h"
#include "tok_bpe.h"

enum { LETTERS = 4, MERGES = 40, PIECE_BYTES = 64, WORD_BYTES = 60 };

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[FS_PATH_BYTES_MAX];
    assert_ok(fs_path_join(path, dir, name));
    assert_ok(fs_file_write_atomic(path, text, strlen(text)));
}

/* A random vocabulary over a few letters. Different merges may make the same piece. */
typedef struct grammar {
    char pieces[LETTERS + MERGES][PIECE_BYTES];
    int piece_count;
    int left[MERGES], right[MERGES], merged[MERGES];
    int merge_count;
} grammar;

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static int find_piece(const grammar *g, const char *text)
{
    for (int i = 0; i < g->piece_count; i++)
        if (strcmp(g->pieces[i], text) == 0) return i;
    return -1;
}

static int find_pair(const grammar *g, int left, int right)
{
    for (int i = 0; i < g->merge_count; i++)
        if (g->left[i] == left && g->right[i] == right) return i;
    return -1;
}

static void grammar_draw(grammar *g, uint32_t *random)
{
    memset(g, 0, sizeof *g);
    for (; g->piece_count < LETTERS; g->piece_count++)
        g->pieces[g->piece_count][0] = (char)('a' + g->piece_count);
    for (int tries = 0; tries < 4 * MERGES && g->merge_count < MERGES; tries++) {
        char joined[2 * PIECE_BYTES];
        int left = (int)(next_random(random) % (uint32_t)g->piece_count);
        int right = (int)(next_random(random) % (uint32_t)g->piece_count);
        snprintf(joined, sizeof joined, "%s%s", g->pieces[left], g->pieces[right]);
        if (strlen(joined) > 12 || find_pair(g, left, right) >= 0) continue;
        int merged = find_piece(g, joined);
        if (merged < 0) {
            merged = g->piece_count++;
            memcpy(g->pieces[merged], joined, strlen(joined) + 1);
        }
        g->left[g->merge_count] = left;
        g->right[g->merge_count] = right;
        g->merged[g->merge_count++] = merged;
    }
}

static tok *grammar_open(const grammar *g, const char *dir)
{
    fs_buf vocab = {0}, merges = {0};
    tok *tokeniser = NULL;
    for (int i = 0; i < g->piece_count; i++)
        assert_ok(fs_buf_printf(&vocab, "%c\"%s\": %d", i == 0 ? '{' : ',', g->pieces[i], i));
    assert_ok(fs_buf_puts(&vocab, "}"));
    assert_ok(fs_buf_puts(&merges, "#version: 0.2\n"));
    for (int i = 0; i < g->merge_count; i++)
        assert_ok(fs_buf_printf(&merges, "%s %s\n", g->pieces[g->left[i]], g->pieces[g->right[i]]));
    write_file(dir, "vocab.json", fs_buf_text(&vocab));
    write_file(dir, "merges.txt", fs_buf_text(&merges));
    assert_ok(tok_open(&tokeniser, dir));
    fs_buf_free(&vocab);
    fs_buf_free(&merges);
    return tokeniser;
}

/* @return ids left after merging the best leftmost pair until there is none. */
static int encode_slowly(const grammar *g, const char *word, int *ids)
{
    int count = (int)strlen(word);
    for (int i = 0; i < count; i++) ids[i] = word[i] - 'a';
    for (;;) {
        int best = -1, place = -1;
        for (int i = 0; i + 1 < count; i++) {
            int rank = find_pair(g, ids[i], ids[i + 1]);
            if (rank < 0 || (best >= 0 && rank >= best)) continue;
            best = rank;
            place = i;
        }
        if (best < 0) return count;
        ids[place] = g->merged[best];
        for (int i = place + 1; i + 1 < count; i++) ids[i] = ids[i + 1];
        count--;
    }
}

static void test_random_grammars_against_the_plain_algorithm(void **state)
{
    char *dir = testing_folder();
    uint32_t random = 4711;
    for (int round = 0; round < 60; round++) {
        grammar g;
        tok_ids ids = {0};
        grammar_draw(&g, &random);
        tok *tokeniser = grammar_open(&g, dir);
        for (int k = 0; k < 200; k++) {
            char word[WORD_BYTES + 1] = "";
            int expected[WORD_BYTES];
            uint32_t size = 1 + next_random(&random) % WORD_BYTES;
            for (uint32_t i = 0; i < size; i++)
                word[i] = (char)('a' + next_random(&random) % LETTERS);
            int count = encode_slowly(&g, word, expected);
            ids.count = 0;
            assert_ok(tok_encode(tokeniser, word, size, &ids));
            assert_int_equal(ids.count, count);
            assert_memory_equal(ids.items, expected, (size_t)count * sizeof *expected);
        }
        tok_ids_free(&ids);
        tok_close(&tokeniser);
    }
    testing_remove(dir);
}

/* The table of openai/gpt-2's bytes_to_unicode() at the ends of its ranges. */
static void test_bytes_as_characters(void **state)
{
    static const struct {
        unsigned char byte;
        const char *symbol;
    } rows[] = {
        {0x00, "\u0100"}, {'\n', "\u010A"}, {' ', "\u0120"},  {'!', "!"},
        {'~', "~"},       {0x7F, "\u0121"}, {0xA0, "\u0142"}, {0xA1, "\u00A1"},
        {0xAC, "\u00AC"}, {0xAD, "\u0143"}, {0xAE, "\u00AE"}, {0xFF, "\u00FF"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char symbol[4];
        size_t size = tok_bpe_symbol(rows[i].byte, symbol);
        assert_int_equal(size, strlen(rows[i].symbol));
        assert_memory_equal(symbol, rows[i].symbol, size);
    }
}

static void test_a_word_of_megabytes_takes_no_quadratic_time(void **state)
{
    enum { BYTES = 3 << 20 };
    char *dir = testing_folder(), *text = malloc(BYTES);
    tok *tokeniser = NULL;
    tok_ids ids = {0};
    assert_non_null(text);
    memset(text, 'a', BYTES);
    write_file(dir, "vocab.json", "{\"a\": 0, \"aa\": 1, \"aaaa\": 2, \"aaaaaaaa\": 3}");
    write_file(dir, "merges.txt", "a a\naa aa\naaaa aaaa\n");
    assert_ok(tok_open(&tokeniser, dir));
    assert_ok(tok_encode(tokeniser, text, BYTES, &ids));
    assert_int_equal(ids.count, BYTES / 8);
    assert_int_equal(ids.items[0], 3);
    ids.count = 0;
    assert_ok(tok_encode(tokeniser, text, 8 + 4 + 2 + 1, &ids)); /* the rest, longest first */
    assert_memory_equal(ids.items, ((int32_t[]){3, 2, 1, 0}), 4 * sizeof(int32_t));
    tok_ids_free(&ids);
    tok_close(&tokeniser);
    free(text);
    testing_remove(dir);
}

static void expect_merges_error(const char *dir, const char *merges, const char *part)
{
    tok *tokeniser = NULL;
    write_file(dir, "merges.txt", merges);
    assert_status(tok_open(&tokeniser, dir), FS_EFORMAT);
    assert_detail(part);
}

static void test_bad_merges_name_file_and_line(void **state)
{
    char *dir = testing_folder();
    write_file(dir, "vocab.json", "{\"a\": 0, \"b\": 1, \"ab\": 2, \"#\": 3, \"##\": 4}");
    expect_merges_error(dir, "#version: 0.2\na b\na c\n",
                        "merges.txt:3: \"c\" is not in the vocabulary");
    expect_merges_error(dir, "a b\nb a\n",
                        "merges.txt:2: \"b\" and \"a\" make a piece that the vocabulary lacks");
    expect_merges_error(dir, "#version: 0.2\n#version: 0.2\n", "merges.txt:2:");
    expect_merges_error(dir, "a b\n\n# #\n", "merges.txt:2: expected two pieces");
    expect_merges_error(dir, "a  b\n", "merges.txt:1: expected two pieces");
    expect_merges_error(dir, "ab\n", "merges.txt:1: expected two pieces");
    expect_merges_error(dir, "a b a\n", "merges.txt:1: expected two pieces");
    expect_merges_error(dir, " a\n", "merges.txt:1: expected two pieces");
    testing_remove(dir);
}

static void test_only_a_version_line_is_a_comment(void **state)
{
    char *dir = testing_folder();
    tok *tokeniser = NULL;
    tok_ids ids = {0};
    write_file(dir, "vocab.json", "{\"#\": 0, \"##\": 1, \"a\": 2}");
    write_file(dir, "merges.txt", "# #\r\n"); /* the first line, but a merge */
    assert_ok(tok_open(&tokeniser, dir));
    assert_ok(tok_encode(tokeniser, "##", 2, &ids));
    assert_int_equal(ids.count, 1);
    assert_int_equal(ids.items[0], 1);
    assert_status(tok_encode(tokeniser, "a b", 3, &ids), FS_EFORMAT);
    assert_detail("no piece for byte 0x20");
    tok_ids_free(&ids);
    tok_close(&tokeniser);
    testing_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_grammars_against_the_plain_algorithm),
        cmocka_unit_test(test_bytes_as_characters),
        cmocka_unit_test(test_a_word_of_megabytes_takes_no_quadratic_time),
        cmocka_unit_test(test_bad_merges_name_file_and_line),
        cmocka_unit_test(test_only_a_version_line_is_a_comment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
