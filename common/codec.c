#include "codec.h"

#include <string.h>

static const fs_codec *const codecs[] = {
#define X(variable) &variable,
    FS_CODEC_MAP(X)
#undef X
};

enum { CODEC_COUNT = sizeof codecs / sizeof codecs[0] };

const fs_codec *fs_codec_find(const char *name)
{
    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        if (strcmp(codecs[i]->name, name) == 0) return codecs[i];
    }
    return NULL;
}

const fs_codec *fs_codec_at(unsigned i)
{
    return i < CODEC_COUNT ? codecs[i] : NULL;
}

size_t fs_codec_words(const fs_codec *self, const fs_format *format, size_t cols)
{
    if (self->words == FS_CODEWORD_ROW) return cols;
    return self->words == FS_CODEWORD_64_BITS ? 64 / format->bits : self->words;
}

size_t fs_codec_check_bytes(const fs_codec *self)
{
    return (self->check_bits + 7) / 8;
}
