/** The paired view of two arms: the same faults met by an arm and by the one it is compared with.
 *
 * Whether arms differ is McNemar's question: trials that end alike in both arms say nothing, and of
 * those that differ half should fall to each side. Pooled over cells this stays exact, whatever
 * the cells' weights and rates are, because every discordant pair of every cell is a fair coin
 * where protection changes nothing. It says that arms differ and to which side, not by how much in
 * the population; that is the weighted mean of report_groups. Thread rule: const after building. */
#ifndef REPORT_PAIRS_H
#define REPORT_PAIRS_H

#include <stddef.h>
#include <stdint.h>

#include "summary.h"

typedef enum report_measure {
    REPORT_CRITICAL,
    REPORT_SDC,
    REPORT_DUE,
    REPORT_MEASURE_COUNT
} report_measure;

typedef struct report_pair {
    uint32_t base;     /* the cell of the arm that report_base_of names */
    summary_pair pair; /* n == 0: nothing to compare with; a is that arm */
} report_pair;

/** Counts over the trials that both arms have. */
typedef struct report_paired {
    uint64_t n;
    uint64_t base, arm;           /* trials with the measured end in the base arm, in this arm */
    uint64_t only_base, only_arm; /* the discordant ones */
    double p;                     /* McNemar exact, two-sided; 1 without a discordant pair */
    double holm;                  /* adjusted for all comparisons of its figure (Holm 1979) */
    double
        times; /* how many times fewer: base / arm; where the arm has none, the exact lower limit
                  of that; the reverse, below 1, where the base has none; NaN if both have none */
} report_paired;

/** Compares each cell with that of report_base_of its arm, unless the words that they hit have
 * unlike formats and so meet unlike faults. One entry for each cell of the plan; free() it. Errors:
 * those of the store, FS_ENOMEM. */
FS_MUST_CHECK fs_status report_pairs_new(report_pair **out, fs_store *store, const summary *s);

void report_paired_add(report_paired *self, const summary_pair *pair, report_measure measure);
/** Fills p, holm (as for a single comparison) and times from the counts. */
void report_paired_test(report_paired *self);
/** The same where nothing is drawn and counts say all: no p, no holm, and times only where both
 * have one. */
void report_paired_exact(report_paired *self);
/** Sets holm of `count` comparisons that are read together; those without a pair take no part. The
 * array is sorted by p. */
void report_paired_holm(report_paired **list, size_t count);

/** @return the baseline of the campaign: the first arm without protection, else the first. */
uint32_t report_base_arm(const fs_campaign *campaign);
/** @return the arm that `arm` is compared with: of a protected one the first without protection of
 * its model and format, where there is one; else the baseline, which is compared with itself. */
uint32_t report_base_of(const fs_campaign *campaign, uint32_t arm);

#endif
