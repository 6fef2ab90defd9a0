/** The campaign's store: one LMDB environment with plan, shards, trials, totals, attempts, events.
 *
 * Default durability: a committed transaction survives kill -9 and power loss. Keys are sequential
 * and big-endian, every value carries a checksum. One writer process per store, by lock; readers
 * (status, report, verify) may open it at any time. Source: LMDB 0.9.24; `orchestration.md`.
 * A process opens a store once at a time. Thread rule: one thread at a time. */
#ifndef FS_STORE_H
#define FS_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "plan.h"
#include "status.h"
#include "trial.h"

typedef struct fs_store fs_store;

typedef enum fs_store_mode {
    FS_STORE_CREATE, /* create or resume, for writing, exclusive */
    FS_STORE_READ    /* an existing store, read-only, beside a writer */
} fs_store_mode;

/** A run of trials, [first, first + count). */
typedef struct fs_range {
    uint64_t first;
    uint64_t count;
} fs_range;

/** Exact totals of a cell; integers only, so that the order of commits cannot show. */
typedef struct fs_totals {
    uint64_t trials;                     /* accepted results */
    uint64_t outcomes[FS_OUTCOME_COUNT]; /* trials by outcome */
    uint64_t critical;
    uint64_t inputs, masked, benign, sdc, due; /* inputs summed over trials */
    uint64_t faults, effective, visible, corrected, detected, miscorrected;
    uint64_t duplicates; /* equal results received again */
    uint64_t mismatches; /* unequal results received again */
    uint64_t quarantined;
    uint64_t check_faults; /* in redundant bits; last, as older stores' totals end before it */
} fs_totals;

/** Adds one decoded record to the totals. */
void fs_totals_add(fs_totals *totals, const fs_trial_record *record);

/** The golden run of a variant, as first reported. */
typedef struct fs_store_golden {
    double metric;
    double loss;
    uint64_t answers;
    uint64_t checksum;
    uint64_t altered;
    int has_facts; /* zero: of a store from before the next three were kept */
    uint64_t token_rows_read;
    uint64_t positions_read;
    uint64_t bounds_checksum;
    char kernel[16];
    char host[64];
} fs_store_golden;

/** One accepted delivery of results. */
typedef struct fs_attempt {
    uint64_t id;
    uint32_t cell;
    uint64_t first; /* trials of the message lie in [first, last] */
    uint64_t last;
    uint64_t lease;
    uint32_t accepted;
    uint32_t duplicates;
    uint32_t mismatches;
    uint64_t started_ms; /* wall clock, lease granted */
    uint64_t committed_ms;
    char worker[64];
    char host[64];
} fs_attempt;

/** Opens `dir`. CREATE makes the folder if need be, locks it, writes identity, fingerprint and
 * effective campaign when new, and otherwise compares them with the plan's. A store without any
 * result takes the new campaign.
 * `campaign_text` is the effective campaign; `plan` may be NULL for READ.
 * Errors: FS_EREFUSED naming the first difference for another campaign's store or one of another
 * format version, or a plan without fingerprint; FS_EBUSY if another process writes it or this one
 * has it open; FS_ENOENT for READ; FS_ENOSPC, FS_EIO;
 * FS_EUNSUPPORTED for a network file system, naming --state-dir; FS_ECORRUPT. */
FS_MUST_CHECK fs_status fs_store_open(fs_store **out, const char *dir, fs_store_mode mode,
                                      const fs_plan *plan, const char *campaign_text);
void fs_store_close(fs_store **self);

/** @return the folder as fs_store_open was given it; borrowed until the close. */
const char *fs_store_dir(const fs_store *self);
/** The effective campaign text that was stored; appended. */
FS_MUST_CHECK fs_status fs_store_campaign(fs_store *self, fs_buf *out);
/** The canonical identity text that was stored; appended. */
FS_MUST_CHECK fs_status fs_store_identity(fs_store *self, fs_buf *out);
FS_MUST_CHECK fs_status fs_store_fingerprint(fs_store *self, fs_hash *out);
/** Rebuilds campaign and plan from what is stored; neither models nor data need be there.
 * The caller destroys the plan first, then the campaign.
 * Errors: FS_EREFUSED naming the difference if this program makes another plan of the campaign
 * (another convention), FS_ECORRUPT. */
FS_MUST_CHECK fs_status fs_store_plan(fs_store *self, fs_campaign **campaign, fs_plan **plan);

/** A write transaction: everything between begin and commit is durable or gone. Adding a result
 * compares it with a stored one and sets the verdict (0 new, 1 duplicate, 2 mismatch).
 * Errors: FS_ENOSPC (abort, wait, replay; a full map too: the next begin grows it), FS_EIO,
 * FS_EPROTO for a cell or trial that the campaign lacks, FS_ECORRUPT for a record that does not
 * decode or a damaged store. After an error of any of these call abort. The numbers of attempts and
 * events are the store's own; `id` of an attempt is not read. A result lifts its trial's
 * quarantine, and a trial with a result is not quarantined, so that the order of the two cannot
 * show. Reads see what was committed before. */
FS_MUST_CHECK fs_status fs_store_begin(fs_store *self);
FS_MUST_CHECK fs_status fs_store_put_trial(fs_store *self, uint32_t cell, uint64_t trial,
                                           const void *record, size_t bytes, int *verdict);
FS_MUST_CHECK fs_status fs_store_put_attempt(fs_store *self, const fs_attempt *attempt);
FS_MUST_CHECK fs_status fs_store_put_event(fs_store *self, uint64_t wall_ms, const char *kind,
                                           const char *text);
/** @return nonzero if two golden runs agree in what trials are compared with; where they ran may
 * differ, and facts that one of them lacks. */
int fs_store_golden_equal(const fs_store_golden *a, const fs_store_golden *b);
/** @return nonzero if loss and metric are finite: without that no answer of a trial can be held
 * against it. */
int fs_store_golden_finite(const fs_store_golden *self);
/** One whose facts an older store lacks gets them. Errors: FS_EMISMATCH if another golden run of
 * the variant is stored and differs in a bit. */
FS_MUST_CHECK fs_status fs_store_put_golden(fs_store *self, uint32_t variant,
                                            const fs_store_golden *golden);
FS_MUST_CHECK fs_status fs_store_put_quarantine(fs_store *self, uint32_t cell, uint64_t trial,
                                                const char *cause);
FS_MUST_CHECK fs_status fs_store_commit(fs_store *self);
void fs_store_abort(fs_store *self);

/** The cell's trials that have a result or are quarantined, as sorted disjoint ranges; malloced. */
FS_MUST_CHECK fs_status fs_store_done(fs_store *self, uint32_t cell, fs_range **out, size_t *count);
FS_MUST_CHECK fs_status fs_store_totals(fs_store *self, uint32_t cell, fs_totals *out);
/** Errors: FS_ENOENT if there is none yet. */
FS_MUST_CHECK fs_status fs_store_get_golden(fs_store *self, uint32_t variant, fs_store_golden *out);
/** Errors: FS_ENOENT, FS_ECORRUPT. The encoded record is appended. */
FS_MUST_CHECK fs_status fs_store_get_trial(fs_store *self, uint32_t cell, uint64_t trial,
                                           fs_buf *out);
/** Calls `visit` for each stored trial of a cell in trial order (UINT32_MAX: all cells in order),
 * under one read transaction; a nonzero return stops. Errors: FS_ECORRUPT naming the trial. */
typedef int fs_store_visit_trial(void *data, uint32_t cell, uint64_t trial,
                                 const fs_trial_record *record, const void *bytes, size_t size);
FS_MUST_CHECK fs_status fs_store_each_trial(fs_store *self, uint32_t cell,
                                            fs_store_visit_trial *visit, void *data);
typedef int fs_store_visit_attempt(void *data, const fs_attempt *attempt);
FS_MUST_CHECK fs_status fs_store_each_attempt(fs_store *self, fs_store_visit_attempt *visit,
                                              void *data);
typedef int fs_store_visit_event(void *data, uint64_t wall_ms, const char *kind, const char *text);
FS_MUST_CHECK fs_status fs_store_each_event(fs_store *self, fs_store_visit_event *visit,
                                            void *data);
typedef int fs_store_visit_quarantine(void *data, uint32_t cell, uint64_t trial, const char *cause);
FS_MUST_CHECK fs_status fs_store_each_quarantine(fs_store *self, fs_store_visit_quarantine *visit,
                                                 void *data);
/** Recomputes every total from the trials and checks every checksum. `problems` gets one line per
 * finding. Errors: FS_EMISMATCH if there is any. */
FS_MUST_CHECK fs_status fs_store_verify(fs_store *self, fs_buf *problems, uint64_t *checksum_errors,
                                        int *totals_equal, uint64_t *trials);

#endif
