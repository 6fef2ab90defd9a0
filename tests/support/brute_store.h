/** What a protected memory makes of a model's values, the long way round: every word of every
 * tensor is stored, hit by hand and read back.
 *
 * Rows are encoded whole; they are decoded unit by unit, because a trial counts by units, and whole
 * once more, which must give the same. Of the product only formats and codecs are used. */
#ifndef BRUTE_STORE_H
#define BRUTE_STORE_H

#include "testing.h"

#include <math.h>

#include "coding.h"
#include "fault.h"
#include "geometry.h"
#include "redundancy.h"
#include "trial.h"

#define BRUTE_NAN 0x7fc00000u

/** The values of a model, tensor by tensor. */
typedef struct brute_values {
    const fs_geometry *geometry;
    float **of; /* [tensor_count][rows * cols] */
} brute_values;

/** What was drawn for a trial on stored words; all zero: nothing. */
typedef struct brute_hits {
    fs_fault_list words;
    fs_check_list checks;
} brute_hits;

/** What reading everything back says, beside the record. */
typedef struct brute_noticed {
    uint64_t left;    /* codewords that are known to be bad and were left so */
    uint64_t altered; /* values that are not those of the file */
} brute_noticed;

/** A tensor in memory. Rows of words are `padded` long, the padding is zero. */
typedef struct brute_tensor {
    const fs_protect *protect;
    const fs_tensor *shape;
    uint32_t index;
    int by_column; /* a channel of int8 is a column: the weights of GPT-2's layers */
    float *scale;  /* int8: of each channel */
    float *unhit;  /* these, whatever is hit */
    size_t rows, cols, padded, check_bytes;       /* check bytes of a row */
    fs_codec_param params[FS_PROTECT_MAX];        /* what the codecs have learnt */
    uint32_t *prepared, *stored, *faulty, *whole; /* [rows * padded] */
    uint32_t *clean;                              /* alike: decoded with nothing hit */
    uint8_t *check;                               /* [rows * check_bytes] */
} brute_tensor;

static inline void *brute_room(size_t count, size_t size)
{
    void *room = calloc(count + 1, size);
    assert_non_null(room);
    return room;
}

static inline uint32_t brute_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float brute_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline size_t brute_values_in(const fs_geometry *geometry, size_t tensor)
{
    return (size_t)geometry->tensors[tensor].rows * geometry->tensors[tensor].cols;
}

static inline void brute_values_open(brute_values *self, const fs_geometry *geometry)
{
    *self = (brute_values){geometry, brute_room(geometry->tensor_count, sizeof(float *))};
    for (size_t t = 0; t < geometry->tensor_count; t++)
        self->of[t] = brute_room(brute_values_in(geometry, t), sizeof(float));
}

static inline void brute_values_close(brute_values *self)
{
    for (size_t t = 0; self->of != NULL && t < self->geometry->tensor_count; t++) free(self->of[t]);
    free(self->of);
    *self = (brute_values){0};
}

/* --- int8 ------------------------------------------------------------------------------------- */

/* Of a matrix [out, in] or a table the row, of GPT-2's [in, out] the column; a vector is one. */
static inline size_t brute_channel(const brute_tensor *self, uint64_t element)
{
    if (self->shape->rank == 1) return 0;
    return (size_t)(self->by_column ? element % self->cols : element / self->cols);
}

static inline void brute_scale(brute_tensor *self, const float *file)
{
    const size_t channels = self->rows > self->cols ? self->rows : self->cols;
    self->scale = brute_room(channels, sizeof *self->scale);
    for (size_t e = 0; e < self->rows * self->cols; e++) {
        float *most = &self->scale[brute_channel(self, e)];
        if (fabsf(file[e]) > *most) *most = fabsf(file[e]);
    }
    for (size_t i = 0; i < channels; i++)
        self->scale[i] = self->scale[i] > 0 ? self->scale[i] / 127 : 1;
    self->unhit = brute_room(channels, sizeof *self->unhit);
    memcpy(self->unhit, self->scale, channels * sizeof *self->unhit);
}

static inline uint32_t brute_narrow(const brute_tensor *self, uint64_t element, float value)
{
    const fs_format *format = fs_protect_format(self->protect);
    if (format->kind != FS_FORMAT_INT8) return fs_format_narrow(format, brute_bits(value));
    const double steps = (double)value / (double)self->scale[brute_channel(self, element)];
    return (uint32_t)lrint(steps) & 0xff;
}

static inline uint32_t brute_widen(const brute_tensor *self, const float *scale, uint64_t element,
                                   uint32_t word)
{
    const fs_format *format = fs_protect_format(self->protect);
    if (format->kind != FS_FORMAT_INT8) return fs_format_widen(format, word);
    const int steps = word < 128 ? (int)word : (int)word - 256;
    const float value = (float)steps * scale[brute_channel(self, element)];
    return isnan(value) ? BRUTE_NAN : brute_bits(value);
}

/* What the codecs have learnt of a tensor. */
typedef struct brute_params {
    fs_codec_param of[FS_PROTECT_MAX];
} brute_params;

/* --- Storing ---------------------------------------------------------------------------------- */

/* Decodes every row as it was stored. */
static inline void brute_read_clean(brute_tensor *self)
{
    const fs_coding coding = {self->protect, self->params};
    uint32_t *scratch = brute_room(self->padded, sizeof *scratch);
    fs_codec_report report = {0};
    self->clean = brute_room(self->rows * self->padded, sizeof *self->clean);
    memcpy(self->clean, self->stored, self->rows * self->padded * sizeof *self->clean);
    for (size_t r = 0; r < self->rows; r++)
        fs_coding_decode(&coding, self->clean + r * self->padded, self->cols,
                         self->check + r * self->check_bytes, self->prepared + r * self->padded,
                         scratch, &report);
    free(scratch);
}

/** Learns the whole tensor, then encodes it. `bounds`, NULL or of all tensors: where they are
 * given, nothing is learnt; else they become what is. */
static inline void brute_store(brute_tensor *self, const fs_geometry *geometry, uint32_t index,
                               const fs_protect *protect, const float *file, brute_params *bounds)
{
    const int given = bounds != NULL && bounds[index].of[0].given;
    const fs_tensor *shape = &geometry->tensors[index];
    const fs_coding coding = {protect, self->params};
    *self = (brute_tensor){.protect = protect,
                           .shape = shape,
                           .index = index,
                           .by_column = strncmp(shape->name, "h.", 2) == 0,
                           .rows = shape->rows,
                           .cols = shape->cols};
    if (given) memcpy(self->params, bounds[index].of, sizeof self->params);
    brute_scale(self, file);
    self->padded = fs_coding_padded(protect, self->cols);
    self->check_bytes = fs_coding_check_bytes(protect, self->cols);
    const size_t words = self->rows * self->padded;
    self->prepared = brute_room(words, sizeof(uint32_t));
    self->stored = brute_room(words, sizeof(uint32_t));
    self->faulty = brute_room(words, sizeof(uint32_t));
    self->whole = brute_room(words, sizeof(uint32_t));
    self->check = brute_room(self->rows * self->check_bytes, 1);
    for (size_t r = 0; r < self->rows; r++) {
        uint32_t *row = self->prepared + r * self->padded;
        for (size_t c = 0; c < self->cols; c++)
            row[c] = brute_narrow(self, r * self->cols + c, file[r * self->cols + c]);
        fs_coding_prepare(&coding, row, self->cols);
        memcpy(self->stored + r * self->padded, row, self->padded * sizeof *row);
        if (given) continue;
        fs_coding_learn(protect, self->params, self->stored + r * self->padded, self->cols,
                        self->check);
    }
    if (bounds != NULL) memcpy(bounds[index].of, self->params, sizeof self->params);
    memcpy(self->stored, self->prepared, words * sizeof(uint32_t));
    for (size_t r = 0; r < self->rows; r++)
        fs_coding_encode(&coding, self->stored + r * self->padded, self->cols,
                         self->check + r * self->check_bytes);
    memcpy(self->faulty, self->stored, words * sizeof(uint32_t));
    brute_read_clean(self);
}

static inline void brute_tensor_free(brute_tensor *self)
{
    void *const rooms[] = {self->prepared, self->stored, self->faulty, self->whole,
                           self->clean,    self->check,  self->scale,  self->unhit};
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) free(rooms[i]);
    *self = (brute_tensor){0};
}

/* --- Hitting ---------------------------------------------------------------------------------- */

static inline uint32_t brute_hit_bit(uint32_t word, unsigned bit, uint8_t kind)
{
    const uint32_t mask = (uint32_t)1 << bit;
    if (kind == FS_FAULT_FLIP) return word ^ mask;
    return kind == FS_FAULT_STUCK0 ? word & ~mask : word | mask;
}

static inline uint32_t *brute_word(uint32_t *rows, const brute_tensor *self, uint64_t element)
{
    return &rows[element / self->cols * self->padded + element % self->cols];
}

static inline void brute_hit(brute_tensor *self, const brute_hits *hits, fs_trial_record *record)
{
    for (size_t i = 0; i < hits->words.count; i++) {
        const fs_fault *fault = &hits->words.items[i];
        if (fault->tensor != self->index) continue;
        uint32_t *word = brute_word(self->faulty, self, fault->element);
        const uint32_t after = brute_hit_bit(*word, fault->bit, fault->kind);
        record->effective += after != *word;
        *word = after;
    }
    for (size_t i = 0; i < hits->checks.count; i++) {
        const fs_check_fault *fault = &hits->checks.items[i];
        if (fault->tensor != self->index) continue;
        if (fault->codec == FS_CHECK_SCALE) {
            float *scale = &self->scale[brute_channel(self, fault->element)];
            *scale = brute_float(brute_hit_bit(brute_bits(*scale), fault->bit, fault->kind));
            continue;
        }
        uint8_t *byte = self->check + fault->element / self->cols * self->check_bytes;
        for (unsigned c = 0; c <= fault->codec; c++) {
            const fs_codec *codec = self->protect->codecs[c];
            const size_t words =
                fs_codec_words(codec, fs_protect_format(self->protect), self->cols);
            const size_t before = c == fault->codec ? fault->element % self->cols / words
                                                    : (self->cols + words - 1) / words;
            byte += before * fs_codec_check_bytes(codec);
        }
        byte += fault->bit / 8;
        *byte = (uint8_t)brute_hit_bit(*byte, fault->bit % 8, fault->kind);
    }
}

/* --- Reading back ----------------------------------------------------------------------------- */

/* Gathers what a unit of row r has of the row's check bytes. */
static inline void brute_gather(const brute_tensor *self, size_t r, size_t first, size_t count,
                                uint8_t *out)
{
    const uint8_t *row = self->check + r * self->check_bytes;
    for (unsigned i = 0; i < self->protect->codec_count; i++) {
        const fs_codec *codec = self->protect->codecs[i];
        const size_t bytes = fs_codec_check_bytes(codec);
        const size_t words = fs_codec_words(codec, fs_protect_format(self->protect), self->cols);
        const size_t own = (count + words - 1) / words * bytes;
        memcpy(out, row + first / words * bytes, own);
        out += own;
        row += (self->cols + words - 1) / words * bytes;
    }
}

static inline uint32_t brute_guard(const fs_guard *guard, uint32_t bits)
{
    const float value = brute_float(bits);
    if (guard->kind == FS_GUARD_NONE) return bits;
    if (!isfinite(value)) return 0;
    return guard->kind == FS_GUARD_THRESHOLD && fabsf(value) > guard->threshold ? 0 : bits;
}

/* Whether a word is decoded to another than with nothing hit, which the guard does not hide. The
 * word is what the code answers for: a scale is no part of it. */
static inline int brute_wrong(const brute_tensor *self, uint64_t element, uint32_t word)
{
    const uint32_t right = *brute_word(self->clean, self, element);
    const fs_guard *guard = &self->protect->guard;
    return word != right && brute_guard(guard, brute_widen(self, self->unhit, element, word)) !=
                                brute_guard(guard, brute_widen(self, self->unhit, element, right));
}

/* Decodes the unit [first, first + count) of row r; its values go to `out`, of the whole tensor.
 * `golden`, alike, NULL: this is the golden reading. */
static inline void brute_read_unit(const brute_tensor *self, size_t r, size_t first, size_t count,
                                   const float *golden, float *out, fs_trial_record *record,
                                   brute_noticed *noticed)
{
    const fs_coding coding = {self->protect, self->params};
    const size_t at = r * self->padded + first, padded = fs_coding_padded(self->protect, count);
    uint32_t *words = brute_room(2 * padded, sizeof *words);
    uint8_t *check = brute_room(fs_coding_check_bytes(self->protect, count), 1);
    fs_codec_report report = {0};
    uint64_t visible = 0, wrong = 0;
    memcpy(words, self->faulty + at, count * sizeof *words);
    brute_gather(self, r, first, count, check);
    fs_coding_decode(&coding, words, count, check, self->prepared + at, words + padded, &report);
    for (size_t i = 0; i < count; i++) {
        const size_t e = r * self->cols + first + i;
        assert_int_equal(words[i], self->whole[at + i]);
        const uint32_t bits =
            brute_guard(&self->protect->guard, brute_widen(self, self->scale, e, words[i]));
        out[e] = brute_float(bits);
        visible += golden != NULL && brute_bits(golden[e]) != bits;
        wrong += (uint64_t)brute_wrong(self, e, words[i]);
    }
    record->visible += visible;
    record->corrected += report.corrected;
    record->detected += report.detected;
    record->miscorrected += wrong > 0 && report.corrected > 0;
    noticed->left += report.left;
    free(words);
    free(check);
}

static inline void brute_read(brute_tensor *self, const float *golden, float *out,
                              fs_trial_record *record, brute_noticed *noticed)
{
    const fs_coding coding = {self->protect, self->params};
    const size_t unit = fs_coding_unit(self->protect, self->cols);
    const uint64_t corrected = record->corrected, detected = record->detected;
    uint32_t *scratch = brute_room(self->padded, sizeof *scratch);
    fs_codec_report report = {0};
    memcpy(self->whole, self->faulty, self->rows * self->padded * sizeof *self->whole);
    for (size_t r = 0; r < self->rows; r++)
        fs_coding_decode(&coding, self->whole + r * self->padded, self->cols,
                         self->check + r * self->check_bytes, self->prepared + r * self->padded,
                         scratch, &report);
    for (size_t r = 0; r < self->rows; r++) {
        for (size_t c = 0; c < self->cols; c += unit)
            brute_read_unit(self, r, c, self->cols - c < unit ? self->cols - c : unit, golden, out,
                            record, noticed);
    }
    assert_true(report.corrected == record->corrected - corrected);
    assert_true(report.detected == record->detected - detected);
    free(scratch);
}

/* The first faults of the list, which is sorted by tensor. */
static inline void brute_keep(brute_tensor *self, const brute_hits *hits, const float *golden,
                              const float *read, fs_trial_record *record)
{
    for (size_t i = 0; i < hits->words.count && i < FS_FAULTS_KEPT_MAX; i++) {
        const fs_fault *fault = &hits->words.items[i];
        if (fault->tensor != self->index) continue;
        record->fault[record->kept++] =
            (fs_fault_record){.tensor = fault->tensor,
                              .bit = fault->bit,
                              .kind = fault->kind,
                              .element = fault->element,
                              .before = *brute_word(self->stored, self, fault->element),
                              .after = *brute_word(self->faulty, self, fault->element),
                              .value_before = brute_bits(golden[fault->element]),
                              .value_after = brute_bits(read[fault->element])};
    }
}

/** Stores `file` through `protect`, hits it, reads all of it. Without `golden`, which is what was
 * read when nothing was hit, this is that reading. Adds to the record what faults did to words.
 * `bounds`: as in brute_store. */
static inline brute_noticed brute_store_all(const brute_values *file, const fs_protect *protect,
                                            const brute_hits *hits, const brute_values *golden,
                                            brute_params *bounds, brute_values *out,
                                            fs_trial_record *record)
{
    brute_noticed noticed = {0};
    for (uint32_t t = 0; t < file->geometry->tensor_count; t++) {
        brute_tensor tensor;
        const float *clean = golden == NULL ? NULL : golden->of[t];
        brute_store(&tensor, file->geometry, t, protect, file->of[t], bounds);
        brute_hit(&tensor, hits, record);
        brute_read(&tensor, clean, out->of[t], record, &noticed);
        if (clean != NULL) brute_keep(&tensor, hits, clean, out->of[t], record);
        brute_tensor_free(&tensor);
        for (size_t e = 0; e < brute_values_in(file->geometry, t); e++)
            noticed.altered += brute_bits(out->of[t][e]) != brute_bits(file->of[t][e]);
    }
    return noticed;
}

#endif
