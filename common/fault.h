/** Faults: where a cell may be hit, and which bits a trial hits.
 *
 * A site is (value, bit). The values of a cell are numbered 0..values-1 through the slices its
 * selector chooses, in geometry order, row by row within a slice. Drawing is a pure function of
 * (draw key, trial); the draw key does not depend on arm or guard, so arms meet the same faults.
 *
 * Thread rule: reentrant; a fault space is const after creation. */
#ifndef FS_FAULT_H
#define FS_FAULT_H

#include <stddef.h>
#include <stdint.h>

#include "format.h"
#include "geometry.h"
#include "grid.h"
#include "rng.h"
#include "status.h"

/** Blocks of a stream that no draw uses up: a fault takes about one. */
#define FS_DRAW_BLOCKS ((uint64_t)1 << 30)

/** How many sites a trial hits. */
typedef enum fs_amount_kind {
    FS_AMOUNT_COUNT, /* exactly k distinct sites */
    FS_AMOUNT_RATE,  /* each value with probability r, one uniform bit of the allowed ones (the
                        paper's rho) */
    FS_AMOUNT_BER    /* each site with probability r */
} fs_amount_kind;

typedef struct fs_amount {
    fs_amount_kind kind;
    double value; /* k, a whole number, or a probability in [0, 1] */
} fs_amount;

typedef enum fs_fault_kind { FS_FAULT_FLIP, FS_FAULT_STUCK0, FS_FAULT_STUCK1 } fs_fault_kind;

/** Allowed bits of a word; bit 0 is the least significant. */
typedef uint32_t fs_bits;
#define FS_BITS_ALL      ((fs_bits)0xffffffffu)
#define FS_BITS_SIGN     ((fs_bits)0x80000000u)
#define FS_BITS_EXPONENT ((fs_bits)0x7f800000u)
#define FS_BITS_MANTISSA ((fs_bits)0x007fffffu)

/** One hit site, of a parameter or of an activation. Lists hold no site twice; those of parameters
 * are sorted by (tensor, element, bit), those of activations by (input, place, element, bit). */
typedef struct fs_fault {
    union {
        uint32_t tensor; /* index into the geometry's tensors */
        uint32_t input;  /* activations: index into the data set */
    };
    uint8_t bit;
    uint8_t kind; /* fs_fault_kind */
    union {
        uint16_t slice; /* index into the geometry's slices */
        uint16_t place; /* activations: fs_place */
    };
    uint64_t element; /* row * cols + col in the whole tensor, or in the place (activation.h) */
} fs_fault;

typedef struct fs_fault_list {
    fs_fault *items;
    size_t count;
    size_t capacity;
} fs_fault_list;

/** The sites of one cell. */
typedef struct fs_fault_space {
    const fs_geometry *geometry; /* borrowed */
    uint32_t *slices;            /* indices of the chosen slices, ascending */
    size_t slice_count;
    uint16_t *places; /* activations: the chosen fs_places, ascending; NULL: parameters */
    size_t place_count;
    fs_grids grids;  /* of the slices; of the places, in the largest input */
    uint64_t values; /* of all grids */
    fs_bits bits;
    unsigned bit_count;
} fs_fault_space;

/** Chooses the slices of `components` in `layers`: a component without a layer is chosen whatever
 * `layers` says if `layer_count` is 0, and not otherwise unless -1 is among them.
 * Errors: FS_ECONFIG if nothing is left or `bits` is 0; FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_fault_space_new(fs_fault_space **out, const fs_geometry *geometry,
                                           fs_component_set components, const int *layers,
                                           size_t layer_count, fs_bits bits);
void fs_fault_space_destroy(fs_fault_space **self);

/** Draws the faults of one trial, replacing `out`'s contents. Cost in proportion to the faults.
 * Errors: FS_ECONFIG if a count exceeds the sites; FS_ELIMIT beyond FS_FAULTS_PER_TRIAL_MAX;
 * FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_fault_draw(fs_fault_list *out, const fs_fault_space *space,
                                      fs_amount amount, fs_fault_kind kind, uint64_t draw_key,
                                      uint64_t trial);
/** The same of numbers alone: `element` is one of 0..values-1, `bit` one of `bits`, tensor and
 * slice are 0. In the order of the draws; a count may not exceed the sites. For spaces that are not
 * made of slices. */
FS_MUST_CHECK fs_status fs_fault_draw_numbers(fs_fault_list *out, uint64_t values, fs_bits bits,
                                              fs_amount amount, fs_fault_kind kind, fs_rng *rng);
/** Adds one. Errors: FS_ELIMIT beyond FS_FAULTS_PER_TRIAL_MAX, FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_fault_list_add(fs_fault_list *self, fs_fault fault);
/** Turns numbers of a parameter space's values into places, and sorts. */
void fs_fault_space_locate(const fs_fault_space *self, fs_fault_list *list);
/** Sorts by (tensor, element, bit). */
void fs_fault_list_sort(fs_fault_list *self);
void fs_fault_list_free(fs_fault_list *self);
/** @return XXH3-64 over the list in a fixed encoding. */
uint64_t fs_fault_list_checksum(const fs_fault_list *self);
/** @return the word after the fault. */
uint32_t fs_fault_apply(fs_fault fault, uint32_t word);

/** Reads "all", "sign", "exponent", "mantissa" as bits of a format's words. @return 0 for another
 * word, and for what the format has none of. */
fs_bits fs_bits_parse(const char *word, const fs_format *format);

#endif
