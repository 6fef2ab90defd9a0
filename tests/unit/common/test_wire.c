#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "wire.h"

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % n);
}

/* ---- an independent reader, recursive, straight from the specification ---- */

enum { REFUSED = -1 };

typedef struct reference {
    const uint8_t *p;
    long size;
    long objects;
} reference;

static long big_endian(const reference *r, long at, int bytes)
{
    long value = 0;
    if (at + bytes > r->size) return REFUSED;
    for (int i = 0; i < bytes; i++) value = value * 256 + r->p[at + i];
    return value;
}

static long skip_one(reference *r, long at, int depth);

static long skip_many(reference *r, long at, long count, int depth)
{
    if (count < 0 || depth > FS_MSGPACK_DEPTH_MAX) return REFUSED;
    for (long i = 0; i < count && at >= 0; i++) at = skip_one(r, at, depth);
    return at;
}

static long skip_payload(const reference *r, long at, long bytes)
{
    return bytes < 0 || at + bytes > r->size ? REFUSED : at + bytes;
}

/** @return the offset after the object at `at`, or REFUSED. */
static long skip_one(reference *r, long at, int depth)
{
    if (at >= r->size) return REFUSED;
    r->objects++;
    int b = r->p[at];
    if (b <= 0x7f || b >= 0xe0) return at + 1;
    if (b <= 0x8f) return skip_many(r, at + 1, 2 * (b & 15), depth + 1);
    if (b <= 0x9f) return skip_many(r, at + 1, b & 15, depth + 1);
    if (b <= 0xbf) return skip_payload(r, at + 1, b & 31);
    switch (b) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
        return at + 1;
    case 0xc4:
    case 0xd9:
        return skip_payload(r, at + 2, big_endian(r, at + 1, 1));
    case 0xc5:
    case 0xda:
        return skip_payload(r, at + 3, big_endian(r, at + 1, 2));
    case 0xc6:
    case 0xdb:
        return skip_payload(r, at + 5, big_endian(r, at + 1, 4));
    case 0xc7:
        return skip_payload(r, at + 3, big_endian(r, at + 1, 1));
    case 0xc8:
        return skip_payload(r, at + 4, big_endian(r, at + 1, 2));
    case 0xc9:
        return skip_payload(r, at + 6, big_endian(r, at + 1, 4));
    case 0xcc:
    case 0xd0:
        return skip_payload(r, at + 1, 1);
    case 0xcd:
    case 0xd1:
        return skip_payload(r, at + 1, 2);
    case 0xca:
    case 0xce:
    case 0xd2:
        return skip_payload(r, at + 1, 4);
    case 0xcb:
    case 0xcf:
    case 0xd3:
        return skip_payload(r, at + 1, 8);
    case 0xd4:
        return skip_payload(r, at + 1, 2);
    case 0xd5:
        return skip_payload(r, at + 1, 3);
    case 0xd6:
        return skip_payload(r, at + 1, 5);
    case 0xd7:
        return skip_payload(r, at + 1, 9);
    case 0xd8:
        return skip_payload(r, at + 1, 17);
    case 0xdc:
        return skip_many(r, at + 3, big_endian(r, at + 1, 2), depth + 1);
    case 0xdd:
        return skip_many(r, at + 5, big_endian(r, at + 1, 4), depth + 1);
    case 0xde:
        return big_endian(r, at + 1, 2) < 0
                   ? REFUSED
                   : skip_many(r, at + 3, 2 * big_endian(r, at + 1, 2), depth + 1);
    case 0xdf:
        return big_endian(r, at + 1, 4) < 0
                   ? REFUSED
                   : skip_many(r, at + 5, 2 * big_endian(r, at + 1, 4), depth + 1);
    default:
        return REFUSED;
    }
}

static void scan_agrees_with_the_reference(void **state)
{
    /* Bytes that often begin containers, so that random frames are often valid. */
    static const uint8_t heads[] = {0x00, 0x7f, 0x80, 0x81, 0x90, 0x91, 0x92, 0xa0, 0xa1, 0xa3,
                                    0xc0, 0xc1, 0xc2, 0xc4, 0xc7, 0xca, 0xcb, 0xcc, 0xcd, 0xd0,
                                    0xd4, 0xd5, 0xd9, 0xda, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xff};
    random_state = 20240611;
    int accepted = 0;
    for (int round = 0; round < 300000; round++) {
        uint8_t frame[24];
        size_t size = random_below(sizeof frame) + 1;
        for (size_t i = 0; i < size; i++) {
            uint32_t dice = random_below(8);
            frame[i] = dice == 0   ? (uint8_t)random_below(256)
                       : dice <= 3 ? (uint8_t)random_below(3)
                                   : heads[random_below(sizeof heads)];
        }
        reference r = {frame, (long)size, 0};
        int valid = skip_one(&r, 0, 0) == (long)size;
        accepted += valid;
        if (valid != (fs_wire_scan(frame, size) == FS_OK)) {
            fail_msg("round %d: reference says %d, scan says %s", round, valid, fs_status_detail());
        }
    }
    assert_true(accepted > 5000); /* the comparison met both verdicts */
}

static void bombs_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } bombs[] = {
        {"\xdd\xff\xff\xff\xff", 5}, /* an array of 4G elements: 8.4 GB in msgpack-c */
        {"\xdf\xff\xff\xff\xff", 5}, /* a map of 4G pairs */
        {"\xdc\xff\xff", 3},
        {"\xde\xff\xff", 3},
        {"\xdb\xff\xff\xff\xff", 5}, /* a text of 4 GB */
        {"\xc6\xff\xff\xff\xff", 5},
        {"\xc9\xff\xff\xff\xff\x01", 6},
        {"\x92\xdd\x00\x00\x00\x05\x01\x01\x01\x01\x01", 11}, /* 5 due inside, 1 due outside */
        {"\xc1", 1},
        {"\x01\x01", 2}, /* a byte left over */
        {"", 0},
    };
    for (size_t i = 0; i < sizeof bombs / sizeof bombs[0]; i++) {
        assert_int_equal(fs_wire_scan(bombs[i].bytes, bombs[i].size), FS_EPROTO);
    }
    /* 31 heads of 5 bytes: each promises what the bytes after it cannot hold. */
    uint8_t nested[155];
    for (size_t i = 0; i < sizeof nested; i += 5) memcpy(nested + i, "\xdd\x7f\xff\xff\xff", 5);
    assert_int_equal(fs_wire_scan(nested, sizeof nested), FS_EPROTO);
}

static void depth_is_bounded(void **state)
{
    uint8_t frame[4096];
    memset(frame, 0x91, sizeof frame);
    frame[FS_MSGPACK_DEPTH_MAX] = 0x01;
    assert_int_equal(fs_wire_scan(frame, FS_MSGPACK_DEPTH_MAX + 1), FS_OK);
    frame[FS_MSGPACK_DEPTH_MAX] = 0x91;
    frame[FS_MSGPACK_DEPTH_MAX + 1] = 0x01;
    assert_int_equal(fs_wire_scan(frame, FS_MSGPACK_DEPTH_MAX + 2), FS_EPROTO);
    assert_non_null(strstr(fs_status_detail(), "deeper"));
    memset(frame, 0x91, sizeof frame);
    assert_int_equal(fs_wire_scan(frame, sizeof frame), FS_EPROTO);
}

static void objects_are_bounded(void **state)
{
    enum { MAX = FS_MSGPACK_OBJECTS_MAX };
    uint8_t *frame = malloc(MAX + 16);
    assert_non_null(frame);
    for (int over = 0; over < 2; over++) {
        /* The array itself is an object. */
        uint32_t count = MAX - 1 + (uint32_t)over;
        frame[0] = 0xdd;
        for (int i = 0; i < 4; i++) frame[1 + i] = (uint8_t)(count >> (24 - 8 * i));
        memset(frame + 5, 0, count);
        assert_int_equal(fs_wire_scan(frame, 5 + count), over ? FS_EPROTO : FS_OK);
    }
    free(frame);
}

static void size_is_bounded(void **state)
{
    uint8_t *frame = calloc(1, FS_MESSAGE_BYTES_MAX + 1);
    assert_non_null(frame);
    for (int over = 0; over < 2; over++) {
        size_t payload = FS_MESSAGE_BYTES_MAX - 5 + (size_t)over;
        frame[0] = 0xc6;
        for (int i = 0; i < 4; i++) frame[1 + i] = (uint8_t)(payload >> (24 - 8 * i));
        assert_int_equal(fs_wire_scan(frame, payload + 5), over ? FS_EPROTO : FS_OK);
    }
    free(frame);
}

static void open_hex(fs_wire_reader *reader, const char *bytes, size_t size)
{
    assert_int_equal(fs_wire_open(reader, bytes, size), FS_OK);
}

static void integers_of_every_width_are_read(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        int64_t value;
    } known[] = {
        {"\x05", 1, 5},
        {"\xff", 1, -1},
        {"\xe0", 1, -32},
        {"\xcc\xff", 2, 255},
        {"\xcd\x01\x00", 3, 256},
        {"\xce\xff\xff\xff\xff", 5, 4294967295},
        {"\xcf\x00\x00\x00\x01\x00\x00\x00\x00", 9, 4294967296},
        {"\xd0\x80", 2, -128},
        {"\xd0\x05", 2, 5},
        {"\xd1\xff\x7f", 3, -129},
        {"\xd2\x80\x00\x00\x00", 5, -2147483648},
        {"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", 9, INT64_MIN},
        {"\xd3\x7f\xff\xff\xff\xff\xff\xff\xff", 9, INT64_MAX},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        fs_wire_reader reader;
        int64_t value;
        uint64_t natural;
        open_hex(&reader, known[i].bytes, known[i].size);
        assert_int_equal(fs_wire_i64(&reader, "x", INT64_MIN, INT64_MAX, &value), FS_OK);
        assert_true(value == known[i].value);
        assert_int_equal(fs_wire_end(&reader), FS_OK);
        reader.at = 0;
        fs_status status = fs_wire_u64(&reader, "x", 0, UINT64_MAX, &natural);
        assert_int_equal(status, known[i].value < 0 ? FS_EPROTO : FS_OK);
        if (status == FS_OK) assert_true(natural == (uint64_t)known[i].value);
    }
}

static void ranges_are_kept(void **state)
{
    fs_wire_reader reader;
    uint64_t natural;
    int64_t value;
    open_hex(&reader, "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9);
    assert_int_equal(fs_wire_i64(&reader, "x", INT64_MIN, INT64_MAX, &value), FS_EPROTO);
    reader.at = 0;
    assert_int_equal(fs_wire_u64(&reader, "x", 0, UINT64_MAX, &natural), FS_OK);
    assert_true(natural == UINT64_MAX);
    for (int64_t x = 3; x <= 8; x++) {
        char byte = (char)x;
        int inside = x >= 4 && x <= 7;
        open_hex(&reader, &byte, 1);
        assert_int_equal(fs_wire_u64(&reader, "x", 4, 7, &natural), inside ? FS_OK : FS_EPROTO);
        open_hex(&reader, &byte, 1);
        assert_int_equal(fs_wire_i64(&reader, "x", 4, 7, &value), inside ? FS_OK : FS_EPROTO);
        char array[9] = {(char)(0x90 + x)};
        uint64_t count;
        open_hex(&reader, array, (size_t)x + 1);
        assert_int_equal(fs_wire_array(&reader, "x", 4, 7, &count), inside ? FS_OK : FS_EPROTO);
    }
}

static void types_are_kept(void **state)
{
    /* One frame of each class against each verb: only the right pairs are read. */
    static const struct {
        const char *bytes;
        size_t size;
        int verb; /* the verb that reads it, -1: none */
    } frames[] = {{"\xc0", 1, -1},
                  {"\xc3", 1, -1},
                  {"\x07", 1, 0},
                  {"\xca\x3f\x80\x00\x00", 5, -1},
                  {"\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", 9, 1},
                  {"\xa1x", 2, 2},
                  {"\xc4\x01x", 3, 3},
                  {"\x91\x01", 2, 4},
                  {"\x81\x01\x02", 3, -1},
                  {"\xd4\x01\x02", 3, -1}};
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        for (int verb = 0; verb < 5; verb++) {
            fs_wire_reader reader;
            uint64_t number;
            double real;
            const char *text;
            const uint8_t *bytes;
            size_t size;
            fs_status status = FS_OK;
            open_hex(&reader, frames[i].bytes, frames[i].size);
            switch (verb) {
            case 0:
                status = fs_wire_u64(&reader, "x", 0, 9, &number);
                break;
            case 1:
                status = fs_wire_f64(&reader, "x", &real);
                break;
            case 2:
                status = fs_wire_text(&reader, "x", 0, 9, &text, &size);
                break;
            case 3:
                status = fs_wire_bytes(&reader, "x", 0, 9, &bytes, &size);
                break;
            case 4:
                status = fs_wire_array(&reader, "x", 0, 9, &number);
                break;
            }
            assert_int_equal(status, verb == frames[i].verb ? FS_OK : FS_EPROTO);
        }
    }
}

static void texts_are_checked(void **state)
{
    fs_wire_reader reader;
    const char *text;
    size_t size;
    open_hex(&reader, "\xa2\xc3\xbc", 3);
    assert_int_equal(fs_wire_text(&reader, "x", 2, 2, &text, &size), FS_OK);
    assert_memory_equal(text, "\xc3\xbc", 2);
    reader.at = 0;
    assert_int_equal(fs_wire_text(&reader, "x", 3, 9, &text, &size), FS_EPROTO);
    reader.at = 0;
    assert_int_equal(fs_wire_text(&reader, "x", 0, 1, &text, &size), FS_EPROTO);
    open_hex(&reader, "\xa1\xc3", 2);
    assert_int_equal(fs_wire_text(&reader, "x", 0, 9, &text, &size), FS_EPROTO);
    open_hex(&reader, "\xa1\x00", 2);
    assert_int_equal(fs_wire_text(&reader, "x", 0, 9, &text, &size), FS_EPROTO);
}

static void reading_past_the_end_fails(void **state)
{
    fs_wire_reader reader;
    uint64_t value;
    open_hex(&reader, "\x01", 1);
    assert_int_equal(fs_wire_u64(&reader, "x", 0, 9, &value), FS_OK);
    assert_int_equal(fs_wire_u64(&reader, "x", 0, 9, &value), FS_EPROTO);
    assert_int_equal(fs_wire_end(&reader), FS_OK);
    open_hex(&reader, "\x92\x01\x02", 3);
    assert_int_equal(fs_wire_array(&reader, "x", 0, 9, &value), FS_OK);
    assert_int_equal(fs_wire_u64(&reader, "x", 0, 9, &value), FS_OK);
    assert_int_equal(fs_wire_end(&reader), FS_EPROTO);
}

static void msgpack_c_reads_what_is_written(void **state)
{
    fs_buf out = {0};
    fs_wire_writer writer;
    fs_wire_writer_init(&writer, &out);
    fs_wire_put_array(&writer, 6);
    fs_wire_put_u64(&writer, UINT64_MAX);
    fs_wire_put_i64(&writer, -50);
    fs_wire_put_f64(&writer, -0.0);
    fs_wire_put_text(&writer, "abc", 3);
    fs_wire_put_bytes(&writer, "\x00\x01", 2);
    fs_wire_put_array(&writer, 0);
    assert_int_equal(writer.status, FS_OK);
    assert_int_equal(fs_wire_scan(out.data, out.size), FS_OK);
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t at = 0;
    assert_int_equal(msgpack_unpack_next(&unpacked, (char *)out.data, out.size, &at),
                     MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(at, out.size);
    const msgpack_object *items = unpacked.data.via.array.ptr;
    assert_int_equal(unpacked.data.via.array.size, 6);
    assert_true(items[0].via.u64 == UINT64_MAX);
    assert_true(items[1].type == MSGPACK_OBJECT_NEGATIVE_INTEGER && items[1].via.i64 == -50);
    double zero = -0.0;
    assert_memory_equal(&items[2].via.f64, &zero, 8);
    assert_int_equal(items[3].via.str.size, 3);
    assert_memory_equal(items[4].via.bin.ptr, "\x00\x01", 2);
    assert_int_equal(items[5].via.array.size, 0);
    msgpack_unpacked_destroy(&unpacked);
    fs_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scan_agrees_with_the_reference),
        cmocka_unit_test(bombs_are_refused),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(objects_are_bounded),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(integers_of_every_width_are_read),
        cmocka_unit_test(ranges_are_kept),
        cmocka_unit_test(types_are_kept),
        cmocka_unit_test(texts_are_checked),
        cmocka_unit_test(reading_past_the_end_fails),
        cmocka_unit_test(msgpack_c_reads_what_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
