#include "testing.h"

#include <pthread.h>
#include <stdatomic.h>

#include "assert.h"
#include "clock.h"
#include "wk_pool.h"
#include "wk_simulate.h"

enum { CELLS = 6, VARIANTS = 3, TRIALS = 4096, THREADS_MAX = 8 };

/** Work whose every call is counted. */
typedef struct work {
    atomic_uint runs[CELLS][TRIALS];
    atomic_uint golden_runs[VARIANTS];
    atomic_int in_thread[THREADS_MAX]; /* a thread index is in use by one trial at a time */
    pthread_mutex_t golden_lock;
    uint64_t sleep_us;
    uint32_t bad_cell;       /* its trials with an odd number fail */
    uint32_t broken_variant; /* its golden run fails */
} work;

static fs_status work_golden(void *context, uint32_t variant, wk_golden_info *out)
{
    work *self = context;
    pthread_mutex_lock(&self->golden_lock); /* as the executor: others wait for the first */
    if (atomic_fetch_add(&self->golden_runs[variant], 1) == 0) usleep(20000);
    pthread_mutex_unlock(&self->golden_lock);
    if (variant == self->broken_variant) return fs_fail(FS_EMISMATCH, "variant %u", variant);
    *out = (wk_golden_info){.checksum = 1000 + variant};
    return FS_OK;
}

static fs_status work_run(void *context, unsigned thread, uint32_t cell, uint64_t trial,
                          fs_trial_record *out)
{
    work *self = context;
    FS_ASSERT(atomic_exchange(&self->in_thread[thread], 1) == 0);
    atomic_fetch_add(&self->runs[cell][trial], 1);
    if (self->sleep_us > 0) usleep((useconds_t)self->sleep_us);
    wk_simulate_record(cell, trial, out);
    atomic_store(&self->in_thread[thread], 0);
    if (cell == self->bad_cell && trial % 2 == 1) {
        return fs_fail(FS_EMISMATCH, "trial %llu", (unsigned long long)trial);
    }
    return FS_OK;
}

static uint32_t work_variant(void *context, uint32_t cell)
{
    return cell % VARIANTS;
}

/** What the loop was handed. */
typedef struct seen {
    uv_loop_t loop;
    wk_pool *pool;
    work *work;
    unsigned done[CELLS][TRIALS];
    unsigned golden[VARIANTS];
    uint64_t total, failures, early; /* early: results before their golden run */
    fs_status broken;
    uint64_t lease_of[CELLS];
    int leave_after; /* destroy the pool inside a handler, after so many results */
} seen;

static void on_done(void *data, const wk_done *done)
{
    seen *self = data;
    self->total++;
    self->done[done->cell][done->trial]++;
    self->early += self->golden[done->cell % VARIANTS] == 0;
    assert_true(done->lease == self->lease_of[done->cell]);
    if (done->status == FS_OK) {
        fs_trial_record expected, record;
        wk_simulate_record(done->cell, done->trial, &expected);
        assert_ok(fs_trial_decode(&record, done->record, done->record_bytes));
        assert_true(record.faults_checksum == expected.faults_checksum);
        assert_null(done->why);
    } else {
        char why[32];
        snprintf(why, sizeof why, "trial %llu", (unsigned long long)done->trial);
        assert_string_equal(done->why, why);
        assert_null(done->record);
        self->failures++;
    }
    if (self->leave_after > 0 && self->total == (uint64_t)self->leave_after) {
        wk_pool_destroy(&self->pool);
    }
}

static void on_golden(void *data, uint32_t variant, const wk_golden_info *info)
{
    seen *self = data;
    self->golden[variant]++;
    assert_true(info->checksum == 1000 + variant);
}

static void on_broken(void *data, fs_status status, const char *why)
{
    ((seen *)data)->broken = status;
    assert_string_equal(why, "variant 1");
}

static seen *seen_new(unsigned threads, uint64_t sleep_us)
{
    seen *self = calloc(1, sizeof *self);
    work *w = calloc(1, sizeof *w);
    assert_true(self != NULL && w != NULL);
    pthread_mutex_init(&w->golden_lock, NULL);
    w->sleep_us = sleep_us;
    w->bad_cell = w->broken_variant = UINT32_MAX;
    self->work = w;
    assert_int_equal(uv_loop_init(&self->loop), 0);
    const wk_work table = {work_golden, work_run, work_variant, w, CELLS, VARIANTS};
    const wk_pool_handlers handlers = {on_done, on_golden, on_broken, self};
    assert_ok(wk_pool_new(&self->pool, &self->loop, &table, threads, handlers));
    return self;
}

static void seen_free(seen *self)
{
    if (self->pool != NULL) wk_pool_destroy(&self->pool);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&self->loop), 0);
    pthread_mutex_destroy(&self->work->golden_lock);
    free(self->work);
    free(self);
}

static void lease(seen *self, uint64_t id, uint32_t cell, uint64_t first, uint64_t count)
{
    const fs_lease l = {id, cell, first, count};
    self->lease_of[cell] = id;
    wk_pool_add(self->pool, &l);
}

static void run_to(seen *self, uint64_t total)
{
    while (self->total < total && self->broken == FS_OK) uv_run(&self->loop, UV_RUN_ONCE);
}

static void every_trial_runs_once(void **state)
{
    for (unsigned threads = 1; threads <= THREADS_MAX; threads *= 2) {
        seen *s = seen_new(threads, 0);
        uint64_t total = 0;
        for (uint32_t pair = 0; pair < CELLS; pair += 2) {
            lease(s, 10 + pair, pair, 0, TRIALS);
            lease(s, 11 + pair, pair + 1, 100, 57);
            total += TRIALS + 57;
            run_to(s, total);
        }
        assert_int_equal(s->total, total);
        assert_int_equal(s->early, 0);
        for (uint32_t cell = 0; cell < CELLS; cell++) {
            for (uint64_t t = 0; t < TRIALS; t++) {
                unsigned expected = cell % 2 == 0 || (t >= 100 && t < 157);
                assert_int_equal(s->done[cell][t], expected);
                assert_int_equal(atomic_load(&s->work->runs[cell][t]), expected);
            }
        }
        for (unsigned v = 0; v < VARIANTS; v++) assert_int_equal(s->golden[v], 1);
        assert_int_equal(wk_pool_busy(s->pool), 0);
        seen_free(s);
    }
}

static void what_is_returned_does_not_run(void **state)
{
    for (int round = 0; round < 20; round++) {
        seen *s = seen_new(4, 200);
        lease(s, 1, 0, 0, 2000);
        lease(s, 2, 1, 0, 2000);
        run_to(s, 1 + (uint64_t)round);
        uint64_t second = wk_pool_give_back(s->pool, 2);
        uint64_t first = wk_pool_give_back(s->pool, 1);
        assert_int_equal(second, 2000);
        assert_true(first < 2000);
        assert_int_equal(wk_pool_give_back(s->pool, 1), 0);
        assert_int_equal(wk_pool_give_back(s->pool, 99), 0);
        run_to(s, 2000 - first);
        usleep(2000);
        uv_run(&s->loop, UV_RUN_NOWAIT);
        for (uint64_t t = 0; t < 2000; t++) {
            assert_int_equal(s->done[0][t], t < 2000 - first);
            assert_int_equal(s->done[1][t], 0);
        }
        /* There is room for a lease again. */
        lease(s, 3, 2, 0, 5);
        run_to(s, 2000 - first + 5);
        seen_free(s);
    }
}

static void dropped_leases_end(void **state)
{
    seen *s = seen_new(2, 500);
    lease(s, 1, 0, 0, 2000);
    lease(s, 2, 1, 0, 2000);
    run_to(s, 3);
    wk_pool_drop(s->pool);
    uint64_t give_up = fs_clock_mono_ms() + 5000;
    while (wk_pool_busy(s->pool) > 0 && fs_clock_mono_ms() < give_up) usleep(200);
    assert_int_equal(wk_pool_busy(s->pool), 0);
    lease(s, 3, 2, 7, 1);
    while (s->done[2][7] == 0) uv_run(&s->loop, UV_RUN_ONCE);
    assert_in_range(s->total, 4, 20);
    seen_free(s);
}

static void failures_are_handed_over(void **state)
{
    seen *s = seen_new(3, 0);
    s->work->bad_cell = 4;
    lease(s, 1, 4, 0, 101);
    run_to(s, 101);
    assert_int_equal(s->failures, 50);
    seen_free(s);
}

static void a_broken_golden_run_is_said(void **state)
{
    seen *s = seen_new(2, 0);
    s->work->broken_variant = 1;
    lease(s, 1, 1, 0, 10);
    run_to(s, 1);
    assert_status(s->broken, FS_EMISMATCH);
    assert_int_equal(s->total, 0);
    seen_free(s);
}

static void a_pool_may_go_at_any_time(void **state)
{
    for (int after = 1; after < 30; after++) {
        seen *s = seen_new(4, 50);
        s->leave_after = after;
        lease(s, 1, 0, 0, 3000);
        lease(s, 2, 1, 0, 3000);
        while (s->pool != NULL) uv_run(&s->loop, UV_RUN_ONCE);
        uv_run(&s->loop, UV_RUN_DEFAULT);
        assert_int_equal(s->total, after);
        seen_free(s);
    }
    seen_free(seen_new(4, 0)); /* one that never had work */
}

static void simulated_records_are_valid(void **state)
{
    unsigned outcomes[FS_OUTCOME_COUNT] = {0};
    fs_buf one = {0}, two = {0};
    for (uint64_t trial = 0; trial < 2000; trial++) {
        fs_trial_record record, read;
        wk_simulate_record(3, trial, &record);
        fs_buf_clear(&one);
        fs_buf_clear(&two);
        assert_ok(fs_trial_encode(&record, &one));
        assert_ok(fs_trial_decode(&read, one.data, one.size));
        outcomes[read.outcome]++;
        wk_simulate_record(3, trial, &record);
        assert_ok(fs_trial_encode(&record, &two));
        assert_memory_equal(one.data, two.data, one.size);
    }
    assert_true(outcomes[FS_OUTCOME_MASKED] > 100 && outcomes[FS_OUTCOME_SDC] > 100);
    fs_buf_free(&one);
    fs_buf_free(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_trial_runs_once),
        cmocka_unit_test(what_is_returned_does_not_run),
        cmocka_unit_test(dropped_leases_end),
        cmocka_unit_test(failures_are_handed_over),
        cmocka_unit_test(a_broken_golden_run_is_said),
        cmocka_unit_test(a_pool_may_go_at_any_time),
        cmocka_unit_test(simulated_records_are_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
