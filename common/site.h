/** A site class: one kind of thing in a model that faults hit, with the words that choose parts of
 * it in a campaign's `site`, and the fault space that a choice makes.
 *
 * Adding a class is one file, site_NAME.c, and one row in FS_SITE_MAP: campaign files, plan, cell
 * ids, draw keys, fingerprints, status and report take it from there. A class says when its values
 * can be hit (`when`); a class that is hit as others are needs nothing in a worker.
 *
 * Thread rule: const. Source: `faults.md`, "Sites". */
#ifndef FS_SITE_H
#define FS_SITE_H

#include <stddef.h>
#include <stdint.h>

#include "activation.h"
#include "buf.h"
#include "fault.h"
#include "geometry.h"
#include "hash.h"
#include "tuning.h"

/* X(variable): every class, in the order in which people see them. */
#define FS_SITE_MAP(X)                                                                             \
    X(fs__site_parameters)                                                                         \
    X(fs__site_activations)                                                                        \
    X(fs__site_list)                                                                               \
    X(fs__site_addresses)                                                                          \
    X(fs__site_gradients)                                                                          \
    X(fs__site_optimizer)

struct fs_cell;
struct fs_plan;

/** When in a trial the values of a class are hit. */
typedef enum fs_site_when {
    FS_SITE_STORED,   /* words in memory, before the forward passes */
    FS_SITE_COMPUTED, /* values of a forward pass, as they are made */
    FS_SITE_TUNED     /* arrays that exist while a model is tuned: phase finetune alone */
} fs_site_when;

/** Who says which of its values are hit. */
typedef enum fs_site_from {
    FS_SITE_DRAWN, /* chance */
    FS_SITE_LIST,  /* a file of bits, see fault_file.h; a class without words */
    FS_SITE_LOG    /* a file of addresses with a map */
} fs_site_from;

/* X(NAME, text): `by`, one cell for each value that the selection contains. */
#define FS_BY_MAP(X)                                                                               \
    X(LAYER, "layer")                                                                              \
    X(COMPONENT, "component")                                                                      \
    X(GROUP, "group")                                                                              \
    X(STAGE, "stage")

enum fs_by_number {
#define X(name, text) FS_BY_NUMBER_##name,
    FS_BY_MAP(X)
#undef X
        FS_BY_COUNT
};

enum { /* flags of `by` */
#define X(name, text) FS_BY_##name = 1 << FS_BY_NUMBER_##name,
       FS_BY_MAP(X)
#undef X
};

enum {                          /* how long a fault lasts */
       FS_LASTS_EVALUATION = 1, /* "permanent" */
       FS_LASTS_ONCE = 2        /* "transient": one inference; in phase finetune one step */
};

/** Words of a class; bit i: the i-th. */
typedef uint32_t fs_site_set;

/** What a fault space is made for. */
typedef struct fs_site_choice {
    const fs_geometry *geometry;
    fs_site_set set;
    const int *layers; /* none: all; -1: what belongs to no layer */
    size_t layer_count;
    fs_bits bits;
    fs_extent largest; /* input of the task */
} fs_site_choice;

typedef struct fs_site_class {
    const char *name;  /* key under `site`, in identities and output */
    const char *value; /* one of its values: "parameter" */
    fs_site_when when;
    fs_site_from from;
    unsigned by;          /* FS_BY_ flags that can divide it */
    const char *division; /* the same for people: "'layer' and 'stage'" */
    unsigned lasts;       /* FS_LASTS_ flags that a sweep of phase inference may ask for */
    unsigned lasts_plain; /* the one of them that holds if it does not */
    const char *absent;   /* why a choice may hold nothing, for people */
    /** Words that campaigns may use, NULL at the end; and what each means, 0: no such word. */
    const char *const *words;
    fs_site_set (*parse)(const char *word);
    /** @return the i-th word itself; NULL past the last one. */
    const char *(*word)(unsigned i);
    /** @return the i-th set for `by` (one FS_BY_ flag that is not the layer) and its name;
     * 0 past the last one. */
    fs_site_set (*part)(unsigned by, unsigned i, const char **name);
    /** @return what of `set` a cell of `layer` is said to hold, -1: of no layer; 0: nothing. */
    fs_site_set (*held)(const fs_geometry *geometry, fs_site_set set, int layer);
    /** Errors: FS_ECONFIG if nothing is chosen, FS_ENOMEM. */
    fs_status (*space)(fs_fault_space **out, const fs_site_choice *choice);
    /** @return what a set stands for in a step of phase finetune; NULL: nothing can be hit there.
     */
    fs_tune_arrays (*arrays)(fs_site_set set);
    /** Adds what a draw key needs beyond slices and bits; NULL: nothing. */
    void (*key)(fs_hasher *hasher, const struct fs_cell *cell);
    /** @return sites of a cell that no fault can matter at, provably; NULL: none are known. */
    uint64_t (*masked)(const struct fs_plan *plan, const struct fs_cell *cell);
} fs_site_class;

#define X(variable) extern const fs_site_class variable;
FS_SITE_MAP(X)
#undef X

/** @return the i-th class of the table, NULL past its end. */
const fs_site_class *fs_site_at(unsigned i);
/** @return the class of that name, NULL if there is none. */
const fs_site_class *fs_site_find(const char *name);
/** @return the word of flag 1 << i of `by`, i below FS_BY_COUNT. */
const char *fs_by_word(unsigned i);
/** Appends the words of a set: "all", or "[embedding, head.pooler]", sets of words first. */
FS_MUST_CHECK fs_status fs_site_write(const fs_site_class *self, fs_site_set set, fs_buf *out);

/** The words, parts, layers and spaces of components, for classes that have them. */
const char *fs__site_component_word(unsigned i);
fs_site_set fs__site_component_part(unsigned by, unsigned i, const char **name);
fs_site_set fs__site_component_held(const fs_geometry *geometry, fs_site_set set, int layer);
fs_status fs__site_component_space(fs_fault_space **out, const fs_site_choice *choice);
extern const char *const fs__site_component_words[];
#define FS__SITE_COMPONENTS                                                                        \
    .words = fs__site_component_words, .parse = fs_component_parse,                                \
    .word = fs__site_component_word, .part = fs__site_component_part,                              \
    .held = fs__site_component_held, .space = fs__site_component_space

#endif
