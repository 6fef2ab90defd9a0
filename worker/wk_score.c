#include "wk_score.h"

#include <string.h>

#include "math64.h"
#include "metrics.h"

wk_result wk_score_masked(const wk_golden *golden, uint32_t input)
{
    wk_result r = {.outcome = FS_OUTCOME_MASKED};
    for (uint64_t a = golden->answer_first[input]; a < golden->answer_first[input + 1]; a++) {
        r.loss += golden->loss[a];
        r.right += golden->data->labels != NULL && golden->answer[a] == golden->data->labels[input];
    }
    return r;
}

void wk_score_answer(const wk_golden *golden, wk_result *r, uint64_t a, int32_t target,
                     const float *faulty, const float *clean)
{
    size_t classes = golden->classes;
    if (memcmp(faulty, clean, classes * sizeof *faulty) == 0) {
        r->loss += golden->loss[a];
        r->right += golden->data->labels != NULL && golden->answer[a] == target;
        return;
    }
    int32_t answer = metrics_argmax(faulty, classes);
    int changed = answer != golden->answer[a];
    uint8_t outcome = !metrics_all_finite(faulty, classes) ? FS_OUTCOME_DUE
                      : changed                            ? FS_OUTCOME_SDC
                                                           : FS_OUTCOME_BENIGN;
    if (outcome > r->outcome) r->outcome = outcome;
    r->changed += (uint32_t)changed;
    r->right += golden->data->labels != NULL && answer == target;
    r->loss += metrics_loss(faulty, classes, target);
    r->kl += metrics_kl(clean, faulty, classes);
    double deviation = metrics_deviation(faulty, clean, classes);
    if (deviation > r->deviation) r->deviation = deviation;
}

int wk_score_sum(const wk_golden *golden, const fs_critical *critical, wk_result *results, int due,
                 fs_trial_record *record)
{
    uint32_t count = golden->data->count, outcomes[FS_OUTCOME_COUNT] = {0};
    uint64_t right = 0;
    double loss = 0, kl = 0;
    for (uint32_t i = 0; i < count; i++) {
        wk_result *r = &results[i];
        /* What a protection noticed, could not mend and did not make harmless either is known to be
         * wrong, whatever came out. */
        if (due) r->outcome = FS_OUTCOME_DUE;
        outcomes[r->outcome]++;
        if (r->outcome > record->outcome) record->outcome = r->outcome;
        record->answers_changed += r->changed;
        right += r->right;
        loss += r->loss;
        kl += r->kl;
        if (r->deviation > record->deviation_max) record->deviation_max = r->deviation;
    }
    record->inputs = count;
    record->masked = outcomes[FS_OUTCOME_MASKED];
    record->benign = outcomes[FS_OUTCOME_BENIGN];
    record->sdc = outcomes[FS_OUTCOME_SDC];
    record->due = outcomes[FS_OUTCOME_DUE];
    record->answers = golden->info.answers;
    record->loss = loss / (double)record->answers;
    record->kl_mean = kl / (double)record->answers;
    if (golden->data->kind == FS_TASK_LM) {
        record->metric = fs_exp64(record->loss);
        record->critical = !(record->metric / golden->info.metric < critical->perplexity_ratio);
    } else {
        record->metric = (double)right / count;
        double drop = ((double)golden->correct - (double)right) / count;
        record->critical = drop >= critical->accuracy_drop;
    }
    return record->outcome != FS_OUTCOME_MASKED;
}
