/* What steps of a fine-tuning trial hit: independent of each other and of their order. */
#include "testing.h"

#include <math.h>

#include "limits.h"
#include "tuning.h"

typedef struct world {
    fs_geometry *geometry;
    fs_fault_space *space;
} world;

static void world_open(world *self)
{
    const fs_config config = {.kind = FS_MODEL_GPT2,
                              .task = FS_TASK_LM,
                              .vocab = 50,
                              .positions = 8,
                              .d_model = 16,
                              .layers = 2,
                              .heads = 2,
                              .d_ff = 40,
                              .tied = 1};
    assert_ok(fs_geometry_new(&self->geometry, &config));
    assert_ok(fs_fault_space_new(&self->space, self->geometry, fs_component_parse("mlp"), NULL, 0,
                                 FS_BITS_EXPONENT));
}

static void world_close(world *self)
{
    fs_fault_space_destroy(&self->space);
    fs_geometry_destroy(&self->geometry);
}

static const fs_form flip;
static const fs_amount three = {FS_AMOUNT_COUNT, 3};

static void draw(const world *w, uint64_t trial, uint64_t step, fs_tune_array array,
                 fs_fault_list *out)
{
    assert_ok(fs_tune_draw(out, w->space, three, &flip, 99, trial, step, array));
    assert_int_equal(out->count, 3);
    for (size_t i = 0; i < out->count; i++) {
        const fs_fault *f = &out->items[i];
        const fs_slice *slice = &w->geometry->slices[f->slice];
        assert_int_equal(fs_component_group(slice->component), FS_GROUP_MLP);
        assert_true(f->bit >= 23 && f->bit <= 30 && f->tensor == slice->tensor);
    }
}

/* Every (trial, step, array) has a list of its own, whatever was drawn before it. */
static void lists_differ_and_have_no_order(void **state)
{
    enum { TRIALS = 5, STEPS = 40 };
    static uint64_t sums[TRIALS][STEPS][FS_TUNE_ARRAY_COUNT];
    fs_fault_list list = {0};
    world w;
    world_open(&w);
    for (uint64_t t = 0; t < TRIALS; t++)
        for (uint64_t s = 0; s < STEPS; s++)
            for (fs_tune_array a = 0; a < FS_TUNE_ARRAY_COUNT; a++) {
                draw(&w, t, s, a, &list);
                sums[t][s][a] = fs_fault_list_checksum(&list);
            }
    const uint64_t *flat = &sums[0][0][0];
    const size_t count = sizeof sums / sizeof sums[0][0][0];
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++) assert_true(flat[i] != flat[j]);
    for (uint64_t s = STEPS; s-- > 0;) {
        draw(&w, 3, s, FS_TUNE_ADAM_V, &list);
        assert_true(fs_fault_list_checksum(&list) == sums[3][s][FS_TUNE_ADAM_V]);
    }
    fs_fault_list_free(&list);
    world_close(&w);
}

/* Steps are independent: over many of them every value is hit as often as the others. */
static void values_are_hit_evenly_over_steps(void **state)
{
    enum { STEPS = 20000 };
    fs_fault_list list = {0};
    world w;
    world_open(&w);
    const uint64_t values = w.space->values;
    unsigned *hits = calloc(values, sizeof *hits);
    assert_non_null(hits);
    uint64_t first[FS_TENSORS_MAX] = {0}, next = 0;
    for (size_t i = 0; i < w.space->slice_count; i++) {
        first[w.space->slices[i]] = next;
        next += w.geometry->slices[w.space->slices[i]].values;
    }
    assert_int_equal(next, values);
    for (uint64_t s = 0; s < STEPS; s++) {
        draw(&w, 0, s, FS_TUNE_GRADIENTS, &list);
        for (size_t i = 0; i < list.count; i++)
            hits[first[list.items[i].slice] + list.items[i].element]++;
    }
    const double each = 3.0 * STEPS / (double)values, freedom = (double)values - 1;
    double chi = 0;
    for (uint64_t v = 0; v < values; v++) chi += (hits[v] - each) * (hits[v] - each) / each;
    assert_true(each > 10 && fabs(chi - freedom) < 5 * sqrt(2 * freedom));
    free(hits);
    fs_fault_list_free(&list);
    world_close(&w);
}

static void a_transient_trial_picks_each_step_alike(void **state)
{
    enum { TRIALS = 28000, STEPS = 7 };
    unsigned picked[STEPS] = {0};
    double chi = 0;
    for (uint64_t t = 0; t < TRIALS; t++) {
        const uint64_t step = fs_tune_pick(5, t, STEPS);
        assert_true(step < STEPS);
        picked[step]++;
    }
    for (unsigned i = 0; i < STEPS; i++)
        chi += (picked[i] - 4000.0) * (picked[i] - 4000.0) / 4000.0;
    assert_true(chi < 27.9); /* 6 degrees of freedom: p = 0.0001 */
    assert_int_equal(fs_tune_pick(5, 3, 1), 0);
    assert_true(fs_tune_pick(5, 3, FS_TUNE_STEPS_MAX) < FS_TUNE_STEPS_MAX);
}

/* The last step and array still have blocks of their own. */
static void the_last_step_can_be_drawn(void **state)
{
    fs_fault_list a = {0}, b = {0};
    world w;
    world_open(&w);
    draw(&w, FS_TRIALS_MAX - 1, FS_TUNE_STEPS_MAX - 1, FS_TUNE_PARAMETERS, &a);
    draw(&w, FS_TRIALS_MAX - 1, FS_TUNE_STEPS_MAX - 1, FS_TUNE_ADAM_V, &b);
    assert_true(fs_fault_list_checksum(&a) != fs_fault_list_checksum(&b));
    fs_fault_list_free(&a);
    fs_fault_list_free(&b);
    world_close(&w);
}

static void sums_tell_step_and_array(void **state)
{
    fs_fault fault = {.tensor = 1, .bit = 2};
    const fs_fault_list list = {&fault, 1, 1}, none = {0};
    const uint64_t sums[] = {
        fs_tune_checksum(0, 1, FS_TUNE_GRADIENTS, &list),
        fs_tune_checksum(0, 2, FS_TUNE_GRADIENTS, &list),
        fs_tune_checksum(0, 1, FS_TUNE_ADAM_M, &list),
        fs_tune_checksum(7, 1, FS_TUNE_GRADIENTS, &list),
        fs_tune_checksum(0, 1, FS_TUNE_GRADIENTS, &none),
    };
    for (size_t i = 0; i < 5; i++)
        for (size_t j = 0; j < i; j++) assert_true(sums[i] != sums[j]);
    assert_string_equal(fs_tune_array_name(FS_TUNE_ADAM_V), "adam.v");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_differ_and_have_no_order),
        cmocka_unit_test(values_are_hit_evenly_over_steps),
        cmocka_unit_test(a_transient_trial_picks_each_step_alike),
        cmocka_unit_test(the_last_step_can_be_drawn),
        cmocka_unit_test(sums_tell_step_and_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
