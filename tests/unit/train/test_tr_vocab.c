#include "testing.h"

#include "file.h"
#include "rng.h"
#include "tiny_model.h"
#include "tok.h"
#include "tok_bpe.h"
#include "tok_unicode.h"
#include "tr_vocab.h"

static char *folder;

static int setup(void **state)
{
    folder = testing_folder();
    return folder == NULL;
}

static int teardown(void **state)
{
    testing_remove(folder);
    return 0;
}

static const char *path_of(const char *name)
{
    static char path[4][FS_PATH_BYTES_MAX];
    static int turn;
    char *out = path[turn++ % 4];
    assert_ok(fs_path_join(out, folder, name));
    return out;
}

static void write_text(const char *name, const char *text, size_t size)
{
    assert_ok(tiny_file_write(path_of(name), text, size));
}

static fs_status train_status(const char *out, const char *data, fs_model_kind kind, uint32_t size,
                              uint64_t bytes_max, tr_vocab_counts *counts)
{
    const tr_vocab_options options = {.kind = kind, .size = size, .bytes_max = bytes_max};
    return tr_vocab_train(path_of(out), path_of(data), &options, counts);
}

/** Learns from `text` into the folder `out`. */
static tr_vocab_counts train(const char *out, const char *text, fs_model_kind kind, uint32_t size)
{
    tr_vocab_counts counts;
    write_text("text", text, strlen(text));
    assert_ok(train_status(out, "text", kind, size, 0, &counts));
    return counts;
}

/** The contents of OUT/NAME; the caller frees. */
static fs_buf contents(const char *out, const char *name)
{
    fs_buf text = {0};
    char path[FS_PATH_BYTES_MAX];
    assert_ok(fs_path_join(path, path_of(out), name));
    assert_ok(fs_file_read(&text, path, 1 << 24));
    return text;
}

static void expect_file(const char *out, const char *name, const char *expected)
{
    fs_buf text = contents(out, name);
    assert_string_equal(fs_buf_text(&text), expected);
    fs_buf_free(&text);
}

/** Skips `lines` lines. */
static const char *after_lines(const char *text, int lines)
{
    for (; lines > 0; lines--) text = strchr(text, '\n') + 1;
    return text;
}

/* The example of Sennrich et al. 2016: low 5, lower 2, newest 6, widest 3. */
#define SENNRICH                                                                                   \
    "low\nlow\nlow\nlow\nlow\nlower\nlower\nnewest\nnewest\nnewest\nnewest\nnewest\nnewest\n"      \
    "widest\nwidest\nwidest\n"

/* By hand: e s and s t come 9 times each, e is the smaller id; then es t; l o and o w 7; and so on.
 */
static void test_bpe_by_hand(void **state)
{
    tr_vocab_counts counts = train("out", SENNRICH, FS_MODEL_GPT2, 1000);
    expect_file("out", "merges.txt",
                "#version: 0.2\ne s\nes t\nl o\nlo w\ne w\nn ew\nnew est\nd est\ni dest\n"
                "w idest\ne r\nlow er\n");
    assert_int_equal(counts.pieces, 256 + 12 + 1);
    assert_int_equal(counts.words, 32); /* 16 words and as many line ends */
    assert_int_equal(counts.distinct, 5);
    assert_int_equal(counts.bytes, strlen(SENNRICH));
    /* a a comes four times, overlapping pairs counted; of aa a and a b, twice each, a is smaller.
     */
    train("out", "aaabdaaabac", FS_MODEL_GPT2, 1000);
    expect_file("out", "merges.txt", "#version: 0.2\na a\na b\naa ab\n");
}

static void test_wordpiece_by_hand(void **state)
{
    tr_vocab_counts counts = train("bert", SENNRICH, FS_MODEL_BERT, 1000);
    expect_file("bert", "vocab.txt",
                "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nd\ne\ni\nl\nn\no\nr\ns\nt\nw\n"
                "##d\n##e\n##i\n##o\n##r\n##s\n##t\n##w\n##es\n##est\nlo\nlow\nne\n##west\nnewest\n"
                "wi\n##dest\nwidest\n##er\nlower\n");
    assert_int_equal(counts.pieces, 35);
    assert_int_equal(counts.words, 16);
    assert_int_equal(counts.distinct, 4);
    /* A smaller vocabulary is its beginning. */
    train("small", SENNRICH, FS_MODEL_BERT, 26);
    fs_buf small = contents("small", "vocab.txt");
    assert_string_equal(after_lines(fs_buf_text(&small), 23), "##es\n##est\nlo\n");
    fs_buf_free(&small);
}

/* A trainer that counts everything anew for each merge, on strings. */

enum { ORACLE_WORDS = 80, ORACLE_LETTERS = 16, ORACLE_PIECES = 400, ORACLE_TEXT = 24 };

typedef struct oracle {
    char pieces[ORACLE_PIECES][ORACLE_TEXT];
    int piece_count;
    int words[ORACLE_WORDS][ORACLE_LETTERS];
    int lengths[ORACLE_WORDS];
    int word_count;
    char merges[ORACLE_PIECES * 4][2 * ORACLE_TEXT];
    int merge_count;
} oracle;

static int oracle_piece(oracle *o, const char *text)
{
    for (int i = 0; i < o->piece_count; i++)
        if (strcmp(o->pieces[i], text) == 0) return i;
    assert_true(o->piece_count < ORACLE_PIECES);
    assert_true(strlen(text) < ORACLE_TEXT);
    memcpy(o->pieces[o->piece_count], text, strlen(text) + 1);
    return o->piece_count++;
}

static int oracle_times(const oracle *o, int left, int right)
{
    int times = 0;
    for (int w = 0; w < o->word_count; w++)
        for (int i = 0; i + 1 < o->lengths[w]; i++)
            times += o->words[w][i] == left && o->words[w][i + 1] == right;
    return times;
}

static void oracle_merge(oracle *o, int left, int right)
{
    char left_text[ORACLE_TEXT], right_text[ORACLE_TEXT], text[2 * ORACLE_TEXT];
    memcpy(left_text, o->pieces[left], ORACLE_TEXT);
    memcpy(right_text, o->pieces[right], ORACLE_TEXT);
    snprintf(o->merges[o->merge_count++], 2 * ORACLE_TEXT, "%s %s", left_text, right_text);
    const int skip = strncmp(right_text, "##", 2) == 0 ? 2 : 0;
    snprintf(text, sizeof text, "%s%s", left_text, right_text + skip);
    const int merged = oracle_piece(o, text);
    for (int w = 0; w < o->word_count; w++) {
        int *word = o->words[w];
        for (int i = 0; i + 1 < o->lengths[w]; i++) {
            if (word[i] != left || word[i + 1] != right) continue;
            word[i] = merged;
            for (int k = i + 1; k + 1 < o->lengths[w]; k++) word[k] = word[k + 1];
            o->lengths[w]--;
        }
    }
}

static void oracle_learn(oracle *o, int size)
{
    while (o->piece_count < size) {
        int best = 1, best_left = -1, best_right = -1;
        for (int left = 0; left < o->piece_count; left++) {
            for (int right = 0; right < o->piece_count; right++) {
                const int times = oracle_times(o, left, right);
                if (times <= best) continue;
                best = times;
                best_left = left;
                best_right = right;
            }
        }
        if (best_left < 0) break;
        oracle_merge(o, best_left, best_right);
    }
}

/** Random words of few letters, so that the same piece comes about in several ways. */
static void random_words(fs_buf *text, uint64_t seed, unsigned letters)
{
    fs_rng rng;
    fs_rng_init(&rng, 77, seed);
    for (int w = 0; w < ORACLE_WORDS; w++) {
        const uint64_t length = 1 + fs_rng_below(&rng, ORACLE_LETTERS - 1);
        for (uint64_t i = 0; i < length; i++)
            assert_ok(fs_buf_printf(text, "%c", 'a' + (int)fs_rng_below(&rng, letters)));
        assert_ok(fs_buf_puts(text, "\n"));
    }
}

/** Spells the words of `text`, letters and inner letters being pieces already. */
static void oracle_spell(oracle *o, const char *text, const char *prefix)
{
    for (; *text != '\0'; text++) {
        int *length = &o->lengths[o->word_count];
        for (; *text != '\n'; text++) {
            char piece[8];
            snprintf(piece, sizeof piece, "%s%c", *length == 0 ? "" : prefix, *text);
            o->words[o->word_count][(*length)++] = oracle_piece(o, piece);
        }
        o->word_count++;
    }
}

static void test_bpe_against_brute_force(void **state)
{
    oracle *o = malloc(sizeof *o);
    assert_non_null(o);
    for (uint64_t seed = 0; seed < 12; seed++) {
        fs_buf text = {0}, expected = {0};
        random_words(&text, seed, 2 + (unsigned)seed % 3);
        memset(o, 0, sizeof *o);
        for (char c = 'a'; c <= 'e'; c++) oracle_piece(o, (char[]){c, '\0'});
        oracle_spell(o, fs_buf_text(&text), "");
        /* Room for 40 merges that make new pieces, or for all there are. */
        const int more = seed % 2 == 0 ? 40 : 300;
        oracle_learn(o, 5 + more);
        const tr_vocab_counts counts =
            train("out", fs_buf_text(&text), FS_MODEL_GPT2, (uint32_t)(257 + more));
        assert_int_equal(counts.pieces, 257 + o->piece_count - 5);
        assert_ok(fs_buf_puts(&expected, "#version: 0.2\n"));
        for (int i = 0; i < o->merge_count; i++)
            assert_ok(fs_buf_printf(&expected, "%s\n", o->merges[i]));
        expect_file("out", "merges.txt", fs_buf_text(&expected));
        /* Every piece, in order, and the end of text. */
        tok *tokeniser;
        assert_ok(tok_open(&tokeniser, path_of("out")));
        assert_int_equal(tok_vocab_size(tokeniser), counts.pieces);
        for (int i = 5; i < o->piece_count; i++)
            assert_string_equal(tok_piece(tokeniser, 251 + i), o->pieces[i]);
        assert_int_equal(tok_special_id(tokeniser, TOK_SPECIAL_END), counts.pieces - 1);
        tok_close(&tokeniser);
        fs_buf_free(&text);
        fs_buf_free(&expected);
    }
    free(o);
}

static void test_wordpiece_against_brute_force(void **state)
{
    oracle *o = malloc(sizeof *o);
    assert_non_null(o);
    for (uint64_t seed = 0; seed < 12; seed++) {
        static const char *const specials[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
        fs_buf text = {0}, expected = {0};
        const int letters = 2 + (int)seed % 3;
        random_words(&text, 100 + seed, (unsigned)letters);
        memset(o, 0, sizeof *o);
        for (int i = 0; i < 5; i++) oracle_piece(o, specials[i]);
        for (char c = 'a'; c < 'a' + letters; c++) oracle_piece(o, (char[]){c, '\0'});
        for (char c = 'a'; c < 'a' + letters; c++) oracle_piece(o, (char[]){'#', '#', c, '\0'});
        oracle_spell(o, fs_buf_text(&text), "##");
        const int size = seed % 2 == 0 ? 60 : 350;
        oracle_learn(o, size);
        const tr_vocab_counts counts =
            train("bert", fs_buf_text(&text), FS_MODEL_BERT, (uint32_t)size);
        assert_int_equal(counts.pieces, o->piece_count);
        for (int i = 0; i < o->piece_count; i++)
            assert_ok(fs_buf_printf(&expected, "%s\n", o->pieces[i]));
        expect_file("bert", "vocab.txt", fs_buf_text(&expected));
        fs_buf_free(&text);
        fs_buf_free(&expected);
    }
    free(o);
}

static const char odd_text[] =
    "The caf\u00e9 na\u00efve caf\u00e9 \u00dcber \u65e5\u672c\u8a9e \u65e5\u672c don't 'tis 1234 "
    "1234!!\n\n\n  tabs\tand  spaces  \r\n\U0001F600\U0001F600 \u00a0 \u2014 e\u0301e\u0301\n"
    "The caf\u00e9 the end";

/* The pieces of a text, put together, are the text: every byte has its character. */
static void test_bpe_round_trip(void **state)
{
    tok *tokeniser;
    tok_ids ids = {0};
    fs_buf got = {0}, expected = {0};
    train("out", odd_text, FS_MODEL_GPT2, 300);
    assert_ok(tok_open(&tokeniser, path_of("out")));
    for (unsigned byte = 0; byte < 256; byte++) { /* bytes that the text never had */
        const char c = (char)byte;
        assert_ok(tok_encode(tokeniser, &c, 1, &ids));
        assert_int_equal(ids.count, byte + 1);
    }
    ids.count = 0;
    assert_ok(tok_encode(tokeniser, odd_text, sizeof odd_text - 1, &ids));
    assert_true(ids.count < sizeof odd_text - 1);
    for (size_t i = 0; i < ids.count; i++)
        assert_ok(fs_buf_puts(&got, tok_piece(tokeniser, ids.items[i])));
    for (size_t i = 0; i + 1 < sizeof odd_text; i++) {
        char symbol[4];
        assert_ok(
            fs_buf_append(&expected, symbol, tok_bpe_symbol((unsigned char)odd_text[i], symbol)));
    }
    assert_string_equal(fs_buf_text(&got), fs_buf_text(&expected));
    fs_buf_free(&got);
    fs_buf_free(&expected);
    tok_ids_free(&ids);
    tok_close(&tokeniser);
}

static void expect_pieces(const tok *tokeniser, const char *text, const char *expected)
{
    tok_ids ids = {0};
    fs_buf got = {0};
    assert_ok(tok_encode(tokeniser, text, strlen(text), &ids));
    for (size_t i = 0; i < ids.count; i++)
        assert_ok(
            fs_buf_printf(&got, "%s%s", i == 0 ? "" : " ", tok_piece(tokeniser, ids.items[i])));
    assert_string_equal(fs_buf_text(&got), expected);
    fs_buf_free(&got);
    tok_ids_free(&ids);
}

/* Lower case, no accents, ideographs one by one; a word seen twice is whole, others are spelt. */
static void test_wordpiece_round_trip(void **state)
{
    tok *tokeniser;
    train("bert", odd_text, FS_MODEL_BERT, 300);
    assert_ok(tok_open(&tokeniser, path_of("bert")));
    expect_pieces(tokeniser, "CAF\u00c9 cafe", "cafe cafe");
    expect_pieces(tokeniser, "\u65e5\u672c", "\u65e5 \u672c");
    expect_pieces(tokeniser, "uber", "u ##b ##e ##r");
    expect_pieces(tokeniser, "1234!", "1234 !");
    expect_pieces(tokeniser, "q", "[UNK]");
    assert_int_equal(tok_special_id(tokeniser, TOK_SPECIAL_PAD), 0);
    assert_int_equal(tok_special_id(tokeniser, TOK_SPECIAL_UNKNOWN), 1);
    assert_int_equal(tok_special_id(tokeniser, TOK_SPECIAL_FIRST), 2);
    assert_int_equal(tok_special_id(tokeniser, TOK_SPECIAL_LAST), 3);
    assert_int_equal(tok_special_id(tokeniser, TOK_SPECIAL_MASK), 4);
    assert_int_equal(tok_special_id(tokeniser, TOK_SPECIAL_END), -1);
    tok_close(&tokeniser);
}

static void expect_same(const char *a, const char *b, const char *name)
{
    fs_buf x = contents(a, name), y = contents(b, name);
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    fs_buf_free(&x);
    fs_buf_free(&y);
}

static void test_only_the_words_count(void **state)
{
    static const char *const texts[] = {
        "so it goes on and on\nand it was so good\n",
        "was so good\ngoes on\nand on and so\nit it\n",
    };
    const char *const outs[] = {"one", "two"};
    for (int i = 0; i < 2; i++) train(outs[i], texts[i], FS_MODEL_BERT, 60);
    expect_same("one", "two", "vocab.txt");
    for (int i = 0; i < 2; i++) train(outs[i], odd_text, FS_MODEL_GPT2, 290);
    expect_same("one", "two", "merges.txt");
    expect_same("one", "two", "vocab.json");
}

/* The first bytes, to a line end; within one line, to a character's end. */
static void test_part_of_a_text(void **state)
{
    tr_vocab_counts counts;
    train("whole", "abab abab\n", FS_MODEL_GPT2, 300);
    write_text("long", "abab abab\ncdcd cdcd\n", 20);
    for (uint64_t bytes = 10; bytes < 20; bytes++) {
        assert_ok(train_status("part", "long", FS_MODEL_GPT2, 300, bytes, &counts));
        assert_int_equal(counts.bytes, 10);
        expect_same("whole", "part", "merges.txt");
    }
    assert_ok(train_status("part", "long", FS_MODEL_GPT2, 300, 20, &counts));
    assert_int_equal(counts.bytes, 20);
    write_text("line", "ab\u00e9\u00e9", 6);
    assert_ok(train_status("part", "line", FS_MODEL_GPT2, 300, 5, &counts));
    assert_int_equal(counts.bytes, 4);
    write_text("line", "\u00e9", 2);
    assert_status(train_status("part", "line", FS_MODEL_GPT2, 300, 1, &counts), FS_EFORMAT);
}

static void put_letters(fs_buf *text, int first, int last)
{
    for (int32_t c = first; c <= last; c++) {
        char letter[5] = {0};
        letter[tok_encode_point(c, letter)] = ' ';
        assert_ok(fs_buf_append(text, letter, strlen(letter)));
    }
}

/* 131 characters of which 128 are kept: those that come once and have the largest code points go,
 * and a word with one of them teaches nothing. */
static void test_rare_characters(void **state)
{
    fs_buf text = {0};
    tok *tokeniser;
    put_letters(&text, 0x430, 0x44f);   /* 32 of Cyrillic, one of which is another with a breve */
    put_letters(&text, 0x561, 0x586);   /* 38 of Armenian */
    put_letters(&text, 0x10d0, 0x10f0); /* 33 of Georgian */
    put_letters(&text, 0x3b1, 0x3c1);   /* 17 and 7 of Greek */
    put_letters(&text, 0x3c3, 0x3c9);
    assert_ok(fs_buf_puts(&text, "ax ax ax \u10f2a \u10f2a \u10f1z")); /* and five more */
    const tr_vocab_counts counts = train("bert", fs_buf_text(&text), FS_MODEL_BERT, 200);
    assert_ok(tok_open(&tokeniser, path_of("bert")));
    expect_pieces(tokeniser, "\u10ef \u10f0", "[UNK] [UNK]");
    expect_pieces(tokeniser, "\u10ee \u0430 \u10f2a", "\u10ee \u0430 \u10f2a");
    expect_pieces(tokeniser, "z xz", "z [UNK]");
    /* 5 specials, 128 characters, ##x and ##a, and two merges. */
    assert_int_equal(counts.pieces, 5 + 128 + 2 + 2);
    tok_close(&tokeniser);
    fs_buf_free(&text);
}

static void expect_error(const char *text, size_t size, fs_model_kind kind, uint32_t pieces,
                         fs_status code, const char *detail)
{
    tr_vocab_counts counts;
    write_text("bad", text, size);
    assert_status(train_status("never", "bad", kind, pieces, 0, &counts), code);
    assert_detail(detail);
    assert_false(fs_dir_exists(path_of("never")));
}

static void test_errors(void **state)
{
    tr_vocab_counts counts;
    for (int kind = FS_MODEL_BERT; kind <= FS_MODEL_GPT2; kind++) {
        const fs_model_kind k = (fs_model_kind)kind;
        expect_error("", 0, k, 300, FS_EFORMAT, "bad: empty");
        expect_error("ab\ncd\n\xff\n", 8, k, 300, FS_EFORMAT, "bad:3: not UTF-8 text");
        expect_error("ab\nc\0d\n", 7, k, 300, FS_EFORMAT, "bad:2: not UTF-8 text");
        expect_error("ab\n", 3, k, TR_VOCAB_SIZE_MAX + 1, FS_ELIMIT, "at most 1048576");
        assert_status(train_status("never", "none", k, 300, 0, &counts), FS_ENOENT);
        assert_detail("none");
    }
    expect_error(" \n\t\n", 4, FS_MODEL_BERT, 300, FS_EFORMAT, "bad: no words to learn from");
    expect_error("ab\n", 3, FS_MODEL_BERT, 4, FS_EUSAGE, "the special tokens are 5");
    expect_error("ab\n", 3, FS_MODEL_BERT, 7, FS_EUSAGE, "at least 8"); /* a, b and ##b */
    expect_error("ab\n", 3, FS_MODEL_GPT2, 256, FS_EUSAGE, "<|endoftext|> are 257");
    write_text("file", "ab\n", 3);
    assert_status(train_status("file/out", "file", FS_MODEL_GPT2, 300, 0, &counts), FS_EIO);
}

/* The least there can be. */
static void test_tiny_texts(void **state)
{
    assert_int_equal(train("tiny", "a", FS_MODEL_BERT, 6).pieces, 6);
    assert_int_equal(train("tiny", "ab", FS_MODEL_BERT, 8).pieces, 8);
    assert_int_equal(train("tiny", "ab", FS_MODEL_BERT, 30000).pieces, 8);
    assert_int_equal(train("tiny2", "\n", FS_MODEL_GPT2, 257).pieces, 257);
    assert_int_equal(train("tiny2", "abab", FS_MODEL_GPT2, 258).pieces, 258);
    expect_file("tiny2", "merges.txt", "#version: 0.2\na b\n");
}

/* A word of more than 100 characters is [UNK] to BERT, and none of more than 1024 bytes is a word
 * of language: they are not counted. At the limit they are. */
static void test_endless_words(void **state)
{
    const struct {
        fs_model_kind kind;
        size_t most;
    } cases[] = {{FS_MODEL_BERT, 100}, {FS_MODEL_GPT2, 1024}};
    for (size_t i = 0; i < 2; i++) {
        char text[1040] = {0};
        memset(text, 'a', cases[i].most);
        assert_int_equal(train("out", text, cases[i].kind, 1000).words, 1);
        text[cases[i].most] = 'a';
        write_text("endless", text, cases[i].most + 1);
        tr_vocab_counts counts;
        assert_status(train_status("out", "endless", cases[i].kind, 1000, 0, &counts), FS_EFORMAT);
        assert_detail("endless: no words to learn from");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bpe_by_hand),
        cmocka_unit_test(test_wordpiece_by_hand),
        cmocka_unit_test(test_bpe_against_brute_force),
        cmocka_unit_test(test_wordpiece_against_brute_force),
        cmocka_unit_test(test_bpe_round_trip),
        cmocka_unit_test(test_wordpiece_round_trip),
        cmocka_unit_test(test_only_the_words_count),
        cmocka_unit_test(test_part_of_a_text),
        cmocka_unit_test(test_rare_characters),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_tiny_texts),
        cmocka_unit_test(test_endless_words),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
