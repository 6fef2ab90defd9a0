#include "wk_tuner.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "assert.h"
#include "file.h"
#include "hash.h"
#include "log.h"
#include "outfile.h"
#include "tok.h"
#include "tr_checkpoint.h"
#include "tr_correct.h"
#include "tr_faults.h"
#include "tr_hash.h"
#include "tr_trainer.h"
#include "tuning.h"

/** What a trial remembers of its faults from step to step. */
typedef struct progress {
    uint64_t faults, effective, visible, checksum;
    uint64_t kept;
    fs_fault_record fault[FS_FAULTS_KEPT_MAX];
} progress;

struct wk_tuner {
    wk_tune_base base;
    tr_pool *pool;
    tr_source *source;
    tr_weights *weights;
    tr_hooks protection; /* keeps exponents small */
    tr_fault_draws draws;
    tr_faults *faults;
    tr_trainer *trainer;
    /* Of the run being made: */
    const wk_tune_job *job;
    uint64_t only; /* the step that is hit; UINT64_MAX: each */
    progress progress;
};

/* Faults. */

static fs_status draw(void *context, fs_tune_array array, uint64_t step, fs_fault_list *out)
{
    wk_tuner *self = context;
    const fs_cell *cell = self->job->cell;
    progress *p = &self->progress;
    out->count = 0;
    if (self->only != UINT64_MAX && self->only != step) return FS_OK;
    FS_TRY(fs_tune_draw(out, cell->space, cell->amount, &cell->form, cell->draw_key,
                        self->job->trial, step, array));
    p->faults += out->count;
    p->checksum = fs_tune_checksum(p->checksum, step, array, out);
    if (p->faults <= FS_FAULTS_PER_TRIAL_MAX) return FS_OK;
    return fs_fail(FS_ELIMIT, "a trial has more than %llu faults",
                   (unsigned long long)FS_FAULTS_PER_TRIAL_MAX);
}

static void note(void *context, const tr_fault_hit *hit)
{
    progress *p = &((wk_tuner *)context)->progress;
    p->effective += hit->effective;
    p->visible += hit->read != hit->before;
    for (size_t i = 0; i < hit->count && p->kept < FS_FAULTS_KEPT_MAX; i++) {
        const fs_fault *fault = &hit->faults[i];
        p->fault[p->kept++] = (fs_fault_record){.tensor = fault->tensor,
                                                .bit = fault->bit,
                                                .kind = fault->kind,
                                                .place = (uint16_t)hit->array,
                                                .element = fault->element,
                                                .before = hit->before,
                                                .after = hit->after,
                                                .value_before = hit->before,
                                                .value_after = hit->read,
                                                .step = (uint32_t)hit->step};
    }
}

/* Making one. */

fs_status wk_tuner_check_data(const fs_finetune *finetune)
{
    fs_hash hash;
    fs_status status = fs_hash_file(&hash, finetune->data);
    if (status != FS_OK) return fs_wrap(status, "finetune.data");
    if (fs_hash_equal(&hash, &finetune->data_hash)) return FS_OK;
    return fs_fail(FS_EREFUSED,
                   "%s: is not what the campaign's fine-tuning learns from: it was "
                   "changed since",
                   finetune->data);
}

static fs_status open_source(wk_tuner *self)
{
    const fs_finetune *f = self->base.finetune;
    const tr_layout *layout = self->base.layout;
    const fs_config *config = &layout->geometry->config;
    const tr_source_options options = {.head = layout->head,
                                       .seed = fs_hash_key(f->seed, "order"),
                                       .batch = f->batch,
                                       .window = f->window != 0 ? f->window : config->positions};
    tok *tokeniser = NULL;
    FS_TRY(tok_open(&tokeniser, self->base.model));
    fs_status status = tr_source_open(&self->source, f->data, config, tokeniser, &options);
    tok_close(&tokeniser);
    /* Hours may lie between the campaign's start and a thread's first trial. */
    if (status == FS_OK) status = wk_tuner_check_data(f);
    return status;
}

/* Clipping keeps a value's sign, and that of a NaN is the processor's: one stands for all first. */
static fs_status clip(void *context, const tr_state *state)
{
    for (size_t i = 0; i < state->layout->floats; i++)
        if (isnan(state->values[i])) state->values[i] = NAN;
    (void)tr_correct_clip(((wk_tuner *)context)->pool, state->values, state->layout->floats);
    return FS_OK;
}

static fs_status make_hooks(wk_tuner *self)
{
    const int protects = self->base.finetune->exponent_protection;
    self->protection = (tr_hooks){.context = self, .updated = clip};
    self->draws = (tr_fault_draws){.context = self, .draw = draw, .hit = note};
    const tr_faults_options options = {.draws = &self->draws, .clear_bit_30 = protects};
    return tr_faults_new(&self->faults, &options, protects ? &self->protection : NULL);
}

static fs_status make_trainer(wk_tuner *self)
{
    static const tr_schedule_kind kinds[] = {[FS_TUNE_LINEAR] = TR_SCHEDULE_LINEAR,
                                             [FS_TUNE_COSINE] = TR_SCHEDULE_COSINE,
                                             [FS_TUNE_CONSTANT] = TR_SCHEDULE_CONSTANT};
    const fs_finetune *f = self->base.finetune;
    const double warmup = f->warmup < 1 ? f->warmup * (double)f->steps : f->warmup;
    const tr_trainer_options options = {
        .objective = {.dropout = (float)f->dropout,
                      .attention_dropout = (float)f->attention_dropout,
                      .key = fs_hash_key(f->seed, "dropout"),
                      .accumulate = 1},
        .adamw = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .decay = f->decay},
        .schedule = {.kind = kinds[f->schedule],
                     .peak = f->rate,
                     .warmup_steps = (uint64_t)warmup,
                     .steps = f->steps},
        .clip = f->clip,
    };
    return tr_trainer_new(&self->trainer, &options, self->weights, self->pool, self->source,
                          tr_faults_hooks(self->faults), NULL);
}

fs_status wk_tuner_new(wk_tuner **out, const wk_tune_base *base, unsigned threads)
{
    *out = NULL;
    wk_tuner *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for fine-tuning");
    self->base = *base;
    fs_status status = tr_pool_new(&self->pool, threads);
    if (status == FS_OK) status = open_source(self);
    if (status == FS_OK) status = tr_weights_new(&self->weights, base->layout);
    if (status == FS_OK) status = make_hooks(self);
    if (status == FS_OK) status = make_trainer(self);
    if (status != FS_OK) wk_tuner_destroy(&self);
    *out = self;
    return status;
}

void wk_tuner_destroy(wk_tuner **self)
{
    wk_tuner *t = *self;
    if (t == NULL) return;
    tr_trainer_destroy(&t->trainer);
    tr_faults_destroy(&t->faults);
    tr_weights_destroy(&t->weights);
    tr_source_close(&t->source);
    tr_pool_destroy(&t->pool);
    free(t);
    *self = NULL;
}

/* Checkpoints. */

static tr_checkpoint describe(wk_tuner *self)
{
    const tr_state *state = tr_trainer_state(self->trainer);
    return (tr_checkpoint){.fingerprint = self->job->fingerprint,
                           .step = state->step,
                           .floats = state->layout->floats,
                           .arrays = 3,
                           .data = {state->values, state->m, state->v},
                           .extra = &self->progress,
                           .extra_bytes = sizeof self->progress};
}

static void save(wk_tuner *self)
{
    const tr_checkpoint c = describe(self);
    if (tr_checkpoint_write(&c, self->job->checkpoint) != FS_OK)
        fs_warn("no checkpoint of a fine-tuning trial: %s", fs_status_detail());
}

static void begin(wk_tuner *self)
{
    const wk_tune_job *job = self->job;
    const fs_cell *cell = job->cell;
    tr_state *state = tr_trainer_state(self->trainer);
    const size_t floats = state->layout->floats;
    memcpy(state->values, self->base.start, floats * sizeof *state->values);
    for (size_t i = 0; i < floats; i++) state->m[i] = state->v[i] = 0;
    state->step = 0;
    memset(&self->progress, 0, sizeof self->progress);
    self->draws.arrays = cell == NULL ? 0 : fs_cell_arrays(cell);
    self->only = UINT64_MAX;
    if (cell != NULL && cell->transient)
        self->only = fs_tune_pick(cell->draw_key, job->trial, self->base.finetune->steps);
}

/* Puts a checkpoint's state into the trainer. @return zero if it is of no use. */
static int resume(wk_tuner *self)
{
    tr_checkpoint c = describe(self);
    fs_status status = tr_checkpoint_read(&c, self->job->checkpoint);
    if (status == FS_OK &&
        (c.step > self->base.finetune->steps || self->progress.kept > FS_FAULTS_KEPT_MAX))
        status = fs_fail(FS_ECORRUPT, "%s: has impossible numbers", self->job->checkpoint);
    if (status != FS_OK) {
        fs_warn("a fine-tuning trial begins anew: %s", fs_status_detail());
        return 0;
    }
    tr_trainer_state(self->trainer)->step = c.step;
    /* One that is in use is no leftover (wk_leftovers.h). */
    (void)utimensat(AT_FDCWD, self->job->checkpoint, NULL, 0);
    return 1;
}

/* The run. */

static fs_status make_steps(wk_tuner *self, fs_trial_record *record)
{
    const uint64_t steps = self->base.finetune->steps;
    const uint64_t every = self->base.finetune->checkpoint_steps;
    const wk_tune_job *job = self->job;
    const tr_state *state = tr_trainer_state(self->trainer);
    while (state->step < steps) {
        tr_step_report report;
        fs_status status = tr_trainer_step(self->trainer, &report);
        if (status == FS_EDIVERGED) {
            record->diverged = (uint32_t)report.step;
            return FS_OK;
        }
        FS_TRY(status);
        const int last = state->step == steps;
        const int due = last ? job->stays : every != 0 && state->step % every == 0;
        if (due && job->checkpoint != NULL) save(self);
    }
    return FS_OK;
}

static void fill(const wk_tuner *self, fs_trial_record *record)
{
    const progress *p = &self->progress;
    record->faults = p->faults;
    record->effective = p->effective;
    record->visible = p->visible;
    record->faults_checksum = p->checksum;
    record->kept = (uint32_t)p->kept;
    memcpy(record->fault, p->fault, sizeof record->fault);
    tr_hash_values(&record->model, self->base.layout, wk_tuner_values(self));
}

fs_status wk_tuner_run(wk_tuner *self, const wk_tune_job *job, fs_trial_record *record)
{
    *record = (fs_trial_record){.tuned = 1};
    self->job = job;
    begin(self);
    if (job->checkpoint != NULL && fs_file_exists(job->checkpoint) && !resume(self)) begin(self);
    tr_trainer_restored(self->trainer);
    FS_TRY(make_steps(self, record));
    fill(self, record);
    if (job->checkpoint == NULL) return FS_OK;
    if (!job->stays) (void)unlink(job->checkpoint);
    fs_outfile_sweep(job->checkpoint);
    return FS_OK;
}

const float *wk_tuner_values(const wk_tuner *self)
{
    return tr_trainer_state(self->trainer)->values;
}
