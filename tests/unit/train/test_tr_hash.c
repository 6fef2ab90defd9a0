/* A network's values have one name: it is BLAKE2b over what the header says, of any NaN, and of the
 * tensors alone. */
#include "testing.h"

#include <math.h>
#include <sodium.h>

#include "tr_hash.h"

static const fs_config config = {.kind = FS_MODEL_BERT,
                                 .task = FS_TASK_CLASSIFICATION,
                                 .vocab = 30,
                                 .positions = 6,
                                 .segments = 2,
                                 .d_model = 10,
                                 .layers = 2,
                                 .heads = 2,
                                 .d_ff = 130,
                                 .labels = 3,
                                 .norm_eps = 1e-12};

static float *make_values(const tr_layout *layout)
{
    float *values = calloc(layout->floats, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < layout->count; i++) {
        const tr_tensor *t = &layout->tensors[i];
        for (size_t v = 0; v < (size_t)t->rows * t->cols; v++)
            values[t->first + v] = (float)(i + 1) / (float)(v + 3);
    }
    return values;
}

static fs_hash hash_of(const tr_layout *layout, const float *values)
{
    fs_hash hash;
    tr_hash_values(&hash, layout, values);
    return hash;
}

static void it_is_what_the_header_says(void **state)
{
    tr_layout *layout;
    assert_ok(tr_layout_new(&layout, &config, TR_HEAD_CLASSIFY));
    float *values = make_values(layout);
    crypto_generichash_state hasher;
    assert_int_equal(crypto_generichash_init(&hasher, NULL, 0, FS_HASH_BYTES), 0);
    for (size_t i = 0; i < layout->count; i++) {
        const tr_tensor *t = &layout->tensors[i];
        const uint64_t size = strlen(t->name);
        uint8_t length[8];
        for (int b = 0; b < 8; b++) length[b] = (uint8_t)(size >> (8 * b));
        crypto_generichash_update(&hasher, length, sizeof length);
        crypto_generichash_update(&hasher, (const uint8_t *)t->name, size);
        crypto_generichash_update(&hasher, (const uint8_t *)(values + t->first),
                                  (size_t)t->rows * t->cols * sizeof *values);
    }
    fs_hash want;
    assert_int_equal(crypto_generichash_final(&hasher, want.bytes, sizeof want.bytes), 0);
    const fs_hash got = hash_of(layout, values);
    assert_true(fs_hash_equal(&got, &want));
    free(values);
    tr_layout_destroy(&layout);
}

static void every_value_counts_and_every_nan_is_one(void **state)
{
    tr_layout *layout;
    assert_ok(tr_layout_new(&layout, &config, TR_HEAD_CLASSIFY));
    float *values = make_values(layout);
    const fs_hash plain = hash_of(layout, values);
    for (size_t i = 0; i < layout->count; i++) {
        const tr_tensor *t = &layout->tensors[i];
        const size_t at = t->first + (size_t)t->rows * t->cols - 1;
        const float was = values[at];
        const uint32_t odd = 0xffc12345;
        values[at] = nextafterf(was, 0);
        const fs_hash next = hash_of(layout, values);
        values[at] = NAN;
        const fs_hash nan = hash_of(layout, values);
        memcpy(&values[at], &odd, sizeof odd);
        const fs_hash other = hash_of(layout, values);
        assert_true(!fs_hash_equal(&plain, &next) && !fs_hash_equal(&plain, &nan));
        assert_true(fs_hash_equal(&nan, &other));
        values[at] = was;
    }
    values[layout->tensors[1].first - 1] = 7; /* between tensors lies nothing */
    const fs_hash same = hash_of(layout, values);
    assert_true(layout->tensors[1].first > 30 * 10 && fs_hash_equal(&plain, &same));
    free(values);
    tr_layout_destroy(&layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_what_the_header_says),
        cmocka_unit_test(every_value_counts_and_every_nan_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
