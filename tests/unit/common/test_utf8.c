#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "utf8.h"

/** Encodes by the arithmetic of RFC 3629; the range checks are the caller's. */
static size_t encode(uint32_t point, char out[4])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t n = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, point >>= 6) out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)((0xf00u >> n) | point);
    return n;
}

static void every_code_point_is_read(void **state)
{
    for (uint32_t point = 0; point <= 0x10ffff; point++) {
        char text[4];
        size_t n = encode(point, text);
        int surrogate = point >= 0xd800 && point <= 0xdfff;
        assert_int_equal(fs_utf8_length(text, n), surrogate ? 0 : n);
        assert_int_equal(fs_utf8_valid(text, n), !surrogate && point != 0);
        assert_int_equal(fs_utf8_length(text, n - 1), 0);
    }
    for (uint32_t point = 0x110000; point <= 0x1fffff; point += 0x3ff) {
        char text[4];
        assert_int_equal(fs_utf8_length(text, encode(point, text)), 0);
    }
}

static void only_encodings_are_read(void **state)
{
    /* Of all strings of three bytes those that start with a whole character are exactly the
     * encodings of the code points below 0x10000, followed by anything. */
    for (uint32_t bytes = 0; bytes < 1u << 24; bytes += 7) {
        char text[3] = {(char)(bytes >> 16), (char)(bytes >> 8), (char)bytes};
        uint32_t b0 = bytes >> 16, b1 = bytes >> 8 & 255, b2 = bytes & 255;
        size_t expected = 0;
        char again[4];
        uint32_t two = (b0 & 31) << 6 | (b1 & 63);
        uint32_t three = (b0 & 15) << 12 | (b1 & 63) << 6 | (b2 & 63);
        if (b0 < 0x80) {
            expected = 1;
        } else if (encode(two, again) == 2 && memcmp(again, text, 2) == 0) {
            expected = 2;
        } else if (encode(three, again) == 3 && memcmp(again, text, 3) == 0 &&
                   (three < 0xd800 || three > 0xdfff)) {
            expected = 3;
        }
        assert_int_equal(fs_utf8_length(text, 3), expected);
    }
}

static void bad_forms_are_refused(void **state)
{
    static const char *const bad[] = {
        "\xc0\x80",         "\xc1\xbf",         "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",         "\x80",         "ab\xc3",
        "a\xe2\x82"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(fs_utf8_valid(bad[i], strlen(bad[i])));
    }
    assert_false(fs_utf8_valid("a\0b", 3));
    assert_true(fs_utf8_valid("", 0));
    assert_true(fs_utf8_valid("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", 15));
}

static void the_first_bad_line_is_found(void **state)
{
    assert_int_equal(fs_utf8_bad_line("", 0), 0);
    assert_int_equal(fs_utf8_bad_line("a\n\xc3\xbc\n\n", 6), 0);
    assert_int_equal(fs_utf8_bad_line("\xff\n\xff", 3), 1);
    assert_int_equal(fs_utf8_bad_line("a\n\n\xc3\n", 5), 3); /* cut short by the line's end */
    assert_int_equal(fs_utf8_bad_line("a\nb\0\nc", 6), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_is_read),
        cmocka_unit_test(only_encodings_are_read),
        cmocka_unit_test(bad_forms_are_refused),
        cmocka_unit_test(the_first_bad_line_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
