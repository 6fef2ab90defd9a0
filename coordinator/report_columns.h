/** A table as columns of JSON: {"n": rows, "cols": {"name": [...], ...}}.
 *
 * Columns pack far better than rows. A number that is not finite is null, and a column NAME_flag
 * says which it was (1 NaN, 2 Inf, 3 -Inf; 0 elsewhere); it exists only if the column needs it.
 * Failures are kept and returned by the write, so that filling a row needs no checks.
 * Thread rule: one thread at a time. */
#ifndef REPORT_COLUMNS_H
#define REPORT_COLUMNS_H

#include <stddef.h>

#include "buf.h"
#include "stats.h"
#include "status.h"

typedef struct report_columns report_columns;

enum { REPORT_COLUMNS_MAX = 80 };

FS_MUST_CHECK fs_status report_columns_new(report_columns **out);
void report_columns_destroy(report_columns **self);

/** Declares a column that even an empty table has; in any order, before or after its first value.
 * The functions below declare it too. `name` is borrowed: it must outlive the table. */
void report_columns_declare(report_columns *self, const char *name);
void report_columns_number(report_columns *self, const char *name, double value);
void report_columns_text(report_columns *self, const char *name, const char *text);
/** Ends a row: every column must have got one value. */
void report_columns_row(report_columns *self);

/** Appends the JSON. Errors: FS_ENOMEM, FS_EINTERNAL for columns of unequal length. */
FS_MUST_CHECK fs_status report_columns_write(const report_columns *self, fs_buf *out);
size_t report_columns_rows(const report_columns *self);

#endif
