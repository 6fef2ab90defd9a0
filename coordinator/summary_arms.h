/** What each arm stores, what storing it so costs without faults, and what its protections noticed.
 *
 * One row for each arm and each variant that its cells have: an arm under two guards, in two
 * formats, or tuned in some cells, is read in several ways. Rows come in the order of the plan's
 * cells. Built from a summary, so that equal stores give equal bytes. Thread rule: const after
 * building. */
#ifndef SUMMARY_ARMS_H
#define SUMMARY_ARMS_H

#include <jansson.h>

#include "summary.h"

typedef struct summary_arm {
    uint32_t arm;                 /* into the campaign */
    uint32_t variant;             /* into the plan */
    uint64_t cells;               /* that have both */
    uint64_t trials;              /* accepted */
    double bits_per_value;        /* stored, mean over the model's values, redundancy included */
    double redundant_bits;        /* of these, those beside the words: of protections, scales */
    int has_golden;               /* zero: no worker has made its fault-free run yet */
    fs_store_golden golden;       /* of its variant */
    int64_t reference;            /* the row that reads the same model, tuned or not, in the same
                                     format and under the same guard without protection; for a row
                                     without protection the one in fp32; -1: there is none */
    double metric_change;         /* golden metric less that of the reference; NaN: not known */
    double loss_change;           /* the same of the loss */
    uint64_t faults;              /* drawn in data bits */
    uint64_t check_faults;        /* drawn in redundant bits beside the words */
    uint64_t corrected, detected; /* codewords */
    uint64_t miscorrected;        /* units of them (trial.h) */
} summary_arm;

typedef struct summary_arms {
    const summary *summary; /* borrowed */
    summary_arm *items;
    size_t count;
} summary_arms;

/** Errors: those of the store, FS_ENOMEM. */
FS_MUST_CHECK fs_status summary_arms_new(summary_arms **out, fs_store *store, const summary *s);
void summary_arms_destroy(summary_arms **self);
/** @return an array of objects with stable names, one for each row: arm, model (path), protect[],
 * guard, dtype, tuned (before it is evaluated, in phase finetune), cells, trials, bits_per_value,
 * redundant_bits_per_value, values (of the model), altered (of them, by storing; null before the
 * golden run, as are the next), golden_finite (its loss and metric are; if not, what is masked or
 * critical means nothing), metric_golden, loss_golden, golden_checksum, token_rows_read,
 * positions_read, bounds_checksum (these three null too in a store that did not keep them; the last
 * where nothing was learnt), compared_with (an arm or null), compared_dtype, metric_change,
 * loss_change, and the sums of the counters. Checksums are hexadecimal texts. NULL for want of
 * memory. The caller owns it. */
json_t *summary_arms_json(const summary_arms *self);

#endif
