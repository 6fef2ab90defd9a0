/** Puts a trial's faults into a view and takes them out again.
 *
 * Only units of codewords that a fault touches are encoded, hit and decoded: the cost is in
 * proportion to the faults, and to the channels of int8 scales that are hit. By brute force all of
 * them are, with the same result. Thread rule: one thread at a time. */
#ifndef WK_INJECT_H
#define WK_INJECT_H

#include "fault.h"
#include "nn_model.h"
#include "redundancy.h"
#include "trial.h"
#include "wk_scales.h"

/** A value that the faults changed for arithmetic. */
typedef struct wk_change {
    uint32_t tensor;
    uint16_t slice;
    uint64_t element;
} wk_change;

typedef struct wk_injection {
    wk_change *changes; /* sorted by (tensor, element) */
    size_t count;
    size_t capacity;
    uint64_t left; /* codewords that a protection knows to be bad and left as they are */
    fs_coding_room room;
    wk_scales scales; /* that were hit */
} wk_injection;

/** What a trial hits, and through what it is read. */
typedef struct wk_hits {
    const fs_protection *protection;
    const fs_fault_list *faults; /* in the words */
    const fs_check_list *checks; /* beside them: redundant bits and scales */
    int everything;              /* decode every word of the model */
} wk_hits;

/** Applies the hits to `view`, whose weights equal its model's. Fills the fault part of `record`
 * (faults to fault[]). Errors: FS_ENOMEM; the caller restores. */
FS_MUST_CHECK fs_status wk_inject(wk_injection *self, nn_view *view, const wk_hits *hits,
                                  fs_trial_record *record);
/** Restores every changed value from `clean`, a view of the same model that is never written. */
void wk_restore(wk_injection *self, nn_view *view, const nn_view *clean);
void wk_injection_free(wk_injection *self);

#endif
