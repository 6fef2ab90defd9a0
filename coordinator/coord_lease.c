#include "coord_lease.h"

#include <stdlib.h>

#include "assert.h"

enum { NONE = UINT32_MAX >> 1, ILLEGAL = -1 };

/* [state][event]: the next state. */
static const signed char next_state[COORD_LEASE_STATE_COUNT][COORD_LEASE_EVENT_COUNT] = {
#define ROW(grant, results, renew, deadline, end)                                                  \
    {                                                                                              \
        [COORD_LEASE_GRANT] = grant, [COORD_LEASE_RESULTS] = results, [COORD_LEASE_RENEW] = renew, \
        [COORD_LEASE_DEADLINE] = deadline, [COORD_LEASE_END] = end                                 \
    }
    [COORD_LEASE_FREE] = ROW(COORD_LEASE_GRANTED, ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL),
    [COORD_LEASE_GRANTED] = ROW(ILLEGAL, COORD_LEASE_RUNNING, COORD_LEASE_GRANTED,
                                COORD_LEASE_EXPIRED, COORD_LEASE_FREE),
    [COORD_LEASE_RUNNING] = ROW(ILLEGAL, COORD_LEASE_RUNNING, COORD_LEASE_RUNNING,
                                COORD_LEASE_EXPIRED, COORD_LEASE_FREE),
    [COORD_LEASE_EXPIRED] =
        ROW(ILLEGAL, COORD_LEASE_RUNNING, COORD_LEASE_GRANTED, ILLEGAL, COORD_LEASE_FREE),
#undef ROW
};

int coord_lease_allows(const coord_lease *self, coord_lease_event event)
{
    return next_state[self->state][event] != ILLEGAL;
}

coord_lease_state coord_lease_transition(coord_lease *self, coord_lease_event event)
{
    FS_ASSERT(coord_lease_allows(self, event));
    self->state = (coord_lease_state)next_state[self->state][event];
    return self->state;
}

static uint32_t bucket_of(uint64_t id)
{
    return (uint32_t)(id % COORD_LEASE_BUCKETS);
}

fs_status coord_leases_init(coord_leases *self, uint64_t first_id)
{
    *self = (coord_leases){.next_id = first_id > 0 ? first_id : 1, .free_list = NONE};
    self->bucket = malloc(COORD_LEASE_BUCKETS * sizeof *self->bucket);
    if (self->bucket == NULL) return fs_fail(FS_ENOMEM, "no memory for the table of leases");
    for (size_t i = 0; i < COORD_LEASE_BUCKETS; i++) self->bucket[i] = NONE;
    return FS_OK;
}

void coord_leases_free(coord_leases *self)
{
    for (uint32_t i = 0; i < self->used; i++) coord_ranges_free(&self->at[i].rest);
    free(self->at);
    free(self->bucket);
    *self = (coord_leases){0};
}

/** Finds a free slot, growing the table if there is none. */
static fs_status slot(coord_leases *self, uint32_t *out)
{
    if (self->free_list != NONE) {
        *out = self->free_list;
        self->free_list = self->at[*out].chain;
        return FS_OK;
    }
    if (self->used == COORD_LEASES_MAX)
        return fs_fail(FS_ELIMIT, "more than %d leases at once", (int)COORD_LEASES_MAX);
    if (self->used == self->capacity) {
        uint32_t capacity = self->capacity > 0 ? self->capacity * 2 : 16;
        coord_lease *at = realloc(self->at, capacity * sizeof *at);
        if (at == NULL) return fs_fail(FS_ENOMEM, "no memory for %u leases", capacity);
        self->at = at;
        self->capacity = capacity;
    }
    *out = self->used++;
    self->at[*out] = (coord_lease){0};
    return FS_OK;
}

fs_status coord_leases_add(coord_leases *self, uint64_t id, coord_lease **out)
{
    if (id != 0 && coord_leases_find(self, id) != NULL)
        return fs_fail(FS_EPROTO, "lease %llu is held twice", (unsigned long long)id);
    uint32_t at = 0;
    FS_TRY(slot(self, &at));
    while (id == 0 && coord_leases_find(self, self->next_id) != NULL) self->next_id++;
    coord_lease *lease = &self->at[at];
    coord_ranges rest = lease->rest;
    coord_ranges_clear(&rest);
    *lease = (coord_lease){.id = id != 0 ? id : self->next_id++, .rest = rest};
    coord_lease_transition(lease, COORD_LEASE_GRANT);
    lease->chain = self->bucket[bucket_of(lease->id)];
    self->bucket[bucket_of(lease->id)] = at;
    self->live++;
    *out = lease;
    return FS_OK;
}

coord_lease *coord_leases_find(const coord_leases *self, uint64_t id)
{
    uint32_t at = self->bucket[bucket_of(id)];
    while (at != NONE && self->at[at].id != id) at = self->at[at].chain;
    return at == NONE ? NULL : &self->at[at];
}

void coord_leases_end(coord_leases *self, coord_lease *lease)
{
    coord_lease_transition(lease, COORD_LEASE_END);
    uint32_t at = (uint32_t)(lease - self->at);
    uint32_t *link = &self->bucket[bucket_of(lease->id)];
    while (*link != at) {
        FS_ASSERT(*link != NONE);
        link = &self->at[*link].chain;
    }
    *link = lease->chain;
    coord_ranges_clear(&lease->rest);
    lease->chain = self->free_list;
    self->free_list = at;
    self->live--;
}
