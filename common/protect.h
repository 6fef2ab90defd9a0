/** Protections: codes over the stored bits of a parameter, and the guard on reading it.
 *
 * A codec works on codewords of one or more 32-bit data words plus redundant bits; encode happens
 * once when a model is stored, faults hit the stored bits, decode happens on every read. A list of
 * protections is composed in order as seen from memory: decode runs first to last, encode last to
 * first. Adding a protection is one row of the table in protect.c and its two functions.
 *
 * Words are the raw bits of fp32 values; NaN and Inf are data. Thread rule: reentrant, no state.
 * Source: `codecs.md`; EP: Chen et al. 2025, eq. 8 as meant (`paper.md`, item 1). */
#ifndef FS_PROTECT_H
#define FS_PROTECT_H

#include <stdint.h>

#include "limits.h"
#include "status.h"

/** What a decoder noticed, summed by the caller. */
typedef struct fs_codec_report {
    uint64_t corrected; /* codewords repaired */
    uint64_t detected;  /* codewords known to be bad and not repaired */
} fs_codec_report;

typedef struct fs_codec {
    const char *name;    /* as written in a campaign */
    const char *summary; /* one line for people */
    unsigned words;      /* data words in a codeword, 1 or 2 */
    unsigned check_bits; /* redundant bits of a codeword beside the data words, 0 to 16 */
    /** Replaces the data words by what is stored and writes the redundant bits. */
    void (*encode)(uint32_t *words, uint16_t *check);
    /** Replaces stored data words by what is read and adds to the report. */
    void (*decode)(uint32_t *words, uint16_t check, fs_codec_report *report);
} fs_codec;

/** What reading makes of a value that looks impossible. */
typedef enum fs_guard_kind {
    FS_GUARD_NONE,           /* "none": the paper convention `literal` */
    FS_GUARD_NONFINITE_ZERO, /* "nonfinite-zero": NaN and Inf read as 0 */
    FS_GUARD_THRESHOLD       /* "threshold: T": NaN, Inf and |x| > T read as 0 */
} fs_guard_kind;

typedef struct fs_guard {
    fs_guard_kind kind;
    float threshold; /* with FS_GUARD_THRESHOLD, > 0 and finite */
} fs_guard;

enum { FS_CODEWORD_WORDS_MAX = 2 };

/** The redundant bits of one composed codeword: of each codec in the list, of each of its own
 * codewords within the composed one. */
typedef struct fs_check {
    uint16_t bits[FS_PROTECT_MAX][FS_CODEWORD_WORDS_MAX];
} fs_check;

/** Protections in the order of decoding, then a guard. Plain data; zeroed: no protection. */
typedef struct fs_protect {
    const fs_codec *codecs[FS_PROTECT_MAX];
    unsigned codec_count;
    fs_guard guard;
} fs_protect;

/** @return the codec of that name, NULL if there is none. "none" is no codec. */
const fs_codec *fs_codec_find(const char *name);
/** @return the i-th codec of the table, NULL past its end; for messages and completion. */
const fs_codec *fs_codec_at(unsigned i);

/** Resolves names. Errors: FS_ECONFIG naming an unknown one (with those known), one given twice,
 * FS_ELIMIT for more than FS_PROTECT_MAX. */
FS_MUST_CHECK fs_status fs_protect_init(fs_protect *out, const char *const *names, unsigned count,
                                        fs_guard guard);
/** @return data words of the composed codeword (the largest of its codecs'), at least 1. */
unsigned fs_protect_words(const fs_protect *self);
/** @return redundant bits per data word, as stored cost. */
double fs_protect_bits_per_value(const fs_protect *self);
/** Clean words to stored words, in place: fs_protect_words() of them. */
void fs_protect_encode(const fs_protect *self, uint32_t *words, fs_check *check);
/** Stored words to the values that arithmetic sees, guard included, in place. */
void fs_protect_decode(const fs_protect *self, uint32_t *words, const fs_check *check,
                       fs_codec_report *report);
/** The guard alone. */
uint32_t fs_guard_read(const fs_guard *self, uint32_t word);

#endif
