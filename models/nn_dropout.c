#include "nn_dropout.h"

#include <math.h>

#include "assert.h"
#include "nn_isa.h"

enum { NUMBERS = 65536 };

int nn__dropout_mask(nn_mask *mask, const nn_dropout *dropout)
{
    if (dropout == NULL || dropout->probability == 0) return 0;
    FS_ASSERT(dropout->probability > 0 && dropout->probability < 1);
    const uint32_t threshold = (uint32_t)ceilf(dropout->probability * NUMBERS);
    *mask = (nn_mask){
        .counter = {dropout->place, (uint32_t)dropout->step, (uint32_t)(dropout->step >> 32)},
        .key = {(uint32_t)dropout->key, (uint32_t)(dropout->key >> 32)},
        .threshold = threshold,
        .scale = NUMBERS / (float)(NUMBERS - threshold)};
    return 1;
}

void nn_dropout_apply(const nn_dropout *self, float *x, uint64_t first, size_t n)
{
    nn_mask mask;
    FS_ASSERT(first + n <= NN_DROPOUT_ELEMENTS_MAX);
    if (nn__dropout_mask(&mask, self)) nn__ops()->dropout(&mask, x, first, n);
}
