/** Faults while a network learns: flips in gradients, parameters, activations and Adam's moments.
 *
 * At rate r each value of a site is hit with probability r, one uniform bit of its 32 flipped: the
 * rule of fault.h, drawn by geometric skipping on counter-based random numbers. Every site has its
 * own key, and what a step hits is a function of (key, step); of activations, of (key, step, stage,
 * layer, row, column), a row being counted from the first of its run's within the step. Thread
 * rule: one thread at a time; activations are hit by the pool's threads, whose number changes
 * nothing.
 *
 * Where in a step: activations as soon as they are computed, and what is computed from them sees
 * the fault; gradients when all runs are summed up, before their norm is taken; m, v and parameters
 * after the update. Flips in moments and parameters persist, in place, until an update or the next
 * flip changes the word. What is not trained is not hit: under an adapter these are the adapter's
 * gradients, moments and values.
 *
 * Who has a fault space draws for itself (tr_fault_draws): the lists of fault.h then say what a
 * step hits. NaNs, which differ from one instruction set to the next, are hit as one.
 *
 * Source: Chen et al. 2025, FT-Grad and FT-All (`paper.md`). */
#ifndef TR_FAULTS_H
#define TR_FAULTS_H

#include "fault.h"
#include "tr_objective.h"
#include "tuning.h"

/* X(name, text): the words of --inject. */
#define TR_FAULT_SITE_MAP(X)                                                                       \
    X(GRADIENTS, "gradients")                                                                      \
    X(PARAMETERS, "parameters")                                                                    \
    X(ACTIVATIONS, "activations")                                                                  \
    X(OPTIMIZER, "optimizer")

typedef enum tr_fault_site {
#define X(name, text) TR_FAULT_##name,
    TR_FAULT_SITE_MAP(X)
#undef X
        TR_FAULT_SITE_COUNT
} tr_fault_site;

/** A word that faults of a step hit. */
typedef struct tr_fault_hit {
    uint64_t step; /* 0, 1, ... */
    fs_tune_array array;
    const fs_fault *faults; /* [count] those in this word */
    size_t count;
    uint32_t before, after; /* without them, and with all of them */
    uint32_t read;          /* `after` as exponent protection reads it */
    uint64_t effective;     /* faults that changed a bit */
} tr_fault_hit;

/** Faults that are drawn elsewhere, as lists over the geometry's tensors, sorted. */
typedef struct tr_fault_draws {
    void *context;
    unsigned arrays; /* bit i: fs_tune_array i is hit */
    /** Replaces the list's contents by what a step hits in an array. */
    fs_status (*draw)(void *context, fs_tune_array array, uint64_t step, fs_fault_list *out);
    /** Is told of each word; of all of them, in order. */
    void (*hit)(void *context, const tr_fault_hit *hit);
} tr_fault_draws;

typedef struct tr_faults_options {
    unsigned sites;              /* bit i: tr_fault_site i; at least one */
    double rate;                 /* of values, in [0, 1] */
    uint64_t key;                /* from the run's seed */
    int clear_bit_30;            /* exponent protection: a hit parameter is read with bit 30 at 0 */
    const tr_fault_draws *draws; /* in place of sites, rate and key, NULL: those; borrowed. A step
                                    that is not finite then ends the run */
} tr_faults_options;

typedef struct tr_faults tr_faults;

/** `inner`: hooks that do their part of a step in the same run, NULL: none; borrowed. Each is
 * called before the flips of its place. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status tr_faults_new(tr_faults **out, const tr_faults_options *options,
                                      const tr_hooks *inner);
void tr_faults_destroy(tr_faults **self);
/** @return hooks that inject and do what `inner` does; live as long as `self`. */
const tr_hooks *tr_faults_hooks(const tr_faults *self);
/** @return flips of the step that was made last, at one site. */
uint64_t tr_faults_count(const tr_faults *self, tr_fault_site site);

/** Reads words of TR_FAULT_SITE_MAP, separated by commas. Errors: FS_EUSAGE naming the word. */
FS_MUST_CHECK fs_status tr_fault_sites_parse(unsigned *out, const char *words);
const char *tr_fault_site_name(tr_fault_site site);

#endif
