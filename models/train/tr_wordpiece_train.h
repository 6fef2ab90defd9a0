/** Learning a WordPiece vocabulary; see tr_vocab.h. Thread rule: one thread at a time. */
#ifndef TR_WORDPIECE_TRAIN_H
#define TR_WORDPIECE_TRAIN_H

#include "tr_merge.h"
#include "tr_words.h"

/** Counts the words of UTF-8 text as BERT sees them. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_wordpiece_count(tr_words *out, const char *text, size_t size);
/** Special tokens, then the text's characters at a word's beginning and ("##") within words, by
 * code point, then merges. Of very many characters the rarest are left out, and words with them.
 * Errors: FS_EUSAGE if `size` has no room for the characters, FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_wordpiece_train(tr_pieces *out, const tr_words *words, uint32_t size);
/** Writes vocab.txt and tokenizer_config.json. Errors: FS_EIO, FS_ENOSPC, FS_ELIMIT, FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_wordpiece_write(const char *dir, const tr_pieces *pieces);

#endif
