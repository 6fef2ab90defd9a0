/** A small random network as training sees it, for the tests of training: weights, tape, a batch.
 *
 * The folder stays until the end, so that the engine can open the same model. */
#ifndef NET_FIXTURE_H
#define NET_FIXTURE_H

#include "testing.h"

#include <math.h>

#include "oracle.h"
#include "tiny_model.h"
#include "tr_net.h"

typedef struct network {
    char *dir;
    tiny_model *tiny;
    tr_layout *layout;
    tr_pool *pool;
    tr_weights *weights;
    tr_tape *tape;
} network;

static inline float net_normal(uint64_t *state)
{
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += (double)(tiny_random(state) >> 11) * 0x1p-53;
    return (float)sum;
}

/** @return the tensor's values as they are trained. */
static inline float *net_tensor(const network *self, const char *name)
{
    const int i = tr_layout_find(self->layout, name);
    assert_true(i >= 0);
    return tr_weights_values(self->weights) + self->layout->tensors[i].first;
}

/* The tensors of the folder's model, then the masked head's, drawn here. */
static inline void net_fill(network *self)
{
    const fs_geometry *geometry = self->layout->geometry;
    float *values = tr_weights_values(self->weights);
    uint64_t state = 99;
    for (size_t i = 0; i < self->layout->count; i++) {
        const tr_tensor *t = &self->layout->tensors[i];
        const size_t n = (size_t)t->rows * t->cols;
        if (i < geometry->tensor_count) {
            const tiny_tensor *from = tiny_model_tensor(self->tiny, geometry->tensors[i].name);
            assert_int_equal(n, (size_t)from->rows * from->cols);
            memcpy(values + t->first, from->values, n * sizeof *values);
            continue;
        }
        const int gain = i == geometry->tensor_count + TR_MASKED_GAIN;
        const float spread = t->rank == 2 ? 1.2f / sqrtf((float)t->cols) : 0.2f;
        for (size_t j = 0; j < n; j++) {
            values[t->first + j] = (gain ? 1.0f : 0.0f) + spread * net_normal(&state);
        }
    }
}

static inline void net_make(network *self, const tiny_spec *spec, tr_head head, unsigned threads)
{
    fs_config config;
    *self = (network){.dir = testing_folder()};
    assert_non_null(self->dir);
    assert_ok(tiny_model_new(&self->tiny, spec));
    assert_ok(tiny_model_write(self->tiny, self->dir));
    assert_ok(fs_config_read(&config, self->dir));
    assert_ok(tr_layout_new(&self->layout, &config, head));
    assert_ok(tr_pool_new(&self->pool, threads));
    assert_ok(tr_weights_new(&self->weights, self->layout));
    assert_ok(tr_tape_new(&self->tape, self->layout, self->pool));
    net_fill(self);
    tr_weights_pack(self->weights, self->pool);
}

static inline void net_unmake(network *self)
{
    tr_tape_destroy(&self->tape);
    tr_weights_destroy(&self->weights);
    tr_pool_destroy(&self->pool);
    tr_layout_destroy(&self->layout);
    tiny_model_destroy(&self->tiny);
    testing_remove(self->dir);
}

enum { NET_SEQUENCES_MAX = 24, NET_TOKENS_MAX = 1024 };

/** Random sequences of 1..longest tokens; those of language heads answer at some of their rows. */
typedef struct net_text {
    int32_t ids[NET_TOKENS_MAX];
    uint32_t off[NET_SEQUENCES_MAX + 1];
    uint32_t rows[NET_TOKENS_MAX];
    int32_t targets[NET_TOKENS_MAX];
    tr_batch batch;
} net_text;

static inline void net_write(net_text *self, const network *of, uint32_t sequences,
                             uint32_t longest, uint64_t seed)
{
    const fs_config *config = &of->layout->geometry->config;
    uint32_t outputs = 0;
    uint64_t state = seed;
    self->off[0] = 0;
    for (uint32_t s = 0; s < sequences; s++) {
        const uint32_t length = s == 0   ? longest
                                : s == 1 ? 1
                                         : 1 + (uint32_t)(tiny_random(&state) % longest);
        self->off[s + 1] = self->off[s] + length;
        assert_true(self->off[s + 1] <= NET_TOKENS_MAX);
        for (uint32_t i = self->off[s]; i < self->off[s + 1]; i++) {
            self->ids[i] = (int32_t)(tiny_random(&state) % config->vocab);
            /* A token that is seen once at most would hide a gradient that is not added to. */
            if (i % 3 == 2) self->ids[i] = self->ids[i - 1];
            if (tiny_random(&state) % 3 != 0) self->rows[outputs++] = i;
        }
    }
    if (of->layout->head == TR_HEAD_CLASSIFY) outputs = sequences;
    self->batch = (tr_batch){.tokens = {self->ids, self->off, sequences},
                             .rows = of->layout->head == TR_HEAD_CLASSIFY ? NULL : self->rows,
                             .targets = self->targets,
                             .outputs = outputs};
}

static inline float *net_floats(size_t count)
{
    float *floats = calloc(count > 0 ? count : 1, sizeof *floats);
    assert_non_null(floats);
    return floats;
}

/** Normal numbers; the caller frees them. */
static inline float *net_noise(size_t count, uint64_t seed)
{
    float *noise = net_floats(count);
    for (size_t i = 0; i < count; i++) noise[i] = net_normal(&seed);
    return noise;
}

/** @return how many logits a batch has. */
static inline size_t net_logits(const network *self, const tr_batch *batch)
{
    return (size_t)batch->outputs * tr_logit_count(self->layout);
}

/** Forward, then backward of `dlogits`. @return the gradients; the caller frees them. */
static inline float *net_gradients(const network *self, const tr_batch *batch, const tr_pass *pass,
                                   const float *dlogits, const uint8_t *wanted)
{
    const size_t n = net_logits(self, batch);
    float *logits = net_floats(n), *spent = net_floats(n);
    float *grads = net_floats(self->layout->floats);
    memcpy(spent, dlogits, n * sizeof *spent);
    assert_ok(tr_forward(self->tape, self->weights, batch, pass, logits));
    assert_ok(tr_backward(self->tape, self->weights, spent, grads, wanted));
    free(logits);
    free(spent);
    return grads;
}

#endif
