/* First values: the distribution by its moments and tail, and by libm; which tensors get what. */
#include "testing.h"

#include <math.h>

#include "rng.h"
#include "tr_init.h"

enum { MANY = 200000 };

static void draws_are_normal(void **state)
{
    float *x = calloc(MANY, sizeof *x);
    double moments[5] = {0};
    unsigned beyond = 0;
    assert_non_null(x);
    tr_init_normal(x, MANY, 0.02, 77, 5);
    for (size_t i = 0; i < MANY; i++) {
        const double z = (double)x[i] / 0.02;
        for (int k = 1; k <= 4; k++) moments[k] += pow(z, k) / MANY;
        beyond += fabs(z) > 1.959964;
    }
    /* Five standard errors of each moment of a standard normal. */
    const double error = 5 / sqrt((double)MANY);
    assert_true(fabs(moments[1]) < error);
    assert_true(fabs(moments[2] - 1) < error * sqrt(2));
    assert_true(fabs(moments[3]) < error * sqrt(15));
    assert_true(fabs(moments[4] - 3) < error * sqrt(96));
    assert_true(fabs(beyond / (double)MANY - 0.05) < error * sqrt(0.05 * 0.95));
    free(x);
}

/* Box-Muller as its paper has it, by libm. */
static void draws_are_box_and_mullers(void **state)
{
    float x[1001], less[7];
    fs_rng rng;
    tr_init_normal(x, 1001, 1.5, 3, 9);
    tr_init_normal(less, 7, 1.5, 3, 9);
    assert_memory_equal(x, less, sizeof less);
    fs_rng_init(&rng, 3, 9);
    for (size_t i = 0; i + 1 < 1001; i += 2) {
        const double radius = 1.5 * sqrt(-2 * log(fs_rng_unit(&rng)));
        const double angle = 2 * acos(-1) * fs_rng_unit(&rng);
        assert_true(fabs((double)x[i] - radius * cos(angle)) < 1e-6);
        assert_true(fabs((double)x[i + 1] - radius * sin(angle)) < 1e-6);
    }
}

static double deviation_of(const tr_layout *layout, const float *values, const char *name)
{
    const int i = tr_layout_find(layout, name);
    assert_true(i >= 0);
    const tr_tensor *t = &layout->tensors[i];
    double sum = 0;
    for (size_t j = 0; j < (size_t)t->rows * t->cols; j++)
        sum += pow((double)values[t->first + j], 2);
    return sqrt(sum / ((double)t->rows * t->cols));
}

static void tensors_begin_as_in_transformers(void **state)
{
    const fs_config gpt2 = {.kind = FS_MODEL_GPT2,
                            .task = FS_TASK_LM,
                            .vocab = 300,
                            .positions = 40,
                            .d_model = 64,
                            .layers = 8,
                            .heads = 4,
                            .d_ff = 256,
                            .tied = 1};
    tr_layout *layout;
    assert_ok(tr_layout_new(&layout, &gpt2, TR_HEAD_CAUSAL));
    float *values = calloc(layout->floats, sizeof *values);
    float *other = calloc(layout->floats, sizeof *other);
    assert_true(values != NULL && other != NULL);
    tr_init_all(layout, values, 0.02, 1);
    tr_init_all(layout, other, 0.02, 2);
    assert_true(fabs(deviation_of(layout, values, "wte.weight") - 0.02) < 1e-3);
    assert_true(fabs(deviation_of(layout, values, "h.3.attn.c_attn.weight") - 0.02) < 1e-3);
    assert_true(fabs(deviation_of(layout, values, "h.3.mlp.c_fc.weight") - 0.02) < 1e-3);
    /* 0.02 / sqrt(2 * 8) */
    assert_true(fabs(deviation_of(layout, values, "h.3.attn.c_proj.weight") - 0.005) < 3e-4);
    assert_true(fabs(deviation_of(layout, values, "h.7.mlp.c_proj.weight") - 0.005) < 3e-4);
    assert_true(deviation_of(layout, values, "h.3.mlp.c_fc.bias") == 0);
    assert_true(deviation_of(layout, values, "ln_f.bias") == 0);
    const tr_tensor *gain = &layout->tensors[tr_layout_find(layout, "h.0.ln_1.weight")];
    for (size_t i = 0; i < 64; i++) assert_true(values[gain->first + i] == 1);
    /* Another seed, another tensor: other numbers. */
    assert_true(values[0] != other[0]);
    const tr_tensor *a = &layout->tensors[tr_layout_find(layout, "h.0.mlp.c_fc.weight")];
    const tr_tensor *b = &layout->tensors[tr_layout_find(layout, "h.1.mlp.c_fc.weight")];
    assert_true(values[a->first] != values[b->first]);
    free(values);
    free(other);
    tr_layout_destroy(&layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_are_normal),
        cmocka_unit_test(draws_are_box_and_mullers),
        cmocka_unit_test(tensors_begin_as_in_transformers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
