#include "testing.h"

#include <math.h>

#include "number.h"
#include "rng.h"

static void known_forms(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},
                 {-0.0, "0"},
                 {1, "1"},
                 {100000, "100000"},
                 {0.001, "0.001"},
                 {1e-6, "1e-6"},
                 {0.1, "0.1"},
                 {1e20, "1e20"},
                 {1.0 / 3, "0.3333333333333333"},
                 {2.5e-10, "2.5e-10"},
                 {268435456, "268435456"},
                 {5e-324, "5e-324"},
                 {-0.05, "-0.05"},
                 {123456.75, "123456.75"}};
    char text[FS_NUMBER_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fs_number_text(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
    fs_number_text_float(0.1f, text);
    assert_string_equal(text, "0.1");
    fs_number_text_float(3.4028235e38f, text);
    assert_string_equal(text, "3.4028235e38");
}

static void random_bits_read_back(void **state)
{
    fs_rng rng;
    char text[FS_NUMBER_BYTES];
    (void)state;
    fs_rng_init(&rng, 7, 0);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = fs_rng_u64(&rng);
        double value;
        float single;
        uint32_t low = (uint32_t)bits;
        memcpy(&value, &bits, sizeof value);
        memcpy(&single, &low, sizeof single);
        if (isfinite(value)) {
            fs_number_text(value, text);
            assert_true(strtod(text, NULL) == value);
        }
        if (isfinite(single)) {
            fs_number_text_float(single, text);
            assert_true((float)strtod(text, NULL) == single);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_forms),
        cmocka_unit_test(random_bits_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
