/* Bounds of activations: what a run learns, what a restricted one changes and counts. */
#include "testing.h"

#include <math.h>

#include "nn_probe.h"
#include "nn_ranges.h"
#include "protect.h"
#include "tiny_model.h"

enum { SEQUENCES = 3, TOKENS = 7 + 1 + 23, WIDTH = 32 };

static const uint32_t offsets[SEQUENCES + 1] = {0, 7, 8, TOKENS};

typedef struct world {
    char *dir;
    nn_model *model;
    nn_view *view;
    int32_t ids[TOKENS];
    nn_batch batch;
    float state[TOKENS * WIDTH];
    /* What a probe saw: */
    float low[64], high[64]; /* by layer * FS_STAGE_COUNT + stage */
    uint64_t shown;
    /* What it did: */
    int hits;
    fs_stage stage;
    uint32_t layer, row, column;
    float value;
} world;

static void tap(void *context, const nn_tap *t)
{
    world *w = context;
    const uint32_t width = fs_stage_width(&nn_model_geometry(w->model)->config, t->stage);
    const size_t at = t->layer * FS_STAGE_COUNT + (size_t)t->stage;
    if (t->stage == FS_STAGE_ATTENTION_SCORES || t->stage == FS_STAGE_ATTENTION_PROBS) return;
    for (uint32_t r = 0; r < t->rows; r++) {
        for (uint32_t i = 0; i < width; i++, w->shown++) {
            float *x = &t->values[r * t->stride + i];
            w->low[at] = fminf(w->low[at], *x);
            w->high[at] = fmaxf(w->high[at], *x);
            if (w->hits && t->stage == w->stage && t->layer == w->layer && t->sequence == 0 &&
                t->row + r == w->row && i == w->column)
                *x = w->value;
        }
    }
}

static void run(world *w)
{
    const fs_config *config = &nn_model_geometry(w->model)->config;
    assert_ok(nn_embed(w->view, &w->batch, w->state));
    for (uint32_t l = 0; l < config->layers; l++)
        assert_ok(nn_layer(w->view, l, &w->batch, w->state));
}

static void world_open(world *w, fs_model_kind kind, fs_format_kind format)
{
    const tiny_spec spec = tiny_spec_default(kind, FS_TASK_CLASSIFICATION);
    const fs_protect protect = {.format = format};
    tiny_model *tiny;
    *w = (world){.dir = testing_folder()};
    assert_ok(tiny_model_new(&tiny, &spec));
    assert_ok(tiny_model_write(tiny, w->dir));
    tiny_model_destroy(&tiny);
    assert_ok(nn_model_open(&w->model, w->dir, &protect));
    assert_int_equal(nn_model_restriction(w->model), FS_RESTRICT_NONE);
    assert_ok(nn_view_new(&w->view, w->model));
    for (int i = 0; i < TOKENS; i++) w->ids[i] = (i * 7919 + 13) % 512;
    w->batch = (nn_batch){w->ids, offsets, SEQUENCES};
    for (int i = 0; i < 64; i++) {
        w->low[i] = INFINITY;
        w->high[i] = -INFINITY;
    }
}

static void world_close(world *w)
{
    nn_view_destroy(&w->view);
    nn_model_close(&w->model);
    testing_remove(w->dir);
}

/* Bounds are the least and the largest value that a probe sees; learning changes nothing; a run
 * within them is not restricted. */
static void check_bounds(fs_model_kind kind, fs_format_kind format)
{
    static world w;
    float clean[TOKENS * WIDTH], low, high;
    nn_ranges *ranges, *parts;
    world_open(&w, kind, format);
    const nn_probe probe = {tap, &w};
    nn_view_set_probe(w.view, &probe);
    run(&w);
    nn_view_set_probe(w.view, NULL);
    memcpy(clean, w.state, sizeof clean);
    const fs_config *config = &nn_model_geometry(w.model)->config;
    assert_ok(nn_ranges_new(&ranges, config));
    const uint64_t nothing = nn_ranges_checksum(ranges);
    nn_view_learn_ranges(w.view, ranges);
    run(&w);
    nn_view_learn_ranges(w.view, NULL);
    assert_memory_equal(clean, w.state, sizeof clean);
    for (uint32_t l = 0; l < config->layers; l++) {
        for (int s = 0; s < FS_STAGE_LOGITS; s++) {
            const size_t at = l * FS_STAGE_COUNT + (size_t)s;
            if (s == FS_STAGE_EMBEDDING_OUT && l > 0) continue;
            nn_ranges_get(ranges, (fs_stage)s, l, &low, &high);
            assert_true(low == w.low[at] && high == w.high[at]);
            assert_int_equal(low > high,
                             s == FS_STAGE_ATTENTION_SCORES || s == FS_STAGE_ATTENTION_PROBS);
        }
    }
    /* Learnt in parts, in any order. */
    assert_ok(nn_ranges_new(&parts, config));
    nn_ranges_merge(parts, ranges);
    nn_ranges_merge(parts, ranges);
    assert_true(nn_ranges_checksum(parts) == nn_ranges_checksum(ranges));
    assert_true(nn_ranges_checksum(parts) != nothing);
    nn_view_restrict(w.view, ranges, 0);
    run(&w);
    assert_memory_equal(clean, w.state, sizeof clean);
    assert_true(nn_view_take_outside(w.view) == 0);
    nn_ranges_destroy(&parts);
    nn_ranges_destroy(&ranges);
    world_close(&w);
}

static void test_bounds(void **state)
{
    check_bounds(FS_MODEL_BERT, FS_FORMAT_FP32);
    check_bounds(FS_MODEL_GPT2, FS_FORMAT_FP32);
    check_bounds(FS_MODEL_BERT, FS_FORMAT_BF16);
}

/* A value out of bounds behind the last operation of the pass: what is read instead, and that it is
 * counted once. */
static void test_restriction(void **state)
{
    static world w;
    nn_ranges *ranges;
    float low, high, clean;
    world_open(&w, FS_MODEL_GPT2, FS_FORMAT_FP32);
    const nn_probe probe = {tap, &w};
    assert_ok(nn_ranges_new(&ranges, &nn_model_geometry(w.model)->config));
    nn_view_learn_ranges(w.view, ranges);
    run(&w);
    nn_view_learn_ranges(w.view, NULL);
    clean = w.state[3 * WIDTH + 5];
    nn_ranges_get(ranges, FS_STAGE_BLOCK_OUT, 1, &low, &high);
    const struct {
        float value, zero, clip;
        unsigned outside;
    } cases[] = {
        {1e30f, 0, high, 1},    {-1e30f, 0, low, 1},
        {INFINITY, 0, high, 1}, {-INFINITY, 0, low, 1},
        {NAN, 0, 0, 1},         {high, high, high, 0},
        {low, low, low, 0},     {nextafterf(high, INFINITY), 0, high, 1},
    };
    nn_view_set_probe(w.view, &probe);
    w.stage = FS_STAGE_BLOCK_OUT;
    w.layer = 1;
    w.row = 3;
    w.column = 5;
    w.hits = 1;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        w.value = cases[i].value;
        for (int clip = 0; clip < 2; clip++) {
            nn_view_restrict(w.view, ranges, clip);
            run(&w);
            assert_true(w.state[3 * WIDTH + 5] == (clip ? cases[i].clip : cases[i].zero));
            assert_int_equal(nn_view_take_outside(w.view), cases[i].outside);
            assert_int_equal(nn_view_take_outside(w.view), 0);
        }
    }
    w.hits = 0;
    nn_view_restrict(w.view, NULL, 0);
    run(&w);
    assert_true(w.state[3 * WIDTH + 5] == clean);
    nn_ranges_destroy(&ranges);
    nn_ranges_destroy(&ranges);
    world_close(&w);
}

/* A NaN in the run that learns reads 0, as it will in those that are restricted. */
static void test_learning_nan(void **state)
{
    static world w;
    nn_ranges *ranges;
    float low, high, learnt[TOKENS * WIDTH];
    world_open(&w, FS_MODEL_BERT, FS_FORMAT_FP32);
    const nn_probe probe = {tap, &w};
    w.stage = FS_STAGE_MLP_OUT;
    w.value = NAN;
    w.hits = 1;
    nn_view_set_probe(w.view, &probe);
    assert_ok(nn_ranges_new(&ranges, &nn_model_geometry(w.model)->config));
    nn_view_learn_ranges(w.view, ranges);
    run(&w);
    memcpy(learnt, w.state, sizeof learnt);
    nn_ranges_get(ranges, FS_STAGE_MLP_OUT, 0, &low, &high);
    assert_true(isfinite(low) && isfinite(high) && low < high);
    nn_view_learn_ranges(w.view, NULL);
    nn_view_restrict(w.view, ranges, 1);
    run(&w);
    assert_memory_equal(learnt, w.state, sizeof learnt);
    assert_int_equal(nn_view_take_outside(w.view), 1);
    nn_ranges_destroy(&ranges);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_restriction),
        cmocka_unit_test(test_learning_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
