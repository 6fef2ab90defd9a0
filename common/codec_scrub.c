/* Scrubbing: each row has an integer checksum of its stored words; a row that does not match is
 * loaded again from the golden copy.
 *
 * The sum is of each word times an odd number of its own, 3 and up, modulo 2^64. One error changes
 * it by an odd multiple of a power of two below 2^63; two leave it only if both multiples are
 * equal, so only if they are the same bit of the same word. An error of a word changes the sum by
 * no single power of two, so one of the checksum does not hide it. Every single and double error is
 * found. */
#include <string.h>

#include "codec.h"

enum { CHECK_BYTES = 8 };

static uint64_t sum_of(const fs_codec_run *run)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < run->count; i++) sum += (2 * (uint64_t)i + 3) * run->words[i];
    return sum;
}

static void scrub_encode(const fs_codec_run *run, uint8_t *check)
{
    const uint64_t sum = sum_of(run);
    for (unsigned b = 0; b < CHECK_BYTES; b++) check[b] = (uint8_t)(sum >> (8 * b));
}

static void scrub_decode(const fs_codec_run *run, const uint8_t *check, fs_codec_report *report)
{
    uint64_t stored = 0;
    for (unsigned b = 0; b < CHECK_BYTES; b++) stored |= (uint64_t)check[b] << (8 * b);
    if (sum_of(run) == stored) return;
    memcpy(run->words, run->golden, run->count * sizeof *run->words);
    report->corrected++;
}

const fs_codec fs__codec_scrub = {
    .name = "scrub",
    .summary = "a checksum of each row; a row that does not match is loaded again",
    .family = "scrub",
    .words = FS_CODEWORD_ROW,
    .check_bits = 64,
    .flags = FS_CODEC_RELOADS,
    .encode = scrub_encode,
    .decode = scrub_decode,
};
