#include "wk_executor.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "dataset.h"
#include "hash.h"
#include "rng.h"
#include "tok.h"
#include "wk_golden.h"
#include "wk_trial.h"
#include "wk_tuner.h"
#include "wk_tuning.h"

enum { CHECK_EVERY_TRIALS = 64 };
#define AUDIT_STREAM 0x6175646974u /* "audit": apart from the streams that draw faults */

/* One set of weights and its golden run. Variants that read the same weights share it: protection
 * and guard often change no clean value. */
typedef struct image {
    nn_model *model;
    wk_golden *golden;
    uint32_t plan_model;
    wk_trial **trials; /* [threads], made when first needed, each used by its thread alone */
} image;

typedef struct variant_slot {
    pthread_mutex_t lock;      /* over the slot: held while it is made, which may take hours */
    image *made;               /* NULL until then */
    fs_protection *protection; /* the variant's own, whoever's image it reads */
    fs_status status;
    char why[512]; /* detail of a failed making */
} variant_slot;

/* A model that is tuned. */
typedef struct tuned_model {
    pthread_mutex_t lock; /* over its fault-free run, which its variants share */
    wk_tuning *tuning;    /* NULL until it is first needed */
} tuned_model;

struct wk_executor {
    const fs_plan *plan;
    wk_options options;
    dataset **data;       /* [model_count] */
    variant_slot *slots;  /* [variant_count] */
    pthread_mutex_t lock; /* over images: golden runs, on all threads, are made one by one */
    image **images;       /* [variant_count] room, image_count made */
    size_t image_count;
    tuned_model *tuned;   /* [model_count] */
    uint64_t *trials_run; /* [threads] */
};

static fs_status read_data(wk_executor *self, size_t m)
{
    const fs_plan_model *model = &self->plan->models[m];
    tok *tokeniser = NULL;
    FS_TRY(tok_open(&tokeniser, model->path));
    fs_status status = dataset_read(&self->data[m], &self->plan->campaign->task,
                                    &model->geometry->config, tokeniser);
    tok_close(&tokeniser);
    return status;
}

/* What is learnt from must be what the campaign was planned with, and be known not to be before
 * any trial is asked for. */
static fs_status check_tuning_data(const wk_executor *self)
{
    for (size_t v = 0; v < self->plan->variant_count; v++)
        if (self->plan->variants[v].tuned)
            return wk_tuner_check_data(&self->plan->campaign->finetune);
    return FS_OK;
}

static fs_status make_tables(wk_executor *self)
{
    const fs_plan *plan = self->plan;
    self->data = calloc(plan->model_count, sizeof *self->data);
    self->slots = calloc(plan->variant_count, sizeof *self->slots);
    self->images = calloc(plan->variant_count, sizeof(image *));
    self->tuned = calloc(plan->model_count, sizeof *self->tuned);
    self->trials_run = calloc(self->options.threads, sizeof *self->trials_run);
    for (size_t v = 0; self->slots != NULL && v < plan->variant_count; v++)
        pthread_mutex_init(&self->slots[v].lock, NULL);
    for (size_t m = 0; self->tuned != NULL && m < plan->model_count; m++)
        pthread_mutex_init(&self->tuned[m].lock, NULL);
    if (!self->data || !self->slots || !self->images || !self->tuned || !self->trials_run)
        return fs_fail(FS_ENOMEM, "no memory for the executor");
    return FS_OK;
}

fs_status wk_executor_new(wk_executor **out, const fs_plan *plan, const wk_options *options)
{
    FS_ASSERT(plan->has_fingerprint && options->threads >= 1 && options->threads <= FS_THREADS_MAX);
    *out = NULL;
    wk_executor *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for the executor");
    pthread_mutex_init(&self->lock, NULL);
    self->plan = plan;
    self->options = *options;
    fs_status status = make_tables(self);
    if (status == FS_OK) status = check_tuning_data(self);
    for (size_t m = 0; m < plan->model_count && status == FS_OK; m++) status = read_data(self, m);
    if (status != FS_OK) wk_executor_destroy(&self);
    *out = self;
    return status;
}

static void image_destroy(image *self, unsigned threads)
{
    if (self == NULL) return;
    for (unsigned t = 0; self->trials != NULL && t < threads; t++) {
        wk_trial_destroy(&self->trials[t]);
    }
    free(self->trials);
    wk_golden_destroy(&self->golden);
    nn_model_close(&self->model);
    free(self);
}

void wk_executor_destroy(wk_executor **self)
{
    wk_executor *e = *self;
    if (e == NULL) return;
    for (size_t i = 0; i < e->image_count; i++) image_destroy(e->images[i], e->options.threads);
    for (size_t m = 0; e->tuned != NULL && m < e->plan->model_count; m++) {
        wk_tuning_destroy(&e->tuned[m].tuning);
        pthread_mutex_destroy(&e->tuned[m].lock);
    }
    for (size_t m = 0; e->data != NULL && m < e->plan->model_count; m++) {
        dataset_destroy(&e->data[m]);
    }
    pthread_mutex_destroy(&e->lock);
    for (size_t i = 0; e->slots != NULL && i < e->plan->variant_count; i++) {
        fs_protection_destroy(&e->slots[i].protection);
        pthread_mutex_destroy(&e->slots[i].lock);
    }
    free(e->data);
    free(e->slots);
    free(e->images);
    free(e->tuned);
    free(e->trials_run);
    free(e);
    *self = NULL;
}

static uint64_t golden_bytes_left(const wk_executor *self)
{
    uint64_t used = 0;
    for (size_t i = 0; i < self->image_count; i++) used += wk_golden_bytes(self->images[i]->golden);
    return used < self->options.golden_bytes_max ? self->options.golden_bytes_max - used : 0;
}

/* Tunes the model without faults, unless another variant has done so. */
static fs_status tune_golden(wk_executor *self, uint32_t model, const float *const **tensors)
{
    tuned_model *tuned = &self->tuned[model];
    const wk_tuning_options options = {self->plan, model, self->options.work, self->options.threads,
                                       self->options.afresh};
    fs_status status = FS_OK;
    pthread_mutex_lock(&tuned->lock);
    if (tuned->tuning == NULL) status = wk_tuning_new(&tuned->tuning, &options);
    if (status == FS_OK) status = wk_tuning_golden(tuned->tuning, tensors);
    pthread_mutex_unlock(&tuned->lock);
    return status;
}

/* The weights as the variant reads them: of the model's folder, or tuned without faults. */
static fs_status open_weights(wk_executor *self, const fs_variant *variant, nn_model **out)
{
    const fs_plan_model *model = &self->plan->models[variant->model];
    const float *const *tensors;
    if (!variant->tuned) return nn_model_open(out, model->path, &variant->protect);
    FS_TRY(tune_golden(self, variant->model, &tensors));
    return nn_model_of_values(out, &model->geometry->config, tensors, &variant->protect, NULL);
}

static int is_same(const image *a, const image *b)
{
    return a->plan_model == b->plan_model &&
           nn_model_checksum(a->model) == nn_model_checksum(b->model) &&
           nn_model_activations(a->model) == nn_model_activations(b->model) &&
           nn_model_restriction(a->model) == nn_model_restriction(b->model);
}

/* Makes the golden run of an image with its weights, which is taken; or drops it for one that reads
 * the same. */
static fs_status complete(wk_executor *self, image *made, image **out)
{
    for (size_t i = 0; i < self->image_count; i++) {
        if (!is_same(self->images[i], made)) continue;
        image_destroy(made, self->options.threads);
        *out = self->images[i];
        return FS_OK;
    }
    fs_status status = wk_golden_new(&made->golden, made->model, self->data[made->plan_model],
                                     self->options.threads, golden_bytes_left(self));
    if (status != FS_OK) {
        image_destroy(made, self->options.threads);
        return status;
    }
    self->images[self->image_count++] = made;
    *out = made;
    return FS_OK;
}

/* Loads the variant's weights; makes their golden run unless another variant reads the same. */
static fs_status make_image(wk_executor *self, const fs_variant *variant,
                            fs_protection **protection, image **out)
{
    image *made = calloc(1, sizeof *made);
    if (made == NULL) return fs_fail(FS_ENOMEM, "no memory for a model");
    made->plan_model = variant->model;
    made->trials = calloc(self->options.threads, sizeof(wk_trial *));
    fs_status status = made->trials == NULL ? fs_fail(FS_ENOMEM, "no memory for a model")
                                            : open_weights(self, variant, &made->model);
    if (status != FS_OK) {
        image_destroy(made, self->options.threads);
        return status;
    }
    nn_model_take_protection(made->model, protection);
    pthread_mutex_lock(&self->lock);
    status = complete(self, made, out);
    pthread_mutex_unlock(&self->lock);
    return status;
}

static fs_status image_of(wk_executor *self, uint32_t variant, image **out)
{
    FS_ASSERT(variant < self->plan->variant_count);
    variant_slot *slot = &self->slots[variant];
    pthread_mutex_lock(&slot->lock);
    if (slot->made == NULL && slot->status == FS_OK) {
        slot->status =
            make_image(self, &self->plan->variants[variant], &slot->protection, &slot->made);
        strncpy(slot->why, fs_status_detail(), sizeof slot->why - 1);
    }
    *out = slot->made;
    fs_status status = slot->status;
    pthread_mutex_unlock(&slot->lock);
    return status == FS_OK ? FS_OK : fs_fail(status, "%s", slot->why);
}

/* Over the bounds of weights and those of activations. */
static uint64_t bounds_checksum(const fs_protection *protection, const nn_ranges *ranges)
{
    const uint64_t weights = fs_protection_checksum(protection);
    if (ranges == NULL) return weights;
    const uint64_t sums[2] = {weights, nn_ranges_checksum(ranges)};
    return fs_checksum(sums, sizeof sums);
}

fs_status wk_executor_golden(wk_executor *self, uint32_t variant, wk_golden_info *out)
{
    image *found;
    FS_TRY(image_of(self, variant, &found));
    *out = found->golden->info;
    out->bounds_checksum = bounds_checksum(self->slots[variant].protection, found->golden->ranges);
    return FS_OK;
}

/* What a trial runs on. */
typedef struct bench {
    wk_trial *trial;
    wk_tuning *tuning; /* NULL: the cell is of phase inference */
    const fs_variant *variant;
    const fs_protection *protection;
    unsigned thread;
} bench;

/* Tunes under the trial's faults and evaluates what came out, stored afresh. */
static fs_status run_tuned(const bench *b, const fs_cell *cell, uint64_t trial, int resume,
                           fs_trial_record *out)
{
    const fs_config *config = &cell->space->geometry->config;
    const float *const *tensors;
    nn_model *model = NULL;
    FS_TRY(wk_tuning_run(b->tuning, b->thread, cell, trial, resume, out, &tensors));
    if (out->diverged != 0) {
        wk_trial_nothing(b->trial, out);
        return FS_OK;
    }
    fs_status status =
        nn_model_of_values(&model, config, tensors, &b->variant->protect, b->protection);
    if (status == FS_EFORMAT) { /* int8 has no word for what is not finite */
        wk_trial_nothing(b->trial, out);
        status = FS_OK;
    } else {
        FS_TRY(status);
        status = wk_trial_evaluate(b->trial, model, out);
        nn_model_close(&model);
    }
    if (status == FS_OK) status = wk_tuning_keep(b->tuning, b->thread, out);
    return status;
}

/* `slow`: a fast way would be to go on from what is known, by golden states or a checkpoint. */
static fs_status run_one(const bench *b, const fs_cell *cell, uint64_t trial, int slow,
                         fs_trial_record *out)
{
    if (b->tuning != NULL) return run_tuned(b, cell, trial, !slow, out);
    return wk_trial_run(b->trial, cell, b->protection, trial, slow, out);
}

static int audited(const wk_executor *self, const fs_cell *cell, uint64_t trial)
{
    if (self->options.audit <= 0) return 0;
    fs_rng rng;
    fs_rng_init(&rng, cell->draw_key ^ AUDIT_STREAM, trial);
    return fs_rng_unit(&rng) <= self->options.audit;
}

/* The same trial by brute force must give the same record. */
static fs_status audit(const bench *b, const fs_cell *cell, uint64_t trial,
                       const fs_trial_record *record)
{
    fs_trial_record again;
    fs_buf fast = {0}, brute = {0};
    fs_status status = run_one(b, cell, trial, 1, &again);
    if (status == FS_OK) status = fs_trial_encode(record, &fast);
    if (status == FS_OK) status = fs_trial_encode(&again, &brute);
    if (status == FS_OK &&
        (fast.size != brute.size || memcmp(fast.data, brute.data, fast.size) != 0)) {
        status = fs_fail(FS_EMISMATCH, "audit: trial %s/%llu differs from its brute-force run",
                         cell->id, (unsigned long long)trial);
    }
    fs_buf_free(&fast);
    fs_buf_free(&brute);
    return status;
}

fs_status wk_executor_run(wk_executor *self, unsigned thread, uint32_t cell_index, uint64_t trial,
                          fs_trial_record *out)
{
    FS_ASSERT(thread < self->options.threads && cell_index < self->plan->cell_count);
    const fs_cell *cell = &self->plan->cells[cell_index];
    image *found;
    FS_TRY(image_of(self, cell->variant, &found));
    const fs_variant *variant = &self->plan->variants[cell->variant];
    wk_trial **runner = &found->trials[thread];
    if (*runner == NULL) {
        uint64_t share = self->options.private_bytes_max /
                         ((uint64_t)self->options.threads * self->plan->variant_count);
        FS_TRY(wk_trial_new(runner, found->golden, &self->plan->campaign->critical, share));
    }
    const bench b = {.trial = *runner,
                     .tuning = variant->tuned ? self->tuned[variant->model].tuning : NULL,
                     .variant = variant,
                     .protection = self->slots[cell->variant].protection,
                     .thread = thread};
    FS_TRY(run_one(&b, cell, trial, self->options.brute_force, out));
    if (audited(self, cell, trial)) FS_TRY(audit(&b, cell, trial, out));
    uint64_t run = ++self->trials_run[thread];
    if (self->options.check_always || run % CHECK_EVERY_TRIALS == 0) {
        return wk_trial_check(*runner);
    }
    return FS_OK;
}

const dataset *wk_executor_data(const wk_executor *self, uint32_t cell)
{
    return self->data[self->plan->variants[self->plan->cells[cell].variant].model];
}

uint32_t wk_executor_first_difference(const wk_executor *self, unsigned thread, uint32_t cell)
{
    const image *found = self->slots[self->plan->cells[cell].variant].made;
    FS_ASSERT(found != NULL && found->trials[thread] != NULL);
    return wk_trial_first_difference(found->trials[thread]);
}
