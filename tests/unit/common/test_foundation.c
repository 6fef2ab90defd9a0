#include "testing.h"

#include <sys/stat.h>

#include "buf.h"
#include "file.h"
#include "grow.h"
#include "hash.h"

static void test_status_details(void **state)
{
    assert_status(fs_fail(FS_EFORMAT, "%s: line %d", "a.tsv", 3), FS_EFORMAT);
    assert_string_equal(fs_status_detail(), "a.tsv: line 3");
    assert_status(fs_wrap(FS_EFORMAT, "reading %s", "data"), FS_EFORMAT);
    assert_string_equal(fs_status_detail(), "reading data: a.tsv: line 3");
    /* The old detail may be an argument of the new one. */
    fs_status ignored = fs_fail(FS_EIO, "again: %s", fs_status_detail());
    (void)ignored;
    assert_string_equal(fs_status_detail(), "again: reading data: a.tsv: line 3");
    assert_int_equal(fs_status_exit(FS_OK), 0);
    assert_int_equal(fs_status_exit(FS_EIO), 1);
    assert_int_equal(fs_status_exit(FS_ECONFIG), 2);
    assert_int_equal(fs_status_exit(FS_EINCOMPLETE), 3);
    assert_int_equal(fs_status_exit(FS_EREFUSED), 4);
    assert_int_equal(fs_status_exit(FS_EINTERRUPTED), 130);
    char long_text[4000];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    ignored = fs_fail(FS_EIO, "%s", long_text);
    assert_int_equal(strlen(fs_status_detail()), 1023);
}

static void test_buffer(void **state)
{
    fs_buf buf = {0};
    assert_string_equal(fs_buf_text(&buf), "");
    for (int i = 0; i < 1000; i++) assert_ok(fs_buf_printf(&buf, "%d,", i));
    assert_int_equal(buf.size, 10 * 2 + 90 * 3 + 900 * 4);
    assert_int_equal(buf.data[buf.size], 0);
    assert_status(fs_buf_reserve(&buf, SIZE_MAX - 10), FS_ENOMEM);
    assert_int_equal(buf.size, 3890);
    fs_buf_free(&buf);
    fs_buf_free(&buf);
}

/* BLAKE2b-256 of "abc": computed by an independent implementation (Python's hashlib). */
static void test_hash(void **state)
{
    fs_hash hash, parsed;
    char hex[FS_HASH_HEX_BYTES];
    fs_hash_bytes(&hash, "abc", 3);
    fs_hash_hex(&hash, hex);
    assert_string_equal(hex, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
    assert_ok(fs_hash_parse(&parsed, hex));
    assert_true(fs_hash_equal(&hash, &parsed));
    assert_true(fs_hash_u64(&hash) == 0x723942633c81ddbdu);
    hex[3] = 'g';
    assert_status(fs_hash_parse(&parsed, hex), FS_EFORMAT);
    assert_status(fs_hash_parse(&parsed, "ab"), FS_EFORMAT);
    /* Two fields, each after its length in 8 bytes; by hashlib too. */
    assert_true(fs_hash_key(7, "dropout") == 0x9071b05406612a13u);
    fs_hasher a, b;
    fs_hasher_init(&a);
    fs_hasher_init(&b);
    fs_hasher_field(&a, "ab", 2);
    fs_hasher_field(&a, "c", 1);
    fs_hasher_field(&b, "a", 1);
    fs_hasher_field(&b, "bc", 2);
    fs_hasher_final(&a, &hash);
    fs_hasher_final(&b, &parsed);
    assert_false(fs_hash_equal(&hash, &parsed));
}

static void test_files(void **state)
{
    char *folder = testing_folder(), path[FS_PATH_BYTES_MAX], deep[FS_PATH_BYTES_MAX];
    fs_buf buf = {0};
    assert_ok(fs_path_join(path, folder, "a.bin"));
    assert_status(fs_file_read(&buf, path, 100), FS_ENOENT);
    assert_detail("a.bin");
    assert_ok(fs_file_write_atomic(path, "0123456789", 10));
    assert_ok(fs_file_read(&buf, path, 10));
    assert_string_equal(fs_buf_text(&buf), "0123456789");
    assert_status(fs_file_read(&buf, path, 9), FS_ELIMIT);
    assert_status(fs_file_read(&buf, folder, 100), FS_EFORMAT);
    assert_detail("is a directory");
    fs_hash by_file, by_bytes;
    assert_ok(fs_hash_file(&by_file, path));
    fs_hash_bytes(&by_bytes, "0123456789", 10);
    assert_true(fs_hash_equal(&by_file, &by_bytes));
    fs_map map;
    assert_ok(fs_map_open(&map, path));
    assert_int_equal(map.size, 10);
    assert_memory_equal(map.data, "0123456789", 10);
    fs_map_close(&map);
    fs_map_close(&map);
    /* A named pipe must be refused, not waited for. */
    assert_ok(fs_path_join(path, folder, "pipe"));
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_status(fs_map_open(&map, path), FS_EFORMAT);
    assert_ok(fs_path_join(deep, folder, "x/y/z"));
    assert_ok(fs_dir_make(deep));
    assert_ok(fs_dir_make(deep));
    assert_true(fs_dir_exists(deep));
    assert_ok(fs_path_join(path, deep, "gone/b"));
    assert_status(fs_file_write_atomic(path, "x", 1), FS_EIO);
    fs_buf_free(&buf);
    testing_remove(folder);
}

static void test_grow(void **state)
{
    uint32_t *items = NULL;
    size_t capacity = 0, moves = 0;
    for (uint32_t n = 0; n < 1000; n++) {
        const size_t before = capacity;
        items = fs_grow(items, n, &capacity, sizeof *items);
        assert_non_null(items);
        assert_true(capacity > n);
        moves += capacity != before;
        items[n] = n;
    }
    for (uint32_t n = 0; n < 1000; n++) assert_int_equal(items[n], n);
    assert_true(moves < 12);
    free(items);
    capacity = SIZE_MAX / 8;
    assert_null(fs_grow(NULL, capacity, &capacity, 5));
    assert_true(capacity == SIZE_MAX / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_details), cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_hash),           cmocka_unit_test(test_grow),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
