/** The plan: a campaign expanded into cells, with its fingerprint.
 *
 * Coordinator and worker build the same plan from the same campaign text and the same models, and
 * compare fingerprints before a trial runs. Thread rule: const after creation. */
#ifndef FS_PLAN_H
#define FS_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "campaign.h"
#include "fault.h"
#include "geometry.h"
#include "hash.h"
#include "redundancy.h"
#include "trial.h"

/** The convention of arithmetic and drawing; part of the fingerprint. Raised whenever any change
 * could alter a stored bit. */
#define FS_CONVENTION "flipsweep-1"

/** One point of the sweep. */
typedef struct fs_cell {
    char id[FS_CELL_ID_BYTES_MAX]; /* "SWEEP/ARM[,KEY=VALUE...]": keys are the axes that vary */
    uint32_t sweep;                /* index into the campaign */
    uint32_t arm;
    uint32_t pair; /* cells with the same number differ in the arm only */
    int layer;     /* of a `by: layer` cell; -1: none or not by layer */
    int by_layer;  /* nonzero: `layer` is meant */
    const fs_site_class *site;
    fs_site_set set; /* of the class's words */
    int transient;   /* a fault lasts once, see FS_LASTS_ONCE */
    uint64_t steps;  /* phase finetune: of tuning, each hit by the amount; 0: phase inference */
    fs_amount amount;
    fs_form form;
    const fs_bits_choice *bits; /* into the campaign */
    fs_format_kind format;      /* of the words that are hit; `space` holds the bits in them */
    fs_guard guard;
    uint32_t variant; /* index into the plan's variants */
    /** Of its faults; the same in every arm and guard. Arms of one storage format meet the same
     * faults; under `rate`, those of unlike formats the same values, each with a bit of its own. */
    uint64_t draw_key;
    /** Of those beside the words: in redundant bits, the same in arms of equal protections, and in
     * the scales of int8, the same in all such arms. */
    fs_check_keys check_keys;
    double check_rate; /* the probability of each of these bits; 0: none is hit */
    /** Its faults, where a file says them; NULL: they are drawn, or the plan touched no file. */
    const fs_fault_file *list;
    int list_checks; /* nonzero: those beside the words too */
    uint64_t trials; /* planned; the most, under a stopping rule */
    /** Of fs_cell_sites(), those where no fault can matter with all that it reaches, whatever the
     * weights and the data are: rows that no input reads (segments but the first, positions beyond
     * a language model's window), bits that decoding replaces unread. A worker knows more of them,
     * see wk_trial.h. */
    uint64_t masked_sites;
    fs_fault_space *space; /* owned by the plan; over the first model's geometry, which
                              every model of the plan equals */
} fs_cell;

/** A (model, protections, guard, phase): what a fault-free run depends on. */
typedef struct fs_variant {
    uint32_t model; /* index into the plan's models */
    uint32_t arm;   /* the first arm that has it */
    fs_protect protect;
    int tuned; /* phase finetune: the model is tuned first, without faults */
} fs_variant;

typedef struct fs_plan_model {
    const char *path; /* into the campaign */
    fs_geometry *geometry;
    fs_hash hash; /* zero where the weights are absent */
    int has_weights;
} fs_plan_model;

typedef struct fs_plan {
    const fs_campaign *campaign; /* borrowed; outlives the plan */
    fs_plan_model *models;       /* distinct folders, in order of first use */
    size_t model_count;
    fs_variant *variants;
    size_t variant_count;
    fs_cell *cells;
    size_t cell_count;
    uint64_t trials;     /* sum over cells */
    fs_hash data_hash;   /* of the data file */
    int has_fingerprint; /* zero where weights or data are absent */
    char *absent;        /* then why there is none; NULL otherwise */
    fs_hash fingerprint;
    char *identity;          /* the canonical text under the fingerprint: one "key: value" a
                                line, so that two of them can be compared line by line; hashes
                                in place of paths */
    fs_fault_space **spaces; /* of the cells; one is shared by all arms of a storage format,
                                amounts and guards */
    size_t space_count;
    fs_fault_file **lists; /* of the cells; one is shared by the arms of a sweep and format */
    size_t list_count;
} fs_plan;

/** Expands a campaign. Reads config.json of each model, and hashes models and data where present.
 * Errors: as fs_config_read; FS_ECONFIG for a combination that no model can satisfy (a layer it
 * lacks, a component it lacks alone, a count beyond the sites, arms of unlike geometry), FS_ELIMIT
 * beyond FS_CELLS_MAX. */
FS_MUST_CHECK fs_status fs_plan_new(fs_plan **out, const fs_campaign *campaign);
/** What a store keeps of the models and data of a plan. */
typedef struct fs_plan_known {
    const fs_config *configs; /* [model_count] in the order of the plan's models */
    const fs_hash *hashes;    /* [model_count]; zero where weights were absent */
    size_t model_count;
    fs_hash data_hash;
} fs_plan_known;

/** The same from what is known of models and data: no file is touched, so that a stored campaign
 * can be read where its models are not. Errors: as fs_plan_new, FS_ECORRUPT for too few models. */
FS_MUST_CHECK fs_status fs_plan_new_known(fs_plan **out, const fs_campaign *campaign,
                                          const fs_plan_known *known);
void fs_plan_destroy(fs_plan **self);
/** @return the cell of that id, -1 if there is none. */
int64_t fs_plan_find(const fs_plan *self, const char *cell_id);
/** Splits "SWEEP/CELL/INDEX". Errors: FS_EUSAGE saying what is wrong. */
FS_MUST_CHECK fs_status fs_trial_id_parse(const fs_plan *self, const char *text, uint32_t *cell,
                                          uint64_t *trial);
/** Makes it the plan of a simulated campaign: no model computes, its store is never mixed with a
 * real one's, and weights and data may be absent. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_plan_mark_simulated(fs_plan *self);
/** @return nonzero if the identity is that of a simulated campaign. */
int fs_identity_simulated(const char *identity);
/** Writes the first line in which two identities differ, as "key: A, was B". Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_identity_difference(const char *now, const char *before, fs_buf *out);
/** The faults of one trial on parameters, of a plan that may touch files. Errors: as fs_form_draw.
 */
FS_MUST_CHECK fs_status fs_cell_draw(fs_fault_list *out, const fs_cell *cell, uint64_t trial);
/** Its faults beside the words that `protect`, the cell's own, stores. Errors: as fs_check_draw. */
FS_MUST_CHECK fs_status fs_cell_draw_checks(fs_check_list *out, const fs_cell *cell,
                                            const fs_protect *protect, uint64_t trial);

/** @return addresses of a sweep's log that lie in no tensor and hit nothing, of its first cell's
 * format; 0 for other sweeps and for a plan that touched no file. */
uint64_t fs_plan_outside(const fs_plan *self, uint32_t sweep);
/** @return rows of a sweep's log that repeat another row of their trial, in the same way. */
uint64_t fs_plan_repeated(const fs_plan *self, uint32_t sweep);
/** @return the arrays that steps of a cell of phase finetune are hit in; 0 in phase inference. */
fs_tune_arrays fs_cell_arrays(const fs_cell *cell);
/** Whether a record that came from outside can be of a trial of the cell: of its class of sites,
 * its faults in bits, places and steps that it has. The cell has a space. Errors: FS_ECORRUPT
 * saying what it has not. */
FS_MUST_CHECK fs_status fs_cell_check_record(const fs_cell *cell, const fs_trial_record *record);
/** @return expected hit bits in a trial, but for redundant ones: the count, or rate x values, or
 * ber x values x bits, for bursts, values and patterns all their bits (fs_form_expect); of
 * activations, in one inference of the largest input; in phase finetune the same for each array in
 * each step that is hit. */
double fs_cell_faults(const fs_cell *cell);
/** @return the places where one fault may be drawn: bits of values, starts of a burst in each, or
 * values; of activations, those of the largest input; in phase finetune, those of one step. */
uint64_t fs_cell_sites(const fs_cell *cell);
/** @return nonzero if every trial of the cell is masked, provably: none needs a forward pass. */
int fs_cell_masked(const fs_cell *cell);

/** What the inputs read of the embeddings, as only a worker, which has tokens, knows. */
typedef struct fs_reads {
    uint64_t token_rows; /* rows of the token embeddings */
    uint64_t positions;  /* rows of the position embeddings, the first */
} fs_reads;

/** Masked sites by the reason; no site counts twice. */
typedef struct fs_masked {
    uint64_t segments;   /* in segment embeddings but the first: all text is of that one */
    uint64_t positions;  /* in positions beyond the longest input */
    uint64_t token_rows; /* in rows of the token embeddings that no input has */
    uint64_t bits; /* in what is read, of bits that decoding replaces: EP's top exponent bit */
} fs_masked;

/** Splits a cell's masked sites by reason. @return their sum: `masked_sites` of the cell where
 * `reads` is NULL, at least as many where it says what the inputs of the cell's variant read. */
uint64_t fs_cell_masked_sites(const fs_plan *self, const fs_cell *cell, const fs_reads *reads,
                              fs_masked *out);

/** The stopping rule's looks. @return the number of trials at the look that follows `done` trials
 * (100, 200, 400, ... at most cell->trials); cell->trials without a rule. */
uint64_t fs_cell_next_look(const fs_plan *self, const fs_cell *cell, uint64_t done);
/** @return the confidence of the interval of the cell's critical rate: under a stopping rule that
 * of one look, 1 - (1 - confidence) / looks, at which the intervals of all looks together hold the
 * rule's confidence, wherever it stops; `plain` without a rule. */
double fs_cell_confidence(const fs_plan *self, const fs_cell *cell, double plain);
/** @return nonzero if the rule is met at a look of n trials with `critical` critical ones. */
int fs_cell_stops(const fs_plan *self, const fs_cell *cell, uint64_t n, uint64_t critical);

#endif
