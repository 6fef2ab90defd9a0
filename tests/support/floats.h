/** Arrays of floats for the tests of numeric code. */
#ifndef FLOATS_H
#define FLOATS_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/** An array that ends where an unreadable page begins: what reads or writes past its end dies, also
 * where a sanitizer does not see it (masked vector instructions). */
typedef struct guarded {
    float *at;
    size_t n;
    void *map;
    size_t map_bytes;
} guarded;

static inline guarded guarded_new(size_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = n * sizeof(float);
    guarded self = {.n = n, .map_bytes = (bytes + page - 1) / page * page + page};
    self.map =
        mmap(NULL, self.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(self.map != MAP_FAILED);
    char *end = (char *)self.map + self.map_bytes - page;
    assert_int_equal(mprotect(end, page, PROT_NONE), 0);
    self.at = (float *)(void *)(end - bytes);
    return self;
}

static inline void guarded_free(guarded *self)
{
    munmap(self->map, self->map_bytes);
}

static inline uint32_t float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/** splitmix64 */
static inline uint64_t next_u64(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/** Roughly normal: the sum of four uniform numbers, variance 1. */
static inline float next_normal(uint64_t *state)
{
    double sum = 0;
    for (int i = 0; i < 4; i++) sum += (double)(next_u64(state) >> 11) * 0x1p-53 - 0.5;
    return (float)(sum * sqrt(3.0));
}

/** Normal numbers; `odd` in a million are NaN, Inf, huge, subnormal or a zero. */
static inline void fill(float *x, size_t n, uint64_t seed, uint32_t odd)
{
    static const uint32_t specials[] = {0x7fc00000, 0xffc00000, 0x7f800000, 0xff800000,
                                        0x7f7fffff, 0xff7fffff, 0x00000001, 0x80000001,
                                        0x007fffff, 0x807fffff, 0x00000000, 0x80000000,
                                        0x7fa00000, 0x60000000, 0x0d000000, 0x8d000000};
    uint64_t state = seed;
    for (size_t i = 0; i < n; i++) {
        x[i] = next_normal(&state);
        uint64_t pick = next_u64(&state);
        if (pick % 1000000 < odd) x[i] = float_of(specials[pick >> 60]);
    }
}

/** Equal by bits, or both NaN. */
static inline int same(float x, float y)
{
    return float_bits(x) == float_bits(y) || (isnan(x) && isnan(y));
}

/** @return the first index at which the arrays differ, or n. */
static inline size_t first_difference(const float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!same(x[i], y[i])) return i;
    }
    return n;
}

static const char *const kernel_names[] = {"portable", "avx2", "avx512"};
enum { KERNELS = 3 };

#endif
