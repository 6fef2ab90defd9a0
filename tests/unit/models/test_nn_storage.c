/* Rounding of activations: every word of both formats, what lies around and between them. */
#include "testing.h"

#include <math.h>

#include "nn_storage.h"

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static uint32_t rounded(fs_format_kind format, uint32_t bits)
{
    float x = float_of(bits);
    nn_round(format, &x, 1);
    return bits_of(x);
}

/* What the conversions of storage say, whose own test is against another implementation. */
static void check(fs_format_kind kind, uint32_t bits)
{
    const fs_format *format = fs_format_of(kind);
    uint32_t want = fs_format_widen(format, fs_format_narrow(format, bits));
    if (isnan(float_of(bits))) want = 0x7fc00000u;
    if (rounded(kind, bits) != want)
        fail_msg("%s: %08x gives %08x, not %08x", format->name, bits, rounded(kind, bits), want);
}

/* Each word, the ties on both sides of it and their neighbours. */
static void test_all_words(void **state)
{
    static const fs_format_kind kinds[] = {FS_FORMAT_FP16, FS_FORMAT_BF16};
    for (int k = 0; k < 2; k++) {
        const fs_format *format = fs_format_of(kinds[k]);
        for (uint32_t word = 0; word < 65536; word++) {
            const uint32_t bits = fs_format_widen(format, word), next = word + 1;
            const uint32_t beyond = fs_format_widen(format, next & 0xffffu);
            const uint32_t tie = bits + (beyond - bits) / 2;
            const uint32_t around[] = {bits, bits + 1, bits - 1, tie, tie + 1, tie - 1};
            for (size_t i = 0; i < sizeof around / sizeof around[0]; i++)
                check(kinds[k], around[i]);
            if (!isnan(float_of(bits))) assert_int_equal(rounded(kinds[k], bits), bits);
        }
        for (uint64_t i = 0; i < (1u << 20); i++)
            check(kinds[k], (uint32_t)(i * 0x9e3779b97f4a7c15u >> 32));
    }
}

static void test_by_hand(void **state)
{
    /* 1 + 2^-11 is half a step of fp16: to even. 65519 is the last that stays finite. */
    assert_true(float_of(rounded(FS_FORMAT_FP16, bits_of(1 + 0x1p-11f))) == 1);
    assert_true(float_of(rounded(FS_FORMAT_FP16, bits_of(1 + 0x1.8p-10f))) == 1 + 0x1p-9f);
    assert_true(float_of(rounded(FS_FORMAT_FP16, bits_of(65519))) == 65504);
    assert_true(float_of(rounded(FS_FORMAT_FP16, bits_of(65520))) == INFINITY);
    assert_true(float_of(rounded(FS_FORMAT_FP16, bits_of(0x1.8p-24f))) == 0x1p-23f);
    assert_true(float_of(rounded(FS_FORMAT_FP16, bits_of(-0x1p-25f))) == 0);
    assert_true(signbit(float_of(rounded(FS_FORMAT_FP16, bits_of(-0x1p-25f)))));
    assert_true(float_of(rounded(FS_FORMAT_BF16, bits_of(1 + 0x1p-8f))) == 1);
    assert_true(float_of(rounded(FS_FORMAT_BF16, bits_of(3.4e38f))) == INFINITY);
    assert_true(float_of(rounded(FS_FORMAT_BF16, bits_of(0x1p-133f))) == 0x1p-133f);
    assert_int_equal(rounded(FS_FORMAT_BF16, 0xffc12345u), 0x7fc00000u);
    assert_int_equal(rounded(FS_FORMAT_FP32, 0xffc12345u), 0xffc12345u);
}

/* Rows are rounded and what lies between them is not. */
static void test_rows(void **state)
{
    float x[12];
    for (int i = 0; i < 12; i++) x[i] = 1.001f;
    nn_round_rows(FS_FORMAT_BF16, x, 5, 3, 2);
    for (int i = 0; i < 12; i++) assert_true(x[i] == (i < 10 && i % 5 < 3 ? 1.0f : 1.001f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_words),
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
