#include "tr_weights.h"

#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "nn_gemm.h"
#include "tr_packed.h"

/* How the matrices of a layout are read. */
typedef enum form {
    FORM_LOOKUP, /* vectors and tables: by the flat array alone */
    FORM_LINEAR, /* torch's Linear, [out, in] */
    FORM_CONV1D  /* GPT-2's, [in, out] */
} form;

/* A tensor's two copies: W as [in, out] for x W, and its transpose for dy W^T. */
typedef struct copies {
    form form;
    size_t in, out;
    float *forward, *backward; /* in `memory` */
} copies;

struct tr_weights {
    const tr_layout *layout;
    float *values;  /* [floats] */
    float *memory;  /* of all copies */
    copies *packed; /* [count] */
};

enum { LINE_BYTES = 64 };

static fs_status zeros(float **out, size_t floats)
{
    void *memory;
    const size_t bytes = (floats > 0 ? floats : 1) * sizeof(float);
    if (posix_memalign(&memory, LINE_BYTES, bytes) != 0) {
        return fs_fail(FS_ENOMEM, "no memory for %zu bytes of weights", bytes);
    }
    memset(memory, 0, bytes);
    *out = memory;
    return FS_OK;
}

static int starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* A token embedding is a product's matrix too where the head is tied to it. */
static form form_of(const tr_layout *layout, size_t tensor)
{
    const tr_tensor *t = &layout->tensors[tensor];
    const fs_geometry *geometry = layout->geometry;
    if (t->rank != 2 || !t->used) return FORM_LOOKUP;
    if (tensor >= geometry->tensor_count) return FORM_LINEAR; /* the masked head's */
    const char *name = geometry->tensors[tensor].name;
    if (tensor == 0) { /* the token embedding of both models */
        const int tied = layout->head == TR_HEAD_MASKED ||
                         (layout->head == TR_HEAD_CAUSAL && geometry->config.tied);
        return tied ? FORM_LINEAR : FORM_LOOKUP;
    }
    if (starts_with(name, "embeddings.") || starts_with(name, "wpe.")) return FORM_LOOKUP;
    return starts_with(name, "h.") ? FORM_CONV1D : FORM_LINEAR;
}

static size_t whole_lines(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

static fs_status make_copies(tr_weights *self)
{
    size_t floats = 0;
    for (size_t i = 0; i < self->layout->count; i++) {
        const tr_tensor *t = &self->layout->tensors[i];
        copies *c = &self->packed[i];
        c->form = form_of(self->layout, i);
        if (c->form == FORM_LOOKUP) continue;
        c->in = c->form == FORM_LINEAR ? t->cols : t->rows;
        c->out = c->form == FORM_LINEAR ? t->rows : t->cols;
        floats +=
            whole_lines(nn_packed_size(c->in, c->out)) + whole_lines(nn_packed_size(c->out, c->in));
    }
    FS_TRY(zeros(&self->memory, floats));
    float *next = self->memory;
    for (size_t i = 0; i < self->layout->count; i++) {
        copies *c = &self->packed[i];
        if (c->form == FORM_LOOKUP) continue;
        c->forward = next;
        c->backward = c->forward + whole_lines(nn_packed_size(c->in, c->out));
        next = c->backward + whole_lines(nn_packed_size(c->out, c->in));
    }
    return FS_OK;
}

fs_status tr_weights_new(tr_weights **out, const tr_layout *layout)
{
    *out = NULL;
    tr_weights *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a set of weights");
    self->layout = layout;
    self->packed = calloc(layout->count, sizeof *self->packed);
    fs_status status = self->packed == NULL ? fs_fail(FS_ENOMEM, "no memory for a set of weights")
                                            : zeros(&self->values, layout->floats);
    if (status == FS_OK) status = make_copies(self);
    if (status != FS_OK) tr_weights_destroy(&self);
    *out = self;
    return status;
}

void tr_weights_destroy(tr_weights **self)
{
    if (*self == NULL) return;
    free((*self)->values);
    free((*self)->memory);
    free((*self)->packed);
    free(*self);
    *self = NULL;
}

const tr_layout *tr_weights_layout(const tr_weights *self)
{
    return self->layout;
}

float *tr_weights_values(tr_weights *self)
{
    return self->values;
}

/* What a pack run shares. */
typedef struct packing {
    tr_weights *weights;
    const uint8_t *changed;
} packing;

/* Task 2i makes tensor i's forward copy, task 2i + 1 the other. */
static void pack_one(void *context, size_t task, unsigned thread)
{
    const packing *p = context;
    const size_t tensor = task / 2;
    const copies *c = &p->weights->packed[tensor];
    if (c->form == FORM_LOOKUP || (p->changed != NULL && !p->changed[tensor])) return;
    const float *source = p->weights->values + p->weights->layout->tensors[tensor].first;
    const int linear = c->form == FORM_LINEAR;
    if (task % 2 == 0) {
        nn_pack(c->forward, source, c->in, c->out, linear);
    } else {
        nn_pack(c->backward, source, c->out, c->in, !linear);
    }
}

void tr_weights_pack_some(tr_weights *self, tr_pool *pool, const uint8_t *changed)
{
    packing p = {self, changed};
    tr_pool_run(pool, 2 * self->layout->count, pack_one, &p);
}

void tr_weights_pack(tr_weights *self, tr_pool *pool)
{
    tr_weights_pack_some(self, pool, NULL);
}

const float *tr__values(const tr_weights *self, uint32_t tensor)
{
    FS_ASSERT(tensor < self->layout->count);
    return self->values + self->layout->tensors[tensor].first;
}

const float *tr__forward_copy(const tr_weights *self, uint32_t tensor)
{
    FS_ASSERT(tensor < self->layout->count && self->packed[tensor].form != FORM_LOOKUP);
    return self->packed[tensor].forward;
}

const float *tr__backward_copy(const tr_weights *self, uint32_t tensor)
{
    FS_ASSERT(tensor < self->layout->count && self->packed[tensor].form != FORM_LOOKUP);
    return self->packed[tensor].backward;
}
