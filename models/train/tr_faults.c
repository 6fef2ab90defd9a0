#include "tr_faults.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "hash.h"
#include "math64.h"
#include "rng.h"

/* Keys are more than sites: m and v are hit apart from each other. */
typedef enum key_name {
    KEY_GRADIENTS,
    KEY_PARAMETERS,
    KEY_ACTIVATIONS,
    KEY_ADAM_M,
    KEY_ADAM_V,
    KEY_COUNT
} key_name;

struct tr_faults {
    tr_faults_options options;
    double log_miss; /* ln(1 - rate) */
    const tr_hooks *inner;
    tr_hooks hooks;
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

/* Flips a bit of the value that is hit, clears those of `clear`, and goes on to the next hit. */
static void hits_flip(hits *self, float *value, uint32_t clear)
{
    uint32_t word;
    memcpy(&word, value, sizeof word);
    word = (word ^ 1u << fs_rng_below(&self->rng, 32)) & ~clear;
    memcpy(value, &word, sizeof word);
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

static fs_status gradients(void *context, const tr_state *state)
{
    tr_faults *self = context;
    if (self->inner != NULL && self->inner->gradients != NULL) {
        FS_TRY(self->inner->gradients(self->inner->context, state));
    }
    if (injects(self, TR_FAULT_GRADIENTS)) {
        self->counts[TR_FAULT_GRADIENTS] =
            flip_tensors(self, state, state->grads, KEY_GRADIENTS, 0);
    }
    return FS_OK;
}

static fs_status updated(void *context, const tr_state *state)
{
    tr_faults *self = context;
    if (self->inner != NULL && self->inner->updated != NULL) {
        FS_TRY(self->inner->updated(self->inner->context, state));
    }
    if (injects(self, TR_FAULT_OPTIMIZER)) {
        self->counts[TR_FAULT_OPTIMIZER] = flip_tensors(self, state, state->m, KEY_ADAM_M, 0) +
                                           flip_tensors(self, state, state->v, KEY_ADAM_V, 0);
    }
    if (injects(self, TR_FAULT_PARAMETERS)) {
        const uint32_t clear = self->options.clear_bit_30 ? 0x40000000u : 0;
        self->counts[TR_FAULT_PARAMETERS] =
            flip_tensors(self, state, state->values, KEY_PARAMETERS, clear);
    }
    return FS_OK;
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
    FS_ASSERT(options->sites != 0 && options->rate >= 0 && options->rate <= 1);
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
                             .skips = 1};
    for (key_name key = 0; key < KEY_COUNT; key++) self->keys[key] = key_of(options->key, key);
    return FS_OK;
}

void tr_faults_destroy(tr_faults **self)
{
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
