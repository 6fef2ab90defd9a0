/** Learning a vocabulary by merging: the pair of neighbours that comes most often becomes a piece,
 * again and again.
 *
 * Of pairs that come equally often the one with the smallest left id is merged, then the smallest
 * right id: the result depends on the words and their counts only, not on their order. Pairs are
 * counted once and then kept up to date: a merge visits only the words that hold its pair. Thread
 * rule: one thread at a time.
 * Source: Sennrich et al. 2016; HuggingFace tokenizers, models/bpe/trainer.rs. */
#ifndef TR_MERGE_H
#define TR_MERGE_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"
#include "tok_index.h"

/** Pieces of text, each once; a piece's id is its place. */
typedef struct tr_pieces {
    char **items; /* [count] */
    uint32_t count;
    uint32_t most; /* what it has room for */
    tok_index index;
} tr_pieces;

/** Two pieces that became one. */
typedef struct tr_pair {
    int32_t left, right;
} tr_pair;

typedef struct tr_merges {
    tr_pair *items; /* [count] */
    size_t count;
    size_t capacity;
} tr_merges;

/** Words as runs of pieces. Zeroed: empty. */
typedef struct tr_merge_words {
    int32_t *symbols; /* word i's are [first[i], first[i] + length[i]) */
    size_t symbol_count, symbol_capacity;
    size_t *first;
    uint32_t *length;
    uint64_t *times; /* how often it comes */
    uint32_t count;
    size_t capacity;
} tr_merge_words;

/** Makes room for `most` pieces. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_pieces_init(tr_pieces *self, uint32_t most);
void tr_pieces_free(tr_pieces *self);
/** Finds the piece or adds it, for which there must be room. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_pieces_put(tr_pieces *self, const char *text, size_t size, int32_t *id);

void tr_merges_free(tr_merges *self);

void tr_merge_words_free(tr_merge_words *self);
/** Adds a word; one of a single piece has nothing to merge and is left out. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_merge_words_add(tr_merge_words *self, const int32_t *symbols,
                                           uint32_t length, uint64_t times);

/** Merges until there are pieces->most pieces, or no pair comes `least` times.
 * @param words   worked on in place
 * @param prefix  begins pieces that go on within a word ("##", or "" for none): left out where such
 *                a piece is appended to another
 * @param out     the merges in order, appended; two may make the same piece
 * Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_merge_learn(tr_pieces *pieces, tr_merge_words *words, const char *prefix,
                                       uint64_t least, tr_merges *out);

#endif
