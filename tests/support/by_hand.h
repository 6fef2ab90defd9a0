/** Fine-tuning trials by hand: a loop of plain steps, flips put into its arrays one by one, and the
 * model evaluated through files. Drawing and the steps themselves are the product's; where faults
 * go in, what they do and what is counted is not. */
#ifndef BY_HAND_H
#define BY_HAND_H

#include "sweep_fixture.h"

#include <math.h>

#include "dataset.h"
#include "hash.h"
#include "nn_eval.h"
#include "tok.h"
#include "tr_load.h"
#include "tr_save.h"
#include "tr_trainer.h"
#include "trial.h"
#include "tuning.h"

typedef struct by_hand {
    const fixture *f;
    const fs_cell *cell;
    uint64_t trial;
    tr_layout *layout;
    tr_weights *weights;
    tr_pool *pool;
    uint64_t faults, effective, visible;
    uint64_t diverged;     /* step from 1; 0: it did not */
    fs_fault_record first; /* fault */
} by_hand;

static inline void by_hand_hit(by_hand *self, fs_tune_array array, uint64_t step, float *values)
{
    const fs_cell *cell = self->cell;
    const int ep = self->f->campaign->finetune.exponent_protection;
    fs_fault_list list = {0};
    assert_ok(fs_tune_draw(&list, cell->space, cell->amount, &cell->form, cell->draw_key,
                           self->trial, step, array));
    float *before = malloc(self->layout->floats * sizeof *before);
    assert_non_null(before);
    memcpy(before, values, self->layout->floats * sizeof *before);
    for (size_t i = 0; i < list.count; i++) {
        const fs_fault *fault = &list.items[i];
        const size_t at = self->layout->tensors[fault->tensor].first + fault->element;
        uint32_t word, old;
        memcpy(&word, &values[at], sizeof word);
        old = word;
        if (fault->kind == FS_FAULT_FLIP) word ^= 1u << fault->bit;
        if (fault->kind == FS_FAULT_STUCK1) word |= 1u << fault->bit;
        if (fault->kind == FS_FAULT_STUCK0) word &= ~(1u << fault->bit);
        self->effective += word != old;
        if (ep && array == FS_TUNE_PARAMETERS) word &= ~(1u << 30);
        memcpy(&values[at], &word, sizeof word);
        if (self->faults++ == 0)
            self->first = (fs_fault_record){.tensor = fault->tensor,
                                            .bit = fault->bit,
                                            .place = (uint16_t)array,
                                            .element = fault->element,
                                            .before = old,
                                            .step = (uint32_t)step};
    }
    for (size_t i = 0; i < self->layout->floats; i++)
        self->visible += memcmp(&before[i], &values[i], sizeof *before) != 0;
    free(before);
    fs_fault_list_free(&list);
}

static inline int by_hand_is_hit(const by_hand *self, uint64_t step)
{
    return !self->cell->transient ||
           step == fs_tune_pick(self->cell->draw_key, self->trial, self->cell->steps);
}

static inline fs_status by_hand_after_gradients(void *context, const tr_state *state)
{
    by_hand *self = context;
    if (strcmp(self->cell->site->name, "gradients") == 0 && by_hand_is_hit(self, state->step))
        by_hand_hit(self, FS_TUNE_GRADIENTS, state->step, state->grads);
    return FS_OK;
}

/* Exponent protection, if the campaign has it. */
static inline void by_hand_clip(const by_hand *self, float *values)
{
    const float most = 2 - 0x1p-23f;
    if (!self->f->campaign->finetune.exponent_protection) return;
    for (size_t i = 0; i < self->layout->floats; i++)
        values[i] = fmaxf(-most, fminf(most, values[i]));
}

static inline fs_status by_hand_after_update(void *context, const tr_state *state)
{
    by_hand *self = context;
    by_hand_clip(self, state->values);
    if (!by_hand_is_hit(self, state->step)) return FS_OK;
    if (strcmp(self->cell->site->name, "optimizer") == 0) {
        if (self->cell->set & 1) by_hand_hit(self, FS_TUNE_ADAM_M, state->step, state->m);
        if (self->cell->set & 2) by_hand_hit(self, FS_TUNE_ADAM_V, state->step, state->v);
    }
    if (strcmp(self->cell->site->name, "parameters") == 0)
        by_hand_hit(self, FS_TUNE_PARAMETERS, state->step, state->values);
    return FS_OK;
}

static inline void by_hand_open(by_hand *self, const fixture *f, fs_config *config)
{
    size_t fresh;
    *self = (by_hand){.f = f};
    assert_ok(fs_config_read(config, f->folder));
    assert_ok(tr_layout_new(&self->layout, config,
                            config->task == FS_TASK_LM ? TR_HEAD_CAUSAL : TR_HEAD_CLASSIFY));
    assert_ok(tr_weights_new(&self->weights, self->layout));
    assert_ok(tr_pool_new(&self->pool, 2));
    assert_ok(tr_load_weights(self->weights, f->folder, &fresh));
    assert_int_equal(fresh, 0);
}

static inline void by_hand_close(by_hand *self)
{
    tr_weights_destroy(&self->weights);
    tr_layout_destroy(&self->layout);
    tr_pool_destroy(&self->pool);
}

/* Tunes; the weights are what came out. */
static inline void by_hand_run(by_hand *self, const fixture *f, const fs_cell *cell, uint64_t trial)
{
    const fs_finetune *s = &f->campaign->finetune;
    fs_config config;
    tok *tokeniser;
    tr_source *source;
    tr_trainer *trainer;
    by_hand_open(self, f, &config);
    by_hand_clip(self, tr_weights_values(self->weights));
    self->cell = cell;
    self->trial = trial;
    assert_ok(tok_open(&tokeniser, f->folder));
    const tr_source_options options = {.head = self->layout->head,
                                       .seed = fs_hash_key(s->seed, "order"),
                                       .batch = s->batch,
                                       .window = config.positions};
    assert_ok(tr_source_open(&source, s->data, &config, tokeniser, &options));
    const tr_trainer_options training = {
        .objective = {.dropout = 0.1f,
                      .attention_dropout = 0.1f,
                      .key = fs_hash_key(s->seed, "dropout"),
                      .accumulate = 1},
        .adamw = {0.9, 0.999, 1e-8, 0.01},
        .schedule = {TR_SCHEDULE_LINEAR, s->rate, (uint64_t)(0.1 * (double)s->steps), s->steps},
        .clip = 1};
    const tr_hooks hooks = {
        .context = self, .gradients = by_hand_after_gradients, .updated = by_hand_after_update};
    assert_ok(tr_trainer_new(&trainer, &training, self->weights, self->pool, source, &hooks, NULL));
    for (uint64_t i = 0; i < s->steps && self->diverged == 0; i++) {
        tr_step_report report;
        const fs_status status = tr_trainer_step(trainer, &report);
        if (status != FS_OK) assert_status(status, FS_EDIVERGED);
        if (status != FS_OK) self->diverged = i + 1;
    }
    tr_trainer_destroy(&trainer);
    tr_source_close(&source);
    tok_close(&tokeniser);
}

/* What a folder's model answers. */
typedef struct by_hand_answers {
    const dataset *data;
    uint64_t right, answers;
    double loss;
} by_hand_answers;

static inline fs_status by_hand_take(void *context, const nn_eval_item *item)
{
    by_hand_answers *self = context;
    self->loss += item->loss;
    self->answers += item->answers;
    self->right += self->data->labels != NULL && item->answer == self->data->labels[item->input];
    return FS_OK;
}

/* Saves the tuned model to a folder, opens that through the protection, and answers everything. */
static inline by_hand_answers by_hand_evaluate(const by_hand *self, const fs_variant *variant)
{
    char *dir = testing_folder();
    nn_model *model;
    tok *tokeniser;
    dataset *data;
    by_hand_answers out = {0};
    const tr_save_options options = {.tokenizer = self->f->folder, .end_token = -1};
    assert_ok(tr_save(self->layout, tr_weights_values(self->weights), dir, &options));
    assert_ok(nn_model_open(&model, dir, &variant->protect));
    assert_ok(tok_open(&tokeniser, self->f->folder));
    assert_ok(dataset_read(&data, &self->f->campaign->task, &nn_model_geometry(model)->config,
                           tokeniser));
    out.data = data;
    const nn_eval_options eval = {.threads = 1, .sink = by_hand_take, .context = &out};
    assert_ok(nn_eval_run(model, data, &eval));
    dataset_destroy(&data);
    out.data = NULL;
    tok_close(&tokeniser);
    nn_model_close(&model);
    testing_remove(dir);
    return out;
}

#endif
