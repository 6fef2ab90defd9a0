#include "protect.h"

#include <math.h>
#include <string.h>

#include "assert.h"

/* EP: every stored value lies in +-(2 - 2^-23), where bit 30 is 0; reading forces it to 0. A NaN or
 * Inf in a model is clipped like any other large value. */
static void ep_encode(uint32_t *words, uint16_t *check)
{
    if (words[0] & 0x40000000u) words[0] = (words[0] & 0x80000000u) | 0x3fffffffu;
    *check = 0;
}

static void ep_decode(uint32_t *words, uint16_t check, fs_codec_report *report)
{
    (void)check;
    /* What was encoded never has bit 30: where it is set, a fault is mended. */
    report->corrected += words[0] >> 30 & 1u;
    words[0] &= ~0x40000000u;
}

static const fs_codec codecs[] = {
    {"ep", "exponent protection: clip to +-(2-2^-23), clear bit 30 on read (FlipGuard)", 1, 0,
     ep_encode, ep_decode},
};

enum { CODEC_COUNT = sizeof codecs / sizeof codecs[0] };

const fs_codec *fs_codec_find(const char *name)
{
    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        if (strcmp(codecs[i].name, name) == 0) return &codecs[i];
    }
    return NULL;
}

const fs_codec *fs_codec_at(unsigned i)
{
    return i < CODEC_COUNT ? &codecs[i] : NULL;
}

static fs_status unknown_codec(const char *name)
{
    char known[256] = "none";
    size_t used = strlen(known);
    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        size_t size = strlen(codecs[i].name);
        if (used + size + 3 > sizeof known) break;
        memcpy(known + used, ", ", 2);
        memcpy(known + used + 2, codecs[i].name, size + 1);
        used += size + 2;
    }
    return fs_fail(FS_ECONFIG, "unknown protection '%.64s'; known: %s", name, known);
}

fs_status fs_protect_init(fs_protect *out, const char *const *names, unsigned count, fs_guard guard)
{
    *out = (fs_protect){.guard = guard};
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(names[i], "none") == 0) continue;
        const fs_codec *codec = fs_codec_find(names[i]);
        if (codec == NULL) return unknown_codec(names[i]);
        for (unsigned j = 0; j < out->codec_count; j++) {
            if (out->codecs[j] == codec) {
                return fs_fail(FS_ECONFIG, "protection '%s' is given twice", names[i]);
            }
        }
        if (out->codec_count == FS_PROTECT_MAX) {
            return fs_fail(FS_ELIMIT, "more than %d protections in one arm", FS_PROTECT_MAX);
        }
        FS_ASSERT(codec->words >= 1 && codec->words <= FS_CODEWORD_WORDS_MAX);
        out->codecs[out->codec_count++] = codec;
    }
    return FS_OK;
}

unsigned fs_protect_words(const fs_protect *self)
{
    unsigned words = 1;
    for (unsigned i = 0; i < self->codec_count; i++) {
        if (self->codecs[i]->words > words) words = self->codecs[i]->words;
    }
    return words;
}

double fs_protect_bits_per_value(const fs_protect *self)
{
    double bits = 0;
    for (unsigned i = 0; i < self->codec_count; i++) {
        bits += (double)self->codecs[i]->check_bits / self->codecs[i]->words;
    }
    return bits;
}

void fs_protect_encode(const fs_protect *self, uint32_t *words, fs_check *check)
{
    unsigned total = fs_protect_words(self);
    for (unsigned i = self->codec_count; i-- > 0;) {
        const fs_codec *codec = self->codecs[i];
        for (unsigned w = 0; w < total; w += codec->words) {
            codec->encode(words + w, &check->bits[i][w / codec->words]);
        }
    }
}

void fs_protect_decode(const fs_protect *self, uint32_t *words, const fs_check *check,
                       fs_codec_report *report)
{
    unsigned total = fs_protect_words(self);
    for (unsigned i = 0; i < self->codec_count; i++) {
        const fs_codec *codec = self->codecs[i];
        for (unsigned w = 0; w < total; w += codec->words) {
            codec->decode(words + w, check->bits[i][w / codec->words], report);
        }
    }
    for (unsigned w = 0; w < total; w++) words[w] = fs_guard_read(&self->guard, words[w]);
}

uint32_t fs_guard_read(const fs_guard *self, uint32_t word)
{
    if (self->kind == FS_GUARD_NONE) return word;
    if ((word & 0x7f800000u) == 0x7f800000u) return 0;
    if (self->kind == FS_GUARD_THRESHOLD) {
        float value;
        memcpy(&value, &word, sizeof value);
        if (fabsf(value) > self->threshold) return 0;
    }
    return word;
}
