#include "tr_loss.h"

#include <math.h>
#include <string.h>

#include "assert.h"
#include "math64.h"
#include "nn_kernels.h"

/* A language model has thousands of columns and thousands of rows in a step, so a row's
 * exponentials are found in float, a block at a time, by the kernels; what is summed is summed in
 * double, and logarithms are taken in double once per row. Sums run in fixed lanes (element i in
 * lane i mod LANES), so that a compiler may use vectors without changing a bit. */

enum {
    LANES = 16,
    BLOCK = 512,        /* columns whose exponentials are on the stack at a time */
    ROW_BLOCKS_MAX = 64 /* tasks of one loss, whatever the number of threads */
};
_Static_assert(BLOCK % LANES == 0, "a lane keeps its columns from block to block");

typedef struct lanes {
    double of[LANES];
} lanes;

static double lanes_total(const lanes *self)
{
    double sum = 0;
    for (size_t i = 0; i < LANES; i++) sum += self->of[i];
    return sum;
}

static void lanes_add(lanes *self, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t k = 0; k < LANES; k++) self->of[k] += (double)x[i + k];
    }
    for (size_t k = 0; i + k < n; k++) self->of[k] += (double)x[i + k];
}

/* The largest of a row that is not NaN; a NaN is found by the sum of exponentials. */
static float row_top(const float *x, size_t n)
{
    float tops[LANES], top = -INFINITY;
    for (size_t k = 0; k < LANES; k++) tops[k] = -INFINITY;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t k = 0; k < LANES; k++) tops[k] = x[i + k] > tops[k] ? x[i + k] : tops[k];
    }
    for (; i < n; i++) top = x[i] > top ? x[i] : top;
    for (size_t k = 0; k < LANES; k++) top = tops[k] > top ? tops[k] : top;
    return top;
}

static double row_sum(const float *x, size_t n)
{
    lanes sum = {{0}};
    lanes_add(&sum, x, n);
    return lanes_total(&sum);
}

/* out := e^(x - top); out may be x. */
static void exp_block(float *out, const float *x, size_t n, float top)
{
    for (size_t i = 0; i < n; i++) out[i] = x[i] - top;
    nn_exp(out, n);
}

static size_t block_size(size_t n, size_t first)
{
    return n - first < BLOCK ? n - first : BLOCK;
}

/* Sum of e^(x - top); the exponentials are kept in `keep` [n] unless it is NULL. */
static double exp_sum(float *keep, const float *x, size_t n, float top)
{
    lanes sum = {{0}};
    float scratch[BLOCK] = {0};
    for (size_t first = 0; first < n; first += BLOCK) {
        const size_t count = block_size(n, first);
        float *e = keep != NULL ? keep + first : scratch;
        exp_block(e, x + first, count, top);
        lanes_add(&sum, e, count);
    }
    return lanes_total(&sum);
}

/* Whether no NaN is in a row and x[target] == top stands nowhere before the target. */
static int is_first_top(const float *x, size_t n, size_t target, float top)
{
    if (x[target] != top) return 0;
    int bad = 0;
    for (size_t i = 0; i < target; i++) bad |= x[i] == top;
    for (size_t i = 0; i < n; i++) bad |= isnan(x[i]);
    return !bad;
}

typedef struct loss loss;
typedef double row_loss(const loss *self, size_t row, uint64_t *right);

/* One call's arguments; a row's loss is a function of them and of the row. */
struct loss {
    row_loss *of_row;
    uint32_t rows, n;
    uint32_t rows_per_block;
    const float *logits, *faulty; /* `logits` are the clean ones where there are two */
    const int32_t *targets;
    float smoothing, scale;
    float *dlogits, *dclean, *dfaulty;
    double sums[ROW_BLOCKS_MAX];
    uint64_t right[ROW_BLOCKS_MAX];
};

static void run_block(void *context, size_t block, unsigned thread)
{
    loss *self = context;
    const size_t first = block * self->rows_per_block;
    const size_t left = self->rows - first;
    const size_t count = left < self->rows_per_block ? left : self->rows_per_block;
    double sum = 0;
    uint64_t right = 0;
    for (size_t row = first; row < first + count; row++) sum += self->of_row(self, row, &right);
    self->sums[block] = sum;
    self->right[block] = right;
}

static double run(tr_pool *pool, loss *self, uint64_t *right)
{
    FS_ASSERT(self->n > 0);
    if (self->rows == 0) return 0;
    self->rows_per_block = (self->rows + ROW_BLOCKS_MAX - 1) / ROW_BLOCKS_MAX;
    const size_t blocks = (self->rows + self->rows_per_block - 1) / self->rows_per_block;
    tr_pool_run(pool, blocks, run_block, self);
    double sum = 0;
    for (size_t i = 0; i < blocks; i++) {
        sum += self->sums[i];
        if (right != NULL) *right += self->right[i];
    }
    return sum;
}

/* p - (1-s) [target] - s/n, times scale. The target's own is found in double: near a certain answer
 * p - 1 is what is left of two numbers that almost agree. */
static void cross_entropy_gradient(const loss *self, float *e, double sum, size_t target)
{
    const double scale = (double)self->scale, smoothing = (double)self->smoothing;
    const double each = smoothing / self->n;
    const double right = (double)e[target] / sum - (1 - smoothing) - each;
    const float factor = (float)(scale / sum), shift = (float)(scale * each);
    if (shift != 0) {
        for (size_t i = 0; i < self->n; i++) e[i] = e[i] * factor - shift;
    } else {
        for (size_t i = 0; i < self->n; i++) e[i] *= factor;
    }
    e[target] = (float)(scale * right);
}

static double cross_entropy_row(const loss *self, size_t row, uint64_t *right)
{
    const size_t n = self->n;
    const float *x = self->logits + row * n;
    float *dx = self->dlogits != NULL ? self->dlogits + row * n : NULL;
    FS_ASSERT(self->targets[row] >= 0 && (uint32_t)self->targets[row] < self->n);
    const size_t target = (size_t)self->targets[row];
    const float top = row_top(x, n);
    *right += (uint64_t)is_first_top(x, n, target, top);
    /* All that is read from the logits is read before the gradient takes their place. */
    const double at_target = (double)x[target] - (double)top;
    const double smoothing = (double)self->smoothing;
    double mean = 0;
    if (smoothing > 0) mean = row_sum(x, n) / self->n - (double)top;
    const double sum = exp_sum(dx, x, n, top);
    if (dx != NULL) cross_entropy_gradient(self, dx, sum, target);
    /* log p[j] = x[j] - top - log sum */
    return fs_log64(sum) - (1 - smoothing) * at_target - (smoothing > 0 ? smoothing * mean : 0);
}

double tr_loss_cross_entropy(tr_pool *pool, const float *logits, const int32_t *targets,
                             uint32_t rows, uint32_t n, float smoothing, float scale,
                             float *dlogits, uint64_t *right)
{
    FS_ASSERT(smoothing >= 0 && smoothing < 1);
    loss self = {.of_row = cross_entropy_row,
                 .rows = rows,
                 .n = n,
                 .logits = logits,
                 .targets = targets,
                 .smoothing = smoothing,
                 .scale = scale,
                 .dlogits = dlogits};
    return run(pool, &self, right);
}

/* ||faulty - clean||_2 */
static double distance(const float *clean, const float *faulty, size_t n)
{
    lanes squares = {{0}};
    for (size_t i = 0; i < n; i += LANES) {
        const size_t count = n - i < LANES ? n - i : LANES;
        for (size_t k = 0; k < count; k++) {
            const double d = (double)faulty[i + k] - (double)clean[i + k];
            squares.of[k] += d * d;
        }
    }
    return sqrt(lanes_total(&squares));
}

static double l2_row(const loss *self, size_t row, uint64_t *right)
{
    const size_t n = self->n, at = row * n;
    const float *clean = self->logits + at, *faulty = self->faulty + at;
    const double norm = distance(clean, faulty, n);
    if (norm == 0) return 0;
    const double factor = (double)self->scale / norm;
    for (size_t i = 0; i < n; i++) {
        const float g = (float)(((double)faulty[i] - (double)clean[i]) * factor);
        if (self->dfaulty != NULL) self->dfaulty[at + i] += g;
        if (self->dclean != NULL) self->dclean[at + i] -= g;
    }
    return norm;
}

double tr_loss_l2(tr_pool *pool, const float *clean, const float *faulty, uint32_t rows, uint32_t n,
                  float scale, float *dclean, float *dfaulty)
{
    loss self = {.of_row = l2_row,
                 .rows = rows,
                 .n = n,
                 .logits = clean,
                 .faulty = faulty,
                 .scale = scale,
                 .dclean = dclean,
                 .dfaulty = dfaulty};
    return run(pool, &self, NULL);
}

/* Adds a (clean - faulty + shift). */
static void lanes_add_gap(lanes *self, const float *a, const float *clean, const float *faulty,
                          double shift, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        const size_t count = n - i < LANES ? n - i : LANES;
        for (size_t k = 0; k < count; k++) {
            const double gap = (double)clean[i + k] - (double)faulty[i + k] + shift;
            self->of[k] += (double)a[i + k] * gap;
        }
    }
}

/* With a = e^(clean - top), b likewise of faulty, A and B their sums:
 * KL = sum a/A ((clean - top) - (faulty - top')) + log B - log A. */
static double kl_row(const loss *self, size_t row, uint64_t *right)
{
    const size_t n = self->n, at = row * n;
    const float *clean = self->logits + at, *faulty = self->faulty + at;
    const float top = row_top(clean, n), faulty_top = row_top(faulty, n);
    float a[BLOCK], b[BLOCK];
    lanes sums = {{0}}, weighed = {{0}};
    for (size_t first = 0; first < n; first += BLOCK) {
        const size_t count = block_size(n, first);
        exp_block(a, clean + first, count, top);
        lanes_add(&sums, a, count);
        lanes_add_gap(&weighed, a, clean + first, faulty + first, (double)faulty_top - (double)top,
                      count);
    }
    const double sum = lanes_total(&sums), faulty_sum = exp_sum(NULL, faulty, n, faulty_top);
    if (self->dfaulty != NULL) {
        const float p = (float)((double)self->scale / sum);
        const float q = (float)((double)self->scale / faulty_sum);
        for (size_t first = 0; first < n; first += BLOCK) {
            const size_t count = block_size(n, first);
            exp_block(a, clean + first, count, top);
            exp_block(b, faulty + first, count, faulty_top);
            float *d = self->dfaulty + at + first;
            for (size_t i = 0; i < count; i++) d[i] += b[i] * q - a[i] * p;
        }
    }
    const double kl = lanes_total(&weighed) / sum + fs_log64(faulty_sum) - fs_log64(sum);
    return kl < 0 ? 0 : kl; /* rounding only: the divergence is never negative */
}

double tr_loss_kl(tr_pool *pool, const float *clean, const float *faulty, uint32_t rows, uint32_t n,
                  float scale, float *dfaulty)
{
    loss self = {.of_row = kl_row,
                 .rows = rows,
                 .n = n,
                 .logits = clean,
                 .faulty = faulty,
                 .scale = scale,
                 .dfaulty = dfaulty};
    return run(pool, &self, NULL);
}
