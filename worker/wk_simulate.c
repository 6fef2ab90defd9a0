#include "wk_simulate.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum { INPUTS = 100 };

void wk_simulate_record(uint32_t cell, uint64_t trial, fs_trial_record *out)
{
    memset(out, 0, sizeof *out);
    const uint64_t key[2] = {cell, trial};
    uint64_t hash = fs_checksum(key, sizeof key);
    uint32_t sdc = (uint32_t)(hash % 8), benign = (uint32_t)(hash >> 8) % 16;
    out->outcome = sdc > 4 ? FS_OUTCOME_SDC : benign > 4 ? FS_OUTCOME_BENIGN : FS_OUTCOME_MASKED;
    out->sdc = out->outcome == FS_OUTCOME_SDC ? sdc : 0;
    out->benign = out->outcome == FS_OUTCOME_MASKED ? 0 : benign;
    out->inputs = INPUTS;
    out->masked = INPUTS - out->sdc - out->benign;
    out->critical = sdc == 7;
    out->answers = INPUTS;
    out->answers_changed = out->sdc;
    out->metric = 1.0 - (double)out->sdc / INPUTS;
    out->loss = (double)(hash >> 40);
    out->faults_checksum = hash;
}

static fs_status simulate_golden(void *context, uint32_t variant, wk_golden_info *out)
{
    *out = (wk_golden_info){.metric = 1.0, .answers = INPUTS, .checksum = variant};
    return FS_OK;
}

static fs_status simulate_run(void *context, unsigned thread, uint32_t cell, uint64_t trial,
                              fs_trial_record *out)
{
    uint64_t cost_us = *(const uint64_t *)context;
    struct timespec left = {(time_t)(cost_us / 1000000), (long)(cost_us % 1000000) * 1000};
    while (cost_us > 0 && nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
    wk_simulate_record(cell, trial, out);
    return FS_OK;
}

static uint32_t simulate_variant(void *context, uint32_t cell)
{
    return 0;
}

wk_work wk_simulate_work(const uint64_t *cost_us)
{
    return (wk_work){.golden = simulate_golden,
                     .run = simulate_run,
                     .variant = simulate_variant,
                     .context = (void *)(uintptr_t)cost_us,
                     .cells = FS_CELLS_MAX,
                     .variants = 1};
}
