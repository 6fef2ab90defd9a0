/** The activation faults of one trial, and the probe that puts them into a forward pass.
 *
 * Faults are drawn for the inputs of one batch at a time, batches in order. A trial whose inputs
 * run from golden states gives the same record as one that runs everything: a fault takes place
 * exactly once, where its value is made. Thread rule: one thread at a time. */
#ifndef WK_ACTIVATIONS_H
#define WK_ACTIVATIONS_H

#include "activation.h"
#include "dataset.h"
#include "nn_probe.h"
#include "plan.h"
#include "trial.h"

typedef struct wk_activations {
    const fs_cell *cell; /* NULL: the trial has no activation faults */
    const dataset *data;
    uint64_t trial;
    uint32_t only;           /* the input that is hit; UINT32_MAX: each */
    fs_trial_record *record; /* its fault part is filled */
    fs_fault_list list;      /* of the batch in work, by input */
    fs_fault_list one;       /* of an input while it is drawn */
    size_t *first;           /* [inputs of the largest batch + 1] into the list */
    uint32_t batch;          /* first input of the batch */
    uint64_t earlier;        /* faults of earlier batches */
    const uint32_t *active;  /* inputs of the batch that a probed pass computes, by sequence */
    nn_probe probe;
} wk_activations;

/** `inputs`: of the largest batch. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status wk_activations_init(wk_activations *self, const dataset *data,
                                            uint32_t inputs);
void wk_activations_free(wk_activations *self);
/** Starts a trial; of a cell on parameters, one without any hit. */
void wk_activations_begin(wk_activations *self, const fs_cell *cell, uint64_t trial,
                          fs_trial_record *record);
/** Draws for the inputs [first, first + n), the next batch. Errors: FS_ELIMIT, FS_ENOMEM. */
FS_MUST_CHECK fs_status wk_activations_draw(wk_activations *self, uint32_t first, uint32_t n);
/** @return nonzero if an input of the batch is hit at a place in [from, to]. */
int wk_activations_between(const wk_activations *self, uint32_t input, fs_place from, fs_place to);
/** @return the probe for a pass over `count` of the batch's inputs that computes places [from, to];
 * NULL if none of them is hit there. `active` is borrowed while it is used. */
const nn_probe *wk_activations_probe(wk_activations *self, const uint32_t *active, uint32_t count,
                                     fs_place from, fs_place to);
/** Puts the faults into what a tap shows; the probe's callback. */
void wk_activations_tap(void *self, const nn_tap *tap);

#endif
