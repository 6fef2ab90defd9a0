#include "coord_shard.h"

#include "assert.h"
#include "limits.h"

static double cost_of(const coord_shard *in)
{
    return in->cell_us > 0 ? in->cell_us : in->mean_us;
}

uint64_t coord_shard_trials(const coord_shard *in)
{
    FS_ASSERT(in->threads >= 1 && in->threads <= FS_THREADS_MAX);
    double trials = (double)in->threads * COORD_SHARD_BLIND;
    if (cost_of(in) > 0) {
        double ms = in->cell_us > 0 ? COORD_SHARD_MS : COORD_SHARD_FIRST_MS;
        double all = in->threads_total > in->threads ? in->threads_total : in->threads;
        double end_ms = in->left_us / 1000 / all / COORD_SHARD_END_PARTS;
        if (end_ms < COORD_SHARD_MS_MIN) end_ms = COORD_SHARD_MS_MIN;
        if (in->left_us > 0 && ms > end_ms) ms = end_ms;
        trials = ms * 1000 * in->threads / cost_of(in);
    }
    if (trials >= FS_SHARD_TRIALS_MAX) return FS_SHARD_TRIALS_MAX;
    uint64_t n = (uint64_t)trials;
    return n <= in->threads ? in->threads : n - n % in->threads;
}

uint64_t coord_shard_ms(const coord_shard *in, uint64_t trials)
{
    uint64_t rounds = (trials + in->threads - 1) / in->threads;
    return (uint64_t)((double)rounds * cost_of(in) / 1000);
}
