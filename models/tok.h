/** Tokenisers: WordPiece and byte-level BPE from HuggingFace folders. No weights needed.
 *
 * Opaque; const after opening, reentrant afterwards. Source: transformers' BertTokenizerFast and
 * GPT2TokenizerFast; traps in `engine.md`. */
#ifndef TOK_H
#define TOK_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

typedef struct tok tok;

/** A growing list of ids. Zeroed: empty. */
typedef struct tok_ids {
    int32_t *items;
    size_t count;
    size_t capacity;
} tok_ids;

/** Tokens with a part to play. */
typedef enum tok_special {
    TOK_SPECIAL_UNKNOWN, /* [UNK] */
    TOK_SPECIAL_FIRST,   /* [CLS] */
    TOK_SPECIAL_LAST,    /* [SEP] */
    TOK_SPECIAL_MASK,    /* [MASK] */
    TOK_SPECIAL_PAD,     /* [PAD] */
    TOK_SPECIAL_END,     /* <|endoftext|> */
    TOK_SPECIAL_COUNT
} tok_special;

/** Opens vocab.txt (WordPiece; tokenizer_config.json may say do_lower_case) or vocab.json +
 * merges.txt (BPE), chosen by what is there, config.json's model_type deciding if both are.
 * Errors: FS_ENOENT naming what lacks; FS_EFORMAT naming file and line; FS_ELIMIT. */
FS_MUST_CHECK fs_status tok_open(tok **out, const char *dir);
void tok_close(tok **self);
/** Appends the ids of UTF-8 text (invalid bytes: U+FFFD for WordPiece, as bytes for BPE, as the
 * originals do). No special tokens. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tok_encode(const tok *self, const char *text, size_t size, tok_ids *out);
/** The same with the model's special tokens: [CLS] text [SEP] for WordPiece, cut to `max` ids with
 * the specials kept (0: no limit); plain for BPE, cut to `max`. */
FS_MUST_CHECK fs_status tok_encode_input(const tok *self, const char *text, size_t size, size_t max,
                                         tok_ids *out);
void tok_ids_free(tok_ids *self);
size_t tok_vocab_size(const tok *self);
/** @return the piece's text as in the vocabulary, NULL out of range; borrowed. */
const char *tok_piece(const tok *self, int32_t id);
/** @return the id of a special token, as tokenizer_config.json names it; -1 if there is none. */
int32_t tok_special_id(const tok *self, tok_special which);

#endif
