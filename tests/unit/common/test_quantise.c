/* int8 storage: words and scales against exact arithmetic, channels against the shapes of layers.
 */
#include "testing.h"

#include <math.h>

#include "config.h"
#include "quantise.h"

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static int number_of(uint32_t word)
{
    assert_true(word < 256);
    return word < 128 ? (int)word : (int)word - 256;
}

static void test_by_hand(void **state)
{
    static const struct {
        float value, scale;
        int number;
    } cases[] = {
        {0, 1, 0},
        {-0.0f, 1, 0},
        {1, 1, 1},
        {-1, 1, -1},
        {0.5f, 1, 0},
        {1.5f, 1, 2},
        {2.5f, 1, 2},
        {-0.5f, 1, 0},
        {-1.5f, 1, -2},
        {-2.5f, 1, -2},
        {126.5f, 1, 126},
        {127.5f, 1, 127},
        {-127.5f, 1, -127},
        {300, 1, 127},
        {-300, 1, -127},
        {0.75f, 0.5f, 2},
        {1.25f, 0.5f, 2},
        {1.0f, 0.0078125f, 127},
        {0x1p-149f, 0x1p-149f, 1},
        {3.4e38f, 2.7e36f, 126},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(number_of(fs_quantise(bits_of(cases[i].value), cases[i].scale)),
                         cases[i].number);
    for (uint32_t word = 0; word < 256; word++) {
        assert_true(float_of(fs_dequantise(word, 0.25f)) == 0.25f * (float)number_of(word));
        if (word != 128) assert_int_equal(fs_quantise(fs_dequantise(word, 0.3f), 0.3f), word);
    }
    assert_true(float_of(fs_dequantise(0x80, 1)) == -128); /* made by faults only */
    /* A scale that faults made: one NaN stands for all. */
    assert_int_equal(fs_dequantise(0, INFINITY), 0x7fc00000u);
    assert_int_equal(fs_dequantise(5, float_of(0xff812345u)), 0x7fc00000u);
    assert_true(float_of(fs_dequantise(0xff, INFINITY)) == -INFINITY);
}

/* The nearest word, by comparing |2 value - scale (2 k + 1)| exactly in long double: value and
 * scale have 24 bits each, so that both products fit its 64. */
static int nearest(float value, float scale)
{
    for (int k = -127; k < 127; k++) {
        const long double twice = 2 * (long double)value;
        const long double tie = (long double)scale * (2 * k + 1);
        if (twice < tie || (twice == tie && k % 2 == 0)) return k;
    }
    return 127;
}

static void test_against_exact(void **state)
{
    uint64_t seed = 7, ties = 0;
    for (int i = 0; i < 200000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const float scale = ldexpf(1 + (float)(seed >> 41) * 0x1p-23f, (int)(seed % 40) - 20);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        float value = scale * 128 * ((float)(seed >> 40) * 0x1p-23f - 1);
        if (i % 4 == 0) value = scale * ((float)(int)(seed >> 57) + 0.5f); /* at a tie, or beside */
        const int got = number_of(fs_quantise(bits_of(value), scale));
        if (got != nearest(value, scale))
            fail_msg("%a / %a gives %d", (double)value, (double)scale, got);
        ties += 2 * (long double)value == (long double)scale * (2 * got + 1) ||
                2 * (long double)value == (long double)scale * (2 * got - 1);
    }
    assert_true(ties > 1000);
}

static fs_geometry *geometry_of(fs_model_kind kind)
{
    fs_config config = {.kind = kind,
                        .task = FS_TASK_CLASSIFICATION,
                        .layers = 1,
                        .heads = 2,
                        .d_model = 6,
                        .d_ff = 10,
                        .vocab = 13,
                        .positions = 8,
                        .segments = kind == FS_MODEL_BERT ? 2 : 0,
                        .labels = 3};
    fs_geometry *geometry;
    assert_ok(fs_geometry_new(&geometry, &config));
    return geometry;
}

/* Output channels: of torch's [out, in] the rows, of Conv1D's [in, out] the columns. */
static void test_channels(void **state)
{
    static const struct {
        fs_model_kind kind;
        const char *name;
        fs_channels channels;
    } want[] = {
        {FS_MODEL_BERT, "embeddings.word_embeddings.weight", FS_CHANNELS_ROWS},
        {FS_MODEL_BERT, "embeddings.LayerNorm.weight", FS_CHANNELS_ONE},
        {FS_MODEL_BERT, "encoder.layer.0.intermediate.dense.weight", FS_CHANNELS_ROWS},
        {FS_MODEL_BERT, "encoder.layer.0.intermediate.dense.bias", FS_CHANNELS_ONE},
        {FS_MODEL_BERT, "classifier.weight", FS_CHANNELS_ROWS},
        {FS_MODEL_GPT2, "wte.weight", FS_CHANNELS_ROWS},
        {FS_MODEL_GPT2, "h.0.attn.c_attn.weight", FS_CHANNELS_COLUMNS},
        {FS_MODEL_GPT2, "h.0.attn.c_attn.bias", FS_CHANNELS_ONE},
        {FS_MODEL_GPT2, "h.0.mlp.c_proj.weight", FS_CHANNELS_COLUMNS},
        {FS_MODEL_GPT2, "score.weight", FS_CHANNELS_ROWS},
    };
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        fs_geometry *geometry = geometry_of(want[i].kind);
        uint32_t t = 0;
        while (t < geometry->tensor_count && strcmp(geometry->tensors[t].name, want[i].name) != 0)
            t++;
        assert_true(t < geometry->tensor_count);
        assert_int_equal(fs_channels_of(geometry, t), want[i].channels);
        fs_geometry_destroy(&geometry);
    }
}

/* Scales, channels and their elements of every tensor, against loops over them. */
static void check_tensor(const fs_geometry *geometry, fs_scales *scales, uint32_t t)
{
    const fs_tensor *tensor = &geometry->tensors[t];
    const fs_channels kind = fs_channels_of(geometry, t);
    const uint64_t elements = (uint64_t)tensor->rows * tensor->cols;
    float values[1024];
    assert_true(elements <= 1024);
    for (uint64_t i = 0; i < elements; i++)
        values[i] =
            kind == FS_CHANNELS_ROWS && i / tensor->cols == 1 ? 0 : sinf((float)(i * 37 + t));
    for (uint32_t r = 0; r < tensor->rows; r++)
        assert_true(fs_scales_learn(scales, t, r, values + (size_t)r * tensor->cols));
    fs_scales_settle(scales, t);
    for (uint64_t i = 0; i < elements; i++) {
        const uint64_t row = i / tensor->cols, col = i % tensor->cols;
        const uint64_t channel = kind == FS_CHANNELS_ROWS      ? row * tensor->cols
                                 : kind == FS_CHANNELS_COLUMNS ? col
                                                               : 0;
        float most = 0;
        uint64_t first = UINT64_MAX;
        for (uint64_t j = 0; j < elements; j++) {
            if (fs_scales_channel(scales, t, j) != channel) continue;
            if (fabsf(values[j]) > most) most = fabsf(values[j]);
            if (j >= i && first == UINT64_MAX) first = j;
        }
        size_t step;
        const float *scale = fs_scales_at(scales, t, i, &step);
        assert_int_equal(fs_scales_channel(scales, t, i), channel);
        assert_true(*scale == (most == 0 ? 1 : most / 127));
        assert_int_equal(fs_scales_next(scales, t, channel, i), first);
        if (col + 1 < tensor->cols)
            assert_ptr_equal(scale + step, fs_scales_at(scales, t, i + 1, &step));
        /* The next one of another channel. */
        const uint64_t other = fs_scales_channel(scales, t, elements - 1);
        uint64_t next = UINT64_MAX;
        for (uint64_t j = elements; j-- > i;)
            if (fs_scales_channel(scales, t, j) == other) next = j;
        assert_int_equal(fs_scales_next(scales, t, other, i), next);
    }
    assert_int_equal(fs_scales_next(scales, t, 0, elements), UINT64_MAX);
}

static void test_scales(void **state)
{
    for (int k = 0; k < 2; k++) {
        fs_geometry *geometry = geometry_of(k ? FS_MODEL_GPT2 : FS_MODEL_BERT);
        fs_scales *scales;
        assert_ok(fs_scales_new(&scales, geometry));
        for (uint32_t t = 0; t < geometry->tensor_count; t++) check_tensor(geometry, scales, t);
        const float bad[16] = {1, NAN}, worse[16] = {1, -INFINITY};
        assert_false(fs_scales_learn(scales, 0, 0, bad));
        assert_false(fs_scales_learn(scales, 0, 0, worse));
        fs_scales_destroy(&scales);
        fs_scales_destroy(&scales);
        fs_geometry_destroy(&geometry);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_against_exact),
        cmocka_unit_test(test_channels),
        cmocka_unit_test(test_scales),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
