/* The top exponent bit three times: in the word and twice beside it; reading takes the majority. */
#include "codec.h"

enum { COPIES = 3 }; /* the mask of the two redundant bits */

static void tmr_encode(const fs_codec_run *run, uint8_t *check)
{
    for (size_t i = 0; i < run->count; i++)
        check[i] = run->words[i] & run->format->top_exponent ? COPIES : 0;
}

static void tmr_decode(const fs_codec_run *run, const uint8_t *check, fs_codec_report *report)
{
    const uint32_t top = run->format->top_exponent;
    uint32_t corrected = 0;
    for (size_t i = 0; i < run->count; i++) {
        const uint32_t word = run->words[i];
        const uint32_t wrong = check[i] == (word & top ? 0 : COPIES);
        run->words[i] = word ^ (wrong ? top : 0);
        corrected += wrong;
    }
    report->corrected += corrected;
}

const fs_codec fs__codec_tmr_exponent = {
    .name = "tmr-exponent",
    .summary = "the top exponent bit three times, majority on read",
    .family = "tmr-exponent",
    .words = 1,
    .check_bits = 2,
    .flags = FS_CODEC_FLOAT,
    .encode = tmr_encode,
    .decode = tmr_decode,
};
