#include "tr_order.h"

#include <stdlib.h>

#include "assert.h"
#include "hash.h"
#include "rng.h"

struct tr_order {
    const uint32_t *lengths;
    uint32_t count, batch;
    uint64_t epoch_key, window_key;
    /* What the last call needed: the permutation of one epoch and the order of one window. */
    uint32_t *epoch;  /* [count] */
    uint32_t *window; /* [window_max], batch after batch */
    uint64_t *keys;   /* [window_max], for sorting */
    size_t window_max;
    uint64_t epoch_now, window_now; /* UINT64_MAX: none yet */
};

fs_status tr_order_new(tr_order **out, const uint32_t *lengths, uint32_t count, uint32_t batch,
                       uint64_t seed)
{
    FS_ASSERT(count >= 1 && batch >= 1);
    tr_order *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for the order of examples");
    uint64_t most = (uint64_t)TR_ORDER_WINDOW * batch;
    *self = (tr_order){.lengths = lengths,
                       .count = count,
                       .batch = batch,
                       .epoch_key = fs_hash_key(seed, "order of an epoch"),
                       .window_key = fs_hash_key(seed, "order of a window's batches"),
                       .window_max = most < count ? (size_t)most : count,
                       .epoch_now = UINT64_MAX,
                       .window_now = UINT64_MAX};
    self->epoch = malloc(count * sizeof *self->epoch);
    self->window = malloc(self->window_max * sizeof *self->window);
    self->keys = malloc(self->window_max * sizeof *self->keys);
    if (self->epoch == NULL || self->window == NULL || self->keys == NULL) {
        tr_order_destroy(&self);
        return fs_fail(FS_ENOMEM, "no memory for the order of %u examples", count);
    }
    *out = self;
    return FS_OK;
}

void tr_order_destroy(tr_order **self)
{
    tr_order *o = *self;
    *self = NULL;
    if (o == NULL) return;
    free(o->epoch);
    free(o->window);
    free(o->keys);
    free(o);
}

/** Fisher and Yates: every permutation is equally likely. */
static void shuffle(uint32_t *items, uint32_t count, fs_rng *rng)
{
    for (uint32_t i = count; i > 1; i--) {
        uint32_t k = (uint32_t)fs_rng_below(rng, i), kept = items[i - 1];
        items[i - 1] = items[k];
        items[k] = kept;
    }
}

static void draw_epoch(tr_order *self, uint64_t epoch)
{
    fs_rng rng;
    fs_rng_init(&rng, self->epoch_key, epoch);
    for (uint32_t i = 0; i < self->count; i++) self->epoch[i] = i;
    shuffle(self->epoch, self->count, &rng);
    self->epoch_now = epoch;
    self->window_now = UINT64_MAX;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/** Lays out whole batches of window `number` of the epoch at hand. */
static void draw_window(tr_order *self, uint64_t number)
{
    const size_t first = (size_t)number * TR_ORDER_WINDOW * self->batch;
    const size_t whole = (self->count - first) / self->batch;
    const uint32_t batches = whole < TR_ORDER_WINDOW ? (uint32_t)whole : TR_ORDER_WINDOW;
    const uint32_t *examples = self->epoch + first;
    uint32_t order[TR_ORDER_WINDOW];
    fs_rng rng;
    for (uint32_t i = 0; i < batches * self->batch; i++)
        self->keys[i] = (uint64_t)self->lengths[examples[i]] << 32 | i;
    qsort(self->keys, (size_t)batches * self->batch, sizeof *self->keys, by_value);
    for (uint32_t i = 0; i < batches; i++) order[i] = i;
    fs_rng_init(&rng, self->window_key, self->epoch_now);
    rng.draw = number << 32; /* a window needs fewer draws */
    shuffle(order, batches, &rng);
    for (uint32_t i = 0; i < batches; i++)
        for (uint32_t k = 0; k < self->batch; k++)
            self->window[i * self->batch + k] =
                examples[(uint32_t)self->keys[(size_t)order[i] * self->batch + k]];
    self->window_now = number;
}

uint32_t tr_order_batch(tr_order *self, uint64_t step, const uint32_t **examples)
{
    const uint64_t steps = tr_order_epoch_steps(self), epoch = step / steps, in = step % steps;
    if (self->epoch_now != epoch) draw_epoch(self, epoch);
    const uint32_t whole = self->count / self->batch;
    if (in == whole) { /* what is left */
        *examples = self->epoch + (size_t)whole * self->batch;
        return self->count % self->batch;
    }
    if (self->window_now != in / TR_ORDER_WINDOW) draw_window(self, in / TR_ORDER_WINDOW);
    *examples = self->window + in % TR_ORDER_WINDOW * self->batch;
    return self->batch;
}

uint64_t tr_order_epoch_steps(const tr_order *self)
{
    return (self->count + (uint64_t)self->batch - 1) / self->batch;
}
