#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tr_layout.h"

static fs_config bert(void)
{
    return (fs_config){.kind = FS_MODEL_BERT,
                       .task = FS_TASK_CLASSIFICATION,
                       .vocab = 101,
                       .positions = 20,
                       .segments = 2,
                       .d_model = 12,
                       .layers = 2,
                       .heads = 3,
                       .d_ff = 24,
                       .labels = 2,
                       .norm_eps = 1e-12};
}

/* Counted by hand from the architecture: embeddings, layers, heads. */
static void counts_parameters_of_each_head(void **state)
{
    const fs_config c = bert();
    const uint64_t d = 12, ff = 24, embeddings = (101 + 20 + 2) * d + 2 * d;
    const uint64_t layer = 4 * (d * d + d) + 2 * 2 * d + (d * ff + ff) + (ff * d + d);
    tr_layout *layout;
    assert_int_equal(tr_layout_new(&layout, &c, TR_HEAD_CLASSIFY), FS_OK);
    assert_int_equal(layout->parameters, embeddings + 2 * layer + d * d + d + 2 * d + 2);
    tr_layout_destroy(&layout);
    assert_int_equal(tr_layout_new(&layout, &c, TR_HEAD_MASKED), FS_OK);
    assert_int_equal(layout->parameters, embeddings + 2 * layer + d * d + d + 2 * d + 101);
    tr_layout_destroy(&layout);
    assert_null(layout);
}

static void places_tensors_on_lines_without_overlap(void **state)
{
    const fs_config c = bert();
    tr_layout *layout;
    assert_int_equal(tr_layout_new(&layout, &c, TR_HEAD_MASKED), FS_OK);
    size_t end = 0;
    for (size_t i = 0; i < layout->count; i++) {
        const tr_tensor *t = &layout->tensors[i];
        assert_int_equal(t->first % 16, 0);
        assert_true(t->first >= end);
        end = t->first + (size_t)t->rows * t->cols;
    }
    assert_true(layout->floats >= end && layout->floats < end + 16);
    tr_layout_destroy(&layout);
}

static void decays_matrices_only(void **state)
{
    const fs_config c = bert();
    tr_layout *layout;
    assert_int_equal(tr_layout_new(&layout, &c, TR_HEAD_MASKED), FS_OK);
    for (size_t i = 0; i < layout->count; i++) {
        assert_int_equal(layout->tensors[i].decays, layout->tensors[i].rank == 2);
    }
    const int gain = tr_layout_find(layout, "bert.encoder.layer.1.output.LayerNorm.weight");
    assert_int_equal(gain, tr_layout_find(layout, "encoder.layer.1.output.LayerNorm.weight"));
    assert_true(gain > 0);
    assert_int_equal(tr_layout_find(layout, "bert.pooler"), -1);
    tr_layout_destroy(&layout);
}

static void refuses_heads_that_a_model_cannot_have(void **state)
{
    fs_config c = bert();
    tr_layout *layout;
    assert_int_equal(tr_layout_new(&layout, &c, TR_HEAD_CAUSAL), FS_EUNSUPPORTED);
    c.kind = FS_MODEL_GPT2;
    c.task = FS_TASK_LM;
    assert_int_equal(tr_layout_new(&layout, &c, TR_HEAD_MASKED), FS_EUNSUPPORTED);
    assert_int_equal(tr_layout_new(&layout, &c, TR_HEAD_CLASSIFY), FS_EUNSUPPORTED);
    assert_null(layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_parameters_of_each_head),
        cmocka_unit_test(places_tensors_on_lines_without_overlap),
        cmocka_unit_test(decays_matrices_only),
        cmocka_unit_test(refuses_heads_that_a_model_cannot_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
