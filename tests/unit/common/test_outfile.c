#include "testing.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "file.h"
#include "outfile.h"

static void expect_contents(const char *path, const char *expected)
{
    fs_buf text = {0};
    assert_ok(fs_file_read(&text, path, 1 << 20));
    assert_string_equal(fs_buf_text(&text), expected);
    fs_buf_free(&text);
}

/* @return files in the folder. */
static int count_files(const char *dir)
{
    char *command = NULL, line[32] = "";
    assert_true(asprintf(&command, "ls -A '%s' | wc -l", dir) > 0);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(line, sizeof line, pipe));
    pclose(pipe);
    free(command);
    return atoi(line);
}

static void test_the_file_appears_when_it_is_whole(void **state)
{
    char *dir = testing_folder(), path[FS_PATH_BYTES_MAX];
    fs_outfile out;
    assert_ok(fs_path_join(path, dir, "out"));
    assert_ok(fs_file_write_atomic(path, "old", 3));
    assert_ok(fs_outfile_open(&out, path));
    fprintf(out.file, "new %d", 1);
    fflush(out.file);
    expect_contents(path, "old");
    assert_ok(fs_outfile_commit(&out));
    expect_contents(path, "new 1");
    assert_int_equal(count_files(dir), 1);
    fs_outfile_drop(&out); /* after a commit: nothing */
    assert_ok(fs_outfile_commit(&out));
    expect_contents(path, "new 1");
    testing_remove(dir);
}

static void test_a_dropped_file_leaves_nothing(void **state)
{
    char *dir = testing_folder(), path[FS_PATH_BYTES_MAX];
    fs_outfile out;
    assert_ok(fs_path_join(path, dir, "out"));
    assert_ok(fs_outfile_open(&out, path));
    fputs("half", out.file);
    fs_outfile_drop(&out);
    fs_outfile_drop(&out);
    assert_int_equal(count_files(dir), 0);
    testing_remove(dir);
}

static void test_a_zeroed_file_is_closed(void **state)
{
    fs_outfile out = {0};
    assert_ok(fs_outfile_commit(&out));
    fs_outfile_drop(&out);
}

static void test_devices_are_written_to_and_not_replaced(void **state)
{
    fs_outfile out;
    struct stat st;
    assert_ok(fs_outfile_open(&out, "/dev/null"));
    fputs("gone", out.file);
    assert_ok(fs_outfile_commit(&out));
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
}

static void test_failures_name_the_path(void **state)
{
    char *dir = testing_folder(), path[FS_PATH_BYTES_MAX], longer[FS_PATH_BYTES_MAX + 1];
    fs_outfile out;
    assert_ok(fs_path_join(path, dir, "missing/out"));
    assert_status(fs_outfile_open(&out, path), FS_EIO);
    assert_detail("missing/out: open: No such file");
    fs_outfile_drop(&out);
    assert_status(fs_outfile_open(&out, dir), FS_EIO); /* a folder */
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_status(fs_outfile_open(&out, longer), FS_ELIMIT);
    testing_remove(dir);
}

static void test_a_full_disk_is_found(void **state)
{
    fs_outfile out;
    assert_ok(fs_outfile_open(&out, "/dev/full"));
    for (int i = 0; i < 100000; i++) fputs("more than a buffer holds", out.file);
    assert_true(ferror(out.file));
    assert_status(fs_outfile_commit(&out), FS_ENOSPC);
    assert_detail("/dev/full: write:");
    assert_ok(fs_outfile_open(&out, "/dev/full"));
    fputs("less than a buffer holds", out.file);
    assert_status(fs_outfile_commit(&out), FS_ENOSPC);
}

/* What a killed writer left goes; what a living one writes, and what is no such file, stays. */
static void test_leftovers_of_the_dead_are_swept(void **state)
{
    char *dir = testing_folder(), path[FS_PATH_BYTES_MAX], other[FS_PATH_BYTES_MAX + 64];
    fs_outfile out;
    assert_ok(fs_path_join(path, dir, "out"));
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(fs_outfile_open(&out, path) == FS_OK ? 0 : 1);
    int ended;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
    assert_int_equal(count_files(dir), 1);
    static const char *const parts[4][3] = {
        {".", "", ".temp"}, {".0", "", ".tmp"}, {"x.", "", ".tmp"}, {".", "x", ".tmp"}};
    for (size_t i = 0; i < 4; i++) {
        snprintf(other, sizeof other, "%s%s%ld%s%s", path, parts[i][0], (long)child, parts[i][1],
                 parts[i][2]);
        assert_ok(fs_file_write_atomic(other, "mine", 4));
    }
    assert_ok(fs_outfile_open(&out, path));
    fs_outfile_sweep(path);
    assert_int_equal(count_files(dir), 5);
    assert_ok(fs_outfile_commit(&out));
    fs_outfile_sweep("/nonexistent/out");
    assert_int_equal(count_files(dir), 5);
    /* A machine knows its own processes only: another's with this number may be at work. */
    char host[65] = "";
    assert_int_equal(gethostname(host, sizeof host - 1), 0);
    snprintf(other, sizeof other, "%s.%ld@not-%s.tmp", path, (long)child, host);
    assert_ok(fs_file_write_atomic(other, "mine", 4));
    snprintf(other, sizeof other, "%s2.%ld@%s.tmp", path, (long)child, host);
    assert_ok(fs_file_write_atomic(other, "gone", 4));
    assert_true(fs_outfile_is_temporary(strrchr(other, '/') + 1, "out2"));
    assert_false(fs_outfile_is_temporary(strrchr(other, '/') + 1, "out"));
    fs_outfile_sweep(path);
    assert_int_equal(count_files(dir), 7);
    fs_outfile_sweep_folder(dir);
    assert_int_equal(count_files(dir), 6);
    testing_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_file_appears_when_it_is_whole),
        cmocka_unit_test(test_a_dropped_file_leaves_nothing),
        cmocka_unit_test(test_a_zeroed_file_is_closed),
        cmocka_unit_test(test_devices_are_written_to_and_not_replaced),
        cmocka_unit_test(test_failures_name_the_path),
        cmocka_unit_test(test_a_full_disk_is_found),
        cmocka_unit_test(test_leftovers_of_the_dead_are_swept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
