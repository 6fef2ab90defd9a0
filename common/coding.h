/** A list of protections at work on the words of a tensor.
 *
 * Work is done on runs: `count` words from a codeword's start on, inside one row, to another
 * codeword's end or the row's. The unit of a list is the least such run; what is hit in one unit
 * changes nothing outside of it. Buffers of words hold fs_coding_padded() words, zero beyond
 * `count`; buffers of check bytes hold fs_coding_check_bytes(), each codec's after the one's before
 * it, its codewords in order.
 *
 * Words become stored ones in two steps. prepare gives values that every codec of the list can
 * hold, so that decoding finds exactly them where nothing was hit; encode writes the redundancy,
 * last codec first. decode runs first codec first. The guard is not part of it: it acts on the
 * value, after the word is widened to fp32.
 *
 * Thread rule: reentrant; buffers are the caller's. */
#ifndef FS_CODING_H
#define FS_CODING_H

#include "protect.h"
#include "quantise.h"

/** A list and what its codecs know of one tensor. Plain data; both borrowed. */
typedef struct fs_coding {
    const fs_protect *protect;
    const fs_codec_param *params; /* [codec_count]; NULL if no codec learns */
} fs_coding;

/** @return words of the unit in rows of `cols` words. */
size_t fs_coding_unit(const fs_protect *protect, size_t cols);
/** @return `count` rounded up to whole codewords of every codec. */
size_t fs_coding_padded(const fs_protect *protect, size_t count);
size_t fs_coding_check_bytes(const fs_protect *protect, size_t count);
/** @return where codec `codec`'s bytes begin in the check buffer of a run. */
size_t fs_coding_check_offset(const fs_protect *protect, unsigned codec, size_t count);

void fs_coding_prepare(const fs_coding *self, uint32_t *words, size_t count);
void fs_coding_encode(const fs_coding *self, uint32_t *words, size_t count, uint8_t *check);
/** Adds a run of prepared words, each of a tensor once, to what the codecs learn of it; the words
 * become stored ones. `params` is [codec_count], zeroed before the first run. */
void fs_coding_learn(const fs_protect *protect, fs_codec_param *params, uint32_t *words,
                     size_t count, uint8_t *check);
/** @param prepared  the words before encoding, the golden copy that codecs load again from
 *  @param scratch   room for a run, its contents lost
 * Both may be NULL where no codec reloads. */
void fs_coding_decode(const fs_coding *self, uint32_t *words, size_t count, const uint8_t *check,
                      const uint32_t *prepared, uint32_t *scratch, fs_codec_report *report);

/** A list at work on a model: what its codecs have learnt of each tensor. */
typedef struct fs_protection {
    fs_protect protect;
    size_t tensor_count;
    fs_codec_param *params; /* [tensor_count][codec_count]; NULL if no codec learns */
    fs_scales *scales;      /* of int8, set by who knows the geometry; NULL: another format */
} fs_protection;

/** Nothing is learnt yet. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_protection_new(fs_protection **out, const fs_protect *protect,
                                          size_t tensor_count);
void fs_protection_destroy(fs_protection **self);
/** Takes over what `other`, of the same list and tensors, has learnt; its scales not. What is
 * outside of it is then left for decoding to find. */
void fs_protection_give(fs_protection *self, const fs_protection *other);
/** @return nonzero if a codec learns, so that each tensor is gone through once before use. */
int fs_protection_learns(const fs_protection *self);
/** @return what the codecs know of a tensor, [codec_count], to be filled; NULL if none learns. */
fs_codec_param *fs_protection_params(fs_protection *self, size_t tensor);
/** @return the list at work on a tensor; valid as long as `self`. */
fs_coding fs_protection_coding(const fs_protection *self, size_t tensor);
/** Writes the words that a run of a row's values are stored as, before any code.
 *  @param first  element of the first value  @param values  [count] bits of fp32  */
void fs_protection_narrow(const fs_protection *self, size_t tensor, uint64_t first,
                          const uint32_t *values, uint32_t *words, size_t count);
/** Turns such words, decoded, into the bits of the fp32 values that they are, in place. */
void fs_protection_widen(const fs_protection *self, size_t tensor, uint64_t first, uint32_t *words,
                         size_t count);
/** @return XXH3-64 over all that was learnt, in a fixed encoding: what a store of bounds is checked
 * by. 0 if no codec learns. */
uint64_t fs_protection_checksum(const fs_protection *self);

/** Room to encode, hit and decode one run. */
typedef struct fs_coding_room {
    uint32_t *prepared, *stored, *faulty, *read, *scratch; /* [words], one block */
    uint8_t *check;                                        /* [check_bytes] */
    size_t words;
    size_t check_bytes;
} fs_coding_room;

/** Makes room for runs of up to `count` words; keeps what is large enough. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_coding_room_reserve(fs_coding_room *self, const fs_protect *protect,
                                               size_t count);
void fs_coding_room_free(fs_coding_room *self);

#endif
