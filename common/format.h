/** Storage formats of a value: the words that faults hit and protections encode.
 *
 * Arithmetic is fp32 whatever the storage. A stored word is the low `bits` bits of a uint32_t, bit
 * 0 the least significant; the rest is 0. The conversions are of storage, not of arithmetic: a NaN
 * keeps its sign and its payload as far as it fits, signalling or not, and whatever is widened and
 * narrowed again is the same word. An int8 word is a two's complement number of a scale that is not
 * part of the word, so it has no conversion here.
 *
 * Thread rule: reentrant, no state. Source: IEEE 754-2019, 3.4 and 4.3.1; bf16 as the upper half of
 * an fp32 word. */
#ifndef FS_FORMAT_H
#define FS_FORMAT_H

#include <stdint.h>

typedef enum fs_format_kind {
    FS_FORMAT_FP32,
    FS_FORMAT_FP16,
    FS_FORMAT_BF16,
    FS_FORMAT_INT8,
    FS_FORMAT_COUNT
} fs_format_kind;

/** What a codec and a choice of bits need to know of a format. */
typedef struct fs_format {
    fs_format_kind kind;
    const char *name; /* as written in a campaign */
    unsigned bits;    /* of a stored word: 32, 16 or 8 */
    unsigned mantissa_bits;
    uint32_t sign;         /* masks; the three are disjoint and make the word */
    uint32_t exponent;     /* 0: the format has none */
    uint32_t mantissa;     /* int8: the seven bits below the sign */
    uint32_t top_exponent; /* the highest exponent bit, set exactly where |x| >= 2; 0: none */
} fs_format;

/** @return the properties of a format, for the life of the program. */
const fs_format *fs_format_of(fs_format_kind kind);
/** @return the format of that name, NULL if there is none. */
const fs_format *fs_format_find(const char *name);

/** The bits of an fp32 value rounded to the nearest word of the format, ties to even. A magnitude
 * from half a step above the largest finite value on becomes Inf; subnormals are rounded, not
 * flushed. A NaN keeps its sign and the upper bits of its payload; where those are 0 it becomes a
 * quiet one, so that it stays a NaN. Not for int8 (asserted). */
uint32_t fs_format_narrow(const fs_format *self, uint32_t fp32);
/** The bits of the fp32 value that a stored word is, exactly. Not for int8 (asserted). */
uint32_t fs_format_widen(const fs_format *self, uint32_t word);

#endif
