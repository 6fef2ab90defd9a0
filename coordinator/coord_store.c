/* The storage thread: one queue in, group commits, one list of finished batches out.
 *
 * The loop appends items to `queue`; the thread takes a group when FS_COMMIT_RECORDS_MAX results
 * wait or the first of them has waited FS_COMMIT_MS_MAX, commits it in one transaction, and hands
 * it back through `finished` and a uv_async. Items keep their order throughout. A group that fails
 * for want of space is kept and tried again every second; a batch with a record that cannot be
 * stored is taken out of its group before the transaction, so that it harms no other. */
#include "coord_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "clock.h"
#include "limits.h"
#include "log.h"

enum {
    RETRY_MS = 1000,      /* between tries while the disk is full */
    TEXT_BYTES_MAX = 512, /* of an event or a cause */
    WHY_BYTES_MAX = 512
};

typedef enum item_kind { ITEM_BATCH, ITEM_EVENT, ITEM_GOLDEN, ITEM_QUARANTINE } item_kind;

typedef struct item {
    item_kind kind;
    struct item *next;
    coord_batch *batch; /* ITEM_BATCH */
    fs_status status;   /* not FS_OK: it cannot be stored and is left out */
    uint64_t wall_ms;   /* ITEM_EVENT */
    uint32_t number;    /* variant, or cell */
    uint64_t trial;
    fs_store_golden golden;
    char name[FS_NAME_BYTES_MAX]; /* an event's kind */
    char text[TEXT_BYTES_MAX];
} item;

typedef struct item_list {
    item *first;
    item *last;
    size_t records;
} item_list;

struct coord_store {
    fs_store *store; /* the thread's while it runs */
    uv_thread_t thread;
    uv_mutex_t mutex;
    uv_cond_t wake;
    uv_async_t async;

    /* Under the mutex. */
    item_list queue;
    item_list finished;
    int stopping;
    int ended; /* the thread has nothing left to do */
    int paused;
    char why[WHY_BYTES_MAX];

    /* The loop's own. */
    size_t pending;
    int paused_told;
    void (*on_pause)(void *data, int paused, const char *why);
    void *data;
    void (*closed)(void *data);
    void *closed_data;
};

static void list_push(item_list *list, item *added)
{
    added->next = NULL;
    if (list->last == NULL)
        list->first = added;
    else
        list->last->next = added;
    list->last = added;
    list->records += added->kind == ITEM_BATCH ? added->batch->result_count : 1;
}

static item *list_pop(item_list *list)
{
    item *popped = list->first;
    if (popped == NULL) return NULL;
    list->first = popped->next;
    if (list->first == NULL) list->last = NULL;
    list->records -= popped->kind == ITEM_BATCH ? popped->batch->result_count : 1;
    return popped;
}

/* Thread: storage. */

/* Reads every record before the transaction: what a worker sent must not end the group. */
static fs_status check_batch(coord_batch *batch)
{
    for (size_t i = 0; i < batch->result_count; i++) {
        coord_result *result = &batch->results[i];
        fs_trial_record record;
        fs_status status = fs_trial_decode(&record, result->record, result->record_bytes);
        if (status != FS_OK)
            return fs_fail(FS_EPROTO, "%s sent for trial %llu of cell %u: %s", batch->worker,
                           (unsigned long long)result->trial, batch->cell, fs_status_detail());
        result->outcome = record.outcome;
        result->critical = record.critical;
    }
    return FS_OK;
}

static fs_status put_mismatch_event(fs_store *store, const coord_batch *batch, uint32_t count,
                                    uint64_t first)
{
    char text[TEXT_BYTES_MAX];
    snprintf(text, sizeof text,
             "%u results of cell %u, from trial %llu on, differ from the stored ones; worker %s on "
             "%s, lease %llu",
             count, batch->cell, (unsigned long long)first, batch->worker, batch->host,
             (unsigned long long)batch->lease);
    return fs_store_put_event(store, fs_clock_wall_ms(), "mismatch", text);
}

static fs_status put_batch(fs_store *store, coord_batch *batch)
{
    fs_attempt attempt = {.cell = batch->cell,
                          .first = UINT64_MAX,
                          .lease = batch->lease,
                          .started_ms = batch->started_ms,
                          .committed_ms = fs_clock_wall_ms()};
    memcpy(attempt.worker, batch->worker, sizeof attempt.worker);
    memcpy(attempt.host, batch->host, sizeof attempt.host);
    attempt.worker[sizeof attempt.worker - 1] = attempt.host[sizeof attempt.host - 1] = '\0';
    uint64_t first_mismatch = 0;
    for (size_t i = 0; i < batch->result_count; i++) {
        coord_result *result = &batch->results[i];
        int verdict;
        FS_TRY(fs_store_put_trial(store, batch->cell, result->trial, result->record,
                                  result->record_bytes, &verdict));
        result->verdict = (coord_verdict)verdict;
        if (result->verdict == COORD_MISMATCH && attempt.mismatches == 0)
            first_mismatch = result->trial;
        attempt.accepted += result->verdict == COORD_NEW;
        attempt.duplicates += result->verdict == COORD_DUPLICATE;
        attempt.mismatches += result->verdict == COORD_MISMATCH;
        if (result->trial < attempt.first) attempt.first = result->trial;
        if (result->trial > attempt.last) attempt.last = result->trial;
    }
    if (batch->result_count == 0) return FS_OK;
    if (attempt.mismatches > 0)
        FS_TRY(put_mismatch_event(store, batch, attempt.mismatches, first_mismatch));
    return fs_store_put_attempt(store, &attempt);
}

static fs_status put_golden(fs_store *store, const item *it)
{
    fs_status status = fs_store_put_golden(store, it->number, &it->golden);
    if (status != FS_EMISMATCH) return status;
    fs_warn("%s", fs_status_detail());
    return fs_store_put_event(store, fs_clock_wall_ms(), "golden-mismatch", fs_status_detail());
}

static fs_status put_item(fs_store *store, const item *it)
{
    if (it->status != FS_OK) return FS_OK;
    switch (it->kind) {
    case ITEM_BATCH:
        return put_batch(store, it->batch);
    case ITEM_EVENT:
        return fs_store_put_event(store, it->wall_ms, it->name, it->text);
    case ITEM_GOLDEN:
        return put_golden(store, it);
    case ITEM_QUARANTINE:
        return fs_store_put_quarantine(store, it->number, it->trial, it->text);
    }
    return FS_OK;
}

/* One transaction. `*culprit` is the item that cannot be stored, NULL if it is not one item. */
static fs_status commit_once(fs_store *store, item_list *group, item **culprit)
{
    *culprit = NULL;
    fs_status status = fs_store_begin(store);
    for (item *it = group->first; it != NULL && status == FS_OK; it = it->next) {
        status = put_item(store, it);
        if (status != FS_OK) *culprit = it;
    }
    if (status == FS_OK) status = fs_store_commit(store);
    if (status != FS_OK) fs_store_abort(store);
    return status;
}

static void say_paused(coord_store *self, int paused)
{
    uv_mutex_lock(&self->mutex);
    int changed = self->paused != paused;
    self->paused = paused;
    snprintf(self->why, sizeof self->why, "%s", paused ? fs_status_detail() : "");
    uv_mutex_unlock(&self->mutex);
    if (changed) uv_async_send(&self->async);
}

/* Sleeps until the next try. @return nonzero if the store is to stop. */
static int wait_for_space(coord_store *self)
{
    uv_mutex_lock(&self->mutex);
    uint64_t end = uv_hrtime() + (uint64_t)RETRY_MS * 1000000u;
    while (!self->stopping) {
        uint64_t now = uv_hrtime();
        if (now >= end) break;
        uv_cond_timedwait(&self->wake, &self->mutex, end - now);
    }
    int stopping = self->stopping;
    uv_mutex_unlock(&self->mutex);
    return stopping;
}

static void fail_group(item_list *group, fs_status status)
{
    for (item *it = group->first; it != NULL; it = it->next)
        if (it->status == FS_OK) it->status = status;
}

/* Commits a group, however long the disk stays full. After it every batch has its status. */
static void commit_group(coord_store *self, item_list *group)
{
    for (item *it = group->first; it != NULL; it = it->next)
        if (it->kind == ITEM_BATCH) it->status = check_batch(it->batch);
    int tries = 0;
    for (;;) {
        item *culprit;
        fs_status status = commit_once(self->store, group, &culprit);
        if (status == FS_OK) break;
        /* What is wrong with one item alone must not keep the others. */
        if ((status == FS_EPROTO || status == FS_ECORRUPT) && culprit != NULL) {
            fs_warn("not stored: %s", fs_status_detail());
            culprit->status = status;
            continue;
        }
        if (status != FS_ENOSPC) {
            fs_error("store: %s", fs_status_detail());
            fail_group(group, status);
            break;
        }
        if (tries++ == 0) continue; /* a full map has been grown, or will be on the next begin */
        say_paused(self, 1);
        if (wait_for_space(self) && tries > 2) {
            fail_group(group, status);
            break;
        }
    }
    if (tries > 1) say_paused(self, 0);
}

/* Waits for a group. @return nonzero if there is one, 0 at the end. */
static int take_group(coord_store *self, item_list *group)
{
    *group = (item_list){0};
    uv_mutex_lock(&self->mutex);
    while (self->queue.first == NULL && !self->stopping) uv_cond_wait(&self->wake, &self->mutex);
    uint64_t end = uv_hrtime() + (uint64_t)FS_COMMIT_MS_MAX * 1000000u;
    while (self->queue.records < FS_COMMIT_RECORDS_MAX && !self->stopping) {
        uint64_t now = uv_hrtime();
        if (now >= end) break;
        uv_cond_timedwait(&self->wake, &self->mutex, end - now);
    }
    while (self->queue.first != NULL && group->records < FS_COMMIT_RECORDS_MAX)
        list_push(group, list_pop(&self->queue));
    uv_mutex_unlock(&self->mutex);
    return group->first != NULL;
}

static void storage_main(void *arg)
{
    coord_store *self = arg;
    item_list group;
    while (take_group(self, &group)) {
        commit_group(self, &group);
        uv_mutex_lock(&self->mutex);
        item *it;
        while ((it = list_pop(&group)) != NULL) list_push(&self->finished, it);
        uv_mutex_unlock(&self->mutex);
        uv_async_send(&self->async);
    }
    fs_store_close(&self->store);
    uv_mutex_lock(&self->mutex);
    self->ended = 1;
    uv_mutex_unlock(&self->mutex);
    uv_async_send(&self->async);
}

/* Thread: loop. */

static void on_async_closed(uv_handle_t *handle)
{
    coord_store *self = handle->data;
    void (*closed)(void *) = self->closed;
    void *data = self->closed_data;
    uv_cond_destroy(&self->wake);
    uv_mutex_destroy(&self->mutex);
    free(self);
    if (closed != NULL) closed(data);
}

static void on_async(uv_async_t *async)
{
    coord_store *self = async->data;
    char why[WHY_BYTES_MAX];
    uv_mutex_lock(&self->mutex);
    item_list finished = self->finished;
    self->finished = (item_list){0};
    int ended = self->ended, paused = self->paused;
    memcpy(why, self->why, sizeof why);
    uv_mutex_unlock(&self->mutex);
    if (paused != self->paused_told) {
        self->paused_told = paused;
        if (self->on_pause != NULL) self->on_pause(self->data, paused, why);
    }
    item *it;
    while ((it = list_pop(&finished)) != NULL) {
        if (it->kind == ITEM_BATCH) {
            self->pending--;
            it->batch->done(it->batch, it->status);
        }
        free(it);
    }
    if (!ended || uv_is_closing((uv_handle_t *)async)) return;
    uv_thread_join(&self->thread);
    uv_close((uv_handle_t *)async, on_async_closed);
}

fs_status coord_store_start(coord_store **out, uv_loop_t *loop, fs_store **store,
                            void (*on_pause)(void *data, int paused, const char *why), void *data)
{
    *out = NULL;
    coord_store *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for the storage thread");
    self->on_pause = on_pause;
    self->data = data;
    self->store = *store;
    int rc = uv_mutex_init(&self->mutex);
    if (rc != 0) goto failed;
    rc = uv_cond_init(&self->wake);
    if (rc != 0) goto failed_cond;
    rc = uv_async_init(loop, &self->async, on_async);
    if (rc != 0) goto failed_async;
    self->async.data = self;
    rc = uv_thread_create(&self->thread, storage_main, self);
    if (rc != 0) {
        uv_close((uv_handle_t *)&self->async, on_async_closed); /* frees the rest */
        return fs_fail(FS_EIO, "cannot start the storage thread: %s", uv_strerror(rc));
    }
    *store = NULL;
    *out = self;
    return FS_OK;
failed_async:
    uv_cond_destroy(&self->wake);
failed_cond:
    uv_mutex_destroy(&self->mutex);
failed:
    free(self);
    return fs_fail(FS_EIO, "cannot start the storage thread: %s", uv_strerror(rc));
}

static void submit(coord_store *self, item *it)
{
    uv_mutex_lock(&self->mutex);
    FS_ASSERT(!self->stopping);
    list_push(&self->queue, it);
    uv_cond_signal(&self->wake);
    uv_mutex_unlock(&self->mutex);
}

/* Memory for a queue item is a few hundred bytes; without it a result could neither be stored nor
 * refused, so its lack ends the process, which loses nothing that was acknowledged. */
static item *item_new(item_kind kind)
{
    item *it = calloc(1, sizeof *it);
    FS_ASSERT(it != NULL);
    it->kind = kind;
    return it;
}

void coord_store_submit(coord_store *self, coord_batch *batch)
{
    FS_ASSERT(batch->done != NULL);
    item *it = item_new(ITEM_BATCH);
    it->batch = batch;
    self->pending++;
    submit(self, it);
}

void coord_store_event(coord_store *self, const char *kind, const char *text)
{
    item *it = item_new(ITEM_EVENT);
    it->wall_ms = fs_clock_wall_ms();
    snprintf(it->name, sizeof it->name, "%s", kind);
    snprintf(it->text, sizeof it->text, "%s", text);
    submit(self, it);
}

void coord_store_golden(coord_store *self, uint32_t variant, const fs_store_golden *golden)
{
    item *it = item_new(ITEM_GOLDEN);
    it->number = variant;
    it->golden = *golden;
    submit(self, it);
}

void coord_store_quarantine(coord_store *self, uint32_t cell, uint64_t trial, const char *cause)
{
    item *it = item_new(ITEM_QUARANTINE);
    it->number = cell;
    it->trial = trial;
    snprintf(it->text, sizeof it->text, "%s", cause);
    submit(self, it);
}

size_t coord_store_pending(const coord_store *self)
{
    return self->pending;
}

void coord_store_stop(coord_store *self, void (*closed)(void *data), void *data)
{
    self->closed = closed;
    self->closed_data = data;
    uv_mutex_lock(&self->mutex);
    self->stopping = 1;
    uv_cond_signal(&self->wake);
    uv_mutex_unlock(&self->mutex);
}
