#include "redundancy.h"

#include <stdlib.h>

#include "assert.h"
#include "grow.h"
#include "math64.h"
#include "quantise.h"
#include "rng.h"

/* The codewords of one codec whose first word lies in one slice: the same columns of each row. Or
 * the channels of scales, as codewords that are a row, or a word of the first row. */
typedef struct stripe {
    const fs_slice *slice;
    unsigned codec; /* index, or FS_CHECK_SCALE */
    unsigned bits;  /* beside a codeword */
    size_t words;   /* of a codeword */
    uint64_t first; /* number within the row of the first codeword */
    uint64_t count; /* in each row */
    uint64_t rows;
    uint64_t cols; /* of the tensor */
} stripe;

static stripe stripe_of(const fs_fault_space *space, size_t slice, size_t words)
{
    const fs_slice *s = &space->geometry->slices[space->slices[slice]];
    const fs_tensor *tensor = &space->geometry->tensors[s->tensor];
    stripe out = {.slice = s, .words = words, .rows = tensor->rows, .cols = tensor->cols};
    out.first = ((uint64_t)s->col_first + words - 1) / words;
    out.count = ((uint64_t)s->col_first + s->cols + words - 1) / words - out.first;
    return out;
}

static stripe stripe_of_codec(const fs_fault_space *space, const fs_protect *protect, size_t slice,
                              unsigned codec)
{
    const fs_slice *s = &space->geometry->slices[space->slices[slice]];
    const size_t cols = space->geometry->tensors[s->tensor].cols;
    stripe out = stripe_of(
        space, slice, fs_codec_words(protect->codecs[codec], fs_protect_format(protect), cols));
    out.codec = codec;
    out.bits = protect->codecs[codec]->check_bits;
    return out;
}

static stripe stripe_of_scales(const fs_fault_space *space, size_t slice)
{
    const uint32_t tensor = space->geometry->slices[space->slices[slice]].tensor;
    const int by_column = fs_channels_of(space->geometry, tensor) == FS_CHANNELS_COLUMNS;
    stripe out = stripe_of(space, slice, by_column ? 1 : space->geometry->tensors[tensor].cols);
    if (by_column) out.rows = 1;
    out.codec = FS_CHECK_SCALE;
    out.bits = FS_SCALE_BITS;
    return out;
}

static uint64_t sites_of(const stripe *s)
{
    return s->rows * s->count * s->bits;
}

uint64_t fs_check_sites(const fs_fault_space *space, const fs_protect *protect)
{
    uint64_t sites = 0;
    for (size_t i = 0; i < space->slice_count; i++) {
        for (unsigned c = 0; c < protect->codec_count; c++) {
            const stripe s = stripe_of_codec(space, protect, i, c);
            sites += sites_of(&s);
        }
        if (protect->format == FS_FORMAT_INT8) {
            const stripe s = stripe_of_scales(space, i);
            sites += sites_of(&s);
        }
    }
    return sites;
}

static fs_status push(fs_check_list *list, fs_check_fault fault)
{
    if (list->count >= FS_FAULTS_PER_TRIAL_MAX)
        return fs_fail(FS_ELIMIT, "a trial has more than %llu faults in redundant bits",
                       (unsigned long long)FS_FAULTS_PER_TRIAL_MAX);
    fs_check_fault *items = fs_grow(list->items, list->count, &list->capacity, sizeof *items);
    if (items == NULL) return fs_fail(FS_ENOMEM, "no memory for more faults");
    list->items = items;
    list->items[list->count++] = fault;
    return FS_OK;
}

static fs_check_fault locate(const stripe *s, uint64_t site, uint32_t slice, uint8_t kind)
{
    const uint64_t word = site / s->bits;
    const uint64_t row = word / s->count, col = (s->first + word % s->count) * s->words;
    return (fs_check_fault){.tensor = s->slice->tensor,
                            .slice = (uint16_t)slice,
                            .codec = (uint8_t)s->codec,
                            .bit = (uint8_t)(site % s->bits),
                            .kind = kind,
                            .element = row * s->cols + col};
}

/* What becomes of one hit bit. */
static uint8_t kind_of(fs_form_word word, fs_rng *rng)
{
    if (word == FS_FORM_BURST) return FS_FAULT_FLIP;
    if (word == FS_FORM_VALUE) return fs_rng_u32(rng) & 1 ? FS_FAULT_STUCK1 : FS_FAULT_STUCK0;
    return (uint8_t)word;
}

/* Geometric gaps through the sites of one stripe. Gaps have no memory, so each stripe begins anew.
 */
static fs_status draw_stripe(fs_check_list *out, const stripe *s, uint32_t slice, double rate,
                             fs_form_word word, fs_rng *rng)
{
    const uint64_t sites = sites_of(s);
    const double log_miss = rate < 1 ? fs_log1p64(-rate) : 0;
    for (uint64_t at = 0; at < sites; at++) {
        if (rate < 1) {
            const double gap = fs_log64(fs_rng_unit(rng)) / log_miss;
            if (!(gap < (double)(sites - at))) break;
            at += (uint64_t)gap;
        }
        FS_TRY(push(out, locate(s, at, slice, kind_of(word, rng))));
    }
    return FS_OK;
}

static int compare(const void *a, const void *b)
{
    const fs_check_fault *x = a, *y = b;
    if (x->tensor != y->tensor) return x->tensor < y->tensor ? -1 : 1;
    if (x->element != y->element) return x->element < y->element ? -1 : 1;
    if (x->codec != y->codec) return x->codec < y->codec ? -1 : 1;
    return (x->bit > y->bit) - (x->bit < y->bit);
}

void fs_check_list_sort(fs_check_list *self)
{
    if (self->count > 1) qsort(self->items, self->count, sizeof *self->items, compare);
}

fs_status fs_check_draw(fs_check_list *out, const fs_fault_space *space, const fs_protect *protect,
                        double rate, fs_form_word word, fs_check_keys keys, uint64_t trial)
{
    fs_rng checks, scales;
    FS_ASSERT(rate >= 0 && rate <= 1);
    fs_rng_init(&checks, keys.checks, trial);
    fs_rng_init(&scales, keys.scales, trial);
    out->count = 0;
    if (rate <= 0) return FS_OK;
    for (size_t i = 0; i < space->slice_count; i++) {
        for (unsigned c = 0; c < protect->codec_count; c++) {
            const stripe s = stripe_of_codec(space, protect, i, c);
            FS_TRY(draw_stripe(out, &s, space->slices[i], rate, word, &checks));
        }
        if (protect->format != FS_FORMAT_INT8) continue;
        const stripe s = stripe_of_scales(space, i);
        FS_TRY(draw_stripe(out, &s, space->slices[i], rate, word, &scales));
    }
    fs_check_list_sort(out);
    return FS_OK;
}

double fs_check_bits_per_value(const fs_geometry *geometry, const fs_protect *protect)
{
    double bits = 0;
    for (uint32_t t = 0; t < geometry->tensor_count; t++) {
        const fs_tensor *tensor = &geometry->tensors[t];
        bits +=
            (double)tensor->rows * tensor->cols * fs_protect_bits_per_word(protect, tensor->cols);
        if (protect->format == FS_FORMAT_INT8)
            bits += FS_SCALE_BITS * (double)fs_channel_count(geometry, t);
    }
    return bits / (double)geometry->values;
}

void fs_check_list_free(fs_check_list *self)
{
    free(self->items);
    *self = (fs_check_list){0};
}

void fs_check_apply(const fs_check_fault *fault, uint8_t *bytes)
{
    uint8_t *byte = &bytes[fault->bit / 8];
    const uint8_t mask = (uint8_t)(1u << (fault->bit % 8));
    FS_ASSERT(fault->kind <= FS_FAULT_STUCK1);
    switch ((fs_fault_kind)fault->kind) {
    case FS_FAULT_FLIP:
        *byte ^= mask;
        break;
    case FS_FAULT_STUCK0:
        *byte &= (uint8_t)~mask;
        break;
    case FS_FAULT_STUCK1:
        *byte |= mask;
        break;
    }
}
