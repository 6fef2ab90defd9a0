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
 * Source: Chen et al. 2025, FT-Grad and FT-All (`paper.md`). */
#ifndef TR_FAULTS_H
#define TR_FAULTS_H

#include "tr_objective.h"

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

typedef struct tr_faults_options {
    unsigned sites;   /* bit i: tr_fault_site i; at least one */
    double rate;      /* of values, in [0, 1] */
    uint64_t key;     /* from the run's seed */
    int clear_bit_30; /* exponent protection: a hit parameter is read with bit 30 at 0 */
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
