/** Cells taken together as the figures read them, with intervals and differences between arms.
 *
 * A group is all cells of one sweep, arm, guard, fault kind and amount, with its bits and places
 * either told apart or taken together. A group of one cell has the cell's exact interval. A group
 * of several is a mean weighted by the cells' numbers of sites (values x bits), so that with one
 * fault a trial it speaks of a fault anywhere among them; its interval is the stratified Wilson
 * interval: square-and-add of the cells' own (Yan and Su 2010; Zou and Donner 2008). A cell without
 * trials counts with the mean of the others and the interval [0, 1].
 * The difference of two arms adds their intervals in squares (Newcombe 1998), which leaves the
 * pairing of faults unused. Choices of bits that overlap are never taken together.
 * Thread rule: const after building. */
#ifndef REPORT_GROUPS_H
#define REPORT_GROUPS_H

#include <stddef.h>
#include <stdint.h>

#include "summary.h"

typedef enum report_measure {
    REPORT_CRITICAL,
    REPORT_SDC,
    REPORT_DUE,
    REPORT_MEASURE_COUNT
} report_measure;

typedef struct report_rate {
    uint64_t k;
    double value; /* NaN without a trial */
    fs_interval interval;
} report_rate;

typedef struct report_group {
    uint32_t first; /* its first cell in the plan, which says sweep, arm, guard, amount ... */
    uint32_t cells;
    int by_bits;  /* nonzero: of one choice of bits; else all choices together */
    int by_place; /* nonzero: of one layer and set of components */
    uint64_t n;
    uint64_t planned;
    report_rate rate[REPORT_MEASURE_COUNT];
    int has_difference; /* not for the base arm, nor where an arm has no trial */
    summary_rate difference[REPORT_MEASURE_COUNT]; /* this arm less the base arm */
} report_group;

typedef struct report_groups {
    report_group *items; /* in the order of their first cells */
    size_t count;
} report_groups;

/** @return the arm that others are compared with: the first without protection, else the first. */
uint32_t report_base_arm(const fs_campaign *campaign);
FS_MUST_CHECK fs_status report_groups_new(report_groups **out, const summary *s);
void report_groups_destroy(report_groups **self);

/** Square-and-add of b - a. NaN where one has no value. */
summary_rate report_difference(const report_rate *a, const report_rate *b);

#endif
