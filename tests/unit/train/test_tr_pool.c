#include "testing.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "tr_pool.h"

enum { TASKS_MAX = 1000, THREADS_MAX = 5 };

/* Plain memory on purpose: under the thread sanitizer it shows that the end of a run orders what
 * its tasks wrote before what the caller reads. */
typedef struct tally {
    unsigned threads;
    unsigned runs[TASKS_MAX];
    uint64_t by_thread[THREADS_MAX];
    uint64_t seed;
    uint64_t out[TASKS_MAX];
} tally;

static void count(void *context, size_t task, unsigned thread)
{
    tally *self = context;
    assert_true(thread < self->threads);
    self->runs[task]++;
    self->by_thread[thread]++;
    self->out[task] = self->seed * 1000003 + task;
}

static void runs_each_task_once(void **state)
{
    for (unsigned threads = 1; threads <= THREADS_MAX; threads++) {
        tr_pool *pool;
        assert_ok(tr_pool_new(&pool, threads));
        assert_int_equal(tr_pool_threads(pool), threads);
        tally *t = calloc(1, sizeof *t);
        assert_non_null(t);
        t->threads = threads;
        uint64_t done = 0;
        for (unsigned round = 0; round < 300; round++) {
            const size_t tasks = round % 7 == 0 ? round % 3 : (round * 37) % TASKS_MAX;
            memset(t->runs, 0, sizeof t->runs);
            t->seed = round;
            tr_pool_run(pool, tasks, count, t);
            for (size_t i = 0; i < TASKS_MAX; i++) {
                assert_int_equal(t->runs[i], i < tasks);
                if (i < tasks) assert_true(t->out[i] == t->seed * 1000003 + i);
            }
            done += tasks;
        }
        for (unsigned i = 0; i < threads; i++) done -= t->by_thread[i];
        assert_true(done == 0);
        free(t);
        tr_pool_destroy(&pool);
        assert_null(pool);
        tr_pool_destroy(&pool);
    }
}

/* As many tasks as threads, each of which ends only when all have begun. */
typedef struct meeting {
    pthread_mutex_t lock;
    pthread_cond_t all_here;
    unsigned wanted, here;
    unsigned seen[THREADS_MAX];
    atomic_int late;
} meeting;

static void meet(void *context, size_t task, unsigned thread)
{
    meeting *self = context;
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 30;
    pthread_mutex_lock(&self->lock);
    self->seen[thread]++;
    if (++self->here == self->wanted) pthread_cond_broadcast(&self->all_here);
    while (self->here < self->wanted) {
        if (pthread_cond_timedwait(&self->all_here, &self->lock, &deadline) == ETIMEDOUT) {
            atomic_store(&self->late, 1);
            break;
        }
    }
    pthread_mutex_unlock(&self->lock);
}

static void works_with_all_threads_at_once(void **state)
{
    tr_pool *pool;
    assert_ok(tr_pool_new(&pool, THREADS_MAX));
    for (unsigned round = 0; round < 50; round++) {
        meeting m = {.wanted = THREADS_MAX};
        pthread_mutex_init(&m.lock, NULL);
        pthread_cond_init(&m.all_here, NULL);
        atomic_init(&m.late, 0);
        tr_pool_run(pool, THREADS_MAX, meet, &m);
        assert_int_equal(atomic_load(&m.late), 0);
        for (unsigned i = 0; i < THREADS_MAX; i++) assert_int_equal(m.seen[i], 1);
        pthread_cond_destroy(&m.all_here);
        pthread_mutex_destroy(&m.lock);
    }
    tr_pool_destroy(&pool);
}

static void ends_without_having_run(void **state)
{
    for (unsigned round = 0; round < 100; round++) {
        tr_pool *pool;
        assert_ok(tr_pool_new(&pool, 1 + round % THREADS_MAX));
        tr_pool_destroy(&pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_each_task_once),
        cmocka_unit_test(works_with_all_threads_at_once),
        cmocka_unit_test(ends_without_having_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
