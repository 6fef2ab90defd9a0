/** WordPiece as BERT uses it: normalise, split at spaces and punctuation, longest match first.
 *
 * Thread rule: const after opening. Source: HuggingFace tokenizers, models/wordpiece. */
#ifndef TOK_WORDPIECE_H
#define TOK_WORDPIECE_H

#include <stddef.h>
#include <stdint.h>

#include "tok.h"
#include "tok_index.h"
#include "tok_unicode.h"

enum { TOK_WORDPIECE_POINTS_MAX = 100 /* longer words are unknown */ };

typedef struct tok_wordpiece {
    tok_normaliser normaliser;
    tok_index continues; /* pieces that begin with "##", without it */
    int32_t unknown;
} tok_wordpiece;

/** Indexes the continuing ones of `count` pieces. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tok_wordpiece_init(tok_wordpiece *self, const char *const *pieces,
                                           size_t count);
void tok_wordpiece_free(tok_wordpiece *self);
/** Finds the next word of normalised text: a run without white space or punctuation, or one
 * punctuation mark. @param from  where to look; set to where the word begins
 * @return the word's points, 0 if there is none left */
size_t tok_wordpiece_word(const tok_points *points, size_t *from);
/** Appends the ids of text that holds no special tokens. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tok_wordpiece_encode(const tok_wordpiece *self, const tok_index *pieces,
                                             const char *text, size_t size, tok_ids *out);

#endif
