/* One process at a time, whatever order they come and die in. */
#include "testing.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "fetch_lock.h"
#include "file.h"
#include "log.h"

static char *dir;
static char path[FS_PATH_BYTES_MAX], counter[FS_PATH_BYTES_MAX];

static int make_folder(void **state)
{
    fs_log_init("test", FS_LOG_WARN);
    dir = testing_folder();
    return dir == NULL || fs_path_join(path, dir, "x.lock") != FS_OK ||
           fs_path_join(counter, dir, "counter") != FS_OK;
}

static int remove_folder(void **state)
{
    testing_remove(dir);
    return 0;
}

static void taken_and_dropped(void **state)
{
    fetch_lock lock;
    assert_ok(fetch_lock_take(&lock, path));
    assert_true(fs_file_exists(path));
    fetch_lock_drop(&lock);
    fetch_lock_drop(&lock);
    assert_false(fs_file_exists(path));
    assert_status(fetch_lock_take(&lock, "/nonexistent/x.lock"), FS_EIO);
    fetch_lock_drop(&lock);
    /* A link is not followed: a lock is made, not opened. */
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_status(fetch_lock_take(&lock, path), FS_EIO);
    assert_int_equal(unlink(path), 0);
}

/** Adds one to a number in a file, slowly, so that two at once would lose one. */
static int add_one(void)
{
    char text[16] = "0";
    int fd = open(counter, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || pread(fd, text, sizeof text - 1, 0) < 0) return 1;
    long value = strtol(text, NULL, 10);
    usleep(2000);
    int n = snprintf(text, sizeof text, "%ld", value + 1);
    int failed = pwrite(fd, text, (size_t)n, 0) != n;
    close(fd);
    return failed;
}

static void processes_do_not_meet(void **state)
{
    enum { PROCESSES = 6, ROUNDS = 10 };
    for (int p = 0; p < PROCESSES; p++) {
        if (fork() != 0) continue;
        int failed = 0;
        for (int i = 0; i < ROUNDS && !failed; i++) {
            fetch_lock lock;
            failed = fetch_lock_take(&lock, path) != FS_OK || add_one();
            fetch_lock_drop(&lock);
        }
        _exit(failed);
    }
    for (int p = 0; p < PROCESSES; p++) {
        int status;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    char text[16] = "";
    int fd = open(counter, O_RDONLY);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    assert_string_equal(text, "60");
    assert_false(fs_file_exists(path));
}

static void the_dead_let_go(void **state)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        fetch_lock lock;
        if (fetch_lock_take(&lock, path) != FS_OK || write(ready[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(kill(child, SIGKILL), 0);
    fetch_lock lock;
    assert_ok(fetch_lock_take(&lock, path));
    fetch_lock_drop(&lock);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ready[0]);
    close(ready[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taken_and_dropped),
        cmocka_unit_test(processes_do_not_meet),
        cmocka_unit_test(the_dead_let_go),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
