/** What came out of a trial against golden: answers, inputs, the record's sums. Reentrant. */
#ifndef WK_SCORE_H
#define WK_SCORE_H

#include "campaign.h"
#include "trial.h"
#include "wk_golden.h"

/** What one input gave, beside golden. */
typedef struct wk_result {
    uint8_t outcome;  /* fs_outcome */
    uint32_t changed; /* answers */
    uint32_t right;   /* classification: answered rightly */
    double loss;      /* summed over its answers, nats */
    double kl;
    double deviation;
} wk_result;

/** @return what golden gave, for an input that nothing reached. */
wk_result wk_score_masked(const wk_golden *golden, uint32_t input);
/** Adds one row of logits, of answer `a`; the input's outcome rises to the worst of its rows.
 *  @param target  the right answer  @param faulty [classes]  @param clean [classes] */
void wk_score_answer(const wk_golden *golden, wk_result *r, uint64_t a, int32_t target,
                     const float *faulty, const float *clean);
/** Sums the results of all inputs, in order, so that the record's bits do not depend on how they
 * were computed. `due`: a protection noticed what it could not mend, so every input is DUE.
 * @return nonzero if any input is not masked. */
int wk_score_sum(const wk_golden *golden, const fs_critical *critical, wk_result *results, int due,
                 fs_trial_record *record);

#endif
