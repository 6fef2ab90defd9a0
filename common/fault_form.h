/** The form of a fault: what one drawn fault does to a word, and which values it reaches.
 *
 * A kind says what happens in a word, a pattern in which words around it. An amount speaks of the
 * faults that are drawn: `count` of them, at `rate` of the values, or with the probability `ber` at
 * each place where one can start. A drawn fault is then written out as sites (value, bit), each a
 * flip or stuck: all that injects, records or replays faults sees those alone.
 *
 *   flip, stuck0, stuck1   one of the allowed bits
 *   burst: n               n adjacent bits flip, b to b + n - 1 of one word; it starts at a bit b
 *                          from which on all n are allowed
 *   value                  the word is replaced by a random one: each allowed bit is stuck at 0 or
 *                          1 with probability 1/2, whatever it was; no `ber`, which is of bits
 *
 *   element                the drawn value alone
 *   row: n, column: n      n neighbours from the drawn value on, along its row or down its column,
 *                          fewer at the end of its slice of a tensor (of an activation: of what the
 *                          input has, attention weights head by head)
 *   row: all, column: all  all of the row or column of that slice which holds the drawn value: a
 *                          failing DRAM column, a failing lane
 *
 * A pattern hits the same bits in each of its values; random words are random in each. Where drawn
 * faults overlap a site is hit once, by the fault that was drawn first.
 *
 * Thread rule: reentrant. Source: `faults.md`, "Amount, kind, dtype, persistence". */
#ifndef FS_FAULT_FORM_H
#define FS_FAULT_FORM_H

#include "fault.h"

enum {
    FS_BURST_BITS_MAX = 32,       /* bits of a burst */
    FS_PATTERN_SPAN_MAX = 1 << 16 /* values of a row or column that is not `all` */
};
enum { FS_FORM_TEXT_BYTES = 16 }; /* "column:65536" with its NUL */

typedef enum fs_form_word {
    FS_FORM_FLIP = FS_FAULT_FLIP,
    FS_FORM_STUCK0 = FS_FAULT_STUCK0,
    FS_FORM_STUCK1 = FS_FAULT_STUCK1,
    FS_FORM_BURST,
    FS_FORM_VALUE
} fs_form_word;

typedef enum fs_form_axis { FS_FORM_ELEMENT, FS_FORM_ROW, FS_FORM_COLUMN } fs_form_axis;

/** What happens in a word. Zero: flip. */
typedef struct fs_form_kind {
    fs_form_word word;
    uint32_t burst; /* bits of FS_FORM_BURST, 2..FS_BURST_BITS_MAX; else 0 */
} fs_form_kind;

/** Which values are hit. Zero: the drawn one. */
typedef struct fs_form_pattern {
    fs_form_axis axis;
    uint32_t span; /* values of a row or column, 2..FS_PATTERN_SPAN_MAX; 0: all */
} fs_form_pattern;

typedef struct fs_form {
    fs_form_kind kind;
    fs_form_pattern pattern;
} fs_form;

/** What is to be expected of a trial. */
typedef struct fs_form_expected {
    double drawn;   /* faults */
    double written; /* sites of all of them, overlaps counted as often as they are */
    double sites;   /* distinct ones: what the trial's list holds */
} fs_form_expected;

/** @return nonzero if a drawn fault is one site. */
int fs_form_is_plain(const fs_form *self);
/** @return nonzero if a fault reaches no row but that of the drawn value. */
int fs_form_keeps_row(const fs_form *self);
int fs_form_equal(const fs_form *a, const fs_form *b);
/** @return places in a word of these bits where a fault may start: as many as bits, or less for a
 * burst, down to none; 1 for a value. */
unsigned fs_form_starts(const fs_form *self, fs_bits bits);
/** @return of these starts, those whose bits all lie in `within`. */
unsigned fs_form_starts_within(const fs_form *self, fs_bits bits, fs_bits within);
/** What a trial of `amount` in these grids hits. Closed forms; without a rounding that depends on
 * the C library. For a count above 1, `sites` of faults that may overlap is an approximation (with
 * instead of without replacement); everything else is exact. */
fs_form_expected fs_form_expect(const fs_form *self, const fs_grids *grids, fs_bits bits,
                                fs_amount amount);

/** fs_fault_draw of a form: equal to it for a plain one. Errors: as fs_fault_draw, FS_ELIMIT for
 * what is written out; a count may not exceed the places where faults start. */
FS_MUST_CHECK fs_status fs_form_draw(fs_fault_list *out, const fs_fault_space *space,
                                     fs_amount amount, const fs_form *form, uint64_t draw_key,
                                     uint64_t trial);
/** The same from block `first` of the trial's stream on: a trial that draws more than once, step by
 * step, gives each draw FS_DRAW_BLOCKS of its own. */
FS_MUST_CHECK fs_status fs_form_draw_at(fs_fault_list *out, const fs_fault_space *space,
                                        fs_amount amount, const fs_form *form, uint64_t draw_key,
                                        uint64_t trial, uint64_t first);
/** fs_fault_draw_numbers of a form: `element` is a value's number in the grids; in no order. */
FS_MUST_CHECK fs_status fs_form_draw_numbers(fs_fault_list *out, const fs_grids *grids,
                                             fs_bits bits, fs_amount amount, const fs_form *form,
                                             fs_rng *rng);

/** Writes "flip", "stuck0", "stuck1", "burst:4", "value". */
void fs_form_kind_text(fs_form_kind kind, char out[FS_FORM_TEXT_BYTES]);
/** Writes "element", "row:8", "column:all". */
void fs_form_pattern_text(fs_form_pattern pattern, char out[FS_FORM_TEXT_BYTES]);

#endif
