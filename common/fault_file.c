#include "fault_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "address_map.h"
#include "assert.h"
#include "campaign.h"
#include "csv.h"
#include "file.h"
#include "grow.h"
#include "options.h"
#include "quantise.h"

enum { COLUMN_BIT, COLUMN_KIND, COLUMN_TRIAL, COLUMN_TENSOR, COLUMN_INDEX, COLUMN_CODE };
enum { COLUMN_ADDRESS = COLUMN_TENSOR };

static const fs_csv_column list_columns[] = {{"bit", 1},   {"kind", 0}, {"trial", 0}, {"tensor", 1},
                                             {"index", 1}, {"code", 0}, {NULL, 0}};
static const fs_csv_column log_columns[] = {
    {"bit", 1}, {"kind", 0}, {"trial", 0}, {"address", 1}, {NULL, 0}};

enum { CODE_WORD = 0, CODE_SCALE = 255 };

static const char scale_name[] = "scale";

/* A row that was understood. */
typedef struct row {
    uint64_t element;
    uint32_t trial;
    uint32_t tensor;
    uint32_t line;
    uint16_t slice;
    uint8_t bit;
    uint8_t kind;
    uint8_t code; /* CODE_WORD, CODE_SCALE, or 1 + index of fs_codec_at */
} row;

/* The files while they are read. */
typedef struct reading {
    const fs_fault_source *source;
    const fs_geometry *geometry; /* NULL: what needs a model is not looked at */
    const fs_format *format;
    fs_codec_set codecs;
    fs_address_map *map;
    fs_csv csv;
    row *rows;
    size_t count, capacity;
    uint64_t faults, outside, repeated;
    fs_codec_set codes;
    uint8_t *seen;        /* [FS_LIST_FAULTS_MAX / 8] bit i: a row is of trial i */
    uint64_t trials;      /* one more than the highest */
    size_t trials_line;   /* where the highest was met */
    uint32_t tensor_hint; /* of the row before: lists are mostly in order */
    uint32_t slice_hint;
} reading;

static uint8_t code_of(const fs_codec *codec)
{
    unsigned i = 0;
    while (fs_codec_at(i) != codec) i++;
    FS_ASSERT(i < 63);
    return (uint8_t)(1 + i);
}

static fs_codec_set set_of(uint8_t code)
{
    FS_ASSERT(code != CODE_WORD);
    return code == CODE_SCALE ? FS_CODEC_SET_SCALES : (fs_codec_set)1 << (code - 1);
}

fs_codec_set fs_codec_set_of(const fs_protect *protect)
{
    fs_codec_set set = protect->format == FS_FORMAT_INT8 ? FS_CODEC_SET_SCALES : 0;
    for (unsigned i = 0; i < protect->codec_count; i++)
        if (protect->codecs[i]->check_bits > 0) set |= set_of(code_of(protect->codecs[i]));
    return set;
}

const char *fs_codec_set_name(fs_codec_set set)
{
    const unsigned first = (unsigned)__builtin_ctzll(set);
    return set == FS_CODEC_SET_SCALES ? scale_name : fs_codec_at(first)->name;
}

/* --- One row ---------------------------------------------------------------------------------- */

static fs_status read_kind(const fs_csv *csv, row *out)
{
    const char *word = csv->field[COLUMN_KIND];
    if (word == NULL || word[0] == '\0') return FS_OK;
    for (int kind = FS_FAULT_FLIP; kind <= FS_FAULT_STUCK1; kind++) {
        out->kind = (uint8_t)kind;
        if (strcmp(word, fs_fault_kind_name((fs_fault_kind)kind)) == 0) return FS_OK;
    }
    return fs_csv_fail(csv, FS_EFORMAT, "kind '%.60s' is none of flip, stuck0, stuck1", word);
}

static fs_status read_trial(reading *self, row *out)
{
    const fs_csv *csv = &self->csv;
    uint64_t trial = 0;
    if (csv->field[COLUMN_TRIAL] != NULL)
        FS_TRY(fs_csv_parse(csv, "trial", csv->field[COLUMN_TRIAL], 0, FS_LIST_FAULTS_MAX - 1,
                            &trial));
    out->trial = (uint32_t)trial;
    self->seen[trial / 8] |= (uint8_t)(1u << (trial % 8));
    if (trial < self->trials) return FS_OK;
    self->trials = trial + 1;
    self->trials_line = csv->line;
    return FS_OK;
}

static const char *code_name(const void *context, size_t i)
{
    (void)context;
    if (i == 0) return scale_name;
    const fs_codec *codec = fs_codec_at((unsigned)i - 1);
    return codec == NULL ? NULL : codec->name;
}

static fs_status fail_code(const fs_csv *csv, const char *name)
{
    const char *near = fs_options_nearest(name, code_name, NULL);
    if (near == NULL) return fs_csv_fail(csv, FS_EFORMAT, "code '%.60s' is unknown", name);
    return fs_csv_fail(csv, FS_EFORMAT, "code '%.60s' is unknown (did you mean '%s'?)", name, near);
}

static fs_status read_code(reading *self, row *out)
{
    const fs_csv *csv = &self->csv;
    const char *name = csv->field[COLUMN_CODE];
    unsigned bits = FS_SCALE_BITS;
    if (name == NULL || name[0] == '\0') return FS_OK;
    if (strcmp(name, scale_name) == 0) {
        out->code = CODE_SCALE;
    } else {
        const fs_codec *codec = fs_codec_find(name);
        if (codec == NULL) return fail_code(csv, name);
        bits = codec->check_bits;
        out->code = code_of(codec);
    }
    if (bits == 0)
        return fs_csv_fail(csv, FS_EFORMAT, "code %s keeps no bits beside the words", name);
    if (out->bit >= bits)
        return fs_csv_fail(csv, FS_EFORMAT, "bit %u: those of a %s are 0 to %u", out->bit, name,
                           bits - 1);
    self->codes |= set_of(out->code);
    return FS_OK;
}

static fs_status find_tensor(reading *self, const char *name, uint32_t *out)
{
    *out = self->tensor_hint;
    if (strcmp(self->geometry->tensors[*out].name, name) == 0) return FS_OK;
    if (fs_geometry_find(self->geometry, name, out) != FS_OK)
        return fs_wrap(FS_EFORMAT, "%s:%zu", self->csv.path, self->csv.line);
    self->tensor_hint = *out;
    return FS_OK;
}

/* "row:col", or the number of the value. */
static fs_status read_index(reading *self, row *out)
{
    const fs_csv *csv = &self->csv;
    char first[FS_CSV_LINE_BYTES_MAX + 1];
    const char *text = csv->field[COLUMN_INDEX], *colon = strchr(text, ':');
    uint64_t at = 0, col = 0;
    if (colon != NULL) {
        memcpy(first, text, (size_t)(colon - text));
        first[colon - text] = '\0';
        FS_TRY(fs_csv_parse(csv, "index's row", first, 0, UINT32_MAX, &at));
        FS_TRY(fs_csv_parse(csv, "index's column", colon + 1, 0, UINT32_MAX, &col));
    } else {
        FS_TRY(fs_csv_parse(csv, "index", text, 0, UINT64_MAX, &at));
    }
    if (self->geometry == NULL) return FS_OK;
    const fs_tensor *tensor = &self->geometry->tensors[out->tensor];
    const uint64_t values = (uint64_t)tensor->rows * tensor->cols;
    if (colon != NULL ? at >= tensor->rows || col >= tensor->cols : at >= values)
        return fs_csv_fail(csv, FS_EFORMAT, "index %.60s: tensor %s has %u rows of %u values", text,
                           tensor->name, tensor->rows, tensor->cols);
    out->element = colon != NULL ? at * tensor->cols + col : at;
    return FS_OK;
}

/* @return nonzero if the value begins a codeword or channel, or no arm asks about it. */
static int is_first(const reading *self, const row *r)
{
    const size_t cols = self->geometry->tensors[r->tensor].cols;
    if (!(self->codecs & set_of(r->code))) return 1;
    if (r->code != CODE_SCALE)
        return r->element % cols % fs_codec_words(fs_codec_at(r->code - 1u), self->format, cols) ==
               0;
    const int by_column = fs_channels_of(self->geometry, r->tensor) == FS_CHANNELS_COLUMNS;
    return by_column ? r->element < cols : r->element % cols == 0;
}

static fs_status read_site(reading *self, row *out)
{
    const fs_csv *csv = &self->csv;
    FS_TRY(read_code(self, out));
    if (self->geometry != NULL)
        FS_TRY(find_tensor(self, csv->field[COLUMN_TENSOR], &out->tensor));
    else if (csv->field[COLUMN_TENSOR][0] == '\0')
        return fs_csv_fail(csv, FS_EFORMAT, "tensor is empty");
    FS_TRY(read_index(self, out));
    if (self->geometry == NULL) return FS_OK;
    if (out->code == CODE_WORD && out->bit >= self->format->bits)
        return fs_csv_fail(csv, FS_EFORMAT, "bit %u: words of %s have bits 0 to %u", out->bit,
                           self->format->name, self->format->bits - 1);
    if (out->code != CODE_WORD && !is_first(self, out))
        return fs_csv_fail(csv, FS_EFORMAT, "index %.60s is not the first value that a %s is of",
                           csv->field[COLUMN_INDEX], csv->field[COLUMN_CODE]);
    return FS_OK;
}

/* @param inside  zero: the address lies in no tensor */
static fs_status read_address(reading *self, row *out, int *inside)
{
    const fs_csv *csv = &self->csv;
    uint64_t address;
    unsigned byte;
    FS_TRY(fs_csv_parse(csv, "address", csv->field[COLUMN_ADDRESS], 1, UINT64_MAX, &address));
    if (self->geometry == NULL) return FS_OK;
    *inside = fs_address_map_find(self->map, address, &out->tensor, &out->element, &byte);
    if (*inside) out->bit = (uint8_t)(out->bit + 8 * byte);
    self->outside += !*inside;
    return FS_OK;
}

static fs_status keep(reading *self, row *r)
{
    const fs_slice *slice = &self->geometry->slices[self->slice_hint];
    const uint64_t col = r->element % self->geometry->tensors[r->tensor].cols;
    if (slice->tensor != r->tensor || col < slice->col_first ||
        col >= (uint64_t)slice->col_first + slice->cols)
        self->slice_hint = fs_geometry_slice(self->geometry, r->tensor, r->element);
    r->slice = (uint16_t)self->slice_hint;
    row *rows = fs_grow(self->rows, self->count, &self->capacity, sizeof *rows);
    if (rows == NULL) return fs_fail(FS_ENOMEM, "no memory for more faults");
    self->rows = rows;
    self->rows[self->count++] = *r;
    return FS_OK;
}

static fs_status read_row(reading *self)
{
    const fs_csv *csv = &self->csv;
    const int is_log = self->source->map[0] != '\0';
    row r = {.line = (uint32_t)csv->line};
    uint64_t bit;
    int inside = 1;
    if (self->faults == FS_LIST_FAULTS_MAX)
        return fs_csv_fail(csv, FS_ELIMIT, "more than %d faults", FS_LIST_FAULTS_MAX);
    self->faults++;
    FS_TRY(fs_csv_parse(csv, "bit", csv->field[COLUMN_BIT], 0, is_log ? 7 : FS_CHECK_BITS_MAX - 1,
                        &bit));
    r.bit = (uint8_t)bit;
    FS_TRY(read_kind(csv, &r));
    FS_TRY(read_trial(self, &r));
    FS_TRY(is_log ? read_address(self, &r, &inside) : read_site(self, &r));
    if (self->geometry == NULL || !inside) return FS_OK;
    return keep(self, &r);
}

/* --- The whole file --------------------------------------------------------------------------- */

static fs_status check_trials(const reading *self)
{
    for (uint64_t t = 0; t < self->trials; t++)
        if (!(self->seen[t / 8] >> (t % 8) & 1))
            return fs_fail(FS_EFORMAT,
                           "%s:%zu: trial %" PRIu64 ", but no row is of trial %" PRIu64
                           ": trials are numbered without gaps",
                           self->csv.path, self->trials_line, self->trials - 1, t);
    return FS_OK;
}

static fs_status read_rows(reading *self, const fs_buf *text)
{
    const int is_log = self->source->map[0] != '\0';
    int more;
    self->seen = calloc(FS_LIST_FAULTS_MAX / 8, 1);
    if (self->seen == NULL) return fs_fail(FS_ENOMEM, "no memory for a fault list");
    FS_TRY(fs_csv_open(&self->csv, self->source->file, text->data, text->size,
                       is_log ? log_columns : list_columns));
    for (;;) {
        FS_TRY(fs_csv_next(&self->csv, &more));
        if (!more) break;
        FS_TRY(read_row(self));
    }
    if (self->faults == 0) return fs_fail(FS_EFORMAT, "%s: holds no fault", self->source->file);
    FS_TRY(check_trials(self));
    if (self->outside < self->faults) return FS_OK;
    return fs_fail(FS_EFORMAT, "%s: none of %" PRIu64 " addresses lies in a tensor of %s",
                   self->source->file, self->faults, self->source->map);
}

static fs_status read_file(fs_buf *text, fs_hash *hash, const char *path)
{
    FS_TRY(fs_file_read(text, path, FS_LIST_BYTES_MAX));
    fs_hash_bytes(hash, text->data, text->size);
    return FS_OK;
}

/* Reads a file that must be what it was. */
static fs_status read_known(fs_buf *text, const char *path, const fs_hash *known)
{
    char now[FS_HASH_HEX_BYTES], before[FS_HASH_HEX_BYTES];
    fs_hash hash;
    FS_TRY(read_file(text, &hash, path));
    if (fs_hash_equal(&hash, known)) return FS_OK;
    fs_hash_hex(&hash, now);
    fs_hash_hex(known, before);
    return fs_fail(FS_EREFUSED, "%s: not the file that the campaign names: its hash is %s, was %s",
                   path, now, before);
}

static void reading_free(reading *self)
{
    fs_address_map_destroy(&self->map);
    free(self->rows);
    free(self->seen);
}

static fs_status survey(fs_fault_source *io, fs_buf *text)
{
    reading r = {.source = io};
    if (io->map[0] != '\0') FS_TRY(read_file(text, &io->map_hash, io->map));
    FS_TRY(read_file(text, &io->file_hash, io->file));
    fs_status status = read_rows(&r, text);
    io->faults = r.faults;
    io->trials = r.trials;
    reading_free(&r);
    return status;
}

fs_status fs_fault_source_read(fs_fault_source *io)
{
    fs_buf text = {0};
    fs_status status = survey(io, &text);
    fs_buf_free(&text);
    return status;
}

/* --- Faults in order -------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const row *x = a, *y = b;
    if (x->trial != y->trial) return x->trial < y->trial ? -1 : 1;
    if (x->tensor != y->tensor) return x->tensor < y->tensor ? -1 : 1;
    if (x->element != y->element) return x->element < y->element ? -1 : 1;
    if (x->code != y->code) return x->code < y->code ? -1 : 1;
    if (x->bit != y->bit) return x->bit < y->bit ? -1 : 1;
    return (x->line > y->line) - (x->line < y->line);
}

static int same_bit(const row *a, const row *b)
{
    return a->trial == b->trial && a->tensor == b->tensor && a->element == b->element &&
           a->code == b->code && a->bit == b->bit;
}

/* A log tells of one bad cell whenever it is read, so equal rows are one fault; in a list they are
 * a mistake. */
static fs_status sort_rows(reading *self)
{
    const int is_log = self->source->map[0] != '\0';
    size_t kept = 0;
    if (self->count > 1) qsort(self->rows, self->count, sizeof *self->rows, compare);
    for (size_t i = 0; i < self->count; i++) {
        const row *a = kept > 0 ? &self->rows[kept - 1] : NULL, *b = &self->rows[i];
        if (a == NULL || !same_bit(a, b))
            self->rows[kept++] = *b;
        else if (!is_log || a->kind != b->kind)
            return fs_fail(FS_EFORMAT, "%s:%u: hits the same bit as line %u%s", self->csv.path,
                           b->line, a->line, is_log ? " in another way" : "");
    }
    self->repeated = self->count - kept;
    self->count = kept;
    return FS_OK;
}

static fs_fault fault_of(const row *r)
{
    return (fs_fault){.tensor = r->tensor,
                      .bit = r->bit,
                      .kind = r->kind,
                      .slice = r->slice,
                      .element = r->element};
}

static fs_check_fault check_fault_of(const row *r)
{
    return (fs_check_fault){.tensor = r->tensor,
                            .slice = r->slice,
                            .codec =
                                r->code == CODE_SCALE ? FS_CHECK_SCALE : (uint8_t)(r->code - 1),
                            .bit = r->bit,
                            .kind = r->kind,
                            .element = r->element};
}

/* Rows are in the order of both lists. */
static fs_status fill(fs_fault_file *self, const reading *from)
{
    size_t faults = 0, checks = 0;
    uint64_t trial = 0;
    for (size_t i = 0; i < from->count; i++) checks += from->rows[i].code != CODE_WORD;
    self->trials = from->trials;
    self->outside = from->outside;
    self->repeated = from->repeated;
    self->codes = from->codes;
    self->faults = calloc(from->count - checks + 1, sizeof *self->faults);
    self->checks = calloc(checks + 1, sizeof *self->checks);
    self->first = calloc(from->trials + 1, sizeof *self->first);
    self->check_first = calloc(from->trials + 1, sizeof *self->check_first);
    if (!self->faults || !self->checks || !self->first || !self->check_first)
        return fs_fail(FS_ENOMEM, "no memory for %zu faults", from->count);
    checks = 0;
    for (size_t i = 0; i <= from->count; i++) {
        const row *r = i < from->count ? &from->rows[i] : NULL;
        while (trial < (r != NULL ? r->trial : from->trials)) {
            trial++;
            self->first[trial] = faults;
            self->check_first[trial] = checks;
        }
        if (r != NULL && r->code == CODE_WORD)
            self->faults[faults++] = fault_of(r);
        else if (r != NULL && (from->codecs & set_of(r->code)) != 0)
            self->checks[checks++] = check_fault_of(r);
    }
    return FS_OK;
}

static fs_status read_all(fs_fault_file *out, reading *self, fs_buf *text)
{
    const fs_fault_source *source = self->source;
    if (source->map[0] != '\0') {
        FS_TRY(read_known(text, source->map, &source->map_hash));
        FS_TRY(fs_address_map_new(&self->map, source->map, text->data, text->size, self->geometry,
                                  self->format));
    }
    FS_TRY(read_known(text, source->file, &source->file_hash));
    FS_TRY(read_rows(self, text));
    fs_buf_free(text); /* may be large, and is not needed any more */
    FS_TRY(sort_rows(self));
    return fill(out, self);
}

fs_status fs_fault_file_new(fs_fault_file **out, const fs_fault_source *source,
                            const fs_geometry *geometry, const fs_format *format,
                            fs_codec_set codecs)
{
    reading r = {.source = source, .geometry = geometry, .format = format, .codecs = codecs};
    fs_buf text = {0};
    *out = NULL;
    fs_fault_file *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a fault list");
    fs_status status = read_all(self, &r, &text);
    fs_buf_free(&text);
    reading_free(&r);
    if (status != FS_OK)
        fs_fault_file_destroy(&self);
    else
        *out = self;
    return status;
}

void fs_fault_file_destroy(fs_fault_file **self)
{
    fs_fault_file *f = *self;
    if (f == NULL) return;
    free(f->faults);
    free(f->first);
    free(f->checks);
    free(f->check_first);
    free(f);
    *self = NULL;
}
