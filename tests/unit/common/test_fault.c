#include "testing.h"

#include <math.h>

#include "fault.h"

/* A geometry with what matters: a matrix, a vector, and a fused tensor of two column slices. */
static fs_tensor tensors[] = {
    {.name = "embedding", .rank = 2, .rows = 50, .cols = 8},
    {.name = "fused", .rank = 2, .rows = 10, .cols = 6},
    {.name = "bias", .rank = 1, .rows = 1, .cols = 5},
};
static fs_slice slices[] = {
    {FS_EMBEDDING_TOKEN, -1, 0, 0, 8, 400},
    {FS_ATTENTION_QUERY, 0, 1, 0, 2, 20},
    {FS_ATTENTION_KEY, 0, 1, 2, 4, 40},
    {FS_MLP_UP, 1, 2, 0, 5, 5},
};
static fs_geometry geometry = {.config = {.layers = 2},
                               .tensors = tensors,
                               .tensor_count = 3,
                               .slices = slices,
                               .slice_count = 4,
                               .values = 465};

static const fs_component_set everything = ~0u;

static fs_fault_space *space_of(fs_component_set components, fs_bits bits)
{
    fs_fault_space *space;
    assert_ok(fs_fault_space_new(&space, &geometry, components, NULL, 0, bits));
    return space;
}

static void check_list(const fs_fault_list *list, const fs_fault_space *space)
{
    for (size_t i = 0; i < list->count; i++) {
        const fs_fault *f = &list->items[i];
        assert_true(space->bits >> f->bit & 1u);
        const fs_slice *slice = &slices[f->slice];
        assert_int_equal(slice->tensor, f->tensor);
        uint64_t col = f->element % tensors[f->tensor].cols;
        assert_true(col >= slice->col_first && col < slice->col_first + slice->cols);
        assert_true(f->element / tensors[f->tensor].cols < tensors[f->tensor].rows);
        if (i == 0) continue;
        const fs_fault *g = &list->items[i - 1];
        int before = g->tensor < f->tensor ||
                     (g->tensor == f->tensor &&
                      (g->element < f->element || (g->element == f->element && g->bit < f->bit)));
        assert_true(before); /* sorted, and no site twice */
    }
}

/* Every site of a small space is hit equally often by single flips. */
static void test_count_is_uniform(void **state)
{
    enum { TRIALS = 60000 };
    fs_fault_space *space = space_of(1u << FS_ATTENTION_KEY | 1u << FS_MLP_UP, FS_BITS_SIGN | 7);
    assert_int_equal(space->values, 45);
    unsigned hits[3][64][32] = {{{0}}};
    fs_fault_list list = {0};
    for (uint64_t t = 0; t < TRIALS; t++) {
        assert_ok(
            fs_fault_draw(&list, space, (fs_amount){FS_AMOUNT_COUNT, 1}, FS_FAULT_FLIP, 9, t));
        assert_int_equal(list.count, 1);
        check_list(&list, space);
        hits[list.items[0].tensor][list.items[0].element][list.items[0].bit]++;
    }
    double chi2 = 0, expected = TRIALS / 180.0;
    unsigned sites = 0;
    for (int t = 0; t < 3; t++) {
        for (int e = 0; e < 64; e++) {
            for (int b = 0; b < 32; b++) {
                if (hits[t][e][b] == 0) continue;
                sites++;
                chi2 += (hits[t][e][b] - expected) * (hits[t][e][b] - expected) / expected;
            }
        }
    }
    assert_int_equal(sites, 180);
    assert_true(chi2 < 243); /* 179 degrees of freedom, p = 0.001 */
    fs_fault_list_free(&list);
    fs_fault_space_destroy(&space);
}

static void test_count_is_exact_and_distinct(void **state)
{
    fs_fault_space *space = space_of(1u << FS_MLP_UP, FS_BITS_ALL);
    fs_fault_list list = {0};
    for (int k = 0; k <= 160; k++) {
        assert_ok(
            fs_fault_draw(&list, space, (fs_amount){FS_AMOUNT_COUNT, k}, FS_FAULT_FLIP, 9, 3));
        assert_int_equal(list.count, k);
        check_list(&list, space);
    }
    assert_status(
        fs_fault_draw(&list, space, (fs_amount){FS_AMOUNT_COUNT, 161}, FS_FAULT_FLIP, 9, 3),
        FS_ECONFIG);
    fs_fault_list_free(&list);
    fs_fault_space_destroy(&space);
}

/* Mean and variance of a binomial, and at most one bit in a value for a rate. */
static void check_binomial(fs_amount_kind kind, double p, double n)
{
    enum { TRIALS = 4000 };
    fs_fault_space *space = space_of(everything, FS_BITS_EXPONENT);
    fs_fault_list list = {0};
    double sum = 0, squares = 0;
    for (uint64_t t = 0; t < TRIALS; t++) {
        assert_ok(fs_fault_draw(&list, space, (fs_amount){kind, p}, FS_FAULT_FLIP, 77, t));
        check_list(&list, space);
        for (size_t i = 1; kind == FS_AMOUNT_RATE && i < list.count; i++) {
            assert_false(list.items[i].tensor == list.items[i - 1].tensor &&
                         list.items[i].element == list.items[i - 1].element);
        }
        sum += (double)list.count;
        squares += (double)list.count * (double)list.count;
    }
    double mean = sum / TRIALS, variance = squares / TRIALS - mean * mean;
    double want = n * p, spread = n * p * (1 - p);
    assert_true(fabs(mean - want) <= 4 * sqrt(spread / TRIALS) + 1e-12);
    assert_true(fabs(variance - spread) <= 0.15 * spread + 1e-12);
    fs_fault_list_free(&list);
    fs_fault_space_destroy(&space);
}

static void test_rates_are_binomial(void **state)
{
    check_binomial(FS_AMOUNT_RATE, 0.01, 465);
    check_binomial(FS_AMOUNT_RATE, 0.6, 465);
    check_binomial(FS_AMOUNT_RATE, 1, 465);
    check_binomial(FS_AMOUNT_RATE, 0, 465);
    check_binomial(FS_AMOUNT_BER, 0.002, 465 * 8);
    check_binomial(FS_AMOUNT_BER, 1, 465 * 8);
}

/* Drawing depends on key and trial only; frozen values keep a release from changing campaigns. */
static void test_drawing_is_frozen(void **state)
{
    fs_fault_space *space = space_of(everything, FS_BITS_ALL);
    fs_fault_list a = {0}, b = {0};
    fs_amount rate = {FS_AMOUNT_RATE, 0.05};
    assert_ok(fs_fault_draw(&a, space, rate, FS_FAULT_FLIP, 0xabcdef, 12));
    assert_ok(fs_fault_draw(&b, space, rate, FS_FAULT_FLIP, 0xabcdef, 11));
    assert_true(fs_fault_list_checksum(&a) != fs_fault_list_checksum(&b));
    assert_ok(fs_fault_draw(&b, space, rate, FS_FAULT_FLIP, 0xabcdef, 12));
    assert_int_equal(a.count, b.count);
    assert_true(fs_fault_list_checksum(&a) == fs_fault_list_checksum(&b));
    assert_int_equal(a.count, 35);
    assert_true(fs_fault_list_checksum(&a) == 0x6d6c522fcbaa2ef9u);
    fs_fault_list_free(&a);
    fs_fault_list_free(&b);
    fs_fault_space_destroy(&space);
}

static void test_kinds(void **state)
{
    const fs_fault flip = {.bit = 30, .kind = FS_FAULT_FLIP};
    const fs_fault zero = {.bit = 30, .kind = FS_FAULT_STUCK0};
    const fs_fault one = {.bit = 30, .kind = FS_FAULT_STUCK1};
    assert_int_equal(fs_fault_apply(flip, 0x3f800000u), 0x7f800000u);
    assert_int_equal(fs_fault_apply(flip, 0x7f800000u), 0x3f800000u);
    assert_int_equal(fs_fault_apply(zero, 0x7f800000u), 0x3f800000u);
    assert_int_equal(fs_fault_apply(zero, 0x3f800000u), 0x3f800000u);
    assert_int_equal(fs_fault_apply(one, 0x3f800000u), 0x7f800000u);
}

static void test_selection(void **state)
{
    fs_fault_space *space;
    const int layer0[] = {0}, layer1[] = {1}, none[] = {-1};
    assert_ok(fs_fault_space_new(&space, &geometry, everything, layer0, 1, FS_BITS_ALL));
    assert_int_equal(space->values, 60);
    fs_fault_space_destroy(&space);
    assert_ok(fs_fault_space_new(&space, &geometry, everything, none, 1, FS_BITS_ALL));
    assert_int_equal(space->values, 400);
    fs_fault_space_destroy(&space);
    assert_status(
        fs_fault_space_new(&space, &geometry, 1u << FS_ATTENTION_KEY, layer1, 1, FS_BITS_ALL),
        FS_ECONFIG);
    assert_null(space);
    assert_status(fs_fault_space_new(&space, &geometry, everything, NULL, 0, 0), FS_ECONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count_is_uniform),
        cmocka_unit_test(test_count_is_exact_and_distinct),
        cmocka_unit_test(test_rates_are_binomial),
        cmocka_unit_test(test_drawing_is_frozen),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_selection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
