#include "rng.h"

#include <Random123/philox.h>

#include "assert.h"

_Static_assert(philox4x32_rounds == 10, "the convention is Philox4x32-10");

void fs_philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2])
{
    philox4x32_ctr_t c = {{counter[0], counter[1], counter[2], counter[3]}};
    philox4x32_key_t k = {{key[0], key[1]}};
    philox4x32_ctr_t r = philox4x32(c, k);
    for (int i = 0; i < 4; i++) out[i] = r.v[i];
}

void fs_rng_init(fs_rng *self, uint64_t key, uint64_t stream)
{
    *self = (fs_rng){.key = key, .stream = stream, .used = 4};
}

uint32_t fs_rng_u32(fs_rng *self)
{
    if (self->used == 4) {
        const uint32_t counter[4] = {(uint32_t)self->draw, (uint32_t)(self->draw >> 32),
                                     (uint32_t)self->stream, (uint32_t)(self->stream >> 32)};
        const uint32_t key[2] = {(uint32_t)self->key, (uint32_t)(self->key >> 32)};
        fs_philox4x32(self->block, counter, key);
        self->draw++;
        self->used = 0;
    }
    return self->block[self->used++];
}

uint64_t fs_rng_u64(fs_rng *self)
{
    uint64_t low = fs_rng_u32(self);
    return low | (uint64_t)fs_rng_u32(self) << 32;
}

uint64_t fs_rng_below(fs_rng *self, uint64_t bound)
{
    FS_ASSERT(bound >= 1);
    unsigned __int128 product = (unsigned __int128)fs_rng_u64(self) * bound;
    if ((uint64_t)product < bound) {
        uint64_t threshold = (0 - bound) % bound;
        while ((uint64_t)product < threshold) {
            product = (unsigned __int128)fs_rng_u64(self) * bound;
        }
    }
    return (uint64_t)(product >> 64);
}

double fs_rng_unit(fs_rng *self)
{
    return (double)((fs_rng_u64(self) >> 11) + 1) * 0x1p-53;
}
