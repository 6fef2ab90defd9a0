#include "tok_index.h"

#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "hash.h"

fs_status tok_index_init(tok_index *self, size_t count)
{
    *self = (tok_index){0};
    size_t capacity = 16;
    while (capacity < 2 * count + 1) capacity *= 2;
    self->slots = calloc(capacity, sizeof *self->slots);
    if (self->slots == NULL) return fs_fail(FS_ENOMEM, "no memory for %zu pieces", count);
    self->capacity = capacity;
    return FS_OK;
}

void tok_index_free(tok_index *self)
{
    free(self->slots);
    *self = (tok_index){0};
}

/** @return the key's slot, or the free slot where it would go. */
static tok_index_slot *find_slot(const tok_index *self, const char *key, size_t size)
{
    size_t mask = self->capacity - 1;
    for (size_t i = (size_t)fs_checksum(key, size) & mask;; i = (i + 1) & mask) {
        tok_index_slot *slot = &self->slots[i];
        if (slot->key == NULL) return slot;
        if (slot->size == size && memcmp(slot->key, key, size) == 0) return slot;
    }
}

int32_t tok_index_put(tok_index *self, const char *key, size_t size, int32_t id)
{
    FS_ASSERT(self->capacity > 0 && size <= UINT32_MAX && id >= 0);
    tok_index_slot *slot = find_slot(self, key, size);
    int32_t before = slot->key == NULL ? -1 : slot->id;
    *slot = (tok_index_slot){key, (uint32_t)size, id};
    if (size > self->longest) self->longest = (uint32_t)size;
    return before;
}

int32_t tok_index_find(const tok_index *self, const char *key, size_t size)
{
    if (self->capacity == 0 || size > self->longest) return -1;
    const tok_index_slot *slot = find_slot(self, key, size);
    return slot->key == NULL ? -1 : slot->id;
}
