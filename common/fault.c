#include "fault.h"

#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "grow.h"
#include "hash.h"
#include "limits.h"
#include "math64.h"
#include "rng.h"

enum { FAULT_ENCODED_BYTES = 14 };

static int layer_chosen(const int *layers, size_t layer_count, int layer)
{
    if (layer_count == 0) return 1;
    for (size_t i = 0; i < layer_count; i++) {
        if (layers[i] == layer) return 1;
    }
    return 0;
}

fs_status fs_fault_space_new(fs_fault_space **out, const fs_geometry *geometry,
                             fs_component_set components, const int *layers, size_t layer_count,
                             fs_bits bits)
{
    *out = NULL;
    if (bits == 0) return fs_fail(FS_ECONFIG, "no bits are chosen");
    fs_fault_space *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a fault space");
    self->geometry = geometry;
    self->bits = bits;
    self->bit_count = (unsigned)__builtin_popcount(bits);
    self->slices = malloc(geometry->slice_count * sizeof *self->slices);
    if (self->slices == NULL || fs_grids_init(&self->grids, geometry->slice_count) != FS_OK) {
        fs_fault_space_destroy(&self);
        return fs_fail(FS_ENOMEM, "no memory for a fault space");
    }
    for (size_t i = 0; i < geometry->slice_count; i++) {
        const fs_slice *slice = &geometry->slices[i];
        if (!(components >> slice->component & 1u)) continue;
        if (!layer_chosen(layers, layer_count, slice->layer)) continue;
        self->slices[self->slice_count++] = (uint32_t)i;
        fs_grids_add(&self->grids, (fs_grid){.copies = 1,
                                             .rows = geometry->tensors[slice->tensor].rows,
                                             .cols = slice->cols});
    }
    self->values = fs_grids_values(&self->grids);
    /* A campaign may have many cells of few slices each: keep what is used. */
    uint32_t *slices = realloc(self->slices, (self->slice_count + 1) * sizeof *slices);
    if (slices != NULL) self->slices = slices;
    fs_grids_trim(&self->grids);
    if (self->values == 0) {
        fs_fault_space_destroy(&self);
        return fs_fail(FS_ECONFIG, "the selection holds no parameter of this model");
    }
    *out = self;
    return FS_OK;
}

void fs_fault_space_destroy(fs_fault_space **self)
{
    if (*self == NULL) return;
    free((*self)->slices);
    fs_grids_free(&(*self)->grids);
    free((*self)->places);
    free(*self);
    *self = NULL;
}

void fs_fault_list_free(fs_fault_list *self)
{
    free(self->items);
    *self = (fs_fault_list){0};
}

fs_status fs_fault_list_add(fs_fault_list *self, fs_fault fault)
{
    if (self->count >= FS_FAULTS_PER_TRIAL_MAX) {
        return fs_fail(FS_ELIMIT, "a trial has more than %llu faults",
                       (unsigned long long)FS_FAULTS_PER_TRIAL_MAX);
    }
    fs_fault *items = fs_grow(self->items, self->count, &self->capacity, sizeof *items);
    if (items == NULL) return fs_fail(FS_ENOMEM, "no memory for more faults");
    self->items = items;
    self->items[self->count++] = fault;
    return FS_OK;
}

/* Drawing works with numbers of values first; where they lie is looked up at the end. */

static uint8_t nth_bit(fs_bits bits, unsigned n)
{
    for (; n > 0; n--) bits &= bits - 1;
    return (uint8_t)__builtin_ctz(bits);
}

/* Numbers to draw from: values, each with the same bits. */
typedef struct numbers {
    uint64_t values;
    fs_bits bits;
    unsigned bit_count;
    fs_fault_kind kind;
} numbers;

static fs_status push(fs_fault_list *list, const numbers *from, uint64_t value, unsigned bit_index)
{
    return fs_fault_list_add(list, (fs_fault){.bit = nth_bit(from->bits, bit_index),
                                              .kind = (uint8_t)from->kind,
                                              .element = value});
}

/* Numbers of the sites or values that are hit when each is with probability p: geometric gaps,
 * floor(ln u / ln(1 - p)). @return the next number from `at` on, or `end`. */
static uint64_t next_hit(fs_rng *rng, uint64_t at, uint64_t end, double p, double log_miss)
{
    if (p >= 1) return at;
    double gap = fs_log64(fs_rng_unit(rng)) / log_miss;
    return gap < (double)(end - at) ? at + (uint64_t)gap : end;
}

static fs_status draw_rate(fs_fault_list *out, const numbers *from, double rate, fs_rng *rng)
{
    double log_miss = fs_log1p64(-rate);
    uint64_t at = 0;
    while ((at = next_hit(rng, at, from->values, rate, log_miss)) < from->values) {
        unsigned bit = (unsigned)fs_rng_below(rng, from->bit_count);
        FS_TRY(push(out, from, at, bit));
        at++;
    }
    return FS_OK;
}

static fs_status draw_ber(fs_fault_list *out, const numbers *from, double rate, fs_rng *rng)
{
    double log_miss = fs_log1p64(-rate);
    uint64_t sites = from->values * from->bit_count;
    uint64_t at = 0;
    while ((at = next_hit(rng, at, sites, rate, log_miss)) < sites) {
        FS_TRY(push(out, from, at / from->bit_count, (unsigned)(at % from->bit_count)));
        at++;
    }
    return FS_OK;
}

/* An open-addressing set of site numbers, stored + 1 so that 0 means empty. */
typedef struct site_set {
    uint64_t *slots;
    uint64_t mask;
} site_set;

static int site_set_add(site_set *set, uint64_t site)
{
    uint64_t at = (site * 0x9e3779b97f4a7c15u) >> 20 & set->mask;
    while (set->slots[at] != 0) {
        if (set->slots[at] == site + 1) return 0;
        at = (at + 1) & set->mask;
    }
    set->slots[at] = site + 1;
    return 1;
}

/* Floyd's sampling without replacement: k draws, each subset of k sites equally likely.
 * Source: Bentley and Floyd, CACM 30(9), 1987. */
static fs_status draw_count(fs_fault_list *out, const numbers *from, uint64_t count, fs_rng *rng)
{
    uint64_t sites = from->values * from->bit_count;
    if (count > sites) {
        return fs_fail(FS_ECONFIG, "%llu faults asked for among %llu sites",
                       (unsigned long long)count, (unsigned long long)sites);
    }
    if (count > FS_FAULTS_PER_TRIAL_MAX) {
        return fs_fail(FS_ELIMIT, "a trial has at most %llu faults",
                       (unsigned long long)FS_FAULTS_PER_TRIAL_MAX);
    }
    uint64_t capacity = 16;
    while (capacity < 2 * count) capacity *= 2;
    site_set set = {calloc(capacity, sizeof *set.slots), capacity - 1};
    if (set.slots == NULL) return fs_fail(FS_ENOMEM, "no memory for a fault list");
    fs_status status = FS_OK;
    for (uint64_t j = sites - count; j < sites && status == FS_OK; j++) {
        uint64_t site = fs_rng_below(rng, j + 1);
        if (!site_set_add(&set, site)) {
            site = j;
            site_set_add(&set, site);
        }
        status = push(out, from, site / from->bit_count, (unsigned)(site % from->bit_count));
    }
    free(set.slots);
    return status;
}

static int compare_faults(const void *a, const void *b)
{
    const fs_fault *x = a, *y = b;
    if (x->tensor != y->tensor) return x->tensor < y->tensor ? -1 : 1;
    if (x->element != y->element) return x->element < y->element ? -1 : 1;
    return (x->bit > y->bit) - (x->bit < y->bit);
}

/* Most lists come out sorted: only fused tensors interleave. */
void fs_fault_list_sort(fs_fault_list *self)
{
    for (size_t i = 1; i < self->count; i++) {
        if (compare_faults(&self->items[i - 1], &self->items[i]) > 0) {
            qsort(self->items, self->count, sizeof *self->items, compare_faults);
            return;
        }
    }
}

fs_status fs_fault_draw_numbers(fs_fault_list *out, uint64_t values, fs_bits bits, fs_amount amount,
                                fs_fault_kind kind, fs_rng *rng)
{
    const numbers from = {values, bits, (unsigned)__builtin_popcount(bits), kind};
    out->count = 0;
    if (!(amount.value > 0)) return FS_OK;
    switch (amount.kind) {
    case FS_AMOUNT_COUNT:
        return draw_count(out, &from, (uint64_t)amount.value, rng);
    case FS_AMOUNT_RATE:
        return draw_rate(out, &from, amount.value, rng);
    case FS_AMOUNT_BER:
        break;
    }
    return draw_ber(out, &from, amount.value, rng);
}

void fs_fault_space_locate(const fs_fault_space *self, fs_fault_list *list)
{
    size_t s = 0;
    for (size_t i = 0; i < list->count; i++) {
        fs_fault *fault = &list->items[i];
        s = fs_grids_find(&self->grids, fault->element, s); /* values mostly ascend */
        const fs_slice *slice = &self->geometry->slices[self->slices[s]];
        uint64_t local = fault->element - self->grids.first[s];
        uint64_t row = local / slice->cols, col = slice->col_first + local % slice->cols;
        fault->tensor = slice->tensor;
        fault->slice = (uint16_t)self->slices[s];
        fault->element = row * self->geometry->tensors[slice->tensor].cols + col;
    }
    fs_fault_list_sort(list);
}

fs_status fs_fault_draw(fs_fault_list *out, const fs_fault_space *space, fs_amount amount,
                        fs_fault_kind kind, uint64_t draw_key, uint64_t trial)
{
    FS_ASSERT(space->places == NULL);
    fs_rng rng;
    fs_rng_init(&rng, draw_key, trial);
    FS_TRY(fs_fault_draw_numbers(out, space->values, space->bits, amount, kind, &rng));
    fs_fault_space_locate(space, out);
    return FS_OK;
}

uint64_t fs_fault_list_checksum(const fs_fault_list *self)
{
    /* Chained in chunks, so that no second list is needed. */
    uint8_t chunk[8 + 256 * FAULT_ENCODED_BYTES];
    uint64_t sum = fs_checksum(NULL, 0);
    for (size_t i = 0; i < self->count;) {
        size_t used = 0;
        for (int b = 0; b < 8; b++) chunk[used++] = (uint8_t)(sum >> (8 * b));
        for (size_t n = 0; n < 256 && i < self->count; n++, i++) {
            const fs_fault *fault = &self->items[i];
            for (int b = 0; b < 4; b++) chunk[used++] = (uint8_t)(fault->tensor >> (8 * b));
            for (int b = 0; b < 8; b++) chunk[used++] = (uint8_t)(fault->element >> (8 * b));
            chunk[used++] = fault->bit;
            chunk[used++] = fault->kind;
        }
        sum = fs_checksum(chunk, used);
    }
    return sum;
}

uint32_t fs_fault_apply(fs_fault fault, uint32_t word)
{
    uint32_t mask = 1u << fault.bit;
    FS_ASSERT(fault.kind <= FS_FAULT_STUCK1);
    switch ((fs_fault_kind)fault.kind) {
    case FS_FAULT_FLIP:
        return word ^ mask;
    case FS_FAULT_STUCK0:
        return word & ~mask;
    case FS_FAULT_STUCK1:
        return word | mask;
    }
    return word;
}

fs_bits fs_bits_parse(const char *word, const fs_format *format)
{
    if (strcmp(word, "all") == 0) return format->sign | format->exponent | format->mantissa;
    if (strcmp(word, "sign") == 0) return format->sign;
    if (strcmp(word, "exponent") == 0) return format->exponent;
    if (strcmp(word, "mantissa") == 0) return format->mantissa;
    return 0;
}
