#include "tr_lora.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "nn_backward.h"
#include "nn_gemm.h"
#include "tr_correct.h"
#include "tr_init.h"

/* A stored matrix [rows, cols] is [out, in] in a torch Linear and [in, out] in GPT-2's Conv1D. Both
 * are met by speaking of its rows and columns: with R [r, rows] and C [r, cols], one of them A and
 * the other B^T, the effective matrix is W + s R^T C, and the gradients are dC = s R dW and
 * dR^T = s dW C^T. */

enum { LINE_FLOATS = 16, LINE_BYTES = 64, COMPOSE_ROWS = 64 };

typedef struct adapter {
    size_t tensor;       /* of the network */
    size_t first, ld;    /* where the matrix begins in the network's flat array, and its stride */
    uint32_t rows, cols; /* of the matrix */
    size_t row_factor;   /* tensor of the adapter's layout: R */
    size_t col_factor;   /* and C */
    size_t a;            /* which of them is A */
    size_t base;         /* where the frozen values begin in `base`, stride cols */
    size_t task_first;   /* its first task when composed */
} adapter;

typedef struct full_tensor {
    size_t tensor, own; /* of the network, and of the adapter's layout */
} full_tensor;

struct tr_lora {
    tr_lora_options options;
    const tr_layout *network;
    tr_layout *layout; /* of what is trained */
    tr_adapter adapter;
    adapter *adapters;
    size_t count, tasks;
    full_tensor *full;
    size_t full_count;
    float *base;     /* frozen values of adapted matrices, and first values of full tensors */
    float *scaled;   /* [layout->floats] s C of every adapter */
    uint8_t *wanted; /* [network->count] */
    float *scratch;  /* [threads][scratch_floats] */
    size_t scratch_floats;
    unsigned threads;
};

static size_t whole_lines(size_t floats)
{
    return (floats + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
}

static fs_status zeros(float **out, size_t floats)
{
    void *memory;
    const size_t bytes = (floats > 0 ? floats : LINE_FLOATS) * sizeof(float);
    if (posix_memalign(&memory, LINE_BYTES, bytes) != 0)
        return fs_fail(FS_ENOMEM, "no memory for adapters");
    memset(memory, 0, bytes);
    *out = memory;
    return FS_OK;
}

static float scale_of(const tr_lora *self)
{
    return (float)(self->options.alpha / self->options.rank);
}

/* What is trained. */

static void init(void *context, float *values)
{
    const tr_lora *self = context;
    for (size_t i = 0; i < self->count; i++) {
        const adapter *a = &self->adapters[i];
        const tr_tensor *t = &self->layout->tensors[a->a];
        /* The spread of peft's default, which is uniform. */
        tr_init_normal(values + t->first, (size_t)t->rows * t->cols, sqrt(1 / (3.0 * t->cols)),
                       self->options.key, i);
    }
    const float *base = self->base;
    if (self->count > 0) {
        const adapter *last = &self->adapters[self->count - 1];
        base += last->base + whole_lines((size_t)last->rows * last->cols);
    }
    for (size_t i = 0; i < self->full_count; i++) {
        const tr_tensor *t = &self->layout->tensors[self->full[i].own];
        const size_t size = (size_t)t->rows * t->cols;
        memcpy(values + t->first, base, size * sizeof *values);
        base += whole_lines(size);
    }
}

/* One call of compose or project. */
typedef struct call {
    const tr_lora *self;
    const float *values;
    float *network;        /* weights, or */
    const float *dnetwork; /* gradients */
    float *grads;
} call;

static const adapter *adapter_of_task(const tr_lora *self, size_t task)
{
    size_t i = self->count - 1;
    while (self->adapters[i].task_first > task) i--;
    return &self->adapters[i];
}

static void compose_rows(void *context, size_t task, unsigned thread)
{
    const call *c = context;
    const tr_lora *self = c->self;
    const adapter *a = adapter_of_task(self, task);
    const size_t first = (task - a->task_first) * COMPOSE_ROWS;
    const size_t rows = a->rows - first < COMPOSE_ROWS ? a->rows - first : COMPOSE_ROWS;
    float *out = c->network + a->first + first * a->ld;
    const float *base = self->base + a->base + first * a->cols;
    for (size_t row = 0; row < rows; row++)
        memcpy(out + row * a->ld, base + row * a->cols, a->cols * sizeof *out);
    nn_gemm_tn(out, a->ld, c->values + self->layout->tensors[a->row_factor].first + first, a->rows,
               self->scaled + self->layout->tensors[a->col_factor].first, a->cols, rows, a->cols,
               self->options.rank);
}

static void compose(void *context, const float *values, tr_weights *weights, tr_pool *pool)
{
    tr_lora *self = context;
    const float scale = scale_of(self);
    for (size_t i = 0; i < self->count; i++) {
        const tr_tensor *t = &self->layout->tensors[self->adapters[i].col_factor];
        for (size_t j = 0; j < (size_t)t->rows * t->cols; j++)
            self->scaled[t->first + j] = scale * values[t->first + j];
    }
    call c = {.self = self, .values = values, .network = tr_weights_values(weights)};
    tr_pool_run(pool, self->tasks, compose_rows, &c);
    for (size_t i = 0; i < self->full_count; i++) {
        const tr_tensor *from = &self->layout->tensors[self->full[i].own];
        memcpy(c.network + self->network->tensors[self->full[i].tensor].first, values + from->first,
               (size_t)from->rows * from->cols * sizeof *values);
    }
    for (size_t i = 0; self->options.clip && i < self->network->count; i++) {
        const tr_tensor *t = &self->network->tensors[i];
        if (self->wanted[i]) tr_correct_clip(pool, c.network + t->first, (size_t)t->rows * t->cols);
    }
    tr_weights_pack_some(weights, pool, self->wanted);
}

/* out [n, m] := scale * x^T, x [m, n] */
static void transpose(float *out, const float *x, size_t m, size_t n, float scale)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) out[j * m + i] = scale * x[i * n + j];
}

static void project_one(void *context, size_t task, unsigned thread)
{
    const call *c = context;
    const tr_lora *self = c->self;
    const adapter *a = &self->adapters[task];
    const size_t rank = self->options.rank;
    const float scale = scale_of(self);
    const tr_tensor *tensors = self->layout->tensors;
    const float *row_factor = c->values + tensors[a->row_factor].first;
    const float *col_factor = c->values + tensors[a->col_factor].first;
    const float *dw = c->dnetwork + a->first;
    float *tall = self->scratch + thread * self->scratch_floats; /* [rows, r] */
    float *packed = tall + whole_lines(a->rows * rank);
    float *d_col = c->grads + tensors[a->col_factor].first;
    transpose(tall, row_factor, rank, a->rows, scale);
    memset(d_col, 0, rank * a->cols * sizeof *d_col);
    nn_gemm_tn(d_col, a->cols, tall, rank, dw, a->ld, rank, a->cols, a->rows);
    nn_pack(packed, col_factor, a->cols, rank, 1);
    nn_gemm(tall, rank, dw, a->ld, packed, NULL, a->rows, rank, a->cols);
    transpose(c->grads + tensors[a->row_factor].first, tall, a->rows, rank, scale);
}

static void project(void *context, const float *values, const float *network_grads, float *grads,
                    tr_pool *pool)
{
    tr_lora *self = context;
    FS_ASSERT(tr_pool_threads(pool) <= self->threads);
    call c = {.self = self, .values = values, .dnetwork = network_grads, .grads = grads};
    tr_pool_run(pool, self->count, project_one, &c);
    for (size_t i = 0; i < self->full_count; i++) {
        const tr_tensor *to = &self->layout->tensors[self->full[i].own];
        memcpy(grads + to->first,
               network_grads + self->network->tensors[self->full[i].tensor].first,
               (size_t)to->rows * to->cols * sizeof *grads);
    }
}

/* Construction: one look over the geometry's slices counts, another fills in. */

static int is_linear(fs_component component)
{
    const fs_group group = fs_component_group(component);
    return group == FS_GROUP_ATTENTION || group == FS_GROUP_MLP || group == FS_GROUP_HEAD;
}

static int gets_adapter(const tr_lora *self, const fs_slice *slice)
{
    return (self->options.on >> slice->component & 1u) && is_linear(slice->component) &&
           self->network->geometry->tensors[slice->tensor].rank == 2 &&
           self->network->tensors[slice->tensor].used;
}

static int is_full(const tr_lora *self, const fs_slice *slice)
{
    return (self->options.full >> slice->component & 1u) &&
           self->network->tensors[slice->tensor].used;
}

static size_t add_tensor(tr_lora *self, const char *name, const char *part, uint32_t rows,
                         uint32_t cols, int decays)
{
    tr_layout *layout = self->layout;
    tr_tensor *t = &layout->tensors[layout->count];
    const int n = snprintf(t->name, sizeof t->name, "%s%s", name, part);
    FS_ASSERT(n > 0 && (size_t)n < sizeof t->name);
    t->rank = rows > 1 ? 2 : 1;
    t->rows = rows;
    t->cols = cols;
    t->first = layout->floats;
    t->decays = decays;
    t->used = 1;
    layout->floats += whole_lines((size_t)rows * cols);
    layout->parameters += (uint64_t)rows * cols;
    return layout->count++;
}

static fs_status add_adapter(tr_lora *self, const fs_slice *slice, size_t *base_floats)
{
    const fs_geometry *geometry = self->network->geometry;
    const tr_tensor *t = &self->network->tensors[slice->tensor];
    const uint32_t rank = self->options.rank;
    const int conv = geometry->config.kind == FS_MODEL_GPT2 && slice->layer >= 0;
    if (rank > t->rows || rank > slice->cols) {
        return fs_fail(FS_EUSAGE, "adapters of rank %u are larger than %s [%u, %u]", rank, t->name,
                       t->rows, slice->cols);
    }
    char name[sizeof t->name];
    const int n =
        snprintf(name, sizeof name, "%d.%s", slice->layer, fs_component_name(slice->component));
    FS_ASSERT(n > 0 && (size_t)n < sizeof name);
    adapter *a = &self->adapters[self->count++];
    *a = (adapter){.tensor = slice->tensor,
                   .first = t->first + slice->col_first,
                   .ld = t->cols,
                   .rows = t->rows,
                   .cols = slice->cols,
                   .base = *base_floats,
                   .task_first = self->tasks};
    a->a = add_tensor(self, name, ".lora_A", rank, conv ? a->rows : a->cols, 1);
    const size_t b = add_tensor(self, name, ".lora_B", rank, conv ? a->cols : a->rows, 1);
    a->row_factor = conv ? a->a : b;
    a->col_factor = conv ? b : a->a;
    self->tasks += (a->rows + COMPOSE_ROWS - 1) / COMPOSE_ROWS;
    self->wanted[slice->tensor] = 1;
    *base_floats += whole_lines((size_t)a->rows * a->cols);
    const size_t scratch =
        whole_lines((size_t)a->rows * rank) + whole_lines(nn_packed_size(a->cols, rank));
    if (scratch > self->scratch_floats) self->scratch_floats = scratch;
    return FS_OK;
}

/* A component that was asked for must be there, as a matrix if it is to be adapted. */
static fs_status check_sets(const tr_lora *self)
{
    const fs_geometry *geometry = self->network->geometry;
    fs_component_set found = 0, found_full = 0;
    for (size_t i = 0; i < geometry->slice_count; i++) {
        const fs_slice *slice = &geometry->slices[i];
        if (gets_adapter(self, slice)) found |= 1u << slice->component;
        if (is_full(self, slice)) found_full |= 1u << slice->component;
    }
    for (fs_component c = 0; c < FS_COMPONENT_COUNT; c++) {
        const fs_component_set bit = 1u << c;
        if ((self->options.on & bit) && !(found & bit))
            return fs_fail(FS_EUSAGE, "this model has no linear layer '%s' to adapt",
                           fs_component_name(c));
        if ((self->options.full & bit) && !(found_full & bit))
            return fs_fail(FS_EUSAGE, "this model has no '%s' to train", fs_component_name(c));
        if (self->options.on & self->options.full & bit)
            return fs_fail(FS_EUSAGE, "'%s' is either adapted or trained in full",
                           fs_component_name(c));
    }
    return FS_OK;
}

static fs_status fill_in(tr_lora *self, size_t *base_floats)
{
    const fs_geometry *geometry = self->network->geometry;
    for (size_t i = 0; i < geometry->slice_count; i++) {
        if (gets_adapter(self, &geometry->slices[i]))
            FS_TRY(add_adapter(self, &geometry->slices[i], base_floats));
    }
    for (size_t i = 0; i < geometry->slice_count; i++) {
        const fs_slice *slice = &geometry->slices[i];
        const tr_tensor *t = &self->network->tensors[slice->tensor];
        if (!is_full(self, slice)) continue;
        /* A fused tensor is taken whole, or not at all: its slices follow each other. */
        if (slice->cols != t->cols)
            return fs_fail(FS_EUSAGE, "'%s' is a part of %s and can only be adapted",
                           fs_component_name(slice->component), t->name);
        self->full[self->full_count].tensor = slice->tensor;
        self->full[self->full_count++].own =
            add_tensor(self, t->name, "", t->rows, t->cols, t->decays);
        self->wanted[slice->tensor] = 1;
        *base_floats += whole_lines((size_t)t->rows * t->cols);
    }
    return FS_OK;
}

static void copy_base(tr_lora *self, const float *values)
{
    float *out = self->base;
    for (size_t i = 0; i < self->count; i++) {
        const adapter *a = &self->adapters[i];
        for (size_t row = 0; row < a->rows; row++)
            memcpy(out + row * a->cols, values + a->first + row * a->ld, a->cols * sizeof *out);
        out += whole_lines((size_t)a->rows * a->cols);
    }
    for (size_t i = 0; i < self->full_count; i++) {
        const tr_tensor *t = &self->network->tensors[self->full[i].tensor];
        memcpy(out, values + t->first, (size_t)t->rows * t->cols * sizeof *out);
        out += whole_lines((size_t)t->rows * t->cols);
    }
}

static fs_status build(tr_lora *self, tr_weights *weights, tr_pool *pool)
{
    const size_t slices = self->network->geometry->slice_count;
    size_t base_floats = 0;
    self->layout = calloc(1, sizeof *self->layout);
    self->adapters = calloc(slices, sizeof *self->adapters);
    self->full = calloc(slices, sizeof *self->full);
    self->wanted = calloc(self->network->count, 1);
    if (self->layout == NULL || self->adapters == NULL || self->full == NULL ||
        self->wanted == NULL)
        return fs_fail(FS_ENOMEM, "no memory for adapters");
    self->layout->head = self->network->head;
    self->layout->tensors = calloc(2 * slices, sizeof *self->layout->tensors);
    if (self->layout->tensors == NULL) return fs_fail(FS_ENOMEM, "no memory for adapters");
    FS_TRY(check_sets(self));
    FS_TRY(fill_in(self, &base_floats));
    self->threads = tr_pool_threads(pool);
    FS_TRY(zeros(&self->base, base_floats));
    FS_TRY(zeros(&self->scaled, self->layout->floats));
    FS_TRY(zeros(&self->scratch, self->threads * self->scratch_floats));
    copy_base(self, tr_weights_values(weights));
    return FS_OK;
}

fs_status tr_lora_new(tr_lora **out, const tr_lora_options *options, tr_weights *weights,
                      tr_pool *pool)
{
    FS_ASSERT(options->rank >= 1 && options->alpha > 0 && options->on != 0);
    *out = NULL;
    tr_lora *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for adapters");
    self->options = *options;
    self->network = tr_weights_layout(weights);
    const fs_status status = build(self, weights, pool);
    if (status != FS_OK) {
        tr_lora_destroy(&self);
        return status;
    }
    self->adapter = (tr_adapter){.context = self,
                                 .layout = self->layout,
                                 .init = init,
                                 .compose = compose,
                                 .project = project,
                                 .network_wanted = self->wanted};
    *out = self;
    return FS_OK;
}

void tr_lora_destroy(tr_lora **self)
{
    if (*self == NULL) return;
    tr_layout_destroy(&(*self)->layout);
    free((*self)->adapters);
    free((*self)->full);
    free((*self)->base);
    free((*self)->scaled);
    free((*self)->wanted);
    free((*self)->scratch);
    free(*self);
    *self = NULL;
}

const tr_adapter *tr_lora_adapter(const tr_lora *self)
{
    return &self->adapter;
}
