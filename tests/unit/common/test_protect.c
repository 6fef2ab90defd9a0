#include "testing.h"

#include <math.h>

#include "protect.h"
#include "rng.h"

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float value_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void init(fs_protect *out, const char *name, fs_guard guard)
{
    assert_ok(fs_protect_init(out, &name, 1, guard));
}

/* The paper's definition in arithmetic: clip to +-(2 - 2^-23), then clear bit 30 on read. */
static void test_ep_clips_and_masks(void **state)
{
    fs_protect ep;
    init(&ep, "ep", (fs_guard){0});
    assert_int_equal(fs_protect_words(&ep), 1);
    assert_true(fs_protect_bits_per_value(&ep) == 0);
    fs_rng rng;
    fs_rng_init(&rng, 5, 5);
    for (int i = 0; i < 200000; i++) {
        uint32_t word = fs_rng_u32(&rng), stored = word;
        float x = value_of(word);
        fs_check check = {0};
        fs_protect_encode(&ep, &stored, &check);
        if (!isnan(x)) {
            float clipped = fminf(fmaxf(x, -(2 - 0x1p-23f)), 2 - 0x1p-23f);
            assert_int_equal(stored, bits_of(clipped));
        }
        for (unsigned bit = 0; bit < 32; bit++) {
            fs_codec_report report = {0};
            uint32_t faulty = stored ^ 1u << bit, read = faulty;
            fs_protect_decode(&ep, &read, &check, &report);
            assert_int_equal(read, faulty & 0xbfffffffu);
            assert_true(fabsf(value_of(read)) < 2);
            if (bit == 30) assert_int_equal(read, stored);
            assert_int_equal(report.corrected, bit == 30);
            assert_int_equal(report.detected, 0);
        }
    }
}

static void test_guards(void **state)
{
    const fs_guard none = {0}, nonfinite = {FS_GUARD_NONFINITE_ZERO, 0};
    const fs_guard threshold = {FS_GUARD_THRESHOLD, 10};
    const uint32_t nan = 0x7fc00001u, inf = 0xff800000u;
    assert_int_equal(fs_guard_read(&none, nan), nan);
    assert_int_equal(fs_guard_read(&none, inf), inf);
    assert_int_equal(fs_guard_read(&nonfinite, nan), 0);
    assert_int_equal(fs_guard_read(&nonfinite, inf), 0);
    assert_int_equal(fs_guard_read(&nonfinite, bits_of(1e38f)), bits_of(1e38f));
    assert_int_equal(fs_guard_read(&threshold, bits_of(-10.0f)), bits_of(-10.0f));
    assert_int_equal(fs_guard_read(&threshold, bits_of(nextafterf(10, 11))), 0);
    assert_int_equal(fs_guard_read(&threshold, nan), 0);
}

static void test_names(void **state)
{
    fs_protect protect;
    const char *unknown = "epp", *twice[] = {"ep", "ep"}, *none = "none";
    assert_status(fs_protect_init(&protect, &unknown, 1, (fs_guard){0}), FS_ECONFIG);
    assert_detail("epp");
    assert_detail("known: none, ep");
    assert_status(fs_protect_init(&protect, twice, 2, (fs_guard){0}), FS_ECONFIG);
    assert_ok(fs_protect_init(&protect, &none, 1, (fs_guard){0}));
    assert_int_equal(protect.codec_count, 0);
}

/* What a codec promises, for every row of the table: decode(encode(x)) reads without complaint, and
 * encoding what was read stores the same again. */
static void test_every_codec_is_stable(void **state)
{
    const fs_codec *codec;
    for (unsigned i = 0; (codec = fs_codec_at(i)) != NULL; i++) {
        assert_ptr_equal(fs_codec_find(codec->name), codec);
        fs_rng rng;
        fs_rng_init(&rng, 6, i);
        for (int n = 0; n < 20000; n++) {
            uint32_t words[2] = {fs_rng_u32(&rng), fs_rng_u32(&rng)}, read[2], again[2];
            uint16_t check = 0, check_again = 0;
            fs_codec_report report = {0};
            codec->encode(words, &check);
            memcpy(read, words, sizeof read);
            codec->decode(read, check, &report);
            assert_int_equal(report.corrected + report.detected, 0);
            memcpy(again, read, sizeof again);
            codec->encode(again, &check_again);
            assert_memory_equal(again, words, codec->words * sizeof words[0]);
            assert_int_equal(check, check_again);
        }
    }
    assert_true(fs_codec_at(0) != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ep_clips_and_masks),
        cmocka_unit_test(test_guards),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_every_codec_is_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
