/* Exponent protection: every stored value lies in +-(2 - 2^-M), where the top exponent bit is 0, so
 * reading may force it to 0. A NaN or Inf in a model is clipped like any other large value.
 * Source: Chen et al. 2025, eq. 8 as meant (`paper.md`, item 1). */
#include "codec.h"

static void ep_prepare(const fs_codec_run *run)
{
    const uint32_t top = run->format->top_exponent, sign = run->format->sign;
    const uint32_t most = (sign - 1) & ~top;
    for (size_t i = 0; i < run->count; i++) {
        const uint32_t word = run->words[i];
        run->words[i] = word & top ? (word & sign) | most : word;
    }
}

static void ep_decode(const fs_codec_run *run, const uint8_t *check, fs_codec_report *report)
{
    (void)check;
    const uint32_t top = run->format->top_exponent;
    uint32_t corrected = 0;
    /* What was encoded never has the bit: where it is set, a fault is mended. */
    for (size_t i = 0; i < run->count; i++) {
        corrected += (run->words[i] & top) != 0;
        run->words[i] &= ~top;
    }
    report->corrected += corrected;
}

const fs_codec fs__codec_ep = {
    .name = "ep",
    .summary = "exponent protection: clip to +-(2-2^-M), clear the top exponent bit on read "
               "(FlipGuard)",
    .family = "ep",
    .words = 1,
    .flags = FS_CODEC_FLOAT,
    .prepare = ep_prepare,
    .decode = ep_decode,
};
