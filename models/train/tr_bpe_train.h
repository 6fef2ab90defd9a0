/** Learning a vocabulary of byte-level BPE; see tr_vocab.h. Thread rule: one thread at a time. */
#ifndef TR_BPE_TRAIN_H
#define TR_BPE_TRAIN_H

#include "tr_merge.h"
#include "tr_words.h"

enum {
    TR_BPE_WORD_BYTES_MAX = 1024, /* longer words, which are no words, teach nothing */
    TR_BPE_SIZE_LEAST = 257       /* every byte, and <|endoftext|> */
};

/** Counts the words of text as GPT-2 splits it. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_bpe_count(tr_words *out, const char *text, size_t size);
/** The 256 bytes in GPT-2's order, then merges, up to size - 1 pieces: <|endoftext|> is not among
 * them. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_bpe_train(tr_pieces *out, tr_merges *merges, const tr_words *words,
                                     uint32_t size);
/** Writes vocab.json, <|endoftext|> last, and merges.txt. Errors: FS_EIO, FS_ENOSPC, FS_ELIMIT,
 * FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_bpe_write(const char *dir, const tr_pieces *pieces,
                                     const tr_merges *merges);

#endif
