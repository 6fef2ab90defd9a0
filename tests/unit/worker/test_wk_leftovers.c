/* Old checkpoints go, and nothing else. */
#include "testing.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "limits.h"
#include "wk_leftovers.h"

static void write_file(const char *dir, const char *name, long seconds, long nanoseconds)
{
    char path[FS_PATH_BYTES_MAX];
    assert_ok(fs_path_join(path, dir, name));
    assert_ok(fs_file_write_atomic(path, "x", 1));
    const struct timespec times[2] = {{seconds, nanoseconds}, {seconds, nanoseconds}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static int is_there(const char *dir, const char *name)
{
    char path[FS_PATH_BYTES_MAX];
    assert_ok(fs_path_join(path, dir, name));
    return fs_file_exists(path);
}

static void the_newest_stay(void **state)
{
    char *dir = testing_folder(), name[32];
    /* 100 in an order of its own: the i-th is the (37 i mod 100)-th oldest. */
    for (long i = 0; i < 100; i++) {
        const long age = 37 * i % 100;
        snprintf(name, sizeof name, "%ld.run", i);
        write_file(dir, name, 1000000 + age / 4, age % 4);
    }
    write_file(dir, "notes", 1, 0);
    write_file(dir, ".run", 1, 0);
    write_file(dir, "1.run.77@elsewhere-than-here.tmp", 1, 0);
    wk_leftovers_sweep(dir, 30);
    for (long i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "%ld.run", i);
        assert_int_equal(is_there(dir, name), 37 * i % 100 >= 70);
    }
    assert_true(is_there(dir, "notes") && is_there(dir, ".run"));
    assert_true(is_there(dir, "1.run.77@elsewhere-than-here.tmp"));
    wk_leftovers_sweep(dir, 30);
    wk_leftovers_sweep("/nonexistent", 0);
    assert_true(is_there(dir, "27.run")); /* the newest: 37 * 27 = 999 */
    wk_leftovers_sweep(dir, 0);
    assert_false(is_there(dir, "27.run"));
    testing_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_newest_stay)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
