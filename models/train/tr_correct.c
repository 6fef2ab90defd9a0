#include "tr_correct.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "clock.h"
#include "coding.h"
#include "tr_evaluate.h"
#include "tr_journal.h"
#include "tr_loss.h"

enum { BLOCK_FLOATS = 1 << 16, LINE_BYTES = 64, MEAN_STEPS = 16 };

/* How a faulty tensor may differ from the clean one. */
enum { STALE_NOT, STALE_WORDS /* where the last faults hit */, STALE_ALL };

/* What a run remembers from step to step. */
enum { MEMORY_ON, MEMORY_SEEN, MEMORY_MEAN };

struct tr_correct {
    tr_correct_options options;
    const tr_layout *layout; /* the network's */
    tr_pool *pool;
    const tr_adapter *adapter;
    fs_fault_space *space;
    fs_protect ep;
    tr_hooks hooks;
    uint64_t memory[TR_HOOK_WORDS];
    /* the faulty branch */
    tr_weights *weights;
    tr_tape *tape;
    uint8_t *stale;          /* [layout->count] STALE_... */
    uint8_t *changed;        /* [layout->count] of them those that this step packs */
    float *logits, *dlogits; /* of one run */
    size_t logits_capacity;
    float *grads;   /* [layout->floats] with clamp or drop_hit; else NULL */
    float *adapted; /* [adapter's layout->floats] the same projected; NULL without an adapter */
    /* of the step */
    fs_fault_list drawn;   /* for what is made next; else empty */
    fs_fault_list applied; /* what the faulty copy has been hit by */
    size_t hits;
    uint32_t shared;      /* blocks before the first that is hit; 0: nothing is shared */
    int active;           /* there are faults and something is learnt from them */
    double task;          /* sum of a step without faults */
    uint64_t outputs;     /* of it */
    uint64_t clipped;     /* parameters cut after the update */
    uint64_t nanoseconds; /* spent on the faulty branch */
};

/* Ranges of a flat array, each a task of its own. */
typedef struct ranges {
    void (*work)(struct ranges *self, size_t first, size_t count);
    size_t floats;
    float *values;
    const float *added;
    float clamp;
    atomic_uint_fast64_t count;
} ranges;

static void ranges_task(void *context, size_t task, unsigned thread)
{
    ranges *self = context;
    const size_t first = task * BLOCK_FLOATS, left = self->floats - first;
    self->work(self, first, left < BLOCK_FLOATS ? left : BLOCK_FLOATS);
}

static void ranges_run(ranges *self, tr_pool *pool)
{
    tr_pool_run(pool, (self->floats + BLOCK_FLOATS - 1) / BLOCK_FLOATS, ranges_task, self);
}

/* Almost no value is large: a look at a few together is all that most need. */
static void clip_range(ranges *self, size_t first, size_t count)
{
    enum { TOGETHER = 64 };
    uint32_t *words = (uint32_t *)(void *)(self->values + first);
    uint32_t cut = 0;
    for (size_t i = 0; i < count; i += TOGETHER) {
        const size_t end = count - i < TOGETHER ? count : i + TOGETHER;
        uint32_t any = 0;
        for (size_t j = i; j < end; j++) any |= words[j];
        if (!(any & 0x40000000u)) continue;
        for (size_t j = i; j < end; j++) {
            const uint32_t w = words[j];
            if (!(w & 0x40000000u)) continue;
            words[j] = (w & 0x80000000u) | 0x3fffffffu;
            cut++;
        }
    }
    atomic_fetch_add_explicit(&self->count, cut, memory_order_relaxed);
}

uint64_t tr_correct_clip(tr_pool *pool, float *values, size_t count)
{
    ranges clip = {.work = clip_range, .floats = count, .values = values};
    ranges_run(&clip, pool);
    return atomic_load(&clip.count);
}

/* NaN stays NaN: neither comparison is true for it. */
static void clamp_range(ranges *self, size_t first, size_t count)
{
    float *x = self->values + first;
    const float most = self->clamp;
    for (size_t i = 0; i < count; i++) x[i] = x[i] > most ? most : x[i] < -most ? -most : x[i];
}

static void add_range(ranges *self, size_t first, size_t count)
{
    float *x = self->values + first;
    const float *y = self->added + first;
    for (size_t i = 0; i < count; i++) x[i] += y[i];
}

static void copy_range(ranges *self, size_t first, size_t count)
{
    memcpy(self->values + first, self->added + first, count * sizeof *self->values);
}

static int learns(const tr_correct_options *o)
{
    return o->rate > 0 && (o->lambda > 0 || o->task != TR_CORRECT_CLEAN);
}

static int is_on(const tr_correct *self, uint64_t step)
{
    return step >= self->options.after_steps &&
           (self->options.below_loss <= 0 || self->memory[MEMORY_ON]);
}

/* Makes the faulty values the clean ones again; what has changed is to be packed. */
static void restore(tr_correct *self, const float *clean, float *faulty)
{
    for (size_t i = 0; i < self->applied.count; i++) {
        const fs_fault *fault = &self->applied.items[i];
        const size_t at = self->layout->tensors[fault->tensor].first + fault->element;
        if (self->stale[fault->tensor] == STALE_WORDS) faulty[at] = clean[at];
    }
    for (size_t i = 0; i < self->layout->count; i++) {
        const tr_tensor *t = &self->layout->tensors[i];
        self->changed[i] = self->stale[i] != STALE_NOT;
        if (self->stale[i] == STALE_ALL) {
            ranges copy = {.work = copy_range,
                           .floats = (size_t)t->rows * t->cols,
                           .values = faulty + t->first,
                           .added = clean + t->first};
            ranges_run(&copy, self->pool);
        }
        self->stale[i] = STALE_NOT;
    }
}

static void apply(tr_correct *self, float *faulty)
{
    const fs_coding ep = {&self->ep, NULL};
    fs_codec_report report = {0};
    for (size_t i = 0; i < self->drawn.count; i++) {
        const fs_fault fault = self->drawn.items[i];
        float *value = faulty + self->layout->tensors[fault.tensor].first + fault.element;
        uint32_t word;
        memcpy(&word, value, sizeof word);
        fs_coding_prepare(&ep, &word, 1);
        fs_coding_encode(&ep, &word, 1, NULL);
        word = fs_fault_apply(fault, word);
        fs_coding_decode(&ep, &word, 1, NULL, NULL, NULL, &report);
        memcpy(value, &word, sizeof word);
        self->stale[fault.tensor] = STALE_WORDS;
        self->changed[fault.tensor] = 1;
    }
}

/* The faulty copy: the clean values, then fresh faults. *hits: how many; 0: there is no copy. */
static fs_status make_faulty(tr_correct *self, const tr_state *state, double rate, uint64_t key,
                             uint64_t trial, size_t *hits)
{
    const fs_amount amount = {FS_AMOUNT_RATE, rate};
    FS_TRY(fs_fault_draw(&self->drawn, self->space, amount, FS_FAULT_FLIP, key, trial));
    *hits = self->drawn.count;
    if (*hits == 0) return FS_OK;
    float *faulty = tr_weights_values(self->weights);
    restore(self, tr_weights_values(state->weights), faulty);
    apply(self, faulty);
    tr_weights_pack_some(self->weights, self->pool, self->changed);
    const fs_fault_list spare = self->applied;
    self->applied = self->drawn;
    self->drawn = spare;
    self->drawn.count = 0;
    return FS_OK;
}

/* Nonzero if a loss of the clean answers has a gradient. */
static int flows_into_clean(const tr_correct_options *o)
{
    return o->task != TR_CORRECT_FAULTY || o->divergence == TR_DIVERGENCE_L2;
}

/* Blocks before the first that is hit; the embeddings come before all, the heads after. */
static uint32_t blocks_unhit(const tr_correct *self)
{
    const fs_geometry *geometry = self->layout->geometry;
    uint32_t first = geometry->config.layers;
    for (size_t i = 0; i < self->applied.count; i++) {
        const fs_slice *slice = &geometry->slices[self->applied.items[i].slice];
        const int after = slice->component == FS_FINAL_NORM ||
                          fs_component_group(slice->component) == FS_GROUP_HEAD;
        if (slice->layer < 0 && !after) return 0;
        if (slice->layer >= 0 && (uint32_t)slice->layer < first) first = (uint32_t)slice->layer;
    }
    return first;
}

static fs_status begin(void *context, const tr_state *state)
{
    tr_correct *self = context;
    const uint64_t start = fs_clock_mono_ns();
    self->task = 0;
    self->outputs = 0;
    self->hits = 0;
    self->nanoseconds = 0;
    self->active = 0;
    if (!learns(&self->options) || !is_on(self, state->step)) return FS_OK;
    FS_TRY(
        make_faulty(self, state, self->options.rate, self->options.key, state->step, &self->hits));
    self->active = self->hits > 0;
    const int shares =
        self->active && flows_into_clean(&self->options) && !(self->options.clamp > 0);
    self->shared = shares ? blocks_unhit(self) : 0;
    if (self->active && self->grads != NULL)
        memset(self->grads, 0, self->layout->floats * sizeof *self->grads);
    self->nanoseconds = fs_clock_mono_ns() - start;
    return FS_OK;
}

static fs_status grow_logits(tr_correct *self, size_t floats)
{
    if (floats <= self->logits_capacity) return FS_OK;
    free(self->logits);
    free(self->dlogits);
    self->logits_capacity = 0;
    self->logits = malloc(floats * sizeof *self->logits);
    self->dlogits = malloc(floats * sizeof *self->dlogits);
    if (self->logits == NULL || self->dlogits == NULL)
        return fs_fail(FS_ENOMEM, "no memory for the faulty answers of a run");
    self->logits_capacity = floats;
    return FS_OK;
}

/* One branch's share of the task loss; its gradient is written. */
static double task_loss(const tr_run *run, float share, const float *logits, float *dlogits,
                        uint32_t n, uint64_t *right)
{
    const tr_batch *batch = run->batch;
    if (share > 0) {
        return (double)share * tr_loss_cross_entropy(run->pool, logits, batch->targets,
                                                     batch->outputs, n, run->smoothing,
                                                     share * run->scale, dlogits, right);
    }
    memset(dlogits, 0, (size_t)batch->outputs * n * sizeof *dlogits);
    return 0;
}

/* Losses of both branches, whose logits are there. */
static void both_losses(tr_correct *self, const tr_run *run, uint32_t n, tr_sums *sums)
{
    static const float clean_share[] = {
        [TR_CORRECT_CLEAN] = 1, [TR_CORRECT_FAULTY] = 0, [TR_CORRECT_BOTH] = 0.5f};
    const tr_correct_options *o = &self->options;
    const uint32_t outputs = run->batch->outputs;
    const float share = clean_share[o->task];
    /* Right answers are counted among the clean ones, if these are looked at. */
    uint64_t *faulty_right = share > 0 ? NULL : &sums->right;
    double task = task_loss(run, share, run->logits, run->dlogits, n, &sums->right);
    task += task_loss(run, 1 - share, self->logits, self->dlogits, n, faulty_right);
    const float scale = (float)o->lambda * run->scale;
    const double divergence =
        o->divergence == TR_DIVERGENCE_L2
            ? tr_loss_l2(run->pool, run->logits, self->logits, outputs, n, scale, run->dlogits,
                         self->dlogits)
            : tr_loss_kl(run->pool, run->logits, self->logits, outputs, n, scale, self->dlogits);
    sums->task += task;
    sums->divergence += divergence;
    sums->loss += task + o->lambda * divergence;
    sums->outputs += outputs;
}

static fs_status run_plain(tr_correct *self, const tr_run *run, tr_sums *sums)
{
    const double before = sums->task;
    FS_TRY(tr_objective_plain(run, sums));
    self->task += sums->task - before;
    self->outputs += run->batch->outputs;
    return FS_OK;
}

static fs_status make_run(void *context, const tr_run *run, tr_sums *sums)
{
    tr_correct *self = context;
    if (!self->active) return run_plain(self, run, sums);
    const uint32_t n = tr_logit_count(self->layout);
    FS_TRY(grow_logits(self, (size_t)run->batch->outputs * n));
    FS_TRY(tr_forward(run->tape, run->weights, run->batch, run->pass, run->logits));
    const uint64_t start = fs_clock_mono_ns();
    FS_TRY(tr_forward_from(self->tape, self->weights, run->tape, self->shared, self->logits));
    both_losses(self, run, n, sums);
    float *grads = self->grads != NULL ? self->grads : run->grads;
    FS_TRY(tr_backward(self->tape, self->weights, self->dlogits, grads, run->wanted));
    self->nanoseconds += fs_clock_mono_ns() - start;
    if (!flows_into_clean(&self->options)) return FS_OK;
    return tr_backward_joined(run->tape, run->weights, run->dlogits, run->grads, run->wanted,
                              self->tape);
}

/* The faulty branch's gradient of a whole step, cut as asked, joins the clean one's. */
static fs_status gradients(void *context, const tr_state *state)
{
    tr_correct *self = context;
    if (!self->active || self->grads == NULL) return FS_OK;
    const uint64_t start = fs_clock_mono_ns();
    if (self->options.drop_hit) {
        for (size_t i = 0; i < self->applied.count; i++) {
            const fs_fault *fault = &self->applied.items[i];
            self->grads[self->layout->tensors[fault->tensor].first + fault->element] = 0;
        }
    }
    if (self->options.clamp > 0) {
        ranges clamp = {.work = clamp_range,
                        .floats = self->layout->floats,
                        .values = self->grads,
                        .clamp = (float)self->options.clamp};
        ranges_run(&clamp, self->pool);
    }
    const float *added = self->grads;
    if (self->adapter != NULL) {
        self->adapter->project(self->adapter->context, state->values, self->grads, self->adapted,
                               self->pool);
        added = self->adapted;
    }
    ranges sum = {
        .work = add_range, .floats = state->layout->floats, .values = state->grads, .added = added};
    ranges_run(&sum, self->pool);
    self->nanoseconds += fs_clock_mono_ns() - start;
    return FS_OK;
}

/* Whether faults may begin: a running mean of the task loss has been below the threshold. */
static void watch_loss(tr_correct *self)
{
    const double loss = self->task / (double)self->outputs;
    double mean;
    if (self->memory[MEMORY_ON] || self->outputs == 0 || !isfinite(loss)) return;
    memcpy(&mean, &self->memory[MEMORY_MEAN], sizeof mean);
    mean = self->memory[MEMORY_SEEN] == 0 ? loss : mean + (loss - mean) / MEAN_STEPS;
    memcpy(&self->memory[MEMORY_MEAN], &mean, sizeof mean);
    self->memory[MEMORY_SEEN]++;
    self->memory[MEMORY_ON] = mean < self->options.below_loss;
}

static fs_status updated(void *context, const tr_state *state)
{
    tr_correct *self = context;
    self->clipped = tr_correct_clip(self->pool, state->values, state->layout->floats);
    const uint8_t *wanted = self->adapter != NULL ? self->adapter->network_wanted : state->wanted;
    for (size_t i = 0; i < self->layout->count; i++)
        if (wanted == NULL || wanted[i]) self->stale[i] = STALE_ALL;
    if (self->options.below_loss > 0) watch_loss(self);
    return FS_OK;
}

static fs_status metrics(void *context, json_t *line)
{
    const tr_correct *self = context;
    int failed = json_object_set_new(line, "faults", json_integer((json_int_t)self->hits));
    failed |= json_object_set_new(line, "ep_clipped", json_integer((json_int_t)self->clipped));
    failed |=
        json_object_set_new(line, "faulty_seconds", json_real((double)self->nanoseconds * 1e-9));
    return failed ? fs_fail(FS_ENOMEM, "no memory for a line of metrics") : FS_OK;
}

static fs_status measured(void *context, const tr_state *state, tr_source *dev, json_t *line)
{
    tr_correct *self = context;
    const tr_correct_options *o = &self->options;
    json_t *accuracies = json_array();
    double loss = 0, accuracy = 0;
    fs_status status = FS_OK;
    for (uint32_t i = 0; status == FS_OK && i < o->lists; i++) {
        tr_quality quality;
        size_t hits = 0;
        status = make_faulty(self, state, o->measure_rate, o->measure_key, i, &hits);
        const tr_weights *weights = hits > 0 ? self->weights : state->weights;
        if (status == FS_OK) status = tr_evaluate(&quality, weights, self->pool, dev);
        if (status != FS_OK) break;
        loss += quality.loss / o->lists;
        accuracy += quality.accuracy / o->lists;
        json_array_append_new(accuracies, tr_journal_real(quality.accuracy));
    }
    json_t *faulty = NULL;
    if (status == FS_OK && o->lists > 0) {
        faulty = json_pack("{s:o, s:o, s:o, s:O}", "rate", json_real(o->measure_rate), "loss",
                           tr_journal_real(loss), "accuracy", tr_journal_real(accuracy),
                           "accuracies", accuracies);
        if (faulty == NULL || json_object_set_new(line, "dev_faulty", faulty) != 0)
            status = fs_fail(FS_ENOMEM, "no memory for a line of metrics");
    }
    json_decref(accuracies);
    return status;
}

static fs_status zeros(float **out, size_t floats)
{
    void *memory;
    if (posix_memalign(&memory, LINE_BYTES, floats * sizeof **out) != 0)
        return fs_fail(FS_ENOMEM, "no memory for the gradients of the faulty branch");
    memset(memory, 0, floats * sizeof **out);
    *out = memory;
    return FS_OK;
}

static fs_status make_branch(tr_correct *self)
{
    static const char *const ep[] = {"ep"};
    const tr_correct_options *o = &self->options;
    const fs_component_set all = fs_geometry_components(self->layout->geometry);
    FS_TRY(fs_protect_init(&self->ep, ep, 1, (fs_guard){FS_GUARD_NONE, 0}));
    FS_TRY(fs_fault_space_new(&self->space, self->layout->geometry,
                              o->components != 0 ? o->components : all, o->layers, o->layer_count,
                              FS_BITS_ALL));
    self->options.layers = NULL;
    self->stale = malloc(self->layout->count);
    self->changed = malloc(self->layout->count);
    if (self->stale == NULL || self->changed == NULL)
        return fs_fail(FS_ENOMEM, "no memory for self-correction");
    memset(self->stale, STALE_ALL, self->layout->count);
    if (o->clamp > 0 || o->drop_hit) {
        FS_TRY(zeros(&self->grads, self->layout->floats));
        if (self->adapter != NULL) FS_TRY(zeros(&self->adapted, self->adapter->layout->floats));
    }
    FS_TRY(tr_weights_new(&self->weights, self->layout));
    return tr_tape_new(&self->tape, self->layout, self->pool);
}

fs_status tr_correct_new(tr_correct **out, const tr_correct_options *options, tr_weights *weights,
                         tr_pool *pool, const tr_adapter *adapter)
{
    FS_ASSERT(options->rate >= 0 && options->rate <= 1 && options->lambda >= 0);
    *out = NULL;
    tr_correct *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for self-correction");
    self->options = *options;
    self->layout = tr_weights_layout(weights);
    self->pool = pool;
    self->adapter = adapter;
    self->hooks = (tr_hooks){.context = self,
                             .begin = begin,
                             .run = make_run,
                             .gradients = gradients,
                             .updated = updated,
                             .metrics = metrics,
                             .measured = measured,
                             .memory = self->memory,
                             .skips = 1};
    const fs_status status = make_branch(self);
    if (status != FS_OK) tr_correct_destroy(&self);
    if (status == FS_OK && tr_correct_clip(pool, tr_weights_values(weights), self->layout->floats))
        tr_weights_pack(weights, pool);
    *out = self;
    return status;
}

void tr_correct_destroy(tr_correct **self)
{
    if (*self == NULL) return;
    fs_fault_space_destroy(&(*self)->space);
    fs_fault_list_free(&(*self)->drawn);
    fs_fault_list_free(&(*self)->applied);
    tr_weights_destroy(&(*self)->weights);
    tr_tape_destroy(&(*self)->tape);
    free((*self)->stale);
    free((*self)->changed);
    free((*self)->logits);
    free((*self)->dlogits);
    free((*self)->grads);
    free((*self)->adapted);
    free(*self);
    *self = NULL;
}

const tr_hooks *tr_correct_hooks(const tr_correct *self)
{
    return &self->hooks;
}

const fs_fault_list *tr_correct_faults(const tr_correct *self)
{
    return self->hits > 0 ? &self->applied : &self->drawn;
}
