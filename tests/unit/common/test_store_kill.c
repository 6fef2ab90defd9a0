/* kill -9 at random moments: nothing that was acknowledged may be lost, nothing half written may
 * be seen, and no repair step may be needed. The writer is this program run again; it says through
 * a pipe which trials are durable, and the parent compares after each kill. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plan_fixture.h"
#include "store.h"

enum { KILLS = 220, CELLS = 2, TRIALS = 1000000, GROUP_MAX = 64, SEED = 7 };

/* Writes the trials that follow those stored, in groups; after each commit sends how many. */
static int writer_main(const char *dir, int ack)
{
    plan_fixture *f = fixture_new(CELLS, TRIALS, SEED);
    fs_store *store;
    fs_totals totals;
    fs_buf record = {0};
    if (fs_store_open(&store, dir, FS_STORE_CREATE, &f->plan, fixture_text) != FS_OK) {
        fprintf(stderr, "writer: %s\n", fs_status_detail());
        return 1;
    }
    if (fs_store_totals(store, 0, &totals) != FS_OK) return 2;
    uint64_t next = totals.trials;
    for (;;) {
        if (fs_store_begin(store) != FS_OK) return 3;
        uint64_t first = next, end = next + 1 + fixture_mix(next) % GROUP_MAX;
        for (; next < end; next++) {
            for (uint32_t cell = 0; cell < CELLS; cell++) {
                int verdict;
                fixture_encode(&record, cell, next, 0);
                if (fs_store_put_trial(store, cell, next, record.data, record.size, &verdict) !=
                        FS_OK ||
                    verdict != 0)
                    return 4;
            }
        }
        for (uint32_t cell = 0; cell < CELLS; cell++) {
            const fs_attempt attempt = {.cell = cell,
                                        .first = first,
                                        .last = next - 1,
                                        .accepted = (uint32_t)(next - first)};
            if (fs_store_put_attempt(store, &attempt) != FS_OK) return 5;
        }
        if (fs_store_commit(store) != FS_OK) return 6;
        if (write(ack, &next, sizeof next) != sizeof next) return 7;
    }
}

/* Runs a writer, kills it a random time after its first commit, or, a quarter of the time, after
 * its start. @return the trials of each cell it acknowledged last,
 * `before` if none. */
static uint64_t run_and_kill(const char *dir, uint64_t before, uint64_t seed)
{
    uint64_t acknowledged = before, number;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char text[16];
        snprintf(text, sizeof text, "%d", ends[1]);
        execl("/proc/self/exe", "writer", dir, text, (char *)NULL);
        _exit(9);
    }
    close(ends[1]);
    int from_start = seed % 4 == 0;
    if (!from_start && read(ends[0], &number, sizeof number) == sizeof number)
        acknowledged = number;
    long most = from_start ? 60000 : 6000; /* microseconds */
    struct timespec pause = {.tv_nsec = (long)((seed >> 8) % (uint64_t)most) * 1000};
    nanosleep(&pause, NULL);
    kill(pid, SIGKILL);
    while (read(ends[0], &number, sizeof number) == sizeof number) acknowledged = number;
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status)); /* it did not leave by itself, which would be an error */
    return acknowledged;
}

/* Trials [from, to) are there and are the right ones. */
static void assert_trials(fs_store *store, uint64_t from, uint64_t to)
{
    fs_buf stored = {0}, expected = {0};
    for (uint64_t t = from; t < to; t++) {
        uint32_t cell = (uint32_t)(t % CELLS);
        fs_buf_clear(&stored);
        assert_int_equal(fs_store_get_trial(store, cell, t, &stored), FS_OK);
        fixture_encode(&expected, cell, t, 0);
        assert_int_equal(stored.size, expected.size);
        assert_memory_equal(stored.data, expected.data, stored.size);
    }
    fs_buf_free(&stored);
    fs_buf_free(&expected);
}

/* Between two commits there is no state: both cells have the same trials, as one run. */
static uint64_t assert_whole(fs_store *store)
{
    fs_totals totals[CELLS];
    for (uint32_t cell = 0; cell < CELLS; cell++) {
        fs_range *done;
        size_t count;
        assert_int_equal(fs_store_totals(store, cell, &totals[cell]), FS_OK);
        assert_int_equal(fs_store_done(store, cell, &done, &count), FS_OK);
        assert_int_equal(count, totals[cell].trials > 0);
        if (count > 0) assert_int_equal(done[0].first, 0);
        if (count > 0) assert_int_equal(done[0].count, totals[cell].trials);
        free(done);
    }
    assert_int_equal(totals[0].trials, totals[1].trials);
    return totals[0].trials;
}

static void test_kill_nine_loses_nothing_acknowledged(void **state)
{
    char dir[64];
    fixture_mkdir(dir);
    uint64_t acknowledged = 0, checked = 0, seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    unsigned idle = 0;
    for (int i = 0; i < KILLS; i++) {
        seed = fixture_mix(seed + 0x9e3779b97f4a7c15u);
        uint64_t before = acknowledged;
        acknowledged = run_and_kill(dir, acknowledged, seed);
        idle += acknowledged == before;
        fs_store *store;
        fs_status status = fs_store_open(&store, dir, FS_STORE_READ, NULL, NULL);
        if (status == FS_ENOENT && acknowledged == 0) continue; /* killed before the first commit */
        if (status != FS_OK) print_message("%s\n", fs_status_detail());
        assert_int_equal(status, FS_OK);
        uint64_t stored = assert_whole(store);
        /* A commit may be durable whose acknowledgement was cut off, never the other way round. */
        assert_true(stored >= acknowledged);
        assert_true(stored <= acknowledged + GROUP_MAX);
        assert_trials(store, checked, stored);
        checked = acknowledged = stored;
        fs_store_close(&store);
    }
    print_message("%d kills, %llu trials, %u kills before a commit\n", KILLS,
                  (unsigned long long)checked, idle);
    assert_true(idle < KILLS / 2); /* otherwise little was tested */
    fs_store *store;
    fs_buf problems = {0};
    uint64_t errors, trials;
    int equal;
    assert_int_equal(fs_store_open(&store, dir, FS_STORE_READ, NULL, NULL), FS_OK);
    fs_status status = fs_store_verify(store, &problems, &errors, &equal, &trials);
    if (status != FS_OK) print_message("%s\n", fs_buf_text(&problems));
    assert_int_equal(status, FS_OK);
    assert_true(equal);
    assert_int_equal(errors, 0);
    assert_int_equal(trials, checked * CELLS);
    fs_store_close(&store);
    fs_buf_free(&problems);
    fixture_rmdir(dir);
}

int main(int argc, char **argv)
{
    if (argc == 3) return writer_main(argv[1], atoi(argv[2]));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill_nine_loses_nothing_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
