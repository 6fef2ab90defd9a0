/* Forms of faults: what is drawn against a naive writing-out of single draws, what is expected
 * against counting, and the words of a random value. */
#include "testing.h"

#include <math.h>

#include "activation.h"
#include "fault_form.h"

/* As in test_fault: a matrix, a fused tensor of two column slices, a vector. */
static fs_tensor tensors[] = {
    {.name = "embedding", .rank = 2, .rows = 9, .cols = 8},
    {.name = "fused", .rank = 2, .rows = 7, .cols = 6},
    {.name = "bias", .rank = 1, .rows = 1, .cols = 5},
};
static fs_slice slices[] = {
    {FS_EMBEDDING_TOKEN, -1, 0, 0, 8, 72},
    {FS_ATTENTION_QUERY, 0, 1, 0, 2, 14},
    {FS_ATTENTION_KEY, 0, 1, 2, 4, 28},
    {FS_MLP_UP, 1, 2, 0, 5, 5},
};
enum { VALUES = 119, SITES = 3 * 128 * 32 };
static fs_geometry geometry = {.config = {.layers = 2},
                               .tensors = tensors,
                               .tensor_count = 3,
                               .slices = slices,
                               .slice_count = 4,
                               .values = VALUES};

static const fs_form_kind kinds[] = {
    {FS_FORM_FLIP, 0},  {FS_FORM_STUCK0, 0}, {FS_FORM_STUCK1, 0},
    {FS_FORM_BURST, 2}, {FS_FORM_BURST, 5},  {FS_FORM_VALUE, 0},
};
static const fs_form_pattern patterns[] = {
    {FS_FORM_ELEMENT, 0}, {FS_FORM_ROW, 2},    {FS_FORM_ROW, 5},       {FS_FORM_ROW, 65536},
    {FS_FORM_ROW, 0},     {FS_FORM_COLUMN, 3}, {FS_FORM_COLUMN, 1000}, {FS_FORM_COLUMN, 0},
};
enum { KINDS = 6, PATTERNS = 8 };

static fs_fault_space *space_of(fs_bits bits)
{
    fs_fault_space *space;
    assert_ok(fs_fault_space_new(&space, &geometry, ~0u, NULL, 0, bits));
    assert_int_equal(space->values, VALUES);
    return space;
}

static size_t site(uint32_t tensor, uint64_t element, unsigned bit)
{
    return (tensor * 128 + (size_t)element) * 32 + bit;
}

/* Bits that a fault may start at, and those of it, one by one. */
static fs_bits naive_starts(fs_form_kind kind, fs_bits bits)
{
    fs_bits out = 0;
    for (unsigned b = 0; b < 32; b++) {
        if (kind.word == FS_FORM_VALUE && out != 0) break;
        unsigned n = kind.word == FS_FORM_BURST ? kind.burst : 1, i = 0;
        while (i < n && b + i < 32 && (bits >> (b + i) & 1)) i++;
        if (i == n) out |= 1u << b;
    }
    return out;
}

static fs_bits naive_reach(fs_form_kind kind, fs_bits bits, unsigned start)
{
    fs_bits out = 0;
    if (kind.word == FS_FORM_VALUE) return bits;
    for (unsigned i = 0; i < (kind.word == FS_FORM_BURST ? kind.burst : 1); i++)
        out |= 1u << (start + i);
    return out;
}

static int within(uint64_t value, uint64_t from, uint32_t span)
{
    return value >= from && value - from < span;
}

/* Adds one to `hits` at every site of a fault that starts at (tensor, element, bit). */
static void naive_write(const fs_form *form, fs_bits bits, const fs_fault *start, unsigned *hits)
{
    const fs_form_pattern p = form->pattern;
    const fs_slice *slice = &slices[start->slice];
    const uint32_t cols = tensors[start->tensor].cols;
    const uint64_t row = start->element / cols, col = start->element % cols;
    const fs_bits reached = naive_reach(form->kind, bits, start->bit);
    for (uint64_t r = 0; r < tensors[start->tensor].rows; r++) {
        for (uint64_t c = slice->col_first; c < slice->col_first + slice->cols; c++) {
            int hit = r == row && c == col;
            if (p.axis == FS_FORM_ROW) hit = r == row && (p.span == 0 || within(c, col, p.span));
            if (p.axis == FS_FORM_COLUMN) hit = c == col && (p.span == 0 || within(r, row, p.span));
            for (unsigned b = 0; hit && b < 32; b++)
                if (reached >> b & 1) hits[site(start->tensor, r * cols + c, b)]++;
        }
    }
}

/* The starts of a trial: single draws among the bits that a fault may start at. */
static void draw_starts(fs_fault_list *out, const fs_form *form, fs_bits bits, fs_amount amount,
                        uint64_t trial)
{
    fs_fault_space *space = space_of(naive_starts(form->kind, bits));
    assert_ok(fs_fault_draw(out, space, amount, FS_FAULT_FLIP, 77, trial));
    fs_fault_space_destroy(&space);
}

static void check_draw(const fs_form *form, fs_bits bits, fs_amount amount, uint64_t trial)
{
    static unsigned want[SITES];
    fs_fault_list starts = {0}, list = {0}, again = {0};
    fs_fault_space *space = space_of(bits);
    size_t sites = 0;
    memset(want, 0, sizeof want);
    draw_starts(&starts, form, bits, amount, trial);
    for (size_t i = 0; i < starts.count; i++) naive_write(form, bits, &starts.items[i], want);
    assert_ok(fs_form_draw(&again, space, amount, form, 77, trial + 1));
    assert_ok(fs_form_draw(&list, space, amount, form, 77, trial));
    assert_ok(fs_form_draw(&again, space, amount, form, 77, trial));
    assert_int_equal(list.count, again.count);
    for (size_t i = 0; i < list.count; i++) {
        const fs_fault *f = &list.items[i];
        assert_memory_equal(f, &again.items[i], sizeof *f);
        assert_true(want[site(f->tensor, f->element, f->bit)] > 0);
        want[site(f->tensor, f->element, f->bit)] = 0;
        if (form->kind.word == FS_FORM_VALUE)
            assert_true(f->kind == FS_FAULT_STUCK0 || f->kind == FS_FAULT_STUCK1);
        else
            assert_int_equal(f->kind, form->kind.word == FS_FORM_BURST ? FS_FAULT_FLIP
                                                                       : (int)form->kind.word);
        const fs_slice *slice = &slices[f->slice];
        const uint64_t col = f->element % tensors[f->tensor].cols;
        assert_int_equal(slice->tensor, f->tensor);
        assert_true(col >= slice->col_first && col < slice->col_first + slice->cols);
        if (i == 0) continue;
        const fs_fault *g = &list.items[i - 1];
        assert_true(site(g->tensor, g->element, g->bit) < site(f->tensor, f->element, f->bit));
    }
    for (size_t i = 0; i < SITES; i++) sites += want[i];
    assert_int_equal(sites, 0); /* none is missing, and none was there twice */
    fs_fault_list_free(&starts);
    fs_fault_list_free(&list);
    fs_fault_list_free(&again);
    fs_fault_space_destroy(&space);
}

static void test_every_form(void **state)
{
    static const fs_bits bits[] = {FS_BITS_ALL, FS_BITS_EXPONENT, 0x7e0003e0u};
    static const fs_amount amounts[] = {
        {FS_AMOUNT_COUNT, 0}, {FS_AMOUNT_COUNT, 1},  {FS_AMOUNT_COUNT, 60}, {FS_AMOUNT_RATE, 0.03},
        {FS_AMOUNT_RATE, 1},  {FS_AMOUNT_BER, 0.01}, {FS_AMOUNT_BER, 1}};
    unsigned checked = 0;
    for (int k = 0; k < KINDS; k++) {
        for (int p = 0; p < PATTERNS; p++) {
            for (int b = 0; b < 3; b++) {
                for (int a = 0; a < 7; a++) {
                    const fs_form form = {kinds[k], patterns[p]};
                    if (kinds[k].word == FS_FORM_VALUE && amounts[a].kind == FS_AMOUNT_BER)
                        continue;
                    for (uint64_t t = 0; t < 3; t++, checked++)
                        check_draw(&form, bits[b], amounts[a], t);
                }
            }
        }
    }
    assert_int_equal(checked, 3 * 8 * 3 * (5 * 7 + 5));
}

static void test_starts(void **state)
{
    static const struct {
        fs_form_kind kind;
        fs_bits bits;
        unsigned starts;
    } cases[] = {
        {{FS_FORM_FLIP, 0}, FS_BITS_ALL, 32},      {{FS_FORM_STUCK1, 0}, 0x11, 2},
        {{FS_FORM_BURST, 2}, FS_BITS_ALL, 31},     {{FS_FORM_BURST, 32}, FS_BITS_ALL, 1},
        {{FS_FORM_BURST, 8}, FS_BITS_EXPONENT, 1}, {{FS_FORM_BURST, 9}, FS_BITS_EXPONENT, 0},
        {{FS_FORM_BURST, 2}, 1u << 30, 0},         {{FS_FORM_BURST, 2}, FS_BITS_SIGN, 0},
        {{FS_FORM_BURST, 3}, 0xe000001fu, 1 + 3},  {{FS_FORM_BURST, 2}, 0x55555555u, 0},
        {{FS_FORM_BURST, 16}, 0xffffu, 1},         {{FS_FORM_BURST, 17}, 0xffffu, 0},
        {{FS_FORM_VALUE, 0}, FS_BITS_ALL, 1},      {{FS_FORM_VALUE, 0}, FS_BITS_EXPONENT, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const fs_form form = {.kind = cases[i].kind};
        assert_int_equal(fs_form_starts(&form, cases[i].bits), cases[i].starts);
        assert_int_equal(fs_form_starts_within(&form, cases[i].bits, cases[i].bits),
                         cases[i].starts);
        assert_int_equal(fs_form_starts_within(&form, cases[i].bits, 0), 0);
    }
    const fs_form flip = {0}, burst = {.kind = {FS_FORM_BURST, 2}},
                  value = {.kind = {FS_FORM_VALUE, 0}};
    assert_int_equal(fs_form_starts_within(&flip, FS_BITS_ALL, 1u << 30), 1);
    assert_int_equal(fs_form_starts_within(&burst, FS_BITS_ALL, 1u << 30), 0);
    assert_int_equal(fs_form_starts_within(&burst, FS_BITS_ALL, 7u << 28), 2);
    assert_int_equal(fs_form_starts_within(&value, FS_BITS_ALL, ~1u), 0);
    assert_int_equal(fs_form_starts_within(&value, 1u << 30, 1u << 30), 1);
}

/* Each value and start position is as likely as every other. */
static void test_bursts_start_anywhere(void **state)
{
    enum { TRIALS = 60000, LENGTH = 4, STARTS = 29 };
    static unsigned hits[SITES];
    const fs_form form = {.kind = {FS_FORM_BURST, LENGTH}};
    fs_fault_space *space = space_of(FS_BITS_ALL);
    fs_fault_list list = {0};
    for (uint64_t t = 0; t < TRIALS; t++) {
        assert_ok(fs_form_draw(&list, space, (fs_amount){FS_AMOUNT_COUNT, 1}, &form, 5, t));
        assert_int_equal(list.count, LENGTH);
        const fs_fault *f = list.items;
        for (unsigned i = 0; i < LENGTH; i++) {
            assert_int_equal(f[i].bit, f[0].bit + i);
            assert_true(f[i].tensor == f[0].tensor && f[i].element == f[0].element);
        }
        hits[site(f->tensor, f->element, f->bit)]++;
    }
    double chi2 = 0, expected = (double)TRIALS / (VALUES * STARTS);
    unsigned places = 0;
    for (size_t i = 0; i < SITES; i++) {
        if (hits[i] == 0) continue;
        places++;
        chi2 += (hits[i] - expected) * (hits[i] - expected) / expected;
    }
    assert_int_equal(places, VALUES * STARTS); /* each is missed with e^-17 */
    /* 3450 degrees of freedom: mean 3450, deviation 83. */
    assert_true(fabs(chi2 - 3450) < 4 * 83);
    fs_fault_list_free(&list);
    fs_fault_space_destroy(&space);
}

/* A word becomes a random one, whatever it was: every byte of it uniform, bytes independent. */
static void test_values_are_random_words(void **state)
{
    enum { TRIALS = 40000 };
    static unsigned bytes[4][256], pairs[16][16], values[SITES];
    const fs_form form = {.kind = {FS_FORM_VALUE, 0}};
    fs_fault_space *space = space_of(FS_BITS_ALL);
    fs_fault_list list = {0};
    for (uint64_t t = 0; t < TRIALS; t++) {
        uint32_t zero = 0, ones = ~0u, other = 0x3f8ccccdu;
        assert_ok(fs_form_draw(&list, space, (fs_amount){FS_AMOUNT_COUNT, 1}, &form, 6, t));
        assert_int_equal(list.count, 32);
        for (size_t i = 0; i < 32; i++) {
            zero = fs_fault_apply(list.items[i], zero);
            ones = fs_fault_apply(list.items[i], ones);
            other = fs_fault_apply(list.items[i], other);
        }
        assert_true(zero == ones && ones == other);
        for (int b = 0; b < 4; b++) bytes[b][zero >> (8 * b) & 255]++;
        pairs[zero & 15][zero >> 28]++;
        values[site(list.items[0].tensor, list.items[0].element, 0)]++;
    }
    double chi2 = 0, expected = TRIALS / 256.0;
    for (int i = 0; i < 256; i++)
        for (int b = 0; b < 4; b++)
            chi2 += (bytes[b][i] - expected) * (bytes[b][i] - expected) / expected;
    assert_true(fabs(chi2 - 1020) < 4 * 45.2); /* 4 x 255 degrees of freedom */
    chi2 = 0;
    for (int i = 0; i < 256; i++)
        chi2 += (pairs[i / 16][i % 16] - expected) * (pairs[i / 16][i % 16] - expected) / expected;
    assert_true(fabs(chi2 - 255) < 4 * 22.6);
    chi2 = 0;
    expected = (double)TRIALS / VALUES;
    unsigned places = 0;
    for (size_t i = 0; i < SITES; i++) {
        if (values[i] == 0) continue;
        places++;
        chi2 += (values[i] - expected) * (values[i] - expected) / expected;
    }
    assert_int_equal(places, VALUES);
    assert_true(fabs(chi2 - 118) < 4 * 15.4);
    fs_fault_list_free(&list);
    fs_fault_space_destroy(&space);
}

/* Where random words contradict each other, the one that was drawn first holds; in a row each value
 * has a word of its own. */
static void test_the_first_drawn_wins(void **state)
{
    enum { LENGTH = 12, DRAWN = 3, TRIALS = 200 };
    const fs_form form = {{FS_FORM_VALUE, 0}, {FS_FORM_ROW, 0}};
    fs_grids grids;
    fs_fault_list list = {0}, starts = {0};
    assert_ok(fs_grids_init(&grids, 1));
    fs_grids_add(&grids, (fs_grid){.copies = 1, .rows = 2, .cols = LENGTH});
    unsigned overlaps = 0;
    for (uint64_t t = 0; t < TRIALS; t++) {
        uint32_t want[2][LENGTH], seen = 0;
        fs_rng rng, same;
        const fs_amount amount = {FS_AMOUNT_COUNT, DRAWN};
        fs_rng_init(&rng, 8, t);
        same = rng;
        assert_ok(fs_form_draw_numbers(&list, &grids, FS_BITS_ALL, amount, &form, &rng));
        assert_ok(fs_fault_draw_numbers(&starts, 2ull * LENGTH, 1, amount, FS_FAULT_FLIP, &same));
        for (size_t i = 0; i < DRAWN; i++) {
            const size_t row = starts.items[i].element / LENGTH;
            for (int c = 0; c < LENGTH; c++) {
                const uint32_t word = fs_rng_u32(&same);
                if (!(seen >> row & 1)) want[row][c] = word;
            }
            overlaps += seen >> row & 1;
            seen |= 1u << row;
        }
        assert_int_equal(list.count, (size_t)__builtin_popcount(seen) * LENGTH * 32);
        for (size_t i = 0; i < list.count; i++) {
            const fs_fault *f = &list.items[i];
            const uint32_t word = want[f->element / LENGTH][f->element % LENGTH];
            assert_int_equal(f->kind, word >> f->bit & 1 ? FS_FAULT_STUCK1 : FS_FAULT_STUCK0);
        }
    }
    assert_true(overlaps >= TRIALS);
    fs_fault_list_free(&list);
    fs_fault_list_free(&starts);
    fs_grids_free(&grids);
}

/* Counts, for every site of the space, the places that reach it; and what all reach together. */
static void count_reached(const fs_form *form, fs_bits bits, unsigned *hits)
{
    fs_fault_space *space = space_of(naive_starts(form->kind, bits));
    fs_fault_list all = {0};
    memset(hits, 0, SITES * sizeof *hits);
    const fs_amount every = {FS_AMOUNT_COUNT, (double)space->values * space->bit_count};
    assert_ok(fs_fault_draw(&all, space, every, FS_FAULT_FLIP, 1, 1));
    for (size_t i = 0; i < all.count; i++) naive_write(form, bits, &all.items[i], hits);
    fs_fault_list_free(&all);
    fs_fault_space_destroy(&space);
}

static void close_to(double got, double want)
{
    if (fabs(got - want) > 1e-11 * want) fail_msg("%.17g instead of %.17g", got, want);
}

/* Expected sites of a ber, and of one fault, from the number of places that reach each site. */
static void check_expectation(const fs_form *form, fs_bits bits)
{
    static unsigned hits[SITES];
    static const double probabilities[] = {1e-12, 1e-7, 0.003, 0.4, 1};
    fs_fault_space *space = space_of(bits);
    const double starts = fs_form_starts(form, bits);
    double reached = 0;
    count_reached(form, bits, hits);
    for (size_t i = 0; i < SITES; i++) reached += hits[i];
    for (int p = 0; p < 5 && form->kind.word != FS_FORM_VALUE; p++) {
        const fs_amount ber = {FS_AMOUNT_BER, probabilities[p]};
        const fs_form_expected e = fs_form_expect(form, &space->grids, bits, ber);
        long double sites = 0;
        for (size_t i = 0; i < SITES; i++)
            sites -= expm1l((long double)hits[i] * log1pl(-(long double)ber.value));
        if (ber.value == 1) {
            sites = 0;
            for (size_t i = 0; i < SITES; i++) sites += hits[i] > 0;
        }
        close_to(e.drawn, ber.value * VALUES * starts);
        close_to(e.written, ber.value * reached);
        close_to(e.sites, (double)sites);
    }
    const fs_form_expected one =
        fs_form_expect(form, &space->grids, bits, (fs_amount){FS_AMOUNT_COUNT, 1});
    close_to(one.drawn, 1);
    close_to(one.written, reached / (VALUES * starts));
    close_to(one.sites, one.written);
    const fs_form_expected none =
        fs_form_expect(form, &space->grids, bits, (fs_amount){FS_AMOUNT_COUNT, 0});
    assert_true(none.drawn == 0 && none.written == 0 && none.sites == 0);
    fs_fault_space_destroy(&space);
}

static void test_expectations(void **state)
{
    for (int k = 0; k < KINDS; k++) {
        for (int p = 0; p < PATTERNS; p++) {
            const fs_form form = {kinds[k], patterns[p]};
            check_expectation(&form, FS_BITS_ALL);
            check_expectation(&form, FS_BITS_EXPONENT);
        }
    }
}

/* Means over trials against what is expected, for rates and counts too: within five deviations. */
static void test_means(void **state)
{
    enum { TRIALS = 500 };
    static const fs_amount amounts[] = {{FS_AMOUNT_RATE, 0.02},
                                        {FS_AMOUNT_RATE, 0.3},
                                        {FS_AMOUNT_BER, 0.002},
                                        {FS_AMOUNT_COUNT, 4}};
    fs_fault_space *space = space_of(FS_BITS_ALL);
    fs_fault_list list = {0};
    for (int a = 0; a < 4; a++) {
        for (int k = 0; k < KINDS; k++) {
            for (int p = 0; p < PATTERNS; p++) {
                const fs_form form = {kinds[k], patterns[p]};
                if (kinds[k].word == FS_FORM_VALUE && amounts[a].kind == FS_AMOUNT_BER) continue;
                const fs_form_expected e =
                    fs_form_expect(&form, &space->grids, FS_BITS_ALL, amounts[a]);
                double sum = 0, squares = 0;
                for (uint64_t t = 0; t < TRIALS; t++) {
                    assert_ok(fs_form_draw(&list, space, amounts[a], &form, 31, t));
                    sum += (double)list.count;
                    squares += (double)list.count * (double)list.count;
                }
                const double mean = sum / TRIALS, variance = squares / TRIALS - mean * mean;
                double slack = 5 * sqrt(fmax(variance, 0) / TRIALS) + 1e-9 * mean;
                /* A count is drawn without replacement: one in a hundred at most. */
                if (amounts[a].kind == FS_AMOUNT_COUNT) slack += 0.01 * mean;
                if (fabs(mean - e.sites) > slack)
                    fail_msg("amount %d, kind %d, pattern %d: %g instead of %g", a, k, p, mean,
                             e.sites);
            }
        }
    }
    fs_fault_list_free(&list);
    fs_fault_space_destroy(&space);
}

/* Triangles: expectations against all places of a small one. */
static void test_triangles(void **state)
{
    enum { LENGTH = 6, COPIES = 2, COUNT = COPIES * LENGTH * (LENGTH + 1) / 2 };
    const fs_grid grid = {.copies = COPIES, .rows = LENGTH, .cols = LENGTH, .lower = 1};
    fs_grids grids;
    assert_ok(fs_grids_init(&grids, 1));
    fs_grids_add(&grids, grid);
    for (int p = 0; p < PATTERNS; p++) {
        const fs_form form = {.pattern = patterns[p]};
        const fs_form_pattern pattern = patterns[p];
        double reached = 0, sites = 0;
        for (uint64_t n = 0; n < COUNT; n++) {
            const fs_grid_at to = fs_grid_find(&grid, n);
            unsigned m = 0;
            for (uint64_t i = 0; i < COUNT; i++) {
                const fs_grid_at from = fs_grid_find(&grid, i);
                if (from.copy != to.copy) continue;
                if (pattern.axis == FS_FORM_ELEMENT) m += i == n;
                if (pattern.axis == FS_FORM_ROW)
                    m += from.row == to.row &&
                         (pattern.span == 0 || within(to.col, from.col, pattern.span));
                if (pattern.axis == FS_FORM_COLUMN)
                    m += from.col == to.col &&
                         (pattern.span == 0 || within(to.row, from.row, pattern.span));
            }
            reached += m;
            sites += 1 - pow(0.9, m);
        }
        const fs_form_expected e =
            fs_form_expect(&form, &grids, 1, (fs_amount){FS_AMOUNT_BER, 0.1});
        close_to(e.written, 0.1 * reached);
        close_to(e.sites, sites);
    }
    fs_grids_free(&grids);
}

static void test_texts(void **state)
{
    static const char *const kind_texts[] = {"flip",    "stuck0",  "stuck1",
                                             "burst:2", "burst:5", "value"};
    static const char *const pattern_texts[] = {"element", "row:2",    "row:5",       "row:65536",
                                                "row:all", "column:3", "column:1000", "column:all"};
    char text[FS_FORM_TEXT_BYTES];
    for (int k = 0; k < KINDS; k++) {
        fs_form_kind_text(kinds[k], text);
        assert_string_equal(text, kind_texts[k]);
    }
    for (int p = 0; p < PATTERNS; p++) {
        fs_form_pattern_text(patterns[p], text);
        assert_string_equal(text, pattern_texts[p]);
    }
    fs_form_pattern_text((fs_form_pattern){FS_FORM_COLUMN, FS_PATTERN_SPAN_MAX}, text);
    assert_string_equal(text, "column:65536");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_form),
        cmocka_unit_test(test_starts),
        cmocka_unit_test(test_bursts_start_anywhere),
        cmocka_unit_test(test_values_are_random_words),
        cmocka_unit_test(test_the_first_drawn_wins),
        cmocka_unit_test(test_expectations),
        cmocka_unit_test(test_means),
        cmocka_unit_test(test_triangles),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
