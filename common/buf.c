#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fs_buf_free(fs_buf *self)
{
    free(self->data);
    *self = (fs_buf){0};
}

void fs_buf_clear(fs_buf *self)
{
    self->size = 0;
    if (self->data != NULL) self->data[0] = 0;
}

fs_status fs_buf_reserve(fs_buf *self, size_t extra)
{
    if (extra > SIZE_MAX / 2 - self->size - 1) return fs_fail(FS_ENOMEM, "buffer too large");
    size_t need = self->size + extra + 1;
    if (need <= self->capacity) return FS_OK;
    size_t capacity = self->capacity < 64 ? 64 : self->capacity;
    while (capacity < need) capacity *= 2;
    uint8_t *data = realloc(self->data, capacity);
    if (data == NULL) return fs_fail(FS_ENOMEM, "cannot grow a buffer to %zu bytes", capacity);
    data[self->size] = 0;
    self->data = data;
    self->capacity = capacity;
    return FS_OK;
}

fs_status fs_buf_append(fs_buf *self, const void *data, size_t size)
{
    FS_TRY(fs_buf_reserve(self, size));
    if (size > 0) memcpy(self->data + self->size, data, size);
    self->size += size;
    self->data[self->size] = 0;
    return FS_OK;
}

fs_status fs_buf_puts(fs_buf *self, const char *text)
{
    return fs_buf_append(self, text, strlen(text));
}

fs_status fs_buf_printf(fs_buf *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) return fs_fail(FS_EINTERNAL, "bad format");
    FS_TRY(fs_buf_reserve(self, (size_t)n));
    va_start(args, format);
    vsnprintf((char *)self->data + self->size, (size_t)n + 1, format, args);
    va_end(args);
    self->size += (size_t)n;
    return FS_OK;
}

const char *fs_buf_text(const fs_buf *self)
{
    return self->data == NULL ? "" : (const char *)self->data;
}
