#include "tr_evaluate.h"

#include <math.h>
#include <stdlib.h>

#include "metrics.h"
#include "tr_loss.h"
#include "tr_objective.h"

/* Of one class: how often it is the answer, the target, and both. */
typedef struct tally {
    uint64_t answered, wanted, both;
} tally;

typedef struct evaluation {
    uint32_t classes; /* 0: not counted by class */
    tally *tallies;   /* [classes] */
} evaluation;

static void count_classes(evaluation *self, const tr_run *run)
{
    for (uint32_t i = 0; i < run->batch->outputs; i++) {
        const int32_t target = run->batch->targets[i];
        const int32_t answer =
            metrics_argmax(run->logits + (size_t)i * self->classes, self->classes);
        self->tallies[target].wanted++;
        if (answer >= 0) self->tallies[answer].answered++;
        if (answer == target) self->tallies[target].both++;
    }
}

static fs_status answer_run(void *context, const tr_run *run, tr_sums *sums)
{
    evaluation *self = context;
    const uint32_t n = tr_logit_count(tr_weights_layout(run->weights));
    FS_TRY(tr_forward(run->tape, run->weights, run->batch, run->pass, run->logits));
    if (self->classes != 0) count_classes(self, run);
    sums->loss += tr_loss_cross_entropy(run->pool, run->logits, run->batch->targets,
                                        run->batch->outputs, n, 0, 1, NULL, &sums->right);
    sums->outputs += run->batch->outputs;
    return FS_OK;
}

static double f1_of(const tally *t)
{
    const uint64_t sum = t->answered + t->wanted;
    return sum == 0 ? 0 : 2 * (double)t->both / (double)sum;
}

static double mean_f1(const evaluation *self)
{
    if (self->classes == 0) return 0;
    if (self->classes == 2) return f1_of(&self->tallies[1]);
    double sum = 0;
    for (uint32_t i = 0; i < self->classes; i++) sum += f1_of(&self->tallies[i]);
    return sum / self->classes;
}

fs_status tr_evaluate(tr_quality *out, const tr_weights *weights, tr_pool *pool, tr_source *source)
{
    const tr_layout *layout = tr_weights_layout(weights);
    evaluation self = {0};
    if (layout->head == TR_HEAD_CLASSIFY) self.classes = layout->geometry->config.labels;
    self.tallies = calloc((size_t)self.classes + 1, sizeof *self.tallies);
    if (self.tallies == NULL) return fs_fail(FS_ENOMEM, "no memory for an evaluation");
    const tr_hooks hooks = {.context = &self, .run = answer_run};
    const tr_objective_options options = {.accumulate = 1};
    tr_objective *objective = NULL;
    fs_status status = tr_objective_new(&objective, layout, pool, &options, &hooks);
    double loss = 0;
    uint64_t right = 0;
    *out = (tr_quality){0};
    for (uint64_t i = 0; status == FS_OK && i < tr_source_epoch_steps(source); i++) {
        tr_sums sums;
        uint64_t tokens;
        status = tr_objective_step(objective, source, weights, i, NULL, NULL, &sums, &tokens);
        loss += sums.loss;
        right += sums.right;
        out->outputs += sums.outputs;
    }
    if (out->outputs > 0) {
        out->loss = loss / (double)out->outputs;
        out->accuracy = (double)right / (double)out->outputs;
        out->f1 = mean_f1(&self);
    }
    tr_objective_destroy(&objective);
    free(self.tallies);
    return status;
}

int tr_quality_better(const tr_quality *a, const tr_quality *b, tr_head head)
{
    if (head == TR_HEAD_CLASSIFY && a->accuracy != b->accuracy) return a->accuracy > b->accuracy;
    if (isnan(b->loss)) return !isnan(a->loss);
    return a->loss < b->loss;
}
