/* Records of what was fetched: written, read back, compared, and not trusted with paths. */
#include "testing.h"

#include <sys/stat.h>

#include "fetch_dir.h"
#include "fetch_record.h"
#include "fetch_sha256.h"
#include "file.h"

/* By sha256sum; the last two are FIPS 180-4's examples. */
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define LONG  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"

static char *dir;
static char path[FS_PATH_BYTES_MAX];

static int make_folder(void **state)
{
    dir = testing_folder();
    return dir == NULL || fs_path_join(path, dir, "fetch.json") != FS_OK;
}

static int remove_folder(void **state)
{
    testing_remove(dir);
    return 0;
}

static void write_file(const char *name, const char *text)
{
    char whole[FS_PATH_BYTES_MAX];
    assert_ok(fs_path_join(whole, dir, name));
    assert_ok(fs_file_write_atomic(whole, text, strlen(text)));
}

static fetch_record_file file_of(const char *name, uint64_t bytes, const char *sum)
{
    fetch_record_file file = {.bytes = bytes};
    snprintf(file.name, sizeof file.name, "%s", name);
    snprintf(file.sha256, sizeof file.sha256, "%s", sum);
    return file;
}

static void sums_of_files(void **state)
{
    static const struct {
        const char *text, *sum;
    } cases[] = {{"", EMPTY},
                 {"abc", ABC},
                 {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", LONG}};
    char whole[FS_PATH_BYTES_MAX], sum[FETCH_SHA256_BYTES];
    uint64_t bytes;
    assert_ok(fs_path_join(whole, dir, "sum"));
    for (size_t i = 0; i < 3; i++) {
        write_file("sum", cases[i].text);
        assert_ok(fetch_sha256_file(whole, sum, &bytes));
        assert_string_equal(sum, cases[i].sum);
        assert_int_equal(bytes, strlen(cases[i].text));
    }
    assert_status(fetch_sha256_file("/nonexistent", sum, &bytes), FS_ENOENT);
    assert_status(fetch_sha256_file(dir, sum, &bytes), FS_EIO);
    assert_true(fetch_sha256_parse(
        sum, "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"));
    assert_string_equal(sum, ABC);
    assert_false(fetch_sha256_parse(sum, ""));
    assert_false(fetch_sha256_parse(sum, "0x" EMPTY));
    assert_false(fetch_sha256_parse(
        sum, "g3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
}

static void what_is_written_reads_back(void **state)
{
    fetch_record out = {.source = "https://h/o/n", .revision = "abc"}, in;
    fetch_record_file a = file_of("a", 3, ABC), b = file_of("b.txt", UINT64_C(1) << 40, EMPTY);
    assert_ok(fetch_record_put(&out, &a));
    assert_ok(fetch_record_put(&out, &b));
    a.bytes = 4;
    assert_ok(fetch_record_put(&out, &a)); /* replaces */
    assert_int_equal(out.count, 2);
    assert_ok(fetch_record_write(&out, path));
    assert_ok(fetch_record_read(&in, path));
    assert_string_equal(in.source, out.source);
    assert_string_equal(in.revision, out.revision);
    assert_int_equal(in.count, 2);
    assert_int_equal(fetch_record_find(&in, "a")->bytes, 4);
    assert_int_equal(fetch_record_find(&in, "b.txt")->bytes, UINT64_C(1) << 40);
    assert_string_equal(fetch_record_find(&in, "b.txt")->sha256, EMPTY);
    assert_null(fetch_record_find(&in, "c"));
    fetch_record_free(&in);
    fetch_record_free(&in);
    fetch_record_free(&out);
}

static void what_is_no_record_is_refused(void **state)
{
    static const char good[] =
        "{\"source\": \"s\", \"revision\": \"\", \"files\": [{\"name\": \"a\","
        " \"bytes\": 3, \"sha256\": \"" ABC "\"}]}";
    static const char *const changes[][2] = {
        {"\"name\": \"a\"", "\"name\": \"../a\""},
        {"\"name\": \"a\"", "\"name\": \"/a\""},
        {"\"name\": \"a\"", "\"name\": \".a\""},
        {"\"name\": \"a\"", "\"name\": \"\""},
        {"\"name\": \"a\"", "\"nam\": \"a\""},
        {"\"bytes\": 3", "\"bytes\": -3"},
        {"\"bytes\": 3", "\"bytes\": 3.5"},
        {"\"bytes\": 3", "\"bytes\": \"3\""},
        {ABC, "12"},
        {"\"s\"", "5"},
        {"\"revision\": \"\"", "\"revision\": 1"},
        {"\"files\": [{", "\"files\": {\"x\": [{"},
    };
    fetch_record record;
    write_file("fetch.json", good);
    assert_ok(fetch_record_read(&record, path));
    fetch_record_free(&record);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        char text[512];
        const char *at = strstr(good, changes[i][0]);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, changes[i][1],
                 at + strlen(changes[i][0]));
        write_file("fetch.json", text);
        if (fetch_record_read(&record, path) != FS_EFORMAT) fail_msg("taken: %s", text);
        assert_detail("fetch.json");
        assert_null(record.files);
    }
    for (size_t size = 0; size + 1 < sizeof good; size++) {
        char text[512] = "";
        memcpy(text, good, size);
        write_file("fetch.json", text);
        assert_status(fetch_record_read(&record, path), FS_EFORMAT);
    }
    write_file("fetch.json", "{\"source\": \"s\", \"revision\": \"\", \"files\": []}");
    assert_status(fetch_record_read(&record, path), FS_EFORMAT);
    unlink(path);
    assert_status(fetch_record_read(&record, path), FS_ENOENT);
}

static void files_are_compared(void **state)
{
    const fetch_record_file good = file_of("abc", 3, ABC), gone = file_of("gone", 3, ABC);
    write_file("abc", "abc");
    assert_ok(fetch_record_check(&good, dir));
    assert_status(fetch_record_check(&gone, dir), FS_ENOENT);
    write_file("abc", "abd");
    assert_status(fetch_record_check(&good, dir), FS_EMISMATCH);
    assert_detail(ABC);
}

static void files_have_a_limit(void **state)
{
    fetch_record record = {.count = 0};
    for (int i = 0; i < FS_FETCH_FILES_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        const fetch_record_file file = file_of(name, 0, EMPTY);
        assert_ok(fetch_record_put(&record, &file));
    }
    const fetch_record_file more = file_of("more", 0, EMPTY), again = file_of("f7", 1, EMPTY);
    assert_status(fetch_record_put(&record, &more), FS_ELIMIT);
    assert_ok(fetch_record_put(&record, &again));
    fetch_record_free(&record);
}

static void folders_are_cleaned(void **state)
{
    fetch_record record = {.count = 0};
    const fetch_record_file keep = file_of("keep", 0, EMPTY);
    char sub[FS_PATH_BYTES_MAX], deeper[FS_PATH_BYTES_MAX];
    assert_ok(fs_path_join(sub, dir, "sub"));
    assert_ok(fs_dir_make(sub));
    write_file("sub/keep", "");
    write_file("sub/drop", "");
    write_file("sub/drop.part.json", "");
    write_file("sub/" FETCH_RECORD_NAME, "{}");
    assert_ok(fetch_record_put(&record, &keep));
    assert_ok(fetch_record_prune(&record, sub));
    assert_ok(fs_path_join(deeper, sub, "keep"));
    assert_true(fs_file_exists(deeper));
    assert_ok(fs_path_join(deeper, sub, FETCH_RECORD_NAME));
    assert_true(fs_file_exists(deeper));
    assert_ok(fs_path_join(deeper, sub, "drop"));
    assert_false(fs_file_exists(deeper));
    assert_ok(fs_path_join(deeper, sub, "drop.part.json"));
    assert_false(fs_file_exists(deeper));
    fetch_record_free(&record);
    /* A folder in it is nothing of ours, and stops the removal. */
    assert_ok(fs_path_join(deeper, sub, "folder"));
    assert_ok(fs_dir_make(deeper));
    assert_status(fetch_dir_remove(sub), FS_EIO);
    assert_detail("folder");
    assert_int_equal(rmdir(deeper), 0);
    assert_ok(fetch_dir_remove(sub));
    assert_ok(fetch_dir_remove(sub));
    assert_false(fs_file_exists(sub));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_of_files),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(what_is_no_record_is_refused),
        cmocka_unit_test(files_are_compared),
        cmocka_unit_test(files_have_a_limit),
        cmocka_unit_test(folders_are_cleaned),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
