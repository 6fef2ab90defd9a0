/* MSET: bits 0 and 1 hold copies of the top exponent bit; reading takes the majority of the three.
 * Source: FaultForge. */
#include "codec.h"

enum { COPIES = 3 }; /* the mask of bits 0 and 1 */

static uint32_t mset_low_bits(const fs_format *format)
{
    (void)format;
    return COPIES;
}

/* The copies stay in the value that is read, so preparing and encoding are one. */
static void mset_prepare(const fs_codec_run *run)
{
    const uint32_t top = run->format->top_exponent;
    for (size_t i = 0; i < run->count; i++) {
        const uint32_t word = run->words[i];
        run->words[i] = (word & ~(uint32_t)COPIES) | (word & top ? COPIES : 0);
    }
}

static void mset_decode(const fs_codec_run *run, const uint8_t *check, fs_codec_report *report)
{
    (void)check;
    const uint32_t top = run->format->top_exponent;
    uint32_t corrected = 0;
    for (size_t i = 0; i < run->count; i++) {
        const uint32_t word = run->words[i];
        /* The top bit is outvoted where both copies differ from it. */
        const uint32_t wrong = (word & COPIES) == (word & top ? 0 : COPIES);
        run->words[i] = word ^ (wrong ? top : 0);
        corrected += wrong;
    }
    report->corrected += corrected;
}

const fs_codec fs__codec_mset = {
    .name = "mset",
    .summary = "two copies of the top exponent bit in bits 0 and 1, majority on read",
    .family = "mset",
    .words = 1,
    .flags = FS_CODEC_FLOAT,
    .low_bits = mset_low_bits,
    .prepare = mset_prepare,
    .decode = mset_decode,
};
