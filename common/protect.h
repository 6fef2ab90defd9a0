/** Protections: a list of codecs over the stored words of a parameter, and the guard on reading.
 *
 * Encode happens once when a model is stored, faults hit the stored bits, decode happens on every
 * read. A list is composed in order as seen from memory: decode runs first to last, encode last to
 * first. What a list needs at work on words is in coding.h.
 *
 * Words are the raw bits of stored values; NaN and Inf are data. Thread rule: reentrant, no state.
 * Source: `codecs.md`. */
#ifndef FS_PROTECT_H
#define FS_PROTECT_H

#include <stdint.h>

#include "codec.h"
#include "limits.h"
#include "status.h"

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

/** Protections in the order of decoding, then a guard. Plain data; zeroed: no protection, fp32. */
typedef struct fs_protect {
    const fs_codec *codecs[FS_PROTECT_MAX];
    unsigned codec_count;
    fs_guard guard;
    fs_format_kind format; /* of the stored words */
} fs_protect;

/** Resolves names, for words of fp32. Errors: FS_ECONFIG naming an unknown one (with those known),
 * one given twice, or two that cannot work together, with the reason; FS_ELIMIT for more than
 * FS_PROTECT_MAX. */
FS_MUST_CHECK fs_status fs_protect_init(fs_protect *out, const char *const *names, unsigned count,
                                        fs_guard guard);
/** The same for a storage format. Errors: FS_ECONFIG too for a codec that needs an exponent on a
 * format without one. */
FS_MUST_CHECK fs_status fs_protect_init_format(fs_protect *out, const char *const *names,
                                               unsigned count, fs_guard guard,
                                               fs_format_kind format);
const fs_format *fs_protect_format(const fs_protect *self);
/** @return nonzero if both do the same to every value. */
int fs_protect_equal(const fs_protect *a, const fs_protect *b);
/** @return nonzero if reading through it is reading the words: no codec, no guard, fp32. */
int fs_protect_is_plain(const fs_protect *self);
/** @return redundant bits beside a data word, as stored cost, in rows of `cols` words. */
double fs_protect_bits_per_word(const fs_protect *self, size_t cols);
/** The same without the codecs over whole rows, whose cost depends on the row. */
double fs_protect_bits_per_value(const fs_protect *self);
/** @return nonzero if bits are kept beside the words: a codec's redundant ones, or scales. */
int fs_protect_has_checks(const fs_protect *self);
/** What is read of an activation outside of its bounds in the golden run. */
typedef enum fs_restriction {
    FS_RESTRICT_NONE, /* the value */
    FS_RESTRICT_ZERO,
    FS_RESTRICT_CLIP /* the nearest bound */
} fs_restriction;

/** @return what the list does to activations. */
fs_restriction fs_protect_restriction(const fs_protect *self);
/** The guard alone, on the bits of an fp32 value. */
uint32_t fs_guard_read(const fs_guard *self, uint32_t word);

#endif
