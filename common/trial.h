/** A trial's record: what is determined by the trial, and nothing else.
 *
 * Who ran it and when is kept with the attempts. Two honest runs of a trial encode to the same
 * bytes; non-finite numbers are put into one form first. Thread rule: reentrant. */
#ifndef FS_TRIAL_H
#define FS_TRIAL_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "hash.h"
#include "limits.h"
#include "status.h"

/* X(NAME, text): how a trial ended. The first four rank by harm; a trial takes the worst of its
 * inputs. The others are ends of the infrastructure. */
#define FS_OUTCOME_MAP(X)                                                                          \
    X(MASKED, "masked") /* logits equal bit for bit */                                             \
    X(BENIGN, "benign") /* bits differ, the answer does not */                                     \
    X(SDC, "sdc")       /* the answer differs, nothing noticed */                                  \
    X(DUE, "due")       /* NaN or Inf in the output, or detected, not corrected */                 \
    X(TIMEOUT, "timeout")                                                                          \
    X(CRASH, "crash")                                                                              \
    X(NOT_INJECTED, "not-injected") /* of a list that hits nothing of the arm: no input evaluated  \
                                     */

typedef enum fs_outcome {
#define X(name, text) FS_OUTCOME_##name,
    FS_OUTCOME_MAP(X)
#undef X
        FS_OUTCOME_COUNT
} fs_outcome;

/** One fault as it took place. Of an activation, `before` and `value_before` hold what the faults
 * of the trial at earlier places made of the value. */
typedef struct fs_fault_record {
    union {
        uint32_t tensor;
        uint32_t input; /* activations */
    };
    uint8_t bit;
    uint8_t kind;   /* fs_fault_kind */
    uint16_t place; /* activations: fs_place; tuned: fs_tune_array */
    uint64_t element;
    uint32_t before;       /* stored word, all faults of the trial in it absent */
    uint32_t after;        /* stored word, all faults of the trial in it present */
    uint32_t value_before; /* bits of the value that arithmetic saw before */
    uint32_t value_after;  /* and after protection and guard */
    uint32_t step;         /* tuned: 0, 1, ...: the step that was hit */
} fs_fault_record;

typedef struct fs_trial_record {
    uint8_t outcome;     /* fs_outcome */
    uint8_t critical;    /* by the campaign's threshold */
    uint8_t activations; /* nonzero: the faults are of activations, not of parameters */
    uint8_t tuned;       /* nonzero: a fine-tuning trial, whose faults are of its steps' arrays */
    uint32_t inputs;     /* evaluated; the next four sum to it */
    uint32_t masked;
    uint32_t benign;
    uint32_t sdc;
    uint32_t due;
    uint64_t answers;         /* answers given: inputs, or scored tokens of a language model */
    uint64_t answers_changed; /* of these, unlike golden (no answer counts as changed) */
    double metric;            /* accuracy in [0, 1], or perplexity; NaN if it has none */
    double loss;              /* mean nats per input or scored token; NaN or Inf possible */
    double deviation_max;     /* largest |logit - golden|; Inf if one is not finite */
    double kl_mean;           /* mean KL(golden || faulty) in nats per answer; NaN: not finite */
    uint64_t faults;          /* drawn */
    uint64_t effective;       /* that changed a stored bit */
    uint64_t visible;         /* words whose value, as read, changed */
    uint64_t corrected;       /* by the protection, codewords */
    uint64_t detected;        /* and not corrected */
    uint64_t miscorrected;    /* units (coding.h), not codewords: at most one for each in which
                                 something was corrected and a word is still wrong, apart
                                 from what a hit scale makes of it */
    uint64_t check_faults;    /* drawn in a protection's redundant bits, beside `faults` */
    uint64_t faults_checksum; /* fs_fault_list_checksum, fs_activation_checksum, fs_tune_checksum */
    uint32_t diverged; /* tuned: the step, from 1, whose loss or gradient was not finite: tuning
                          ended there, and every input is DUE; 0: none was */
    fs_hash model;     /* tuned: BLAKE2b-256 of the parameters as they were left (tr_hash_values) */
    uint32_t kept;     /* faults written out: the first min(faults, FS_FAULTS_KEPT_MAX) */
    fs_fault_record fault[FS_FAULTS_KEPT_MAX];
} fs_trial_record;

/** Appends the record's encoding: version, fields little-endian, XXH3-64. Version 1 is of parameter
 * faults, 2 of those with check_faults, 3 of activations: a place with each fault, 4 of
 * fine-tuning: place and step with each. All are read. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_trial_encode(const fs_trial_record *self, fs_buf *out);
/** Reads one encoding of exactly `size` bytes. Errors: FS_ECORRUPT for a wrong version, length,
 * checksum, or numbers that contradict each other. */
FS_MUST_CHECK fs_status fs_trial_decode(fs_trial_record *out, const void *data, size_t size);
/** @return "masked", "sdc", ... */
const char *fs_outcome_name(fs_outcome outcome);

#endif
