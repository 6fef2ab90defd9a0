#include "testing.h"

#include "address_map.h"

static fs_geometry *geometry;

static int setup(void **state)
{
    (void)state;
    const fs_config config = {.kind = FS_MODEL_BERT,
                              .task = FS_TASK_CLASSIFICATION,
                              .layers = 1,
                              .heads = 1,
                              .d_model = 4,
                              .d_ff = 8,
                              .vocab = 5,
                              .positions = 3,
                              .segments = 2,
                              .labels = 2};
    return fs_geometry_new(&geometry, &config) == FS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    fs_geometry_destroy(&geometry);
    return 0;
}

static fs_status read_map(fs_address_map **out, const char *text, fs_format_kind format)
{
    return fs_address_map_new(out, "m.csv", text, strlen(text), geometry, fs_format_of(format));
}

static void assert_at(const fs_address_map *map, uint64_t address, const char *tensor,
                      uint64_t element, unsigned byte)
{
    uint32_t found;
    uint64_t at;
    unsigned in_word;
    assert_int_equal(fs_address_map_find(map, address, &found, &at, &in_word), 1);
    assert_string_equal(geometry->tensors[found].name, tensor);
    assert_int_equal(at, element);
    assert_int_equal(in_word, byte);
}

static void assert_nowhere(const fs_address_map *map, uint64_t address)
{
    uint32_t tensor;
    uint64_t element;
    unsigned byte;
    assert_int_equal(fs_address_map_find(map, address, &tensor, &element, &byte), 0);
}

/* Words of 4 bytes: 2 x 4 values of the classifier at 0x1000, its 2 biases right behind. */
static void test_find(void **state)
{
    (void)state;
    fs_address_map *map;
    assert_ok(read_map(&map,
                       "base,tensor,bytes\n0x1020,bert.classifier.bias,8\n"
                       "4096,classifier.weight,0x20\n0xfffffffffffffff0,pooler.dense.bias,\n",
                       FS_FORMAT_FP32));
    assert_nowhere(map, 0);
    assert_nowhere(map, 0xfff);
    assert_at(map, 0x1000, "classifier.weight", 0, 0);
    assert_at(map, 0x1003, "classifier.weight", 0, 3);
    assert_at(map, 0x1004, "classifier.weight", 1, 0);
    assert_at(map, 0x101f, "classifier.weight", 7, 3);
    assert_at(map, 0x1020, "classifier.bias", 0, 0);
    assert_at(map, 0x1027, "classifier.bias", 1, 3);
    assert_nowhere(map, 0x1028);
    assert_at(map, UINT64_MAX, "pooler.dense.bias", 3, 3);
    assert_at(map, UINT64_MAX - 15, "pooler.dense.bias", 0, 0);
    assert_nowhere(map, UINT64_MAX - 16);
    fs_address_map_destroy(&map);
    fs_address_map_destroy(&map);
}

static void test_formats(void **state)
{
    (void)state;
    fs_address_map *map;
    assert_ok(read_map(&map, "tensor,base,bytes\nclassifier.weight,16,16\n", FS_FORMAT_BF16));
    assert_at(map, 19, "classifier.weight", 1, 1);
    assert_nowhere(map, 32);
    fs_address_map_destroy(&map);
    assert_ok(read_map(&map, "tensor,base,bytes\nclassifier.weight,16,8\n", FS_FORMAT_INT8));
    assert_at(map, 19, "classifier.weight", 3, 0);
    assert_nowhere(map, 24);
    fs_address_map_destroy(&map);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *detail;
    } cases[] = {
        {"tensor\n", "m.csv:1: column 'base' is missing"},
        {"tensor,base\n", "m.csv: maps no tensor"},
        {"tensor,base\n\nclassifier.weigth,0\n",
         "m.csv:3: tensor 'classifier.weigth' is unknown (did you mean 'classifier.weight'?)"},
        {"tensor,base\nnothing.like.it,0\n",
         "m.csv:2: tensor 'nothing.like.it' is unknown; 'embeddings.word_embeddings.weight' is the "
         "first of this model's"},
        {"tensor,base\nclassifier.bias,0\nbert.classifier.bias,64\n",
         "m.csv:3: tensor classifier.bias has its place in line 2"},
        {"tensor,base,bytes\nclassifier.weight,0,16\n",
         "m.csv:2: tensor classifier.weight is of 2 x 4 words of 4 bytes, 32 bytes, not 16"},
        {"tensor,base\nclassifier.weight,0xffffffffffffffe1\n",
         "m.csv:2: tensor classifier.weight of 32 bytes ends beyond 64 bits"},
        {"tensor,base\nclassifier.weight,-1\n", "m.csv:2: base '-1' is not a whole number"},
        {"tensor,base\nclassifier.weight,100\nclassifier.bias,131\n",
         "m.csv:3: tensor classifier.bias overlaps classifier.weight of line 2"},
        {"tensor,base\nclassifier.weight,100\n\nclassifier.bias,93\n",
         "m.csv:4: tensor classifier.bias overlaps classifier.weight of line 2"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fs_address_map *map;
        assert_status(read_map(&map, cases[i].text, FS_FORMAT_FP32), FS_EFORMAT);
        assert_detail(cases[i].detail);
        assert_null(map);
    }
}

/* Every tensor has its place, in any order, without a byte between them: each byte is found. */
static void test_whole_model(void **state)
{
    (void)state;
    char text[8192] = "tensor,base\n";
    uint64_t base = 1000;
    for (size_t t = 0; t < geometry->tensor_count; t++) {
        const fs_tensor *tensor = &geometry->tensors[t];
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s,%llu\n", tensor->name,
                 (unsigned long long)base);
        base += 4 * (uint64_t)tensor->rows * tensor->cols;
    }
    fs_address_map *map;
    assert_ok(read_map(&map, text, FS_FORMAT_FP32));
    uint64_t address = 1000;
    for (size_t t = 0; t < geometry->tensor_count; t++) {
        const fs_tensor *tensor = &geometry->tensors[t];
        for (uint64_t i = 0; i < 4 * (uint64_t)tensor->rows * tensor->cols; i++)
            assert_at(map, address++, tensor->name, i / 4, (unsigned)(i % 4));
    }
    assert_nowhere(map, address);
    assert_int_equal(address, 1000 + 4 * geometry->values);
    fs_address_map_destroy(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_whole_model),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
