/** A table in a text file: comma-separated values under a header line, row by row.
 *
 * Columns come in any order; a field may stand in double quotes, a quote in it written twice. Blank
 * lines and lines whose first character is '#' are skipped, LF and CR LF end a line, a byte order
 * mark at the start is passed over, blanks around a field do not belong to it. Fields are printable
 * ASCII, so that messages can show them; comments may hold anything but NUL. Every error names file
 * and line. Source: RFC 4180, without line breaks inside of quotes. Thread rule: one thread at a
 * time. */
#ifndef FS_CSV_H
#define FS_CSV_H

#include <stddef.h>
#include <stdint.h>

#include "limits.h"
#include "status.h"

enum { FS_CSV_COLUMNS_MAX = 16 };

/** A column that a table may have. */
typedef struct fs_csv_column {
    const char *name; /* NULL ends the table */
    int required;
} fs_csv_column;

/** A table while it is read. Plain data; borrows the text. */
typedef struct fs_csv {
    const char *path;
    const char *next, *end; /* what is left of the text */
    size_t line;            /* of the row that was read last, from 1 */
    const fs_csv_column *columns;
    size_t column_count;
    size_t header_count;                       /* fields of a row */
    uint8_t column_of[FS_CSV_COLUMNS_MAX];     /* of each field of a row */
    const char *field[FS_CSV_COLUMNS_MAX + 1]; /* of the row by column, NULL: the file has no such
                                                  column; borrowed until the next row */
    char room[FS_CSV_LINE_BYTES_MAX + 1];      /* its fields, each with its NUL */
} fs_csv;

/** Reads the header line. `path` is for messages; path, text and columns outlive the table.
 * Errors: FS_EFORMAT for a NUL byte anywhere, a missing header, a column that is unknown (with the
 * nearest known one), given twice or missing; FS_ELIMIT for a line beyond FS_CSV_LINE_BYTES_MAX. */
FS_MUST_CHECK fs_status fs_csv_open(fs_csv *out, const char *path, const void *text, size_t size,
                                    const fs_csv_column *columns);
/** Reads the next row. @param more  zero: there is none
 * Errors: FS_EFORMAT for another number of fields, a quote out of place, a byte that is not
 * printable ASCII; FS_ELIMIT. */
FS_MUST_CHECK fs_status fs_csv_next(fs_csv *self, int *more);
/** Records "FILE:LINE: message" of the row that was read last and returns `code`. */
fs_status fs_csv_fail(const fs_csv *self, fs_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#if defined(__clang_analyzer__) /* as in status.h */
#define fs_csv_fail(self, code, ...) ((void)(fs_csv_fail)((self), (code), __VA_ARGS__), (code))
#endif
/** Reads a whole number 0..most, in decimal digits or, if `hex` allows, after 0x in hexadecimal
 * ones. `what` names it in messages. Errors: FS_EFORMAT. */
FS_MUST_CHECK fs_status fs_csv_parse(const fs_csv *self, const char *what, const char *text,
                                     int hex, uint64_t most, uint64_t *out);

#endif
