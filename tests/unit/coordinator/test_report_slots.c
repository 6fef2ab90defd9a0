#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "report_slots.h"

static const char template[] =
    "A@@FS:TITLE@@B@@FS:TABLES@@C@@FS:META@@D@@FS:CELLS@@E@@FS:TRIALS@@F";

static fs_status fill(const char *text, const char *title, fs_buf *out)
{
    fs_buf slots[REPORT_SLOT_COUNT] = {{0}};
    static const char *const rest[] = {"tables", "meta", "cells", "trials"};
    assert_int_equal(fs_buf_puts(&slots[0], title), FS_OK);
    for (int i = 1; i < REPORT_SLOT_COUNT; i++)
        assert_int_equal(fs_buf_puts(&slots[i], rest[i - 1]), FS_OK);
    fs_status status = report_slots_fill(out, text, strlen(text), slots);
    for (int i = 0; i < REPORT_SLOT_COUNT; i++) fs_buf_free(&slots[i]);
    return status;
}

static void test_fill(void **state)
{
    fs_buf out = {0};
    assert_int_equal(fill(template, "t", &out), FS_OK);
    assert_string_equal(fs_buf_text(&out), "AtBtablesCmetaDcellsEtrialsF");
    fs_buf_free(&out);
}

static void test_contents_are_not_searched_for_slots(void **state)
{
    fs_buf out = {0};
    assert_int_equal(fill(template, "@@FS:META@@ $& \\1", &out), FS_OK);
    assert_string_equal(fs_buf_text(&out), "A@@FS:META@@ $& \\1BtablesCmetaDcellsEtrialsF");
    fs_buf_free(&out);
}

static void test_a_bad_template_is_refused(void **state)
{
    static const char *const bad[] = {
        "", "A@@FS:TITLE@@B", "@@FS:TABLES@@@@FS:TITLE@@@@FS:META@@@@FS:CELLS@@@@FS:TRIALS@@",
        "@@FS:TITLE@@@@FS:TABLES@@@@FS:META@@@@FS:CELLS@@@@FS:TRIALS@@@@FS:TITLE@@"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fs_buf out = {0};
        assert_int_equal(fill(bad[i], "t", &out), FS_EINTERNAL);
        fs_buf_free(&out);
    }
}

static void test_the_compiled_template_has_its_slots(void **state)
{
    fs_buf out = {0}, slots[REPORT_SLOT_COUNT] = {{0}};
    assert_int_equal(
        report_slots_fill(&out, (const char *)report_template, report_template_size, slots), FS_OK);
    assert_true(out.size > 20000 && out.size < 200000);
    assert_non_null(memmem(out.data, out.size, "default-src 'none'", 18));
    fs_buf_free(&out);
}

/* Reads back by libsodium's decoder and zlib's inflate. */
static void expect_packed(const void *data, size_t size)
{
    fs_buf packed = {0}, again = {0};
    assert_int_equal(report_slots_pack(&packed, data, size), FS_OK);
    assert_int_equal(report_slots_pack(&again, data, size), FS_OK);
    assert_int_equal(packed.size, again.size);
    assert_memory_equal(packed.data, again.data, packed.size);
    unsigned char *gzip = malloc(packed.size);
    char *plain = malloc(size + 1);
    size_t gzip_size;
    assert_int_equal(sodium_base642bin(gzip, packed.size, (const char *)packed.data, packed.size,
                                       NULL, &gzip_size, NULL, sodium_base64_VARIANT_ORIGINAL),
                     0);
    z_stream z = {.next_in = gzip,
                  .avail_in = (uInt)gzip_size,
                  .next_out = (Bytef *)plain,
                  .avail_out = (uInt)size + 1};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.total_out, size);
    assert_memory_equal(plain, data, size);
    inflateEnd(&z);
    free(gzip);
    free(plain);
    fs_buf_free(&packed);
    fs_buf_free(&again);
}

static void test_pack(void **state)
{
    static unsigned char noise[100003];
    uint64_t x = 1;
    expect_packed("x", 1);
    expect_packed("{}", 2);
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (unsigned char)((x = x * 6364136223846793005u + 1) >> 56);
    expect_packed(noise, sizeof noise);
    memset(noise, 'a', sizeof noise);
    expect_packed(noise, sizeof noise);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_contents_are_not_searched_for_slots),
        cmocka_unit_test(test_a_bad_template_is_refused),
        cmocka_unit_test(test_the_compiled_template_has_its_slots),
        cmocka_unit_test(test_pack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
