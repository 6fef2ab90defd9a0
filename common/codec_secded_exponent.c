/* The Hsiao (72,64) code over the top bytes of eight words: sign and exponent, but for the lowest
 * exponent bit of fp32 and bf16; in int8 the whole word, so that it stands there beside the formats
 * that have an exponent. An uncorrectable codeword stays as it is. */
#include "codec.h"
#include "hsiao.h"

enum { WORDS = 8 };

static uint64_t gather(const uint32_t *words, unsigned shift)
{
    uint64_t data = 0;
    for (unsigned i = 0; i < WORDS; i++) data |= (uint64_t)(words[i] >> shift & 0xff) << (8 * i);
    return data;
}

static void top_encode(const fs_codec_run *run, uint8_t *check)
{
    const unsigned shift = run->format->bits - 8;
    for (size_t i = 0; i < run->count; i += WORDS)
        *check++ = fs_hsiao_stored(gather(run->words + i, shift));
}

static void top_decode(const fs_codec_run *run, const uint8_t *check, fs_codec_report *report)
{
    const unsigned shift = run->format->bits - 8;
    for (size_t i = 0; i < run->count; i += WORDS) {
        const uint64_t read = gather(run->words + i, shift);
        uint64_t data = read;
        const fs_hsiao_state state = fs_hsiao_decode(&data, *check++);
        if (state == FS_HSIAO_CLEAN) continue;
        for (unsigned w = 0; w < WORDS; w++)
            run->words[i + w] ^= (uint32_t)((data ^ read) >> (8 * w) & 0xff) << shift;
        report->corrected += state == FS_HSIAO_CORRECTED;
        report->detected += state == FS_HSIAO_DETECTED;
        report->left += state == FS_HSIAO_DETECTED;
    }
}

const fs_codec fs__codec_secded_exponent = {
    .name = "secded-exponent",
    .summary = "Hsiao (72,64) over the top bytes of eight words; an uncorrectable codeword stays "
               "as it is",
    .family = "secded-exponent",
    .words = WORDS,
    .check_bits = 8,
    .encode = top_encode,
    .decode = top_decode,
};
