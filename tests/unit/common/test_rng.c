#include "testing.h"

#include "rng.h"

/* Random123's kat_vectors, philox4x32-10. */
static void test_published_vectors(void **state)
{
    static const struct {
        uint32_t counter[4], key[2], expected[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t out[4];
        fs_philox4x32(out, rows[i].counter, rows[i].key);
        assert_memory_equal(out, rows[i].expected, sizeof out);
    }
}

/* A stream is a function of key, stream and position alone. */
static void test_streams_are_positions(void **state)
{
    fs_rng a, b;
    fs_rng_init(&a, 0x1234567890abcdef, 7);
    for (int i = 0; i < 40; i++) (void)fs_rng_u32(&a);
    fs_rng_init(&b, 0x1234567890abcdef, 7);
    b.draw = 10;
    for (int i = 0; i < 16; i++) assert_int_equal(fs_rng_u32(&a), fs_rng_u32(&b));
    uint32_t block[4];
    const uint32_t counter[4] = {14, 0, 7, 0}, key[2] = {0x90abcdef, 0x12345678};
    fs_philox4x32(block, counter, key);
    for (int i = 0; i < 4; i++) assert_int_equal(fs_rng_u32(&a), block[i]);
}

static void test_below_is_uniform(void **state)
{
    enum { BOUND = 7, DRAWS = 70000 };
    unsigned counts[BOUND] = {0};
    fs_rng rng;
    fs_rng_init(&rng, 1, 2);
    for (int i = 0; i < DRAWS; i++) counts[fs_rng_below(&rng, BOUND)]++;
    double chi2 = 0, expected = (double)DRAWS / BOUND;
    for (int i = 0; i < BOUND; i++) {
        chi2 += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    assert_true(chi2 < 22.46); /* 6 degrees of freedom, p = 0.001 */
    for (int i = 0; i < 100; i++) assert_int_equal(fs_rng_below(&rng, 1), 0);
    /* A bound just above 2^63 rejects half of all words; none may pass it. */
    for (int i = 0; i < 1000; i++) assert_true(fs_rng_below(&rng, (1ull << 63) + 1) <= 1ull << 63);
}

static void test_unit_interval(void **state)
{
    fs_rng rng;
    fs_rng_init(&rng, 3, 4);
    double sum = 0;
    for (int i = 0; i < 100000; i++) {
        double u = fs_rng_unit(&rng);
        assert_true(u > 0 && u <= 1);
        sum += u;
    }
    assert_true(sum / 100000 > 0.497 && sum / 100000 < 0.503);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_vectors),
        cmocka_unit_test(test_streams_are_positions),
        cmocka_unit_test(test_below_is_uniform),
        cmocka_unit_test(test_unit_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
