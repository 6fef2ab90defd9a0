#include "csv.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "assert.h"
#include "options.h"

enum { MESSAGE_BYTES = 512 };

static const char byte_order_mark[] = "\xef\xbb\xbf";

fs_status(fs_csv_fail)(const fs_csv *self, fs_status code, const char *format, ...)
{
    char message[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return fs_fail(code, "%s:%zu: %s", self->path, self->line, message);
}

/* What is left of a line, and where its next field is written. */
typedef struct cursor {
    const char *at, *stop;
    char *to;
} cursor;

static void skip_blanks(cursor *c)
{
    while (c->at < c->stop && (*c->at == ' ' || *c->at == '\t')) c->at++;
}

static fs_status check_line(const fs_csv *self, const cursor *c)
{
    const size_t size = (size_t)(c->stop - c->at);
    if (size > FS_CSV_LINE_BYTES_MAX)
        return fs_csv_fail(self, FS_ELIMIT, "a line of %zu bytes, at most %d are allowed", size,
                           FS_CSV_LINE_BYTES_MAX);
    for (size_t i = 0; i < size; i++) {
        const unsigned char byte = (unsigned char)c->at[i];
        if ((byte < 0x20 && byte != '\t') || byte >= 0x7f)
            return fs_csv_fail(self, FS_EFORMAT, "byte 0x%02x is not printable ASCII", byte);
    }
    return FS_OK;
}

/* Finds the next line that says something; `more` is zero if there is none. */
static fs_status next_line(fs_csv *self, cursor *out, int *more)
{
    *more = 0;
    while (!*more && self->next < self->end) {
        const char *stop = memchr(self->next, '\n', (size_t)(self->end - self->next));
        *out = (cursor){self->next, stop == NULL ? self->end : stop, self->room};
        self->next = stop == NULL ? self->end : stop + 1;
        self->line++;
        if (out->stop > out->at && out->stop[-1] == '\r') out->stop--;
        cursor text = *out;
        skip_blanks(&text);
        *more = text.at < text.stop && *out->at != '#';
    }
    return *more ? check_line(self, out) : FS_OK;
}

static fs_status quoted_field(const fs_csv *self, cursor *c)
{
    int open = 1;
    for (c->at++; open && c->at < c->stop; c->at++) {
        if (*c->at != '"')
            *c->to++ = *c->at;
        else if (c->at + 1 < c->stop && c->at[1] == '"')
            *c->to++ = *++c->at;
        else
            open = 0;
    }
    if (open) return fs_csv_fail(self, FS_EFORMAT, "a quote is not closed");
    skip_blanks(c);
    if (c->at < c->stop && *c->at != ',')
        return fs_csv_fail(self, FS_EFORMAT, "text behind a closing quote");
    return FS_OK;
}

static fs_status plain_field(const fs_csv *self, cursor *c)
{
    const char *first = c->to;
    for (; c->at < c->stop && *c->at != ','; c->at++) {
        if (*c->at == '"')
            return fs_csv_fail(self, FS_EFORMAT, "a quote inside of a field without quotes");
        *c->to++ = *c->at;
    }
    while (c->to > first && (c->to[-1] == ' ' || c->to[-1] == '\t')) c->to--;
    return FS_OK;
}

/* Cuts a line into fields. A field and its NUL take no more room than the field and its comma. */
static fs_status split(const fs_csv *self, cursor *c, const char *fields[FS_CSV_COLUMNS_MAX],
                       size_t *count)
{
    for (*count = 0;; c->at++) {
        if (*count == FS_CSV_COLUMNS_MAX)
            return fs_csv_fail(self, FS_EFORMAT, "more than %d fields", FS_CSV_COLUMNS_MAX);
        skip_blanks(c);
        fields[(*count)++] = c->to;
        const int quoted = c->at < c->stop && *c->at == '"';
        FS_TRY(quoted ? quoted_field(self, c) : plain_field(self, c));
        *c->to++ = '\0';
        if (c->at == c->stop) return FS_OK;
    }
}

static const char *column_name(const void *columns, size_t i)
{
    return ((const fs_csv_column *)columns)[i].name;
}

static fs_status fail_unknown(const fs_csv *self, const char *name)
{
    const char *near = fs_options_nearest(name, column_name, self->columns);
    char all[MESSAGE_BYTES / 2] = "";
    for (size_t i = 0, used = 0; i < self->column_count && used < sizeof all; i++) {
        const int n = snprintf(all + used, sizeof all - used, "%s%s", i == 0 ? "" : ", ",
                               self->columns[i].name);
        used += (size_t)n;
    }
    if (near != NULL)
        return fs_csv_fail(self, FS_EFORMAT,
                           "column '%.60s' is unknown (did you mean '%s'?); known: %s", name, near,
                           all);
    return fs_csv_fail(self, FS_EFORMAT, "column '%.60s' is unknown; known: %s", name, all);
}

static fs_status read_header(fs_csv *self)
{
    const char *fields[FS_CSV_COLUMNS_MAX];
    uint32_t seen = 0;
    cursor c;
    int more;
    FS_TRY(next_line(self, &c, &more));
    if (!more) return fs_fail(FS_EFORMAT, "%s: has no header line", self->path);
    FS_TRY(split(self, &c, fields, &self->header_count));
    for (size_t i = 0; i < self->header_count; i++) {
        size_t column = 0;
        while (column < self->column_count && strcmp(self->columns[column].name, fields[i]) != 0)
            column++;
        if (column == self->column_count) return fail_unknown(self, fields[i]);
        if (seen >> column & 1)
            return fs_csv_fail(self, FS_EFORMAT, "column '%s' is given twice", fields[i]);
        seen |= (uint32_t)1 << column;
        self->column_of[i] = (uint8_t)column;
    }
    for (size_t i = 0; i < self->column_count; i++)
        if (self->columns[i].required && !(seen >> i & 1))
            return fs_csv_fail(self, FS_EFORMAT, "column '%s' is missing", self->columns[i].name);
    return FS_OK;
}

fs_status fs_csv_open(fs_csv *out, const char *path, const void *text, size_t size,
                      const fs_csv_column *columns)
{
    if (size == 0) return fs_fail(FS_EFORMAT, "%s: has no header line", path);
    const char *start = text;
    *out = (fs_csv){.path = path, .next = start, .end = start + size, .columns = columns};
    while (columns[out->column_count].name != NULL) out->column_count++;
    FS_ASSERT(out->column_count <= FS_CSV_COLUMNS_MAX);
    const char *nul = memchr(start, '\0', size);
    if (nul != NULL) {
        out->line = 1;
        for (const char *p = start; p < nul; p++) out->line += *p == '\n';
        return fs_csv_fail(out, FS_EFORMAT, "a NUL byte");
    }
    const size_t mark = sizeof byte_order_mark - 1;
    if (size >= mark && memcmp(start, byte_order_mark, mark) == 0) out->next += mark;
    return read_header(out);
}

fs_status fs_csv_next(fs_csv *self, int *more)
{
    const char *fields[FS_CSV_COLUMNS_MAX];
    size_t count;
    cursor c;
    FS_TRY(next_line(self, &c, more));
    if (!*more) return FS_OK;
    FS_TRY(split(self, &c, fields, &count));
    if (count != self->header_count)
        return fs_csv_fail(self, FS_EFORMAT, "%zu fields under a header of %zu", count,
                           self->header_count);
    for (size_t i = 0; i < count; i++) self->field[self->column_of[i]] = fields[i];
    return FS_OK;
}

fs_status fs_csv_parse(const fs_csv *self, const char *what, const char *text, int hex,
                       uint64_t most, uint64_t *out)
{
    const char *digits = text;
    unsigned base = 10;
    uint64_t value = 0;
    int fits = 1;
    if (hex && digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X')) {
        digits += 2;
        base = 16;
    }
    if (*digits == '\0')
        return fs_csv_fail(self, FS_EFORMAT, text == digits ? "%s is empty" : "%s has no digits",
                           what);
    for (const char *p = digits; *p != '\0'; p++) {
        static const char known[] = "0123456789abcdefABCDEF";
        const char *found = strchr(known, *p);
        unsigned digit = found == NULL ? base : (unsigned)(found - known);
        if (digit >= 16) digit -= 6;
        if (found == NULL || digit >= base)
            return fs_csv_fail(self, FS_EFORMAT, "%s '%.60s' is not a whole number", what, text);
        fits &= value <= (most - digit) / base && digit <= most;
        if (fits) value = value * base + digit;
    }
    if (!fits)
        return fs_csv_fail(self, FS_EFORMAT, "%s %.60s is beyond %" PRIu64, what, text, most);
    *out = value;
    return FS_OK;
}
