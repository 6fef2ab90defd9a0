#include "coding.h"

#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "hash.h"

enum { PARAM_BYTES = 12, BUFFERS = 5 };

/* --- Sizes ------------------------------------------------------------------------------------ */

static int is_row(const fs_codec *codec)
{
    return codec->words == FS_CODEWORD_ROW;
}

/* Codewords of a codec in a run of `count` words. A row codec is only ever given whole rows. */
static size_t codewords(const fs_protect *protect, const fs_codec *codec, size_t count)
{
    const size_t words = fs_codec_words(codec, fs_protect_format(protect), count);
    return (count + words - 1) / words;
}

/* The largest codeword of the list that is no row. All are powers of two: it holds the others. */
static size_t largest_codeword(const fs_protect *protect)
{
    size_t words = 1;
    for (unsigned i = 0; i < protect->codec_count; i++) {
        if (is_row(protect->codecs[i])) continue;
        const size_t own = fs_codec_words(protect->codecs[i], fs_protect_format(protect), 1);
        FS_ASSERT(own <= FS_CODEWORD_WORDS_MAX && (own & (own - 1)) == 0);
        if (own > words) words = own;
    }
    return words;
}

size_t fs_coding_unit(const fs_protect *protect, size_t cols)
{
    for (unsigned i = 0; i < protect->codec_count; i++)
        if (is_row(protect->codecs[i])) return cols;
    return largest_codeword(protect);
}

size_t fs_coding_padded(const fs_protect *protect, size_t count)
{
    const size_t words = largest_codeword(protect);
    return (count + words - 1) / words * words;
}

size_t fs_coding_check_offset(const fs_protect *protect, unsigned codec, size_t count)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < codec; i++) {
        const fs_codec *one = protect->codecs[i];
        bytes += codewords(protect, one, count) * fs_codec_check_bytes(one);
    }
    return bytes;
}

size_t fs_coding_check_bytes(const fs_protect *protect, size_t count)
{
    return fs_coding_check_offset(protect, protect->codec_count, count);
}

/* --- Steps ------------------------------------------------------------------------------------ */

static fs_codec_run run_of(const fs_coding *self, unsigned codec, uint32_t *words, size_t count)
{
    return (fs_codec_run){.format = fs_protect_format(self->protect),
                          .param = self->params == NULL ? NULL : &self->params[codec],
                          .words = words,
                          .count = count};
}

/* @return the check bytes of a codec; NULL where the list has none at all. */
static uint8_t *checks_of(const fs_protect *protect, unsigned codec, size_t count, uint8_t *check)
{
    return check == NULL ? NULL : check + fs_coding_check_offset(protect, codec, count);
}

/* Twice: a value that one codec clips gets low bits that another then gives up. Giving up low bits
 * leaves a clipped value within its clip, so the second time nothing new is clipped. */
void fs_coding_prepare(const fs_coding *self, uint32_t *words, size_t count)
{
    for (unsigned again = 0; again < 2; again++) {
        for (unsigned i = self->protect->codec_count; i-- > 0;) {
            const fs_codec_run run = run_of(self, i, words, count);
            if (self->protect->codecs[i]->prepare != NULL) self->protect->codecs[i]->prepare(&run);
        }
    }
}

void fs_coding_encode(const fs_coding *self, uint32_t *words, size_t count, uint8_t *check)
{
    for (unsigned i = self->protect->codec_count; i-- > 0;) {
        const fs_codec *codec = self->protect->codecs[i];
        const fs_codec_run run = run_of(self, i, words, count);
        if (codec->encode != NULL) codec->encode(&run, checks_of(self->protect, i, count, check));
    }
}

void fs_coding_learn(const fs_protect *protect, fs_codec_param *params, uint32_t *words,
                     size_t count, uint8_t *check)
{
    const fs_coding coding = {protect, params};
    for (unsigned i = protect->codec_count; i-- > 0;) {
        const fs_codec *codec = protect->codecs[i];
        const fs_codec_run run = run_of(&coding, i, words, count);
        if (codec->learn != NULL) codec->learn(&params[i], &run);
        if (codec->encode != NULL) codec->encode(&run, checks_of(protect, i, count, check));
    }
}

/* The words that codec `codec` stored, had nothing been hit: the prepared ones with the low bits
 * that it and those after it write. No codec's redundancy beside the words is written. */
static void golden_words(const fs_coding *self, unsigned codec, const uint32_t *prepared,
                         uint32_t *out, size_t count)
{
    memcpy(out, prepared, count * sizeof *out);
    for (unsigned i = self->protect->codec_count; i-- > codec;) {
        const fs_codec *one = self->protect->codecs[i];
        const fs_codec_run run = run_of(self, i, out, count);
        if (one->encode != NULL && one->low_bits != NULL) one->encode(&run, NULL);
    }
}

void fs_coding_decode(const fs_coding *self, uint32_t *words, size_t count, const uint8_t *check,
                      const uint32_t *prepared, uint32_t *scratch, fs_codec_report *report)
{
    const fs_protect *protect = self->protect;
    const size_t padded = fs_coding_padded(protect, count);
    for (unsigned i = 0; i < protect->codec_count; i++) {
        const fs_codec *codec = protect->codecs[i];
        fs_codec_run run = run_of(self, i, words, count);
        if (codec->flags & FS_CODEC_RELOADS) {
            golden_words(self, i, prepared, scratch, count);
            run.golden = scratch;
        }
        const size_t offset = fs_coding_check_offset(protect, i, count);
        codec->decode(&run, check == NULL ? NULL : check + offset, report);
        /* A wrong correction may lie in what only fills up the row's last codeword. */
        for (size_t w = count; w < padded; w++) words[w] = 0;
    }
}

/* --- A model's -------------------------------------------------------------------------------- */

static int learns(const fs_protect *protect)
{
    for (unsigned i = 0; i < protect->codec_count; i++)
        if (protect->codecs[i]->learn != NULL) return 1;
    return 0;
}

fs_status fs_protection_new(fs_protection **out, const fs_protect *protect, size_t tensor_count)
{
    *out = NULL;
    fs_protection *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a protection");
    self->protect = *protect;
    self->tensor_count = tensor_count;
    if (learns(protect)) {
        self->params = calloc(tensor_count * protect->codec_count + 1, sizeof *self->params);
        if (self->params == NULL) {
            fs_protection_destroy(&self);
            return fs_fail(FS_ENOMEM, "no memory for a protection");
        }
    }
    *out = self;
    return FS_OK;
}

void fs_protection_destroy(fs_protection **self)
{
    if (*self == NULL) return;
    free((*self)->params);
    fs_scales_destroy(&(*self)->scales);
    free(*self);
    *self = NULL;
}

int fs_protection_learns(const fs_protection *self)
{
    return self->params != NULL;
}

void fs_protection_give(fs_protection *self, const fs_protection *other)
{
    const size_t count = self->tensor_count * self->protect.codec_count;
    FS_ASSERT(other->tensor_count == self->tensor_count &&
              other->protect.codec_count == self->protect.codec_count);
    for (size_t i = 0; self->params != NULL && i < count; i++) {
        self->params[i] = other->params[i];
        self->params[i].given = 1;
    }
}

fs_codec_param *fs_protection_params(fs_protection *self, size_t tensor)
{
    FS_ASSERT(tensor < self->tensor_count);
    return self->params == NULL ? NULL : self->params + tensor * self->protect.codec_count;
}

fs_coding fs_protection_coding(const fs_protection *self, size_t tensor)
{
    FS_ASSERT(tensor < self->tensor_count);
    const fs_codec_param *params =
        self->params == NULL ? NULL : self->params + tensor * self->protect.codec_count;
    return (fs_coding){&self->protect, params};
}

void fs_protection_narrow(const fs_protection *self, size_t tensor, uint64_t first,
                          const uint32_t *values, uint32_t *words, size_t count)
{
    const fs_format *format = fs_protect_format(&self->protect);
    if (format->kind != FS_FORMAT_INT8) {
        for (size_t i = 0; i < count; i++) words[i] = fs_format_narrow(format, values[i]);
        return;
    }
    size_t step;
    const float *scale = fs_scales_at(self->scales, (uint32_t)tensor, first, &step);
    for (size_t i = 0; i < count; i++) words[i] = fs_quantise(values[i], scale[i * step]);
}

void fs_protection_widen(const fs_protection *self, size_t tensor, uint64_t first, uint32_t *words,
                         size_t count)
{
    const fs_format *format = fs_protect_format(&self->protect);
    if (format->kind != FS_FORMAT_INT8) {
        for (size_t i = 0; i < count; i++) words[i] = fs_format_widen(format, words[i]);
        return;
    }
    size_t step;
    const float *scale = fs_scales_at(self->scales, (uint32_t)tensor, first, &step);
    for (size_t i = 0; i < count; i++) words[i] = fs_dequantise(words[i], scale[i * step]);
}

uint64_t fs_protection_checksum(const fs_protection *self)
{
    if (self->params == NULL) return 0;
    uint64_t sum = fs_checksum(NULL, 0);
    for (size_t i = 0; i < self->tensor_count * self->protect.codec_count; i++) {
        const uint32_t numbers[] = {self->params[i].low, self->params[i].high,
                                    self->params[i].known};
        uint8_t bytes[8 + PARAM_BYTES];
        for (int b = 0; b < 8; b++) bytes[b] = (uint8_t)(sum >> (8 * b));
        for (int b = 0; b < PARAM_BYTES; b++)
            bytes[8 + b] = (uint8_t)(numbers[b / 4] >> (8 * (b % 4)));
        sum = fs_checksum(bytes, sizeof bytes);
    }
    return sum;
}

/* --- Room ------------------------------------------------------------------------------------- */

fs_status fs_coding_room_reserve(fs_coding_room *self, const fs_protect *protect, size_t count)
{
    const size_t words = fs_coding_padded(protect, count);
    const size_t check_bytes = fs_coding_check_bytes(protect, count);
    if (words <= self->words && check_bytes <= self->check_bytes) return FS_OK;
    fs_coding_room_free(self);
    uint32_t *block = calloc(BUFFERS * (words + 1), sizeof *block);
    uint8_t *check = calloc(check_bytes + 1, 1);
    if (block == NULL || check == NULL) {
        free(block);
        free(check);
        return fs_fail(FS_ENOMEM, "no memory for a row of %zu words", count);
    }
    self->prepared = block;
    self->stored = block + words;
    self->faulty = self->stored + words;
    self->read = self->faulty + words;
    self->scratch = self->read + words;
    self->check = check;
    self->words = words;
    self->check_bytes = check_bytes;
    return FS_OK;
}

void fs_coding_room_free(fs_coding_room *self)
{
    free(self->prepared); /* all the buffers of words */
    free(self->check);
    *self = (fs_coding_room){0};
}
