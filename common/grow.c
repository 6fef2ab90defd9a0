#include "grow.h"

#include <stdint.h>
#include <stdlib.h>

enum { FIRST_ITEMS = 16 };

void *fs_grow(void *items, size_t count, size_t *capacity, size_t item_bytes)
{
    if (count < *capacity) return items;
    if (*capacity > SIZE_MAX / 2 / item_bytes) return NULL;
    const size_t wanted = *capacity == 0 ? FIRST_ITEMS : 2 * *capacity;
    void *grown = realloc(items, wanted * item_bytes);
    if (grown != NULL) *capacity = wanted;
    return grown;
}
