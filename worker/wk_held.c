#include "wk_held.h"

#include <stdlib.h>

#include "assert.h"

void wk_held_init(wk_held *self, const fs_lease *lease)
{
    *self = (wk_held){.granted = *lease, .lease = *lease};
}

void wk_held_free(wk_held *self)
{
    free(self->pending);
    free(self->offset);
    fs_buf_free(&self->records);
    self->pending = NULL;
    self->offset = NULL;
    self->pending_count = 0;
}

static fs_status make_room(wk_held *self)
{
    if (self->pending != NULL) return FS_OK;
    self->pending = calloc(FS_RESULTS_PER_MESSAGE_MAX, sizeof *self->pending);
    self->offset = calloc(FS_RESULTS_PER_MESSAGE_MAX, sizeof *self->offset);
    if (self->pending != NULL && self->offset != NULL) return FS_OK;
    wk_held_free(self);
    return fs_fail(FS_ENOMEM, "no memory for a lease's results");
}

fs_status wk_held_done(wk_held *self, const wk_done *done, uint64_t now_ms)
{
    FS_ASSERT(self->done < self->lease.count);
    FS_ASSERT(done->trial >= self->lease.first &&
              done->trial - self->lease.first < self->lease.count);
    if (done->status == FS_OK) {
        FS_ASSERT(self->pending_count < FS_RESULTS_PER_MESSAGE_MAX);
        FS_TRY(make_room(self));
        size_t at = self->records.size;
        FS_TRY(fs_buf_append(&self->records, done->record, done->record_bytes));
        if (self->pending_count == 0) self->pending_since_ms = now_ms;
        self->offset[self->pending_count] = at;
        self->pending[self->pending_count++] =
            (fs_msg_result){.trial = done->trial, .record_bytes = done->record_bytes};
    }
    self->cost_us += done->cost_us;
    self->done++;
    return FS_OK;
}

int wk_held_is_over(const wk_held *self)
{
    return self->done == self->lease.count;
}

static int by_trial(const void *a, const void *b)
{
    uint64_t x = ((const fs_msg_result *)a)->trial, y = ((const fs_msg_result *)b)->trial;
    return (x > y) - (x < y);
}

void wk_held_message(wk_held *self, int last, fs_msg_results *out)
{
    for (uint32_t i = 0; i < self->pending_count; i++) {
        self->pending[i].record = self->records.data + self->offset[i];
    }
    /* Threads end trials a little out of order; the coordinator keeps runs. */
    if (self->pending_count > 1) {
        qsort(self->pending, self->pending_count, sizeof *self->pending, by_trial);
    }
    *out = (fs_msg_results){.lease = self->lease.id,
                            .cell = self->lease.cell,
                            .last = last,
                            .cost_us = self->cost_us,
                            .count = self->pending_count,
                            .results = self->pending};
}

void wk_held_sent(wk_held *self)
{
    self->pending_count = 0;
    self->cost_us = 0;
    fs_buf_clear(&self->records);
}
