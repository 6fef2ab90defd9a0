#include "tr_mask.h"

#include <string.h>

#include "assert.h"
#include "rng.h"

fs_status tr_mask_init(tr_mask *self, const tok *tokeniser, uint32_t vocab, double share,
                       uint64_t key)
{
    *self = (tr_mask){.key = key, .share = share, .vocab = vocab};
    for (int i = 0; i < TOK_SPECIAL_COUNT; i++)
        self->specials[i] = tok_special_id(tokeniser, (tok_special)i);
    if (self->specials[TOK_SPECIAL_MASK] < 0)
        return fs_fail(FS_EUNSUPPORTED, "the vocabulary has no [MASK]");
    return FS_OK;
}

int tr_mask_may_choose(const tr_mask *self, int32_t id)
{
    for (int i = 0; i < TOK_SPECIAL_COUNT; i++)
        if (id == self->specials[i]) return 0;
    return 1;
}

/** What stands for a chosen token; two words of its draw are left. */
static int32_t replacement(const tr_mask *self, fs_rng *rng, int32_t id)
{
    const uint64_t fate = (uint64_t)fs_rng_u32(rng) * 10 >> 32;
    if (fate < 8) return self->specials[TOK_SPECIAL_MASK];
    if (fate < 9) return (int32_t)((uint64_t)fs_rng_u32(rng) * self->vocab >> 32);
    return id;
}

uint32_t tr_mask_apply(const tr_mask *self, uint64_t epoch, uint64_t first, const int32_t *ids,
                       uint32_t count, int32_t *out, uint32_t *places)
{
    double nearest = 2.0; /* beyond every draw */
    fs_rng nearest_rng = {0};
    uint32_t chosen = 0, nearest_at = 0;
    memcpy(out, ids, count * sizeof *out);
    for (uint32_t i = 0; i < count; i++) {
        fs_rng rng;
        if (!tr_mask_may_choose(self, ids[i])) continue;
        fs_rng_init(&rng, self->key, epoch);
        rng.draw = first + i;
        const double unit = fs_rng_unit(&rng);
        if (unit < nearest) {
            nearest = unit;
            nearest_at = i;
            nearest_rng = rng;
        }
        if (unit > self->share) continue;
        places[chosen++] = i;
        out[i] = replacement(self, &rng, ids[i]);
    }
    FS_ASSERT(nearest <= 1.0);
    if (chosen == 0) {
        places[chosen++] = nearest_at;
        out[nearest_at] = replacement(self, &nearest_rng, ids[nearest_at]);
    }
    return chosen;
}
