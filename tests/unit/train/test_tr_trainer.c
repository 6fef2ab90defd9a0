/* Steps by hand against the trainer's; what must not change the result, and what must stop it. */
#include "testing.h"

#include <math.h>

#include "net_fixture.h"
#include "tok.h"
#include "tr_evaluate.h"
#include "tr_loss.h"
#include "tr_trainer.h"

/** A tiny classifier with data to learn from. */
typedef struct world {
    network net;
    tok *tokeniser;
    tr_source *source;
    tr_trainer *trainer;
} world;

static const tr_trainer_options usual = {
    .objective = {.dropout = 0.1F, .attention_dropout = 0.1F, .key = 5, .accumulate = 1},
    .adamw = {0.9, 0.999, 1e-8, 0.01},
    .schedule = {TR_SCHEDULE_LINEAR, 1e-3, 2, 20},
    .clip = 1,
};

static void open_source(world *self, uint32_t batch)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/data.tsv", self->net.dir) > 0);
    assert_ok(tiny_model_write_data(self->net.tiny, path, 37));
    const tr_source_options options = {.head = TR_HEAD_CLASSIFY, .seed = 3, .batch = batch};
    assert_ok(tok_open(&self->tokeniser, self->net.dir));
    assert_ok(tr_source_open(&self->source, path, &self->net.layout->geometry->config,
                             self->tokeniser, &options));
    free(path);
}

static void make(world *self, const tr_trainer_options *options, const tr_hooks *hooks,
                 uint32_t batch, unsigned threads)
{
    const tiny_spec spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    *self = (world){0};
    net_make(&self->net, &spec, TR_HEAD_CLASSIFY, threads);
    open_source(self, batch);
    assert_ok(tr_trainer_new(&self->trainer, options, self->net.weights, self->net.pool,
                             self->source, hooks, NULL));
}

static void unmake(world *self)
{
    tr_trainer_destroy(&self->trainer);
    tr_source_close(&self->source);
    tok_close(&self->tokeniser);
    net_unmake(&self->net);
}

static float *copy_values(const world *self)
{
    const size_t bytes = self->net.layout->floats * sizeof(float);
    float *copy = malloc(bytes);
    assert_non_null(copy);
    memcpy(copy, tr_weights_values(self->net.weights), bytes);
    return copy;
}

/* Forward, loss, backward, clip, AdamW, written out, are what a step is. */
static void a_step_is_its_parts(void **state)
{
    tr_trainer_options options = usual;
    options.objective.dropout = options.objective.attention_dropout = 0;
    options.schedule.warmup_steps = 0;
    options.clip = 0.05;
    world w, hand;
    make(&w, &options, NULL, 8, 1);
    make(&hand, &options, NULL, 8, 1);
    const tr_layout *layout = hand.net.layout;
    tr_batch batch;
    tr_step_report report;
    assert_ok(tr_source_batch(hand.source, 0, &batch));
    const tr_pass pass = {0};
    float *logits = net_floats(batch.outputs * 2), *grads = net_floats(layout->floats);
    float *m = net_floats(layout->floats), *v = net_floats(layout->floats);
    assert_ok(tr_forward(hand.net.tape, hand.net.weights, &batch, &pass, logits));
    const double loss = tr_loss_cross_entropy(hand.net.pool, logits, batch.targets, batch.outputs,
                                              2, 0, 1 / (float)batch.outputs, logits, NULL);
    assert_ok(tr_backward(hand.net.tape, hand.net.weights, logits, grads, NULL));
    const double norm = tr_gradient_norm(layout, hand.net.pool, grads, NULL);
    tr_adamw_update(&options.adamw, layout, hand.net.pool, tr_weights_values(hand.net.weights),
                    grads, m, v, 1e-3, 0.05 / (norm + 1e-6), 1, NULL);
    assert_ok(tr_trainer_step(w.trainer, &report));
    assert_true(report.sums.loss == loss && report.norm == norm && report.rate == 1e-3);
    assert_true(report.clipped && !report.skipped && report.step == 1);
    assert_int_equal(report.sums.outputs, batch.outputs);
    assert_int_equal(report.tokens, batch.tokens.off[batch.tokens.n_seq]);
    assert_memory_equal(tr_weights_values(w.net.weights), tr_weights_values(hand.net.weights),
                        layout->floats * sizeof(float));
    free(logits);
    free(grads);
    free(m);
    free(v);
    unmake(&w);
    unmake(&hand);
}

static float *after_steps(const tr_trainer_options *options, uint32_t batch, unsigned threads,
                          int steps, double *loss)
{
    world w;
    *loss = 0;
    make(&w, options, NULL, batch, threads);
    for (int i = 0; i < steps; i++) {
        tr_step_report report;
        assert_ok(tr_trainer_step(w.trainer, &report));
        *loss += report.sums.loss;
    }
    float *values = copy_values(&w);
    unmake(&w);
    return values;
}

static size_t tiny_floats(void)
{
    const tiny_spec spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    network net;
    net_make(&net, &spec, TR_HEAD_CLASSIFY, 1);
    const size_t floats = net.layout->floats;
    net_unmake(&net);
    return floats;
}

static void threads_change_no_bit(void **state)
{
    const size_t bytes = tiny_floats() * sizeof(float);
    double loss, other;
    float *one = after_steps(&usual, 8, 1, 7, &loss);
    for (unsigned threads = 2; threads <= 3; threads++) {
        float *more = after_steps(&usual, 8, threads, 7, &other);
        assert_memory_equal(one, more, bytes);
        assert_true(loss == other);
        free(more);
    }
    free(one);
}

static double largest_difference(const float *a, const float *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

/* Where a batch is cut into runs changes rounding, nothing else: also not the dropout masks. */
static void runs_are_only_a_way_to_compute(void **state)
{
    const size_t n = tiny_floats();
    double whole_loss, cut_loss;
    tr_trainer_options cut = usual;
    cut.objective.run_tokens = 1; /* each sequence by itself */
    cut.adamw.epsilon = 1;        /* so that an update is as exact as its gradient */
    tr_trainer_options whole = cut;
    whole.objective.run_tokens = 1 << 20;
    float *a = after_steps(&whole, 16, 1, 5, &whole_loss);
    float *b = after_steps(&cut, 16, 1, 5, &cut_loss);
    assert_true(fabs(whole_loss - cut_loss) < 1e-4);
    assert_true(largest_difference(a, b, n) < 1e-7);
    free(a);
    free(b);
}

/* The mean over two batches' outputs, counted together, the last batch of an epoch being smaller.
 */
static void accumulating_averages_over_outputs(void **state)
{
    tr_trainer_options options = usual;
    options.objective.dropout = options.objective.attention_dropout = 0;
    options.objective.accumulate = 2;
    world w, hand;
    make(&w, &options, NULL, 20, 1); /* batches of 20 and 17 */
    options.objective.accumulate = 1;
    make(&hand, &options, NULL, 20, 1);
    const size_t n = hand.net.layout->floats;
    float *grads = net_floats(n), *part = net_floats(n);
    tr_objective *objective;
    assert_ok(
        tr_objective_new(&objective, hand.net.layout, hand.net.pool, &options.objective, NULL));
    double loss = 0;
    uint64_t outputs = 0, tokens;
    for (uint64_t i = 0; i < 2; i++) {
        tr_sums sums;
        assert_ok(tr_objective_step(objective, hand.source, hand.net.weights, i, part, NULL, &sums,
                                    &tokens));
        for (size_t j = 0; j < n; j++) grads[j] += part[j] * (float)sums.outputs / 37.0F;
        loss += sums.loss;
        outputs += sums.outputs;
    }
    assert_int_equal(outputs, 37);
    tr_step_report report;
    assert_ok(tr_trainer_step(w.trainer, &report));
    assert_int_equal(report.sums.outputs, 37);
    assert_true(fabs(report.sums.loss - loss) < 1e-9);
    assert_true(largest_difference(tr_trainer_state(w.trainer)->grads, grads, n) < 1e-6);
    tr_objective_destroy(&objective);
    free(grads);
    free(part);
    unmake(&w);
    unmake(&hand);
}

/* Values, moments and step in, and the run goes on as if it had never stopped. */
static void a_restored_state_goes_on_alike(void **state)
{
    world a, b;
    tr_step_report report;
    make(&a, &usual, NULL, 8, 1);
    make(&b, &usual, NULL, 8, 1);
    const size_t bytes = a.net.layout->floats * sizeof(float);
    for (int i = 0; i < 4; i++) assert_ok(tr_trainer_step(a.trainer, &report));
    tr_state *from = tr_trainer_state(a.trainer), *to = tr_trainer_state(b.trainer);
    memcpy(to->values, from->values, bytes);
    memcpy(to->m, from->m, bytes);
    memcpy(to->v, from->v, bytes);
    to->step = from->step;
    tr_trainer_restored(b.trainer);
    for (int i = 0; i < 4; i++) {
        assert_ok(tr_trainer_step(a.trainer, &report));
        assert_ok(tr_trainer_step(b.trainer, &report));
    }
    assert_int_equal(report.step, 8);
    assert_memory_equal(to->values, from->values, bytes);
    unmake(&a);
    unmake(&b);
}

static fs_status spoil_third(void *context, const tr_state *state)
{
    (void)context;
    if (state->step == 2) state->grads[5] = NAN;
    return FS_OK;
}

static void a_diverged_step_stops_or_is_skipped(void **state)
{
    tr_hooks hooks = {.gradients = spoil_third};
    tr_step_report report;
    world w;
    for (int skips = 0; skips < 2; skips++) {
        hooks.skips = skips;
        make(&w, &usual, &hooks, 8, 1);
        for (int i = 0; i < 2; i++) assert_ok(tr_trainer_step(w.trainer, &report));
        float *before = copy_values(&w);
        const fs_status status = tr_trainer_step(w.trainer, &report);
        assert_status(status, skips ? FS_OK : FS_EDIVERGED);
        if (skips)
            assert_true(report.skipped && isnan(report.norm));
        else
            assert_detail("step 3 diverged");
        assert_memory_equal(before, tr_weights_values(w.net.weights),
                            w.net.layout->floats * sizeof(float));
        if (skips) {
            assert_ok(tr_trainer_step(w.trainer, &report));
            assert_true(!report.skipped && report.step == 4);
        }
        free(before);
        unmake(&w);
    }
}

static void too_high_a_rate_is_told(void **state)
{
    tr_trainer_options options = usual;
    options.schedule = (tr_schedule){TR_SCHEDULE_CONSTANT, 1e30, 0, 0};
    options.adamw.decay = 0;
    tr_step_report report;
    world w;
    make(&w, &options, NULL, 8, 1);
    fs_status status = FS_OK;
    for (int i = 0; status == FS_OK && i < 5; i++) status = tr_trainer_step(w.trainer, &report);
    assert_status(status, FS_EDIVERGED);
    assert_detail("--rate");
    unmake(&w);
}

/* Accuracy, F1 and loss of a set, counted here from the logits of single sentences. */
static void measures_what_counting_finds(void **state)
{
    world w;
    tr_quality quality;
    make(&w, &usual, NULL, 8, 2);
    double loss = 0;
    uint32_t right = 0, both = 0, answered = 0, wanted = 0, all = 0;
    for (uint64_t i = 0; i < tr_source_epoch_steps(w.source); i++) {
        tr_batch batch;
        float logits[16];
        const tr_pass pass = {0};
        assert_ok(tr_source_batch(w.source, i, &batch));
        assert_ok(tr_forward(w.net.tape, w.net.weights, &batch, &pass, logits));
        for (uint32_t j = 0; j < batch.outputs; j++, all++) {
            const double a = (double)logits[2 * j], b = (double)logits[2 * j + 1];
            const int answer = b > a, target = batch.targets[j];
            loss += log(exp(a) + exp(b)) - (target ? b : a);
            right += answer == target;
            both += answer && target;
            answered += (uint32_t)answer;
            wanted += (uint32_t)target;
        }
    }
    assert_ok(tr_evaluate(&quality, w.net.weights, w.net.pool, w.source));
    assert_int_equal(quality.outputs, 37);
    assert_int_equal(all, 37);
    assert_true(fabs(quality.loss - loss / 37) < 1e-6);
    assert_true(quality.accuracy == right / 37.0);
    assert_true(fabs(quality.f1 - 2.0 * both / (answered + wanted)) < 1e-15);
    unmake(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_is_its_parts),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(runs_are_only_a_way_to_compute),
        cmocka_unit_test(accumulating_averages_over_outputs),
        cmocka_unit_test(a_restored_state_goes_on_alike),
        cmocka_unit_test(a_diverged_step_stops_or_is_skipped),
        cmocka_unit_test(too_high_a_rate_is_told),
        cmocka_unit_test(measures_what_counting_finds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
