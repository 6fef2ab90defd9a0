/** What a store says so far: per cell the counts, rates and intervals that people read.
 *
 * The same numbers go to the terminal, to JSON and to the report; nothing else computes them. Built
 * by one scan of the trials in key order, so that equal stores give equal bytes whatever the order
 * of commits was. Thread rule: const after building. */
#ifndef SUMMARY_H
#define SUMMARY_H

#include <stddef.h>
#include <stdint.h>

#include "plan.h"
#include "stats.h"
#include "store.h"

enum { SUMMARY_CONFIDENCE_PERCENT = 95 };

/** The kind of the event that is journalled for each lease lost with its worker. */
#define SUMMARY_EVENT_LEASE_LOST "lease-lost"

/* X(NAME, text): what a cell's rates rest on. */
#define SUMMARY_BASIS_MAP(X)                                                                       \
    X(SAMPLED, "sampled")       /* trials drawn by chance */                                       \
    X(ENUMERATED, "enumerated") /* a list or log: its trials are all there are */                  \
    X(PROVED, "proved")         /* every site is masked, provably */

typedef enum summary_basis {
#define X(name, text) SUMMARY_##name,
    SUMMARY_BASIS_MAP(X)
#undef X
} summary_basis;

/** Of what is not sampled, the interval is of NaNs: there is none. */
typedef struct summary_rate {
    double value;
    fs_interval interval;
} summary_rate;

typedef struct summary_cell {
    const fs_cell *cell; /* into the plan */
    fs_totals totals;
    summary_basis basis;
    uint64_t n;                 /* accepted trials */
    uint64_t injected;          /* of these, all but those not injected: what rates are shares of */
    int complete;               /* planned trials done, or its stopping rule met at a look */
    int stopped;                /* by the rule, before `trials` */
    summary_rate critical;      /* per trial, Clopper-Pearson at critical_confidence */
    double critical_confidence; /* fs_cell_confidence(): higher under a stopping rule; NaN where
                                   nothing is sampled */
    summary_rate sdc_trials;    /* trials whose outcome is sdc, Clopper-Pearson */
    summary_rate due_trials;
    summary_rate masked_trials;
    summary_rate sdc_inputs; /* per input, clustered by trial */
    summary_rate due_inputs;
    double metric_mean;   /* over trials with a finite metric; NaN if none */
    fs_interval metric;   /* bootstrap over trials; NaNs for fewer than two, or not sampled */
    double metric_median; /* all trials, a missing perplexity as +Inf */
    fs_interval metric_median_interval;
    double metric_q05, metric_q95;
    uint64_t metric_nonfinite;
    uint64_t metric_equal; /* evaluated trials if all have one finite value, where an interval would
                              feign a certainty; else 0 */
    double metric_golden;  /* of its variant; NaN if not known yet */
    fs_masked masked;      /* sites that are masked, provably, with what the golden run read */
    uint64_t masked_sites; /* their sum */
    int reads_known;       /* zero: only what the plan knows is in it */
} summary_cell;

typedef struct summary {
    const fs_plan *plan;
    summary_cell *cells; /* [plan->cell_count] */
    uint64_t trials_planned, trials_done;
    uint64_t duplicates, mismatches, quarantined, retries;
    int complete;
} summary;

/** Errors: those of the store. */
FS_MUST_CHECK fs_status summary_new(summary **out, fs_store *store, const fs_plan *plan);
void summary_destroy(summary **self);
/** @return "sampled", "enumerated", "proved". */
const char *summary_basis_name(summary_basis basis);

/** Paired comparison of two cells of one `pair` (same faults, other arm), trial by trial. */
typedef struct summary_pair {
    uint64_t n;                             /* trials present, and injected, in both */
    uint64_t both, only_a, only_b, neither; /* critical in ... */
    double mcnemar_p;
    double metric_difference;    /* mean of b - a over trials finite in both */
    fs_interval metric_interval; /* bootstrap */
    fs_interval critical_ratio;  /* risk ratio b / a */
    double critical_ratio_value;
    uint64_t outcomes[FS_OUTCOME_COUNT][FS_OUTCOME_COUNT]; /* [in a][in b] */
} summary_pair;

FS_MUST_CHECK fs_status summary_compare(summary_pair *out, fs_store *store, uint32_t cell_a,
                                        uint32_t cell_b, uint64_t key);

#endif
