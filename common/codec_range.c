/* Range restriction of weights: the least and the largest value of each tensor of the clean model
 * are kept, and what is read outside of them cannot be right.
 *
 * `range` reads it, and NaN, as the value inside the bounds that is nearest to 0: a weight that has
 * left its tensor's range says nothing about its old value any more, and 0 is then off by the
 * weight itself, the nearest bound by several times as much (most weights are small beside their
 * tensor's largest). Where 0 is outside, as in the gains of a normalisation, it is the bound next
 * to 0. `range-clip` reads the nearest bound, as Ranger does with activations; NaN as `range` does.
 * Bounds are of finite values; they are no fault site, since a hash of their own guards them.
 * Source: Chen et al., "A Low-cost Fault Corrector for Deep Neural Networks through Range
 * Restriction", DSN 2021. */
#include "codec.h"

/* Words as integers in the order of their values: negative floats have theirs reversed. NaN lies
 * beyond the infinities, on both sides. */
static inline int64_t rank(const fs_format *format, uint32_t word)
{
    const int64_t magnitude = (int64_t)(word & (format->sign - 1));
    if (format->exponent == 0) return magnitude - (word & format->sign); /* two's complement */
    return word & format->sign ? -magnitude : magnitude;
}

static inline int is_finite(const fs_format *format, uint32_t word)
{
    return format->exponent == 0 || (word & format->exponent) != format->exponent;
}

/* Clean NaN and Inf cannot be within any bounds; they read as 0 from the start. Where bounds are
 * given, decoding finds what is outside of them. */
static void range_prepare(const fs_codec_run *run)
{
    if (run->param != NULL && run->param->given) return;
    for (size_t i = 0; i < run->count; i++)
        if (!is_finite(run->format, run->words[i])) run->words[i] = 0;
}

static void range_learn(fs_codec_param *param, const fs_codec_run *run)
{
    for (size_t i = 0; i < run->count; i++) {
        const uint32_t word = run->words[i];
        const int64_t r = rank(run->format, word);
        if (!param->known || r < rank(run->format, param->low)) param->low = word;
        if (!param->known || r > rank(run->format, param->high)) param->high = word;
        param->known = 1;
    }
}

/* @return the word inside the bounds that is nearest to 0. */
static uint32_t nearest_zero(const fs_format *format, const fs_codec_param *param)
{
    if (rank(format, param->low) > 0) return param->low;
    return rank(format, param->high) < 0 ? param->high : 0;
}

static inline void restrict_run(const fs_codec_run *run, int clip, fs_codec_report *report)
{
    const fs_format *format = run->format;
    const int64_t low = rank(format, run->param->low), high = rank(format, run->param->high);
    const uint32_t zero = nearest_zero(format, run->param);
    for (size_t i = 0; i < run->count; i++) {
        const uint32_t word = run->words[i];
        const int64_t r = rank(format, word);
        if (r >= low && r <= high) continue;
        report->detected++;
        const int nan = !is_finite(format, word) && (word & format->mantissa) != 0;
        run->words[i] = !clip || nan ? zero : r < low ? run->param->low : run->param->high;
    }
}

static void range_decode(const fs_codec_run *run, const uint8_t *check, fs_codec_report *report)
{
    (void)check;
    restrict_run(run, 0, report);
}

static void clip_decode(const fs_codec_run *run, const uint8_t *check, fs_codec_report *report)
{
    (void)check;
    restrict_run(run, 1, report);
}

const fs_codec fs__codec_range = {
    .name = "range",
    .summary = "least and largest weight of each tensor; outside of them reads as 0 (or the bound "
               "nearest to it)",
    .family = "range",
    .words = 1,
    .prepare = range_prepare,
    .learn = range_learn,
    .decode = range_decode,
};

const fs_codec fs__codec_range_clip = {
    .name = "range-clip",
    .summary = "least and largest weight of each tensor; outside of them reads as the nearest one",
    .family = "range",
    .words = 1,
    .prepare = range_prepare,
    .learn = range_learn,
    .decode = clip_decode,
};
