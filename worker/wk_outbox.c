#include "wk_outbox.h"

#include <stdlib.h>

static void free_item(wk_outbox_item *item)
{
    fs_buf_free(&item->frame);
    free(item);
}

fs_status wk_outbox_add(wk_outbox *self, fs_msg_results *results, const wk_outbox_item **out)
{
    wk_outbox_item *item = calloc(1, sizeof *item);
    if (item == NULL) return fs_fail(FS_ENOMEM, "no memory for results");
    results->sequence = self->next_sequence;
    fs_message message = {.type = FS_MSG_RESULTS, .u.results = *results};
    fs_status status = fs_message_encode(&message, &item->frame);
    if (status != FS_OK) {
        free_item(item);
        return status;
    }
    item->lease = results->lease;
    item->sequence = self->next_sequence++;
    item->results = results->count;
    if (self->last == NULL) {
        self->first = item;
    } else {
        self->last->next = item;
    }
    self->last = item;
    self->count++;
    self->results += item->results;
    *out = item;
    return FS_OK;
}

int wk_outbox_ack(wk_outbox *self, uint64_t lease, uint64_t sequence)
{
    wk_outbox_item *before = NULL;
    for (wk_outbox_item *item = self->first; item != NULL; before = item, item = item->next) {
        if (item->sequence != sequence || item->lease != lease) continue;
        if (before == NULL) {
            self->first = item->next;
        } else {
            before->next = item->next;
        }
        if (self->last == item) self->last = before;
        self->count--;
        self->results -= item->results;
        free_item(item);
        return 1;
    }
    return 0;
}

void wk_outbox_clear(wk_outbox *self)
{
    while (self->first != NULL) {
        wk_outbox_item *item = self->first;
        self->first = item->next;
        free_item(item);
    }
    self->last = NULL;
    self->count = 0;
    self->results = 0;
}
