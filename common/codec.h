/** A codec: one code over the stored bits of parameters.
 *
 * A codec works on codewords of one or more neighbouring words of a tensor's row, in a storage
 * format (format.h). Codewords start at the start of a row and never cross its end; the last one of
 * a row is filled up with zeros. Some codecs keep redundancy in the low mantissa bits of the words
 * themselves, others in bits beside them; both are stored, and both can be hit.
 *
 * A codec has up to four steps. prepare: a value becomes one that the code can hold (clipped, low
 * bits given up); doing it twice changes nothing more. learn: something about the whole tensor is
 * kept. encode: prepared words become stored ones. decode: stored words become what is read. With
 * nothing hit, decoding gives the prepared words again and reports nothing.
 *
 * Adding a codec is one file, codec_NAME.c, and one row in FS_CODEC_MAP. Words are bits; NaN and
 * Inf are data. Thread rule: reentrant, no state. Source: `codecs.md`. */
#ifndef FS_CODEC_H
#define FS_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "format.h"

/* X(variable): every codec, in the order in which people see them. */
#define FS_CODEC_MAP(X)                                                                            \
    X(fs__codec_ep)                                                                                \
    X(fs__codec_mset)                                                                              \
    X(fs__codec_cep)                                                                               \
    X(fs__codec_cep_3)                                                                             \
    X(fs__codec_cep_7)                                                                             \
    X(fs__codec_cep_15)                                                                            \
    X(fs__codec_op)                                                                                \
    X(fs__codec_secded)                                                                            \
    X(fs__codec_secded_zero)                                                                       \
    X(fs__codec_secded_reload)                                                                     \
    X(fs__codec_secded_exponent)                                                                   \
    X(fs__codec_tmr_exponent)                                                                      \
    X(fs__codec_range)                                                                             \
    X(fs__codec_range_clip)                                                                        \
    X(fs__codec_range_activations)                                                                 \
    X(fs__codec_range_activations_clip)                                                            \
    X(fs__codec_scrub)

/** What a decoder noticed, summed by the caller; in codewords. */
typedef struct fs_codec_report {
    uint64_t corrected; /* given back what the codec takes for their original value */
    uint64_t detected;  /* known to be bad, and the original is not known */
    uint64_t left;      /* of the detected: left as they are, and not made harmless */
} fs_codec_report;

/** What a codec has learnt of a tensor; its own to interpret. */
typedef struct fs_codec_param {
    uint32_t low;
    uint32_t high;
    uint32_t known; /* nonzero: something was learnt */
    uint32_t given; /* nonzero: of another model, whose bounds these values may leave */
} fs_codec_param;

/** Words that a codec works on: whole codewords of one row, back to back. */
typedef struct fs_codec_run {
    const fs_format *format;
    const fs_codec_param *param; /* of the tensor; NULL unless the codec learns */
    uint32_t *words;             /* `count` and zeros up to a whole codeword */
    size_t count;
    const uint32_t *golden; /* decode, FS_CODEC_RELOADS: `count` words as stored, nothing hit */
} fs_codec_run;

enum {                          /* `words` of a codec */
       FS_CODEWORD_ROW = 0,     /* a whole row */
       FS_CODEWORD_64_BITS = 64 /* as many as make 64 bits */
};

enum {                           /* flags of a codec */
       FS_CODEC_RELOADS = 1,     /* decode reads the golden words */
       FS_CODEC_FLOAT = 2,       /* reads exponent bits: not for int8 */
       FS_CODEC_ACTIVATIONS = 4, /* restricts activations and leaves words alone */
       FS_CODEC_CLIPS = 8        /* then: to the nearest bound, not to 0 */
};

enum {
    FS_CODEWORD_WORDS_MAX = 8, /* of a codeword that is no row */
    FS_CHECK_BITS_MAX = 64
};

typedef struct fs_codec {
    const char *name;    /* as written in a campaign */
    const char *summary; /* one line for people */
    const char *family;  /* two of one family are no list */
    unsigned words;      /* data words of a codeword; or FS_CODEWORD_... */
    unsigned check_bits; /* redundant bits of a codeword beside the data words */
    unsigned flags;
    /** @return the bits of each word that hold redundancy; NULL: none. */
    uint32_t (*low_bits)(const fs_format *format);
    /** NULL: any value can be held. */
    void (*prepare)(const fs_codec_run *run);
    /** Adds a run, as encode is given it, to what is known; NULL: nothing is learnt. */
    void (*learn)(fs_codec_param *param, const fs_codec_run *run);
    /** Writes the redundancy: into the words, and (check_bits + 7) / 8 bytes of each codeword to
     * `check`. NULL: there is none. */
    void (*encode)(const fs_codec_run *run, uint8_t *check);
    /** Adds to the report. */
    void (*decode)(const fs_codec_run *run, const uint8_t *check, fs_codec_report *report);
} fs_codec;

#define X(variable) extern const fs_codec variable;
FS_CODEC_MAP(X)
#undef X

/** @return the codec of that name, NULL if there is none. "none" is no codec. */
const fs_codec *fs_codec_find(const char *name);
/** @return the i-th codec of the table, NULL past its end; for messages and completion. */
const fs_codec *fs_codec_at(unsigned i);
/** @return data words of a codeword in rows of `cols` words. */
size_t fs_codec_words(const fs_codec *self, const fs_format *format, size_t cols);
/** @return bytes that the redundant bits of a codeword take in a check buffer. */
size_t fs_codec_check_bytes(const fs_codec *self);

#endif
