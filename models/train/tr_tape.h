/** What a forward pass leaves behind for the backward pass; internal to the network.
 *
 * A batch is worked off in groups of whole sequences, one task each; answers in blocks. Both cuts
 * are functions of the batch alone. Every linear layer's input and, after the backward pass, the
 * gradient of its output lie here for all rows, so that a weight's gradient is one product over
 * them. All memory is one arena that grows to the largest batch seen.
 *
 * A classifier reads one row of each sequence, so its last block computes only these rows after
 * attention: such a block is `kept`, and its arrays from `context` on have a row per sequence. */
#ifndef TR_TAPE_H
#define TR_TAPE_H

#include "tr_net.h"
#include "tr_plan.h"

enum {
    TR_GROUP_ROWS = 128, /* rows of a group, but for a longer sequence, which is one alone */
    TR_ANSWER_ROWS = 64  /* answers of a block */
};

/** Consecutive sequences. */
typedef struct tr_group {
    size_t index;
    uint32_t first, n_seq;
    uint32_t row_first, rows;
    uint32_t answer_first, answers; /* the outputs that read its rows */
    const uint32_t *off;            /* [n_seq + 1] within the group */
} tr_group;

/** A block's activations and gradients. `all` is the batch's rows, `own` those rows or, of a kept
 * block, one per sequence. */
typedef struct tr_acts {
    int kept;
    float *x;            /* [all, d] what enters: embeddings, or what the block below gave */
    float *source;       /* [all, d] what attention reads: x, or with pre_norm its norm */
    float *qkv;          /* [all, 3 * d] */
    float *context;      /* [own, d] */
    float *sum;          /* [own, d] */
    float *normed;       /* [own, d] what the MLP reads */
    float *pre, *hidden; /* [own, d_ff] before and after the activation */
    float *last_sum;     /* [own, d]; with pre_norm the same as out */
    float *out;          /* [own, d] */
    float *d_qkv, *d_context_out, *d_pre, *d_mlp_out; /* of the linear layers' outputs */
} tr_acts;

/** From the rows that answer to what their logits are a product of: [outputs, d] each. */
typedef struct tr_head_acts {
    float *rows; /* the last block's */
    float *pre;  /* dense before and after its activation, if there is one */
    float *activated;
    float *features; /* what the logits are a product of */
    float *d_pre;    /* gradient of dense's output */
    float *d_rows;
} tr_head_acts;

struct tr_tape {
    const tr_layout *layout;
    tr_pool *pool;
    tr_plan plan;
    /* of the last forward pass */
    const tr_batch *batch;
    tr_pass pass;
    uint32_t start; /* the block that it began at, with another tape's state; 0: from the ids */
    int hands_down; /* nonzero: its backward pass has left its gradient at that state */
    tr_group *groups;
    size_t group_count, groups_max;
    uint32_t *offsets; /* of all groups */
    float *embedded;   /* [rows, d] the embedding norm's input; NULL without one */
    float *first;      /* [rows, d] what enters block 0 */
    float *d_state;    /* [rows, d] gradient of what enters the block that is worked on */
    tr_acts *acts;     /* [layers] */
    tr_head_acts head;
    float *norm_parts; /* [group_count, tr__norm_slots, 2 * d] norms' gradients by group */
    float *head_parts; /* [answer blocks, 2 * d] the final norm's */
    float *scratch;    /* [threads, 3 parts and attention's] */
    size_t scratch_stride, scratch_part;
    float *arena;
    size_t arena_floats;
};

/** Rows of a tape's arrays. */
typedef struct tr_span {
    size_t first, rows;
} tr_span;

/** A thread's scratch memory: [rows of any group or block of answers, d] each. */
typedef struct tr_scratch {
    float *a, *b, *c, *attention;
} tr_scratch;

/** Lays out a tape for a batch: groups, and memory for everything. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tr__tape_prepare(tr_tape *tape, const tr_batch *batch, const tr_pass *pass);
uint32_t tr__rows(const tr_tape *tape);
/** @return the row of the batch that an output reads. */
uint32_t tr__answer_row(const tr_tape *tape, uint32_t output);
/** @return the group's rows in those arrays of a block that are `own`. */
tr_span tr__own(const tr_acts *acts, const tr_group *group);
tr_scratch tr__scratch(const tr_tape *tape, unsigned thread);
size_t tr__answer_blocks(const tr_tape *tape);
tr_span tr__answer_block(const tr_tape *tape, size_t block);

/* Norms of a tape are numbered: the embedding's, then two in each block, first and second. */
size_t tr__norm_slots(const tr_tape *tape);
size_t tr__norm_slot(uint32_t layer, unsigned which);
/** @return a group's sums of a norm's gradients, [2 * d]: gain, bias. */
float *tr__norm_part(const tr_tape *tape, size_t group, size_t slot);

#endif
