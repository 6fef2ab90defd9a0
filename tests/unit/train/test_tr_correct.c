/* Self-correction: the objective's gradient against central differences of a forward pass in double
 * precision, its faults, exponent protection, and what it must not change. */
#include "tune_fixture.h"

#include <math.h>

#include "protect.h"
#include "tr_correct.h"
#include "tr_evaluate.h"

enum { ANSWERS_MAX = 1024 };

/* A step driven by hand, and both branches' weights as the oracle reads them. */
typedef struct subject {
    network net;
    net_text text;
    tiny_model *faulty;
    tr_correct *correct;
    tr_correct_options options;
    float smoothing;
    float *grads;
    tr_sums sums;
    double clean_answers[ANSWERS_MAX]; /* with the weights as they are */
} subject;

static uint32_t word_of(float value)
{
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}

static float value_of(uint32_t word)
{
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

static tiny_tensor *twin(const subject *self, const tiny_model *model, size_t tensor)
{
    return tiny_model_tensor(model, self->net.layout->geometry->tensors[tensor].name);
}

/* Faults by their definition: the bit flipped, bit 30 read as 0. */
static void write_oracles(subject *self)
{
    const tr_layout *layout = self->net.layout;
    const float *values = tr_weights_values(self->net.weights);
    const fs_fault_list *faults = tr_correct_faults(self->correct);
    for (size_t i = 0; i < layout->count; i++) {
        const tr_tensor *t = &layout->tensors[i];
        const size_t bytes = (size_t)t->rows * t->cols * sizeof(float);
        memcpy(twin(self, self->net.tiny, i)->values, values + t->first, bytes);
        memcpy(twin(self, self->faulty, i)->values, values + t->first, bytes);
    }
    for (size_t i = 0; i < faults->count; i++) {
        const fs_fault *f = &faults->items[i];
        float *value = twin(self, self->faulty, f->tensor)->values + f->element;
        *value = value_of((word_of(*value) ^ 1u << f->bit) & ~(1u << 30));
    }
}

static void run_step(subject *self, uint64_t step)
{
    const tr_layout *layout = self->net.layout;
    const tr_hooks *hooks = tr_correct_hooks(self->correct);
    const size_t n = net_logits(&self->net, &self->text.batch);
    float *logits = net_floats(n), *dlogits = net_floats(n);
    free(self->grads);
    self->grads = net_floats(layout->floats);
    const tr_state state = {.step = step,
                            .layout = layout,
                            .weights = self->net.weights,
                            .values = tr_weights_values(self->net.weights),
                            .grads = self->grads,
                            .pool = self->net.pool};
    const tr_run run = {.step = step,
                        .batch = &self->text.batch,
                        .pass = &(tr_pass){0},
                        .tape = self->net.tape,
                        .pool = self->net.pool,
                        .weights = self->net.weights,
                        .smoothing = self->smoothing,
                        .scale = 1 / (float)self->text.batch.outputs,
                        .logits = logits,
                        .dlogits = dlogits,
                        .grads = self->grads};
    self->sums = (tr_sums){0};
    assert_ok(hooks->begin(hooks->context, &state));
    assert_ok(hooks->run(hooks->context, &run, &self->sums));
    assert_ok(hooks->gradients(hooks->context, &state));
    free(logits);
    free(dlogits);
}

static void make(subject *self, fs_model_kind kind, fs_task_kind task,
                 const tr_correct_options *options)
{
    tiny_spec spec = tiny_spec_default(kind, task);
    spec.width = 6, spec.heads = 2, spec.inner = 10, spec.vocab = 13, spec.positions = 5;
    const int lm = task == FS_TASK_LM;
    spec.labels = lm ? 0 : 3;
    *self = (subject){.options = *options, .smoothing = 0.1f};
    net_make(&self->net, &spec, lm ? TR_HEAD_CAUSAL : TR_HEAD_CLASSIFY, 2);
    net_write(&self->text, &self->net, 5, spec.positions, 11);
    const uint32_t n = tr_logit_count(self->net.layout);
    assert_true(self->text.batch.outputs * n <= ANSWERS_MAX);
    for (uint32_t i = 0; i < self->text.batch.outputs; i++)
        self->text.targets[i] = (int32_t)(i * 7 % n);
    assert_ok(tiny_model_new(&self->faulty, &spec));
    assert_ok(tr_correct_new(&self->correct, options, self->net.weights, self->net.pool, NULL));
}

static void unmake(subject *self)
{
    tr_correct_destroy(&self->correct);
    tiny_model_destroy(&self->faulty);
    free(self->grads);
    net_unmake(&self->net);
}

/* The oracle's answers, [outputs, n]. */
static void answer(const subject *self, const tiny_model *model, double *out)
{
    const tr_batch *batch = &self->text.batch;
    const size_t n = tr_logit_count(self->net.layout);
    static double logits[ANSWERS_MAX];
    uint32_t at = 0;
    for (uint32_t s = 0; s < batch->tokens.n_seq; s++) {
        const uint32_t first = self->text.off[s], end = self->text.off[s + 1];
        oracle_logits(model, self->text.ids + first, end - first, logits);
        for (; at < batch->outputs; at++) {
            const uint32_t row = batch->rows != NULL ? batch->rows[at] : at;
            if (batch->rows != NULL ? row >= end : row > s) break;
            const double *from = logits + (batch->rows != NULL ? (row - first) * n : 0);
            memcpy(out + at * n, from, n * sizeof *out);
        }
    }
    assert_int_equal(at, batch->outputs);
}

static double log_sum_exp(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += exp(x[i]);
    return log(sum);
}

static double cross_entropy(const subject *self, const double *answers)
{
    const size_t n = tr_logit_count(self->net.layout);
    const double smoothing = (double)self->smoothing;
    double sum = 0;
    for (uint32_t row = 0; row < self->text.batch.outputs; row++, answers += n) {
        const double lse = log_sum_exp(answers, n);
        sum += (1 - smoothing) * (lse - answers[self->text.targets[row]]);
        for (size_t i = 0; i < n; i++) sum += smoothing / (double)n * (lse - answers[i]);
    }
    return sum;
}

static double divergence(const subject *self, const double *clean, const double *faulty)
{
    const size_t n = tr_logit_count(self->net.layout);
    double sum = 0;
    for (uint32_t row = 0; row < self->text.batch.outputs; row++, clean += n, faulty += n) {
        double of_row = 0;
        const double a = log_sum_exp(clean, n), b = log_sum_exp(faulty, n);
        for (size_t i = 0; i < n; i++) {
            if (self->options.divergence == TR_DIVERGENCE_L2)
                of_row += (clean[i] - faulty[i]) * (clean[i] - faulty[i]);
            else
                of_row += exp(clean[i] - a) * (clean[i] - a - faulty[i] + b);
        }
        sum += self->options.divergence == TR_DIVERGENCE_L2 ? sqrt(of_row) : of_row;
    }
    return sum;
}

static double objective(const subject *self)
{
    static double clean[ANSWERS_MAX], faulty[ANSWERS_MAX];
    const tr_correct_options *o = &self->options;
    answer(self, self->net.tiny, clean);
    answer(self, self->faulty, faulty);
    const double on_clean = cross_entropy(self, clean), on_faulty = cross_entropy(self, faulty);
    const double task = o->task == TR_CORRECT_CLEAN    ? on_clean
                        : o->task == TR_CORRECT_FAULTY ? on_faulty
                                                       : (on_clean + on_faulty) / 2;
    /* KL's clean side is a constant: the answers with the weights as they are. */
    const int held = o->divergence == TR_DIVERGENCE_KL;
    const double apart = divergence(self, held ? self->clean_answers : clean, faulty);
    return (task + o->lambda * apart) / self->text.batch.outputs;
}

static double slope(const subject *self, float *value)
{
    const float kept = *value, step = 0x1p-12f;
    *value = kept + step;
    const double high = (double)*value, above = objective(self);
    *value = kept - step;
    const double low = (double)*value, below = objective(self);
    *value = kept;
    return (above - below) / (high - low);
}

static void check_gradient(fs_model_kind kind, fs_task_kind task_kind, tr_correct_task task,
                           tr_divergence divergence_kind)
{
    const tr_correct_options options = {
        .rate = 0.05, .lambda = 0.7, .task = task, .divergence = divergence_kind, .key = 4};
    subject self;
    make(&self, kind, task_kind, &options);
    run_step(&self, 3);
    write_oracles(&self);
    answer(&self, self.net.tiny, self.clean_answers);
    const double loss = self.sums.loss / (double)self.sums.outputs;
    assert_true(fabs(loss - objective(&self)) < 1e-5);
    assert_true(self.sums.divergence > 0 && tr_correct_faults(self.correct)->count > 10);
    double largest = 0;
    for (size_t i = 0; i < self.net.layout->floats; i++)
        largest = fmax(largest, fabs((double)self.grads[i]));
    for (size_t i = 0; i < self.net.layout->count; i++) {
        const tr_tensor *t = &self.net.layout->tensors[i];
        double worst = 0, scale = 1e-3 * largest;
        for (size_t j = 0; j < (size_t)t->rows * t->cols; j++) {
            /* Straight through: the slopes of both branches add up. */
            const double expected = slope(&self, twin(&self, self.net.tiny, i)->values + j) +
                                    slope(&self, twin(&self, self.faulty, i)->values + j);
            scale = fmax(scale, fabs(expected));
            worst = fmax(worst, fabs(expected - (double)self.grads[t->first + j]));
        }
        if (!(worst < 1e-3 * scale)) fail_msg("gradient of %s is %.3g off", t->name, worst / scale);
    }
    unmake(&self);
}

static void the_objectives_gradient_is_its_slope(void **state)
{
    check_gradient(FS_MODEL_BERT, FS_TASK_CLASSIFICATION, TR_CORRECT_CLEAN, TR_DIVERGENCE_L2);
    check_gradient(FS_MODEL_BERT, FS_TASK_CLASSIFICATION, TR_CORRECT_FAULTY, TR_DIVERGENCE_KL);
    check_gradient(FS_MODEL_GPT2, FS_TASK_LM, TR_CORRECT_FAULTY, TR_DIVERGENCE_L2);
    check_gradient(FS_MODEL_GPT2, FS_TASK_LM, TR_CORRECT_CLEAN, TR_DIVERGENCE_KL);
    check_gradient(FS_MODEL_GPT2, FS_TASK_LM, TR_CORRECT_BOTH, TR_DIVERGENCE_L2);
}

/* The faulty branch's gradient alone, from the faulty weights and a tape of its own: what is left
 * when the clean gradient is taken away. Task on clean and KL: only the divergence reaches it. */
static void clamps_and_drops_in_the_faulty_branch_only(void **state)
{
    tr_correct_options options = {.rate = 0.05, .lambda = 3, .divergence = TR_DIVERGENCE_KL};
    subject plain, cut, clean;
    make(&plain, FS_MODEL_BERT, FS_TASK_CLASSIFICATION, &options);
    options.clamp = 0.01;
    options.drop_hit = 1;
    make(&cut, FS_MODEL_BERT, FS_TASK_CLASSIFICATION, &options);
    options.rate = 0;
    make(&clean, FS_MODEL_BERT, FS_TASK_CLASSIFICATION, &options);
    run_step(&plain, 1);
    run_step(&cut, 1);
    run_step(&clean, 1);
    const size_t floats = plain.net.layout->floats;
    uint8_t *hit = calloc(floats, 1);
    assert_non_null(hit);
    const fs_fault_list *faults = tr_correct_faults(cut.correct);
    for (size_t i = 0; i < faults->count; i++) {
        const fs_fault *f = &faults->items[i];
        hit[plain.net.layout->tensors[f->tensor].first + f->element] = 1;
    }
    unsigned clamped = 0, dropped = 0;
    for (size_t i = 0; i < floats; i++) {
        const double branch = (double)plain.grads[i] - (double)clean.grads[i];
        const double expected = hit[i] ? 0 : fmin(fmax(branch, -0.01), 0.01);
        clamped += fabs(branch) > 0.01;
        dropped += hit[i] && fabs(branch) > 1e-5;
        assert_true(fabs((double)cut.grads[i] - (double)clean.grads[i] - expected) < 2e-6);
    }
    assert_true(clamped > 10 && dropped > 3);
    free(hit);
    unmake(&plain);
    unmake(&cut);
    unmake(&clean);
}

/* What the branches share changes nothing: a clamp that cuts nothing keeps them apart. The losses
 * have the same bits; the gradients are summed in another order. */
static void check_sharing(fs_model_kind kind, fs_task_kind task, const tr_correct_options *options)
{
    tr_correct_options apart_options = *options;
    apart_options.clamp = 1e30;
    subject shared, apart;
    make(&shared, kind, task, options);
    make(&apart, kind, task, &apart_options);
    for (uint64_t step = 0; step < 3; step++) {
        run_step(&shared, step);
        run_step(&apart, step);
        assert_true(tr_correct_faults(shared.correct)->count > 0);
        assert_true(shared.sums.divergence > 0);
        assert_memory_equal(&shared.sums, &apart.sums, sizeof shared.sums);
        double largest = 0;
        for (size_t i = 0; i < shared.net.layout->floats; i++)
            largest = fmax(largest, fabs((double)apart.grads[i]));
        for (size_t i = 0; i < shared.net.layout->floats; i++)
            assert_true(fabs((double)shared.grads[i] - (double)apart.grads[i]) < 1e-5 * largest);
    }
    unmake(&shared);
    unmake(&apart);
}

static void what_is_shared_changes_nothing(void **state)
{
    static const int second[] = {1}, both[] = {0, 1}, none[] = {-1};
    tr_correct_options options = {.rate = 0.05,
                                  .lambda = 0.7,
                                  .task = TR_CORRECT_BOTH,
                                  .layers = second,
                                  .layer_count = 1,
                                  .key = 6};
    check_sharing(FS_MODEL_BERT, FS_TASK_CLASSIFICATION, &options);
    check_sharing(FS_MODEL_GPT2, FS_TASK_LM, &options);
    options.drop_hit = 1;
    check_sharing(FS_MODEL_GPT2, FS_TASK_LM, &options);
    options.layers = both;
    options.layer_count = 2;
    check_sharing(FS_MODEL_GPT2, FS_TASK_LM, &options);
    options.layers = none; /* GPT-2's tied embedding is a head too, and comes before all blocks */
    options.layer_count = 1;
    check_sharing(FS_MODEL_GPT2, FS_TASK_LM, &options);
    options.rate = 0.6;
    options.components = fs_component_parse("final.norm");
    check_sharing(FS_MODEL_GPT2, FS_TASK_LM, &options);
    options.components = fs_component_parse("head");
    check_sharing(FS_MODEL_BERT, FS_TASK_CLASSIFICATION, &options);
}

/* Draws are fs_fault_draw's with the step as trial, at the right rate: within five deviations. */
static void faults_are_drawn_anew_each_step(void **state)
{
    const tr_correct_options options = {.rate = 0.01, .lambda = 1, .key = 9};
    subject self;
    make(&self, FS_MODEL_GPT2, FS_TASK_LM, &options);
    const fs_geometry *geometry = self.net.layout->geometry;
    fs_fault_space *space;
    fs_fault_list drawn = {0};
    assert_ok(fs_fault_space_new(&space, geometry, fs_geometry_components(geometry), NULL, 0,
                                 FS_BITS_ALL));
    enum { STEPS = 60 };
    uint64_t total = 0, last = 0;
    for (uint64_t step = 0; step < STEPS; step++) {
        run_step(&self, step);
        const fs_fault_list *faults = tr_correct_faults(self.correct);
        assert_ok(fs_fault_draw(&drawn, space, (fs_amount){FS_AMOUNT_RATE, 0.01}, FS_FAULT_FLIP, 9,
                                step));
        const uint64_t sum = fs_fault_list_checksum(faults);
        assert_true(sum == fs_fault_list_checksum(&drawn) && sum != last);
        last = sum;
        total += faults->count;
    }
    const double sites = (double)space->values * STEPS;
    assert_true(fabs((double)total - 0.01 * sites) < 5 * sqrt(0.01 * 0.99 * sites));
    fs_fault_list_free(&drawn);
    fs_fault_space_destroy(&space);
    unmake(&self);
}

static void clipping_is_the_encoder_of_ep(void **state)
{
    static float values[70000];
    const uint32_t words[] = {0,          0x80000000, 0x3fffffff, 0x40000000,
                              0xc0000000, 0xbfffffff, 0x7f800000, 0xff800000,
                              0x7fc12345, 0xffffffff, 0x00000001, 0x5a5a5a5a};
    enum { WORDS = sizeof words / sizeof *words };
    const fs_codec *ep = fs_codec_find("ep");
    uint64_t expected = 0;
    tr_pool *pool;
    for (size_t i = 0; i < 70000; i++) {
        values[i] = value_of(words[i % WORDS]);
        expected += words[i % WORDS] >> 30 & 1u;
    }
    assert_ok(tr_pool_new(&pool, 2));
    assert_int_equal(tr_correct_clip(pool, values, 70000), expected);
    assert_int_equal(tr_correct_clip(pool, values, 70000), 0);
    for (size_t i = 0; i < 70000; i++) {
        uint32_t word = words[i % WORDS];
        const fs_codec_run run = {
            .format = fs_format_of(FS_FORMAT_FP32), .words = &word, .count = 1};
        ep->prepare(&run);
        assert_int_equal(word_of(values[i]), word);
        assert_true(fabsf(values[i]) < 2);
    }
    tr_pool_destroy(&pool);
}

/* Whole steps of a trainer. */

static void start(tuner *self, tr_correct **correct, const tr_correct_options *options,
                  unsigned threads)
{
    const tiny_spec spec = tune_spec(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    tune_make(self, &spec, TR_HEAD_CLASSIFY, threads);
    /* Weights that stay below 2 whether they are clipped or not. */
    float *values = tr_weights_values(self->net.weights);
    for (size_t i = 0; i < self->net.layout->floats; i++)
        values[i] = fmaxf(-1, fminf(1, values[i]));
    if (options != NULL)
        assert_ok(tr_correct_new(correct, options, self->net.weights, self->net.pool, NULL));
    tune_start(self, options != NULL ? tr_correct_hooks(*correct) : NULL, NULL);
}

static void check_same_as_plain(const tr_correct_options *options)
{
    tuner plain, other;
    tr_correct *correct;
    start(&plain, NULL, NULL, 1);
    start(&other, &correct, options, 1);
    for (int i = 0; i < 8; i++) {
        const tr_step_report a = tune_step(&plain), b = tune_step(&other);
        assert_memory_equal(&a, &b, sizeof a);
    }
    tune_assert_equal(&plain, &other);
    tune_unmake(&plain);
    tune_unmake(&other);
    tr_correct_destroy(&correct);
}

static void without_faults_or_weight_it_is_plain_tuning(void **state)
{
    check_same_as_plain(&(tr_correct_options){.rate = 0, .lambda = 1});
    check_same_as_plain(
        &(tr_correct_options){.rate = 0, .lambda = 1, .task = TR_CORRECT_FAULTY, .clamp = 0.1});
    check_same_as_plain(&(tr_correct_options){.rate = 0.1, .lambda = 0});
    check_same_as_plain(&(tr_correct_options){.rate = 0.1, .lambda = 1, .after_steps = 8});
    check_same_as_plain(&(tr_correct_options){.rate = 0.1, .lambda = 1, .below_loss = 1e-9});
}

static json_int_t whole_metric(const tr_correct *correct, const char *name)
{
    const tr_hooks *hooks = tr_correct_hooks(correct);
    json_t *line = json_object();
    assert_ok(hooks->metrics(hooks->context, line));
    const json_int_t value = json_integer_value(json_object_get(line, name));
    assert_true(json_real_value(json_object_get(line, "faulty_seconds")) >= 0);
    json_decref(line);
    return value;
}

static void values_stay_below_two(void **state)
{
    tuner self;
    tr_correct *correct;
    const tr_correct_options options = {.rate = 0.01, .lambda = 0.5};
    start(&self, &correct, &options, 2);
    float *values = tr_weights_values(self.net.weights);
    json_int_t clipped = 0;
    for (size_t i = 0; i < self.net.layout->floats; i++) values[i] *= 1.999f;
    tr_trainer_restored(self.trainer);
    for (int i = 0; i < 30; i++) {
        tune_step(&self);
        clipped += whole_metric(correct, "ep_clipped");
        for (size_t j = 0; j < self.net.layout->floats; j++) assert_true(fabsf(values[j]) < 2);
    }
    assert_true(clipped > 0);
    tune_unmake(&self);
    tr_correct_destroy(&correct);
}

/* A divergence weighed beyond all floats makes no gradient, and the step is left out. */
static void steps_that_are_not_finite_are_left_out(void **state)
{
    tuner self;
    tr_correct *correct;
    const tr_correct_options options = {.rate = 0.05, .lambda = 1e60, .after_steps = 2};
    start(&self, &correct, &options, 1);
    assert_int_equal(tune_step(&self).skipped + tune_step(&self).skipped, 0);
    const tr_state *s = tr_trainer_state(self.trainer);
    const size_t bytes = s->layout->floats * sizeof(float);
    float *kept = malloc(bytes);
    assert_non_null(kept);
    memcpy(kept, s->values, bytes);
    for (int i = 0; i < 3; i++) assert_int_equal(tune_step(&self).skipped, 1);
    assert_memory_equal(kept, s->values, bytes);
    assert_int_equal(s->step, 5);
    free(kept);
    tune_unmake(&self);
    tr_correct_destroy(&correct);
}

static const tr_correct_options full_options = {.rate = 0.02,
                                                .lambda = 0.3,
                                                .task = TR_CORRECT_BOTH,
                                                .clamp = 0.05,
                                                .drop_hit = 1,
                                                .after_steps = 2,
                                                .below_loss = 100};

static void a_run_goes_on_to_the_same_bits(void **state)
{
    tuner whole, first, second;
    tr_correct *of_whole, *of_first, *of_second;
    start(&whole, &of_whole, &full_options, 2);
    for (int i = 0; i < 9; i++) tune_step(&whole);
    start(&first, &of_first, &full_options, 1);
    for (int i = 0; i < 5; i++) tune_step(&first);
    start(&second, &of_second, &full_options, 1);
    tune_go_on(&second, &first);
    const tr_hooks *from = tr_correct_hooks(of_first), *to = tr_correct_hooks(of_second);
    memcpy(to->memory, from->memory, TR_HOOK_WORDS * sizeof *to->memory);
    for (int i = 0; i < 4; i++) tune_step(&second);
    tune_assert_equal(&whole, &second);
    tune_unmake(&whole);
    tune_unmake(&first);
    tune_unmake(&second);
    tr_correct_destroy(&of_whole);
    tr_correct_destroy(&of_first);
    tr_correct_destroy(&of_second);
}

static void faults_wait_for_their_step_and_for_a_low_loss(void **state)
{
    tuner self;
    tr_correct *correct;
    tr_correct_options options = {.rate = 0.05, .lambda = 0.1, .after_steps = 3};
    start(&self, &correct, &options, 1);
    for (int i = 0; i < 6; i++) {
        const tr_step_report report = tune_step(&self);
        assert_int_equal(whole_metric(correct, "faults") > 0, i >= 3);
        assert_int_equal(report.sums.divergence > 0, i >= 3);
    }
    tune_unmake(&self);
    tr_correct_destroy(&correct);
    options.below_loss = 0.5; /* two classes begin at about ln 2 */
    start(&self, &correct, &options, 1);
    double mean = 0;
    for (int i = 0, low = 0; i < 200 && low < 5; i++) {
        const tr_step_report report = tune_step(&self);
        const double loss = report.sums.task / (double)report.sums.outputs;
        assert_int_equal(whole_metric(correct, "faults") > 0, low > 0 && i >= 3);
        if (low == 0) mean = i == 0 ? loss : mean + (loss - mean) / 16;
        low += low > 0 || mean < 0.5;
        if (i == 199) fail_msg("the loss stays at %g", mean);
    }
    tune_unmake(&self);
    tr_correct_destroy(&correct);
}

/* Measured as by hand: the step's weights, a fixed list of faults, bit 30 read as 0. */
static double accuracy_by_hand(const tuner *self, uint64_t key, uint64_t trial)
{
    const fs_geometry *geometry = self->net.layout->geometry;
    fs_fault_space *space;
    fs_fault_list drawn = {0};
    tr_weights *weights;
    tr_quality quality;
    assert_ok(tr_weights_new(&weights, self->net.layout));
    float *values = tr_weights_values(weights);
    memcpy(values, tr_weights_values(self->net.weights), self->net.layout->floats * sizeof(float));
    assert_ok(fs_fault_space_new(&space, geometry, fs_geometry_components(geometry), NULL, 0,
                                 FS_BITS_ALL));
    assert_ok(
        fs_fault_draw(&drawn, space, (fs_amount){FS_AMOUNT_RATE, 0.2}, FS_FAULT_FLIP, key, trial));
    for (size_t i = 0; i < drawn.count; i++) {
        const fs_fault *f = &drawn.items[i];
        float *value = values + self->net.layout->tensors[f->tensor].first + f->element;
        *value = value_of((word_of(*value) ^ 1u << f->bit) & ~(1u << 30));
    }
    tr_weights_pack(weights, self->net.pool);
    assert_ok(tr_evaluate(&quality, weights, self->net.pool, self->source));
    fs_fault_list_free(&drawn);
    fs_fault_space_destroy(&space);
    tr_weights_destroy(&weights);
    return quality.accuracy;
}

static void measures_under_fixed_faults_and_changes_nothing(void **state)
{
    tuner silent, self;
    tr_correct *of_silent, *correct;
    tr_correct_options options = {.rate = 0.02, .lambda = 0.3};
    start(&silent, &of_silent, &options, 1);
    options.lists = 3;
    options.measure_rate = 0.2;
    options.measure_key = 55;
    start(&self, &correct, &options, 1);
    const tr_hooks *hooks = tr_correct_hooks(correct);
    for (int i = 0; i < 4; i++) {
        tune_step(&silent);
        tune_step(&self);
        json_t *line = json_object();
        assert_ok(
            hooks->measured(hooks->context, tr_trainer_state(self.trainer), self.source, line));
        const json_t *got = json_object_get(json_object_get(line, "dev_faulty"), "accuracies");
        assert_int_equal(json_array_size(got), 3);
        double mean = 0;
        for (size_t k = 0; k < 3; k++) {
            const double expected = accuracy_by_hand(&self, 55, k);
            assert_true(json_real_value(json_array_get(got, k)) == expected);
            mean += expected / 3;
        }
        got = json_object_get(json_object_get(line, "dev_faulty"), "accuracy");
        assert_true(fabs(json_real_value(got) - mean) < 1e-12);
        json_decref(line);
    }
    tune_assert_equal(&silent, &self);
    tune_unmake(&silent);
    tune_unmake(&self);
    tr_correct_destroy(&of_silent);
    tr_correct_destroy(&correct);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_objectives_gradient_is_its_slope),
        cmocka_unit_test(clamps_and_drops_in_the_faulty_branch_only),
        cmocka_unit_test(what_is_shared_changes_nothing),
        cmocka_unit_test(faults_are_drawn_anew_each_step),
        cmocka_unit_test(clipping_is_the_encoder_of_ep),
        cmocka_unit_test(without_faults_or_weight_it_is_plain_tuning),
        cmocka_unit_test(values_stay_below_two),
        cmocka_unit_test(steps_that_are_not_finite_are_left_out),
        cmocka_unit_test(a_run_goes_on_to_the_same_bits),
        cmocka_unit_test(faults_wait_for_their_step_and_for_a_low_loss),
        cmocka_unit_test(measures_under_fixed_faults_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
