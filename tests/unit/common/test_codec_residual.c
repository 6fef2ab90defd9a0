/* The residual table of `codecs.md`: what random errors leave in weights like GPT-2's. The table is
 * of four million weights, this of one million: the shares of big weights must agree within five
 * standard deviations of their counts, the noise within a sixth (few large errors make most of it)
 * and the third decimal. bench_codecs prints the whole table. */
#include "testing.h"

#include <math.h>
#include <stdlib.h>

#include "residual.h"

enum { WEIGHTS = 1 << 20 };

static const residual_amount amounts[] = {{1, 0.01}, {0, 1e-4}, {0, 1e-3}, {0, 1e-2}};
enum { AMOUNTS = 4 };

static const struct {
    const char *name;
    residual published[AMOUNTS];
} rows[] = {
    {"none", {{3.1e-4, .124}, {9.9e-5, .065}, {1.0e-3, .22}, {1.0e-2, .68}}},
    {"ep", {{0, .127}, {0, .072}, {0, .23}, {0, .69}}},
    {"mset", {{0, .124}, {0, .069}, {4.8e-6, .22}, {2.9e-4, .69}}},
    {"cep", {{0, .062}, {0, .033}, {2.0e-6, .11}, {3.0e-4, .35}}},
    {"op", {{0, .104}, {5e-7, .056}, {3.0e-5, .18}, {2.4e-3, .58}}},
    {"secded", {{3e-6, .014}, {1e-6, .006}, {7.0e-5, .052}, {5.3e-3, .48}}},
    {"secded-zero", {{0, .012}, {0, .004}, {7.5e-7, .049}, {9.2e-4, .43}}},
};

static void check(const char *name, size_t amount, residual got, residual want)
{
    const double events = want.big * WEIGHTS;
    if (fabs(got.big * WEIGHTS - events) > 5 * sqrt(events) + 3)
        fail_msg("%s, column %zu: %g of the weights are big, published %g", name, amount, got.big,
                 want.big);
    if (fabs(got.noise - want.noise) > want.noise / 6 + 0.004)
        fail_msg("%s, column %zu: noise %g, published %g", name, amount, got.noise, want.noise);
}

static void test_published_table(void **state)
{
    uint32_t *weights = malloc(WEIGHTS * sizeof *weights);
    assert_non_null(weights);
    residual_weights(weights, WEIGHTS, 1);
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        for (size_t a = 0; a < AMOUNTS; a++) {
            residual got = residual_measure(weights, WEIGHTS, &rows[r].name, 1, amounts[a], 7);
            check(rows[r].name, a, got, rows[r].published[a]);
        }
    }
    free(weights);
}

/* CEP and then EP: no big weight at any rate, and CEP's noise. */
static void test_cep_then_ep(void **state)
{
    static const char *const both[] = {"cep", "ep"};
    uint32_t *weights = malloc(WEIGHTS * sizeof *weights);
    assert_non_null(weights);
    residual_weights(weights, WEIGHTS, 1);
    for (size_t a = 0; a < AMOUNTS; a++) {
        residual cep = residual_measure(weights, WEIGHTS, both, 1, amounts[a], 7);
        residual list = residual_measure(weights, WEIGHTS, both, 2, amounts[a], 7);
        assert_true(list.big == 0);
        assert_true(list.noise < cep.noise * 1.1 + 0.01);
    }
    free(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_table),
        cmocka_unit_test(test_cep_then_ep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
