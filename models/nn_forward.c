#include "assert.h"
#include "bert.h"
#include "gpt2.h"
#include "nn_model.h"

static const fs_config *config_of(const nn_view *self)
{
    return &self->model->geometry->config;
}

static void check_batch(const nn_view *self, const nn_batch *batch)
{
    FS_ASSERT(batch->off[0] == 0);
    for (uint32_t s = 0; s < batch->n_seq; s++) {
        FS_ASSERT(batch->off[s + 1] > batch->off[s]);
        FS_ASSERT(batch->off[s + 1] - batch->off[s] <= config_of(self)->positions);
    }
}

/* Stores the whole state. */
static void store_state(nn_view *self, const nn_batch *batch, float *state)
{
    const size_t d = config_of(self)->d_model;
    nn_group group = {.probe = self->probe};
    while (nn__group_next(&group, batch)) {
        nn__made(self, &group, FS_STAGE_EMBEDDING_OUT, state + group.row_first * d, d, 0,
                 group.rows);
    }
}

fs_status nn_embed(nn_view *self, const nn_batch *batch, float *state)
{
    check_batch(self, batch);
    for (uint32_t i = 0; i < batch->off[batch->n_seq]; i++) {
        FS_ASSERT(batch->ids[i] >= 0 && (uint32_t)batch->ids[i] < config_of(self)->vocab);
    }
    if (config_of(self)->kind == FS_MODEL_BERT)
        bert_embed(self, batch, state);
    else
        gpt2_embed(self, batch, state);
    store_state(self, batch, state);
    return FS_OK;
}

static fs_status run_layer(nn_view *self, uint32_t layer, const nn_batch *batch, float *state,
                           int last)
{
    const size_t d = config_of(self)->d_model;
    nn_group group = {.layer = layer, .probe = last ? NULL : self->probe};
    check_batch(self, batch);
    FS_ASSERT(layer < config_of(self)->layers);
    while (nn__group_next(&group, batch)) {
        float *x = state + group.row_first * d;
        if (config_of(self)->kind == FS_MODEL_BERT)
            FS_TRY(bert_layer(self, layer, &group, x, last ? NN_ROWS_FIRST : NN_ROWS_ALL));
        else
            FS_TRY(gpt2_layer(self, layer, &group, x, last ? NN_ROWS_LAST : NN_ROWS_ALL));
        nn__made(self, &group, FS_STAGE_BLOCK_OUT, x, d, 0, group.rows);
    }
    return FS_OK;
}

fs_status nn_layer(nn_view *self, uint32_t layer, const nn_batch *batch, float *state)
{
    return run_layer(self, layer, batch, state, 0);
}

fs_status nn_layer_last(nn_view *self, const nn_batch *batch, float *state)
{
    FS_ASSERT(config_of(self)->task == FS_TASK_CLASSIFICATION);
    FS_ASSERT(self->learns == NULL && self->ranges == NULL);
    return run_layer(self, config_of(self)->layers - 1, batch, state, 1);
}

static void look_at_logits(const nn_view *self, const nn_group *group, float *logits, size_t labels)
{
    for (uint32_t s = 0; self->probe != NULL && s < group->n_seq; s++) {
        const nn_tap tap = {.stage = FS_STAGE_LOGITS,
                            .sequence = group->first + s,
                            .rows = 1,
                            .values = logits + s * labels,
                            .stride = labels};
        self->probe->tap(self->probe->context, &tap);
    }
}

fs_status nn_classify(nn_view *self, const nn_batch *batch, const float *state, float *logits)
{
    const size_t d = config_of(self)->d_model, labels = config_of(self)->labels;
    nn_group group = {0};
    check_batch(self, batch);
    FS_ASSERT(config_of(self)->task == FS_TASK_CLASSIFICATION);
    while (nn__group_next(&group, batch)) {
        const float *x = state + group.row_first * d;
        float *out = logits + group.first * labels;
        if (config_of(self)->kind == FS_MODEL_BERT)
            FS_TRY(bert_classify(self, &group, x, out));
        else
            FS_TRY(gpt2_classify(self, &group, x, out));
        nn__keep(self, out, group.n_seq * labels);
        look_at_logits(self, &group, out, labels);
    }
    return FS_OK;
}

fs_status nn_final_norm(nn_view *self, const nn_batch *batch, const float *state, float *normed)
{
    check_batch(self, batch);
    FS_ASSERT(config_of(self)->task == FS_TASK_LM);
    gpt2_final_norm(self, normed, state, batch->off[batch->n_seq]);
    nn__keep(self, normed, batch->off[batch->n_seq] * (size_t)config_of(self)->d_model);
    return FS_OK;
}

fs_status nn_lm_logits(nn_view *self, const float *normed, uint32_t rows, float *logits)
{
    FS_ASSERT(config_of(self)->task == FS_TASK_LM);
    gpt2_lm_logits(self, normed, rows, logits);
    nn__keep(self, logits, rows * (size_t)config_of(self)->vocab);
    return FS_OK;
}
