/** A trial the long way round: the model is copied, stored, hit and read back wholly, a fresh model
 * is made of what was read, every input runs through all of it by itself, and the record is summed
 * up from logits. Nothing of the worker is used but what was drawn. */
#ifndef BRUTE_FORCE_H
#define BRUTE_FORCE_H

#include "brute_store.h"

#include "dataset.h"
#include "math64.h"
#include "nn_model.h"
#include "nn_probe.h"
#include "plan.h"

/** Logits of all answers, [answers, classes], in the order of inputs and rows. */
typedef struct brute_logits {
    uint64_t answers;
    size_t classes;
    float *at;
} brute_logits;

/** What a place's values are between; low > high: nothing is known. */
typedef struct brute_bounds {
    float low, high;
} brute_bounds;

/** The fault-free run of a (model, protections, guard). */
typedef struct brute_golden {
    brute_values read;
    brute_logits logits;
    brute_noticed noticed;
    double metric, loss;
    uint64_t right;       /* classification */
    brute_bounds *bounds; /* [places], learnt if activations are restricted */
    brute_params *params; /* [tensors], for tuned values to be read within */
} brute_golden;

/** A model's values as in its file, and what it runs on. */
typedef struct brute_force {
    const fs_plan *plan;
    const dataset *data; /* borrowed */
    brute_values file;
} brute_force;

/* --- Activations ------------------------------------------------------------------------------ */

/* What is done to the activations of one input, while it is run: faults hit them, then they are
 * kept within bounds, or the bounds are learnt. */
typedef struct brute_probe {
    const fs_cell *cell; /* that has the faults; NULL: there are none */
    fs_restriction restriction;
    brute_bounds *bounds;
    int learns;
    const fs_config *config;
    const fs_fault *faults;
    size_t count;
    uint64_t earlier; /* faults of inputs before it */
    fs_trial_record *record;
} brute_probe;

/* Where in a tap a fault's value is; NULL: elsewhere. */
static inline float *brute_find(const brute_probe *self, const fs_fault *fault, const nn_tap *tap)
{
    uint64_t at[3];
    if (fault->place != fs_place_of(tap->stage, tap->layer)) return NULL;
    const unsigned count =
        fs_stage_index(&self->cell->space->geometry->config, tap->stage, fault->element, at);
    const uint64_t head = count == 3 ? at[0] : 0, row = count > 1 ? at[count - 2] : 0;
    if (head != tap->head || row < tap->row || row >= tap->row + tap->rows) return NULL;
    return tap->values + (row - tap->row) * tap->stride + at[count - 1];
}

/* Hits one value with the faults [first, end), all that are of its element. */
static inline void brute_hit_value(brute_probe *self, size_t first, size_t end, float *value)
{
    const fs_format *format = fs_format_of(self->cell->format);
    const uint32_t before = isnan(*value) ? BRUTE_NAN : brute_bits(*value);
    const uint32_t stored = fs_format_narrow(format, before);
    uint32_t after = stored, read = before;
    assert_int_equal(fs_format_widen(format, stored), before);
    for (size_t i = first; i < end; i++) {
        const uint32_t hit = brute_hit_bit(after, self->faults[i].bit, self->faults[i].kind);
        self->record->effective += hit != after;
        after = hit;
    }
    if (after != stored) read = brute_guard(&self->cell->guard, fs_format_widen(format, after));
    self->record->visible += read != before;
    *value = brute_float(read);
    for (size_t i = first; i < end && self->earlier + i < self->record->kept; i++) {
        fs_fault_record *kept = &self->record->fault[self->earlier + i];
        kept->before = stored;
        kept->value_before = before;
        kept->after = after;
        kept->value_after = read;
    }
}

/* @return nonzero for stages that have bounds: what attention weighs with and answers have none. */
static inline int brute_bounded(fs_stage stage)
{
    return stage != FS_STAGE_ATTENTION_SCORES && stage != FS_STAGE_ATTENTION_PROBS &&
           stage != FS_STAGE_LOGITS;
}

static inline void brute_learn(brute_bounds *bounds, float *value)
{
    if (isnan(*value)) *value = 0;
    const float plain = *value == 0 ? 0 : *value; /* bounds have one zero */
    if (plain < bounds->low) bounds->low = plain;
    if (plain > bounds->high) bounds->high = plain;
}

static inline void brute_restrict(brute_probe *self, const brute_bounds *bounds, float *value)
{
    if (*value >= bounds->low && *value <= bounds->high) return;
    self->record->detected++;
    if (isnan(*value) || self->restriction == FS_RESTRICT_ZERO)
        *value = 0;
    else
        *value = *value < bounds->low ? bounds->low : bounds->high;
}

static inline void brute_bound(brute_probe *self, const nn_tap *tap)
{
    if (self->restriction == FS_RESTRICT_NONE || !brute_bounded(tap->stage)) return;
    brute_bounds *bounds = &self->bounds[fs_place_of(tap->stage, tap->layer)];
    const uint32_t width = fs_stage_width(self->config, tap->stage);
    for (uint32_t r = 0; r < tap->rows; r++) {
        for (uint32_t c = 0; c < width; c++) {
            float *value = tap->values + r * tap->stride + c;
            if (self->learns)
                brute_learn(bounds, value);
            else
                brute_restrict(self, bounds, value);
        }
    }
}

static inline void brute_tap(void *context, const nn_tap *tap)
{
    brute_probe *self = context;
    size_t end;
    for (size_t i = 0; i < self->count; i = end) {
        const fs_fault *fault = &self->faults[i];
        float *value = brute_find(self, fault, tap);
        for (end = i + 1; end < self->count && self->faults[end].place == fault->place &&
                          self->faults[end].element == fault->element;)
            end++;
        if (value != NULL) brute_hit_value(self, i, end, value);
    }
    brute_bound(self, tap);
}

/* Draws for an input, and writes down what was drawn; the cell hits activations. */
static inline void brute_draw(const brute_force *self, const fs_cell *cell, uint64_t trial,
                              uint32_t input, fs_fault_list *out, fs_trial_record *record)
{
    const dataset *data = self->data;
    const fs_extent extent = {data->off[input + 1] - data->off[input],
                              data->kind == FS_TASK_LM ? data->scored[input] : 0};
    out->count = 0;
    if (cell->transient && fs_activation_pick(cell->draw_key, trial, data->count) != input) return;
    assert_ok(fs_activation_draw(out, cell->space, cell->amount, &cell->form, cell->draw_key, trial,
                                 input, extent));
    record->faults += out->count;
    record->faults_checksum =
        fs_activation_checksum(record->faults_checksum, out->items, out->count);
    for (size_t i = 0; i < out->count && record->kept < FS_FAULTS_KEPT_MAX; i++)
        record->fault[record->kept++] = (fs_fault_record){.input = input,
                                                          .bit = out->items[i].bit,
                                                          .kind = out->items[i].kind,
                                                          .place = out->items[i].place,
                                                          .element = out->items[i].element};
}

/* --- Running ---------------------------------------------------------------------------------- */

/* One input through the whole model; its logits go to `out`. @return answers. */
static inline uint32_t brute_run_input(nn_view *view, const dataset *data, uint32_t input,
                                       brute_probe *hits, float *out)
{
    const fs_config *config = &nn_model_geometry(nn_view_model(view))->config;
    const uint32_t first = data->off[input], length = data->off[input + 1] - first;
    const uint32_t off[2] = {0, length};
    const nn_batch batch = {data->ids + first, off, 1};
    const nn_probe probe = {brute_tap, hits};
    float *state = brute_room((size_t)length * config->d_model, sizeof *state);
    nn_view_set_probe(view, hits == NULL ? NULL : &probe);
    assert_ok(nn_embed(view, &batch, state));
    for (uint32_t l = 0; l < config->layers; l++) assert_ok(nn_layer(view, l, &batch, state));
    if (data->kind != FS_TASK_LM) {
        assert_ok(nn_classify(view, &batch, state, out));
        free(state);
        return 1;
    }
    const uint32_t scored = data->scored[input], row = length - 1 - scored;
    float *normed = brute_room((size_t)length * config->d_model, sizeof *normed);
    assert_ok(nn_final_norm(view, &batch, state, normed));
    assert_ok(nn_lm_logits(view, normed + (size_t)row * config->d_model, scored, out));
    if (hits != NULL) {
        const nn_tap tap = {.stage = FS_STAGE_LOGITS,
                            .row = row,
                            .rows = scored,
                            .values = out,
                            .stride = config->vocab};
        brute_tap(hits, &tap);
    }
    free(state);
    free(normed);
    return scored;
}

static inline void brute_logits_open(brute_logits *self, const brute_force *brute)
{
    const fs_config *config = &brute->file.geometry->config;
    self->answers = brute->data->answers;
    self->classes = brute->data->kind == FS_TASK_LM ? config->vocab : config->labels;
    self->at = brute_room(self->answers * self->classes, sizeof *self->at);
}

/* Runs every input through a fresh model of these values. `cell`: its activations are hit.
 * `learns`: the bounds of activations become those of this run. */
static inline void brute_run(const brute_force *self, const brute_values *values,
                             const fs_protect *protect, const fs_cell *cell, uint64_t trial,
                             brute_bounds *bounds, int learns, brute_logits *out,
                             fs_trial_record *record)
{
    nn_model *model;
    nn_view *view;
    fs_fault_list faults = {0};
    uint64_t answers = 0;
    const fs_protect plain = {.format = fs_activation_format(protect->format)};
    const fs_restriction restriction = fs_protect_restriction(protect);
    assert_ok(nn_model_of_values(&model, &self->file.geometry->config,
                                 (const float *const *)values->of, &plain, NULL));
    assert_int_equal(nn_model_altered(model), 0);
    assert_ok(nn_view_new(&view, model));
    for (uint32_t i = 0; i < self->data->count; i++) {
        brute_probe hits = {.cell = cell,
                            .restriction = restriction,
                            .bounds = bounds,
                            .learns = learns,
                            .config = &self->file.geometry->config,
                            .earlier = record->faults,
                            .record = record};
        const int plain_run = cell == NULL && restriction == FS_RESTRICT_NONE;
        if (cell != NULL) brute_draw(self, cell, trial, i, &faults, record);
        hits.faults = faults.items;
        hits.count = faults.count;
        answers += brute_run_input(view, self->data, i, plain_run ? NULL : &hits,
                                   out->at + answers * out->classes);
    }
    assert_int_equal(answers, out->answers);
    fs_fault_list_free(&faults);
    nn_view_destroy(&view);
    nn_model_close(&model);
}

/* --- What came out ---------------------------------------------------------------------------- */

static inline int32_t brute_answer(const float *x, size_t n)
{
    int32_t best = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(x[i])) return -1;
        if (x[i] > x[best]) best = (int32_t)i;
    }
    return best;
}

static inline int brute_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return 0;
    return 1;
}

/* @return the largest logit, and the sum of e^(logit - largest). */
static inline double brute_partition(const float *x, size_t n, double *sum)
{
    double most = (double)-INFINITY;
    for (size_t i = 0; i < n; i++)
        if ((double)x[i] > most) most = (double)x[i];
    *sum = 0;
    for (size_t i = 0; i < n; i++) *sum += fs_exp64((double)x[i] - most);
    return most;
}

static inline double brute_loss(const float *x, size_t n, int32_t target)
{
    double sum;
    const double most = brute_partition(x, n, &sum);
    return isfinite(sum) ? fs_log64(sum) - ((double)x[target] - most) : (double)NAN;
}

static inline double brute_kl(const float *clean, const float *faulty, size_t n)
{
    double clean_sum, faulty_sum, kl = 0;
    if (!brute_finite(clean, n) || !brute_finite(faulty, n)) return (double)NAN;
    const double clean_most = brute_partition(clean, n, &clean_sum);
    const double faulty_most = brute_partition(faulty, n, &faulty_sum);
    const double logs = fs_log64(faulty_sum) - fs_log64(clean_sum);
    for (size_t i = 0; i < n; i++) {
        const double p = (double)clean[i] - clean_most, q = (double)faulty[i] - faulty_most;
        kl += fs_exp64(p) / clean_sum * (p - q + logs);
    }
    return kl < 0 ? 0 : kl;
}

static inline double brute_deviation(const float *clean, const float *faulty, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        const double off = fabs((double)clean[i] - (double)faulty[i]);
        if (brute_bits(clean[i]) == brute_bits(faulty[i])) continue;
        if (!isfinite(clean[i]) || !isfinite(faulty[i])) return (double)INFINITY;
        if (off > most) most = off;
    }
    return most;
}

/* What one input gave. */
typedef struct brute_result {
    uint8_t outcome;
    uint64_t changed, right;
    double loss, kl, deviation;
} brute_result;

static inline void brute_judge_row(brute_result *self, int32_t target, const float *clean,
                                   const float *faulty, size_t n)
{
    const int32_t answer = brute_answer(faulty, n);
    const int equal = memcmp(clean, faulty, n * sizeof *clean) == 0;
    const int changed = !equal && answer != brute_answer(clean, n);
    uint8_t outcome = FS_OUTCOME_MASKED;
    if (!equal) {
        outcome = changed ? FS_OUTCOME_SDC : FS_OUTCOME_BENIGN;
        if (!brute_finite(faulty, n)) outcome = FS_OUTCOME_DUE;
        self->kl += brute_kl(clean, faulty, n);
    }
    const double off = brute_deviation(clean, faulty, n);
    if (outcome > self->outcome) self->outcome = outcome;
    if (off > self->deviation) self->deviation = off;
    self->changed += (uint64_t)changed;
    self->right += answer == target;
    self->loss += brute_loss(faulty, n, target);
}

static inline brute_result brute_judge(const dataset *data, uint32_t input, const float *clean,
                                       const float *faulty, size_t n)
{
    brute_result out = {.outcome = FS_OUTCOME_MASKED};
    if (data->kind != FS_TASK_LM) {
        brute_judge_row(&out, data->labels[input], clean, faulty, n);
        return out;
    }
    const uint32_t scored = data->scored[input];
    const int32_t *targets = data->ids + data->off[input + 1] - scored;
    for (uint32_t r = 0; r < scored; r++)
        brute_judge_row(&out, targets[r], clean + r * n, faulty + r * n, n);
    return out;
}

/* Sums up all inputs. `golden` NULL: this is it. `due`: every input is, whatever came out.
 * @return inputs that were answered rightly. */
static inline uint64_t brute_sum(const brute_force *self, const brute_golden *golden,
                                 const brute_logits *logits, int due, fs_trial_record *record)
{
    const dataset *data = self->data;
    const size_t n = logits->classes;
    const int lm = data->kind == FS_TASK_LM;
    uint32_t outcomes[FS_OUTCOME_COUNT] = {0};
    uint64_t right = 0, at = 0;
    double loss = 0, kl = 0;
    for (uint32_t i = 0; i < data->count; at += lm ? data->scored[i] : 1, i++) {
        const float *faulty = logits->at + at * n;
        const float *clean = golden == NULL ? faulty : golden->logits.at + at * n;
        const brute_result r = brute_judge(data, i, clean, faulty, n);
        const uint8_t outcome = due ? FS_OUTCOME_DUE : r.outcome;
        outcomes[outcome]++;
        if (outcome > record->outcome) record->outcome = outcome;
        if (r.deviation > record->deviation_max) record->deviation_max = r.deviation;
        record->answers_changed += r.changed;
        right += r.right;
        loss += r.loss;
        kl += r.kl;
    }
    record->inputs = data->count;
    record->masked = outcomes[FS_OUTCOME_MASKED];
    record->benign = outcomes[FS_OUTCOME_BENIGN];
    record->sdc = outcomes[FS_OUTCOME_SDC];
    record->due = outcomes[FS_OUTCOME_DUE];
    record->answers = logits->answers;
    record->loss = loss / (double)logits->answers;
    record->kl_mean = kl / (double)logits->answers;
    record->metric = lm ? fs_exp64(record->loss) : (double)right / data->count;
    return right;
}

/* --- Whole runs ------------------------------------------------------------------------------- */

/** Copies the values of a model folder. `data` is what the model reads of its task. */
static inline void brute_force_open(brute_force *self, const fs_plan *plan, const char *folder,
                                    const dataset *data)
{
    nn_model *model;
    *self = (brute_force){.plan = plan, .data = data};
    assert_ok(nn_model_open(&model, folder, NULL));
    brute_values_open(&self->file, plan->models[0].geometry);
    for (uint32_t t = 0; t < self->file.geometry->tensor_count; t++)
        for (size_t e = 0; e < brute_values_in(self->file.geometry, t); e++)
            self->file.of[t][e] = brute_float(nn_model_clean(model, t, e));
    nn_model_close(&model);
}

static inline void brute_force_close(brute_force *self)
{
    brute_values_close(&self->file);
}

static inline void brute_golden_open(brute_golden *self, const brute_force *brute,
                                     const fs_protect *protect)
{
    const brute_hits nothing = {0};
    fs_trial_record record = {0};
    *self = (brute_golden){0};
    brute_values_open(&self->read, brute->file.geometry);
    const size_t tensors = brute->file.geometry->tensor_count;
    self->params = brute_room(tensors, sizeof *self->params);
    self->noticed =
        brute_store_all(&brute->file, protect, &nothing, NULL, self->params, &self->read, &record);
    for (size_t t = 0; t < tensors; t++)
        for (size_t i = 0; i < FS_PROTECT_MAX; i++) self->params[t].of[i].given = 1;
    assert_true(record.corrected == 0 && record.detected == 0 && self->noticed.left == 0);
    self->bounds = brute_room(UINT16_MAX, sizeof *self->bounds);
    for (uint32_t p = 0; p < UINT16_MAX; p++) self->bounds[p] = (brute_bounds){INFINITY, -INFINITY};
    brute_logits_open(&self->logits, brute);
    brute_run(brute, &self->read, protect, NULL, 0, self->bounds, 1, &self->logits, &record);
    self->right = brute_sum(brute, NULL, &self->logits, 0, &record);
    self->metric = record.metric;
    self->loss = record.loss;
}

static inline void brute_golden_close(brute_golden *self)
{
    brute_values_close(&self->read);
    free(self->logits.at);
    free(self->bounds);
    free(self->params);
    *self = (brute_golden){0};
}

/* Whether a trial with so many right answers is critical. */
static inline void brute_decide(const brute_force *self, const brute_golden *golden, uint64_t right,
                                fs_trial_record *record)
{
    const fs_critical *critical = &self->plan->campaign->critical;
    const double lost = (double)golden->right - (double)right;
    if (self->data->kind == FS_TASK_LM)
        record->critical = !(record->metric / golden->metric < critical->perplexity_ratio);
    else
        record->critical = lost / self->data->count >= critical->accuracy_drop;
}

/** Stores and runs values that were not hit, beside the golden run of others.
 * @return inputs that were answered rightly. */
static inline uint64_t brute_evaluate(const brute_force *self, const brute_golden *golden,
                                      const fs_protect *protect, fs_trial_record *record)
{
    const brute_hits nothing = {{0}, {0}};
    brute_values read;
    brute_logits logits;
    brute_values_open(&read, self->file.geometry);
    brute_logits_open(&logits, self);
    const brute_noticed noticed =
        brute_store_all(&self->file, protect, &nothing, NULL, golden->params, &read, record);
    brute_run(self, &read, protect, NULL, 0, golden->bounds, 0, &logits, record);
    const uint64_t right = brute_sum(self, golden, &logits, noticed.left > 0, record);
    brute_values_close(&read);
    free(logits.at);
    return right;
}

/* A listed trial of which nothing lies in what the cell stores: no input is evaluated. */
static inline void brute_miss(fs_trial_record *record)
{
    record->outcome = FS_OUTCOME_NOT_INJECTED;
    record->metric = record->loss = record->kl_mean = (double)NAN;
}

/** One trial of a cell of the plan, against the golden run of the cell's variant. `given`: what is
 * hit in stored words; NULL: what the cell draws. */
static inline void brute_trial(const brute_force *self, const brute_golden *golden,
                               const fs_cell *cell, uint64_t trial, const brute_hits *given,
                               fs_trial_record *record)
{
    const fs_protect *protect = &self->plan->variants[cell->variant].protect;
    const int computed = cell->site->when == FS_SITE_COMPUTED;
    brute_hits drawn = {{0}, {0}};
    brute_values read;
    brute_logits logits;
    *record = (fs_trial_record){.activations = (uint8_t)computed};
    if (!computed && given == NULL) {
        assert_ok(fs_cell_draw(&drawn.words, cell, trial));
        assert_ok(fs_cell_draw_checks(&drawn.checks, cell, protect, trial));
    }
    const brute_hits *hits = given == NULL ? &drawn : given;
    if (!computed) {
        record->faults = hits->words.count;
        record->check_faults = hits->checks.count;
        record->faults_checksum = fs_fault_list_checksum(&hits->words);
    }
    if (given != NULL && record->faults + record->check_faults == 0) {
        brute_miss(record);
        return;
    }
    brute_values_open(&read, self->file.geometry);
    brute_logits_open(&logits, self);
    const brute_noticed noticed =
        brute_store_all(&self->file, protect, hits, &golden->read, NULL, &read, record);
    brute_run(self, &read, protect, computed ? cell : NULL, trial, golden->bounds, 0, &logits,
              record);
    brute_decide(self, golden, brute_sum(self, golden, &logits, noticed.left > 0, record), record);
    fs_fault_list_free(&drawn.words);
    fs_check_list_free(&drawn.checks);
    brute_values_close(&read);
    free(logits.at);
}

#endif
