#include "tuning.h"

#include "assert.h"
#include "hash.h"
#include "limits.h"

const char *fs_tune_array_name(fs_tune_array array)
{
    static const char *const names[] = {
#define X(name, text) text,
        FS_TUNE_ARRAY_MAP(X)
#undef X
    };
    FS_ASSERT(array < FS_TUNE_ARRAY_COUNT);
    return names[array];
}

/* A trial's stream: block 0 picks the step, then each array of each step has its own blocks. */

uint64_t fs_tune_pick(uint64_t draw_key, uint64_t trial, uint64_t steps)
{
    fs_rng rng;
    fs_rng_init(&rng, draw_key, trial);
    return fs_rng_below(&rng, steps);
}

fs_status fs_tune_draw(fs_fault_list *out, const fs_fault_space *space, fs_amount amount,
                       const fs_form *form, uint64_t draw_key, uint64_t trial, uint64_t step,
                       fs_tune_array array)
{
    FS_ASSERT(step < FS_TUNE_STEPS_MAX && array < FS_TUNE_ARRAY_COUNT);
    const uint64_t place = 1 + step * FS_TUNE_ARRAY_COUNT + array;
    return fs_form_draw_at(out, space, amount, form, draw_key, trial, place * FS_DRAW_BLOCKS);
}

uint64_t fs_tune_checksum(uint64_t sum, uint64_t step, fs_tune_array array,
                          const fs_fault_list *list)
{
    const uint64_t words[] = {sum, step, array, fs_fault_list_checksum(list)};
    uint8_t bytes[sizeof words];
    for (size_t i = 0; i < sizeof words; i++) bytes[i] = (uint8_t)(words[i / 8] >> (8 * (i % 8)));
    return fs_checksum(bytes, sizeof bytes);
}
