#include "wk_tuning.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "assert.h"
#include "file.h"
#include "json_file.h"
#include "log.h"
#include "tok.h"
#include "tr_correct.h"
#include "tr_init.h"
#include "tr_load.h"
#include "tr_save.h"
#include "wk_leftovers.h"
#include "wk_tuner.h"

enum { CHECKPOINT_LAYOUT = 1 /* of what a tuner remembers; raised with any change of it */ };

/** What one thread tunes with. */
typedef struct bench {
    wk_tuner *tuner; /* made when first needed */
    const float **tensors;
} bench;

struct wk_tuning {
    wk_tuning_options options;
    tr_layout *layout;
    float *start;  /* [layout->floats] */
    float *golden; /* the same, NULL until it is made */
    const float **golden_tensors;
    bench *benches;       /* [threads] */
    pthread_mutex_t keep; /* over writing a tuned model: two trials may have the same */
    char checkpoints[FS_PATH_BYTES_MAX], models[FS_PATH_BYTES_MAX]; /* folders */
};

static const fs_finetune *section(const wk_tuning *self)
{
    return &self->options.plan->campaign->finetune;
}

static const char *model_path(const wk_tuning *self)
{
    return self->options.plan->models[self->options.model].path;
}

static size_t tensor_count(const wk_tuning *self)
{
    return self->layout->geometry->tensor_count;
}

static fs_status load_start(wk_tuning *self)
{
    const fs_plan_model *model = &self->options.plan->models[self->options.model];
    const fs_config *config = &model->geometry->config;
    tr_weights *weights = NULL;
    tr_pool *pool = NULL;
    size_t fresh;
    FS_TRY(tr_layout_new(&self->layout, config,
                         config->task == FS_TASK_LM ? TR_HEAD_CAUSAL : TR_HEAD_CLASSIFY));
    const size_t bytes = self->layout->floats * sizeof *self->start;
    self->start = malloc(bytes);
    if (self->start == NULL) return fs_fail(FS_ENOMEM, "no memory for %zu bytes of values", bytes);
    fs_status status = tr_weights_new(&weights, self->layout);
    if (status == FS_OK) status = tr_load_weights(weights, model->path, &fresh);
    if (status == FS_OK) memcpy(self->start, tr_weights_values(weights), bytes);
    tr_weights_destroy(&weights);
    if (status == FS_OK && section(self)->exponent_protection) {
        status = tr_pool_new(&pool, 1);
        if (status == FS_OK) (void)tr_correct_clip(pool, self->start, self->layout->floats);
        tr_pool_destroy(&pool);
    }
    return status;
}

static fs_status make_folders(wk_tuning *self)
{
    if (self->options.work == NULL) return FS_OK;
    FS_TRY(fs_path_join(self->checkpoints, self->options.work, "checkpoints"));
    FS_TRY(fs_path_join(self->models, self->options.work, "models"));
    FS_TRY(fs_dir_make(self->checkpoints));
    wk_leftovers_sweep(self->checkpoints, WK_CHECKPOINTS_MAX);
    return section(self)->keep == FS_KEEP_NONE ? FS_OK : fs_dir_make(self->models);
}

fs_status wk_tuning_new(wk_tuning **out, const wk_tuning_options *options)
{
    *out = NULL;
    FS_ASSERT(options->plan->has_fingerprint);
    wk_tuning *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for fine-tuning");
    self->options = *options;
    pthread_mutex_init(&self->keep, NULL);
    fs_status status = load_start(self);
    if (status == FS_OK) status = make_folders(self);
    if (status == FS_OK) {
        self->benches = calloc(options->threads, sizeof *self->benches);
        if (self->benches == NULL) status = fs_fail(FS_ENOMEM, "no memory for fine-tuning");
    }
    if (status != FS_OK) wk_tuning_destroy(&self);
    *out = self;
    return status;
}

void wk_tuning_destroy(wk_tuning **self)
{
    wk_tuning *t = *self;
    if (t == NULL) return;
    for (unsigned i = 0; t->benches != NULL && i < t->options.threads; i++) {
        wk_tuner_destroy(&t->benches[i].tuner);
        free(t->benches[i].tensors);
    }
    free(t->benches);
    free(t->start);
    free(t->golden);
    free(t->golden_tensors);
    tr_layout_destroy(&t->layout);
    pthread_mutex_destroy(&t->keep);
    free(t);
    *self = NULL;
}

/* A table of where the tensors begin in a flat array. */
static fs_status point(const wk_tuning *self, const float *values, const float ***out)
{
    *out = malloc(tensor_count(self) * sizeof **out);
    if (*out == NULL) return fs_fail(FS_ENOMEM, "no memory for fine-tuning");
    for (size_t i = 0; i < tensor_count(self); i++)
        (*out)[i] = values + self->layout->tensors[i].first;
    return FS_OK;
}

static fs_status make_tuner(const wk_tuning *self, unsigned threads, wk_tuner **out)
{
    const wk_tune_base base = {section(self), model_path(self), self->layout, self->start};
    return wk_tuner_new(out, &base, threads);
}

/* What a checkpoint belongs to: the campaign with its models and data, the run. `cell` NULL: the
 * fault-free one. */
static void fingerprint(const wk_tuning *self, const fs_cell *cell, uint64_t trial, fs_hash *out)
{
    fs_hasher hasher;
    const uint64_t numbers[] = {CHECKPOINT_LAYOUT, self->options.model, trial};
    const char *id = cell == NULL ? "" : cell->id;
    fs_hasher_init(&hasher);
    fs_hasher_field(&hasher, self->options.plan->fingerprint.bytes, FS_HASH_BYTES);
    fs_hasher_field(&hasher, numbers, sizeof numbers);
    fs_hasher_field(&hasher, id, strlen(id));
    fs_hasher_final(&hasher, out);
}

/* Fills a job; its checkpoint's file is named by the fingerprint. */
static fs_status make_job(const wk_tuning *self, const fs_cell *cell, uint64_t trial, int resume,
                          char path[FS_PATH_BYTES_MAX], wk_tune_job *out)
{
    char hex[FS_HASH_HEX_BYTES], name[FS_HASH_HEX_BYTES + 8];
    *out = (wk_tune_job){.cell = cell, .trial = trial, .stays = cell == NULL};
    if (!resume || self->options.afresh || self->options.work == NULL ||
        section(self)->checkpoint_steps == 0)
        return FS_OK;
    fingerprint(self, cell, trial, &out->fingerprint);
    fs_hash_hex(&out->fingerprint, hex);
    snprintf(name, sizeof name, "%.32s" WK_CHECKPOINT_ENDING, hex);
    out->checkpoint = path;
    return fs_path_join(path, self->checkpoints, name);
}

static fs_status tune_golden(wk_tuning *self, wk_tuner *tuner)
{
    char path[FS_PATH_BYTES_MAX];
    const size_t bytes = self->layout->floats * sizeof *self->golden;
    fs_trial_record record;
    wk_tune_job job;
    FS_TRY(make_job(self, NULL, 0, 1, path, &job));
    FS_TRY(wk_tuner_run(tuner, &job, &record));
    if (record.diverged != 0)
        return fs_fail(FS_EDIVERGED,
                       "fine-tuning diverges without any fault, in step %" PRIu32
                       ": a smaller finetune.learning_rate or a longer warmup may help",
                       record.diverged);
    float *golden = malloc(bytes);
    if (golden == NULL) return fs_fail(FS_ENOMEM, "no memory for %zu bytes of values", bytes);
    memcpy(golden, wk_tuner_values(tuner), bytes);
    fs_status status = point(self, golden, &self->golden_tensors);
    if (status != FS_OK)
        free(golden);
    else
        self->golden = golden;
    return status;
}

fs_status wk_tuning_golden(wk_tuning *self, const float *const **tensors)
{
    if (self->golden == NULL) {
        wk_tuner *tuner = NULL;
        FS_TRY(make_tuner(self, self->options.threads, &tuner));
        fs_status status = tune_golden(self, tuner);
        wk_tuner_destroy(&tuner);
        FS_TRY(status);
    }
    *tensors = self->golden_tensors;
    return FS_OK;
}

fs_status wk_tuning_run(wk_tuning *self, unsigned thread, const fs_cell *cell, uint64_t trial,
                        int resume, fs_trial_record *record, const float *const **tensors)
{
    FS_ASSERT(thread < self->options.threads);
    char path[FS_PATH_BYTES_MAX];
    bench *b = &self->benches[thread];
    wk_tune_job job;
    if (b->tuner == NULL) FS_TRY(make_tuner(self, 1, &b->tuner));
    if (b->tensors == NULL) FS_TRY(point(self, wk_tuner_values(b->tuner), &b->tensors));
    FS_TRY(make_job(self, cell, trial, resume, path, &job));
    *tensors = b->tensors;
    return wk_tuner_run(b->tuner, &job, record);
}

/* Tuned models. */

static fs_status save(const wk_tuning *self, const float *values, const char *dir)
{
    char path[FS_PATH_BYTES_MAX];
    tok *tokeniser = NULL;
    json_t *base = NULL;
    FS_TRY(fs_path_join(path, model_path(self), "config.json"));
    FS_TRY(fs_json_file_read(&base, path, FS_JSON_BYTES_MAX));
    fs_status status = tok_open(&tokeniser, model_path(self));
    if (status == FS_OK) status = fs_dir_make(dir);
    if (status == FS_OK) {
        const tr_save_options options = {.tokenizer = model_path(self),
                                         .base = base,
                                         .dropout = section(self)->dropout,
                                         .attention_dropout = section(self)->attention_dropout,
                                         .range = TR_INIT_RANGE,
                                         .end_token = tok_special_id(tokeniser, TOK_SPECIAL_END)};
        status = tr_save(self->layout, values, dir, &options);
    }
    tok_close(&tokeniser);
    json_decref(base);
    return status;
}

/* The record counts without its model, which replay makes again. What was written of it goes. */
static fs_status do_without(const char *dir)
{
    char weights[FS_PATH_BYTES_MAX];
    fs_warn("a tuned model is not kept, replay of its trial makes it again: %s",
            fs_status_detail());
    FS_TRY(fs_path_join(weights, dir, "model.safetensors"));
    (void)unlink(weights);
    return FS_OK;
}

fs_status wk_tuning_keep(wk_tuning *self, unsigned thread, const fs_trial_record *record)
{
    char hex[FS_HASH_HEX_BYTES], dir[FS_PATH_BYTES_MAX], whole[FS_PATH_BYTES_MAX];
    const fs_tune_keep keep = section(self)->keep;
    if (self->options.work == NULL || record->diverged != 0 || keep == FS_KEEP_NONE ||
        (keep == FS_KEEP_CRITICAL && !record->critical))
        return FS_OK;
    fs_hash_hex(&record->model, hex);
    FS_TRY(fs_path_join(dir, self->models, hex));
    FS_TRY(fs_path_join(whole, dir, "config.json"));
    pthread_mutex_lock(&self->keep);
    fs_status status = FS_OK;
    if (!fs_file_exists(whole))
        status = save(self, wk_tuner_values(self->benches[thread].tuner), dir);
    if (status == FS_ENOSPC) status = do_without(dir);
    pthread_mutex_unlock(&self->keep);
    return status;
}
