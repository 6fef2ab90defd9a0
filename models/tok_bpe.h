/** Byte-level BPE as GPT-2 uses it.
 *
 * A word's bytes are merged pairwise, the pair of lowest rank first and of equal ones the leftmost,
 * with a heap: n log n for a word of n bytes, however long. Thread rule: const after opening.
 * Source: openai/gpt-2, src/encoder.py; HuggingFace tokenizers, models/bpe. */
#ifndef TOK_BPE_H
#define TOK_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "tok.h"
#include "tok_index.h"

/** Two neighbours and what they become. */
typedef struct tok_merge {
    int32_t left, right; /* left == -1: a free slot */
    int32_t merged;
    uint32_t rank;
} tok_merge;

typedef struct tok_bpe {
    int32_t byte_ids[256]; /* -1: the vocabulary lacks this byte */
    tok_merge *merges;     /* open addressing by (left, right) */
    size_t capacity;       /* a power of two; 0 while empty */
} tok_bpe;

/** Reads merges.txt (its text given) against the pieces. The first line is a comment if it begins
 * with "#version". Errors: FS_EFORMAT naming `path` and the line, FS_ENOMEM. */
FS_MUST_CHECK fs_status tok_bpe_init(tok_bpe *self, const tok_index *pieces, const char *path,
                                     const char *text, size_t size);
void tok_bpe_free(tok_bpe *self);
/** Appends the ids of text that holds no special tokens. Errors: FS_EFORMAT for a byte that the
 * vocabulary lacks, FS_ELIMIT for a word of more than 64 MiB, FS_ENOMEM. */
FS_MUST_CHECK fs_status tok_bpe_encode(const tok_bpe *self, const char *text, size_t size,
                                       tok_ids *out);
/** Writes the character that stands for a byte in the vocabulary. @return its bytes, 1 or 2. */
size_t tok_bpe_symbol(unsigned char byte, char out[4]);

#endif
