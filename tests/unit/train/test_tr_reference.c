/* Losses, gradients and ten steps of training against PyTorch's, from tests/reference/training:
 * README.md there says what the files hold and how they were made. */
#include "testing.h"

#include <math.h>

#include "safetensors.h"
#include "tr_loss.h"
#include "tr_net.h"
#include "tr_optimiser.h"
#include "train_batches.h"

enum { STEPS_MAX = 64, OPTIONS = 6, THREADS = 2 };

/* Relative to the norm of a tensor; to a loss; absolute, of a step's loss. */
static const double GRADIENT_APART_MAX = 1e-4, LOSS_APART_MAX = 1e-6, STEP_APART_MAX = 1e-4;
/* Of final weights, and of gradients by logits. */
static const double WEIGHTS_APART_MAX = 1e-4, LOGITS_APART_MAX = 1e-5;
/* A key's bias is added to all scores of a row alike, which a softmax does not feel: its gradient
 * is rounding alone, and must be small beside the whole gradient. */
static const double NOISE_MAX = 1e-6;

typedef struct reference_case {
    const char *name;
    tr_head head;
} reference_case;

static reference_case cases[] = {{"bert-classify", TR_HEAD_CLASSIFY},
                                 {"bert-masked", TR_HEAD_MASKED},
                                 {"gpt2-causal", TR_HEAD_CAUSAL},
                                 {"gpt2-classify", TR_HEAD_CLASSIFY}};

typedef struct fixture {
    const reference_case *what;
    fs_safetensors *expected;
    tr_layout *layout;
    tr_pool *pool;
    tr_weights *weights;
    tr_tape *tape;
    float *grads, *m, *v, *dlogits;
    train_batches batches;
    uint32_t steps;
    double peak, decay, clip;
    uint64_t warmup;
    float smoothing;
} fixture;

/** @return a tensor of `count` values of so many bytes (0: of any count), failing without it. */
static const fs_tensor_view *expected(const fixture *f, const char *prefix, const char *name,
                                      size_t value_bytes, size_t count)
{
    char full[160];
    snprintf(full, sizeof full, "%s/%s", prefix, name);
    const fs_tensor_view *view = fs_safetensors_find(f->expected, full);
    if (view == NULL) fail_msg("%s: no tensor %s", f->what->name, full);
    if (count != 0) assert_int_equal(view->bytes, value_bytes * count);
    return view;
}

static double *doubles(const fixture *f, const char *name, size_t count)
{
    const fs_tensor_view *view = expected(f, "train", name, sizeof(double), count);
    double *out = malloc(view->bytes);
    assert_non_null(out);
    memcpy(out, view->data, view->bytes);
    return out;
}

static float *floats(const fixture *f, const char *prefix, const char *name, size_t count)
{
    const fs_tensor_view *view = expected(f, prefix, name, sizeof(float), count);
    float *out = malloc(count * sizeof *out);
    assert_non_null(out);
    fs_tensor_to_f32(out, view, 0, count);
    return out;
}

static double expected_loss(const fixture *f, const char *name)
{
    double loss;
    memcpy(&loss, expected(f, "loss", name, sizeof loss, 1)->data, sizeof loss);
    return loss;
}

static float *zeros(size_t count)
{
    const size_t bytes = (count * sizeof(float) + 63) / 64 * 64;
    float *out = aligned_alloc(64, bytes);
    assert_non_null(out);
    memset(out, 0, bytes);
    return out;
}

/** Every tensor that the head uses comes from the folder, and the folder has no other. */
static void read_weights(fixture *f, const char *folder)
{
    fs_safetensors *file;
    size_t used = 0;
    assert_ok(fs_safetensors_open(&file, folder));
    for (size_t i = 0; i < f->layout->count; i++) {
        const tr_tensor *t = &f->layout->tensors[i];
        if (!t->used) continue;
        const fs_tensor_view *view = fs_safetensors_find(file, t->name);
        if (view == NULL) fail_msg("%s: no tensor %s", folder, t->name);
        const size_t count = (size_t)t->rows * t->cols;
        assert_int_equal(view->bytes, 2 * count);
        fs_tensor_to_f32(tr_weights_values(f->weights) + t->first, view, 0, count);
        used++;
    }
    assert_int_equal(used, fs_safetensors_count(file));
    fs_safetensors_close(&file);
    tr_weights_pack(f->weights, f->pool);
}

static void read_options(fixture *f)
{
    f->steps = (uint32_t)(expected(f, "train", "losses", 8, 0)->bytes / 8);
    assert_in_range(f->steps, 10, STEPS_MAX);
    double *options = doubles(f, "options", OPTIONS);
    f->peak = options[0];
    f->warmup = (uint64_t)options[1];
    assert_int_equal((uint32_t)options[2], f->steps);
    f->decay = options[3];
    f->clip = options[4];
    f->smoothing = (float)options[5];
    free(options);
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->what = *state;
    char folder[FS_PATH_BYTES_MAX], path[FS_PATH_BYTES_MAX + 16];
    snprintf(folder, sizeof folder, FS_SOURCE_DIR "/tests/reference/training/%s", f->what->name);
    snprintf(path, sizeof path, "%s/expected", folder);
    fs_config config;
    assert_ok(fs_config_read(&config, folder));
    assert_ok(fs_safetensors_open(&f->expected, path));
    read_options(f);
    assert_ok(train_batches_read(&f->batches, f->expected));
    assert_int_equal(f->batches.count, f->steps);
    assert_ok(tr_pool_new(&f->pool, THREADS));
    assert_ok(tr_layout_new(&f->layout, &config, f->what->head));
    assert_ok(tr_weights_new(&f->weights, f->layout));
    assert_ok(tr_tape_new(&f->tape, f->layout, f->pool));
    read_weights(f, folder);
    f->grads = zeros(f->layout->floats);
    f->m = zeros(f->layout->floats);
    f->v = zeros(f->layout->floats);
    f->dlogits = zeros((size_t)f->batches.outputs_max * tr_logit_count(f->layout));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    train_batches_free(&f->batches);
    free(f->dlogits);
    free(f->v);
    free(f->m);
    free(f->grads);
    tr_tape_destroy(&f->tape);
    tr_weights_destroy(&f->weights);
    tr_layout_destroy(&f->layout);
    tr_pool_destroy(&f->pool);
    fs_safetensors_close(&f->expected);
    free(f);
    return 0;
}

/** Values of a key's bias within a tensor: [first, end). */
typedef struct span {
    size_t first, end;
} span;

static span key_bias(const tr_tensor *t)
{
    if (strstr(t->name, "self.key.bias") != NULL) return (span){0, t->cols};
    if (strstr(t->name, "c_attn.bias") != NULL) return (span){t->cols / 3, 2 * (t->cols / 3)};
    return (span){0, 0};
}

/** @return norm of the difference over norm of `right`, without `left_out`; 0 for equal ones. */
static double apart(const float *ours, const float *right, size_t count, span left_out)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        if (i >= left_out.first && i < left_out.end) continue;
        const double d = (double)ours[i] - (double)right[i];
        difference += d * d;
        size += (double)right[i] * (double)right[i];
    }
    return difference == 0 ? 0 : sqrt(difference / size);
}

/** Compares every tensor of a flat array with the expected ones of that prefix.
 * @return the largest distance */
static double compare_all(const fixture *f, const char *prefix, const float *flat, double most)
{
    double worst = 0;
    for (size_t i = 0; i < f->layout->count; i++) {
        const tr_tensor *t = &f->layout->tensors[i];
        if (!t->used) continue;
        const size_t count = (size_t)t->rows * t->cols;
        float *right = floats(f, prefix, t->name, count);
        const double distance = apart(flat + t->first, right, count, key_bias(t));
        free(right);
        if (!(distance < most)) {
            fail_msg("%s: %s of %s is off by %.3g", f->what->name, prefix, t->name, distance);
        }
        if (distance > worst) worst = distance;
    }
    return worst;
}

static void assert_near(const char *what, double ours, double right, double most)
{
    if (!(fabs(ours - right) <= most)) {
        fail_msg("%s is %.9g, PyTorch's is %.9g", what, ours, right);
    }
}

/** Forward and backward of one batch onto zeroed gradients. @return the mean loss. */
static double pass(fixture *f, const tr_batch *batch, float smoothing)
{
    const tr_pass plain = {0};
    const uint32_t n = tr_logit_count(f->layout);
    const float scale = 1 / (float)batch->outputs;
    memset(f->grads, 0, f->layout->floats * sizeof *f->grads);
    assert_ok(tr_forward(f->tape, f->weights, batch, &plain, f->dlogits));
    const double sum = tr_loss_cross_entropy(f->pool, f->dlogits, batch->targets, batch->outputs, n,
                                             smoothing, scale, f->dlogits, NULL);
    assert_ok(tr_backward(f->tape, f->weights, f->dlogits, f->grads, NULL));
    return sum / batch->outputs;
}

static void losses_of_a_batch_are_pytorchs(void **state)
{
    fixture *f = *state;
    const tr_batch *batch = &f->batches.items[0];
    const tr_pass plain = {0};
    const uint32_t n = tr_logit_count(f->layout);
    assert_ok(tr_forward(f->tape, f->weights, batch, &plain, f->dlogits));
    const double smoothed = tr_loss_cross_entropy(f->pool, f->dlogits, batch->targets,
                                                  batch->outputs, n, f->smoothing, 1, NULL, NULL) /
                            batch->outputs;
    const double loss = tr_loss_cross_entropy(f->pool, f->dlogits, batch->targets, batch->outputs,
                                              n, 0, 1 / (float)batch->outputs, f->dlogits, NULL) /
                        batch->outputs;
    const double loss_right = expected_loss(f, "plain");
    const double smoothed_right = expected_loss(f, "smoothed");
    assert_near("the loss", loss, loss_right, LOSS_APART_MAX * loss_right);
    assert_near("the smoothed loss", smoothed, smoothed_right, LOSS_APART_MAX * smoothed_right);
    const size_t count = (size_t)batch->outputs * n;
    float *right = floats(f, "dlogits", "plain", count);
    const double distance = apart(f->dlogits, right, count, (span){0, 0});
    free(right);
    assert_true(distance < LOGITS_APART_MAX);
    print_message("%s: losses within %.1e and %.1e, gradient by the logits within %.1e\n",
                  f->what->name, fabs(loss / loss_right - 1), fabs(smoothed / smoothed_right - 1),
                  distance);
}

static void gradients_of_every_tensor_are_pytorchs(void **state)
{
    fixture *f = *state;
    pass(f, &f->batches.items[0], f->smoothing);
    const double worst = compare_all(f, "gradient", f->grads, GRADIENT_APART_MAX);
    const double norm = tr_gradient_norm(f->layout, f->pool, f->grads, NULL);
    double noise = 0;
    for (size_t i = 0; i < f->layout->count; i++) {
        const tr_tensor *t = &f->layout->tensors[i];
        const span key = key_bias(t);
        for (size_t k = key.first; k < key.end; k++) {
            noise = fmax(noise, fabs((double)f->grads[t->first + k]));
        }
    }
    assert_true(noise < NOISE_MAX * norm);
    print_message("%s: gradients within %.1e, a key's bias has %.1e of the norm\n", f->what->name,
                  worst, noise / norm);
}

static void ten_steps_are_pytorchs(void **state)
{
    fixture *f = *state;
    const tr_schedule schedule = {
        .kind = TR_SCHEDULE_LINEAR, .peak = f->peak, .warmup_steps = f->warmup, .steps = f->steps};
    const tr_adamw adamw = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .decay = f->decay};
    double *losses = doubles(f, "losses", f->steps), *norms = doubles(f, "norms", f->steps);
    double *rates = doubles(f, "rates", f->steps);
    double worst = 0;
    float *values = tr_weights_values(f->weights);
    for (uint32_t i = 0; i < f->steps; i++) {
        const double loss = pass(f, &f->batches.items[i], 0);
        const double norm = tr_gradient_norm(f->layout, f->pool, f->grads, NULL);
        const double rate = tr_schedule_rate(&schedule, i);
        assert_near("a step's loss", loss, losses[i], STEP_APART_MAX);
        assert_near("a step's norm", norm, norms[i], GRADIENT_APART_MAX * norms[i]);
        assert_near("a step's rate", rate, rates[i], 1e-12);
        worst = fmax(worst, fabs(loss - losses[i]));
        /* As torch.nn.utils.clip_grad_norm_. */
        const double scale = fmin(1, f->clip / (norm + 1e-6));
        tr_adamw_update(&adamw, f->layout, f->pool, values, f->grads, f->m, f->v, rate, scale,
                        i + 1u, NULL);
        tr_weights_pack(f->weights, f->pool);
    }
    const double distance = compare_all(f, "final", values, WEIGHTS_APART_MAX);
    print_message("%s: losses of %u steps within %.1e, the weights behind them within %.1e\n",
                  f->what->name, f->steps, worst, distance);
    free(losses);
    free(norms);
    free(rates);
}

#define TEST(function, i)                                                                          \
    {                                                                                              \
#function, function, set_up, tear_down, &cases[i]                                          \
    }
#define TESTS(i)                                                                                   \
    TEST(losses_of_a_batch_are_pytorchs, i), TEST(gradients_of_every_tensor_are_pytorchs, i),      \
        TEST(ten_steps_are_pytorchs, i)

int main(void)
{
    const struct CMUnitTest tests[] = {TESTS(0), TESTS(1), TESTS(2), TESTS(3)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
