#include "tr_pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"

typedef struct helper {
    tr_pool *pool;
    unsigned index; /* 1..threads-1; the caller is 0 */
    pthread_t id;
} helper;

struct tr_pool {
    unsigned threads;
    unsigned started; /* helpers that must be joined */
    helper *helpers;
    pthread_mutex_t lock; /* over everything but `next` */
    pthread_cond_t more, left;
    uint64_t round; /* counts runs, so that a helper enters each at most once */
    int open;       /* nonzero: the current run still takes helpers in */
    int stopping;
    unsigned inside; /* helpers at work */
    tr_task *task;
    void *context;
    size_t count;
    atomic_size_t next; /* task to be taken */
};

static void work(tr_pool *self, tr_task *task, void *context, size_t count, unsigned thread)
{
    size_t mine;
    while ((mine = atomic_fetch_add_explicit(&self->next, 1, memory_order_relaxed)) < count) {
        task(context, mine, thread);
    }
}

static void *helper_main(void *data)
{
    helper *me = data;
    tr_pool *self = me->pool;
    uint64_t seen = 0;
    pthread_mutex_lock(&self->lock);
    while (1) {
        while (!self->stopping && (!self->open || self->round == seen)) {
            pthread_cond_wait(&self->more, &self->lock);
        }
        if (self->stopping) break;
        seen = self->round;
        self->inside++;
        tr_task *task = self->task;
        void *context = self->context;
        const size_t count = self->count;
        pthread_mutex_unlock(&self->lock);
        work(self, task, context, count, me->index);
        pthread_mutex_lock(&self->lock);
        if (--self->inside == 0) pthread_cond_signal(&self->left);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

fs_status tr_pool_new(tr_pool **out, unsigned threads)
{
    *out = NULL;
    FS_ASSERT(threads > 0);
    tr_pool *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a pool of threads");
    self->threads = threads;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->more, NULL);
    pthread_cond_init(&self->left, NULL);
    atomic_init(&self->next, 0);
    fs_status status = FS_OK;
    self->helpers = calloc(threads, sizeof *self->helpers);
    if (self->helpers == NULL) {
        status = fs_fail(FS_ENOMEM, "no memory for a pool of %u threads", threads);
        goto out;
    }
    while (self->started + 1 < threads) {
        helper *h = &self->helpers[self->started];
        *h = (helper){.pool = self, .index = self->started + 1};
        const int error = pthread_create(&h->id, NULL, helper_main, h);
        if (error != 0) {
            status = fs_fail(FS_EIO, "cannot start thread %u of %u: %s", h->index + 1, threads,
                             strerror(error));
            goto out;
        }
        self->started++;
    }
out:
    if (status != FS_OK) tr_pool_destroy(&self);
    *out = self;
    return status;
}

void tr_pool_destroy(tr_pool **self)
{
    tr_pool *pool = *self;
    if (pool == NULL) return;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = 1;
    pthread_cond_broadcast(&pool->more);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->started; i++) pthread_join(pool->helpers[i].id, NULL);
    pthread_cond_destroy(&pool->left);
    pthread_cond_destroy(&pool->more);
    pthread_mutex_destroy(&pool->lock);
    free(pool->helpers);
    free(pool);
    *self = NULL;
}

void tr_pool_run(tr_pool *self, size_t count, tr_task *task, void *context)
{
    if (count == 0) return;
    atomic_store_explicit(&self->next, 0, memory_order_relaxed);
    if (self->threads == 1 || count == 1) {
        work(self, task, context, count, 0);
        return;
    }
    pthread_mutex_lock(&self->lock);
    FS_ASSERT(!self->open && self->inside == 0);
    self->task = task;
    self->context = context;
    self->count = count;
    self->round++;
    self->open = 1;
    pthread_cond_broadcast(&self->more);
    pthread_mutex_unlock(&self->lock);
    work(self, task, context, count, 0);
    /* A helper that comes now would find nothing to do, so nobody waits for it. */
    pthread_mutex_lock(&self->lock);
    self->open = 0;
    while (self->inside > 0) pthread_cond_wait(&self->left, &self->lock);
    pthread_mutex_unlock(&self->lock);
}

unsigned tr_pool_threads(const tr_pool *self)
{
    return self->threads;
}
