/** Running text as tokens, tokenised once by several threads.
 *
 * The text is cut where tokens cannot span (see tr_text.c), so that the ids are those of the whole
 * text at once, for any number of threads. Const after reading. */
#ifndef TR_TEXT_H
#define TR_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "tok.h"
#include "tr_pool.h"

typedef struct tr_text {
    int32_t *ids; /* [count] */
    size_t count;
    uint32_t *documents;     /* [document_count + 1] offsets into ids; no document is empty */
    uint32_t document_count; /* 0 if the text was not divided */
} tr_text;

/** Reads a file of UTF-8 text.
 * @param divide  nonzero: documents are divided by blank lines, which belong to none
 * Errors: FS_ENOENT, FS_EIO, FS_ELIMIT; FS_EFORMAT naming the path, and the line that is not UTF-8,
 * or that there is no text; FS_ENOMEM. `out` is empty then. */
FS_MUST_CHECK fs_status tr_text_read(tr_text *out, const char *path, const tok *tokeniser,
                                     int divide, tr_pool *pool);
void tr_text_free(tr_text *self);

#endif
