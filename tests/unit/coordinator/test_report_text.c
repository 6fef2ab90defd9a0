#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "report_text.h"

static void expect_json(const char *text, size_t size, const char *expected)
{
    fs_buf out = {0};
    assert_int_equal(report_json_string(&out, text, size), FS_OK);
    assert_string_equal(fs_buf_text(&out), expected);
    fs_buf_free(&out);
}

static void test_json_cannot_leave_its_element(void **state)
{
    expect_json("</script>", 9, "\"\\u003c/script\\u003e\"");
    expect_json("<!--", 4, "\"\\u003c!--\"");
    expect_json("a&b", 3, "\"a\\u0026b\"");
    expect_json("\"\\\n", 3, "\"\\u0022\\u005c\\u000a\"");
    expect_json("a\0b", 3, "\"a\\u0000b\"");
    expect_json("\x7f", 1, "\"\\u007f\"");
    expect_json("", 0, "\"\"");
}

static void test_json_keeps_unicode_and_mends_what_is_none(void **state)
{
    expect_json("\xc3\xa9\xf0\x9f\x98\x80", 6, "\"\xc3\xa9\xf0\x9f\x98\x80\"");
    expect_json("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa", 9, "\"\\u2028\\u2029\xe2\x80\xaa\"");
    expect_json("\xff", 1, "\"\xef\xbf\xbd\"");
    expect_json("\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");                 /* overlong */
    expect_json("\xe2\x82", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");                 /* cut */
    expect_json("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""); /* surrogate */
}

/* Every pair of bytes, read back by another library. */
static void test_json_of_any_bytes_is_read_by_jansson(void **state)
{
    fs_buf out = {0};
    for (unsigned pair = 0; pair < 0x10000; pair++) {
        const char text[2] = {(char)(pair >> 8), (char)(pair & 0xff)};
        fs_buf_clear(&out);
        assert_int_equal(report_json_string(&out, text, 2), FS_OK);
        json_t *read =
            json_loadb((const char *)out.data, out.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(read);
        json_decref(read);
        assert_null(memchr(out.data, '<', out.size));
        assert_null(memchr(out.data, '&', out.size));
    }
    fs_buf_free(&out);
}

static void test_json_numbers(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},
                 {-0.0, "0"},
                 {3, "3"},
                 {-17, "-17"},
                 {0.5, "0.5"},
                 {1e300, "1e+300"},
                 {NAN, "null"},
                 {INFINITY, "null"},
                 {1.0 / 3, "0.333333333"},
                 {1e14, "100000000000000"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fs_buf out = {0};
        assert_int_equal(report_json_number(&out, cases[i].value), FS_OK);
        assert_string_equal(fs_buf_text(&out), cases[i].text);
        fs_buf_free(&out);
    }
}

static void test_html(void **state)
{
    fs_buf out = {0};
    assert_int_equal(report_html(&out, "<a href='x' \"y\">&`\x01\n\xff\xc3\xa9"), FS_OK);
    assert_string_equal(fs_buf_text(&out), "&#60;a href=&#39;x&#39; &#34;y&#34;&#62;&#38;&#96;"
                                           "\xef\xbf\xbd\n\xef\xbf\xbd\xc3\xa9");
    fs_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_cannot_leave_its_element),
        cmocka_unit_test(test_json_keeps_unicode_and_mends_what_is_none),
        cmocka_unit_test(test_json_of_any_bytes_is_read_by_jansson),
        cmocka_unit_test(test_json_numbers),
        cmocka_unit_test(test_html),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
