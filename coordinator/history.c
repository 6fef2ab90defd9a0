#include "history.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS_MIN = 32 };

/* The slot that holds the uuid, or the free one where it belongs. FNV-1a. */
static uint32_t *slot_of(const history *self, const char *uuid)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *p = uuid; *p != '\0'; p++) hash = (hash ^ (uint8_t)*p) * 0x100000001b3u;
    size_t at = hash & (self->slot_count - 1);
    while (self->slots[at] != 0 && strcmp(self->workers[self->slots[at] - 1].uuid, uuid) != 0)
        at = (at + 1) & (self->slot_count - 1);
    return &self->slots[at];
}

/* Room for one more worker, with half of the slots free at least. */
static fs_status reserve(history *self)
{
    if (2 * (self->count + 1) <= self->slot_count) return FS_OK;
    size_t slot_count = self->slot_count == 0 ? SLOTS_MIN : 2 * self->slot_count;
    history_worker *workers = realloc(self->workers, slot_count / 2 * sizeof *workers);
    if (workers != NULL) self->workers = workers;
    uint32_t *slots = workers == NULL ? NULL : calloc(slot_count, sizeof *slots);
    if (slots == NULL) return fs_fail(FS_ENOMEM, "no memory for %zu workers", slot_count / 2);
    free(self->slots);
    self->slots = slots;
    self->slot_count = slot_count;
    for (size_t i = 0; i < self->count; i++)
        *slot_of(self, self->workers[i].uuid) = (uint32_t)i + 1;
    return FS_OK;
}

static fs_status find(history *self, const fs_attempt *attempt, history_worker **out)
{
    FS_TRY(reserve(self));
    uint32_t *slot = slot_of(self, attempt->worker);
    if (*slot == 0) {
        history_worker *added = &self->workers[self->count++];
        *added = (history_worker){.first_ms = attempt->started_ms};
        memcpy(added->uuid, attempt->worker, sizeof added->uuid);
        memcpy(added->host, attempt->host, sizeof added->host);
        *slot = (uint32_t)self->count;
    }
    *out = &self->workers[*slot - 1];
    return FS_OK;
}

typedef struct visit {
    history *history;
    fs_status status;
} visit;

static int take_attempt(void *data, const fs_attempt *attempt)
{
    visit *v = data;
    history_worker *w;
    v->status = find(v->history, attempt, &w);
    if (v->status != FS_OK) return 1;
    w->deliveries++;
    w->accepted += attempt->accepted;
    w->duplicates += attempt->duplicates;
    w->mismatches += attempt->mismatches;
    if (attempt->started_ms < w->first_ms) w->first_ms = attempt->started_ms;
    if (attempt->committed_ms > w->last_ms) w->last_ms = attempt->committed_ms;
    return 0;
}

fs_status history_read(history *self, fs_store *store)
{
    visit v = {self, FS_OK};
    FS_TRY(fs_store_each_attempt(store, take_attempt, &v));
    return v.status;
}

void history_free(history *self)
{
    free(self->workers);
    free(self->slots);
    *self = (history){0};
}
