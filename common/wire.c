#include "wire.h"

#include <string.h>

#include "assert.h"
#include "limits.h"
#include "utf8.h"

/** What a first byte announces: a class, and where its length or value lies. */
typedef enum wire_class {
    WIRE_BAD,
    WIRE_NIL,
    WIRE_BOOL,
    WIRE_UINT,
    WIRE_SINT,
    WIRE_FLOAT,
    WIRE_TEXT,
    WIRE_BYTES,
    WIRE_ARRAY,
    WIRE_MAP,
    WIRE_EXT
} wire_class;

/** One object's head, decoded. */
typedef struct wire_head {
    wire_class class;
    uint64_t value; /* of an integer (two's complement), the bits of a float, bytes of a payload,
                       elements of an array, pairs of a map */
    size_t head_bytes;
} wire_head;

/* How 0xc0 .. 0xdf are laid out: class, bytes of the value or length field, bytes that an
 * extension's type takes, and a fixed payload where the format has one. */
static const struct {
    uint8_t class;
    uint8_t field_bytes;
    uint8_t type_bytes;
    uint8_t payload_bytes;
} wire_table[32] = {
    [0x00] = {WIRE_NIL, 0, 0, 0},   [0x01] = {WIRE_BAD, 0, 0, 0},   [0x02] = {WIRE_BOOL, 0, 0, 0},
    [0x03] = {WIRE_BOOL, 0, 0, 0},  [0x04] = {WIRE_BYTES, 1, 0, 0}, [0x05] = {WIRE_BYTES, 2, 0, 0},
    [0x06] = {WIRE_BYTES, 4, 0, 0}, [0x07] = {WIRE_EXT, 1, 1, 0},   [0x08] = {WIRE_EXT, 2, 1, 0},
    [0x09] = {WIRE_EXT, 4, 1, 0},   [0x0a] = {WIRE_FLOAT, 4, 0, 0}, [0x0b] = {WIRE_FLOAT, 8, 0, 0},
    [0x0c] = {WIRE_UINT, 1, 0, 0},  [0x0d] = {WIRE_UINT, 2, 0, 0},  [0x0e] = {WIRE_UINT, 4, 0, 0},
    [0x0f] = {WIRE_UINT, 8, 0, 0},  [0x10] = {WIRE_SINT, 1, 0, 0},  [0x11] = {WIRE_SINT, 2, 0, 0},
    [0x12] = {WIRE_SINT, 4, 0, 0},  [0x13] = {WIRE_SINT, 8, 0, 0},  [0x14] = {WIRE_EXT, 0, 1, 1},
    [0x15] = {WIRE_EXT, 0, 1, 2},   [0x16] = {WIRE_EXT, 0, 1, 4},   [0x17] = {WIRE_EXT, 0, 1, 8},
    [0x18] = {WIRE_EXT, 0, 1, 16},  [0x19] = {WIRE_TEXT, 1, 0, 0},  [0x1a] = {WIRE_TEXT, 2, 0, 0},
    [0x1b] = {WIRE_TEXT, 4, 0, 0},  [0x1c] = {WIRE_ARRAY, 2, 0, 0}, [0x1d] = {WIRE_ARRAY, 4, 0, 0},
    [0x1e] = {WIRE_MAP, 2, 0, 0},   [0x1f] = {WIRE_MAP, 4, 0, 0},
};

static const char *class_name(wire_class class)
{
    static const char *const names[] = {"the unused byte 0xc1",
                                        "nil",
                                        "a boolean",
                                        "a number",
                                        "a number",
                                        "a float",
                                        "a text",
                                        "a binary",
                                        "an array",
                                        "a map",
                                        "an extension"};
    return names[class];
}

static wire_head fixed_head(uint8_t byte)
{
    wire_head head = {WIRE_UINT, byte, 1};
    if (byte >= 0xe0) {
        head.class = WIRE_SINT;
        head.value = (uint64_t)(int64_t)(int8_t)byte;
    } else if (byte >= 0xa0) {
        head.class = WIRE_TEXT;
        head.value = byte & 31u;
    } else if (byte >= 0x80) {
        head.class = byte >= 0x90 ? WIRE_ARRAY : WIRE_MAP;
        head.value = byte & 15u;
    }
    return head;
}

static uint64_t sign_extend(uint64_t value, unsigned bytes)
{
    FS_ASSERT(bytes >= 1 && bytes <= 8);
    unsigned shift = 64 - 8 * bytes;
    return shift == 0 ? value : (uint64_t)((int64_t)(value << shift) >> shift);
}

/** Reads the head at `at`; @return 0 if the bytes end inside it. */
static int read_head(wire_head *out, const uint8_t *data, size_t size, size_t at)
{
    if (at >= size) return 0;
    uint8_t byte = data[at];
    if (byte < 0xc0 || byte >= 0xe0) {
        *out = fixed_head(byte);
        return 1;
    }
    unsigned field = wire_table[byte - 0xc0].field_bytes;
    unsigned type = wire_table[byte - 0xc0].type_bytes;
    if (size - at - 1 < field + type) return 0;
    uint64_t value = 0;
    for (unsigned i = 0; i < field; i++) value = value << 8 | data[at + 1 + i];
    out->class = (wire_class)wire_table[byte - 0xc0].class;
    out->head_bytes = 1u + field + type;
    out->value = value;
    if (out->class == WIRE_SINT) out->value = sign_extend(value, field);
    if (out->class == WIRE_EXT && field == 0) out->value = wire_table[byte - 0xc0].payload_bytes;
    return 1;
}

static int has_payload(wire_class class)
{
    return class == WIRE_TEXT || class == WIRE_BYTES || class == WIRE_EXT;
}

/** Objects still due at each level of nesting, and in all. */
typedef struct wire_scan {
    uint64_t due[FS_MSGPACK_DEPTH_MAX + 1];
    unsigned depth;
    uint64_t due_total;
    uint64_t objects;
} wire_scan;

/** Enters a container of `count` objects; `left` bytes follow its head. */
static fs_status scan_enter(wire_scan *scan, uint64_t count, size_t at, size_t left)
{
    /* Every object takes a byte at least, so what is due can never exceed the bytes left. */
    if (count > left || scan->due_total + count > left) {
        return fs_fail(FS_EPROTO, "byte %zu: %llu objects announced, %zu bytes left", at,
                       (unsigned long long)count, left);
    }
    scan->objects += count;
    if (scan->objects > FS_MSGPACK_OBJECTS_MAX) {
        return fs_fail(FS_EPROTO, "byte %zu: more than %d objects", at, FS_MSGPACK_OBJECTS_MAX);
    }
    if (scan->depth == FS_MSGPACK_DEPTH_MAX) {
        return fs_fail(FS_EPROTO, "byte %zu: nested deeper than %d", at, FS_MSGPACK_DEPTH_MAX);
    }
    scan->due[++scan->depth] = count;
    scan->due_total += count;
    return FS_OK;
}

fs_status fs_wire_scan(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    if (size > FS_MESSAGE_BYTES_MAX) {
        return fs_fail(FS_EPROTO, "a frame of %zu bytes, at most %d are allowed", size,
                       FS_MESSAGE_BYTES_MAX);
    }
    wire_scan scan = {.due = {1}, .due_total = 1, .objects = 1};
    size_t at = 0;
    while (scan.due_total > 0) {
        while (scan.due[scan.depth] == 0) scan.depth--;
        wire_head head;
        if (!read_head(&head, bytes, size, at)) {
            return fs_fail(FS_EPROTO, "byte %zu: the frame ends inside an object", at);
        }
        if (head.class == WIRE_BAD) return fs_fail(FS_EPROTO, "byte %zu: the byte 0xc1", at);
        scan.due[scan.depth]--;
        scan.due_total--;
        size_t left = size - at - head.head_bytes;
        if (has_payload(head.class)) {
            if (head.value > left) {
                return fs_fail(FS_EPROTO, "byte %zu: %llu bytes announced, %zu left", at,
                               (unsigned long long)head.value, left);
            }
            at += (size_t)head.value;
        } else if (head.class == WIRE_ARRAY || head.class == WIRE_MAP) {
            uint64_t count = head.class == WIRE_MAP ? 2 * head.value : head.value;
            FS_TRY(scan_enter(&scan, count, at, left));
        }
        at += head.head_bytes;
    }
    if (at < size) return fs_fail(FS_EPROTO, "%zu bytes after the message", size - at);
    return FS_OK;
}

fs_status fs_wire_open(fs_wire_reader *out, const void *data, size_t size)
{
    FS_TRY(fs_wire_scan(data, size));
    *out = (fs_wire_reader){.data = data, .size = size};
    return FS_OK;
}

/** Reads the next head and steps over it. The scan has proved that whole objects lie there, but a
 * schema may ask for more objects than the frame has. */
static fs_status next_head(fs_wire_reader *self, const char *what, wire_head *out)
{
    if (!read_head(out, self->data, self->size, self->at)) {
        return fs_fail(FS_EPROTO, "%s is missing", what);
    }
    self->at += out->head_bytes;
    return FS_OK;
}

static fs_status wrong_class(const char *what, const char *wanted, wire_class class)
{
    return fs_fail(FS_EPROTO, "%s must be %s, not %s", what, wanted, class_name(class));
}

static fs_status check_range(const char *what, const char *unit, uint64_t value, uint64_t min,
                             uint64_t max)
{
    if (value >= min && value <= max) return FS_OK;
    return fs_fail(FS_EPROTO, "%s is %llu%s, allowed are %llu to %llu", what,
                   (unsigned long long)value, unit, (unsigned long long)min,
                   (unsigned long long)max);
}

fs_status fs_wire_array(fs_wire_reader *self, const char *what, uint64_t min, uint64_t max,
                        uint64_t *count)
{
    wire_head head;
    FS_TRY(next_head(self, what, &head));
    if (head.class != WIRE_ARRAY) return wrong_class(what, "an array", head.class);
    FS_TRY(check_range(what, " elements", head.value, min, max));
    *count = head.value;
    return FS_OK;
}

fs_status fs_wire_u64(fs_wire_reader *self, const char *what, uint64_t min, uint64_t max,
                      uint64_t *out)
{
    wire_head head;
    FS_TRY(next_head(self, what, &head));
    if (head.class != WIRE_UINT && head.class != WIRE_SINT) {
        return wrong_class(what, "a whole number", head.class);
    }
    if (head.class == WIRE_SINT && (int64_t)head.value < 0) {
        return fs_fail(FS_EPROTO, "%s is negative", what);
    }
    FS_TRY(check_range(what, "", head.value, min, max));
    *out = head.value;
    return FS_OK;
}

fs_status fs_wire_i64(fs_wire_reader *self, const char *what, int64_t min, int64_t max,
                      int64_t *out)
{
    wire_head head;
    FS_TRY(next_head(self, what, &head));
    if (head.class != WIRE_UINT && head.class != WIRE_SINT) {
        return wrong_class(what, "a whole number", head.class);
    }
    if (head.class == WIRE_UINT && head.value > INT64_MAX) {
        return fs_fail(FS_EPROTO, "%s is beyond 2^63 - 1", what);
    }
    int64_t value = (int64_t)head.value;
    if (value < min || value > max) {
        return fs_fail(FS_EPROTO, "%s is %lld, allowed are %lld to %lld", what, (long long)value,
                       (long long)min, (long long)max);
    }
    *out = value;
    return FS_OK;
}

fs_status fs_wire_f64(fs_wire_reader *self, const char *what, double *out)
{
    wire_head head;
    FS_TRY(next_head(self, what, &head));
    if (head.class != WIRE_FLOAT || head.head_bytes != 9) {
        return wrong_class(what, "a float 64", head.class);
    }
    memcpy(out, &head.value, sizeof *out);
    return FS_OK;
}

static fs_status next_payload(fs_wire_reader *self, const char *what, wire_class class,
                              uint64_t min, uint64_t max, const uint8_t **out, size_t *size)
{
    wire_head head;
    FS_TRY(next_head(self, what, &head));
    if (head.class != class) return wrong_class(what, class_name(class), head.class);
    FS_TRY(check_range(what, " bytes long", head.value, min, max));
    FS_ASSERT(head.value <= self->size - self->at); /* proved by the scan */
    *out = self->data + self->at;
    *size = (size_t)head.value;
    self->at += *size;
    return FS_OK;
}

fs_status fs_wire_text(fs_wire_reader *self, const char *what, uint64_t min, uint64_t max,
                       const char **out, size_t *size)
{
    const uint8_t *bytes;
    FS_TRY(next_payload(self, what, WIRE_TEXT, min, max, &bytes, size));
    *out = (const char *)bytes;
    if (!fs_utf8_valid(*out, *size)) {
        return fs_fail(FS_EPROTO, "%s is not UTF-8 without NUL", what);
    }
    return FS_OK;
}

fs_status fs_wire_bytes(fs_wire_reader *self, const char *what, uint64_t min, uint64_t max,
                        const uint8_t **out, size_t *size)
{
    return next_payload(self, what, WIRE_BYTES, min, max, out, size);
}

fs_status fs_wire_end(const fs_wire_reader *self)
{
    if (self->at == self->size) return FS_OK;
    return fs_fail(FS_EPROTO, "%zu bytes after the last field", self->size - self->at);
}

static int write_packed(void *data, const char *bytes, size_t size)
{
    fs_wire_writer *self = data;
    if (self->status == FS_OK) self->status = fs_buf_append(self->out, bytes, size);
    return self->status == FS_OK ? 0 : -1;
}

void fs_wire_writer_init(fs_wire_writer *self, fs_buf *out)
{
    self->out = out;
    self->status = FS_OK;
    msgpack_packer_init(&self->packer, self, write_packed);
}

void fs_wire_put_array(fs_wire_writer *self, size_t count)
{
    msgpack_pack_array(&self->packer, count);
}

void fs_wire_put_u64(fs_wire_writer *self, uint64_t value)
{
    msgpack_pack_uint64(&self->packer, value);
}

void fs_wire_put_i64(fs_wire_writer *self, int64_t value)
{
    msgpack_pack_int64(&self->packer, value);
}

void fs_wire_put_f64(fs_wire_writer *self, double value)
{
    msgpack_pack_double(&self->packer, value);
}

void fs_wire_put_text(fs_wire_writer *self, const char *text, size_t size)
{
    msgpack_pack_str_with_body(&self->packer, text, size);
}

void fs_wire_put_bytes(fs_wire_writer *self, const void *data, size_t size)
{
    msgpack_pack_bin_with_body(&self->packer, data, size);
}
