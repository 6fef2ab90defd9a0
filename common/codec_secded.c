/* SECDED: the Hsiao (72,64) code over two fp32, four 16-bit or eight 8-bit words, the first word in
 * the lowest bits. What happens to a codeword whose error is detected and not correctable is the
 * policy: left as it is, read as 0, or loaded again from the golden copy. */
#include <string.h>

#include "codec.h"
#include "hsiao.h"

typedef enum policy { KEEP, ZERO, RELOAD } policy;

static inline uint64_t join(const uint32_t *words, unsigned bits)
{
    uint64_t data = 0;
    for (unsigned i = 0; i < 64 / bits; i++) data |= (uint64_t)words[i] << (i * bits);
    return data;
}

static inline void split(uint32_t *words, uint64_t data, unsigned bits)
{
    for (unsigned i = 0; i < 64 / bits; i++)
        words[i] = (uint32_t)(data >> (i * bits) & (bits == 32 ? 0xffffffffu : (1u << bits) - 1));
}

static void secded_encode(const fs_codec_run *run, uint8_t *check)
{
    const unsigned bits = run->format->bits, words = 64 / bits;
    for (size_t i = 0; i < run->count; i += words)
        *check++ = fs_hsiao_stored(join(run->words + i, bits));
}

/* A codeword with an error that cannot be corrected. */
static void give_up(const fs_codec_run *run, size_t first, unsigned words, policy what,
                    fs_codec_report *report)
{
    const size_t left = run->count - first, inside = left < words ? left : words;
    if (what == RELOAD) {
        memcpy(run->words + first, run->golden + first, inside * sizeof *run->words);
        report->corrected++;
        return;
    }
    if (what == ZERO) memset(run->words + first, 0, words * sizeof *run->words);
    report->left += what == KEEP;
    report->detected++;
}

static inline void decode_run(const fs_codec_run *run, const uint8_t *check, unsigned bits,
                              policy what, fs_codec_report *report)
{
    const unsigned words = 64 / bits;
    for (size_t i = 0; i < run->count; i += words) {
        uint64_t data = join(run->words + i, bits);
        const fs_hsiao_state state = fs_hsiao_decode(&data, *check++);
        if (state == FS_HSIAO_CLEAN) continue;
        if (state == FS_HSIAO_DETECTED) {
            give_up(run, i, words, what, report);
            continue;
        }
        split(run->words + i, data, bits);
        report->corrected++;
    }
}

static void decode_keep(const fs_codec_run *run, const uint8_t *check, fs_codec_report *report)
{
    decode_run(run, check, run->format->bits, KEEP, report);
}

static void decode_zero(const fs_codec_run *run, const uint8_t *check, fs_codec_report *report)
{
    decode_run(run, check, run->format->bits, ZERO, report);
}

static void decode_reload(const fs_codec_run *run, const uint8_t *check, fs_codec_report *report)
{
    decode_run(run, check, run->format->bits, RELOAD, report);
}

#define SECDED(variable, word, text, decoder, flag)                                                \
    const fs_codec variable = {                                                                    \
        .name = (word),                                                                            \
        .summary = "Hsiao (72,64) over 64 stored bits; an uncorrectable codeword " text,           \
        .family = "secded",                                                                        \
        .words = FS_CODEWORD_64_BITS,                                                              \
        .check_bits = 8,                                                                           \
        .flags = (flag),                                                                           \
        .encode = secded_encode,                                                                   \
        .decode = (decoder),                                                                       \
    };

SECDED(fs__codec_secded, "secded", "stays as it is", decode_keep, 0)
SECDED(fs__codec_secded_zero, "secded-zero", "reads as 0", decode_zero, 0)
SECDED(fs__codec_secded_reload, "secded-reload", "is loaded again", decode_reload, FS_CODEC_RELOADS)
