/** A table from pieces of text to ids: XXH3 and open addressing, grown once to its final size.
 *
 * Keys are borrowed and must outlive the table. Zeroed: empty and valid for looking up. Thread
 * rule: const functions are reentrant. */
#ifndef TOK_INDEX_H
#define TOK_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

typedef struct tok_index_slot {
    const char *key; /* NULL: free */
    uint32_t size;
    int32_t id;
} tok_index_slot;

typedef struct tok_index {
    tok_index_slot *slots;
    size_t capacity;  /* a power of two, at least twice the keys; 0 while empty */
    uint32_t longest; /* bytes of the longest key */
} tok_index;

/** Makes room for `count` keys. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tok_index_init(tok_index *self, size_t count);
void tok_index_free(tok_index *self);
/** Adds a key or replaces its id. @return the id it had, -1 if it is new. */
int32_t tok_index_put(tok_index *self, const char *key, size_t size, int32_t id);
/** @return the key's id, -1 if it has none. */
int32_t tok_index_find(const tok_index *self, const char *key, size_t size);

#endif
