/* AdamW against PyTorch's own numbers and against double; schedules against transformers' formulas;
 * norms against sums by hand. */
#include "testing.h"

#include <math.h>

#include "floats.h"
#include "tr_optimiser.h"

/* Two tensors of a network, [1, 4] that decays and [1, 2] that does not, as tr_layout lays them. */
static tr_tensor small_tensors[2] = {
    {.name = "a.weight", .rank = 1, .rows = 1, .cols = 4, .first = 0, .decays = 1, .used = 1},
    {.name = "a.bias", .rank = 1, .rows = 1, .cols = 2, .first = 16, .decays = 0, .used = 1},
};
static const tr_layout small = {.tensors = small_tensors, .count = 2, .floats = 32};

/* torch 1.13, AdamW(weight_decay 0.1 and 0, lr 0.01 s, betas 0.9, 0.999, eps 1e-8) after
 * clip_grad_norm_(1.0), three steps of the gradients below. */
static void follows_pytorch(void **state)
{
    static const float want[3][6] = {
        {0x1.f53f7ep-2f, -0x1.3d1eb8p+0f, 0x1.ff7ceep+0f, -0x1.26f1dcp-7f, 0x1.851eb8p-1f,
         -0x1.147ae2p-3f},
        {0x1.e1ec6ep-2f, -0x1.383eecp+0f, 0x1.fe770ep+0f, -0x1.d9bdf8p-6f, 0x1.8f1942p-1f,
         -0x1.391fbep-3f},
        {0x1.c4e0b8p-2f, -0x1.30fe8ap+0f, 0x1.fcef04p+0f, -0x1.dd5ffcp-5f, 0x1.9e2dfep-1f,
         -0x1.7052eep-3f},
    };
    static const double want_norm[3] = {3.053342342376709, 1.6722440719604492, 1.3910068273544312};
    const tr_adamw adamw = {0.9, 0.999, 1e-8, 0.1};
    float values[32] = {0.5F, -1.25F, 2.0F, 0.001F, [16] = 0.75F, -0.125F};
    float m[32] = {0}, v[32] = {0};
    tr_pool *pool;
    assert_ok(tr_pool_new(&pool, 1));
    for (int step = 1; step <= 3; step++) {
        const float s = (float)step;
        const float grads[32] = {0.1F * s, -0.02F * s * s, 0, 3.0F / s, [16] = -0.5F, 0.25F * s};
        const double norm = tr_gradient_norm(&small, pool, grads, NULL);
        assert_true(fabs(norm - want_norm[step - 1]) < 1e-6);
        tr_adamw_update(&adamw, &small, pool, values, grads, m, v, 0.01 * step, 1 / (norm + 1e-6),
                        (uint64_t)step, NULL);
        for (int i = 0; i < 6; i++) {
            const float got = values[i < 4 ? i : 12 + i];
            assert_true(fabsf(got - want[step - 1][i]) < 3e-7F);
        }
    }
    for (int i = 4; i < 16; i++) assert_true(values[i] == 0 && m[i] == 0 && v[i] == 0);
    tr_pool_destroy(&pool);
}

/* A network of many tensors of odd sizes, so that stretches begin and end within them. */
enum { TENSORS = 40 };
static tr_tensor many_tensors[TENSORS];

static tr_layout many_layout(void)
{
    tr_layout self = {.tensors = many_tensors, .count = TENSORS};
    for (unsigned i = 0; i < TENSORS; i++) {
        const uint32_t rows = 1 + i * 7 % 23, cols = 1 + i * 31 % 190;
        many_tensors[i] = (tr_tensor){.rank = 2,
                                      .rows = rows,
                                      .cols = cols,
                                      .first = self.floats,
                                      .decays = i % 3 != 0,
                                      .used = i != 11};
        self.floats += ((size_t)rows * cols + 15) / 16 * 16;
    }
    return self;
}

typedef struct arrays {
    float *values, *grads, *m, *v;
} arrays;

static arrays make_arrays(const tr_layout *layout, int spoil_padding)
{
    arrays a = {calloc(layout->floats, 4), calloc(layout->floats, 4), calloc(layout->floats, 4),
                calloc(layout->floats, 4)};
    assert_true(a.values != NULL && a.grads != NULL && a.m != NULL && a.v != NULL);
    if (spoil_padding)
        for (size_t i = 0; i < layout->floats; i++) a.grads[i] = a.values[i] = NAN;
    uint64_t state = 5;
    for (size_t t = 0; t < layout->count; t++) {
        const tr_tensor *tensor = &layout->tensors[t];
        for (size_t i = 0; i < (size_t)tensor->rows * tensor->cols; i++) {
            a.values[tensor->first + i] = next_normal(&state);
            a.grads[tensor->first + i] = 0.1F * next_normal(&state);
        }
    }
    return a;
}

static void free_arrays(arrays *a)
{
    free(a->values);
    free(a->grads);
    free(a->m);
    free(a->v);
}

/* Ten steps against the textbook in double, element by element. */
static void agrees_with_the_formula_in_double(void **state)
{
    const tr_layout layout = many_layout();
    const tr_adamw adamw = {0.9, 0.98, 1e-6, 0.05};
    uint8_t wanted[TENSORS];
    for (unsigned i = 0; i < TENSORS; i++) wanted[i] = i % 5 != 4;
    arrays a = make_arrays(&layout, 0), first = make_arrays(&layout, 0);
    tr_pool *pool;
    assert_ok(tr_pool_new(&pool, 2));
    for (uint64_t n = 1; n <= 10; n++)
        tr_adamw_update(&adamw, &layout, pool, a.values, a.grads, a.m, a.v, 0.003 * (double)n, 0.5,
                        n, wanted);
    for (size_t t = 0; t < layout.count; t++) {
        const tr_tensor *tensor = &layout.tensors[t];
        for (size_t j = 0; j < (size_t)tensor->rows * tensor->cols; j++) {
            const size_t i = tensor->first + j;
            double w = (double)first.values[i], m = 0, v = 0;
            const double g = 0.5 * (double)first.grads[i];
            for (int n = 1; wanted[t] && tensor->used && n <= 10; n++) {
                const double rate = 0.003 * n;
                m = 0.9 * m + 0.1 * g;
                v = 0.98 * v + 0.02 * g * g;
                if (tensor->decays) w -= rate * 0.05 * w;
                w -= rate * (m / (1 - pow(0.9, n))) / (sqrt(v / (1 - pow(0.98, n))) + 1e-6);
            }
            if (!(fabs(w - (double)a.values[i]) < 1e-5))
                fail_msg("tensor %zu, element %zu: %.9g, wanted %.9g", t, j, (double)a.values[i],
                         w);
        }
    }
    free_arrays(&a);
    free_arrays(&first);
    tr_pool_destroy(&pool);
}

static void bits_do_not_depend_on_threads(void **state)
{
    const tr_layout layout = many_layout();
    const tr_adamw adamw = {0.9, 0.999, 1e-8, 0.01};
    arrays results[3];
    double norms[3];
    for (unsigned threads = 1; threads <= 3; threads++) {
        tr_pool *pool;
        arrays *a = &results[threads - 1];
        assert_ok(tr_pool_new(&pool, threads));
        *a = make_arrays(&layout, 0);
        norms[threads - 1] = tr_gradient_norm(&layout, pool, a->grads, NULL);
        for (uint64_t n = 1; n <= 3; n++)
            tr_adamw_update(&adamw, &layout, pool, a->values, a->grads, a->m, a->v, 1e-3, 1, n,
                            NULL);
        tr_pool_destroy(&pool);
    }
    for (unsigned i = 1; i < 3; i++) {
        assert_true(norms[0] == norms[i]);
        assert_int_equal(first_difference(results[0].values, results[i].values, layout.floats),
                         layout.floats);
        assert_int_equal(first_difference(results[0].v, results[i].v, layout.floats),
                         layout.floats);
    }
    for (unsigned i = 0; i < 3; i++) free_arrays(&results[i]);
}

/* What lies between tensors, and tensors that are not used or wanted, counts for nothing. */
static void the_norm_is_of_what_is_trained(void **state)
{
    const tr_layout layout = many_layout();
    arrays a = make_arrays(&layout, 1);
    uint8_t wanted[TENSORS];
    tr_pool *pool;
    assert_ok(tr_pool_new(&pool, 2));
    for (int some = 0; some < 2; some++) {
        double sum = 0;
        for (size_t t = 0; t < layout.count; t++) {
            const tr_tensor *tensor = &layout.tensors[t];
            wanted[t] = t % 2 == 0;
            if (!tensor->used || (some && !wanted[t])) continue;
            for (size_t i = 0; i < (size_t)tensor->rows * tensor->cols; i++)
                sum += pow((double)a.grads[tensor->first + i], 2);
        }
        const double got = tr_gradient_norm(&layout, pool, a.grads, some ? wanted : NULL);
        assert_true(fabs(got - sqrt(sum)) < 1e-12 * sqrt(sum));
    }
    a.grads[many_tensors[7].first] = NAN;
    assert_true(isnan(tr_gradient_norm(&layout, pool, a.grads, NULL)));
    assert_true(isfinite(tr_gradient_norm(&layout, pool, a.grads, wanted))); /* 7 is not wanted */
    a.grads[many_tensors[7].first] = INFINITY;
    assert_true(isinf(tr_gradient_norm(&layout, pool, a.grads, NULL)));
    a.grads[many_tensors[7].first] = 3e38F; /* its square is no float, but a double */
    assert_true(fabs(tr_gradient_norm(&layout, pool, a.grads, NULL) / 3e38 - 1) < 1e-6);
    tr_pool_destroy(&pool);
    free_arrays(&a);
}

/* get_constant_schedule_with_warmup, get_linear_..., get_cosine_schedule_with_warmup. */
static void schedules_are_those_of_transformers(void **state)
{
    const tr_schedule constant = {TR_SCHEDULE_CONSTANT, 2e-4, 10, 100};
    const tr_schedule linear = {TR_SCHEDULE_LINEAR, 2e-4, 10, 100};
    const tr_schedule cosine = {TR_SCHEDULE_COSINE, 2e-4, 10, 100};
    static const struct {
        uint64_t step;
        double constant, linear, cosine;
    } want[] = {
        {0, 0, 0, 0},
        {1, 0.1, 0.1, 0.1},
        {9, 0.9, 0.9, 0.9},
        {10, 1, 1, 1},
        {25, 1, 75.0 / 90, 0.93301270189221932},
        {40, 1, 60.0 / 90, 0.75},
        {55, 1, 0.5, 0.5},
        {70, 1, 30.0 / 90, 0.25},
        {99, 1, 1.0 / 90, 3.0458649045213493e-04},
        {100, 1, 0, 0},
        {150, 1, 0, 0},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const uint64_t step = want[i].step;
        assert_true(fabs(tr_schedule_rate(&constant, step) - 2e-4 * want[i].constant) < 1e-18);
        assert_true(fabs(tr_schedule_rate(&linear, step) - 2e-4 * want[i].linear) < 1e-18);
        assert_true(fabs(tr_schedule_rate(&cosine, step) - 2e-4 * want[i].cosine) < 1e-18);
    }
    const tr_schedule cold = {TR_SCHEDULE_LINEAR, 1, 0, 4};
    assert_true(tr_schedule_rate(&cold, 0) == 1 && tr_schedule_rate(&cold, 3) == 0.25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_pytorch),
        cmocka_unit_test(agrees_with_the_formula_in_double),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(the_norm_is_of_what_is_trained),
        cmocka_unit_test(schedules_are_those_of_transformers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
