#include "wk_holdings.h"

#include <string.h>

#include "assert.h"

void wk_holdings_free(wk_holdings *self)
{
    for (uint32_t i = 0; i < self->count; i++) wk_held_free(&self->at[i]);
    self->count = 0;
}

void wk_holdings_add(wk_holdings *self, const fs_lease *lease)
{
    FS_ASSERT(self->count < FS_LEASES_PER_WORKER_MAX);
    wk_held_init(&self->at[self->count++], lease);
}

void wk_holdings_end(wk_holdings *self, wk_held *held)
{
    self->recent[self->recent_next++ % WK_RECENT_LEASES] = held->granted;
    wk_held_free(held);
    self->count--;
    memmove(held, held + 1, (size_t)(&self->at[self->count] - held) * sizeof *held);
    memset(&self->at[self->count], 0, sizeof *held);
}

void wk_holdings_forget(wk_holdings *self)
{
    memset(self->recent, 0, sizeof self->recent);
}

wk_held *wk_holdings_find(wk_holdings *self, uint64_t lease)
{
    for (uint32_t i = 0; i < self->count; i++)
        if (self->at[i].lease.id == lease) return &self->at[i];
    return NULL;
}

static int same_lease(const fs_lease *a, const fs_lease *b)
{
    return a->id == b->id && a->cell == b->cell && a->first == b->first && a->count == b->count;
}

int wk_holdings_know(const wk_holdings *self, const fs_lease *lease)
{
    for (uint32_t i = 0; i < self->count; i++)
        if (self->at[i].lease.id == lease->id) return 1;
    for (unsigned i = 0; i < WK_RECENT_LEASES; i++)
        if (same_lease(&self->recent[i], lease)) return 1;
    return 0;
}
