/** Where a run's batches come from: a pure function of (data, seed, step).
 *
 * Nothing needs to be remembered between steps, so a run that goes on after a kill sees the same
 * batches. An epoch is a permutation of the examples; within a window of many batches examples are
 * sorted by length (a packed batch then has a steady size), and the batches of a window shuffled.
 * Thread rule: one thread at a time. */
#ifndef TR_SOURCE_H
#define TR_SOURCE_H

#include "tok.h"
#include "tr_net.h"

typedef struct tr_source tr_source;

typedef struct tr_source_options {
    tr_head head;
    uint64_t seed;
    uint32_t batch;  /* sequences in a step, >= 1 */
    uint32_t window; /* tokens of a sequence of running text (causal, masked), specials included */
    double masking;  /* TR_HEAD_MASKED: share of tokens to predict, 0.15: of them 80 % become
                        [MASK], 10 % a random token, 10 % stay (Devlin et al. 2019) */
} tr_source_options;

/** Reads TSV (TR_HEAD_CLASSIFY; as dataset.h) or plain text and tokenises it, with a thread for
 * each core. TR_HEAD_CAUSAL: windows side by side over the whole text as it is; each row but a
 * window's last answers. TR_HEAD_MASKED: documents are divided by blank lines and cut into even
 * sequences of at most `window`; [CLS] and [SEP] go around each, and one token at least is to be
 * predicted. Errors: as dataset_read; FS_EUSAGE for an empty set, a batch of none, a window that
 * does not fit the model; FS_EUNSUPPORTED for a vocabulary without [MASK]. */
FS_MUST_CHECK fs_status tr_source_open(tr_source **out, const char *path, const fs_config *config,
                                       const tok *tokeniser, const tr_source_options *options);
void tr_source_close(tr_source **self);
/** The batch of a step; valid until the next call. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_source_batch(tr_source *self, uint64_t step, tr_batch *out);
/** Steps of one epoch, the last batch perhaps smaller. */
uint64_t tr_source_epoch_steps(const tr_source *self);
uint64_t tr_source_examples(const tr_source *self);
/** Tokens of one epoch, special tokens included. */
uint64_t tr_source_tokens(const tr_source *self);

#endif
