/* Lists of protections: which can be, what they cost, and that they give back what they were given.
 */
#include "testing.h"

#include <math.h>

#include "coding.h"
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

/* The paper's definition in arithmetic: clip to +-(2 - 2^-23), then clear bit 30 on read. */
static void test_ep_clips_and_masks(void **state)
{
    const char *name = "ep";
    fs_protect ep;
    assert_ok(fs_protect_init(&ep, &name, 1, (fs_guard){0}));
    const fs_coding coding = {&ep, NULL};
    assert_int_equal(fs_coding_unit(&ep, 77), 1);
    assert_true(fs_protect_bits_per_value(&ep) == 0);
    fs_rng rng;
    fs_rng_init(&rng, 5, 5);
    for (int i = 0; i < 200000; i++) {
        uint32_t word = fs_rng_u32(&rng), stored = word;
        float x = value_of(word);
        fs_coding_prepare(&coding, &stored, 1);
        fs_coding_encode(&coding, &stored, 1, NULL);
        float most = 2 - 0x1p-23f;
        /* NaN goes to the bound of its sign, as any other magnitude of at least 2 does. */
        float want = isnan(x) || fabsf(x) > most ? copysignf(most, x) : x;
        assert_int_equal(stored, bits_of(want));
        for (unsigned bit = 0; bit < 32; bit++) {
            fs_codec_report report = {0};
            uint32_t hit = stored ^ 1u << bit, read = hit;
            fs_coding_decode(&coding, &read, 1, NULL, NULL, NULL, &report);
            assert_int_equal(read, bit == 30 ? stored : hit);
            assert_int_equal(report.corrected, bit == 30);
            assert_int_equal(report.detected, 0);
        }
    }
}

static void test_guards(void **state)
{
    const fs_guard none = {0}, nonfinite = {FS_GUARD_NONFINITE_ZERO, 0},
                   threshold = {FS_GUARD_THRESHOLD, 10};
    uint32_t nan = 0xffc01234u, inf = 0x7f800000u;
    assert_int_equal(fs_guard_read(&none, nan), nan);
    assert_int_equal(fs_guard_read(&none, inf), inf);
    assert_int_equal(fs_guard_read(&nonfinite, nan), 0);
    assert_int_equal(fs_guard_read(&nonfinite, inf), 0);
    assert_int_equal(fs_guard_read(&nonfinite, bits_of(1e38f)), bits_of(1e38f));
    assert_int_equal(fs_guard_read(&threshold, bits_of(-10.0f)), bits_of(-10.0f));
    assert_int_equal(fs_guard_read(&threshold, bits_of(nextafterf(10, 11))), 0);
    assert_int_equal(fs_guard_read(&threshold, nan), 0);
}

static void refuse(const char *first, const char *second, fs_format_kind format, const char *why)
{
    const char *names[] = {first, second};
    fs_protect protect;
    assert_status(
        fs_protect_init_format(&protect, names, second == NULL ? 1 : 2, (fs_guard){0}, format),
        FS_ECONFIG);
    assert_non_null(strstr(fs_status_detail(), why));
}

static void test_lists_that_cannot_be(void **state)
{
    const char *none = "none";
    fs_protect protect;
    refuse("sekded", NULL, FS_FORMAT_FP32, "ep, mset, cep");
    refuse("sekded", NULL, FS_FORMAT_FP32, "scrub");
    refuse("ep", "ep", FS_FORMAT_FP32, "twice");
    refuse("cep", "cep-7", FS_FORMAT_FP32, "same code");
    refuse("secded", "secded-zero", FS_FORMAT_FP32, "same code");
    refuse("mset", "cep-15", FS_FORMAT_FP32, "lowest bits");
    refuse("op", "mset", FS_FORMAT_FP32, "lowest bits");
    refuse("cep", "op", FS_FORMAT_FP16, "lowest bits");
    refuse("ep", NULL, FS_FORMAT_INT8, "int8 has none");
    refuse("mset", NULL, FS_FORMAT_INT8, "int8 has none");
    refuse("cep-7", NULL, FS_FORMAT_INT8, "int8 has none");
    refuse("tmr-exponent", NULL, FS_FORMAT_INT8, "int8 has none");
    assert_ok(fs_protect_init(&protect, &none, 1, (fs_guard){0}));
    assert_int_equal(protect.codec_count, 0);
    assert_true(fs_protect_is_plain(&protect));
    const char *most[] = {"ep",   "cep",   "secded", "secded-exponent", "tmr-exponent", "range",
                          "none", "scrub", "mset"};
    assert_ok(fs_protect_init(&protect, most, 8, (fs_guard){0}));
    assert_int_equal(protect.codec_count, 7);
}

/* Stored bits beside a weight, as issue and codes' definitions state them. */
static void test_costs(void **state)
{
    static const struct {
        const char *name;
        fs_format_kind format;
        double bits; /* of a word in rows of 768 */
    } costs[] = {
        {"ep", FS_FORMAT_FP32, 0},           {"mset", FS_FORMAT_FP32, 0},
        {"cep", FS_FORMAT_FP32, 0},          {"op", FS_FORMAT_FP32, 0},
        {"secded", FS_FORMAT_FP32, 4},       {"secded", FS_FORMAT_BF16, 2},
        {"secded", FS_FORMAT_INT8, 1},       {"secded-exponent", FS_FORMAT_FP32, 1},
        {"tmr-exponent", FS_FORMAT_FP32, 2}, {"scrub", FS_FORMAT_FP32, 64.0 / 768},
        {"range", FS_FORMAT_FP32, 0},        {"secded-exponent", FS_FORMAT_INT8, 1},
    };
    for (size_t i = 0; i < sizeof costs / sizeof costs[0]; i++) {
        fs_protect protect;
        assert_ok(
            fs_protect_init_format(&protect, &costs[i].name, 1, (fs_guard){0}, costs[i].format));
        assert_true(fs_protect_bits_per_word(&protect, 768) == costs[i].bits);
        assert_int_equal(fs_protect_has_checks(&protect), costs[i].bits > 0);
    }
}

/* A run of random words of every magnitude, NaN and Inf among them. */
static void random_words(fs_rng *rng, const fs_format *format, uint32_t *words, size_t count)
{
    const uint32_t mask = format->bits == 32 ? 0xffffffffu : (1u << format->bits) - 1;
    for (size_t i = 0; i < count; i++) words[i] = fs_rng_u32(rng) & mask;
}

/* With nothing hit a list gives back the prepared words and has nothing to report; preparing again
 * changes nothing; whole rows and single units give the same. In every order of two codecs, on
 * every format that both know. */
static void check_nothing_hit(const fs_protect *protect, fs_rng *rng)
{
    enum { COLS = 21 };
    const fs_format *format = fs_protect_format(protect);
    fs_protection *protection;
    fs_coding_room room = {0};
    assert_ok(fs_protection_new(&protection, protect, 1));
    assert_ok(fs_coding_room_reserve(&room, protect, COLS));
    const fs_coding coding = fs_protection_coding(protection, 0);
    random_words(rng, format, room.prepared, COLS);
    fs_coding_prepare(&coding, room.prepared, COLS);
    memcpy(room.read, room.prepared, COLS * sizeof *room.read);
    fs_coding_prepare(&coding, room.read, COLS);
    assert_memory_equal(room.read, room.prepared, COLS * sizeof *room.read);
    if (fs_protection_learns(protection)) {
        memset(room.stored, 0, room.words * sizeof *room.stored);
        memcpy(room.stored, room.prepared, COLS * sizeof *room.stored);
        fs_coding_learn(protect, fs_protection_params(protection, 0), room.stored, COLS,
                        room.check);
    }
    const size_t unit = fs_coding_unit(protect, COLS), step[] = {COLS, unit};
    for (int way = 0; way < 2; way++) {
        fs_codec_report report = {0};
        for (size_t first = 0; first < COLS; first += step[way]) {
            const size_t count = COLS - first < step[way] ? COLS - first : step[way];
            memset(room.read, 0, room.words * sizeof *room.read);
            memcpy(room.read, room.prepared + first, count * sizeof *room.read);
            fs_coding_encode(&coding, room.read, count, room.check);
            fs_coding_decode(&coding, room.read, count, room.check, room.prepared + first,
                             room.scratch, &report);
            assert_memory_equal(room.read, room.prepared + first, count * sizeof *room.read);
        }
        assert_int_equal(report.corrected + report.detected + report.left, 0);
    }
    fs_coding_room_free(&room);
    fs_protection_destroy(&protection);
}

static void test_nothing_hit(void **state)
{
    fs_rng rng;
    fs_rng_init(&rng, 8, 2);
    unsigned lists = 0;
    for (int format = 0; format < FS_FORMAT_COUNT; format++) {
        for (unsigned a = 0; fs_codec_at(a) != NULL; a++) {
            for (unsigned b = 0; fs_codec_at(b) != NULL; b++) {
                const char *names[] = {fs_codec_at(a)->name,
                                       a == b ? "none" : fs_codec_at(b)->name};
                fs_protect protect;
                if (fs_protect_init_format(&protect, names, 2, (fs_guard){0},
                                           (fs_format_kind)format) != FS_OK)
                    continue;
                for (int i = 0; i < 20; i++) check_nothing_hit(&protect, &rng);
                lists++;
            }
        }
    }
    assert_true(lists > 400);
}

/* [cep, ep] and [ep, cep] hold values of 2 and more: clipped first, then coded. */
static void test_cep_and_ep(void **state)
{
    static const char *const orders[2][2] = {{"cep", "ep"}, {"ep", "cep"}};
    for (int o = 0; o < 2; o++) {
        fs_protect protect;
        assert_ok(fs_protect_init(&protect, orders[o], 2, (fs_guard){0}));
        const fs_coding coding = {&protect, NULL};
        uint32_t word = bits_of(-2.5f);
        fs_coding_prepare(&coding, &word, 1);
        assert_int_equal(word, 0xbfffff00u);
        fs_coding_encode(&coding, &word, 1, NULL);
        /* Bit 30: CEP in front clears its chunk, sign and all; EP in front mends it. */
        uint32_t read = word ^ 0x40000000u;
        fs_codec_report report = {0};
        fs_coding_decode(&coding, &read, 1, NULL, NULL, NULL, &report);
        assert_int_equal(read, o == 0 ? 0x1fffff00u : 0xbfffff00u);
        assert_int_equal(report.corrected, o == 1);
        assert_int_equal(report.detected, o == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ep_clips_and_masks),   cmocka_unit_test(test_guards),
        cmocka_unit_test(test_lists_that_cannot_be), cmocka_unit_test(test_costs),
        cmocka_unit_test(test_nothing_hit),          cmocka_unit_test(test_cep_and_ep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
