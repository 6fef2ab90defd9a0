/** The Hsiao (72,64) code: corrects every single error, detects every double one.
 *
 * The masks are those of OpenTitan's prim_secded_72_64; the check byte is stored XOR AA, so that a
 * memory of all zeros or all ones is no codeword. Thread rule: reentrant. Source: `codecs.md`. */
#ifndef FS_HSIAO_H
#define FS_HSIAO_H

#include <stdint.h>

typedef enum fs_hsiao_state {
    FS_HSIAO_CLEAN,
    FS_HSIAO_CORRECTED, /* one bit, of the data or of the check byte */
    FS_HSIAO_DETECTED   /* more than one; the data are as given */
} fs_hsiao_state;

/** @return the check bits of 64 data bits, before the XOR. */
uint8_t fs_hsiao_check(uint64_t data);
/** @return the byte that is stored beside them. */
uint8_t fs_hsiao_stored(uint64_t data);
/** Corrects `data` in place, given the stored byte. */
fs_hsiao_state fs_hsiao_decode(uint64_t *data, uint8_t stored);

#endif
