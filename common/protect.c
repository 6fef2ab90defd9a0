#include "protect.h"

#include <math.h>
#include <string.h>

#include "assert.h"

static fs_status unknown_codec(const char *name)
{
    char known[512] = "none";
    size_t used = strlen(known);
    const fs_codec *codec;
    for (unsigned i = 0; (codec = fs_codec_at(i)) != NULL; i++) {
        size_t size = strlen(codec->name);
        if (used + size + 3 > sizeof known) break;
        memcpy(known + used, ", ", 2);
        memcpy(known + used + 2, codec->name, size + 1);
        used += size + 2;
    }
    return fs_fail(FS_ECONFIG, "unknown protection '%.64s'; known: %s", name, known);
}

/* Says why `codec` cannot follow those before it, whatever the order. */
static fs_status check_pair(const fs_codec *before, const fs_codec *codec, const fs_format *format)
{
    if (before == codec) {
        return fs_fail(FS_ECONFIG, "protection '%s' is given twice", codec->name);
    }
    if (strcmp(before->family, codec->family) == 0) {
        return fs_fail(FS_ECONFIG,
                       "protections '%s' and '%s' are the same code with another option: the "
                       "second would find nothing to do",
                       before->name, codec->name);
    }
    if (before->low_bits != NULL && codec->low_bits != NULL &&
        (before->low_bits(format) & codec->low_bits(format)) != 0) {
        return fs_fail(FS_ECONFIG,
                       "protections '%s' and '%s' both keep their redundancy in the lowest bits of "
                       "a word, and each would overwrite the other's",
                       before->name, codec->name);
    }
    return FS_OK;
}

static fs_status add_codec(fs_protect *self, const char *name)
{
    const fs_format *format = fs_protect_format(self);
    const fs_codec *codec = fs_codec_find(name);
    if (codec == NULL) return unknown_codec(name);
    if ((codec->flags & FS_CODEC_FLOAT) && format->exponent == 0) {
        return fs_fail(FS_ECONFIG, "protection '%s' is of exponents, and %s has none", name,
                       format->name);
    }
    for (unsigned i = 0; i < self->codec_count; i++)
        FS_TRY(check_pair(self->codecs[i], codec, format));
    if (self->codec_count == FS_PROTECT_MAX) {
        return fs_fail(FS_ELIMIT, "more than %d protections in one arm", FS_PROTECT_MAX);
    }
    self->codecs[self->codec_count++] = codec;
    return FS_OK;
}

fs_status fs_protect_init(fs_protect *out, const char *const *names, unsigned count, fs_guard guard)
{
    return fs_protect_init_format(out, names, count, guard, FS_FORMAT_FP32);
}

fs_status fs_protect_init_format(fs_protect *out, const char *const *names, unsigned count,
                                 fs_guard guard, fs_format_kind format)
{
    *out = (fs_protect){.guard = guard, .format = format};
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(names[i], "none") != 0) FS_TRY(add_codec(out, names[i]));
    }
    return FS_OK;
}

const fs_format *fs_protect_format(const fs_protect *self)
{
    return fs_format_of(self->format);
}

int fs_protect_equal(const fs_protect *a, const fs_protect *b)
{
    if (a->codec_count != b->codec_count || a->guard.kind != b->guard.kind) return 0;
    if (a->format != b->format) return 0;
    if (a->guard.kind == FS_GUARD_THRESHOLD && a->guard.threshold != b->guard.threshold) return 0;
    for (unsigned i = 0; i < a->codec_count; i++)
        if (a->codecs[i] != b->codecs[i]) return 0;
    return 1;
}

int fs_protect_is_plain(const fs_protect *self)
{
    return self->codec_count == 0 && self->guard.kind == FS_GUARD_NONE &&
           self->format == FS_FORMAT_FP32;
}

static double bits_of_codec(const fs_protect *self, const fs_codec *codec, size_t cols)
{
    return (double)codec->check_bits / (double)fs_codec_words(codec, fs_protect_format(self), cols);
}

double fs_protect_bits_per_word(const fs_protect *self, size_t cols)
{
    double bits = 0;
    FS_ASSERT(cols > 0);
    for (unsigned i = 0; i < self->codec_count; i++)
        bits += bits_of_codec(self, self->codecs[i], cols);
    return bits;
}

double fs_protect_bits_per_value(const fs_protect *self)
{
    double bits = 0;
    for (unsigned i = 0; i < self->codec_count; i++) {
        if (self->codecs[i]->words != FS_CODEWORD_ROW)
            bits += bits_of_codec(self, self->codecs[i], 1);
    }
    return bits;
}

int fs_protect_has_checks(const fs_protect *self)
{
    if (self->format == FS_FORMAT_INT8) return 1;
    for (unsigned i = 0; i < self->codec_count; i++)
        if (self->codecs[i]->check_bits > 0) return 1;
    return 0;
}

fs_restriction fs_protect_restriction(const fs_protect *self)
{
    for (unsigned i = 0; i < self->codec_count; i++) {
        const unsigned flags = self->codecs[i]->flags;
        if (flags & FS_CODEC_ACTIVATIONS)
            return flags & FS_CODEC_CLIPS ? FS_RESTRICT_CLIP : FS_RESTRICT_ZERO;
    }
    return FS_RESTRICT_NONE;
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
