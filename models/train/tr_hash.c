#include "tr_hash.h"

#include <math.h>
#include <string.h>

#define NAN_BITS 0x7fc00000u

enum { BLOCK = 1024 };

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are hashed as they lie");

static void hash_tensor(fs_hasher *hasher, const float *values, size_t count)
{
    uint32_t words[BLOCK];
    for (size_t first = 0; first < count; first += BLOCK) {
        const size_t n = count - first < BLOCK ? count - first : BLOCK;
        memcpy(words, values + first, n * sizeof *words);
        for (size_t i = 0; i < n; i++)
            if (isnan(values[first + i])) words[i] = NAN_BITS;
        fs_hasher_update(hasher, words, n * sizeof *words);
    }
}

void tr_hash_values(fs_hash *out, const tr_layout *layout, const float *values)
{
    fs_hasher hasher;
    fs_hasher_init(&hasher);
    for (size_t i = 0; i < layout->count; i++) {
        const tr_tensor *t = &layout->tensors[i];
        if (!t->used) continue;
        fs_hasher_field(&hasher, t->name, strlen(t->name));
        hash_tensor(&hasher, values + t->first, (size_t)t->rows * t->cols);
    }
    fs_hasher_final(&hasher, out);
}
