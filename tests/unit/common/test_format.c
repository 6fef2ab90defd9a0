#include "testing.h"

#include <math.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "format.h"
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

/* What a 16-bit word is by the formula of IEEE 754: (-1)^s 2^(e - bias) 1.m, in double. */
static double formula(uint32_t word, int exponent_bits, int mantissa_bits)
{
    int exponent = (int)(word >> mantissa_bits & ((1u << exponent_bits) - 1));
    int mantissa = (int)(word & ((1u << mantissa_bits) - 1));
    int bias = (1 << (exponent_bits - 1)) - 1;
    double sign = word >> 15 ? -1.0 : 1.0;
    if (exponent == (1 << exponent_bits) - 1) return mantissa == 0 ? sign * INFINITY : NAN;
    if (exponent == 0) return sign * ldexp(mantissa, 1 - bias - mantissa_bits);
    return sign * ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

static void check_properties(const fs_format *f, int exponent_bits)
{
    uint32_t word = f->bits == 32 ? 0xffffffffu : (1u << f->bits) - 1;
    assert_int_equal(f->sign ^ f->exponent ^ f->mantissa, word);
    assert_int_equal(f->sign | f->exponent | f->mantissa, word);
    assert_int_equal(f->sign, 1u << (f->bits - 1));
    assert_int_equal(f->mantissa, (1u << f->mantissa_bits) - 1);
    assert_int_equal(__builtin_popcount(f->exponent), exponent_bits);
    assert_int_equal(f->top_exponent, exponent_bits == 0 ? 0 : f->sign >> 1);
    assert_ptr_equal(fs_format_find(f->name), f);
}

static void test_properties(void **state)
{
    const int exponent_bits[FS_FORMAT_COUNT] = {8, 5, 8, 0};
    for (int k = 0; k < FS_FORMAT_COUNT; k++) {
        const fs_format *f = fs_format_of((fs_format_kind)k);
        assert_int_equal(f->kind, k);
        check_properties(f, exponent_bits[k]);
    }
    assert_null(fs_format_find("fp8"));
    assert_null(fs_format_find(""));
    const fs_format *fp32 = fs_format_find("fp32");
    assert_int_equal(fs_format_narrow(fp32, 0x7f800001u), 0x7f800001u);
    assert_int_equal(fs_format_widen(fp32, 0xdeadbeefu), 0xdeadbeefu);
}

/* Every 16-bit word widens to the value of the formula and comes back as itself. */
static void widen_all(const char *name, int exponent_bits, int mantissa_bits)
{
    const fs_format *f = fs_format_find(name);
    for (uint32_t word = 0; word < 65536; word++) {
        uint32_t wide = fs_format_widen(f, word);
        double expected = formula(word, exponent_bits, mantissa_bits);
        assert_int_equal(wide >> 31, word >> 15);
        if (isnan(expected)) {
            /* Sign, quiet bit and payload, at the top of the longer mantissa. */
            assert_true(isnan(value_of(wide)));
            assert_int_equal(wide & 0x7fffffu, (word & f->mantissa) << (23 - mantissa_bits));
        } else {
            assert_true((double)value_of(wide) == expected);
        }
        assert_int_equal(fs_format_narrow(f, wide), word);
    }
}

static void test_all_words_widen(void **state)
{
    widen_all("fp16", 5, 10);
    widen_all("bf16", 8, 7);
}

/* Between two neighbours a value goes to the nearer, from the middle to the even one: all pairs,
 * both signs. The step beyond the largest finite value is treated as a neighbour, as IEEE 754
 * says, and is Inf. */
static void round_all(const char *name, int exponent_bits, int mantissa_bits)
{
    const fs_format *f = fs_format_find(name);
    uint32_t inf = f->exponent;
    for (uint32_t low = 0; low < inf; low++) {
        double a = formula(low, exponent_bits, mantissa_bits);
        double below = low == 0 ? 0 : formula(low - 1, exponent_bits, mantissa_bits);
        double b = low + 1 < inf ? formula(low + 1, exponent_bits, mantissa_bits) : 2 * a - below;
        uint32_t middle = bits_of((float)((a + b) / 2));
        if (name[0] == 'b' && low + 1 == inf) middle = 0x7f7f8000u; /* beyond it a double ends */
        assert_true((double)value_of(middle) == (a + b) / 2);
        uint32_t even = low & 1u ? low + 1 : low;
        for (uint32_t sign = 0; sign < 2; sign++) {
            uint32_t s = sign << 15, wide = sign << 31;
            assert_int_equal(fs_format_narrow(f, wide | (middle - 1)), s | low);
            assert_int_equal(fs_format_narrow(f, wide | middle), s | even);
            assert_int_equal(fs_format_narrow(f, wide | (middle + 1)), s | (low + 1));
        }
    }
}

static void test_all_middles_round(void **state)
{
    round_all("fp16", 5, 10);
    round_all("bf16", 8, 7);
}

static void test_extremes(void **state)
{
    const fs_format *fp16 = fs_format_find("fp16"), *bf16 = fs_format_find("bf16");
    assert_int_equal(fs_format_narrow(fp16, bits_of(65504.0f)), 0x7bff);
    assert_int_equal(fs_format_narrow(fp16, bits_of(65519.996f)), 0x7bff);
    assert_int_equal(fs_format_narrow(fp16, bits_of(65520.0f)), 0x7c00);
    assert_int_equal(fs_format_narrow(fp16, bits_of(-3e38f)), 0xfc00);
    assert_int_equal(fs_format_narrow(fp16, bits_of(0x1p-25f)), 0);
    assert_int_equal(fs_format_narrow(fp16, bits_of(0x1.000002p-25f)), 1);
    assert_int_equal(fs_format_narrow(fp16, 0x80000001u), 0x8000);
    assert_int_equal(fs_format_narrow(bf16, 0x7f7fffffu), 0x7f80);
    assert_int_equal(fs_format_narrow(bf16, 0x7f800000u), 0x7f80);
    /* A payload that does not fit leaves a quiet NaN, never Inf. */
    assert_int_equal(fs_format_narrow(fp16, 0x7f800001u), 0x7e00);
    assert_int_equal(fs_format_narrow(bf16, 0xff800001u), 0xffc0);
    assert_int_equal(fs_format_narrow(bf16, 0x7fffffffu), 0x7fff);
}

#if defined(__x86_64__)
__attribute__((target("f16c"))) static uint32_t narrow_by_processor(uint32_t bits)
{
    return (uint32_t)_cvtss_sh(value_of(bits), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
#endif

/* The processor's own conversion; it makes every NaN quiet, and is the same otherwise. */
static void test_processor_agrees(void **state)
{
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("f16c")) skip();
    const fs_format *fp16 = fs_format_find("fp16");
    fs_rng rng;
    fs_rng_init(&rng, 16, 1);
    for (int i = 0; i < 1000000; i++) {
        uint32_t word = fs_rng_u32(&rng);
        /* Half of them where fp16 has values: exponents 2^-27 to 2^17. */
        if (i & 1) word = (word & 0x807fffffu) | (100 + fs_rng_u32(&rng) % 45) << 23;
        uint32_t got = fs_format_narrow(fp16, word);
        if (isnan(value_of(word))) got |= 0x200u;
        assert_int_equal(got, narrow_by_processor(word));
    }
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_properties),        cmocka_unit_test(test_all_words_widen),
        cmocka_unit_test(test_all_middles_round), cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_processor_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
