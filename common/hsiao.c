#include "hsiao.h"

#include <pthread.h>
#include <string.h>

enum { CHECK_BITS = 8, DATA_BITS = 64, INVERTED = 0xaa, NO_COLUMN = 0xff, CHECK_COLUMN = 0x80 };

static const uint64_t masks[CHECK_BITS] = {
    0xB9000000001FFFFFu, 0x5E00000FFFE0003Fu, 0x67003FF003E007C1u, 0xCD0FC0F03C207842u,
    0xB671C711C4438884u, 0xB5B65926488C9108u, 0xCBDAAA4A91152210u, 0x7AED348D221A4420u,
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint8_t table[DATA_BITS / 8][256]; /* check bits that a byte of the data contributes */
static uint8_t column[256];               /* the bit of a syndrome; CHECK_COLUMN + i; NO_COLUMN */

static void make_tables(void)
{
    uint8_t columns[DATA_BITS] = {0};
    memset(column, NO_COLUMN, sizeof column);
    for (unsigned bit = 0; bit < DATA_BITS; bit++) {
        for (unsigned r = 0; r < CHECK_BITS; r++)
            columns[bit] |= (uint8_t)((masks[r] >> bit & 1u) << r);
        column[columns[bit]] = (uint8_t)bit;
    }
    for (unsigned r = 0; r < CHECK_BITS; r++) column[1u << r] = (uint8_t)(CHECK_COLUMN + r);
    for (unsigned byte = 0; byte < DATA_BITS / 8; byte++) {
        for (unsigned value = 1; value < 256; value++) {
            const unsigned low = (unsigned)__builtin_ctz(value);
            table[byte][value] = table[byte][value & (value - 1)] ^ columns[8 * byte + low];
        }
    }
}

uint8_t fs_hsiao_check(uint64_t data)
{
    pthread_once(&once, make_tables);
    uint8_t check = 0;
    for (unsigned byte = 0; byte < DATA_BITS / 8; byte++)
        check ^= table[byte][data >> (8 * byte) & 0xff];
    return check;
}

uint8_t fs_hsiao_stored(uint64_t data)
{
    return fs_hsiao_check(data) ^ INVERTED;
}

/* Every column has an odd number of ones: an even syndrome is no single error, and an odd one that
 * is no column is none either. */
fs_hsiao_state fs_hsiao_decode(uint64_t *data, uint8_t stored)
{
    const uint8_t syndrome = (uint8_t)(fs_hsiao_stored(*data) ^ stored);
    if (syndrome == 0) return FS_HSIAO_CLEAN;
    const uint8_t bit = column[syndrome];
    if (bit == NO_COLUMN) return FS_HSIAO_DETECTED;
    if (bit < DATA_BITS) *data ^= (uint64_t)1 << bit;
    return FS_HSIAO_CORRECTED;
}
