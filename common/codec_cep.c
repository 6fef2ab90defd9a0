/* CEP: a word is cut from the top into chunks of 3, 7 or 15 bits, each with an even parity bit
 * among the lowest bits of the word, the highest chunk's parity highest. A chunk whose parity is
 * odd reads as 0, and so do the parity bits, always: values are truncated towards zero. Source:
 * FaultForge. */
#include "codec.h"

/* With n bits a chunk, the word holds bits / (n + 1) chunks; chunk k lies at bits
 * chunks + k n and up and has its parity in bit k. */
static inline unsigned chunk_count(const fs_format *format, unsigned n)
{
    return format->bits / (n + 1);
}

/* @return the parity of each chunk, in the place of its lowest bit. */
static inline uint32_t fold(uint32_t word, unsigned n)
{
    uint32_t folded = word;
    for (unsigned s = 1; s < n; s++) folded ^= word >> s;
    return folded;
}

static inline void encode_run(const fs_codec_run *run, unsigned n, unsigned chunks)
{
    for (size_t i = 0; i < run->count; i++) {
        const uint32_t word = run->words[i], parity = fold(word, n);
        uint32_t low = 0;
        for (unsigned k = 0; k < chunks; k++) low |= (parity >> (chunks + k * n) & 1u) << k;
        run->words[i] = (word & ~((1u << chunks) - 1)) | low;
    }
}

static inline void decode_run(const fs_codec_run *run, unsigned n, unsigned chunks,
                              fs_codec_report *report)
{
    uint32_t first = 0, detected = 0; /* the lowest bit of each chunk */
    for (unsigned k = 0; k < chunks; k++) first |= 1u << (chunks + k * n);
    for (size_t i = 0; i < run->count; i++) {
        const uint32_t word = run->words[i];
        uint32_t stored = 0;
        for (unsigned k = 0; k < chunks; k++) stored |= (word >> k & 1u) << (chunks + k * n);
        const uint32_t odd = (fold(word, n) ^ stored) & first;
        detected += odd != 0;
        /* Each odd chunk's lowest bit becomes n ones. */
        run->words[i] = word & ~((1u << chunks) - 1) & ~((odd << n) - odd);
    }
    report->detected += detected;
}

static inline void prepare_run(const fs_codec_run *run, unsigned n)
{
    const uint32_t kept = ~((1u << chunk_count(run->format, n)) - 1);
    for (size_t i = 0; i < run->count; i++) run->words[i] &= kept;
}

/* Constants in place of `chunks` let the compiler unroll and vectorise. */
#define CEP_STEPS(n)                                                                               \
    static uint32_t low_bits_##n(const fs_format *format)                                          \
    {                                                                                              \
        return (1u << chunk_count(format, n)) - 1;                                                 \
    }                                                                                              \
    static void prepare_##n(const fs_codec_run *run)                                               \
    {                                                                                              \
        prepare_run(run, n);                                                                       \
    }                                                                                              \
    static void encode_##n(const fs_codec_run *run, uint8_t *check)                                \
    {                                                                                              \
        (void)check;                                                                               \
        if (run->format->bits == 32)                                                               \
            encode_run(run, n, 32 / ((n) + 1));                                                    \
        else                                                                                       \
            encode_run(run, n, 16 / ((n) + 1));                                                    \
    }                                                                                              \
    static void decode_##n(const fs_codec_run *run, const uint8_t *check, fs_codec_report *report) \
    {                                                                                              \
        (void)check;                                                                               \
        if (run->format->bits == 32)                                                               \
            decode_run(run, n, 32 / ((n) + 1), report);                                            \
        else                                                                                       \
            decode_run(run, n, 16 / ((n) + 1), report);                                            \
    }

CEP_STEPS(3)
CEP_STEPS(7)
CEP_STEPS(15)

#define CEP(variable, word, n)                                                                     \
    const fs_codec variable = {                                                                    \
        .name = (word),                                                                            \
        .summary =                                                                                 \
            "a parity bit for every " #n " bits in the lowest ones, a bad chunk reads as 0",       \
        .family = "cep",                                                                           \
        .words = 1,                                                                                \
        .flags = FS_CODEC_FLOAT,                                                                   \
        .low_bits = low_bits_##n,                                                                  \
        .prepare = prepare_##n,                                                                    \
        .encode = encode_##n,                                                                      \
        .decode = decode_##n,                                                                      \
    };

CEP(fs__codec_cep, "cep", 3)
CEP(fs__codec_cep_3, "cep-3", 3)
CEP(fs__codec_cep_7, "cep-7", 7)
CEP(fs__codec_cep_15, "cep-15", 15)
