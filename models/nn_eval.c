#include "nn_eval.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "metrics.h"

enum {
    LOGIT_VALUES_MAX = 4 << 20, /* a language model's logits in one block */
    DETAIL_BYTES = 1024
};

/** Shared by the threads of one run; `lock` guards all below it. */
typedef struct run {
    const nn_model *model;
    const dataset *data;
    const nn_eval_options *options;
    pthread_mutex_t lock;
    pthread_cond_t turn;       /* `delivered` or `status` has changed */
    uint32_t next;             /* the first input that no thread has taken */
    uint32_t delivered;        /* inputs handed to the sink */
    fs_status status;          /* the first failure; ends the run */
    char detail[DETAIL_BYTES]; /* its text: details are thread-local */
} run;

/** One thread's memory. */
typedef struct lane {
    nn_view *view;
    uint32_t *off;  /* [inputs of the largest batch + 1] */
    float *state;   /* [tokens of the largest batch, d_model] */
    float *normed;  /* the same, for a language model */
    float *logits;  /* classification: [inputs, labels]; language model: [rows, vocab] */
    double *losses; /* one for each answer of a batch */
    nn_eval_item *items;
    uint32_t rows; /* logit rows that fit, language model */
} lane;

/** What the batches of a data set need at most. */
typedef struct extent {
    uint32_t inputs;
    uint32_t tokens;
    uint32_t longest;
} extent;

static extent measure(const dataset *data)
{
    extent most = {0};
    for (uint32_t first = 0; first < data->count;) {
        uint32_t n = dataset_batch_inputs(data, first);
        uint32_t tokens = data->off[first + n] - data->off[first];
        if (n > most.inputs) most.inputs = n;
        if (tokens > most.tokens) most.tokens = tokens;
        for (uint32_t i = first; i < first + n; i++) {
            uint32_t length = data->off[i + 1] - data->off[i];
            if (length > most.longest) most.longest = length;
        }
        first += n;
    }
    return most;
}

static void lane_free(lane *self)
{
    nn_view_destroy(&self->view);
    free(self->off);
    free(self->state);
    free(self->normed);
    free(self->logits);
    free(self->losses);
    free(self->items);
    *self = (lane){0};
}

static fs_status lane_init(lane *self, const run *r)
{
    const fs_config *config = &nn_model_geometry(r->model)->config;
    extent most = measure(r->data);
    int lm = r->data->kind == FS_TASK_LM;
    size_t values = (size_t)most.inputs * config->labels;
    if (lm) {
        self->rows = LOGIT_VALUES_MAX / config->vocab;
        if (self->rows == 0) self->rows = 1;
        if (self->rows > most.longest || r->options->lm_logits) self->rows = most.longest;
        values = (size_t)self->rows * config->vocab;
        self->normed = malloc((size_t)most.tokens * config->d_model * sizeof *self->normed);
    }
    self->off = malloc(((size_t)most.inputs + 1) * sizeof *self->off);
    self->state = malloc((size_t)most.tokens * config->d_model * sizeof *self->state);
    self->logits = malloc(values * sizeof *self->logits);
    self->losses = malloc(((size_t)most.tokens + most.inputs) * sizeof *self->losses);
    self->items = calloc(most.inputs, sizeof *self->items);
    if (self->off == NULL || self->state == NULL || (lm && self->normed == NULL) ||
        self->logits == NULL || self->losses == NULL || self->items == NULL)
        return fs_fail(FS_ENOMEM, "no memory for an evaluation thread");
    return nn_view_new(&self->view, r->model);
}

/** Makes the sink's turn come: results leave in the order of inputs. */
static fs_status deliver(run *r, const nn_eval_item *item)
{
    pthread_mutex_lock(&r->lock);
    while (r->status == FS_OK && r->delivered != item->input) pthread_cond_wait(&r->turn, &r->lock);
    fs_status status = r->status != FS_OK ? FS_EINTERRUPTED : FS_OK;
    pthread_mutex_unlock(&r->lock);
    if (status == FS_OK) status = r->options->sink(r->options->context, item);
    if (status != FS_OK) return status;
    pthread_mutex_lock(&r->lock);
    r->delivered++;
    pthread_cond_broadcast(&r->turn);
    pthread_mutex_unlock(&r->lock);
    return FS_OK;
}

static fs_status classify(run *r, lane *self, const nn_batch *batch, uint32_t first)
{
    uint32_t labels = nn_model_geometry(r->model)->config.labels;
    FS_TRY(nn_layer_last(self->view, batch, self->state));
    FS_TRY(nn_classify(self->view, batch, self->state, self->logits));
    for (uint32_t i = 0; i < batch->n_seq; i++) {
        const float *logits = self->logits + (size_t)i * labels;
        self->losses[i] = metrics_loss(logits, labels, r->data->labels[first + i]);
        self->items[i] = (nn_eval_item){
            .input = first + i,
            .loss = self->losses[i],
            .losses = &self->losses[i],
            .answers = 1,
            .answer = metrics_argmax(logits, labels),
            .logits = logits,
            .logit_count = labels,
        };
    }
    for (uint32_t i = 0; i < batch->n_seq; i++) FS_TRY(deliver(r, &self->items[i]));
    return FS_OK;
}

/** Scores one window: the last tokens of it, each from the row before. */
static fs_status score_window(run *r, lane *self, const nn_batch *batch, uint32_t i,
                              nn_eval_item *item)
{
    const fs_config *config = &nn_model_geometry(r->model)->config;
    uint32_t length = batch->off[i + 1] - batch->off[i], scored = r->data->scored[item->input];
    const int32_t *ids = batch->ids + batch->off[i];
    const float *normed = self->normed + (size_t)batch->off[i] * config->d_model;
    double *losses = self->losses + batch->off[i];
    uint32_t first_scored = length - scored - 1; /* rows [first_scored, length - 1) are scored */
    uint32_t from = r->options->lm_logits ? 0 : first_scored;
    uint32_t to = r->options->lm_logits ? length : length - 1;
    *item = (nn_eval_item){.input = item->input, .losses = losses, .answers = scored};
    for (uint32_t row = from; row < to;) {
        uint32_t n = to - row < self->rows ? to - row : self->rows;
        FS_TRY(nn_lm_logits(self->view, normed + (size_t)row * config->d_model, n, self->logits));
        for (uint32_t k = 0; k < n; k++, row++) {
            if (row < first_scored || row + 1 >= length) continue;
            double loss =
                metrics_loss(self->logits + (size_t)k * config->vocab, config->vocab, ids[row + 1]);
            losses[row - first_scored] = loss;
            item->loss += loss;
        }
    }
    if (r->options->lm_logits) {
        item->logits = self->logits;
        item->logit_count = (uint64_t)length * config->vocab;
    }
    return FS_OK;
}

static fs_status score(run *r, lane *self, const nn_batch *batch, uint32_t first)
{
    uint32_t last = nn_model_geometry(r->model)->config.layers - 1;
    FS_TRY(nn_layer(self->view, last, batch, self->state));
    FS_TRY(nn_final_norm(self->view, batch, self->state, self->normed));
    for (uint32_t i = 0; i < batch->n_seq; i++) {
        nn_eval_item item = {.input = first + i};
        FS_TRY(score_window(r, self, batch, i, &item));
        FS_TRY(deliver(r, &item));
    }
    return FS_OK;
}

static fs_status run_batch(run *r, lane *self, uint32_t first, uint32_t n)
{
    nn_batch batch = dataset_batch(r->data, first, n, self->off);
    uint32_t layers = nn_model_geometry(r->model)->config.layers;
    FS_TRY(nn_embed(self->view, &batch, self->state));
    for (uint32_t layer = 0; layer + 1 < layers; layer++)
        FS_TRY(nn_layer(self->view, layer, &batch, self->state));
    if (r->data->kind == FS_TASK_CLASSIFICATION) return classify(r, self, &batch, first);
    return score(r, self, &batch, first);
}

/** Takes the next batch. @return how many inputs it has, 0 if the run is over. */
static uint32_t take(run *r, uint32_t *first)
{
    pthread_mutex_lock(&r->lock);
    uint32_t n = 0;
    *first = r->next;
    if (r->status == FS_OK && r->next < r->data->count) n = dataset_batch_inputs(r->data, r->next);
    r->next += n;
    pthread_mutex_unlock(&r->lock);
    return n;
}

static void *work(void *context)
{
    run *r = context;
    lane self = {0};
    fs_status status = lane_init(&self, r);
    uint32_t first, n;
    while (status == FS_OK && (n = take(r, &first)) > 0) status = run_batch(r, &self, first, n);
    lane_free(&self);
    pthread_mutex_lock(&r->lock);
    if (status != FS_OK && r->status == FS_OK) {
        r->status = status;
        snprintf(r->detail, sizeof r->detail, "%s", fs_status_detail());
    }
    pthread_cond_broadcast(&r->turn);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

fs_status nn_eval_run(const nn_model *model, const dataset *data, const nn_eval_options *options)
{
    FS_ASSERT(options->threads >= 1 && options->threads <= FS_THREADS_MAX);
    FS_ASSERT(nn_model_geometry(model)->config.task == data->kind);
    run r = {.model = model, .data = data, .options = options};
    pthread_t *threads = calloc(options->threads, sizeof *threads);
    if (threads == NULL) return fs_fail(FS_ENOMEM, "no memory for threads");
    pthread_mutex_init(&r.lock, NULL);
    pthread_cond_init(&r.turn, NULL);
    uint32_t started = 0;
    while (started < options->threads && pthread_create(&threads[started], NULL, work, &r) == 0)
        started++;
    for (uint32_t i = 0; i < started; i++) pthread_join(threads[i], NULL);
    pthread_cond_destroy(&r.turn);
    pthread_mutex_destroy(&r.lock);
    free(threads);
    if (started == 0) return fs_fail(FS_EIO, "cannot start a thread");
    return r.status == FS_OK ? FS_OK : fs_fail(r.status, "%s", r.detail);
}
