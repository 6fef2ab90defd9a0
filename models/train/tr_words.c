#include "tr_words.h"

#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "hash.h"

enum { SLOTS_LEAST = 1 << 12 };

void tr_words_free(tr_words *self)
{
    fs_buf_free(&self->bytes);
    free(self->items);
    free(self->slots);
    *self = (tr_words){0};
}

const char *tr_words_text(const tr_words *self, const tr_word *word)
{
    return fs_buf_text(&self->bytes) + word->first;
}

/** @return the word's slot, or the free one where it would go. */
static uint32_t *find_slot(const tr_words *self, const char *text, size_t size, uint32_t hash)
{
    const size_t mask = self->slot_count - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        if (self->slots[i] == 0) return &self->slots[i];
        const tr_word *word = &self->items[self->slots[i] - 1];
        if (word->hash == hash && word->size == size &&
            memcmp(tr_words_text(self, word), text, size) == 0)
            return &self->slots[i];
    }
}

/** Doubles the table; half as many words as slots have room. */
static fs_status grow(tr_words *self)
{
    const size_t slot_count = self->slot_count == 0 ? SLOTS_LEAST : 2 * self->slot_count;
    tr_word *items = realloc(self->items, slot_count / 2 * sizeof *items);
    if (items != NULL) self->items = items;
    uint32_t *slots = calloc(slot_count, sizeof *slots);
    if (items == NULL || slots == NULL) {
        free(slots);
        return fs_fail(FS_ENOMEM, "no memory for %zu words", slot_count / 2);
    }
    free(self->slots);
    self->slots = slots;
    self->slot_count = slot_count;
    for (uint32_t i = 0; i < self->count; i++) {
        size_t at = self->items[i].hash & (slot_count - 1);
        while (slots[at] != 0) at = (at + 1) & (slot_count - 1);
        slots[at] = i + 1;
    }
    return FS_OK;
}

fs_status tr_words_add(tr_words *self, const char *text, size_t size)
{
    FS_ASSERT(size > 0 && size <= UINT32_MAX);
    if (self->count >= self->slot_count / 2) FS_TRY(grow(self));
    const uint32_t hash = (uint32_t)fs_checksum(text, size);
    uint32_t *slot = find_slot(self, text, size, hash);
    if (*slot == 0) {
        const size_t first = self->bytes.size;
        FS_TRY(fs_buf_append(&self->bytes, text, size));
        self->items[self->count] = (tr_word){.first = first, .size = (uint32_t)size, .hash = hash};
        *slot = ++self->count;
    }
    self->items[*slot - 1].count++;
    self->total++;
    return FS_OK;
}
