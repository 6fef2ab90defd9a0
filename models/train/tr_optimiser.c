#include "tr_optimiser.h"

#include <math.h>

#include "assert.h"
#include "math64.h"

/* Work is shared out in stretches of the flat array whose ends depend on the layout alone. A
 * stretch holds parts of tensors; the zeros between tensors are never touched. */
enum { STRETCHES = 256, FLOATS_PER_LINE = 16, LANES = 4 };

double tr_schedule_rate(const tr_schedule *self, uint64_t step)
{
    if (step < self->warmup_steps) return self->peak * ((double)step / (double)self->warmup_steps);
    if (self->kind == TR_SCHEDULE_CONSTANT) return self->peak;
    if (step >= self->steps) return 0;
    const double whole = (double)(self->steps - self->warmup_steps);
    if (self->kind == TR_SCHEDULE_LINEAR)
        return self->peak * ((double)(self->steps - step) / whole);
    const double progress = (double)(step - self->warmup_steps) / whole;
    return self->peak * (0.5 * (1 + fs_cos_turns64(progress / 2)));
}

/* What a stretch is worked through by: one part of one tensor. */
typedef void part(void *context, size_t stretch, const tr_tensor *tensor, size_t first,
                  size_t count);

typedef struct walk {
    const tr_layout *layout;
    const uint8_t *wanted;
    part *visit;
    void *context;
} walk;

/* @return index of the last tensor that begins at or before `first`. */
static size_t tensor_at(const tr_layout *layout, size_t first)
{
    size_t low = 0, high = layout->count;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (layout->tensors[middle].first <= first)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void walk_stretch(void *context, size_t stretch, unsigned thread)
{
    (void)thread;
    const walk *self = context;
    const tr_layout *layout = self->layout;
    const size_t lines = (layout->floats / FLOATS_PER_LINE + STRETCHES - 1) / STRETCHES;
    const size_t begin = stretch * lines * FLOATS_PER_LINE;
    size_t end = begin + lines * FLOATS_PER_LINE;
    if (end > layout->floats) end = layout->floats;
    if (begin >= end) return;
    for (size_t i = tensor_at(layout, begin); i < layout->count; i++) {
        const tr_tensor *tensor = &layout->tensors[i];
        if (tensor->first >= end) break;
        const size_t last = tensor->first + (size_t)tensor->rows * tensor->cols;
        const size_t from = tensor->first > begin ? tensor->first : begin;
        const size_t to = last < end ? last : end;
        if (from >= to || !tensor->used || (self->wanted != NULL && !self->wanted[i])) continue;
        self->visit(self->context, stretch, tensor, from, to - from);
    }
}

typedef struct norm {
    const float *grads;
    double sums[STRETCHES];
} norm;

/* In four lanes, so that the additions need not wait for each other; the order is fixed. */
static void add_squares(void *context, size_t stretch, const tr_tensor *tensor, size_t first,
                        size_t count)
{
    (void)tensor;
    norm *self = context;
    const float *g = self->grads + first;
    double lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            lanes[lane] += (double)g[i + lane] * (double)g[i + lane];
    for (size_t lane = 0; i < count; i++, lane++) lanes[lane] += (double)g[i] * (double)g[i];
    self->sums[stretch] += (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

double tr_gradient_norm(const tr_layout *layout, tr_pool *pool, const float *grads,
                        const uint8_t *wanted)
{
    norm self = {.grads = grads};
    walk all = {layout, wanted, add_squares, &self};
    tr_pool_run(pool, STRETCHES, walk_stretch, &all);
    double sum = 0;
    for (size_t i = 0; i < STRETCHES; i++) sum += self.sums[i];
    return sqrt(sum);
}

/* beta^n by squaring: multiplications only, the same bits everywhere. */
static double power(double beta, uint64_t n)
{
    double result = 1;
    for (; n > 0; n >>= 1) {
        if (n & 1) result *= beta;
        beta *= beta;
    }
    return result;
}

typedef struct update {
    float *values, *m, *v;
    const float *grads;
    float beta1, beta2, rest1, rest2; /* rest: 1 - beta */
    float grad_scale, keep;           /* keep: what weight decay leaves */
    float step_size, root_scale, epsilon;
} update;

/* PyTorch's order of operations, in floats. */
static void update_part(void *context, size_t stretch, const tr_tensor *tensor, size_t first,
                        size_t count)
{
    (void)stretch;
    const update *u = context;
    const update c = *u; /* a copy that the stores below cannot change */
    float *restrict w = c.values + first, *restrict m = c.m + first, *restrict v = c.v + first;
    const float *restrict grads = c.grads + first;
    const float keep = tensor->decays ? c.keep : 1.0F;
    for (size_t i = 0; i < count; i++) {
        const float g = grads[i] * c.grad_scale;
        m[i] = m[i] * c.beta1 + g * c.rest1;
        v[i] = v[i] * c.beta2 + g * g * c.rest2;
        const float root = sqrtf(v[i]) * c.root_scale + c.epsilon;
        w[i] = w[i] * keep - c.step_size * (m[i] / root);
    }
}

void tr_adamw_update(const tr_adamw *self, const tr_layout *layout, tr_pool *pool, float *values,
                     const float *grads, float *m, float *v, double rate, double grad_scale,
                     uint64_t update_number, const uint8_t *wanted)
{
    FS_ASSERT(update_number >= 1);
    update u = {
        .values = values,
        .m = m,
        .v = v,
        .grads = grads,
        .beta1 = (float)self->beta1,
        .beta2 = (float)self->beta2,
        .rest1 = (float)(1 - self->beta1),
        .rest2 = (float)(1 - self->beta2),
        .grad_scale = (float)grad_scale,
        .keep = (float)(1 - rate * self->decay),
        .step_size = (float)(rate / (1 - power(self->beta1, update_number))),
        .root_scale = (float)(1 / sqrt(1 - power(self->beta2, update_number))),
        .epsilon = (float)self->epsilon,
    };
    walk all = {layout, wanted, update_part, &u};
    tr_pool_run(pool, STRETCHES, walk_stretch, &all);
}
