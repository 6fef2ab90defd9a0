/* Opportunistic parity: bit 0 makes the word's parity even; an odd word reads as 0. */
#include "codec.h"

static uint32_t op_low_bits(const fs_format *format)
{
    (void)format;
    return 1;
}

/* @return the parity of a word's bits. */
static inline uint32_t parity(uint32_t word)
{
    word ^= word >> 16;
    word ^= word >> 8;
    word ^= word >> 4;
    word ^= word >> 2;
    return (word ^ word >> 1) & 1u;
}

/* The parity bit stays in the value that is read, so preparing and encoding are one. */
static void op_prepare(const fs_codec_run *run)
{
    for (size_t i = 0; i < run->count; i++) run->words[i] ^= parity(run->words[i]);
}

static void op_decode(const fs_codec_run *run, const uint8_t *check, fs_codec_report *report)
{
    (void)check;
    uint32_t detected = 0;
    for (size_t i = 0; i < run->count; i++) {
        const uint32_t odd = parity(run->words[i]);
        run->words[i] &= odd - 1;
        detected += odd;
    }
    report->detected += detected;
}

const fs_codec fs__codec_op = {
    .name = "op",
    .summary = "opportunistic parity in bit 0, an odd word reads as 0",
    .family = "op",
    .words = 1,
    .low_bits = op_low_bits,
    .prepare = op_prepare,
    .decode = op_decode,
};
