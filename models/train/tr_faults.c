#include "tr_faults.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "hash.h"
#include "math64.h"
#include "rng.h"

#define NAN_BITS 0x7fc00000u
#define BIT_30   0x40000000u

/* Keys are more than sites: m and v are hit apart from each other. */
typedef enum key_name {
    KEY_GRADIENTS,
    KEY_PARAMETERS,
    KEY_ACTIVATIONS,
    KEY_ADAM_M,
    KEY_ADAM_V,
    KEY_COUNT
} key_name;

/* What the sites of --inject are, beyond activations. */
static const struct {
    tr_fault_site site;
    key_name key;
} arrays[FS_TUNE_ARRAY_COUNT] = {
    [FS_TUNE_GRADIENTS] = {TR_FAULT_GRADIENTS, KEY_GRADIENTS},
    [FS_TUNE_ADAM_M] = {TR_FAULT_OPTIMIZER, KEY_ADAM_M},
    [FS_TUNE_ADAM_V] = {TR_FAULT_OPTIMIZER, KEY_ADAM_V},
    [FS_TUNE_PARAMETERS] = {TR_FAULT_PARAMETERS, KEY_PARAMETERS},
};

struct tr_faults {
    tr_faults_options options;
    double log_miss; /* ln(1 - rate) */
    const tr_hooks *inner;
    tr_hooks hooks;
    fs_fault_list list; /* drawn elsewhere */
    uint64_t keys[KEY_COUNT];
    uint64_t counts[TR_FAULT_SITE_COUNT];
    /* of the run whose forward pass is being made */
    tr_probe probe;
    uint64_t activation_key; /* of the step */
    uint64_t row_base;       /* number of the run's first row within the step */
    atomic_uint_fast64_t activation_count;
};

/* The hits among values 0..end-1, ascending. */
typedef struct hits {
    fs_rng rng;
    double rate, log_miss;
    uint64_t at, end;
} hits;

static void hits_seek(hits *self)
{
    if (self->rate >= 1 || self->at >= self->end) return;
    if (self->rate <= 0) {
        self->at = self->end;
        return;
    }
    const double gap = fs_log64(fs_rng_unit(&self->rng)) / self->log_miss;
    self->at = gap < (double)(self->end - self->at) ? self->at + (uint64_t)gap : self->end;
}

static hits hits_new(const tr_faults *faults, uint64_t key, uint64_t stream, uint64_t end)
{
    hits self = {.rate = faults->options.rate, .log_miss = faults->log_miss, .end = end};
    fs_rng_init(&self.rng, key, stream);
    hits_seek(&self);
    return self;
}

/* Hits one value by all faults of its word, then clears the bits of `clear`. */
static tr_fault_hit hit_value(const fs_fault *faults, size_t count, float *value, uint32_t clear)
{
    tr_fault_hit hit = {.faults = faults, .count = count, .before = NAN_BITS};
    if (!isnan(*value)) memcpy(&hit.before, value, sizeof hit.before);
    hit.after = hit.before;
    for (size_t i = 0; i < count; i++) {
        const uint32_t old = hit.after;
        hit.after = fs_fault_apply(faults[i], old);
        hit.effective += hit.after != old;
    }
    hit.read = hit.after & ~clear;
    memcpy(value, &hit.read, sizeof hit.read);
    return hit;
}

/* Flips a bit of the value that is hit, and goes on to the next hit. */
static void hits_flip(hits *self, float *value, uint32_t clear)
{
    const fs_fault fault = {.kind = FS_FAULT_FLIP, .bit = (uint8_t)fs_rng_below(&self->rng, 32)};
    (void)hit_value(&fault, 1, value, clear);
    self->at++;
    hits_seek(self);
}

static int is_trained(const tr_state *state, size_t tensor)
{
    return state->wanted != NULL ? state->wanted[tensor] : state->layout->tensors[tensor].used;
}

/* Flips among the values of trained tensors, numbered in the layout's order. @return how many. */
static uint64_t flip_tensors(const tr_faults *self, const tr_state *state, float *values,
                             key_name key, uint32_t clear)
{
    const tr_layout *layout = state->layout;
    uint64_t total = 0, first = 0, count = 0;
    for (size_t i = 0; i < layout->count; i++) {
        const tr_tensor *t = &layout->tensors[i];
        if (is_trained(state, i)) total += (uint64_t)t->rows * t->cols;
    }
    hits hit = hits_new(self, self->keys[key], state->step, total);
    for (size_t i = 0; i < layout->count; i++) {
        const tr_tensor *t = &layout->tensors[i];
        if (!is_trained(state, i)) continue;
        const uint64_t size = (uint64_t)t->rows * t->cols;
        for (; hit.at < first + size; count++) {
            hits_flip(&hit, values + t->first + (hit.at - first), clear);
        }
        first += size;
    }
    return count;
}

/* Hits the values of an array by a list. */
static void hit_list(const tr_faults *self, const tr_state *state, fs_tune_array array,
                     float *values, uint32_t clear)
{
    const tr_fault_draws *draws = self->options.draws;
    const fs_fault *faults = self->list.items;
    for (size_t at = 0, end; at < self->list.count; at = end) {
        const fs_fault *first = &faults[at];
        for (end = at + 1; end < self->list.count && faults[end].tensor == first->tensor &&
                           faults[end].element == first->element;)
            end++;
        const size_t index = state->layout->tensors[first->tensor].first + first->element;
        tr_fault_hit hit = hit_value(first, end - at, &values[index], clear);
        hit.step = state->step;
        hit.array = array;
        draws->hit(draws->context, &hit);
    }
}

static int injects(const tr_faults *self, tr_fault_site site)
{
    return self->options.sites >> site & 1u;
}

static void visit(void *context, tr_stage stage, uint32_t layer, float *values, uint32_t row_first,
                  uint32_t rows, uint32_t cols)
{
    tr_faults *self = context;
    uint64_t count = 0;
    for (uint32_t row = 0; row < rows; row++) {
        const uint64_t number = self->row_base + row_first + row;
        const uint64_t stream = (uint64_t)stage << 56 | (uint64_t)layer << 40 | number;
        hits hit = hits_new(self, self->activation_key, stream, cols);
        for (; hit.at < cols; count++) hits_flip(&hit, values + (size_t)row * cols + hit.at, 0);
    }
    atomic_fetch_add_explicit(&self->activation_count, count, memory_order_relaxed);
}

/* A number's own 64 bits from a key: a key for what it counts. */
static uint64_t key_of(uint64_t key, uint64_t number)
{
    uint8_t bytes[16];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(key >> (8 * i));
        bytes[8 + i] = (uint8_t)(number >> (8 * i));
    }
    return fs_checksum(bytes, sizeof bytes);
}

static fs_status begin(void *context, const tr_state *state)
{
    tr_faults *self = context;
    for (size_t i = 0; i < TR_FAULT_SITE_COUNT; i++) self->counts[i] = 0;
    self->activation_key = key_of(self->keys[KEY_ACTIVATIONS], state->step);
    atomic_store(&self->activation_count, 0);
    return self->inner != NULL && self->inner->begin != NULL
               ? self->inner->begin(self->inner->context, state)
               : FS_OK;
}

static fs_status make_run(void *context, const tr_run *run, tr_sums *sums)
{
    tr_faults *self = context;
    tr_run probed = *run;
    tr_pass pass = *run->pass;
    if (injects(self, TR_FAULT_ACTIVATIONS)) {
        FS_ASSERT(pass.probe == NULL);
        self->row_base = pass.row_first;
        pass.probe = &self->probe;
        probed.pass = &pass;
    }
    const fs_status status = self->inner != NULL && self->inner->run != NULL
                                 ? self->inner->run(self->inner->context, &probed, sums)
                                 : tr_objective_plain(&probed, sums);
    self->counts[TR_FAULT_ACTIVATIONS] = atomic_load(&self->activation_count);
    return status;
}

/* Hits one of the step's arrays, if it is to be hit. */
static fs_status hit_array(tr_faults *self, const tr_state *state, fs_tune_array array)
{
    float *const values[FS_TUNE_ARRAY_COUNT] = {
        [FS_TUNE_GRADIENTS] = state->grads,
        [FS_TUNE_ADAM_M] = state->m,
        [FS_TUNE_ADAM_V] = state->v,
        [FS_TUNE_PARAMETERS] = state->values,
    };
    const tr_fault_draws *draws = self->options.draws;
    const tr_fault_site site = arrays[array].site;
    const int clears = array == FS_TUNE_PARAMETERS && self->options.clear_bit_30;
    const uint32_t clear = clears ? BIT_30 : 0;
    if (draws == NULL) {
        if (injects(self, site))
            self->counts[site] +=
                flip_tensors(self, state, values[array], arrays[array].key, clear);
        return FS_OK;
    }
    if (!(draws->arrays >> array & 1u)) return FS_OK;
    FS_TRY(draws->draw(draws->context, array, state->step, &self->list));
    hit_list(self, state, array, values[array], clear);
    self->counts[site] += self->list.count;
    return FS_OK;
}

static fs_status gradients(void *context, const tr_state *state)
{
    tr_faults *self = context;
    if (self->inner != NULL && self->inner->gradients != NULL) {
        FS_TRY(self->inner->gradients(self->inner->context, state));
    }
    return hit_array(self, state, FS_TUNE_GRADIENTS);
}

static fs_status updated(void *context, const tr_state *state)
{
    tr_faults *self = context;
    if (self->inner != NULL && self->inner->updated != NULL) {
        FS_TRY(self->inner->updated(self->inner->context, state));
    }
    FS_TRY(hit_array(self, state, FS_TUNE_ADAM_M));
    FS_TRY(hit_array(self, state, FS_TUNE_ADAM_V));
    return hit_array(self, state, FS_TUNE_PARAMETERS);
}

static fs_status metrics(void *context, json_t *line)
{
    const tr_faults *self = context;
    if (self->inner != NULL && self->inner->metrics != NULL) {
        FS_TRY(self->inner->metrics(self->inner->context, line));
    }
    json_t *flips = json_object();
    for (tr_fault_site site = 0; site < TR_FAULT_SITE_COUNT; site++) {
        if (!injects(self, site)) continue;
        json_object_set_new(flips, tr_fault_site_name(site),
                            json_integer((json_int_t)self->counts[site]));
    }
    return json_object_set_new(line, "flips", flips) == 0
               ? FS_OK
               : fs_fail(FS_ENOMEM, "no memory for a line of metrics");
}

static fs_status measured(void *context, const tr_state *state, tr_source *dev, json_t *line)
{
    const tr_faults *self = context;
    return self->inner != NULL && self->inner->measured != NULL
               ? self->inner->measured(self->inner->context, state, dev, line)
               : FS_OK;
}

fs_status tr_faults_new(tr_faults **out, const tr_faults_options *options, const tr_hooks *inner)
{
    FS_ASSERT((options->sites != 0) != (options->draws != NULL));
    FS_ASSERT(options->rate >= 0 && options->rate <= 1);
    FS_ASSERT(inner == NULL || inner->probe == NULL);
    tr_faults *self = *out = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for faults while tuning");
    self->options = *options;
    self->log_miss = options->rate < 1 ? fs_log1p64(-options->rate) : 0;
    self->inner = inner;
    self->probe = (tr_probe){visit, self};
    self->hooks = (tr_hooks){.context = self,
                             .begin = begin,
                             .run = make_run,
                             .gradients = gradients,
                             .updated = updated,
                             .metrics = metrics,
                             .measured = measured,
                             .memory = inner != NULL ? inner->memory : NULL,
                             .skips = options->draws == NULL};
    for (key_name key = 0; key < KEY_COUNT; key++) self->keys[key] = key_of(options->key, key);
    return FS_OK;
}

void tr_faults_destroy(tr_faults **self)
{
    if (*self == NULL) return;
    fs_fault_list_free(&(*self)->list);
    free(*self);
    *self = NULL;
}

const tr_hooks *tr_faults_hooks(const tr_faults *self)
{
    return &self->hooks;
}

uint64_t tr_faults_count(const tr_faults *self, tr_fault_site site)
{
    return self->counts[site];
}

static const char *const site_names[] = {
#define X(name, text) text,
    TR_FAULT_SITE_MAP(X)
#undef X
};

const char *tr_fault_site_name(tr_fault_site site)
{
    return site_names[site];
}

fs_status tr_fault_sites_parse(unsigned *out, const char *words)
{
    *out = 0;
    for (const char *at = words;; at++) {
        const size_t size = strcspn(at, ",");
        size_t site = 0;
        while (site < TR_FAULT_SITE_COUNT &&
               (strlen(site_names[site]) != size || memcmp(site_names[site], at, size) != 0)) {
            site++;
        }
        if (site == TR_FAULT_SITE_COUNT) {
            return fs_fail(FS_EUSAGE,
                           "faults can be injected into gradients, parameters, activations and "
                           "optimizer, not '%.*s'",
                           size > 40 ? 40 : (int)size, at);
        }
        *out |= 1u << site;
        at += size;
        if (*at == '\0') return FS_OK;
    }
}
