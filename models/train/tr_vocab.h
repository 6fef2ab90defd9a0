/** Makes a vocabulary from text: WordPiece for BERT, byte-level BPE for GPT-2.
 *
 * The same text and size give the same files, byte by byte. One core; a hundred megabytes take
 * seconds. Source: Sennrich et al. 2016; Radford et al. 2019; Schuster and Nakajima 2012 as
 * HuggingFace's BertWordPieceTokenizer and ByteLevelBPETokenizer train them. */
#ifndef TR_VOCAB_H
#define TR_VOCAB_H

#include <stdint.h>

#include "config.h"
#include "status.h"

enum {
    TR_VOCAB_SIZE_MAX = 1 << 20,
    TR_VOCAB_TIMES_LEAST = 2 /* a pair that comes only once is no piece */
};

typedef struct tr_vocab_options {
    fs_model_kind kind;
    uint32_t size;      /* pieces wanted, special tokens included; fewer if the text has no more */
    uint64_t bytes_max; /* of the text, to the last line end before; 0: all of it */
} tr_vocab_options;

/** What was done. */
typedef struct tr_vocab_counts {
    uint64_t bytes; /* of text read */
    uint64_t words; /* in it */
    uint64_t distinct;
    uint32_t pieces; /* of the vocabulary */
} tr_vocab_counts;

/** Reads the text at `path` and writes into `dir`, which is made if need be: vocab.txt and
 * tokenizer_config.json for BERT (lower case, no accents; [PAD] [UNK] [CLS] [SEP] [MASK] first), or
 * vocab.json and merges.txt for GPT-2 (<|endoftext|> last). Each file appears whole or not at all.
 * Errors: FS_ENOENT, FS_EIO, FS_ENOSPC; FS_EFORMAT naming path and the line that is not UTF-8, or
 * that there are no words; FS_EUSAGE for a size with no room for special tokens and characters;
 * FS_ELIMIT, FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_vocab_train(const char *dir, const char *path,
                                       const tr_vocab_options *options, tr_vocab_counts *out);

#endif
