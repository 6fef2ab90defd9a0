#include "wk_pool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "clock.h"

/** A lease in the queue: trials from `next` to before `end` are not started. */
typedef struct queued {
    uint64_t lease;
    uint32_t cell;
    uint64_t next;
    uint64_t end;
} queued;

typedef enum event_kind { EVENT_DONE, EVENT_GOLDEN, EVENT_BROKEN } event_kind;

/** What threads hand over, one after the other in a buffer, each followed by `extra` bytes: the
 * record or the text of a failure. */
typedef struct event {
    event_kind kind;
    fs_status status;
    uint64_t lease;
    uint32_t cell; /* or variant */
    uint32_t extra;
    uint64_t trial;
    uint64_t cost_us;
    wk_golden_info golden;
} event;

typedef struct wk_thread {
    wk_pool *pool;
    unsigned index;
    pthread_t id;
    fs_buf record;
} wk_thread;

struct wk_pool {
    wk_work work;
    wk_pool_handlers handlers;
    uv_async_t wake;
    pthread_mutex_t lock; /* over everything down to `busy` */
    pthread_cond_t more;
    queued queue[FS_LEASES_PER_WORKER_MAX];
    unsigned queue_count;
    int stopping;
    fs_buf events;
    uint8_t *golden_known; /* [variants] handed over */
    unsigned busy;
    fs_buf delivering; /* of the loop's thread */
    int joined;
    unsigned thread_count;
    wk_thread *threads;
};

/* ---- thread: compute ---- */

/** Appends an event; the lock is held. Without memory for it the process cannot do its work. */
static void post(wk_pool *self, const event *e, const void *extra)
{
    static const uint8_t zeros[8];
    size_t padding = (8 - e->extra % 8) % 8; /* the next event stays aligned */
    fs_status status = fs_buf_append(&self->events, e, sizeof *e);
    if (status == FS_OK) status = fs_buf_append(&self->events, extra, e->extra);
    if (status == FS_OK) status = fs_buf_append(&self->events, zeros, padding);
    FS_ASSERT(status == FS_OK);
    if (self->events.size == sizeof *e + e->extra + padding) uv_async_send(&self->wake);
}

static void post_failure(wk_pool *self, event *e, fs_status status)
{
    const char *why = fs_status_detail();
    e->status = status;
    e->extra = (uint32_t)strlen(why) + 1;
    post(self, e, why);
}

/** Takes the next trial, waiting for one. @return 0 when the pool stops. The lock is held. */
static int take(wk_pool *self, event *e)
{
    while (self->queue_count == 0 && !self->stopping) {
        pthread_cond_wait(&self->more, &self->lock);
    }
    if (self->stopping) return 0;
    queued *first = &self->queue[0];
    *e = (event){
        .kind = EVENT_DONE, .lease = first->lease, .cell = first->cell, .trial = first->next++};
    if (first->next == first->end) {
        self->queue_count--;
        memmove(&self->queue[0], &self->queue[1], self->queue_count * sizeof self->queue[0]);
    }
    return 1;
}

/** Sees to it that the golden run of a variant is handed over before any of its results. Several
 * threads may ask at once: `golden` lets them wait for the one that makes it. */
static fs_status golden_first(wk_pool *self, uint32_t variant)
{
    pthread_mutex_lock(&self->lock);
    int known = self->golden_known[variant];
    pthread_mutex_unlock(&self->lock);
    if (known) return FS_OK;
    event e = {.kind = EVENT_GOLDEN, .cell = variant};
    fs_status status = self->work.golden(self->work.context, variant, &e.golden);
    pthread_mutex_lock(&self->lock);
    if (status != FS_OK) {
        e.kind = EVENT_BROKEN;
        post_failure(self, &e, status);
    } else if (!self->golden_known[variant]) {
        self->golden_known[variant] = 1;
        post(self, &e, NULL);
    }
    pthread_mutex_unlock(&self->lock);
    return status;
}

/** Runs the trial of `e`. @return nonzero if it has an end to hand over. */
static int run_trial(wk_pool *self, wk_thread *thread, event *e)
{
    fs_trial_record record;
    memset(&record, 0, sizeof record);
    fs_status status = golden_first(self, self->work.variant(self->work.context, e->cell));
    if (status != FS_OK) return 0; /* said as broken, which ends the conversation */
    uint64_t start = fs_clock_mono_ns();
    e->status = self->work.run(self->work.context, thread->index, e->cell, e->trial, &record);
    e->cost_us = (fs_clock_mono_ns() - start) / 1000;
    fs_buf_clear(&thread->record);
    if (e->status == FS_OK) e->status = fs_trial_encode(&record, &thread->record);
    return 1;
}

static void *thread_main(void *data)
{
    wk_thread *thread = data;
    wk_pool *self = thread->pool;
    event e;
    pthread_mutex_lock(&self->lock);
    while (take(self, &e)) {
        self->busy++;
        pthread_mutex_unlock(&self->lock);
        int ended = run_trial(self, thread, &e);
        pthread_mutex_lock(&self->lock);
        self->busy--;
        if (ended && e.status == FS_OK) {
            FS_ASSERT(thread->record.size <= FS_TRIAL_RECORD_BYTES_MAX);
            e.extra = (uint32_t)thread->record.size;
            post(self, &e, thread->record.data);
        } else if (ended) {
            post_failure(self, &e, e.status);
        }
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

/* ---- thread: loop ---- */

static void deliver(wk_pool *self, const event *e)
{
    const uint8_t *extra = (const uint8_t *)(e + 1);
    const wk_pool_handlers *to = &self->handlers;
    switch (e->kind) {
    case EVENT_GOLDEN:
        to->golden(to->data, e->cell, &e->golden);
        break;
    case EVENT_BROKEN:
        to->broken(to->data, e->status, (const char *)extra);
        break;
    case EVENT_DONE: {
        int ok = e->status == FS_OK;
        wk_done done = {.lease = e->lease,
                        .cell = e->cell,
                        .trial = e->trial,
                        .cost_us = e->cost_us,
                        .status = e->status,
                        .record = ok ? extra : NULL,
                        .record_bytes = ok ? e->extra : 0,
                        .why = ok ? NULL : (const char *)extra};
        to->done(to->data, &done);
        break;
    }
    }
}

static void on_wake(uv_async_t *wake)
{
    wk_pool *self = wake->data;
    pthread_mutex_lock(&self->lock);
    fs_buf full = self->events;
    self->events = self->delivering;
    self->delivering = full;
    pthread_mutex_unlock(&self->lock);
    for (size_t at = 0; at < self->delivering.size && !self->stopping;) {
        const event *e = (const event *)(const void *)(self->delivering.data + at);
        deliver(self, e);
        at += sizeof *e + (e->extra + 7u) / 8 * 8;
    }
    fs_buf_clear(&self->delivering);
}

static fs_status start_threads(wk_pool *self)
{
    for (unsigned i = 0; i < self->thread_count; i++) {
        self->threads[i] = (wk_thread){.pool = self, .index = i};
        int rc = pthread_create(&self->threads[i].id, NULL, thread_main, &self->threads[i]);
        if (rc != 0) {
            self->thread_count = i;
            return fs_fail(FS_EIO, "cannot start compute thread %u: %s", i, strerror(rc));
        }
    }
    return FS_OK;
}

fs_status wk_pool_new(wk_pool **out, uv_loop_t *loop, const wk_work *work, unsigned threads,
                      wk_pool_handlers handlers)
{
    FS_ASSERT(threads > 0 && threads <= FS_THREADS_MAX);
    *out = NULL;
    wk_pool *self = calloc(1, sizeof *self);
    wk_thread *all = calloc(threads, sizeof *all);
    uint8_t *known = calloc(work->variants > 0 ? work->variants : 1, 1);
    if (self == NULL || all == NULL || known == NULL ||
        uv_async_init(loop, &self->wake, on_wake) != 0) {
        free(known);
        free(all);
        free(self);
        return fs_fail(FS_ENOMEM, "cannot make %u compute threads", threads);
    }
    self->work = *work;
    self->handlers = handlers;
    self->wake.data = self;
    self->threads = all;
    self->thread_count = threads;
    self->golden_known = known;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->more, NULL);
    fs_status status = start_threads(self);
    if (status == FS_OK) {
        *out = self;
    } else {
        wk_pool_destroy(&self);
    }
    return status;
}

void wk_pool_stop(wk_pool *self)
{
    pthread_mutex_lock(&self->lock);
    self->stopping = 1;
    self->queue_count = 0;
    pthread_cond_broadcast(&self->more);
    pthread_mutex_unlock(&self->lock);
}

void wk_pool_join(wk_pool *self)
{
    for (unsigned i = 0; i < self->thread_count; i++) pthread_join(self->threads[i].id, NULL);
    self->joined = 1;
}

static void on_wake_closed(uv_handle_t *handle)
{
    wk_pool *self = handle->data;
    for (unsigned i = 0; i < self->thread_count; i++) fs_buf_free(&self->threads[i].record);
    fs_buf_free(&self->events);
    fs_buf_free(&self->delivering);
    pthread_cond_destroy(&self->more);
    pthread_mutex_destroy(&self->lock);
    free(self->golden_known);
    free(self->threads);
    free(self);
}

void wk_pool_destroy(wk_pool **pool)
{
    wk_pool *self = *pool;
    *pool = NULL;
    if (self == NULL) return;
    if (!self->joined) {
        wk_pool_stop(self);
        wk_pool_join(self);
    }
    uv_close((uv_handle_t *)&self->wake, on_wake_closed);
}

void wk_pool_add(wk_pool *self, const fs_lease *lease)
{
    FS_ASSERT(lease->cell < self->work.cells && lease->count > 0);
    pthread_mutex_lock(&self->lock);
    FS_ASSERT(self->queue_count < FS_LEASES_PER_WORKER_MAX);
    self->queue[self->queue_count++] =
        (queued){lease->id, lease->cell, lease->first, lease->first + lease->count};
    pthread_cond_broadcast(&self->more);
    pthread_mutex_unlock(&self->lock);
}

uint64_t wk_pool_give_back(wk_pool *self, uint64_t lease)
{
    uint64_t count = 0;
    pthread_mutex_lock(&self->lock);
    for (unsigned i = 0; i < self->queue_count; i++) {
        if (self->queue[i].lease != lease) continue;
        count = self->queue[i].end - self->queue[i].next;
        self->queue_count--;
        memmove(&self->queue[i], &self->queue[i + 1],
                (self->queue_count - i) * sizeof self->queue[0]);
        break;
    }
    pthread_mutex_unlock(&self->lock);
    return count;
}

void wk_pool_drop(wk_pool *self)
{
    pthread_mutex_lock(&self->lock);
    self->queue_count = 0;
    pthread_mutex_unlock(&self->lock);
}

unsigned wk_pool_busy(wk_pool *self)
{
    pthread_mutex_lock(&self->lock);
    unsigned busy = self->busy;
    pthread_mutex_unlock(&self->lock);
    return busy;
}
