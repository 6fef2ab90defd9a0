#include "coord_workers.h"

#include <stdlib.h>
#include <string.h>

#include "assert.h"

struct coord_workers {
    coord_worker *at[FS_WORKERS_MAX]; /* [end] */
    uint32_t end;
    uint32_t variants;
};

enum { ILLEGAL = -1 };

#define TO(name) COORD_WORKER_##name
/* [state][event]: the next state. */
static const signed char next_state[COORD_WORKER_STATE_COUNT][COORD_WORKER_EVENT_COUNT] = {
    /*                        HELLO          SAYS_READY    DRAINS        LEAVES   FORGET */
    [COORD_WORKER_FREE] = {TO(PREPARING), ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL},
    [COORD_WORKER_PREPARING] = {TO(PREPARING), TO(READY), TO(DRAINING), TO(GONE), ILLEGAL},
    [COORD_WORKER_READY] = {TO(PREPARING), TO(READY), TO(DRAINING), TO(GONE), ILLEGAL},
    [COORD_WORKER_DRAINING] = {TO(DRAINING), TO(DRAINING), TO(DRAINING), TO(GONE), ILLEGAL},
    [COORD_WORKER_GONE] = {TO(PREPARING), ILLEGAL, ILLEGAL, ILLEGAL, TO(FREE)},
};
#undef TO

int coord_worker_allows(const coord_worker *self, coord_worker_event event)
{
    return next_state[self->state][event] != ILLEGAL;
}

coord_worker_state coord_worker_transition(coord_worker *self, coord_worker_event event)
{
    FS_ASSERT(coord_worker_allows(self, event));
    self->state = (coord_worker_state)next_state[self->state][event];
    return self->state;
}

const char *coord_worker_state_name(coord_worker_state state)
{
    switch (state) {
#define X(name, text)                                                                              \
    case COORD_WORKER_##name:                                                                      \
        return text;
        COORD_WORKER_STATE_MAP(X)
#undef X
    case COORD_WORKER_STATE_COUNT:
        break;
    }
    return "unknown";
}

fs_status coord_workers_new(coord_workers **out, uint32_t variants)
{
    coord_workers *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for the table of workers");
    self->variants = variants;
    *out = self;
    return FS_OK;
}

void coord_workers_destroy(coord_workers **self)
{
    if (*self == NULL) return;
    for (uint32_t i = 0; i < (*self)->end; i++) {
        free((*self)->at[i]->golden);
        free((*self)->at[i]);
    }
    free(*self);
    *self = NULL;
}

static int same_peer(const fs_peer *a, const fs_peer *b)
{
    return a->size == b->size && memcmp(a->id, b->id, a->size) == 0;
}

/** Copies a text for people to read: control characters could steer a terminal. */
static void copy_text(char *out, size_t size, fs_text text)
{
    size_t n = text.size < size - 1 ? text.size : size - 1;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text.data[i];
        out[i] = c < 0x20 || c == 0x7f ? '?' : text.data[i];
    }
    out[n] = '\0';
}

/** A place for a new worker: a free one, a fresh one, or that of the one gone longest. */
static fs_status new_place(coord_workers *self, uint32_t *index)
{
    uint32_t oldest = UINT32_MAX;
    for (uint32_t i = 0; i < self->end; i++) {
        coord_worker *worker = self->at[i];
        if (worker->state == COORD_WORKER_FREE) {
            *index = i;
            return FS_OK;
        }
        if (worker->state == COORD_WORKER_GONE &&
            (oldest == UINT32_MAX || worker->heard_ms < self->at[oldest]->heard_ms))
            oldest = i;
    }
    if (self->end < FS_WORKERS_MAX) {
        coord_worker *worker = calloc(1, sizeof *worker);
        uint8_t *golden = calloc(self->variants > 0 ? self->variants : 1, 1);
        if (worker == NULL || golden == NULL) {
            free(worker);
            free(golden);
            return fs_fail(FS_ENOMEM, "no memory for another worker");
        }
        worker->golden = golden;
        self->at[self->end] = worker;
        *index = self->end++;
        return FS_OK;
    }
    if (oldest == UINT32_MAX)
        return fs_fail(FS_ELIMIT, "%d workers take part, no more are let in", (int)FS_WORKERS_MAX);
    coord_worker_transition(self->at[oldest], COORD_WORKER_FORGET);
    *index = oldest;
    return FS_OK;
}

/** @return nonzero if the greeting proves that the process of this worker is over. */
static int supersedes(const fs_msg_hello *hello, const char *uuid, const char *host,
                      const coord_worker *worker, uint64_t now_ms)
{
    if (worker->state == COORD_WORKER_GONE || hello->boot_ms <= worker->boot_ms) return 0;
    if (strcmp(worker->uuid, uuid) == 0) return 1;
    return hello->pid == worker->pid && host[0] != '\0' && strcmp(worker->host, host) == 0 &&
           now_ms - worker->heard_ms >= COORD_WORKER_SILENT_MS;
}

fs_status coord_workers_hello(coord_workers *self, const fs_peer *peer, const fs_msg_hello *hello,
                              uint64_t now_ms, uint32_t *index, int *known, int64_t *former)
{
    char uuid[FS_PROTO_UUID_BYTES + 1], host[FS_PROTO_HOST_BYTES_MAX + 1];
    copy_text(uuid, sizeof uuid, hello->uuid);
    copy_text(host, sizeof host, hello->host);
    uint32_t found = UINT32_MAX;
    *former = -1;
    *known = 0;
    for (uint32_t i = 0; i < self->end; i++) {
        const coord_worker *worker = self->at[i];
        if (worker->state == COORD_WORKER_FREE) continue;
        if (worker->boot_ms == hello->boot_ms && strcmp(worker->uuid, uuid) == 0)
            found = i;
        else if (supersedes(hello, uuid, host, worker, now_ms))
            *former = i;
    }
    if (found == UINT32_MAX) {
        FS_TRY(new_place(self, &found));
        coord_worker *fresh = self->at[found];
        uint8_t *golden = fresh->golden;
        memset(golden, 0, self->variants);
        *fresh = (coord_worker){.generation = fresh->generation + 1, .golden = golden};
    } else {
        *known = self->at[found]->state != COORD_WORKER_GONE;
    }
    coord_worker *worker = self->at[found];
    memcpy(worker->uuid, uuid, sizeof uuid);
    memcpy(worker->host, host, sizeof host);
    copy_text(worker->kernel, sizeof worker->kernel, hello->kernel);
    worker->peer = *peer;
    worker->boot_ms = hello->boot_ms;
    worker->pid = hello->pid;
    worker->threads = hello->threads;
    worker->heard_ms = now_ms;
    coord_worker_transition(worker, COORD_WORKER_HELLO);
    if (hello->draining) coord_worker_transition(worker, COORD_WORKER_DRAINS);
    *index = found;
    return FS_OK;
}

int64_t coord_workers_find(const coord_workers *self, const fs_peer *peer)
{
    for (uint32_t i = 0; i < self->end; i++)
        if (self->at[i]->state != COORD_WORKER_FREE && same_peer(&self->at[i]->peer, peer))
            return i;
    return -1;
}

int64_t coord_workers_by_pid(const coord_workers *self, uint32_t pid, const char *host)
{
    for (uint32_t i = 0; i < self->end; i++) {
        const coord_worker *worker = self->at[i];
        if (worker->state == COORD_WORKER_FREE || worker->state == COORD_WORKER_GONE) continue;
        if (worker->pid == pid && strcmp(worker->host, host) == 0) return i;
    }
    return -1;
}

uint32_t coord_workers_end(const coord_workers *self)
{
    return self->end;
}

coord_worker *coord_workers_at(coord_workers *self, uint32_t index)
{
    FS_ASSERT(index < self->end);
    return self->at[index];
}

uint32_t coord_workers_live(const coord_workers *self)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < self->end; i++)
        count += self->at[i]->state != COORD_WORKER_FREE && self->at[i]->state != COORD_WORKER_GONE;
    return count;
}

uint32_t coord_workers_threads(const coord_workers *self)
{
    uint32_t threads = 0;
    for (uint32_t i = 0; i < self->end; i++)
        if (self->at[i]->state == COORD_WORKER_READY) threads += self->at[i]->threads;
    return threads;
}
