/* Members of archives that Python's zipfile and hand-made bytes make. */
#include "testing.h"

#include <zlib.h>

#include "fetch_zip.h"
#include "file.h"
#include "limits.h"

static char *dir;
static char archive[FS_PATH_BYTES_MAX], output[FS_PATH_BYTES_MAX];

static int make_folder(void **state)
{
    dir = testing_folder();
    return dir == NULL || fs_path_join(archive, dir, "a.zip") != FS_OK ||
           fs_path_join(output, dir, "out") != FS_OK;
}

static int remove_folder(void **state)
{
    testing_remove(dir);
    return 0;
}

/* --- An archive by hand, by PKWARE's APPNOTE -------------------------------------------------- */

static void put(fs_buf *buf, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        uint8_t byte = (uint8_t)(value >> 8 * i);
        assert_ok(fs_buf_append(buf, &byte, 1));
    }
}

typedef struct member {
    const char *name;
    const void *packed;
    uint32_t packed_bytes, bytes, crc;
    uint16_t method, flags;
} member;

/** Writes an archive of one member. @return where in it the directory's entry begins. */
static size_t build(fs_buf *out, const member *m, const char *comment)
{
    size_t name_size = strlen(m->name);
    fs_buf_clear(out);
    put(out, 0x04034b50, 4);
    put(out, 20, 2), put(out, m->flags, 2), put(out, m->method, 2), put(out, 0, 4);
    put(out, m->crc, 4), put(out, m->packed_bytes, 4), put(out, m->bytes, 4);
    put(out, name_size, 2), put(out, 3, 2); /* an extra field that the directory has not */
    assert_ok(fs_buf_append(out, m->name, name_size));
    assert_ok(fs_buf_append(out, "abc", 3));
    assert_ok(fs_buf_append(out, m->packed, m->packed_bytes));
    size_t entry = out->size;
    put(out, 0x02014b50, 4);
    put(out, 20, 2), put(out, 20, 2), put(out, m->flags, 2), put(out, m->method, 2), put(out, 0, 4);
    put(out, m->crc, 4), put(out, m->packed_bytes, 4), put(out, m->bytes, 4);
    put(out, name_size, 2), put(out, 0, 2), put(out, 0, 2), put(out, 0, 2), put(out, 0, 2);
    put(out, 0, 4), put(out, 0, 4); /* the local header is at 0 */
    assert_ok(fs_buf_append(out, m->name, name_size));
    size_t size = out->size - entry;
    put(out, 0x06054b50, 4);
    put(out, 0, 2), put(out, 0, 2), put(out, 1, 2), put(out, 1, 2);
    put(out, size, 4), put(out, entry, 4), put(out, strlen(comment), 2);
    assert_ok(fs_buf_append(out, comment, strlen(comment)));
    return entry;
}

static fs_status extract(const fs_buf *raw, const char *name)
{
    assert_ok(fs_file_write_atomic(archive, raw->data, raw->size));
    unlink(output);
    return fetch_zip_extract(archive, name, output, 1 << 20);
}

static void assert_output(const void *expected, size_t size)
{
    fs_buf text = {0};
    assert_ok(fs_file_read(&text, output, 1 << 20));
    assert_int_equal(text.size, size);
    if (size > 0) assert_memory_equal(text.data, expected, size);
    fs_buf_free(&text);
}

static const char words[] = "to be, or not to be, or not to be, or not to be";

/** Deflates without a header. The caller frees. */
static uint8_t *deflate_words(uint32_t *size)
{
    uint8_t *out = malloc(256);
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)words, .avail_in = sizeof words - 1};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_out = out;
    stream.avail_out = 256;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    *size = (uint32_t)stream.total_out;
    deflateEnd(&stream);
    return out;
}

static member stored_member(void)
{
    return (member){.name = "d/words.txt",
                    .packed = words,
                    .packed_bytes = sizeof words - 1,
                    .bytes = sizeof words - 1,
                    .crc = (uint32_t)crc32(0, (const Bytef *)words, sizeof words - 1)};
}

static void members_come_out(void **state)
{
    fs_buf raw = {0};
    member m = stored_member();
    build(&raw, &m, "");
    assert_ok(extract(&raw, "d/words.txt"));
    assert_output(words, sizeof words - 1);
    build(&raw, &m, "a comment with PK\x05\x06 in it, long enough to look like an end record");
    assert_ok(extract(&raw, "d/words.txt"));
    uint32_t packed_bytes;
    uint8_t *packed = deflate_words(&packed_bytes);
    assert_true(packed_bytes < sizeof words / 2);
    m.method = 8;
    m.packed = packed;
    m.packed_bytes = packed_bytes;
    build(&raw, &m, "");
    assert_ok(extract(&raw, "d/words.txt"));
    assert_output(words, sizeof words - 1);
    free(packed);
    m = (member){.name = "empty", .packed = ""};
    build(&raw, &m, "");
    assert_ok(extract(&raw, "empty"));
    assert_output("", 0);
    fs_buf_free(&raw);
}

static void what_is_wrong_is_said_and_leaves_nothing(void **state)
{
    fs_buf raw = {0};
    const member good = stored_member();
    uint32_t packed_bytes;
    uint8_t *packed = deflate_words(&packed_bytes);
    member deflated = good;
    deflated.method = 8;
    deflated.packed = packed;
    deflated.packed_bytes = packed_bytes;
    member cases[10];
    const char *texts[] = {
        "checksum", "longer than stated", "shorter than stated", "method 12",   "encrypted",
        "ZIP64",    "sizes differ",       "end too early",       "are damaged", "checksum"};
    for (int i = 0; i < 10; i++) cases[i] = i >= 6 && i != 7 && i != 8 ? good : deflated;
    cases[0].crc ^= 1;
    cases[1].bytes--;
    cases[2].bytes++;
    cases[3].method = 12;
    cases[4].flags = 1;
    cases[5].bytes = UINT32_MAX;
    cases[6].bytes--;
    cases[7].packed_bytes -= 3;
    cases[8].packed = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
    cases[8].packed_bytes = 17;
    cases[9].crc ^= 0x80000000;
    for (int i = 0; i < 10; i++) {
        build(&raw, &cases[i], "");
        fs_status status = extract(&raw, "d/words.txt");
        if (status == FS_OK || strstr(fs_status_detail(), texts[i]) == NULL)
            fail_msg("case %d: %s", i, fs_status_detail());
        assert_detail("a.zip: member d/words.txt");
        assert_false(fs_file_exists(output));
    }
    build(&raw, &good, "");
    assert_status(extract(&raw, "d/word"), FS_ENOENT);
    assert_detail("has no member d/word");
    assert_ok(fs_file_write_atomic(archive, raw.data, raw.size));
    assert_status(fetch_zip_extract(archive, "d/words.txt", output, sizeof words - 2), FS_ELIMIT);
    assert_ok(fetch_zip_extract(archive, "d/words.txt", output, sizeof words - 1));
    assert_status(fetch_zip_extract("/nonexistent.zip", "x", output, 1), FS_ENOENT);
    free(packed);
    fs_buf_free(&raw);
}

/** Every archive cut short and every byte changed: an error, or the right bytes, never others. */
static void damage_is_found(void **state)
{
    fs_buf raw = {0};
    uint32_t packed_bytes;
    uint8_t *packed = deflate_words(&packed_bytes);
    member m = stored_member();
    m.method = 8;
    m.packed = packed;
    m.packed_bytes = packed_bytes;
    build(&raw, &m, "");
    for (size_t size = 0; size < raw.size; size++) {
        fs_buf cut = {.data = raw.data, .size = size};
        assert_true(extract(&cut, "d/words.txt") != FS_OK);
        assert_false(fs_file_exists(output));
    }
    for (size_t i = 0; i < raw.size; i++) {
        for (int bit = 0; bit < 8; bit += 3) {
            raw.data[i] ^= (uint8_t)(1 << bit);
            if (extract(&raw, "d/words.txt") == FS_OK)
                assert_output(words, sizeof words - 1);
            else
                assert_false(fs_file_exists(output));
            raw.data[i] ^= (uint8_t)(1 << bit);
        }
    }
    free(packed);
    fs_buf_free(&raw);
}

/** An archive by somebody else's writer, of many members, one of them large. */
static void pythons_archives(void **state)
{
    static const char script[] =
        "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED); "
        "[z.writestr('d/%d.txt' % i, 'number %d\\n' % i * i) for i in range(300)]; z.close()";
    char *command = NULL;
    assert_true(asprintf(&command, "python3 -c \"%s\" '%s'", script, archive) > 0);
    if (system(command) != 0) {
        free(command);
        print_message("skipped: needs python3\n");
        skip();
    }
    free(command);
    assert_ok(fetch_zip_extract(archive, "d/299.txt", output, 1 << 20));
    fs_buf expected = {0};
    for (int i = 0; i < 299; i++) assert_ok(fs_buf_puts(&expected, "number 299\n"));
    assert_output(expected.data, expected.size);
    fs_buf_free(&expected);
    assert_ok(fetch_zip_extract(archive, "d/0.txt", output, 1 << 20));
    assert_output("", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_come_out),
        cmocka_unit_test(what_is_wrong_is_said_and_leaves_nothing),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(pythons_archives),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
