/* Parts of files: what is gone on with, what is dropped, what gets its name. */
#include "testing.h"

#include "fetch_part.h"
#include "file.h"

/* sha256 of "hello, world" by sha256sum. */
#define HELLO "09ca7e4eaa6e8ae9c7d261167129184883644d07dfba7cbfbc4c8a2e08360d5b"

static char *dir;

static int make_folder(void **state)
{
    dir = testing_folder();
    return dir == NULL;
}

static int remove_folder(void **state)
{
    testing_remove(dir);
    return 0;
}

static fetch_reply whole(uint64_t size, const char *etag)
{
    fetch_reply reply = {.code = 200, .size_known = 1, .bounded = 1, .size = size};
    snprintf(reply.etag, sizeof reply.etag, "%s", etag);
    return reply;
}

static fetch_reply rest(uint64_t first, uint64_t size, const char *etag)
{
    fetch_reply reply = whole(size, etag);
    reply.code = 206;
    reply.first = first;
    return reply;
}

static void open_part(fetch_part *part)
{
    assert_ok(fetch_part_open(part, dir, "f", "https://h/f", 100));
}

/** Leaves "hello" of 12 bytes there, as a process that was killed. */
static void leave_hello(const char *etag)
{
    fetch_part part;
    const fetch_reply reply = whole(12, etag);
    open_part(&part);
    assert_ok(fetch_part_begin(&part, &reply));
    assert_ok(fetch_part_write(&part, "hello", 5));
    fetch_part_close(&part);
    fetch_part_close(&part);
}

static int exists(const char *name)
{
    char path[FS_PATH_BYTES_MAX];
    assert_ok(fs_path_join(path, dir, name));
    return fs_file_exists(path);
}

static void a_file_in_two_pieces(void **state)
{
    fetch_part part;
    char sum[FETCH_SHA256_BYTES];
    leave_hello("\"e\"");
    assert_true(exists("f.part") && exists("f.part.json") && !exists("f"));
    open_part(&part);
    assert_int_equal(part.bytes, 5);
    assert_int_equal(part.size, 12);
    assert_true(fetch_part_resumable(&part, 0));
    assert_false(fetch_part_whole(&part));
    const fetch_reply reply = rest(5, 12, "\"e\"");
    assert_ok(fetch_part_begin(&part, &reply));
    assert_ok(fetch_part_write(&part, ", world", 7));
    assert_true(fetch_part_whole(&part));
    assert_status(fetch_part_write(&part, "!", 1), FS_EPROTO);
    assert_ok(fetch_part_publish(&part, HELLO, sum));
    assert_string_equal(sum, HELLO);
    assert_true(exists("f") && !exists("f.part") && !exists("f.part.json"));
}

static void a_wrong_sum_leaves_nothing(void **state)
{
    fetch_part part;
    char sum[FETCH_SHA256_BYTES], path[FS_PATH_BYTES_MAX];
    assert_ok(fs_path_join(path, dir, "f"));
    unlink(path);
    const fetch_reply reply = whole(5, "");
    open_part(&part);
    assert_ok(fetch_part_begin(&part, &reply));
    assert_ok(fetch_part_write(&part, "hello", 5));
    assert_status(fetch_part_publish(&part, HELLO, sum), FS_EMISMATCH);
    assert_detail(HELLO);
    assert_detail("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"); /* "hello" */
    assert_true(!exists("f") && !exists("f.part") && !exists("f.part.json"));
}

static void answers_that_do_not_fit_start_over(void **state)
{
    fetch_reply bad[6];
    for (int i = 0; i < 6; i++) bad[i] = rest(5, 12, "\"e\"");
    bad[0].first = 4;
    bad[1].first = 0;
    bad[2].size = 13;
    memcpy(bad[3].etag, "\"x\"", 4);
    bad[4].etag[0] = '\0';
    bad[5].first = 6;
    for (int i = 0; i < 6; i++) {
        fetch_part part;
        leave_hello("\"e\"");
        open_part(&part);
        assert_int_equal(part.bytes, 5);
        assert_status(fetch_part_begin(&part, &bad[i]), FS_EPROTO);
        assert_int_equal(part.bytes, 0);
        assert_false(fetch_part_resumable(&part, 1));
        assert_false(exists("f.part.json"));
        fetch_part_close(&part);
    }
}

static void a_whole_answer_starts_over(void **state)
{
    fetch_part part;
    leave_hello("\"e\"");
    open_part(&part);
    const fetch_reply reply = whole(3, "\"n\"");
    assert_ok(fetch_part_begin(&part, &reply));
    assert_int_equal(part.bytes, 0);
    assert_ok(fetch_part_write(&part, "abc", 3));
    assert_true(fetch_part_whole(&part));
    fetch_part_close(&part);
    open_part(&part); /* the note is of the new file */
    assert_string_equal(part.etag, "\"n\"");
    assert_int_equal(part.bytes, 3);
    assert_ok(fetch_part_clear(&part));
    fetch_part_close(&part);
}

static void the_sum_confirms_where_etags_differ(void **state)
{
    fetch_part part;
    fetch_reply reply = whole(12, "\"here\"");
    memcpy(reply.sha256, HELLO, sizeof HELLO);
    open_part(&part);
    assert_ok(fetch_part_begin(&part, &reply));
    assert_ok(fetch_part_write(&part, "hello", 5));
    fetch_reply next = rest(5, 12, "\"there\"");
    memcpy(next.sha256, HELLO, sizeof HELLO);
    assert_ok(fetch_part_begin(&part, &next));
    assert_int_equal(part.bytes, 5);
    next.sha256[0] = '1';
    assert_status(fetch_part_begin(&part, &next), FS_EPROTO);
    fetch_part_close(&part);
}

static void parts_without_a_witness_are_not_gone_on_with(void **state)
{
    fetch_part part;
    leave_hello("");
    open_part(&part);
    assert_int_equal(part.bytes, 5);
    assert_false(fetch_part_resumable(&part, 0));
    assert_true(fetch_part_resumable(&part, 1)); /* the sum will tell */
    assert_ok(fetch_part_clear(&part));
    fetch_part_close(&part);
}

static void parts_of_something_else_are_dropped(void **state)
{
    fetch_part part;
    leave_hello("\"e\"");
    assert_ok(fetch_part_open(&part, dir, "f", "https://h/other", 100));
    assert_int_equal(part.bytes, 0);
    fetch_part_close(&part);
    leave_hello("\"e\"");
    assert_ok(fetch_part_open(&part, dir, "f", "https://h/f", 11)); /* 12 bytes are too many now */
    assert_int_equal(part.bytes, 0);
    fetch_part_close(&part);
}

static void limits(void **state)
{
    fetch_part part;
    char bytes[101] = {0};
    fetch_reply reply = whole(101, "");
    open_part(&part);
    assert_status(fetch_part_begin(&part, &reply), FS_ELIMIT);
    assert_detail("has 101 bytes, at most 100 are taken");
    reply.size = 100;
    assert_ok(fetch_part_begin(&part, &reply));
    reply.size_known = 0;
    assert_ok(fetch_part_begin(&part, &reply));
    assert_status(fetch_part_write(&part, bytes, 101), FS_ELIMIT);
    assert_ok(fetch_part_write(&part, bytes, 100));
    assert_true(fetch_part_whole(&part)); /* nobody said how much it is */
    assert_status(fetch_part_write(&part, bytes, 1), FS_ELIMIT);
    assert_ok(fetch_part_clear(&part));
    fetch_part_close(&part);
    assert_ok(fetch_part_open(&part, dir, "big", "https://h/f", UINT64_MAX));
    reply = whole((uint64_t)1 << 60, "");
    assert_status(fetch_part_begin(&part, &reply), FS_ENOSPC);
    assert_detail("MB more are needed");
    fetch_part_close(&part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_in_two_pieces),
        cmocka_unit_test(a_wrong_sum_leaves_nothing),
        cmocka_unit_test(answers_that_do_not_fit_start_over),
        cmocka_unit_test(a_whole_answer_starts_over),
        cmocka_unit_test(the_sum_confirms_where_etags_differ),
        cmocka_unit_test(parts_without_a_witness_are_not_gone_on_with),
        cmocka_unit_test(parts_of_something_else_are_dropped),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
