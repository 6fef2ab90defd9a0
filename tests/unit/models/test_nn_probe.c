/* Activations seen and changed on the way, against the double-precision oracle. */
#include "testing.h"

#include <math.h>

#include "nn_probe.h"
#include "oracle.h"
#include "tiny_model.h"

enum { SEQUENCES = 3, TOKENS = 7 + 1 + 40, LONGEST = 40, LOGITS_MAX = LONGEST * 512 };

static const uint32_t offsets[SEQUENCES + 1] = {0, 7, 8, TOKENS};

typedef struct world {
    char *dir;
    tiny_model *tiny;
    nn_model *model;
    nn_view *view;
    int32_t ids[TOKENS];
    nn_batch batch;
    float state[TOKENS * 32], normed[TOKENS * 32];
    float clean[TOKENS * 512], logits[TOKENS * 512];
    uint64_t seen[FS_STAGE_COUNT]; /* values that the probe was shown */
    const oracle_hit *hit;         /* NULL: look only */
    uint32_t victim;               /* sequence that is hit */
    unsigned hits;
} world;

static const fs_config *config_of(const world *w)
{
    return &nn_model_geometry(w->model)->config;
}

static int is_weighting(fs_stage stage)
{
    return stage == FS_STAGE_ATTENTION_SCORES || stage == FS_STAGE_ATTENTION_PROBS;
}

static void tap(void *context, const nn_tap *t)
{
    world *w = context;
    const fs_config *config = config_of(w);
    uint32_t length = offsets[t->sequence + 1] - offsets[t->sequence];
    for (uint32_t r = 0; r < t->rows; r++) {
        uint64_t width = fs_stage_width(config, t->stage);
        if (is_weighting(t->stage)) width = config->kind == FS_MODEL_GPT2 ? t->row + r + 1 : length;
        w->seen[t->stage] += width;
    }
    const oracle_hit *hit = w->hit;
    if (hit == NULL || t->sequence != w->victim || t->stage != hit->stage ||
        t->layer != hit->layer || t->head != hit->head || hit->row < t->row ||
        hit->row >= t->row + t->rows)
        return;
    t->values[(hit->row - t->row) * t->stride + hit->column] = (float)hit->value;
    w->hits++;
}

/* All of the pass; logits of every row of a language model. */
static void pass(world *w, int probed, float *logits)
{
    const nn_probe probe = {tap, w};
    const fs_config *config = config_of(w);
    nn_view_set_probe(w->view, probed ? &probe : NULL);
    assert_ok(nn_embed(w->view, &w->batch, w->state));
    for (uint32_t l = 0; l < config->layers; l++)
        assert_ok(nn_layer(w->view, l, &w->batch, w->state));
    if (config->task == FS_TASK_CLASSIFICATION) {
        assert_ok(nn_classify(w->view, &w->batch, w->state, logits));
    } else {
        assert_ok(nn_final_norm(w->view, &w->batch, w->state, w->normed));
        assert_ok(nn_lm_logits(w->view, w->normed, TOKENS, logits));
    }
    nn_view_set_probe(w->view, NULL);
}

static world *world_new(fs_model_kind kind, fs_task_kind task)
{
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    tiny_spec spec = tiny_spec_default(kind, task);
    uint64_t random = 5;
    w->dir = testing_folder();
    assert_ok(tiny_model_new(&w->tiny, &spec));
    assert_ok(tiny_model_write(w->tiny, w->dir));
    assert_ok(nn_model_open(&w->model, w->dir, NULL));
    assert_ok(nn_view_new(&w->view, w->model));
    for (size_t i = 0; i < TOKENS; i++) w->ids[i] = (int32_t)(tiny_random(&random) % spec.vocab);
    w->batch = (nn_batch){w->ids, offsets, SEQUENCES};
    pass(w, 0, w->clean);
    return w;
}

static void world_free(world *w)
{
    nn_view_destroy(&w->view);
    nn_model_close(&w->model);
    tiny_model_destroy(&w->tiny);
    testing_remove(w->dir);
    free(w);
}

static size_t logit_floats(const world *w)
{
    const fs_config *config = config_of(w);
    return config->task == FS_TASK_LM ? (size_t)TOKENS * config->vocab
                                      : (size_t)SEQUENCES * config->labels;
}

/* A probe that changes nothing changes no bit, and it is shown every value once. */
static void check_looking(world *w)
{
    const fs_config *config = config_of(w);
    w->hit = NULL;
    pass(w, 1, w->logits);
    assert_memory_equal(w->logits, w->clean, logit_floats(w) * sizeof(float));
    for (int s = 0; s < FS_STAGE_COUNT; s++) {
        uint64_t want = 0;
        if (s == FS_STAGE_LOGITS && config->task == FS_TASK_LM) continue;
        for (int i = 0; i < SEQUENCES; i++) {
            const fs_extent extent = {.length = offsets[i + 1] - offsets[i]};
            want += fs_stage_values(config, (fs_stage)s, extent);
        }
        if (s != FS_STAGE_EMBEDDING_OUT && s != FS_STAGE_LOGITS) want *= config->layers;
        assert_true(w->seen[s] == want);
    }
}

/* The hit sequence's logits are the oracle's, the others' do not move. */
static void check_hit(world *w, const oracle_hit *hit, uint32_t victim)
{
    static double want[LOGITS_MAX];
    const fs_config *config = config_of(w);
    const int lm = config->task == FS_TASK_LM;
    const size_t columns = lm ? config->vocab : config->labels;
    w->hit = hit;
    w->victim = victim;
    w->hits = 0;
    pass(w, 1, w->logits);
    assert_int_equal(w->hits, 1);
    const uint32_t length = offsets[victim + 1] - offsets[victim];
    oracle_logits_hit(w->tiny, w->ids + offsets[victim], length, hit, want);
    for (uint32_t s = 0; s < SEQUENCES; s++) {
        const size_t first = (lm ? offsets[s] : s) * columns;
        const size_t count = (lm ? offsets[s + 1] - offsets[s] : 1) * columns;
        if (s != victim) {
            assert_memory_equal(w->logits + first, w->clean + first, count * sizeof(float));
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            const double got = (double)w->logits[first + i], bound = 2e-5 * (1 + fabs(want[i]));
            if (!(fabs(got - want[i]) <= bound))
                fail_msg("%s, layer %u: logit %zu is %g, the oracle says %g",
                         fs_stage_name(hit->stage), hit->layer, i, got, want[i]);
        }
    }
}

static void check_stages(fs_model_kind kind, fs_task_kind task)
{
    world *w = world_new(kind, task);
    const fs_config *config = config_of(w);
    uint64_t random = 17;
    check_looking(w);
    for (int s = 0; s < FS_STAGE_COUNT; s++) {
        if (s == FS_STAGE_LOGITS && task == FS_TASK_LM) continue; /* a caller's own */
        const int layered = s != FS_STAGE_EMBEDDING_OUT && s != FS_STAGE_LOGITS;
        for (uint32_t l = 0; l < (layered ? config->layers : 1); l++) {
            for (uint32_t victim = 0; victim < SEQUENCES; victim++) {
                const uint32_t length = offsets[victim + 1] - offsets[victim];
                oracle_hit hit = {.stage = (fs_stage)s, .layer = l, .value = 1.75};
                hit.row = s == FS_STAGE_LOGITS ? 0 : (uint32_t)(tiny_random(&random) % length);
                uint32_t width = fs_stage_width(config, hit.stage);
                if (is_weighting(hit.stage)) {
                    hit.head = (uint32_t)(tiny_random(&random) % config->heads);
                    width = kind == FS_MODEL_GPT2 ? hit.row + 1 : length;
                }
                hit.column = (uint32_t)(tiny_random(&random) % width);
                check_hit(w, &hit, victim);
            }
        }
    }
    world_free(w);
}

static void test_bert(void **state)
{
    check_stages(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
}

static void test_gpt2(void **state)
{
    check_stages(FS_MODEL_GPT2, FS_TASK_LM);
}

static void test_gpt2_classifier(void **state)
{
    check_stages(FS_MODEL_GPT2, FS_TASK_CLASSIFICATION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bert),
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_gpt2_classifier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
