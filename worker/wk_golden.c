#include "wk_golden.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "math64.h"
#include "metrics.h"

/* What one thread of the golden run works with. */
typedef struct golden_thread {
    wk_golden *golden;
    atomic_uint *next_batch;
    nn_view *view;
    nn_ranges *ranges; /* that it learns; NULL: none are wanted */
    float *state;
    float *logits;
    uint32_t *off;
    fs_status status;
    char why[512];
} golden_thread;

static uint32_t length_of(const wk_golden *self, uint32_t input)
{
    return self->data->off[input + 1] - self->data->off[input];
}

static int is_lm(const wk_golden *self)
{
    return self->data->kind == FS_TASK_LM;
}

uint32_t wk_golden_head_row(const wk_golden *self, uint32_t length)
{
    return nn_model_geometry(self->model)->config.kind == FS_MODEL_BERT ? 0 : length - 1;
}

uint32_t wk_golden_floor(const wk_golden *self, uint32_t l)
{
    while (self->state[l] == NULL) l--;
    return l;
}

uint32_t wk_golden_row_count(const wk_golden *self, uint32_t boundary, uint32_t input)
{
    return boundary == self->layers && !is_lm(self) ? 1 : length_of(self, input);
}

const float *wk_golden_rows(const wk_golden *self, uint32_t boundary, uint32_t input)
{
    size_t row = boundary == self->layers && !is_lm(self) ? input : self->data->off[input];
    return self->state[boundary] + row * self->width;
}

static float *rows_of(wk_golden *self, uint32_t boundary, uint32_t input)
{
    return self->state[boundary] + (wk_golden_rows(self, boundary, input) - self->state[boundary]);
}

fs_status wk_golden_lm_logits(const wk_golden *self, nn_view *clean, uint32_t input, uint32_t first,
                              uint32_t rows, float *scratch, const float **out)
{
    if (self->logits != NULL) {
        *out = self->logits + (self->answer_first[input] + first) * self->classes;
        return FS_OK;
    }
    uint32_t length = length_of(self, input), scored = self->data->scored[input];
    const float *state = wk_golden_rows(self, self->layers, input) +
                         (size_t)(length - 1 - scored + first) * self->width;
    const uint32_t off[2] = {0, rows};
    const nn_batch batch = {self->data->ids, off, 1};
    float *normed = scratch, *logits = scratch + (size_t)rows * self->width;
    FS_TRY(nn_final_norm(clean, &batch, state, normed));
    FS_TRY(nn_lm_logits(clean, normed, rows, logits));
    *out = logits;
    return FS_OK;
}

/* Batches of whole inputs in data set order. */
static fs_status cut_batches(wk_golden *self)
{
    const dataset *data = self->data;
    self->batch_first = malloc(((size_t)data->count + 1) * sizeof *self->batch_first);
    self->answer_first = malloc(((size_t)data->count + 1) * sizeof *self->answer_first);
    if (self->batch_first == NULL || self->answer_first == NULL) {
        return fs_fail(FS_ENOMEM, "no memory for %u inputs", data->count);
    }
    uint64_t answers = 0;
    for (uint32_t i = 0; i < data->count; i++) {
        self->answer_first[i] = answers;
        answers += is_lm(self) ? data->scored[i] : 1;
    }
    self->answer_first[data->count] = answers;
    for (uint32_t first = 0, n; first < data->count; first += n) {
        n = dataset_batch_inputs(data, first);
        self->batch_first[self->batch_count++] = first;
        uint32_t tokens = data->off[first + n] - data->off[first];
        if (tokens > self->batch_tokens_max) self->batch_tokens_max = tokens;
        if (n > self->batch_inputs_max) self->batch_inputs_max = n;
    }
    self->batch_first[self->batch_count] = data->count;
    return FS_OK;
}

static uint64_t boundary_bytes(const wk_golden *self, uint32_t boundary)
{
    uint64_t rows = boundary == self->layers && !is_lm(self) ? self->data->count
                                                             : self->data->off[self->data->count];
    return rows * self->width * sizeof(float);
}

static uint64_t logits_bytes(const wk_golden *self)
{
    return self->answer_first[self->data->count] * self->classes * sizeof(float);
}

/* Boundaries 0 and `layers` are kept, of the others as many as fit, evenly from the end. */
static fs_status allocate(wk_golden *self, uint64_t bytes_max)
{
    uint64_t answers = self->answer_first[self->data->count];
    self->state = calloc((size_t)self->layers + 1, sizeof *self->state);
    self->loss = malloc(answers * sizeof *self->loss);
    self->answer = malloc(answers * sizeof *self->answer);
    if (self->state == NULL || self->loss == NULL || self->answer == NULL) {
        return fs_fail(FS_ENOMEM, "no memory for the golden run");
    }
    uint64_t each = boundary_bytes(self, 0), left = bytes_max;
    uint64_t fit = self->layers > 1 ? left / (each == 0 ? 1 : each) : 0;
    uint32_t step = fit >= self->layers - 1 ? 1
                    : fit == 0              ? self->layers
                                            : (uint32_t)(self->layers / (fit + 1) + 1);
    for (uint32_t l = 0; l <= self->layers; l++) {
        int mandatory = l == 0 || l == self->layers;
        if (!mandatory && (self->layers - l) % step != 0) continue;
        self->state[l] = malloc(boundary_bytes(self, l));
        if (self->state[l] == NULL) return fs_fail(FS_ENOMEM, "no memory for golden states");
        if (!mandatory) left -= each <= left ? each : left;
    }
    if (!is_lm(self) || logits_bytes(self) <= left) {
        self->logits = malloc(logits_bytes(self));
        if (self->logits == NULL) return fs_fail(FS_ENOMEM, "no memory for golden logits");
    }
    return FS_OK;
}

static void keep_boundary(wk_golden *self, uint32_t boundary, uint32_t first, uint32_t n,
                          const uint32_t *off, const float *state)
{
    if (self->state[boundary] == NULL) return;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t rows = wk_golden_row_count(self, boundary, first + i), row = off[i];
        if (rows == 1) row += wk_golden_head_row(self, off[i + 1] - off[i]);
        memcpy(rows_of(self, boundary, first + i), state + (size_t)row * self->width,
               (size_t)rows * self->width * sizeof *state);
    }
}

static fs_status answer_lm(golden_thread *t, uint32_t input)
{
    wk_golden *self = t->golden;
    uint32_t scored = self->data->scored[input];
    const int32_t *targets = self->data->ids + self->data->off[input + 1] - scored;
    float *kept = self->logits;
    for (uint32_t r = 0; r < scored; r += WK_LM_ROWS) {
        uint32_t rows = scored - r < WK_LM_ROWS ? scored - r : WK_LM_ROWS;
        const float *logits;
        /* The same code that trials use, with the cache switched off: it is being filled. */
        wk_golden uncached = *self;
        uncached.logits = NULL;
        FS_TRY(wk_golden_lm_logits(&uncached, t->view, input, r, rows, t->logits, &logits));
        uint64_t at = self->answer_first[input] + r;
        for (uint32_t i = 0; i < rows; i++) {
            const float *row = logits + (size_t)i * self->classes;
            self->loss[at + i] = metrics_loss(row, self->classes, targets[r + i]);
            self->answer[at + i] = metrics_argmax(row, self->classes);
        }
        if (kept != NULL) {
            memcpy(kept + at * self->classes, logits, (size_t)rows * self->classes * sizeof *kept);
        }
    }
    return FS_OK;
}

static fs_status run_batch(golden_thread *t, uint32_t b)
{
    wk_golden *self = t->golden;
    uint32_t first = self->batch_first[b], n = self->batch_first[b + 1] - first;
    nn_batch batch = dataset_batch(self->data, first, n, t->off);
    FS_TRY(nn_embed(t->view, &batch, t->state));
    for (uint32_t l = 0; l < self->layers; l++) {
        keep_boundary(self, l, first, n, t->off, t->state);
        FS_TRY(nn_layer(t->view, l, &batch, t->state));
    }
    keep_boundary(self, self->layers, first, n, t->off, t->state);
    if (is_lm(self)) {
        for (uint32_t i = first; i < first + n; i++) FS_TRY(answer_lm(t, i));
        return FS_OK;
    }
    float *logits = self->logits + (size_t)first * self->classes;
    FS_TRY(nn_classify(t->view, &batch, t->state, logits));
    for (uint32_t i = 0; i < n; i++) {
        const float *row = logits + (size_t)i * self->classes;
        self->loss[first + i] = metrics_loss(row, self->classes, self->data->labels[first + i]);
        self->answer[first + i] = metrics_argmax(row, self->classes);
    }
    return FS_OK;
}

static void *golden_thread_main(void *data)
{
    golden_thread *t = data;
    uint32_t b;
    while (t->status == FS_OK &&
           (b = atomic_fetch_add(t->next_batch, 1)) < t->golden->batch_count) {
        t->status = run_batch(t, b);
    }
    if (t->status != FS_OK) snprintf(t->why, sizeof t->why, "%s", fs_status_detail());
    return NULL;
}

static fs_status golden_thread_init(golden_thread *t, wk_golden *self, atomic_uint *next_batch)
{
    *t = (golden_thread){.golden = self, .next_batch = next_batch};
    size_t lm_floats = is_lm(self) ? (size_t)WK_LM_ROWS * (self->width + (size_t)self->classes) : 1;
    t->state = malloc((size_t)self->batch_tokens_max * self->width * sizeof *t->state);
    t->logits = malloc(lm_floats * sizeof *t->logits);
    t->off = malloc(((size_t)self->batch_inputs_max + 1) * sizeof *t->off);
    if (t->state == NULL || t->logits == NULL || t->off == NULL) {
        return fs_fail(FS_ENOMEM, "no memory for the golden run");
    }
    FS_TRY(nn_view_new(&t->view, self->model));
    if (self->ranges == NULL) return FS_OK;
    FS_TRY(nn_ranges_new(&t->ranges, &nn_model_geometry(self->model)->config));
    nn_view_learn_ranges(t->view, t->ranges);
    return FS_OK;
}

static void golden_thread_free(golden_thread *t)
{
    nn_view_destroy(&t->view);
    nn_ranges_destroy(&t->ranges);
    free(t->state);
    free(t->logits);
    free(t->off);
}

static fs_status run_threads(wk_golden *self, unsigned threads)
{
    golden_thread *all = calloc(threads, sizeof *all);
    pthread_t *ids = calloc(threads, sizeof *ids);
    atomic_uint next_batch = 0;
    fs_status status = FS_OK;
    unsigned started = 0, ready = 0;
    if (all == NULL || ids == NULL) {
        status = fs_fail(FS_ENOMEM, "no memory for %u threads", threads);
        goto out;
    }
    for (; ready < threads && status == FS_OK; ready++) {
        status = golden_thread_init(&all[ready], self, &next_batch);
    }
    for (; started + 1 < threads && status == FS_OK; started++) {
        if (pthread_create(&ids[started], NULL, golden_thread_main, &all[started + 1]) != 0) break;
    }
    if (status == FS_OK) golden_thread_main(&all[0]);
    for (unsigned i = 0; i < started; i++) pthread_join(ids[i], NULL);
    for (unsigned i = 0; i < ready && status == FS_OK; i++) {
        if (all[i].status != FS_OK) status = fs_fail(all[i].status, "golden run: %s", all[i].why);
        if (all[i].ranges != NULL) nn_ranges_merge(self->ranges, all[i].ranges);
    }
out:
    for (unsigned i = 0; all != NULL && i < ready; i++) golden_thread_free(&all[i]);
    free(all);
    free(ids);
    return status;
}

static fs_status count_reads(wk_golden *self)
{
    const uint32_t vocab = nn_model_geometry(self->model)->config.vocab;
    uint8_t *read = calloc(vocab, 1);
    if (read == NULL) return fs_fail(FS_ENOMEM, "no memory for the golden run");
    self->info.positions_read = dataset_reads(self->data, read);
    for (uint32_t row = 0; row < vocab; row++) self->info.token_rows_read += read[row];
    free(read);
    return FS_OK;
}

/* Sums by input and in input order, as a trial does, whatever thread computed what. */
static void summarise(wk_golden *self)
{
    uint64_t answers = self->answer_first[self->data->count];
    double loss = 0;
    for (uint32_t i = 0; i < self->data->count; i++) {
        double sum = 0;
        for (uint64_t a = self->answer_first[i]; a < self->answer_first[i + 1]; a++) {
            sum += self->loss[a];
        }
        loss += sum;
    }
    self->info.answers = answers;
    self->info.loss = loss / (double)answers;
    self->info.altered = nn_model_altered(self->model);
    if (is_lm(self)) {
        self->info.metric = fs_exp64(self->info.loss);
        uint64_t sums[2] = {fs_checksum(self->loss, answers * sizeof *self->loss),
                            fs_checksum(self->answer, answers * sizeof *self->answer)};
        self->info.checksum = fs_checksum(sums, sizeof sums);
        return;
    }
    for (uint64_t i = 0; i < answers; i++)
        self->correct += self->answer[i] == self->data->labels[i];
    self->info.metric = (double)self->correct / (double)answers;
    self->info.checksum = fs_checksum(self->logits, logits_bytes(self));
}

fs_status wk_golden_new(wk_golden **out, const nn_model *model, const dataset *data,
                        unsigned threads, uint64_t bytes_max)
{
    *out = NULL;
    const fs_config *config = &nn_model_geometry(model)->config;
    wk_golden *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for the golden run");
    self->model = model;
    self->data = data;
    self->layers = config->layers;
    self->width = config->d_model;
    self->classes = data->kind == FS_TASK_LM ? config->vocab : config->labels;
    fs_status status = cut_batches(self);
    if (status == FS_OK) status = count_reads(self);
    if (status == FS_OK) status = allocate(self, bytes_max);
    if (status == FS_OK && nn_model_restriction(model) != FS_RESTRICT_NONE)
        status = nn_ranges_new(&self->ranges, config);
    if (status == FS_OK) status = run_threads(self, threads);
    if (status != FS_OK) {
        wk_golden_destroy(&self);
        return status;
    }
    summarise(self);
    *out = self;
    return FS_OK;
}

void wk_golden_destroy(wk_golden **self)
{
    if (*self == NULL) return;
    for (uint32_t l = 0; (*self)->state != NULL && l <= (*self)->layers; l++) {
        free((*self)->state[l]);
    }
    nn_ranges_destroy(&(*self)->ranges);
    free((*self)->state);
    free((*self)->logits);
    free((*self)->loss);
    free((*self)->answer);
    free((*self)->batch_first);
    free((*self)->answer_first);
    free(*self);
    *self = NULL;
}

uint64_t wk_golden_bytes(const wk_golden *self)
{
    uint64_t bytes = self->logits == NULL ? 0 : logits_bytes(self);
    for (uint32_t l = 0; l <= self->layers; l++) {
        if (self->state[l] != NULL) bytes += boundary_bytes(self, l);
    }
    return bytes;
}
