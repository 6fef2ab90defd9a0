/** A growable byte buffer; also builds text.
 *
 * A zeroed fs_buf is empty and valid. A failed append leaves the buffer as it was and returns
 * FS_ENOMEM. Thread rule: one thread at a time. */
#ifndef FS_BUF_H
#define FS_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

typedef struct fs_buf {
    uint8_t *data; /* NULL while empty; always followed by a NUL byte that is not counted */
    size_t size;
    size_t capacity;
} fs_buf;

/** Frees the memory and empties the buffer; idempotent. */
void fs_buf_free(fs_buf *self);
/** Empties the buffer and keeps its memory. */
void fs_buf_clear(fs_buf *self);
/** Makes room for `extra` more bytes. */
FS_MUST_CHECK fs_status fs_buf_reserve(fs_buf *self, size_t extra);
FS_MUST_CHECK fs_status fs_buf_append(fs_buf *self, const void *data, size_t size);
FS_MUST_CHECK fs_status fs_buf_puts(fs_buf *self, const char *text);
FS_MUST_CHECK fs_status fs_buf_printf(fs_buf *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** @return the contents as a C string, "" while empty; borrowed until the next change. */
const char *fs_buf_text(const fs_buf *self);

#endif
