#include "wk_trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "assert.h"
#include "wk_activations.h"
#include "wk_map.h"
#include "wk_score.h"

struct wk_trial {
    const wk_golden *golden;
    const fs_critical *critical;
    nn_view *view;      /* carries the faults */
    size_t written_max; /* above it they are shared again */
    size_t written;     /* values since its pages were last shared: as many may be private */
    nn_view *clean;     /* is never written */
    fs_fault_list faults;
    fs_check_list checks;
    wk_injection injection;
    wk_activations activations;
    wk_map map;
    uint8_t *everyone;  /* [layers + 1] the block (the head) runs for every input */
    wk_result *results; /* [count] */
    uint32_t first_difference;
    /* Of one batch: */
    int logits_hit;    /* by a fault in the logits themselves */
    uint8_t *dirty;    /* [inputs] state differs from golden, or must be taken for it */
    uint32_t *off;     /* [inputs + 1] of the whole batch */
    float *state;      /* [tokens, width] rows of inputs at their place in the batch */
    uint32_t *active;  /* [inputs] the inputs that the block runs for */
    uint32_t *sub_off; /* [inputs + 1] of the active ones, packed */
    int32_t *sub_ids;  /* [tokens] */
    float *packed;     /* [tokens, width] */
    float *logits; /* classification: [inputs, classes]; else [WK_LM_ROWS, width + classes] x 2 */
};

static int is_lm(const wk_trial *self)
{
    return self->golden->data->kind == FS_TASK_LM;
}

static const fs_geometry *geometry_of(const wk_trial *self)
{
    return nn_model_geometry(self->golden->model);
}

/* How many values may be written before the view's pages are shared again. An eighth of the pages
 * is always allowed: fewer would be read again for every few faults. */
static size_t written_max(const nn_view *view, uint64_t private_bytes)
{
    size_t pages = nn_view_pages(view);
    uint64_t allowed = private_bytes / (uint64_t)sysconf(_SC_PAGESIZE);
    if (allowed >= pages) return SIZE_MAX; /* all of them */
    return allowed > pages / 8 ? (size_t)allowed : pages / 8;
}

/* Keeps what a view computes within the bounds of the golden run, if the variant asks for that. */
static void restrict_view(const wk_golden *golden, nn_view *view)
{
    if (golden->ranges != NULL)
        nn_view_restrict(view, golden->ranges,
                         nn_model_restriction(golden->model) == FS_RESTRICT_CLIP);
}

fs_status wk_trial_new(wk_trial **out, const wk_golden *golden, const fs_critical *critical,
                       uint64_t private_bytes)
{
    *out = NULL;
    wk_trial *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a trial");
    self->golden = golden;
    self->critical = critical;
    const fs_config *config = &geometry_of(self)->config;
    size_t inputs = golden->batch_inputs_max, tokens = golden->batch_tokens_max;
    size_t logits = is_lm(self) ? 2 * (size_t)WK_LM_ROWS * (golden->width + (size_t)golden->classes)
                                : inputs * golden->classes;
    self->everyone = calloc((size_t)config->layers + 1, 1);
    self->results = calloc(golden->data->count, sizeof *self->results);
    self->dirty = calloc(inputs, 1);
    self->off = calloc(inputs + 1, sizeof *self->off);
    self->state = calloc(tokens * golden->width, sizeof *self->state);
    self->active = calloc(inputs, sizeof *self->active);
    self->sub_off = calloc(inputs + 1, sizeof *self->sub_off);
    self->sub_ids = calloc(tokens, sizeof *self->sub_ids);
    self->packed = calloc(tokens * golden->width, sizeof *self->packed);
    self->logits = calloc(logits, sizeof *self->logits);
    int complete = self->everyone && self->results && self->dirty && self->off && self->state &&
                   self->active && self->sub_off && self->sub_ids && self->packed && self->logits;
    fs_status status = complete ? FS_OK : fs_fail(FS_ENOMEM, "no memory for a trial");
    if (status == FS_OK) status = wk_map_init(&self->map, geometry_of(self), golden->data);
    if (status == FS_OK)
        status = wk_activations_init(&self->activations, golden->data, (uint32_t)inputs);
    if (status == FS_OK) status = nn_view_new(&self->view, golden->model);
    if (status == FS_OK) restrict_view(golden, self->view);
    if (status == FS_OK) status = nn_view_new(&self->clean, golden->model);
    if (status == FS_OK) self->written_max = written_max(self->view, private_bytes);
    if (status != FS_OK) wk_trial_destroy(&self);
    *out = self;
    return status;
}

void wk_trial_destroy(wk_trial **self)
{
    wk_trial *t = *self;
    if (t == NULL) return;
    nn_view_destroy(&t->view);
    nn_view_destroy(&t->clean);
    fs_fault_list_free(&t->faults);
    fs_check_list_free(&t->checks);
    wk_injection_free(&t->injection);
    wk_activations_free(&t->activations);
    wk_map_free(&t->map);
    void *blocks[] = {t->everyone, t->results, t->dirty,   t->off,    t->state,
                      t->active,   t->sub_off, t->sub_ids, t->packed, t->logits};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) free(blocks[i]);
    free(t);
    *self = NULL;
}

/* A faulty block runs for every input; so do those between it and the last kept boundary before
 * it. The head counts as block `layers`. */
static void plan_blocks(wk_trial *self, int brute_force)
{
    const wk_golden *golden = self->golden;
    memset(self->everyone, brute_force, (size_t)golden->layers + 1);
    if (brute_force) return;
    for (uint32_t l = 0; l <= golden->layers; l++) {
        int faulty = l == golden->layers ? self->map.head : self->map.layer[l];
        if (!faulty) continue;
        for (uint32_t from = wk_golden_floor(golden, l); from <= l; from++) {
            self->everyone[from] = 1;
        }
    }
}

/* Packs the active inputs of a batch, their ids and, if `from_state`, their rows. */
static nn_batch pack(wk_trial *self, uint32_t first, uint32_t n, int from_state)
{
    const dataset *data = self->golden->data;
    size_t width = self->golden->width;
    self->sub_off[0] = 0;
    for (uint32_t a = 0; a < n; a++) {
        uint32_t i = self->active[a], length = self->off[i + 1] - self->off[i];
        uint32_t at = self->sub_off[a];
        memcpy(self->sub_ids + at, data->ids + data->off[first + i], length * sizeof(int32_t));
        if (from_state) {
            memcpy(self->packed + at * width, self->state + self->off[i] * width,
                   length * width * sizeof(float));
        }
        self->sub_off[a + 1] = at + length;
    }
    return (nn_batch){self->sub_ids, self->sub_off, n};
}

static void unpack(wk_trial *self, uint32_t n)
{
    size_t width = self->golden->width;
    for (uint32_t a = 0; a < n; a++) {
        uint32_t i = self->active[a];
        memcpy(self->state + self->off[i] * width, self->packed + self->sub_off[a] * width,
               (size_t)(self->sub_off[a + 1] - self->sub_off[a]) * width * sizeof(float));
    }
}

/* Marks the active inputs as dirty unless their state is golden again at this boundary. */
static void compare_boundary(wk_trial *self, uint32_t boundary, uint32_t first, uint32_t n,
                             int may_drop)
{
    const wk_golden *golden = self->golden;
    size_t width = golden->width;
    for (uint32_t a = 0; a < n; a++) {
        uint32_t i = self->active[a], row = self->off[i];
        self->dirty[i] = 1;
        if (golden->state[boundary] == NULL) continue;
        uint32_t rows = wk_golden_row_count(golden, boundary, first + i);
        if (rows == 1) row += wk_golden_head_row(golden, self->off[i + 1] - self->off[i]);
        int equal = memcmp(wk_golden_rows(golden, boundary, first + i), self->state + row * width,
                           rows * width * sizeof(float)) == 0;
        if (equal && may_drop) self->dirty[i] = 0;
        if (!equal && boundary < self->first_difference) self->first_difference = boundary;
    }
}

/* Whether an input is hit in block l (the head is block `layers`), or in a later one that starts
 * from the same kept boundary. */
static int hit_from(const wk_trial *self, uint32_t l, uint32_t i)
{
    const wk_golden *golden = self->golden;
    const fs_place first = fs_place_of(FS_STAGE_ATTENTION_Q, l);
    if (l == golden->layers)
        return wk_activations_between(&self->activations, i, first,
                                      fs_place_of(FS_STAGE_LOGITS, 0));
    while (l + 1 < golden->layers && golden->state[l + 1] == NULL) l++;
    return wk_activations_between(&self->activations, i, first, fs_place_of(FS_STAGE_BLOCK_OUT, l));
}

/* Lists the inputs that block l runs for, and loads the golden state of those taken up again. */
static uint32_t activate(wk_trial *self, uint32_t l, uint32_t first, uint32_t n)
{
    const wk_golden *golden = self->golden;
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!self->dirty[i] && !self->everyone[l] && !hit_from(self, l, i)) continue;
        if (!self->dirty[i]) {
            FS_ASSERT(golden->state[l] != NULL);
            memcpy(self->state + (size_t)self->off[i] * golden->width,
                   wk_golden_rows(golden, l, first + i),
                   (size_t)wk_golden_row_count(golden, l, first + i) * golden->width *
                       sizeof(float));
        }
        self->active[count++] = i;
    }
    return count;
}

static fs_status embed_batch(wk_trial *self, uint32_t first, uint32_t n, int brute_force)
{
    const fs_place place = fs_place_of(FS_STAGE_EMBEDDING_OUT, 0);
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (brute_force || wk_map_embeds(&self->map, first + i) ||
            wk_activations_between(&self->activations, i, place, place))
            self->active[count++] = i;
    }
    if (count == 0) return FS_OK;
    nn_batch batch = pack(self, first, count, 0);
    nn_view_set_probe(self->view,
                      wk_activations_probe(&self->activations, self->active, count, place, place));
    FS_TRY(nn_embed(self->view, &batch, self->packed));
    unpack(self, count);
    compare_boundary(self, 0, first, count, !brute_force);
    return FS_OK;
}

static fs_status run_blocks(wk_trial *self, uint32_t first, uint32_t n, int brute_force)
{
    const wk_golden *golden = self->golden;
    for (uint32_t l = 0; l < golden->layers; l++) {
        uint32_t count = activate(self, l, first, n);
        if (count == 0) continue;
        nn_batch batch = pack(self, first, count, 1);
        const nn_probe *probe = wk_activations_probe(&self->activations, self->active, count,
                                                     fs_place_of(FS_STAGE_ATTENTION_Q, l),
                                                     fs_place_of(FS_STAGE_BLOCK_OUT, l));
        nn_view_set_probe(self->view, probe);
        /* A hit row that the head does not read is computed all the same: its record says what
         * became of it, and how many of its values were out of bounds. */
        int last = l + 1 == golden->layers && !is_lm(self) && !brute_force && probe == NULL &&
                   golden->ranges == NULL;
        FS_TRY(last ? nn_layer_last(self->view, &batch, self->packed)
                    : nn_layer(self->view, l, &batch, self->packed));
        unpack(self, count);
        compare_boundary(self, l + 1, first, count, !brute_force);
    }
    return FS_OK;
}

/* Shows a window's logits to the faults in them: rows [row, row + rows) of an active input. */
static void hit_logits(wk_trial *self, uint32_t sequence, uint32_t row, uint32_t rows,
                       float *logits)
{
    if (!self->logits_hit) return;
    const nn_tap tap = {.stage = FS_STAGE_LOGITS,
                        .sequence = sequence,
                        .row = row,
                        .rows = rows,
                        .values = logits,
                        .stride = self->golden->classes};
    wk_activations_tap(&self->activations, &tap);
}

static fs_status score_window(wk_trial *self, uint32_t first, uint32_t sequence)
{
    const wk_golden *golden = self->golden;
    const dataset *data = golden->data;
    uint32_t place = self->active[sequence], input = first + place;
    size_t width = golden->width, classes = golden->classes;
    uint32_t scored = data->scored[input], length = data->off[input + 1] - data->off[input];
    const int32_t *targets = data->ids + data->off[input + 1] - scored;
    const float *state = self->state + (self->off[place] + length - 1 - scored) * width;
    float *normed = self->logits, *faulty = normed + WK_LM_ROWS * width;
    float *scratch = faulty + WK_LM_ROWS * classes;
    wk_result r = {.outcome = FS_OUTCOME_MASKED};
    for (uint32_t at = 0; at < scored; at += WK_LM_ROWS) {
        uint32_t rows = scored - at < WK_LM_ROWS ? scored - at : WK_LM_ROWS;
        const uint32_t off[2] = {0, rows};
        const nn_batch batch = {self->sub_ids, off, 1};
        const float *clean;
        FS_TRY(nn_final_norm(self->view, &batch, state + at * width, normed));
        FS_TRY(nn_lm_logits(self->view, normed, rows, faulty));
        hit_logits(self, sequence, length - 1 - scored + at, rows, faulty);
        FS_TRY(wk_golden_lm_logits(golden, self->clean, input, at, rows, scratch, &clean));
        for (uint32_t i = 0; i < rows; i++) {
            wk_score_answer(golden, &r, golden->answer_first[input] + at + i, targets[at + i],
                            faulty + i * classes, clean + i * classes);
        }
    }
    self->results[input] = r;
    return FS_OK;
}

/* The head reads one row of each input: packed, they are sequences of one token. */
static fs_status score_sentences(wk_trial *self, uint32_t first, uint32_t count)
{
    const wk_golden *golden = self->golden;
    size_t width = golden->width;
    for (uint32_t a = 0; a < count; a++) {
        uint32_t i = self->active[a];
        const float *row = wk_golden_rows(golden, golden->layers, first + i);
        if (self->dirty[i]) {
            uint32_t head = wk_golden_head_row(golden, self->off[i + 1] - self->off[i]);
            row = self->state + (self->off[i] + head) * width;
        }
        memcpy(self->packed + a * width, row, width * sizeof *row);
        self->sub_off[a] = a;
    }
    self->sub_off[count] = count;
    const nn_batch batch = {self->sub_ids, self->sub_off, count};
    FS_TRY(nn_classify(self->view, &batch, self->packed, self->logits));
    for (uint32_t a = 0; a < count; a++) {
        uint32_t input = first + self->active[a];
        wk_result r = {.outcome = FS_OUTCOME_MASKED};
        wk_score_answer(golden, &r, input, golden->data->labels[input],
                        self->logits + a * (size_t)golden->classes,
                        golden->logits + input * (size_t)golden->classes);
        self->results[input] = r;
    }
    return FS_OK;
}

static fs_status run_head(wk_trial *self, uint32_t first, uint32_t n)
{
    const wk_golden *golden = self->golden;
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (self->dirty[i] || self->everyone[golden->layers] || hit_from(self, golden->layers, i))
            self->active[count++] = i;
        else
            self->results[first + i] = wk_score_masked(golden, first + i);
    }
    if (count == 0) return FS_OK;
    const fs_place place = fs_place_of(FS_STAGE_LOGITS, 0);
    const nn_probe *probe =
        wk_activations_probe(&self->activations, self->active, count, place, place);
    nn_view_set_probe(self->view, probe);
    self->logits_hit = probe != NULL;
    if (!is_lm(self)) return score_sentences(self, first, count);
    count = activate(self, golden->layers, first, n);
    for (uint32_t a = 0; a < count; a++) {
        FS_TRY(score_window(self, first, a));
    }
    return FS_OK;
}

static fs_status run_batch(wk_trial *self, uint32_t b, int brute_force)
{
    const wk_golden *golden = self->golden;
    uint32_t first = golden->batch_first[b], n = golden->batch_first[b + 1] - first;
    for (uint32_t i = 0; i <= n; i++) {
        self->off[i] = golden->data->off[first + i] - golden->data->off[first];
    }
    memset(self->dirty, 0, n);
    FS_TRY(wk_activations_draw(&self->activations, first, n));
    FS_TRY(embed_batch(self, first, n, brute_force));
    FS_TRY(run_blocks(self, first, n, brute_force));
    return run_head(self, first, n);
}

/* Takes the faults out. A value written back leaves its page private; once more may be than are
 * allowed, all are dropped, so that threads do not end with a whole model each. */
static void restore(wk_trial *self)
{
    self->written += self->injection.count;
    if (self->written > self->written_max && nn_view_reset(self->view) == FS_OK) {
        self->written = 0;
        return;
    }
    wk_restore(&self->injection, self->view, self->clean);
}

static fs_status check_restored(const wk_trial *self, const fs_fault_list *faults)
{
    for (size_t i = 0; i < faults->count; i++) {
        const fs_fault *f = &faults->items[i];
        if (nn_view_get(self->view, f->tensor, f->element) !=
            nn_view_get(self->clean, f->tensor, f->element)) {
            return fs_fail(FS_EMISMATCH, "tensor %u, element %llu is not restored after a trial",
                           f->tensor, (unsigned long long)f->element);
        }
    }
    return FS_OK;
}

/* Draws the faults of parameters and puts them into the view. */
static fs_status inject(wk_trial *self, const fs_cell *cell, const fs_protection *protection,
                        uint64_t trial, int brute_force, fs_trial_record *record)
{
    self->faults.count = self->injection.count = 0;
    self->injection.left = 0;
    if (cell->site->when != FS_SITE_STORED) return FS_OK;
    FS_TRY(fs_cell_draw(&self->faults, cell, trial));
    FS_TRY(fs_cell_draw_checks(&self->checks, cell, &protection->protect, trial));
    const wk_hits hits = {protection, &self->faults, &self->checks, brute_force};
    return wk_inject(&self->injection, self->view, &hits, record);
}

/* Whether nothing that an input reads has changed: no forward pass is needed. */
static int nothing_to_run(const wk_trial *self)
{
    const wk_map *map = &self->map;
    return self->activations.cell == NULL && !map->embedding && !map->embedding_some &&
           memchr(self->everyone, 1, (size_t)self->golden->layers + 1) == NULL;
}

static fs_status run_batches(wk_trial *self, int brute_force)
{
    const wk_golden *golden = self->golden;
    if (!brute_force && nothing_to_run(self)) {
        for (uint32_t i = 0; i < golden->data->count; i++)
            self->results[i] = wk_score_masked(golden, i);
        return FS_OK;
    }
    for (uint32_t b = 0; b < golden->batch_count; b++) FS_TRY(run_batch(self, b, brute_force));
    return FS_OK;
}

/* Whether a list or log has nothing for this arm: addresses outside of its tensors, bits of a
 * protection that it lacks. */
static int misses(const wk_trial *self, const fs_cell *cell)
{
    return cell->list != NULL && self->faults.count == 0 && self->checks.count == 0;
}

static void set_missed(fs_trial_record *record)
{
    record->outcome = FS_OUTCOME_NOT_INJECTED;
    record->metric = record->loss = record->kl_mean = (double)NAN;
}

static void sum_up(wk_trial *self, int due, fs_trial_record *record)
{
    int differs = wk_score_sum(self->golden, self->critical, self->results, due, record);
    if (differs && self->first_difference > self->golden->layers + 1)
        self->first_difference = self->golden->layers + 1;
}

fs_status wk_trial_run(wk_trial *self, const fs_cell *cell, const fs_protection *protection,
                       uint64_t trial, int brute_force, fs_trial_record *record)
{
    *record = (fs_trial_record){0};
    self->first_difference = UINT32_MAX;
    wk_activations_begin(&self->activations, cell, trial, record);
    fs_status status = inject(self, cell, protection, trial, brute_force, record);
    const int missed = status == FS_OK && misses(self, cell);
    if (status == FS_OK && !missed) {
        wk_map_set(&self->map, &self->injection);
        plan_blocks(self, brute_force);
        status = run_batches(self, brute_force);
    }
    nn_view_set_probe(self->view, NULL);
    record->detected += nn_view_take_outside(self->view);
    restore(self);
    if (status == FS_OK) status = check_restored(self, &self->faults);
    if (status != FS_OK) return status;
    if (missed)
        set_missed(record);
    else
        sum_up(self, self->injection.left > 0, record);
    return FS_OK;
}

fs_status wk_trial_evaluate(wk_trial *self, const nn_model *model, fs_trial_record *record)
{
    nn_view *const own = self->view, *other;
    self->first_difference = UINT32_MAX;
    self->faults.count = self->injection.count = 0;
    self->activations.cell = NULL;
    FS_TRY(nn_view_new(&other, model));
    restrict_view(self->golden, other);
    self->view = other;
    wk_map_set(&self->map, &self->injection);
    plan_blocks(self, 1);
    fs_status status = run_batches(self, 1);
    const fs_codec_report noticed = nn_model_noticed(model);
    record->corrected += noticed.corrected;
    record->detected += noticed.detected + nn_view_take_outside(other);
    nn_view_destroy(&other);
    self->view = own;
    if (status == FS_OK) sum_up(self, noticed.left > 0, record);
    return status;
}

void wk_trial_nothing(wk_trial *self, fs_trial_record *record)
{
    const wk_golden *golden = self->golden;
    for (uint32_t i = 0; i < golden->data->count; i++) {
        const uint64_t answers = golden->answer_first[i + 1] - golden->answer_first[i];
        self->results[i] = (wk_result){.outcome = FS_OUTCOME_DUE,
                                       .changed = (uint32_t)answers,
                                       .loss = (double)NAN,
                                       .kl = (double)NAN,
                                       .deviation = (double)INFINITY};
    }
    self->first_difference = UINT32_MAX;
    sum_up(self, 0, record);
}

fs_status wk_trial_check(const wk_trial *self)
{
    if (nn_view_checksum(self->view) == nn_model_checksum(self->golden->model)) return FS_OK;
    return fs_fail(FS_EMISMATCH, "the model's weights differ from golden after a trial");
}

uint32_t wk_trial_first_difference(const wk_trial *self)
{
    return self->first_difference;
}
