#include "tr_init.h"

#include <math.h>
#include <string.h>

#include "hash.h"
#include "math64.h"
#include "rng.h"

void tr_init_normal(float *out, size_t count, double deviation, uint64_t key, uint64_t stream)
{
    fs_rng rng;
    fs_rng_init(&rng, key, stream);
    for (size_t i = 0; i < count; i += 2) {
        /* One block of the generator makes one pair. */
        const double radius = deviation * sqrt(-2 * fs_log64(fs_rng_unit(&rng)));
        const double turns = fs_rng_unit(&rng);
        out[i] = (float)(radius * fs_cos_turns64(turns));
        if (i + 1 < count) out[i + 1] = (float)(radius * fs_cos_turns64(turns - 0.25));
    }
}

static int ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static void fill(float *out, size_t count, float value)
{
    for (size_t i = 0; i < count; i++) out[i] = value;
}

void tr_init_tensor(const tr_layout *layout, size_t tensor, float *values, double range,
                    uint64_t seed)
{
    const tr_tensor *t = &layout->tensors[tensor];
    float *out = values + t->first;
    const size_t count = (size_t)t->rows * t->cols;
    if (ends_with(t->name, "bias")) {
        fill(out, count, 0);
    } else if (t->rank == 1) { /* what is no bias and a vector is a LayerNorm's gain */
        fill(out, count, 1);
    } else {
        const fs_config *config = &layout->geometry->config;
        const int residual = config->kind == FS_MODEL_GPT2 && ends_with(t->name, "c_proj.weight");
        const double deviation = residual ? range / sqrt(2.0 * config->layers) : range;
        fs_hasher hasher;
        fs_hash name;
        fs_hasher_init(&hasher);
        fs_hasher_field(&hasher, "initial values", 14);
        fs_hasher_field(&hasher, t->name, strlen(t->name));
        fs_hasher_final(&hasher, &name);
        tr_init_normal(out, count, deviation, seed, fs_hash_u64(&name));
    }
}

void tr_init_all(const tr_layout *layout, float *values, double range, uint64_t seed)
{
    for (size_t i = 0; i < layout->count; i++)
        if (layout->tensors[i].used) tr_init_tensor(layout, i, values, range, seed);
}
