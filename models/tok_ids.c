#include "tok_ids.h"

#include <stdlib.h>

fs_status tok_ids_reserve(tok_ids *self, size_t extra)
{
    if (extra <= self->capacity - self->count) return FS_OK;
    if (extra > SIZE_MAX / sizeof(int32_t) / 4 - self->count)
        return fs_fail(FS_ENOMEM, "too many tokens");
    size_t capacity = self->capacity < 64 ? 64 : self->capacity;
    while (capacity - self->count < extra) capacity *= 2;
    int32_t *items = realloc(self->items, capacity * sizeof *items);
    if (items == NULL) return fs_fail(FS_ENOMEM, "no memory for %zu tokens", capacity);
    self->items = items;
    self->capacity = capacity;
    return FS_OK;
}

fs_status tok_ids_push(tok_ids *self, int32_t id)
{
    FS_TRY(tok_ids_reserve(self, 1));
    self->items[self->count++] = id;
    return FS_OK;
}

void tok_ids_free(tok_ids *self)
{
    free(self->items);
    *self = (tok_ids){0};
}
