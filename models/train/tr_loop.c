#include "tr_loop.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "clock.h"
#include "file.h"
#include "math64.h"
#include "tr_checkpoint.h"
#include "tr_journal.h"

enum { CHECKPOINT_MS = 60000, TALLY_WORDS = TR_COUNTERS - TR_HOOK_WORDS };

_Static_assert(sizeof(tr_tally) <= TALLY_WORDS * sizeof(uint64_t), "the tally has its counters");

typedef struct loop {
    const tr_loop_options *options;
    tr_trainer *trainer;
    tr_state *state;
    tr_source *source, *dev;
    const tr_hooks *hooks;
    uint32_t accumulate;
    tr_head head;
    float *best; /* values of the best evaluation; NULL: not kept */
    tr_tally tally;
    tr_journal journal;
    char checkpoint[FS_PATH_BYTES_MAX], metrics[FS_PATH_BYTES_MAX];
    uint64_t start_ns;      /* of what tally.seconds does not have yet */
    uint64_t line_ns;       /* of the last line of metrics, or of going on */
    uint64_t line_tokens;   /* since then */
    uint64_t checkpoint_ms; /* when the last one was written */
    uint64_t checkpoint_step;
} loop;

uint64_t tr_loop_steps(const tr_source *source, double epochs, uint32_t accumulate)
{
    const double batches = epochs * (double)tr_source_epoch_steps(source);
    uint64_t steps = (uint64_t)(batches / accumulate);
    if ((double)steps * accumulate < batches) steps++;
    return steps;
}

/* Checkpoints. */

static tr_checkpoint describe(loop *self)
{
    tr_checkpoint c = {.fingerprint = self->options->fingerprint,
                       .step = self->state->step,
                       .floats = self->state->layout->floats,
                       .arrays = self->best == NULL ? 3 : 4,
                       .data = {self->state->values, self->state->m, self->state->v, self->best}};
    memcpy(c.counters, &self->tally, sizeof self->tally);
    if (self->hooks != NULL && self->hooks->memory != NULL)
        memcpy(c.counters + TALLY_WORDS, self->hooks->memory, TR_HOOK_WORDS * sizeof *c.counters);
    return c;
}

static void take_seconds(loop *self)
{
    const uint64_t now = fs_clock_mono_ns();
    self->tally.seconds += (double)(now - self->start_ns) / 1e9;
    self->start_ns = now;
}

static fs_status save(loop *self)
{
    if (self->checkpoint_step == self->state->step) return FS_OK;
    take_seconds(self);
    FS_TRY(tr_journal_sync(&self->journal, &self->tally.journal_bytes));
    const tr_checkpoint c = describe(self);
    FS_TRY(tr_checkpoint_write(&c, self->checkpoint));
    self->checkpoint_ms = fs_clock_mono_ms();
    self->checkpoint_step = self->state->step;
    return FS_OK;
}

static fs_status go_on(loop *self)
{
    if (!fs_file_exists(self->checkpoint)) return FS_OK;
    tr_checkpoint c = describe(self);
    FS_TRY(tr_checkpoint_read(&c, self->checkpoint));
    if (c.step > self->options->steps)
        return fs_fail(FS_EREFUSED, "%s: is at step %" PRIu64 " of %" PRIu64, self->checkpoint,
                       c.step, self->options->steps);
    self->state->step = c.step;
    self->checkpoint_step = c.step;
    memcpy(&self->tally, c.counters, sizeof self->tally);
    if (self->hooks != NULL && self->hooks->memory != NULL)
        memcpy(self->hooks->memory, c.counters + TALLY_WORDS, TR_HOOK_WORDS * sizeof *c.counters);
    tr_trainer_restored(self->trainer);
    return FS_OK;
}

/* Metrics. */

static double epoch_of(const loop *self)
{
    return (double)self->state->step * self->accumulate /
           (double)tr_source_epoch_steps(self->source);
}

static void add(loop *self, const tr_step_report *report)
{
    tr_tally *t = &self->tally;
    t->steps++;
    t->tokens += report->tokens;
    self->line_tokens += report->tokens;
    t->clipped += (uint64_t)report->clipped;
    t->skipped += (uint64_t)report->skipped;
    t->skipped_all += (uint64_t)report->skipped;
    if (report->skipped) return;
    t->outputs += report->sums.outputs;
    t->right += report->sums.right;
    t->loss += report->sums.loss;
    t->task += report->sums.task;
    t->divergence += report->sums.divergence;
}

/* NaN, in metrics null, where every step was skipped: there was nothing to take a mean of. */
static double mean(double sum, uint64_t count)
{
    return count == 0 ? (double)NAN : sum / (double)count;
}

static fs_status write_line(loop *self, const tr_step_report *report)
{
    tr_tally *t = &self->tally;
    const uint64_t now = fs_clock_mono_ns();
    const double seconds = (double)(now - self->line_ns) / 1e9;
    json_t *line = json_pack(
        "{s:I, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o}", "step", (json_int_t)report->step, "epoch",
        tr_journal_real(epoch_of(self)), "loss", tr_journal_real(mean(t->loss, t->outputs)),
        "accuracy", tr_journal_real(mean((double)t->right, t->outputs)), "rate",
        tr_journal_real(report->rate), "grad_norm", tr_journal_real(report->norm), "clipped",
        (json_int_t)t->clipped, "skipped", (json_int_t)t->skipped_all, "tokens_per_s",
        tr_journal_real((double)self->line_tokens / seconds));
    if (line == NULL) return tr_journal_write(&self->journal, NULL);
    if (self->hooks != NULL && self->hooks->run != NULL) {
        json_object_set_new(line, "task_loss", tr_journal_real(mean(t->task, t->outputs)));
        json_object_set_new(line, "divergence", tr_journal_real(mean(t->divergence, t->outputs)));
    }
    if (self->hooks != NULL && self->hooks->metrics != NULL) {
        fs_status status = self->hooks->metrics(self->hooks->context, line);
        if (status != FS_OK) {
            json_decref(line);
            return status;
        }
    }
    t->steps = t->tokens = t->outputs = t->right = t->clipped = t->skipped = 0;
    t->loss = t->task = t->divergence = 0;
    self->line_ns = now;
    self->line_tokens = 0;
    return tr_journal_write(&self->journal, line);
}

/* Measuring. */

static int ends_epoch(const loop *self)
{
    const uint64_t epoch = tr_source_epoch_steps(self->source), step = self->state->step;
    return step * self->accumulate / epoch > (step - 1) * self->accumulate / epoch;
}

static fs_status write_quality(loop *self, const tr_quality *dev, int best)
{
    const int classifies = self->head == TR_HEAD_CLASSIFY;
    json_t *quality =
        json_pack("{s:o, s:o, s:I}", "loss", tr_journal_real(dev->loss), "accuracy",
                  tr_journal_real(dev->accuracy), "outputs", (json_int_t)dev->outputs);
    if (quality == NULL) return tr_journal_write(&self->journal, NULL);
    if (classifies)
        json_object_set_new(quality, "f1", tr_journal_real(dev->f1));
    else
        json_object_set_new(quality, "perplexity", tr_journal_real(fs_exp64(dev->loss)));
    json_t *line = json_pack("{s:I, s:o, s:o, s:b}", "step", (json_int_t)self->state->step, "epoch",
                             tr_journal_real(epoch_of(self)), "dev", quality, "best", best);
    if (line != NULL && self->hooks != NULL && self->hooks->measured != NULL) {
        fs_status status =
            self->hooks->measured(self->hooks->context, self->state, self->dev, line);
        if (status != FS_OK) {
            json_decref(line);
            return status;
        }
    }
    return tr_journal_write(&self->journal, line);
}

static fs_status measure(loop *self)
{
    tr_quality dev;
    tr_tally *t = &self->tally;
    FS_TRY(tr_evaluate(&dev, self->state->weights, self->state->pool, self->dev));
    const tr_quality before = {t->best_loss, t->best_accuracy, t->best_f1, 0};
    const int best = t->best_step == 0 || tr_quality_better(&dev, &before, self->head);
    if (best) {
        t->best_step = self->state->step;
        t->best_loss = dev.loss;
        t->best_accuracy = dev.accuracy;
        t->best_f1 = dev.f1;
        if (self->best != NULL)
            memcpy(self->best, self->state->values,
                   self->state->layout->floats * sizeof *self->best);
    }
    t->dev_step = self->state->step;
    t->dev_loss = dev.loss;
    t->dev_accuracy = dev.accuracy;
    t->dev_f1 = dev.f1;
    if (self->options->measured != NULL)
        self->options->measured(self->options->context, self->state->step, &dev);
    FS_TRY(write_quality(self, &dev, best));
    self->line_ns = fs_clock_mono_ns(); /* tokens per second are of learning alone */
    self->line_tokens = 0;
    return FS_OK;
}

/* The run. */

static int is_due(uint64_t step, uint64_t every)
{
    return every != 0 && step % every == 0;
}

static fs_status make_step(loop *self)
{
    const tr_loop_options *o = self->options;
    tr_step_report report;
    FS_TRY(tr_trainer_step(self->trainer, &report));
    const uint64_t step = self->state->step;
    const int last = step == o->steps;
    add(self, &report);
    if (o->show != NULL) {
        const tr_progress progress = {&report, mean(self->tally.loss, self->tally.outputs),
                                      o->steps};
        o->show(o->context, &progress);
    }
    if (last || is_due(step, o->log_every)) FS_TRY(write_line(self, &report));
    const int measures = o->eval_every != 0 ? is_due(step, o->eval_every) : ends_epoch(self);
    if (self->dev != NULL && (last || measures)) FS_TRY(measure(self));
    const int timely = o->checkpoint_every != 0
                           ? is_due(step, o->checkpoint_every)
                           : fs_clock_mono_ms() - self->checkpoint_ms >= CHECKPOINT_MS;
    return last || timely ? save(self) : FS_OK;
}

static fs_status run(loop *self)
{
    const tr_loop_options *o = self->options;
    FS_TRY(go_on(self));
    FS_TRY(tr_journal_open(&self->journal, self->metrics, self->tally.journal_bytes));
    self->start_ns = self->line_ns = fs_clock_mono_ns();
    self->checkpoint_ms = fs_clock_mono_ms();
    while (self->state->step < o->steps) {
        if (o->stop != NULL && *o->stop) {
            FS_TRY(save(self));
            return fs_fail(FS_EINTERRUPTED,
                           "interrupted after step %" PRIu64 " of %" PRIu64
                           "; the same command goes on from there",
                           self->state->step, o->steps);
        }
        FS_TRY(make_step(self));
    }
    if (self->best != NULL && self->tally.best_step != 0) {
        memcpy(self->state->values, self->best, self->state->layout->floats * sizeof *self->best);
        tr_trainer_restored(self->trainer);
    }
    return FS_OK;
}

fs_status tr_loop_run(tr_trainer *trainer, tr_source *source, tr_source *dev, const tr_hooks *hooks,
                      uint32_t accumulate, const tr_loop_options *options, tr_tally *out)
{
    FS_ASSERT(options->log_every >= 1 && accumulate >= 1);
    loop self = {.options = options,
                 .trainer = trainer,
                 .state = tr_trainer_state(trainer),
                 .source = source,
                 .dev = dev,
                 .hooks = hooks,
                 .accumulate = accumulate,
                 .checkpoint_step = UINT64_MAX};
    self.head = tr_weights_layout(self.state->weights)->head;
    if (options->keep_best && dev == NULL)
        return fs_fail(FS_EUSAGE, "the best of several needs --dev FILE to be found");
    FS_TRY(fs_path_join(self.checkpoint, options->dir, "checkpoint"));
    FS_TRY(fs_path_join(self.metrics, options->dir, "metrics.jsonl"));
    if (options->keep_best) {
        self.best = calloc(self.state->layout->floats, sizeof *self.best);
        if (self.best == NULL) return fs_fail(FS_ENOMEM, "no memory for the best values");
    }
    fs_status status = run(&self);
    tr_journal_close(&self.journal);
    free(self.best);
    *out = self.tally;
    return status;
}
