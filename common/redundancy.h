/** Faults in what is stored beside the words: the redundant bits of a list of protections, and the
 * scales of int8.
 *
 * The redundant bits of a codeword belong to the slice that its first word belongs to, and so does
 * a channel's scale. They are hit with a probability per bit of streams of their own, so that all
 * arms meet the same faults in their data bits, and all of int8 the same ones in their scales. How
 * these bits lie beside each other and beside the words is up to a memory that nobody has
 * described: bursts and patterns, which are of neighbours, are here single bits, as often as a data
 * bit is hit by them. Thread rule: reentrant. */
#ifndef FS_REDUNDANCY_H
#define FS_REDUNDANCY_H

#include "fault_form.h"
#include "protect.h"

enum { FS_CHECK_SCALE = 255 /* `codec` of a fault in a scale */ };

/** One hit bit beside the words. */
typedef struct fs_check_fault {
    uint32_t tensor;
    uint16_t slice;
    uint8_t codec;    /* index into the list; or FS_CHECK_SCALE */
    uint8_t bit;      /* of the codeword's redundant bits, or of the scale */
    uint8_t kind;     /* fs_fault_kind */
    uint64_t element; /* the codeword's or channel's first word: row * cols + col */
} fs_check_fault;

/** Sorted by (tensor, element, codec, bit). */
typedef struct fs_check_list {
    fs_check_fault *items;
    size_t count;
    size_t capacity;
} fs_check_list;

/** Streams of a cell's draws. */
typedef struct fs_check_keys {
    uint64_t checks; /* redundant bits */
    uint64_t scales;
} fs_check_keys;

/** Hits each bit beside the words of the chosen slices with probability `rate`, by itself; replaces
 * `out`'s contents. A burst flips it; a random value makes it stuck at 0 or 1, each with
 * probability 1/2. Cost in proportion to the faults and the slices. Errors: FS_ELIMIT beyond
 * FS_FAULTS_PER_TRIAL_MAX, FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_check_draw(fs_check_list *out, const fs_fault_space *space,
                                      const fs_protect *protect, double rate, fs_form_word word,
                                      fs_check_keys keys, uint64_t trial);
/** Sorts by (tensor, element, codec, bit). */
void fs_check_list_sort(fs_check_list *self);
void fs_check_list_free(fs_check_list *self);
/** @return bits beside the words of the chosen slices. */
uint64_t fs_check_sites(const fs_fault_space *space, const fs_protect *protect);
/** @return bits beside the words of a whole model, for each of its values. */
double fs_check_bits_per_value(const fs_geometry *geometry, const fs_protect *protect);
/** Applies a fault to a codeword's check bytes, or to a scale's, the lowest first. */
void fs_check_apply(const fs_check_fault *fault, uint8_t *bytes);

#endif
