/* Faults while a network learns: their rate, places, independence and persistence. */
#include "tune_fixture.h"

#include <math.h>

#include "tr_correct.h"
#include "tr_faults.h"

enum { ALL_SITES = (1 << TR_FAULT_SITE_COUNT) - 1 };

static uint32_t word_of(float value)
{
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}

/* Arrays of a state, and copies of them. */
typedef struct arrays {
    tr_layout *layout;
    float *now[4], *before[4]; /* gradients, values, m, v */
    tr_state state;
} arrays;

static void arrays_make(arrays *self)
{
    const tiny_spec spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    const fs_config config = {.kind = spec.kind,
                              .task = spec.task,
                              .vocab = 700,
                              .positions = 20,
                              .segments = 2,
                              .d_model = 30,
                              .layers = 2,
                              .heads = 3,
                              .d_ff = 70,
                              .labels = 3,
                              .norm_eps = 1e-12};
    *self = (arrays){0};
    assert_ok(tr_layout_new(&self->layout, &config, TR_HEAD_CLASSIFY));
    for (size_t k = 0; k < 4; k++) {
        self->now[k] = net_floats(self->layout->floats);
        for (size_t i = 0; i < self->layout->count; i++) {
            const tr_tensor *t = &self->layout->tensors[i];
            float *noise = net_noise((size_t)t->rows * t->cols, i + k);
            memcpy(self->now[k] + t->first, noise, (size_t)t->rows * t->cols * sizeof *noise);
            free(noise);
        }
        self->before[k] = net_floats(self->layout->floats);
        memcpy(self->before[k], self->now[k], self->layout->floats * sizeof(float));
    }
    self->state = (tr_state){.layout = self->layout,
                             .grads = self->now[0],
                             .values = self->now[1],
                             .m = self->now[2],
                             .v = self->now[3]};
}

static void arrays_free(arrays *self)
{
    for (size_t k = 0; k < 4; k++) {
        free(self->now[k]);
        free(self->before[k]);
    }
    tr_layout_destroy(&self->layout);
}

/* One step's hooks; then what they hit. @return hits of array k. */
static void step(arrays *self, const tr_faults *faults, uint64_t number)
{
    const tr_hooks *hooks = tr_faults_hooks(faults);
    self->state.step = number;
    assert_ok(hooks->begin(hooks->context, &self->state));
    assert_ok(hooks->gradients(hooks->context, &self->state));
    assert_ok(hooks->updated(hooks->context, &self->state));
}

static uint64_t hits(const arrays *self, size_t k, unsigned bits[32])
{
    uint64_t count = 0;
    for (size_t i = 0; i < self->layout->floats; i++) {
        const uint32_t flips = word_of(self->now[k][i]) ^ word_of(self->before[k][i]);
        if (flips == 0) continue;
        assert_int_equal(flips & (flips - 1), 0); /* one bit in each value */
        bits[__builtin_ctz(flips)]++;
        count++;
    }
    return count;
}

static void flips_are_as_many_as_the_rate_says(void **state)
{
    arrays self;
    tr_faults *faults;
    unsigned bits[32] = {0};
    arrays_make(&self);
    const tr_faults_options options = {.sites = ALL_SITES, .rate = 0.02, .key = 12};
    assert_ok(tr_faults_new(&faults, &options, NULL));
    step(&self, faults, 5);
    const double n = (double)self.layout->parameters;
    uint64_t count[4];
    for (size_t k = 0; k < 4; k++) {
        count[k] = hits(&self, k, bits);
        assert_true(fabs((double)count[k] - 0.02 * n) < 5 * sqrt(0.02 * 0.98 * n));
    }
    assert_int_equal(count[0], tr_faults_count(faults, TR_FAULT_GRADIENTS));
    assert_int_equal(count[1], tr_faults_count(faults, TR_FAULT_PARAMETERS));
    assert_int_equal(count[2] + count[3], tr_faults_count(faults, TR_FAULT_OPTIMIZER));
    /* Every bit is as likely as the others. */
    const double each = (double)(count[0] + count[1] + count[2] + count[3]) / 32;
    double chi = 0;
    for (size_t i = 0; i < 32; i++) chi += (bits[i] - each) * (bits[i] - each) / each;
    assert_true(chi < 65); /* 31 degrees of freedom: p = 0.0003 */
    tr_faults_destroy(&faults);
    arrays_free(&self);
}

static uint64_t checksum(const arrays *self, size_t k)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < self->layout->floats; i++)
        if (word_of(self->now[k][i]) != word_of(self->before[k][i])) sum = sum * 31 + i;
    return sum;
}

static void what_is_hit_is_a_function_of_key_site_and_step(void **state)
{
    uint64_t sums[4][4];
    for (size_t run = 0; run < 4; run++) { /* the same twice, another step, another key */
        arrays self;
        tr_faults *faults;
        arrays_make(&self);
        const tr_faults_options options = {
            .sites = ALL_SITES, .rate = 0.01, .key = run == 3 ? 13 : 12};
        assert_ok(tr_faults_new(&faults, &options, NULL));
        step(&self, faults, run == 2 ? 8 : 7);
        for (size_t k = 0; k < 4; k++) sums[run][k] = checksum(&self, k);
        tr_faults_destroy(&faults);
        arrays_free(&self);
    }
    for (size_t k = 0; k < 4; k++) {
        assert_true(sums[0][k] == sums[1][k]);
        assert_true(sums[0][k] != sums[2][k] && sums[0][k] != sums[3][k]);
        for (size_t other = 0; other < k; other++) assert_true(sums[0][k] != sums[0][other]);
    }
}

static void sites_and_tensors_that_are_not_asked_for_stay(void **state)
{
    for (tr_fault_site site = 0; site < TR_FAULT_SITE_COUNT; site++) {
        arrays self;
        tr_faults *faults;
        arrays_make(&self);
        uint8_t *wanted = calloc(self.layout->count, 1);
        assert_non_null(wanted);
        wanted[0] = wanted[7] = 1;
        self.state.wanted = wanted;
        const tr_faults_options options = {.sites = 1u << site, .rate = 0.3, .clear_bit_30 = 1};
        assert_ok(tr_faults_new(&faults, &options, NULL));
        step(&self, faults, 1);
        const int hit[4] = {site == TR_FAULT_GRADIENTS, site == TR_FAULT_PARAMETERS,
                            site == TR_FAULT_OPTIMIZER, site == TR_FAULT_OPTIMIZER};
        for (size_t k = 0; k < 4; k++) {
            assert_int_equal(checksum(&self, k) != 0, hit[k]);
            for (size_t i = 0; i < self.layout->count; i++) {
                const tr_tensor *t = &self.layout->tensors[i];
                const size_t bytes = (size_t)t->rows * t->cols * sizeof(float);
                if (!wanted[i])
                    assert_memory_equal(self.now[k] + t->first, self.before[k] + t->first, bytes);
            }
        }
        /* Under exponent protection no parameter comes out of a flip with bit 30. */
        for (size_t i = 0; i < self.layout->floats; i++) {
            if (word_of(self.now[1][i]) != word_of(self.before[1][i]))
                assert_int_equal(word_of(self.now[1][i]) >> 30 & 1, 0);
        }
        tr_faults_destroy(&faults);
        free(wanted);
        arrays_free(&self);
    }
}

/* Lists made by hand, and what was told of each word. */
typedef struct told {
    fs_fault items[3];
    size_t count, hits;
    tr_fault_hit hit[8];
} told;

static fs_status give(void *context, fs_tune_array array, uint64_t step, fs_fault_list *out)
{
    const told *self = context;
    assert_int_equal(step, 6);
    out->count = 0;
    for (size_t i = 0; i < self->count; i++) {
        fs_fault fault = self->items[i];
        fault.element += array; /* another one in each array */
        FS_TRY(fs_fault_list_add(out, fault));
    }
    return FS_OK;
}

static void tell(void *context, const tr_fault_hit *hit)
{
    told *self = context;
    assert_true(self->hits < 8);
    self->hit[self->hits++] = *hit;
}

static void lists_hit_what_they_name(void **state)
{
    arrays self;
    tr_faults *faults;
    arrays_make(&self);
    told lists = {.count = 3,
                  .items = {{.tensor = 1, .element = 40, .bit = 3, .kind = FS_FAULT_FLIP},
                            {.tensor = 1, .element = 40, .bit = 30, .kind = FS_FAULT_STUCK1},
                            {.tensor = 4, .element = 0, .bit = 31, .kind = FS_FAULT_STUCK0}}};
    const tr_fault_draws draws = {&lists, 1 << FS_TUNE_GRADIENTS | 1 << FS_TUNE_PARAMETERS, give,
                                  tell};
    const tr_faults_options options = {.draws = &draws, .clear_bit_30 = 1};
    const size_t first = self.layout->tensors[1].first + 40, last = self.layout->tensors[4].first;
    self.now[0][last] = self.before[0][last] = -(float)NAN;
    assert_ok(tr_faults_new(&faults, &options, NULL));
    assert_int_equal(tr_faults_hooks(faults)->skips, 0);
    step(&self, faults, 6);
    uint32_t want[2][2]; /* [array][word] */
    want[0][0] = (word_of(self.before[0][first]) ^ 8) | 0x40000000;
    want[0][1] = 0x7fc00000; /* one NaN stands for all */
    want[1][0] = (word_of(self.before[1][first + FS_TUNE_PARAMETERS]) ^ 8) & ~0x40000000u;
    want[1][1] = word_of(self.before[1][last + FS_TUNE_PARAMETERS]) & 0x3fffffff;
    assert_int_equal(word_of(self.now[0][first]), want[0][0]);
    assert_int_equal(word_of(self.now[0][last]), want[0][1]);
    assert_int_equal(word_of(self.now[1][first + FS_TUNE_PARAMETERS]), want[1][0]);
    assert_int_equal(word_of(self.now[1][last + FS_TUNE_PARAMETERS]), want[1][1]);
    self.now[0][first] = self.before[0][first];
    self.now[0][last] = self.before[0][last];
    self.now[1][first + FS_TUNE_PARAMETERS] = self.before[1][first + FS_TUNE_PARAMETERS];
    self.now[1][last + FS_TUNE_PARAMETERS] = self.before[1][last + FS_TUNE_PARAMETERS];
    for (size_t k = 0; k < 4; k++) /* and nothing else */
        assert_memory_equal(self.now[k], self.before[k], self.layout->floats * sizeof(float));
    assert_int_equal(lists.hits, 4);
    assert_true(lists.hit[0].array == FS_TUNE_GRADIENTS && lists.hit[0].count == 2);
    assert_int_equal(lists.hit[0].effective, 2);
    assert_int_equal(lists.hit[2].read, want[1][0]);
    assert_int_equal(lists.hit[2].after, want[1][0] | 0x40000000);
    assert_int_equal(tr_faults_count(faults, TR_FAULT_GRADIENTS), 3);
    tr_faults_destroy(&faults);
    arrays_free(&self);
}

static void words_of_sites(void **state)
{
    unsigned sites;
    assert_ok(tr_fault_sites_parse(&sites, "gradients"));
    assert_int_equal(sites, 1 << TR_FAULT_GRADIENTS);
    assert_ok(tr_fault_sites_parse(&sites, "optimizer,activations,parameters"));
    assert_int_equal(sites, ALL_SITES & ~(1 << TR_FAULT_GRADIENTS));
    static const char *const bad[] = {"", "weights", "gradients,", ",gradients", "gradient"};
    for (size_t i = 0; i < 5; i++) assert_status(tr_fault_sites_parse(&sites, bad[i]), FS_EUSAGE);
}

/* Whole steps. */

static void start(tuner *self, tr_faults **faults, const tr_faults_options *options,
                  const tr_hooks *inner, unsigned threads)
{
    const tiny_spec spec = tune_spec(FS_MODEL_GPT2, FS_TASK_LM);
    tune_make(self, &spec, TR_HEAD_CAUSAL, threads);
    if (options != NULL) assert_ok(tr_faults_new(faults, options, inner));
    tune_start(self, options != NULL ? tr_faults_hooks(*faults) : NULL, NULL);
}

/* At rate 1 each value of each stage is hit once: they can be counted. */
static void every_stage_is_hit(void **state)
{
    tuner self;
    tr_faults *faults;
    const tr_faults_options options = {.sites = 1 << TR_FAULT_ACTIVATIONS, .rate = 1};
    start(&self, &faults, &options, NULL, 2);
    const tr_step_report report = tune_step(&self);
    const uint64_t d = 16, inner = 24, layers = 2, vocab = 300;
    const uint64_t layer = 3 * d + d + d + inner + d + d;
    assert_int_equal(tr_faults_count(faults, TR_FAULT_ACTIVATIONS),
                     report.tokens * (d + layers * layer) + report.sums.outputs * vocab);
    tune_unmake(&self);
    tr_faults_destroy(&faults);
}

/* The number of threads changes nothing. */
static void activations_do_not_depend_on_threads(void **state)
{
    uint64_t counts[2];
    tuner runs[2];
    tr_faults *faults[2];
    const tr_faults_options options = {.sites = ALL_SITES, .rate = 3e-4, .key = 3};
    for (unsigned i = 0; i < 2; i++) {
        start(&runs[i], &faults[i], &options, NULL, 1 + 2 * i);
        counts[i] = 0;
        for (int k = 0; k < 4; k++) {
            tr_step_report report;
            assert_ok(tr_trainer_step(runs[i].trainer, &report));
            counts[i] += tr_faults_count(faults[i], TR_FAULT_ACTIVATIONS);
        }
    }
    assert_int_equal(counts[0], counts[1]);
    assert_true(counts[0] > 0);
    tune_assert_equal(&runs[0], &runs[1]);
    for (unsigned i = 0; i < 2; i++) {
        tune_unmake(&runs[i]);
        tr_faults_destroy(&faults[i]);
    }
}

static void at_rate_zero_nothing_changes(void **state)
{
    tuner plain, other;
    tr_faults *faults;
    const tr_faults_options options = {.sites = ALL_SITES, .rate = 0};
    start(&plain, NULL, NULL, NULL, 1);
    start(&other, &faults, &options, NULL, 1);
    for (int i = 0; i < 5; i++) {
        const tr_step_report a = tune_step(&plain), b = tune_step(&other);
        assert_memory_equal(&a, &b, sizeof a);
    }
    tune_assert_equal(&plain, &other);
    tune_unmake(&plain);
    tune_unmake(&other);
    tr_faults_destroy(&faults);
}

/* Faults in everything beside self-correction: both do their part, and it goes on to the same
 * bits. */
static void goes_together_with_self_correction(void **state)
{
    tuner runs[3];
    tr_correct *correct[3];
    tr_faults *faults[3];
    const tr_correct_options correction = {.rate = 0.02, .lambda = 0.3};
    const tr_faults_options options = {
        .sites = ALL_SITES & ~(1 << TR_FAULT_OPTIMIZER), .rate = 1e-4, .key = 3, .clear_bit_30 = 1};
    for (unsigned i = 0; i < 3; i++) {
        const tiny_spec spec = tune_spec(FS_MODEL_GPT2, FS_TASK_LM);
        tune_make(&runs[i], &spec, TR_HEAD_CAUSAL, 1);
        const network *net = &runs[i].net;
        assert_ok(tr_correct_new(&correct[i], &correction, net->weights, net->pool, NULL));
        assert_ok(tr_faults_new(&faults[i], &options, tr_correct_hooks(correct[i])));
        tune_start(&runs[i], tr_faults_hooks(faults[i]), NULL);
    }
    for (int i = 0; i < 6; i++) {
        tune_step(&runs[0]);
        assert_true(tr_correct_faults(correct[0])->count > 0);
        if (i < 3) tune_step(&runs[1]);
    }
    tune_go_on(&runs[2], &runs[1]);
    for (int i = 0; i < 3; i++) tune_step(&runs[2]);
    tune_assert_equal(&runs[0], &runs[2]);
    const tr_hooks *hooks = tr_faults_hooks(faults[0]);
    json_t *line = json_object();
    assert_ok(hooks->metrics(hooks->context, line));
    assert_true(json_integer_value(json_object_get(line, "faults")) > 0);
    const json_t *flips = json_object_get(line, "flips");
    assert_int_equal(json_object_size(flips), 3);
    assert_int_equal(json_integer_value(json_object_get(flips, "parameters")),
                     tr_faults_count(faults[0], TR_FAULT_PARAMETERS));
    json_decref(line);
    for (unsigned i = 0; i < 3; i++) {
        tune_unmake(&runs[i]);
        tr_faults_destroy(&faults[i]);
        tr_correct_destroy(&correct[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flips_are_as_many_as_the_rate_says),
        cmocka_unit_test(what_is_hit_is_a_function_of_key_site_and_step),
        cmocka_unit_test(sites_and_tensors_that_are_not_asked_for_stay),
        cmocka_unit_test(lists_hit_what_they_name),
        cmocka_unit_test(words_of_sites),
        cmocka_unit_test(every_stage_is_hit),
        cmocka_unit_test(activations_do_not_depend_on_threads),
        cmocka_unit_test(at_rate_zero_nothing_changes),
        cmocka_unit_test(goes_together_with_self_correction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
