/** Cells taken together as the figures read them, with intervals and differences between arms.
 *
 * A group is all cells of one sweep, arm, guard, form of fault and amount, with its bits and places
 * either told apart or taken together. A group of one cell has the cell's exact interval. A group
 * of several is a mean weighted by the cells' numbers of sites (places of a fault), so that with
 * one fault a trial it speaks of a fault anywhere among them; its interval is the stratified Wilson
 * interval: square-and-add of the cells' own (Yan and Su 2010; Zou and Donner 2008). A cell without
 * trials counts with the mean of the others and the interval [0, 1]. A rate that is not sampled,
 * proved or of a list, has the interval of itself alone; arms are compared over a list without a
 * test.
 * The difference of two arms adds their intervals in squares (Newcombe 1998), which leaves the
 * pairing of faults unused and is wide where one cell of much weight has few trials. Whether there
 * is an effect is therefore decided by the paired test of report_pairs, adjusted by Holm's method
 * over what a figure shows side by side: the places of a map, the choices of bits of a sweep.
 * Arms that meet unlike faults have no pairs: there the difference's interval alone decides.
 * Choices of bits that overlap are never taken together.
 * Thread rule: const after building. */
#ifndef REPORT_GROUPS_H
#define REPORT_GROUPS_H

#include <stddef.h>
#include <stdint.h>

#include "report_pairs.h"
#include "summary.h"

/** What may be said of an arm against the one it is compared with, see report_base_of. */
typedef enum report_effect {
    REPORT_EFFECT_UNKNOWN, /* an arm has no trial */
    REPORT_EFFECT_NONE,    /* neither the test, even unadjusted, nor the interval shows any */
    REPORT_EFFECT_FEWER,   /* the adjusted test shows it */
    REPORT_EFFECT_MORE,
    REPORT_EFFECT_HINT_FEWER, /* the test alone or the interval shows it, the adjusted test not */
    REPORT_EFFECT_HINT_MORE,
    REPORT_EFFECT_COUNT
} report_effect;

typedef struct report_rate {
    uint64_t k;
    double value; /* NaN without a trial */
    fs_interval interval;
    uint32_t widest; /* the cell that makes more than half of the upper limit's squared distance,
                        UINT32_MAX if none of several does */
} report_rate;

typedef struct report_group {
    uint32_t first; /* its first cell in the plan, which says sweep, arm, guard, amount ... */
    uint32_t cells;
    int by_bits;         /* nonzero: of one choice of bits; else all choices together */
    int by_place;        /* nonzero: of one layer and set of components */
    summary_basis basis; /* of all its cells; SUMMARY_SAMPLED where they differ */
    uint64_t n;
    uint64_t injected; /* of these */
    uint64_t planned;
    uint64_t sites;        /* of its cells */
    uint64_t masked_sites; /* of these, masked provably */
    report_rate rate[REPORT_MEASURE_COUNT];
    int has_difference; /* not for the base arm, nor where an arm has no trial */
    summary_rate difference[REPORT_MEASURE_COUNT]; /* this arm less that arm */
    report_paired paired[REPORT_MEASURE_COUNT];    /* n == 0 without common trials */
    report_effect effect[REPORT_MEASURE_COUNT];
    uint32_t comparisons; /* the test is adjusted for so many */
} report_group;

typedef struct report_groups {
    report_group *items; /* in the order of their first cells */
    size_t count;
} report_groups;

/** `pairs` has an entry for each cell, as report_pairs_new makes it; it is not kept. */
FS_MUST_CHECK fs_status report_groups_new(report_groups **out, const summary *s,
                                          const report_pair *pairs);
void report_groups_destroy(report_groups **self);

/** Square-and-add of b - a. NaN where one has no value. */
summary_rate report_difference(const report_rate *a, const report_rate *b);

#endif
