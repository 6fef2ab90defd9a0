/* Places, elements and draws of activations, by counting them out. */
#include "testing.h"

#include <math.h>

#include "activation.h"

static const fs_config bert = {.kind = FS_MODEL_BERT,
                               .task = FS_TASK_CLASSIFICATION,
                               .vocab = 50,
                               .positions = 20,
                               .segments = 2,
                               .d_model = 8,
                               .layers = 3,
                               .heads = 2,
                               .d_ff = 16,
                               .labels = 3,
                               .norm_eps = 1e-12};
static const fs_config gpt2 = {.kind = FS_MODEL_GPT2,
                               .task = FS_TASK_LM,
                               .vocab = 50,
                               .positions = 20,
                               .d_model = 8,
                               .layers = 3,
                               .heads = 2,
                               .d_ff = 16,
                               .tied = 1,
                               .norm_eps = 1e-5};

static const fs_form flip = {0};
static const fs_extent largest = {.length = 20, .scored = 19};

static fs_fault_space *space_of(fs_geometry **geometry, const fs_config *config,
                                fs_stage_set stages, fs_bits bits)
{
    fs_fault_space *space;
    assert_ok(fs_geometry_new(geometry, config));
    assert_ok(fs_activation_space_new(&space, *geometry, stages, NULL, 0, bits, largest));
    return space;
}

static void test_places_are_in_order(void **state)
{
    fs_place last = fs_place_of(FS_STAGE_EMBEDDING_OUT, 0);
    assert_int_equal(fs_place_layer(last), -1);
    for (uint32_t l = 0; l < FS_LAYERS_MAX; l++) {
        for (int s = FS_STAGE_ATTENTION_Q; s < FS_STAGE_LOGITS; s++) {
            fs_place place = fs_place_of((fs_stage)s, l);
            assert_true(place > last && fs_place_valid(place));
            assert_int_equal(fs_place_stage(place), s);
            assert_int_equal(fs_place_layer(place), l);
            last = place;
        }
    }
    fs_place logits = fs_place_of(FS_STAGE_LOGITS, 0);
    assert_true(logits > last && fs_place_valid(logits) && !fs_place_valid(last + 1u));
    assert_int_equal(fs_place_stage(logits), FS_STAGE_LOGITS);
    assert_int_equal(fs_place_layer(logits), -1);
}

static void test_words(void **state)
{
    for (int s = 0; s < FS_STAGE_COUNT; s++)
        assert_true(fs_stage_parse(fs_stage_name((fs_stage)s)) == 1u << s);
    assert_true(fs_stage_parse("all") == (1u << FS_STAGE_COUNT) - 1);
    assert_true(
        fs_stage_parse("boundaries") ==
        (fs_stage_parse("embedding.out") | fs_stage_parse("block.out") | fs_stage_parse("logits")));
    assert_true(fs_stage_parse("attention") == 0);
}

/* With every site hit, an input's list is every value that it has, and none that it has not. */
static void check_every_value(const fs_config *config, fs_extent extent)
{
    for (int s = 0; s < FS_STAGE_COUNT; s++) {
        fs_geometry *geometry;
        fs_fault_list list = {0};
        fs_fault_space *space = space_of(&geometry, config, 1u << s, 1u << 7);
        const fs_amount all = {FS_AMOUNT_RATE, 1};
        assert_ok(fs_activation_draw(&list, space, all, &flip, 1, 2, 3, extent));
        const int layered = s != FS_STAGE_EMBEDDING_OUT && s != FS_STAGE_LOGITS;
        const int weights = s == FS_STAGE_ATTENTION_SCORES || s == FS_STAGE_ATTENTION_PROBS;
        const int lm_logits = s == FS_STAGE_LOGITS && config->task == FS_TASK_LM;
        const uint32_t heads = weights ? config->heads : 1;
        size_t at = 0;
        for (uint32_t l = 0; l < (layered ? config->layers : 1); l++) {
            for (uint32_t head = 0; head < heads; head++) {
                const uint32_t rows = s == FS_STAGE_LOGITS && !lm_logits ? 1 : extent.length;
                for (uint32_t row = 0; row < rows; row++) {
                    uint32_t columns =
                        weights ? extent.length : fs_stage_width(config, (fs_stage)s);
                    if (weights && config->kind == FS_MODEL_GPT2) columns = row + 1;
                    if (lm_logits &&
                        (row + 1 + extent.scored < extent.length || row + 1 >= extent.length))
                        continue;
                    for (uint32_t column = 0; column < columns; column++, at++) {
                        uint64_t index[3] = {0};
                        assert_true(at < list.count);
                        const fs_fault *f = &list.items[at];
                        assert_int_equal(f->place, fs_place_of((fs_stage)s, l));
                        assert_int_equal(f->input, 3);
                        unsigned n = fs_stage_index(config, (fs_stage)s, f->element, index);
                        assert_int_equal(index[n - 1], column);
                        if (n > 1) assert_int_equal(index[n - 2], row);
                        if (n > 2) assert_int_equal(index[0], head);
                        assert_int_equal(n, weights ? 3 : rows == 1 && extent.length > 1 ? 1 : n);
                    }
                }
            }
        }
        assert_int_equal(at, list.count);
        fs_fault_list_free(&list);
        fs_fault_space_destroy(&space);
        fs_geometry_destroy(&geometry);
    }
}

static void test_every_value(void **state)
{
    const fs_extent extents[] = {{2, 1}, {7, 6}, {20, 5}};
    for (size_t i = 0; i < sizeof extents / sizeof extents[0]; i++) {
        check_every_value(&bert, extents[i]);
        check_every_value(&gpt2, extents[i]);
    }
}

/* What is drawn for an input depends on nothing but key, trial and input. */
static void test_draws_stand_alone(void **state)
{
    fs_geometry *geometry;
    fs_fault_space *space = space_of(&geometry, &bert, fs_stage_parse("all"), FS_BITS_ALL);
    const fs_amount amounts[] = {
        {FS_AMOUNT_COUNT, 6}, {FS_AMOUNT_RATE, 0.01}, {FS_AMOUNT_BER, 0.001}};
    const fs_extent extent = {9, 0};
    for (int a = 0; a < 3; a++) {
        fs_fault_list one = {0}, two = {0}, other = {0};
        assert_ok(fs_activation_draw(&one, space, amounts[a], &flip, 5, 1, 4, extent));
        for (uint32_t i = 0; i < 9; i++) {
            assert_ok(fs_activation_draw(&other, space, amounts[a], &flip, 5, 1, i, extent));
            if (i != 4 && other.count == one.count)
                assert_true(memcmp(&other.items[0].element, &one.items[0].element, 8) != 0 ||
                            other.items[0].bit != one.items[0].bit ||
                            other.items[0].place != one.items[0].place);
        }
        assert_ok(fs_activation_draw(&two, space, amounts[a], &flip, 5, 1, 4, extent));
        assert_true(one.count > 0);
        assert_int_equal(one.count, two.count);
        assert_memory_equal(one.items, two.items, one.count * sizeof *one.items);
        if (a == 0) assert_int_equal(one.count, 6);
        for (size_t i = 1; i < one.count; i++) {
            const fs_fault *x = &one.items[i - 1], *y = &one.items[i];
            assert_true(x->place < y->place || (x->place == y->place && x->element < y->element) ||
                        (x->place == y->place && x->element == y->element && x->bit < y->bit));
        }
        fs_fault_list_free(&one);
        fs_fault_list_free(&two);
        fs_fault_list_free(&other);
    }
    fs_fault_space_destroy(&space);
    fs_geometry_destroy(&geometry);
}

/* A count beyond an input's sites takes all of them. */
static void test_small_inputs(void **state)
{
    fs_geometry *geometry;
    fs_fault_list list = {0};
    fs_fault_space *space = space_of(&geometry, &bert, fs_stage_parse("logits"), FS_BITS_SIGN);
    const fs_amount many = {FS_AMOUNT_COUNT, 1000};
    assert_ok(fs_activation_draw(&list, space, many, &flip, 5, 1, 0, (fs_extent){4, 0}));
    assert_int_equal(list.count, 3);
    fs_fault_list_free(&list);
    fs_fault_space_destroy(&space);
    fs_geometry_destroy(&geometry);
}

/* Whether a fault of this pattern that was drawn at `from` reaches `to`, by their indices. */
static int reaches(const fs_config *config, fs_form_pattern pattern, const fs_fault *from,
                   const fs_fault *to)
{
    uint64_t a[3] = {0}, b[3] = {0};
    const fs_stage stage = fs_place_stage(from->place);
    if (from->place != to->place || from->bit != to->bit) return 0;
    const unsigned n = fs_stage_index(config, stage, from->element, a);
    assert_int_equal(n, fs_stage_index(config, stage, to->element, b));
    const uint64_t col = a[n - 1], row = n > 1 ? a[n - 2] : 0, head = n > 2 ? a[0] : 0;
    const uint64_t to_col = b[n - 1], to_row = n > 1 ? b[n - 2] : 0, to_head = n > 2 ? b[0] : 0;
    if (head != to_head) return 0;
    if (pattern.axis == FS_FORM_ELEMENT) return row == to_row && col == to_col;
    const uint64_t at = pattern.axis == FS_FORM_ROW ? col : row;
    const uint64_t other = pattern.axis == FS_FORM_ROW ? to_col : to_row;
    if (pattern.axis == FS_FORM_ROW ? row != to_row : col != to_col) return 0;
    return pattern.span == 0 || (other >= at && other - at < pattern.span);
}

/* Patterns stay in their place and head, and end where the input does: each single fault written
 * out over all values of the input. */
static void check_patterns(const fs_config *config, fs_extent extent)
{
    static const fs_form_pattern patterns[] = {{FS_FORM_ELEMENT, 0}, {FS_FORM_ROW, 3},
                                               {FS_FORM_ROW, 0},     {FS_FORM_COLUMN, 3},
                                               {FS_FORM_COLUMN, 0},  {FS_FORM_COLUMN, 1000}};
    fs_geometry *geometry;
    fs_fault_list all = {0}, starts = {0}, list = {0};
    fs_fault_space *space = space_of(&geometry, config, fs_stage_parse("all"), 1u << 7 | 1u << 9);
    const fs_amount every = {FS_AMOUNT_BER, 1};
    assert_ok(fs_activation_draw(&all, space, every, &flip, 5, 1, 4, extent));
    for (uint64_t t = 0; t < 40; t++) {
        for (int p = 0; p < 6; p++) {
            const fs_form form = {{FS_FORM_STUCK1, 0}, patterns[p]};
            const fs_amount amount =
                t % 2 == 0 ? (fs_amount){FS_AMOUNT_COUNT, 1} : (fs_amount){FS_AMOUNT_RATE, 0.01};
            size_t at = 0;
            assert_ok(fs_activation_draw(&starts, space, amount, &flip, 5, t, 4, extent));
            assert_ok(fs_activation_draw(&list, space, amount, &form, 5, t, 4, extent));
            for (size_t i = 0; i < all.count; i++) {
                int hit = 0;
                for (size_t s = 0; s < starts.count && !hit; s++)
                    hit = reaches(config, patterns[p], &starts.items[s], &all.items[i]);
                if (!hit) continue;
                assert_true(at < list.count);
                const fs_fault *f = &list.items[at++];
                assert_true(f->place == all.items[i].place && f->bit == all.items[i].bit);
                assert_true(f->element == all.items[i].element && f->input == 4);
                assert_int_equal(f->kind, FS_FAULT_STUCK1);
            }
            assert_int_equal(at, list.count);
        }
    }
    fs_fault_list_free(&all);
    fs_fault_list_free(&starts);
    fs_fault_list_free(&list);
    fs_fault_space_destroy(&space);
    fs_geometry_destroy(&geometry);
}

static void test_patterns(void **state)
{
    check_patterns(&bert, (fs_extent){7, 0});
    check_patterns(&gpt2, (fs_extent){7, 4});
}

/* Bursts and values take what an input has, and no more. */
static void test_forms(void **state)
{
    fs_geometry *geometry;
    fs_fault_list list = {0};
    fs_fault_space *space = space_of(&geometry, &bert, fs_stage_parse("logits"), FS_BITS_ALL);
    const fs_amount many = {FS_AMOUNT_COUNT, 1000};
    const fs_form burst = {.kind = {FS_FORM_BURST, 30}}, value = {.kind = {FS_FORM_VALUE, 0}};
    assert_ok(fs_activation_draw(&list, space, many, &burst, 5, 1, 0, (fs_extent){4, 0}));
    assert_int_equal(list.count, 3 * 32);
    assert_ok(fs_activation_draw(&list, space, many, &value, 5, 1, 0, (fs_extent){4, 0}));
    assert_int_equal(list.count, 3 * 32);
    for (size_t i = 0; i < list.count; i++) assert_true(list.items[i].kind != FS_FAULT_FLIP);
    fs_fault_list_free(&list);
    fs_fault_space_destroy(&space);
    fs_geometry_destroy(&geometry);
}

static void assert_binomial(double hits, double n, double p)
{
    double sigma = sqrt(n * p * (1 - p));
    if (fabs(hits - n * p) > 5 * sigma)
        fail_msg("%g hits of %g at %g: %g sigma off", hits, n, p, (hits - n * p) / sigma);
}

/* Faults come at their rate in every place, bits evenly, transient inputs evenly. */
static void test_rates(void **state)
{
    enum { DRAWS = 1500, INPUTS = 10 };
    fs_geometry *geometry;
    fs_fault_list list = {0};
    fs_fault_space *space = space_of(&geometry, &gpt2, fs_stage_parse("all"), FS_BITS_ALL);
    const fs_extent extent = {12, 11};
    double places[FS_STAGE_COUNT] = {0}, bits[32] = {0}, picked[INPUTS] = {0}, total = 0, bers = 0;
    double values = 0;
    for (uint64_t t = 0; t < DRAWS; t++) {
        const fs_amount rate = {FS_AMOUNT_RATE, 0.004}, ber = {FS_AMOUNT_BER, 0.0001};
        picked[fs_activation_pick(9, t, INPUTS)]++;
        assert_ok(fs_activation_draw(&list, space, rate, &flip, 9, t, 2, extent));
        for (size_t i = 0; i < list.count; i++) {
            places[fs_place_stage(list.items[i].place)]++;
            bits[list.items[i].bit]++;
        }
        total += (double)list.count;
        assert_ok(fs_activation_draw(&list, space, ber, &flip, 9, t, 2, extent));
        bers += (double)list.count;
    }
    for (int s = 0; s < FS_STAGE_COUNT; s++) {
        double own = (double)fs_stage_values(&gpt2, (fs_stage)s, extent);
        if (s != FS_STAGE_EMBEDDING_OUT && s != FS_STAGE_LOGITS) own *= gpt2.layers;
        assert_binomial(places[s], own * DRAWS, 0.004);
        values += own;
    }
    assert_binomial(total, values * DRAWS, 0.004);
    assert_binomial(bers, values * 32 * DRAWS, 0.0001);
    for (int b = 0; b < 32; b++) assert_binomial(bits[b], total, 1.0 / 32);
    for (int i = 0; i < INPUTS; i++) assert_binomial(picked[i], DRAWS, 1.0 / INPUTS);
    fs_fault_list_free(&list);
    fs_fault_space_destroy(&space);
    fs_geometry_destroy(&geometry);
}

static void test_selection(void **state)
{
    fs_geometry *geometry;
    fs_fault_space *space;
    const int layer[1] = {1}, outside[1] = {-1};
    assert_ok(fs_geometry_new(&geometry, &bert));
    const fs_stage_set all = fs_stage_parse("all");
    assert_ok(fs_activation_space_new(&space, geometry, all, layer, 1, FS_BITS_ALL, largest));
    assert_int_equal(space->place_count, 10);
    assert_int_equal(fs_place_layer(space->places[9]), 1);
    fs_fault_space_destroy(&space);
    assert_ok(fs_activation_space_new(&space, geometry, all, outside, 1, FS_BITS_ALL, largest));
    assert_int_equal(space->place_count, 2);
    assert_true(space->values == 20 * 8 + 3);
    fs_fault_space_destroy(&space);
    assert_status(fs_activation_space_new(&space, geometry, fs_stage_parse("logits"), layer, 1,
                                          FS_BITS_ALL, largest),
                  FS_ECONFIG);
    assert_status(fs_activation_space_new(&space, geometry, all, NULL, 0, 0, largest), FS_ECONFIG);
    fs_geometry_destroy(&geometry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places_are_in_order),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_every_value),
        cmocka_unit_test(test_draws_stand_alone),
        cmocka_unit_test(test_small_inputs),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_selection),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
