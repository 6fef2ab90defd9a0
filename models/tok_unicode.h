/** Unicode as tokenisers need it: decoding, categories, and BERT's normalisation.
 *
 * Categories come from utf8proc (Unicode 15). Compared with HuggingFace tokenizers 0.23 over every
 * assigned character, GPT-2's classes agree everywhere; BERT's normalisation differs for 568
 * characters only, nearly all added after Unicode 8, whose tables the original has.
 * Thread rule: reentrant.
 * Sources: Unicode 15, table 3-7 and section 3.9; HuggingFace tokenizers, normalizers/bert.rs. */
#ifndef TOK_UNICODE_H
#define TOK_UNICODE_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

/** Code points. Zeroed: empty. */
typedef struct tok_points {
    int32_t *items;
    size_t count;
    size_t capacity;
} tok_points;

/** How text becomes what WordPiece reads. */
typedef struct tok_normaliser {
    int lower_case;
    int strip_accents;
    int space_cjk;
} tok_normaliser;

/** What GPT-2's regular expression tells apart. */
typedef enum tok_class { TOK_LETTER, TOK_NUMBER, TOK_SPACE, TOK_OTHER } tok_class;

void tok_points_free(tok_points *self);

/** Decodes one code point. A byte that begins no well-formed sequence gives -1, for as many bytes
 * as the longest beginning of a sequence has there, which is what one U+FFFD stands for.
 * @param size  at least 1
 * @return bytes read, 1 to 4 */
size_t tok_decode(const char *text, size_t size, int32_t *point);
/** Writes a code point, which must be valid, as 1 to 4 bytes. @return how many. */
size_t tok_encode_point(int32_t point, char out[4]);
/** @return the point's class; TOK_OTHER for -1. */
tok_class tok_class_of(int32_t point);
/** White_Space of Unicode. */
int tok_is_space(int32_t point);
/** BERT's punctuation: categories P*, and every ASCII character that is not a letter, digit, space
 * or control. */
int tok_is_punctuation(int32_t point);
/** BERT's "Chinese characters": the CJK blocks of ideographs, as the fast tokenizer bounds them
 * (it leaves out U+2B820 to U+2B91F). */
int tok_is_cjk(int32_t point);
/** Categories Cc, Cf, Cs and Co, but tab, line feed and carriage return. */
int tok_is_control(int32_t point);

/** Replaces `out` by the normalised text: controls, NUL and U+FFFD (so also invalid bytes) go,
 * white space becomes ' ', ideographs get spaces around, accents (category Mn after canonical
 * decomposition) go, upper case becomes lower case. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tok_normalise(const tok_normaliser *self, const char *text, size_t size,
                                      tok_points *out);

#endif
