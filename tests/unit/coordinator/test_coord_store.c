#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "clock.h"
#include "coord_store.h"
#include "plan_fixture.h"

enum { CELLS = 4, TRIALS = 200000, MESSAGE = 16 };

typedef struct fixture {
    char dir[64];
    plan_fixture *plan;
    uv_loop_t loop;
    fs_store *store;
    coord_store *storage;
    uint64_t finished; /* batches called back */
    uint64_t expected; /* number of the next one, if they come in order */
    uint64_t verdicts[3];
    fs_status status; /* of the last batch */
    int pauses, resumes;
    int closed;
    uv_timer_t timer;
    uint64_t stop_after; /* batches, 0: by the test */
} fixture;

typedef struct message {
    coord_batch batch; /* first: what `done` gets */
    coord_result results[MESSAGE];
    fs_buf bytes[MESSAGE];
    fixture *owner;
    uint64_t number;
} message;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    fixture_mkdir(f->dir);
    f->plan = fixture_new(CELLS, TRIALS, 7);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    fs_store_close(&f->store);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    fixture_rmdir(f->dir);
    fixture_free(f->plan);
    free(f);
    return 0;
}

static void on_pause(void *data, int paused, const char *why)
{
    fixture *f = data;
    f->pauses += paused != 0;
    f->resumes += paused == 0;
    if (paused) assert_non_null(strstr(why, "full"));
}

static void on_closed(void *data)
{
    ((fixture *)data)->closed++;
}

static void start(fixture *f)
{
    fs_status status =
        fs_store_open(&f->store, f->dir, FS_STORE_CREATE, &f->plan->plan, fixture_text);
    if (status != FS_OK) print_message("%s\n", fs_status_detail());
    assert_int_equal(status, FS_OK);
    assert_int_equal(coord_store_start(&f->storage, &f->loop, &f->store, on_pause, f), FS_OK);
    assert_null(f->store);
}

/* Stops, runs the loop to its end, and opens the store for looking. */
static void finish(fixture *f)
{
    if (f->stop_after == 0) coord_store_stop(f->storage, on_closed, f);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(f->closed, 1);
    assert_int_equal(fs_store_open(&f->store, f->dir, FS_STORE_READ, NULL, NULL), FS_OK);
}

static void on_done(coord_batch *batch, fs_status status)
{
    message *m = (message *)batch;
    fixture *f = m->owner;
    assert_int_equal(m->number, f->expected);
    f->expected++;
    f->finished++;
    f->status = status;
    for (size_t i = 0; i < batch->result_count; i++) {
        if (status == FS_OK) {
            f->verdicts[batch->results[i].verdict]++;
            fs_trial_record r = fixture_record(batch->cell, batch->results[i].trial, 0);
            if (batch->results[i].verdict == COORD_NEW) {
                assert_int_equal(batch->results[i].outcome, r.outcome);
                assert_int_equal(batch->results[i].critical, r.critical);
            }
        }
        fs_buf_free(&m->bytes[i]);
    }
    free(m);
    if (f->finished == f->stop_after) coord_store_stop(f->storage, on_closed, f);
}

static message *message_new(fixture *f, uint64_t number, uint32_t cell, uint64_t first,
                            size_t count, uint64_t salt)
{
    message *m = calloc(1, sizeof *m);
    assert_non_null(m);
    m->owner = f;
    m->number = number;
    m->batch = (coord_batch){.cell = cell,
                             .lease = number,
                             .worker = "w",
                             .host = "h",
                             .results = m->results,
                             .result_count = count,
                             .done = on_done};
    for (size_t i = 0; i < count; i++) {
        fixture_encode(&m->bytes[i], cell, first + i, salt);
        m->results[i] = (coord_result){.trial = first + i,
                                       .record = m->bytes[i].data,
                                       .record_bytes = (uint32_t)m->bytes[i].size};
    }
    return m;
}

static void assert_verifies(fixture *f, uint64_t trials_expected)
{
    fs_buf problems = {0};
    uint64_t errors, trials;
    int equal;
    fs_status status = fs_store_verify(f->store, &problems, &errors, &equal, &trials);
    if (status != FS_OK) print_message("%s\n%s", fs_status_detail(), fs_buf_text(&problems));
    assert_int_equal(status, FS_OK);
    assert_int_equal(trials, trials_expected);
    fs_buf_free(&problems);
}

static void test_batches_are_called_back_in_order_with_verdicts(void **state)
{
    fixture *f = *state;
    start(f);
    for (uint64_t i = 0; i < 100; i++)
        coord_store_submit(
            f->storage,
            &message_new(f, i, (uint32_t)(i % CELLS), i / CELLS * MESSAGE, MESSAGE, 0)->batch);
    coord_store_submit(f->storage, &message_new(f, 100, 0, 0, 5, 0)->batch);
    coord_store_submit(f->storage, &message_new(f, 101, 1, 2, 3, 9)->batch);
    coord_store_submit(f->storage, &message_new(f, 102, 1, 0, 0, 0)->batch);
    assert_int_equal(coord_store_pending(f->storage), 103);
    finish(f);
    assert_int_equal(f->finished, 103);
    assert_int_equal(f->verdicts[COORD_NEW], 1600);
    assert_int_equal(f->verdicts[COORD_DUPLICATE], 5);
    assert_int_equal(f->verdicts[COORD_MISMATCH], 3);
    assert_verifies(f, 1600);
}

static int find_event(void *data, uint64_t wall_ms, const char *kind, const char *text)
{
    char *out = data;
    snprintf(out + strlen(out), 300 - strlen(out), "%s;", kind);
    return 0;
}

static void test_events_goldens_and_quarantines_are_stored(void **state)
{
    fixture *f = *state;
    start(f);
    fs_store_golden golden = {.metric = 0.5, .checksum = 1, .kernel = "k", .host = "h"};
    coord_store_event(f->storage, "start", "here");
    coord_store_golden(f->storage, 0, &golden);
    coord_store_golden(f->storage, 0, &golden);
    golden.checksum = 2;
    coord_store_golden(f->storage, 0, &golden);
    coord_store_quarantine(f->storage, 3, 17, "signal 11");
    coord_store_quarantine(f->storage, CELLS, 0, "no such cell");
    coord_store_event(f->storage, "stop", "there");
    finish(f);
    char kinds[300] = "";
    assert_int_equal(fs_store_each_event(f->store, find_event, kinds), FS_OK);
    assert_string_equal(kinds, "start;golden-mismatch;stop;");
    assert_int_equal(fs_store_get_golden(f->store, 0, &golden), FS_OK);
    assert_int_equal(golden.checksum, 1);
    fs_totals totals;
    assert_int_equal(fs_store_totals(f->store, 3, &totals), FS_OK);
    assert_int_equal(totals.quarantined, 1);
}

static void test_what_a_worker_made_up_harms_nobody_else(void **state)
{
    fixture *f = *state;
    start(f);
    fs_status expected[] = {FS_OK, FS_EPROTO, FS_OK, FS_EPROTO, FS_OK, FS_EPROTO};
    message *m[6];
    for (uint64_t i = 0; i < 6; i++) m[i] = message_new(f, i, 0, i * MESSAGE, MESSAGE, 0);
    m[1]->bytes[3].data[9] ^= 1;      /* a record with a wrong checksum */
    m[3]->results[15].trial = TRIALS; /* a trial beyond the cell's */
    m[5]->batch.cell = CELLS;         /* a cell beyond the plan's */
    for (int i = 0; i < 6; i++) {
        /* One at a time, so that each status can be looked at. */
        coord_store_submit(f->storage, &m[i]->batch);
        uint64_t before = f->finished;
        while (f->finished == before) uv_run(&f->loop, UV_RUN_ONCE);
        assert_int_equal(f->status, expected[i]);
    }
    for (uint64_t i = 6; i < 12; i++) m[i - 6] = message_new(f, i, 1, i * MESSAGE, MESSAGE, 0);
    m[1]->results[0].trial = TRIALS; /* and in one group */
    m[2]->bytes[0].data[0] = 99;
    for (int i = 0; i < 6; i++) coord_store_submit(f->storage, &m[i]->batch);
    finish(f);
    assert_verifies(f, (3 + 4) * MESSAGE);
}

/* Small batches, at most a few thousand unacknowledged: what a few hundred workers would send. */
static void test_throughput_is_printed(void **state)
{
    fixture *f = *state;
    enum { BATCHES = 20000 };
    start(f);
    f->stop_after = BATCHES;
    uint64_t started = fs_clock_mono_ms();
    for (uint64_t i = 0; i < BATCHES; i++) {
        coord_store_submit(f->storage, &message_new(f, i, 0, i * 8, 8, 0)->batch);
        if (coord_store_pending(f->storage) > 4096) uv_run(&f->loop, UV_RUN_ONCE);
    }
    finish(f);
    double seconds = (double)(fs_clock_mono_ms() - started) / 1000;
    print_message("%d trials in batches of 8: %.0f durable trials/s\n", BATCHES * 8,
                  BATCHES * 8 / (seconds > 0 ? seconds : 1));
    assert_int_equal(f->verdicts[COORD_NEW], BATCHES * 8);
    assert_verifies(f, BATCHES * 8);
}

/* A full disk. */

static void fill_disk(const char *dir, int *fd)
{
    char path[128], block[4096] = {0};
    snprintf(path, sizeof path, "%s/filler", dir);
    *fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(*fd >= 0);
    while (write(*fd, block, sizeof block) > 0) continue;
}

static void on_timer(uv_timer_t *timer)
{
    fixture *f = timer->data;
    if (f->pauses == 0) return; /* not noticed yet */
    char path[128];
    snprintf(path, sizeof path, "%s/filler", f->dir);
    unlink(path);
    uv_close((uv_handle_t *)timer, NULL);
}

static void test_a_full_disk_pauses_and_goes_on(void **state)
{
    fixture *f = *state;
    if (geteuid() != 0 || mount("tmpfs", f->dir, "tmpfs", 0, "size=2m") != 0) {
        print_message("skipped: needs root to mount a small tmpfs\n");
        skip();
    }
    start(f);
    int fd;
    fill_disk(f->dir, &fd);
    close(fd);
    uv_timer_init(&f->loop, &f->timer);
    f->timer.data = f;
    uv_timer_start(&f->timer, on_timer, 20, 20);
    f->stop_after = 50;
    for (uint64_t i = 0; i < 50; i++)
        coord_store_submit(f->storage, &message_new(f, i, 0, i * MESSAGE, MESSAGE, 0)->batch);
    finish(f);
    assert_int_equal(f->pauses, 1);
    assert_int_equal(f->resumes, 1);
    assert_int_equal(f->verdicts[COORD_NEW], 50 * MESSAGE);
    assert_verifies(f, 50 * MESSAGE);
    fs_store_close(&f->store);
    assert_int_equal(umount(f->dir), 0);
}

static void test_stopping_on_a_full_disk_gives_batches_back(void **state)
{
    fixture *f = *state;
    if (geteuid() != 0 || mount("tmpfs", f->dir, "tmpfs", 0, "size=2m") != 0) {
        print_message("skipped: needs root to mount a small tmpfs\n");
        skip();
    }
    start(f);
    coord_store_submit(f->storage, &message_new(f, 0, 0, 0, MESSAGE, 0)->batch);
    while (f->finished == 0) uv_run(&f->loop, UV_RUN_ONCE);
    int fd;
    fill_disk(f->dir, &fd);
    close(fd);
    for (uint64_t i = 1; i < 50; i++)
        coord_store_submit(f->storage, &message_new(f, i, 0, i * MESSAGE, MESSAGE, 0)->batch);
    while (f->pauses == 0) uv_run(&f->loop, UV_RUN_ONCE);
    finish(f);
    assert_int_equal(f->status, FS_ENOSPC);
    assert_int_equal(f->finished, 50);
    assert_int_equal(f->verdicts[COORD_NEW], MESSAGE);
    assert_verifies(f, MESSAGE);
    fs_store_close(&f->store);
    assert_int_equal(umount(f->dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_batches_are_called_back_in_order_with_verdicts),
        TEST(test_events_goldens_and_quarantines_are_stored),
        TEST(test_what_a_worker_made_up_harms_nobody_else),
        TEST(test_throughput_is_printed),
        TEST(test_a_full_disk_pauses_and_goes_on),
        TEST(test_stopping_on_a_full_disk_gives_batches_back),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
