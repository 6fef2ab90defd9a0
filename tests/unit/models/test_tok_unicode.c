#include "testing.h"

#include "tok_unicode.h"

/* Expects the points of `bytes`; -1 stands for one U+FFFD. */
static void expect_points(const char *bytes, const int32_t *points, size_t count)
{
    size_t at = 0, size = strlen(bytes);
    for (size_t i = 0; i < count; i++) {
        int32_t point;
        assert_true(at < size);
        at += tok_decode(bytes + at, size - at, &point);
        assert_int_equal(point, points[i]);
    }
    assert_int_equal(at, size);
}

/* The Unicode Standard 15.0, tables 3-8 to 3-11. */
static void test_broken_utf8_as_the_standard_shows(void **state)
{
    const int32_t non_shortest[] = {-1, -1, -1, -1, -1, -1, -1, -1, 'A'};
    const int32_t surrogates[] = {-1, -1, -1, -1, -1, -1, -1, -1, 'A'};
    const int32_t others[] = {-1, -1, -1, -1, -1, 'A', -1, -1, 'B'};
    const int32_t truncated[] = {-1, -1, -1, -1, 'A'};
    const int32_t mixed[] = {'a', -1, -1, -1, 'b', -1, 'c', -1, -1, 'd'};
    expect_points("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", non_shortest, 9);
    expect_points("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", surrogates, 9);
    expect_points("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", others, 9);
    expect_points("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", truncated, 5);
    expect_points("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64", mixed, 10);
}

static void test_decoding_inverts_encoding(void **state)
{
    for (int32_t point = 0; point < 0x110000; point += point < 0x11000 ? 1 : 97) {
        if (point >= 0xD800 && point < 0xE000) continue;
        char bytes[4];
        int32_t back;
        size_t size = tok_encode_point(point, bytes);
        assert_int_equal(tok_decode(bytes, size, &back), size);
        assert_int_equal(back, point);
        if (size > 1) { /* a cut sequence is one unit of damage */
            assert_int_equal(tok_decode(bytes, size - 1, &back), size - 1);
            assert_int_equal(back, -1);
        }
    }
}

static void test_classes(void **state)
{
    static const struct {
        int32_t point;
        tok_class class;
        int punctuation, control;
    } rows[] = {
        {'a', TOK_LETTER, 0, 0},     {'7', TOK_NUMBER, 0, 0},    {' ', TOK_SPACE, 0, 0},
        {'\n', TOK_SPACE, 0, 0},     {'\t', TOK_SPACE, 0, 0},    {'$', TOK_OTHER, 1, 0},
        {'_', TOK_OTHER, 1, 0},      {'^', TOK_OTHER, 1, 0},     {0x7F, TOK_OTHER, 0, 1},
        {0, TOK_OTHER, 0, 1},        {0x0B, TOK_SPACE, 0, 1},    {0x85, TOK_SPACE, 0, 1},
        {0xA0, TOK_SPACE, 0, 0},     {0xAD, TOK_OTHER, 0, 1},    {0xBD, TOK_NUMBER, 0, 0},
        {0xE9, TOK_LETTER, 0, 0},    {0x301, TOK_OTHER, 0, 0},   {0x20AC, TOK_OTHER, 0, 0},
        {0x2014, TOK_OTHER, 1, 0},   {0x2028, TOK_SPACE, 0, 0},  {0x200D, TOK_OTHER, 0, 1},
        {0x2167, TOK_NUMBER, 0, 0},  {0x3000, TOK_SPACE, 0, 0},  {0x4E2D, TOK_LETTER, 0, 0},
        {0xE000, TOK_OTHER, 0, 1},   {0x1F600, TOK_OTHER, 0, 0}, {0x0378, TOK_OTHER, 0, 0},
        {0x1D49C, TOK_LETTER, 0, 0}, {-1, TOK_OTHER, 0, 0},      {0x00AB, TOK_OTHER, 1, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(tok_class_of(rows[i].point), rows[i].class);
        assert_int_equal(tok_is_punctuation(rows[i].point) != 0, rows[i].punctuation);
        assert_int_equal(tok_is_control(rows[i].point) != 0, rows[i].control);
    }
}

static void test_ideographs(void **state)
{
    assert_true(tok_is_cjk(0x4E00) && tok_is_cjk(0x9FFF) && tok_is_cjk(0xF900));
    assert_true(tok_is_cjk(0x20000) && tok_is_cjk(0x2FA1F));
    assert_false(tok_is_cjk(0x3042)); /* hiragana */
    assert_false(tok_is_cjk(0xAC00)); /* hangul */
    assert_false(tok_is_cjk(0xA000) || tok_is_cjk(0x3001) || tok_is_cjk('a'));
}

static const tok_normaliser uncased = {1, 1, 1}, cased = {0, 0, 1}, keep_accents = {1, 0, 1};

static void expect_normal(const tok_normaliser *normaliser, const char *text, size_t size,
                          const char *expected)
{
    tok_points points = {0};
    char out[256];
    size_t length = 0;
    assert_ok(tok_normalise(normaliser, text, size, &points));
    for (size_t i = 0; i < points.count; i++)
        length += tok_encode_point(points.items[i], out + length);
    out[length] = '\0';
    assert_string_equal(out, expected);
    tok_points_free(&points);
}

#define EXPECT(normaliser, text, expected)                                                         \
    expect_normal(&(normaliser), text, sizeof(text) - 1, expected)

static void test_normalising(void **state)
{
    EXPECT(uncased, "Na\u00EFve CAF\u00C9", "naive cafe");
    EXPECT(cased, "Na\u00EFve CAF\u00C9", "Na\u00EFve CAF\u00C9");
    EXPECT(keep_accents, "CAF\u00C9", "caf\u00E9");
    /* Turkish: the dot goes with the accents; without a dot there is nothing to take away. */
    EXPECT(uncased, "\u0130\u0131", "i\u0131");
    EXPECT(keep_accents, "x\u0130\u0130y\u0131", "xi\u0307i\u0307y\u0131");
    EXPECT(uncased, "e\u0301\u0323z", "ez");
    EXPECT(uncased, "\uFB01", "\uFB01");             /* compatibility ligature: not canonical */
    EXPECT(uncased, "\uD55C", "\u1112\u1161\u11AB"); /* hangul comes apart */
    EXPECT(cased, "\uD55C", "\uD55C");
    EXPECT(uncased, "a\u4E2Db", "a \u4E2D b");
    EXPECT(((tok_normaliser){1, 1, 0}), "a\u4E2Db", "a\u4E2Db");
    EXPECT(uncased, "\U0001F469\u200D\U0001F467", "\U0001F469\U0001F467"); /* joiner is Cf */
    EXPECT(uncased, "a\tb\nc\rd\u00A0e\u2028f\u3000g", "a b c d e f g");
    EXPECT(uncased,
           "a\x0B\x0C\x1F\x7F\xC2\x85"
           "z",
           "az");
    EXPECT(uncased, "a\0b\uFFFDc\xFFz\xE2\x82", "abcz");
    EXPECT(uncased, "", "");
}

/* U+302E has combining class 224 and U+1D165 has 216, and neither is Mn: order shows. */
static void test_marks_are_put_in_canonical_order(void **state)
{
    EXPECT(uncased, "a\u302E\U0001D165\u302E", "a\U0001D165\u302E\u302E");
    EXPECT(cased, "a\u302E\U0001D165", "a\u302E\U0001D165"); /* no decomposition: as it came */
}

static void test_a_million_marks_take_no_quadratic_time(void **state)
{
    enum { PAIRS = 500000, BYTES = 7 };
    tok_points points = {0};
    char *text = malloc((size_t)PAIRS * BYTES);
    assert_non_null(text);
    for (size_t i = 0; i < PAIRS; i++) memcpy(text + i * BYTES, "\u302E\U0001D165", BYTES);
    assert_ok(tok_normalise(&uncased, text, (size_t)PAIRS * BYTES, &points));
    assert_int_equal(points.count, 2 * PAIRS);
    assert_int_equal(points.items[PAIRS - 1], 0x1D165);
    assert_int_equal(points.items[PAIRS], 0x302E);
    tok_points_free(&points);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken_utf8_as_the_standard_shows),
        cmocka_unit_test(test_decoding_inverts_encoding),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_ideographs),
        cmocka_unit_test(test_normalising),
        cmocka_unit_test(test_marks_are_put_in_canonical_order),
        cmocka_unit_test(test_a_million_marks_take_no_quadratic_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
