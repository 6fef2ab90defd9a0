/** The distinct words of a text and how often each comes.
 *
 * A hash table over an arena; words are in the order in which they came. Zeroed: empty. Thread
 * rule: one thread at a time. */
#ifndef TR_WORDS_H
#define TR_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "status.h"

typedef struct tr_word {
    uint64_t count;
    size_t first; /* offset of its bytes */
    uint32_t size;
    uint32_t hash;
} tr_word;

typedef struct tr_words {
    fs_buf bytes;
    tr_word *items; /* [count] */
    uint32_t count;
    uint32_t *slots;   /* [slot_count] index + 1; 0: free */
    size_t slot_count; /* a power of two, at least twice `count`; 0 while empty */
    uint64_t total;    /* words, each as often as it came */
} tr_words;

void tr_words_free(tr_words *self);
/** Counts one word of at least a byte. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_words_add(tr_words *self, const char *text, size_t size);
/** @return the bytes of a word, word->size of them; borrowed until the next word is added. */
const char *tr_words_text(const tr_words *self, const tr_word *word);

#endif
