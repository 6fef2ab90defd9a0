/** A fine-tuning trial the long way round: a trainer of its own is made for each, faults are put
 * into its arrays by hand, and what comes out is stored, read and run as in brute_force.h. */
#ifndef BRUTE_TUNE_H
#define BRUTE_TUNE_H

#include "brute_force.h"

#include "tok.h"
#include "tr_hash.h"
#include "tr_load.h"
#include "tr_trainer.h"
#include "tuning.h"

/* A run while it is made. */
typedef struct brute_tune {
    const fs_cell *cell; /* NULL: without faults */
    uint64_t trial, steps;
    fs_trial_record *record;
} brute_tune;

static inline void brute_tune_keep(const brute_tune *self, const fs_fault *fault,
                                   fs_fault_record kept)
{
    if (self->record->kept == FS_FAULTS_KEPT_MAX) return;
    kept.tensor = fault->tensor;
    kept.bit = fault->bit;
    kept.kind = fault->kind;
    kept.element = fault->element;
    self->record->fault[self->record->kept++] = kept;
}

/* Hits an array of a step by hand. */
static inline void brute_tune_hit(const brute_tune *self, const tr_state *state,
                                  fs_tune_array array, float *values)
{
    const fs_cell *cell = self->cell;
    fs_fault_list list = {0};
    if (cell == NULL || !(fs_cell_arrays(cell) >> array & 1)) return;
    if (cell->transient && fs_tune_pick(cell->draw_key, self->trial, self->steps) != state->step)
        return;
    assert_ok(fs_tune_draw(&list, cell->space, cell->amount, &cell->form, cell->draw_key,
                           self->trial, state->step, array));
    self->record->faults += list.count;
    self->record->faults_checksum =
        fs_tune_checksum(self->record->faults_checksum, state->step, array, &list);
    for (size_t i = 0, end; i < list.count; i = end) {
        const fs_fault *first = &list.items[i];
        float *value = &values[state->layout->tensors[first->tensor].first + first->element];
        const uint32_t before = isnan(*value) ? BRUTE_NAN : brute_bits(*value);
        uint32_t after = before;
        for (end = i; end < list.count && list.items[end].tensor == first->tensor &&
                      list.items[end].element == first->element;
             end++) {
            const uint32_t hit = brute_hit_bit(after, list.items[end].bit, list.items[end].kind);
            self->record->effective += hit != after;
            after = hit;
        }
        self->record->visible += after != before;
        *value = brute_float(after);
        const fs_fault_record kept = {.place = (uint16_t)array,
                                      .before = before,
                                      .after = after,
                                      .value_before = before,
                                      .value_after = after,
                                      .step = (uint32_t)state->step};
        for (size_t f = i; f < end; f++) brute_tune_keep(self, &list.items[f], kept);
    }
    fs_fault_list_free(&list);
}

static inline fs_status brute_tune_gradients(void *context, const tr_state *state)
{
    brute_tune_hit(context, state, FS_TUNE_GRADIENTS, state->grads);
    return FS_OK;
}

static inline fs_status brute_tune_updated(void *context, const tr_state *state)
{
    brute_tune_hit(context, state, FS_TUNE_ADAM_M, state->m);
    brute_tune_hit(context, state, FS_TUNE_ADAM_V, state->v);
    brute_tune_hit(context, state, FS_TUNE_PARAMETERS, state->values);
    return FS_OK;
}

static inline void brute_tune_open(const fs_finetune *f, const char *folder, tr_weights *weights,
                                   const tr_layout *layout, tr_pool *pool, const tr_hooks *hooks,
                                   tr_source **source, tr_trainer **trainer)
{
    const fs_config *config = &layout->geometry->config;
    const tr_source_options options = {.head = layout->head,
                                       .seed = fs_hash_key(f->seed, "order"),
                                       .batch = f->batch,
                                       .window = config->positions};
    const tr_trainer_options training = {
        .objective = {.dropout = (float)f->dropout,
                      .attention_dropout = (float)f->attention_dropout,
                      .key = fs_hash_key(f->seed, "dropout"),
                      .accumulate = 1},
        .adamw = {0.9, 0.999, 1e-8, f->decay},
        .schedule = {TR_SCHEDULE_LINEAR, f->rate, (uint64_t)(f->warmup * (double)f->steps),
                     f->steps},
        .clip = f->clip};
    tok *tokeniser;
    assert_int_equal(f->schedule, FS_TUNE_LINEAR);
    assert_true(f->window == 0 && f->warmup < 1 && !f->exponent_protection);
    assert_ok(tok_open(&tokeniser, folder));
    assert_ok(tr_source_open(source, f->data, config, tokeniser, &options));
    assert_ok(tr_trainer_new(trainer, &training, weights, pool, *source, hooks, NULL));
    tok_close(&tokeniser);
}

/** Tunes the model of a folder as the campaign says; `out` becomes what the parameters are then.
 * Fills the faults' part of the record, `diverged` and `model`. */
static inline void brute_tune_run(const fs_plan *plan, const char *folder, const fs_cell *cell,
                                  uint64_t trial, brute_values *out, fs_trial_record *record)
{
    const fs_finetune *f = &plan->campaign->finetune;
    const fs_config *config = &out->geometry->config;
    brute_tune run = {cell, trial, f->steps, record};
    const tr_hooks hooks = {
        .context = &run, .gradients = brute_tune_gradients, .updated = brute_tune_updated};
    tr_layout *layout;
    tr_weights *weights;
    tr_pool *pool;
    tr_source *source;
    tr_trainer *trainer;
    size_t fresh;
    assert_ok(tr_layout_new(&layout, config,
                            config->task == FS_TASK_LM ? TR_HEAD_CAUSAL : TR_HEAD_CLASSIFY));
    assert_ok(tr_weights_new(&weights, layout));
    assert_ok(tr_pool_new(&pool, 1));
    assert_ok(tr_load_weights(weights, folder, &fresh));
    brute_tune_open(f, folder, weights, layout, pool, &hooks, &source, &trainer);
    for (uint64_t i = 0; i < f->steps && record->diverged == 0; i++) {
        tr_step_report report;
        const fs_status status = tr_trainer_step(trainer, &report);
        if (status != FS_OK) assert_status(status, FS_EDIVERGED);
        if (status != FS_OK) record->diverged = (uint32_t)(i + 1);
    }
    const float *values = tr_weights_values(weights);
    tr_hash_values(&record->model, layout, values);
    for (size_t t = 0; t < out->geometry->tensor_count; t++)
        memcpy(out->of[t], values + layout->tensors[t].first,
               brute_values_in(out->geometry, t) * sizeof *values);
    tr_trainer_destroy(&trainer);
    tr_source_close(&source);
    tr_pool_destroy(&pool);
    tr_weights_destroy(&weights);
    tr_layout_destroy(&layout);
}

/* No model came out: nobody answers anything. */
static inline void brute_tune_nothing(const brute_force *self, fs_trial_record *record)
{
    record->outcome = FS_OUTCOME_DUE;
    record->inputs = record->due = self->data->count;
    record->answers = record->answers_changed = self->data->answers;
    record->loss = record->kl_mean = (double)NAN;
    record->metric = self->data->kind == FS_TASK_LM ? (double)NAN : 0;
    record->deviation_max = (double)INFINITY;
}

static inline int brute_tune_finite(const brute_values *values)
{
    for (size_t t = 0; t < values->geometry->tensor_count; t++)
        for (size_t e = 0; e < brute_values_in(values->geometry, t); e++)
            if (!isfinite(values->of[t][e])) return 0;
    return 1;
}

/** One trial of a cell of phase finetune; `golden` is of a model that was tuned without faults. */
static inline void brute_tune_trial(const brute_force *self, const char *folder,
                                    const brute_golden *golden, const fs_cell *cell, uint64_t trial,
                                    fs_trial_record *record)
{
    const fs_protect *protect = &self->plan->variants[cell->variant].protect;
    brute_force tuned = {self->plan, self->data, {0}};
    *record = (fs_trial_record){.tuned = 1};
    brute_values_open(&tuned.file, self->file.geometry);
    brute_tune_run(self->plan, folder, cell, trial, &tuned.file, record);
    /* int8 has no word for what is not finite. */
    const int held = protect->format != FS_FORMAT_INT8 || brute_tune_finite(&tuned.file);
    uint64_t right = 0;
    if (record->diverged != 0 || !held)
        brute_tune_nothing(self, record);
    else
        right = brute_evaluate(&tuned, golden, protect, record);
    brute_decide(self, golden, right, record);
    brute_force_close(&tuned);
}

#endif
