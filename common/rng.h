/** Counter-based random numbers: value = f(key, stream, draw), nothing else.
 *
 * Philox4x32-10. The counter is {draw, stream}, the key comes from a content hash; any draw can be
 * had at any time, in any order, on any machine. Source: Salmon et al., SC 2011; Random123.
 * Thread rule: reentrant. */
#ifndef FS_RNG_H
#define FS_RNG_H

#include <stdint.h>

/** A cursor over one stream. Plain data; copy it to fork, set `draw` to seek. */
typedef struct fs_rng {
    uint64_t key;
    uint64_t stream; /* the trial index, for faults */
    uint64_t draw;   /* index of the next 128-bit block */
    uint32_t block[4];
    unsigned used; /* words of `block` already given, 4 when empty */
} fs_rng;

void fs_rng_init(fs_rng *self, uint64_t key, uint64_t stream);
uint32_t fs_rng_u32(fs_rng *self);
uint64_t fs_rng_u64(fs_rng *self);
/** @return uniform in [0, bound), without bias (Lemire's rejection). bound >= 1. */
uint64_t fs_rng_below(fs_rng *self, uint64_t bound);
/** @return uniform in (0, 1], 53 bits. */
double fs_rng_unit(fs_rng *self);

/** The bare function, for tests against published vectors. */
void fs_philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]);

#endif
