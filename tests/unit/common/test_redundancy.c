#include "testing.h"

#include <math.h>

#include "config.h"
#include "redundancy.h"

/* BERT, or GPT-2 whose fused matrix has three slices, of width 10. */
static fs_geometry *geometry_of(fs_model_kind kind)
{
    fs_config config = {.kind = kind,
                        .task = FS_TASK_CLASSIFICATION,
                        .layers = 2,
                        .heads = 2,
                        .d_model = 10,
                        .d_ff = 21,
                        .vocab = 13,
                        .positions = 8,
                        .segments = kind == FS_MODEL_BERT ? 2 : 0,
                        .labels = 3};
    fs_geometry *geometry;
    assert_ok(fs_geometry_new(&geometry, &config));
    return geometry;
}

static fs_protect list_of(const char *first, const char *second)
{
    const char *names[] = {first, second};
    fs_protect protect;
    assert_ok(fs_protect_init(&protect, names, 2, (fs_guard){0}));
    return protect;
}

static fs_fault_space *space_of(const fs_geometry *geometry, const char *components)
{
    fs_fault_space *space;
    assert_ok(
        fs_fault_space_new(&space, geometry, fs_component_parse(components), NULL, 0, FS_BITS_ALL));
    return space;
}

static fs_check_keys keys(uint64_t key)
{
    return (fs_check_keys){key, key + 1000};
}

/* At rate 1 every redundant bit of the whole model is hit once, in order, inside its row. */
static void test_every_bit_once(void **state)
{
    for (int kind = 0; kind < 2; kind++) {
        fs_geometry *geometry = geometry_of(kind ? FS_MODEL_GPT2 : FS_MODEL_BERT);
        fs_fault_space *space = space_of(geometry, "all");
        const fs_protect protect = list_of("secded", "scrub");
        fs_check_list list = {0};
        uint64_t expected = 0;
        for (size_t t = 0; t < geometry->tensor_count; t++) {
            const fs_tensor *tensor = &geometry->tensors[t];
            expected += (uint64_t)tensor->rows * ((tensor->cols + 1) / 2 * 8 + 64);
        }
        assert_int_equal(fs_check_sites(space, &protect), expected);
        assert_ok(fs_check_draw(&list, space, &protect, 1, FS_FORM_FLIP, keys(5), 0));
        assert_int_equal(list.count, expected);
        for (size_t i = 0; i < list.count; i++) {
            const fs_check_fault *f = &list.items[i];
            const fs_tensor *tensor = &geometry->tensors[f->tensor];
            const fs_slice *slice = &geometry->slices[f->slice];
            uint64_t col = f->element % tensor->cols;
            assert_true(f->element < (uint64_t)tensor->rows * tensor->cols);
            assert_true(f->bit < (f->codec == 0 ? 8 : 64));
            assert_true(f->codec == 0 ? col % 2 == 0 : col == 0);
            assert_int_equal(slice->tensor, f->tensor);
            assert_true(col >= slice->col_first && col < slice->col_first + slice->cols);
            if (i == 0) continue;
            const fs_check_fault *g = f - 1;
            assert_true(g->tensor < f->tensor ||
                        (g->tensor == f->tensor &&
                         (g->element < f->element ||
                          (g->element == f->element &&
                           (g->codec < f->codec || (g->codec == f->codec && g->bit < f->bit))))));
        }
        fs_check_list_free(&list);
        fs_fault_space_destroy(&space);
        fs_geometry_destroy(&geometry);
    }
}

/* A small rate hits as many as it says, another trial hits others, the same one the same. */
static void test_rate(void **state)
{
    enum { TRIALS = 4000 };
    fs_geometry *geometry = geometry_of(FS_MODEL_BERT);
    fs_fault_space *space = space_of(geometry, "attention");
    const fs_protect protect = list_of("tmr-exponent", "secded-exponent");
    const double rate = 0.003, sites = (double)fs_check_sites(space, &protect);
    fs_check_list list = {0}, again = {0};
    double sum = 0;
    uint64_t by_codec[2] = {0};
    for (uint64_t t = 0; t < TRIALS; t++) {
        assert_ok(fs_check_draw(&list, space, &protect, rate, FS_FORM_FLIP, keys(77), t));
        assert_ok(fs_check_draw(&again, space, &protect, rate, FS_FORM_FLIP, keys(77), t));
        assert_int_equal(list.count, again.count);
        for (size_t i = 0; i < list.count; i++) {
            assert_int_equal(list.items[i].element, again.items[i].element);
            assert_int_equal(list.items[i].bit, again.items[i].bit);
            by_codec[list.items[i].codec]++;
        }
        sum += (double)list.count;
    }
    double mean = rate * sites * TRIALS, sigma = sqrt(mean * (1 - rate));
    assert_true(fabs(sum - mean) < 5 * sigma);
    assert_true(by_codec[0] > by_codec[1] && by_codec[1] > 0);
    fs_check_list_free(&list);
    fs_check_list_free(&again);
    fs_fault_space_destroy(&space);
    fs_geometry_destroy(&geometry);
}

/* Bursts come as single flips, random values as bits that are stuck evenly at 0 and 1; the bits
 * that are hit at a rate do not depend on it but for random values, which draw more. */
static void test_kinds(void **state)
{
    static const fs_form_word words[] = {FS_FORM_FLIP, FS_FORM_STUCK0, FS_FORM_STUCK1,
                                         FS_FORM_BURST, FS_FORM_VALUE};
    fs_geometry *geometry = geometry_of(FS_MODEL_BERT);
    fs_fault_space *space = space_of(geometry, "all");
    const fs_protect protect = list_of("secded", "none");
    const double sites = (double)fs_check_sites(space, &protect), rate = 0.2;
    fs_check_list list = {0};
    for (int w = 0; w < 5; w++) {
        double kinds[3] = {0}, total = 0, pairs = 0;
        for (uint64_t t = 0; t < 20; t++) {
            assert_ok(fs_check_draw(&list, space, &protect, rate, words[w], keys(78), t));
            for (size_t i = 0; i < list.count; i++) {
                kinds[list.items[i].kind]++;
                if (i > 0) pairs += list.items[i].kind == list.items[i - 1].kind;
            }
            total += (double)list.count;
        }
        const double mean = 20 * sites * rate;
        assert_true(fabs(total - mean) < 5 * sqrt(mean * (1 - rate)));
        if (words[w] == FS_FORM_VALUE) {
            assert_true(kinds[FS_FAULT_FLIP] == 0);
            assert_true(fabs(kinds[FS_FAULT_STUCK0] - total / 2) < 5 * sqrt(total / 4));
            assert_true(fabs(pairs - total / 2) < 20 + 5 * sqrt(total / 4));
        } else {
            assert_true(kinds[words[w] == FS_FORM_BURST ? FS_FORM_FLIP : words[w]] == total);
        }
    }
    fs_check_list_free(&list);
    fs_fault_space_destroy(&space);
    fs_geometry_destroy(&geometry);
}

static void test_nothing_to_hit(void **state)
{
    fs_geometry *geometry = geometry_of(FS_MODEL_GPT2);
    fs_fault_space *space = space_of(geometry, "all");
    const fs_protect inside = list_of("cep", "ep"), beside = list_of("secded", "none");
    fs_check_list list = {0};
    assert_int_equal(fs_check_sites(space, &inside), 0);
    assert_ok(fs_check_draw(&list, space, &inside, 1, FS_FORM_FLIP, keys(1), 1));
    assert_int_equal(list.count, 0);
    assert_ok(fs_check_draw(&list, space, &beside, 0, FS_FORM_FLIP, keys(1), 1));
    assert_int_equal(list.count, 0);
    fs_check_list_free(&list);
    fs_fault_space_destroy(&space);
    fs_geometry_destroy(&geometry);
}

static void test_apply(void **state)
{
    uint8_t bytes[8] = {0};
    fs_check_fault fault = {.bit = 61, .kind = FS_FAULT_STUCK1};
    fs_check_apply(&fault, bytes);
    fs_check_apply(&fault, bytes);
    assert_int_equal(bytes[7], 0x20);
    fault.kind = FS_FAULT_FLIP;
    fault.bit = 60;
    fs_check_apply(&fault, bytes);
    assert_int_equal(bytes[7], 0x30);
    fault.kind = FS_FAULT_STUCK0;
    fault.bit = 61;
    fs_check_apply(&fault, bytes);
    assert_int_equal(bytes[7], 0x10);
    assert_int_equal(bytes[0] | bytes[6], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_bit_once), cmocka_unit_test(test_rate),
        cmocka_unit_test(test_kinds),          cmocka_unit_test(test_nothing_to_hit),
        cmocka_unit_test(test_apply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
