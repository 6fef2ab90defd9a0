#include "report_columns.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "report_text.h"

typedef struct column {
    const char *name;
    fs_buf values;
    fs_buf flags; /* one byte a value */
    int flagged;
} column;

struct report_columns {
    column columns[REPORT_COLUMNS_MAX];
    size_t count;
    size_t next; /* where the next value most likely goes */
    size_t rows;
    fs_status status;
};

fs_status report_columns_new(report_columns **out)
{
    *out = calloc(1, sizeof **out);
    return *out != NULL ? FS_OK : fs_fail(FS_ENOMEM, "no memory for the report's columns");
}

void report_columns_destroy(report_columns **self)
{
    if (*self == NULL) return;
    for (size_t i = 0; i < (*self)->count; i++) {
        fs_buf_free(&(*self)->columns[i].values);
        fs_buf_free(&(*self)->columns[i].flags);
    }
    free(*self);
    *self = NULL;
}

/* Rows are filled in the same order, so the column is nearly always the one after the last. */
static column *find(report_columns *self, const char *name)
{
    for (size_t i = 0; i < self->count; i++) {
        size_t at = (self->next + i) % self->count;
        if (strcmp(self->columns[at].name, name) != 0) continue;
        self->next = (at + 1) % self->count;
        return &self->columns[at];
    }
    FS_ASSERT(self->count < REPORT_COLUMNS_MAX);
    self->columns[self->count].name = name;
    self->next = 0;
    return &self->columns[self->count++];
}

void report_columns_declare(report_columns *self, const char *name)
{
    find(self, name);
}

static void keep(report_columns *self, fs_status status)
{
    if (self->status == FS_OK) self->status = status;
}

static column *next_value(report_columns *self, const char *name, char flag)
{
    column *c = find(self, name);
    if (c->values.size > 0) keep(self, fs_buf_puts(&c->values, ","));
    keep(self, fs_buf_append(&c->flags, &flag, 1));
    c->flagged |= flag != '0';
    return c;
}

void report_columns_number(report_columns *self, const char *name, double value)
{
    char flag = isfinite(value) ? '0' : isnan(value) ? '1' : value > 0 ? '2' : '3';
    column *c = next_value(self, name, flag);
    keep(self, report_json_number(&c->values, value));
}

void report_columns_text(report_columns *self, const char *name, const char *text)
{
    column *c = next_value(self, name, '0');
    keep(self, report_json_string(&c->values, text, strlen(text)));
}

void report_columns_row(report_columns *self)
{
    self->rows++;
}

static fs_status write_flags(const column *c, fs_buf *out)
{
    FS_TRY(fs_buf_printf(out, ",\"%s_flag\":[", c->name));
    for (size_t i = 0; i < c->flags.size; i++) {
        FS_TRY(fs_buf_printf(out, i > 0 ? ",%c" : "%c", c->flags.data[i]));
    }
    return fs_buf_puts(out, "]");
}

fs_status report_columns_write(const report_columns *self, fs_buf *out)
{
    if (self->status != FS_OK) return self->status;
    FS_TRY(fs_buf_printf(out, "{\"n\":%zu,\"cols\":{", self->rows));
    for (size_t i = 0; i < self->count; i++) {
        const column *c = &self->columns[i];
        if (c->flags.size != self->rows) {
            return fs_fail(FS_EINTERNAL, "report column %s has %zu values in %zu rows", c->name,
                           c->flags.size, self->rows);
        }
        FS_TRY(fs_buf_printf(out, "%s\"%s\":[", i > 0 ? "," : "", c->name));
        FS_TRY(fs_buf_append(out, c->values.data, c->values.size));
        FS_TRY(fs_buf_puts(out, "]"));
        if (c->flagged) FS_TRY(write_flags(c, out));
    }
    return fs_buf_puts(out, "}}");
}

size_t report_columns_rows(const report_columns *self)
{
    return self->rows;
}
