/* The oracle is PCRE2 running GPT-2's own regular expression. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "testing.h"

#include <pcre2.h>

#include "tok_split.h"
#include "tok_unicode.h"

static const char pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static pcre2_code *compile(const char *text)
{
    int error;
    PCRE2_SIZE offset;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP,
                                     &error, &offset, NULL);
    assert_non_null(code);
    return code;
}

/* The oracle and its memory. */
typedef struct oracle {
    pcre2_code *words;
    pcre2_code *unassigned; /* PCRE2's Unicode is older than utf8proc's: what it does not know */
    pcre2_match_data *match;
} oracle;

static oracle oracle_new(void)
{
    oracle self = {.words = compile(pattern), .unassigned = compile("\\p{Cn}")};
    self.match = pcre2_match_data_create_from_pattern(self.words, NULL);
    assert_non_null(self.match);
    return self;
}

static void oracle_free(oracle *self)
{
    pcre2_match_data_free(self->match);
    pcre2_code_free(self->unassigned);
    pcre2_code_free(self->words);
}

/* No surrogates, nothing newer than PCRE2, and not U+180E, which PCRE2's \s takes for a space (its
 * \h does) and Unicode has not since version 6.3. */
static int oracle_knows(const oracle *self, int32_t point)
{
    char text[4];
    if (point == 0x180E || (point >= 0xD800 && point < 0xE000)) return 0;
    size_t size = tok_encode_point(point, text);
    return pcre2_match(self->unassigned, (PCRE2_SPTR)text, size, 0, 0, self->match, NULL) < 0;
}

/* Fails unless both cut the text into the same words. */
static void compare(const oracle *self, const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        int n =
            pcre2_match(self->words, (PCRE2_SPTR)text, size, at, PCRE2_ANCHORED, self->match, NULL);
        assert_true(n > 0);
        size_t expected = pcre2_get_ovector_pointer(self->match)[1] - at;
        size_t word = tok_split_word(text + at, size - at);
        if (word != expected)
            fail_msg("\"%.*s\" at %zu: %zu bytes, expected %zu", (int)size, text, at, word,
                     expected);
        at += word;
    }
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static size_t random_piece(const oracle *self, uint32_t *state, char out[8])
{
    static const char *const pieces[] = {
        " ",        " ",      " ",          "  ",     "\n",     "\t",     "\r\n",
        "'",        "'s",     "'re",        "'ll",    "'LL",    "a",      "Z",
        "the",      "0",      "9",          ".",      "!",      "_",      "\u00E9",
        "e\u0301",  "\u4E2D", "\u0663",     "\u00BD", "\u00A0", "\u2003", "\u2028",
        "\xC2\x85", "\u200D", "\U0001F600", "\uFFFD", "\x0B",
    };
    enum { PIECES = sizeof pieces / sizeof pieces[0] };
    if (next_random(state) % 4 != 0) {
        const char *piece = pieces[next_random(state) % PIECES];
        size_t size = strlen(piece);
        memcpy(out, piece, size);
        return size;
    }
    int32_t point = (int32_t)(next_random(state) % (next_random(state) % 2 ? 0x3000 : 0x110000));
    if (!oracle_knows(self, point)) point = 'x';
    return tok_encode_point(point, out);
}

static void test_random_text_is_cut_as_by_pcre2(void **state)
{
    oracle self = oracle_new();
    uint32_t random = 12345;
    for (int round = 0; round < 100000; round++) {
        char text[256];
        size_t size = 0;
        for (uint32_t n = 1 + next_random(&random) % 24; n > 0; n--)
            size += random_piece(&self, &random, text + size);
        compare(&self, text, size);
    }
    oracle_free(&self);
}

static void test_every_point_is_cut_as_by_pcre2(void **state)
{
    oracle self = oracle_new();
    for (int32_t point = 0; point < 0x110000; point++) {
        char text[16] = "a", c[4];
        if (!oracle_knows(&self, point)) continue;
        size_t n = tok_encode_point(point, c), size = 1;
        memcpy(text + size, c, n);
        size += n;
        memcpy(text + size, " 1", 2);
        size += 2;
        memcpy(text + size, c, n);
        compare(&self, text, size + n);
    }
    oracle_free(&self);
}

static void test_broken_bytes_are_words_of_their_own_kind(void **state)
{
    assert_int_equal(tok_split_word("\xFF\xC0!a", 4), 3);
    assert_int_equal(tok_split_word(" \xFFx", 3), 2);
    assert_int_equal(tok_split_word("ab\xE2\x82", 4), 2);
    assert_int_equal(tok_split_word("\0\0a", 3), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_text_is_cut_as_by_pcre2),
        cmocka_unit_test(test_every_point_is_cut_as_by_pcre2),
        cmocka_unit_test(test_broken_bytes_are_words_of_their_own_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
