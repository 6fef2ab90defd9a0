/** MessagePack for frames from outside: a bounded pre-scan, a typed cursor, and a packer.
 *
 * A frame is scanned once before anything is read from it: one pass over its bytes, no allocation,
 * a count refused as soon as it exceeds the bytes left. Reading then walks the same bytes with a
 * cursor; no tree of objects is ever built, because that is where a few bytes reserve gigabytes in
 * msgpack-c (upstream issue 1013). Packing is msgpack-c's, into a fs_buf. Texts and binaries that
 * were read point into the frame. Source: the MessagePack specification; `orchestration.md`.
 * Thread rule: one thread at a time per reader or writer. */
#ifndef FS_WIRE_H
#define FS_WIRE_H

#include <msgpack.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "status.h"

/** Checks that the bytes are exactly one MessagePack object: at most FS_MESSAGE_BYTES_MAX bytes,
 * containers nested at most FS_MSGPACK_DEPTH_MAX deep, at most FS_MSGPACK_OBJECTS_MAX objects (each
 * element, key and value is one), no object cut off, no byte left over. Says nothing about UTF-8 or
 * duplicate keys. Linear in size. Errors: FS_EPROTO saying what is wrong at which byte. */
FS_MUST_CHECK fs_status fs_wire_scan(const void *data, size_t size);

/** A cursor over one scanned frame. Plain data; the frame outlives it. */
typedef struct fs_wire_reader {
    const uint8_t *data;
    size_t size;
    size_t at;
} fs_wire_reader;

/** Scans the frame and puts the cursor at its start. Errors: as fs_wire_scan. */
FS_MUST_CHECK fs_status fs_wire_open(fs_wire_reader *out, const void *data, size_t size);

/* Each verb reads the next object if it has the type and lies within [min, max], and fails with
 * FS_EPROTO otherwise, naming `what`. Integers are read in any width that the format knows. */
FS_MUST_CHECK fs_status fs_wire_array(fs_wire_reader *self, const char *what, uint64_t min,
                                      uint64_t max, uint64_t *count);
FS_MUST_CHECK fs_status fs_wire_u64(fs_wire_reader *self, const char *what, uint64_t min,
                                    uint64_t max, uint64_t *out);
FS_MUST_CHECK fs_status fs_wire_i64(fs_wire_reader *self, const char *what, int64_t min,
                                    int64_t max, int64_t *out);
/** A float 64, any value, bit for bit. */
FS_MUST_CHECK fs_status fs_wire_f64(fs_wire_reader *self, const char *what, double *out);
/** Text of min to max bytes that is UTF-8 without NUL. */
FS_MUST_CHECK fs_status fs_wire_text(fs_wire_reader *self, const char *what, uint64_t min,
                                     uint64_t max, const char **out, size_t *size);
FS_MUST_CHECK fs_status fs_wire_bytes(fs_wire_reader *self, const char *what, uint64_t min,
                                      uint64_t max, const uint8_t **out, size_t *size);
/** Checks that everything was read. Errors: FS_EPROTO. */
FS_MUST_CHECK fs_status fs_wire_end(const fs_wire_reader *self);

/** A packer whose first failure sticks: pack a whole message, then look once. */
typedef struct fs_wire_writer {
    fs_buf *out;
    msgpack_packer packer;
    fs_status status;
} fs_wire_writer;

void fs_wire_writer_init(fs_wire_writer *self, fs_buf *out);
void fs_wire_put_array(fs_wire_writer *self, size_t count);
void fs_wire_put_u64(fs_wire_writer *self, uint64_t value);
void fs_wire_put_i64(fs_wire_writer *self, int64_t value);
void fs_wire_put_f64(fs_wire_writer *self, double value);
void fs_wire_put_text(fs_wire_writer *self, const char *text, size_t size);
void fs_wire_put_bytes(fs_wire_writer *self, const void *data, size_t size);

#endif
