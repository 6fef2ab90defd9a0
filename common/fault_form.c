#include "fault_form.h"

#include <stdio.h>
#include <stdlib.h>

#include "assert.h"
#include "limits.h"
#include "math64.h"

_Static_assert(FS_FAULTS_PER_TRIAL_MAX <= UINT32_MAX, "a place in the order of draws fits");

int fs_form_is_plain(const fs_form *self)
{
    return self->kind.word <= FS_FORM_STUCK1 && self->pattern.axis == FS_FORM_ELEMENT;
}

int fs_form_keeps_row(const fs_form *self)
{
    return self->pattern.axis != FS_FORM_COLUMN;
}

int fs_form_equal(const fs_form *a, const fs_form *b)
{
    return a->kind.word == b->kind.word && a->kind.burst == b->kind.burst &&
           a->pattern.axis == b->pattern.axis && a->pattern.span == b->pattern.span;
}

/* --- Starts ----------------------------------------------------------------------------------- */

/* Bits that a fault may start at; one stands for a value. */
static fs_bits start_bits(const fs_form *self, fs_bits bits)
{
    if (self->kind.word == FS_FORM_VALUE) return bits & (0u - bits);
    fs_bits starts = bits;
    for (uint32_t i = 1; self->kind.word == FS_FORM_BURST && i < self->kind.burst; i++)
        starts &= bits >> i;
    return starts;
}

/* The bits that a fault which starts at `start` hits. */
static fs_bits reach(const fs_form *self, fs_bits bits, unsigned start)
{
    if (self->kind.word == FS_FORM_VALUE) return bits;
    if (self->kind.word != FS_FORM_BURST) return (fs_bits)1 << start;
    return (fs_bits)((((uint64_t)1 << self->kind.burst) - 1) << start);
}

unsigned fs_form_starts(const fs_form *self, fs_bits bits)
{
    return (unsigned)__builtin_popcount(start_bits(self, bits));
}

unsigned fs_form_starts_within(const fs_form *self, fs_bits bits, fs_bits within)
{
    const fs_bits starts = start_bits(self, bits);
    unsigned count = 0;
    for (unsigned b = 0; b < 32; b++)
        if (starts >> b & 1) count += (reach(self, bits, b) & ~within) == 0;
    return count;
}

/* --- Expectation ------------------------------------------------------------------------------ */

/* What is summed over the values of a grid, each being reached from m drawn values: m itself, or
 * the probability 1 - e^(m log_miss) that one of them is hit. */
typedef struct summand {
    int counts;
    double log_miss;
} summand;

static double term(const summand *f, double m)
{
    if (f->counts) return m;
    const double x = m * f->log_miss;
    if (x > -1e-5) return -x * (1 + x / 2 * (1 + x / 3)); /* 1 - e^x would cancel */
    return 1 - fs_exp64(x);
}

/* Values of `lines` lines of the same length, in which value i is reached from min(i + 1, span). */
static double sum_lines(double lines, uint64_t length, uint64_t span, const summand *f)
{
    if (span == 0) return lines * (double)length * term(f, (double)length);
    double sum = 0;
    for (uint64_t i = 1; i <= length && i < span; i++) sum += term(f, (double)i);
    if (length >= span) sum += (double)(length - span + 1) * term(f, (double)span);
    return lines * sum;
}

/* Lines of a triangle: one of each length up to `length`. */
static double sum_triangle(double copies, uint64_t length, uint64_t span, const summand *f)
{
    double sum = 0;
    if (span == 0) {
        for (uint64_t i = 1; i <= length; i++) sum += (double)i * term(f, (double)i);
        return copies * sum;
    }
    for (uint64_t i = 1; i <= length && i < span; i++)
        sum += (double)(length - i + 1) * term(f, (double)i);
    if (length >= span) {
        const double rest = (double)(length - span + 1);
        sum += rest * (rest + 1) / 2 * term(f, (double)span);
    }
    return copies * sum;
}

static double sum_values(const fs_grids *grids, fs_form_pattern pattern, const summand *f)
{
    double sum = 0;
    if (pattern.axis == FS_FORM_ELEMENT) return (double)fs_grids_values(grids) * term(f, 1);
    for (size_t i = 0; i < grids->count; i++) {
        const fs_grid *g = &grids->items[i];
        const double copies = g->copies;
        if (g->lower)
            sum += sum_triangle(copies, g->rows, pattern.span, f);
        else if (pattern.axis == FS_FORM_ROW)
            sum += sum_lines(copies * g->rows, g->cols, pattern.span, f);
        else
            sum += sum_lines(copies * g->cols, g->rows, pattern.span, f);
    }
    return sum;
}

/* The logarithm of the probability that a fault drawn at a value leaves a bit alone which `covers`
 * of the value's `starts` starts reach. */
static double log_miss(fs_amount amount, double values, double starts, double covers)
{
    double p = amount.value, times = covers;
    if (amount.kind == FS_AMOUNT_COUNT) p = amount.value / (values * starts);
    if (amount.kind == FS_AMOUNT_RATE) { /* starts of one value exclude each other */
        p = amount.value * covers / starts;
        times = 1;
    }
    if (p >= 1) return -1e9; /* certain */
    return times * fs_log1p64(-p);
}

static double expect_sites(const fs_form *self, const fs_grids *grids, fs_bits bits,
                           fs_amount amount)
{
    const fs_bits starts = start_bits(self, bits);
    const double values = (double)fs_grids_values(grids);
    unsigned alike[FS_BURST_BITS_MAX + 1] = {0}; /* bits by the number of starts that reach them */
    double sum = 0;
    for (unsigned b = 0; b < 32; b++) {
        unsigned covers = 0;
        for (unsigned s = 0; s < 32; s++)
            if (starts >> s & 1) covers += reach(self, bits, s) >> b & 1;
        alike[covers]++;
    }
    for (unsigned covers = 1; covers <= FS_BURST_BITS_MAX; covers++) {
        if (alike[covers] == 0) continue;
        const double miss = log_miss(amount, values, __builtin_popcount(starts), covers);
        const summand f = {0, miss};
        sum += alike[covers] * sum_values(grids, self->pattern, &f);
    }
    return sum;
}

fs_form_expected fs_form_expect(const fs_form *self, const fs_grids *grids, fs_bits bits,
                                fs_amount amount)
{
    const double values = (double)fs_grids_values(grids);
    const unsigned starts = fs_form_starts(self, bits);
    double drawn = amount.value;
    if (amount.kind == FS_AMOUNT_RATE) drawn *= values;
    if (amount.kind == FS_AMOUNT_BER) drawn *= values * starts;
    fs_form_expected out = {drawn, drawn, drawn};
    if (fs_form_is_plain(self) || !(drawn > 0) || values == 0 || starts == 0) return out;
    const summand reached = {1, 0};
    const unsigned first = (unsigned)__builtin_ctz(start_bits(self, bits));
    const double bits_each = __builtin_popcount(reach(self, bits, first));
    out.written = drawn * bits_each * (sum_values(grids, self->pattern, &reached) / values);
    const int single = amount.kind == FS_AMOUNT_COUNT && drawn <= 1; /* overlaps nothing */
    out.sites = single ? out.written : expect_sites(self, grids, bits, amount);
    return out;
}

/* --- Drawing ---------------------------------------------------------------------------------- */

/* A drawn fault while it is written out. */
typedef struct writing {
    const fs_form *form;
    fs_bits bits;
    unsigned start;
    fs_rng *rng;
    fs_fault_list *out;
} writing;

/* Writes a fault's bits in one value; the place in the order of draws stays in `tensor`. */
static fs_status write_value(const writing *w, uint64_t number)
{
    const fs_form_word word = w->form->kind.word;
    const fs_bits bits = reach(w->form, w->bits, w->start);
    const uint32_t random = word == FS_FORM_VALUE ? fs_rng_u32(w->rng) : 0;
    for (unsigned b = 0; b < 32; b++) {
        if (!(bits >> b & 1)) continue;
        uint8_t kind = (uint8_t)word;
        if (word == FS_FORM_BURST) kind = FS_FAULT_FLIP;
        if (word == FS_FORM_VALUE) kind = random >> b & 1 ? FS_FAULT_STUCK1 : FS_FAULT_STUCK0;
        FS_TRY(fs_fault_list_add(w->out, (fs_fault){.tensor = (uint32_t)w->out->count,
                                                    .bit = (uint8_t)b,
                                                    .kind = kind,
                                                    .element = number}));
    }
    return FS_OK;
}

/* Values [first, end) of the line through `at`, as positions along the pattern's axis. */
static void find_line(const fs_form_pattern *pattern, const fs_grid *grid, fs_grid_at at,
                      uint64_t *first, uint64_t *end)
{
    uint64_t from = 0, to = 1, position = 0;
    if (pattern->axis == FS_FORM_ROW) {
        to = grid->lower ? (uint64_t)at.row + 1 : grid->cols;
        position = at.col;
    } else if (pattern->axis == FS_FORM_COLUMN) {
        from = grid->lower ? at.col : 0;
        to = grid->rows;
        position = at.row;
    }
    *first = pattern->span == 0 ? from : position;
    *end = pattern->span == 0 || to - position < pattern->span ? to : position + pattern->span;
}

static fs_status write_pattern(const writing *w, const fs_grid *grid, uint64_t before,
                               uint64_t number)
{
    const fs_form_pattern *pattern = &w->form->pattern;
    if (pattern->axis == FS_FORM_ELEMENT) return write_value(w, number);
    fs_grid_at at = fs_grid_find(grid, number - before);
    uint64_t first, end;
    find_line(pattern, grid, at, &first, &end);
    for (uint64_t i = first; i < end; i++) {
        if (pattern->axis == FS_FORM_ROW)
            at.col = (uint32_t)i;
        else
            at.row = (uint32_t)i;
        FS_TRY(write_value(w, before + fs_grid_number(grid, at)));
    }
    return FS_OK;
}

static int compare(const void *a, const void *b)
{
    const fs_fault *x = a, *y = b;
    if (x->element != y->element) return x->element < y->element ? -1 : 1;
    if (x->bit != y->bit) return x->bit < y->bit ? -1 : 1;
    return (x->tensor > y->tensor) - (x->tensor < y->tensor);
}

/* Leaves of each site the fault that was written first. */
static void merge(fs_fault_list *list)
{
    size_t kept = 0;
    int sorted = 1;
    for (size_t i = 1; i < list->count && sorted; i++)
        sorted = compare(&list->items[i - 1], &list->items[i]) < 0;
    if (!sorted) qsort(list->items, list->count, sizeof *list->items, compare);
    for (size_t i = 0; i < list->count; i++) {
        fs_fault fault = list->items[i];
        const fs_fault *last = kept > 0 ? &list->items[kept - 1] : NULL;
        if (last != NULL && last->element == fault.element && last->bit == fault.bit) continue;
        fault.tensor = 0;
        list->items[kept++] = fault;
    }
    list->count = kept;
}

fs_status fs_form_draw_numbers(fs_fault_list *out, const fs_grids *grids, fs_bits bits,
                               fs_amount amount, const fs_form *form, fs_rng *rng)
{
    const uint64_t values = fs_grids_values(grids);
    if (fs_form_is_plain(form))
        return fs_fault_draw_numbers(out, values, bits, amount, (fs_fault_kind)form->kind.word,
                                     rng);
    FS_ASSERT(form->kind.word != FS_FORM_VALUE || amount.kind != FS_AMOUNT_BER);
    const fs_bits starts = start_bits(form, bits);
    FS_ASSERT(starts != 0);
    FS_TRY(fs_fault_draw_numbers(out, values, starts, amount, FS_FAULT_FLIP, rng));
    fs_fault_list written = {0};
    writing w = {.form = form, .bits = bits, .rng = rng, .out = &written};
    fs_status status = FS_OK;
    size_t grid = 0;
    for (size_t i = 0; i < out->count && status == FS_OK; i++) {
        const uint64_t number = out->items[i].element;
        grid = fs_grids_find(grids, number, grid);
        w.start = out->items[i].bit;
        status = write_pattern(&w, &grids->items[grid], grids->first[grid], number);
    }
    merge(&written);
    fs_fault_list_free(out);
    *out = written;
    return status;
}

fs_status fs_form_draw(fs_fault_list *out, const fs_fault_space *space, fs_amount amount,
                       const fs_form *form, uint64_t draw_key, uint64_t trial)
{
    return fs_form_draw_at(out, space, amount, form, draw_key, trial, 0);
}

fs_status fs_form_draw_at(fs_fault_list *out, const fs_fault_space *space, fs_amount amount,
                          const fs_form *form, uint64_t draw_key, uint64_t trial, uint64_t first)
{
    FS_ASSERT(space->places == NULL);
    fs_rng rng;
    fs_rng_init(&rng, draw_key, trial);
    rng.draw = first;
    FS_TRY(fs_form_draw_numbers(out, &space->grids, space->bits, amount, form, &rng));
    fs_fault_space_locate(space, out);
    return FS_OK;
}

/* --- Words ------------------------------------------------------------------------------------ */

void fs_form_kind_text(fs_form_kind kind, char out[FS_FORM_TEXT_BYTES])
{
    static const char *const words[] = {"flip", "stuck0", "stuck1", "burst", "value"};
    if (kind.word == FS_FORM_BURST)
        snprintf(out, FS_FORM_TEXT_BYTES, "burst:%u", (unsigned)kind.burst);
    else
        snprintf(out, FS_FORM_TEXT_BYTES, "%s", words[kind.word]);
}

void fs_form_pattern_text(fs_form_pattern pattern, char out[FS_FORM_TEXT_BYTES])
{
    static const char *const words[] = {"element", "row", "column"};
    const char *word = words[pattern.axis];
    if (pattern.axis == FS_FORM_ELEMENT)
        snprintf(out, FS_FORM_TEXT_BYTES, "%s", word);
    else if (pattern.span == 0)
        snprintf(out, FS_FORM_TEXT_BYTES, "%s:all", word);
    else
        snprintf(out, FS_FORM_TEXT_BYTES, "%s:%u", word, (unsigned)pattern.span);
}
