#include "testing.h"

#include <math.h>

#include "config.h"
#include "file.h"
#include "raw_model.h"
#include "safetensors.h"
#include "tiny_model.h"

static const char whole[] = "model.safetensors";
static const char index_name[] = "model.safetensors.index.json";

/* Opens a folder whose only file has this header and so many bytes of data. */
static fs_status open_raw(fs_safetensors **out, uint64_t header_size, const char *header,
                          size_t data_size)
{
    char *dir = testing_folder();
    assert_ok(raw_model_write(dir, whole, header_size, header, data_size));
    fs_status status = fs_safetensors_open(out, dir);
    testing_remove(dir);
    return status;
}

static void expect_bad(const char *header, size_t data_size, const char *part)
{
    fs_safetensors *file;
    fs_status status = open_raw(&file, strlen(header), header, data_size);
    if (status != FS_EFORMAT || strstr(fs_status_detail(), part) == NULL ||
        strstr(fs_status_detail(), "/model.safetensors") == NULL) {
        fail_msg("%s: %s: %s", header, fs_status_name(status), fs_status_detail());
    }
    assert_null(file);
}

static void one_file(void **unused)
{
    static const char header[] =
        "{\"__metadata__\": {\"format\": \"pt\"},"
        " \"b\": {\"dtype\": \"F16\", \"shape\": [3], \"data_offsets\": [24, 30]},"
        " \"a\": {\"dtype\": \"F32\", \"shape\": [2, 3], \"data_offsets\": [0, 24]},"
        " \"empty\": {\"dtype\": \"F32\", \"shape\": [0, 9], \"data_offsets\": [24, 24]},"
        " \"scalar\": {\"dtype\": \"I64\", \"shape\": [], \"data_offsets\": [30, 38]},"
        " \"odd\": {\"dtype\": \"F4_NEW\", \"shape\": [3], \"data_offsets\": [38, 40]}}    ";
    fs_safetensors *file;
    assert_ok(open_raw(&file, sizeof header - 1, header, 40));
    assert_int_equal(fs_safetensors_count(file), 5);
    for (size_t i = 1; i < 5; i++) {
        assert_true(strcmp(fs_safetensors_at(file, i - 1)->name, fs_safetensors_at(file, i)->name) <
                    0);
    }
    const fs_tensor_view *a = fs_safetensors_find(file, "a");
    assert_true(a->dtype == FS_F32 && a->rank == 2 && a->shape[0] == 2 && a->shape[1] == 3);
    assert_int_equal(a->bytes, 24);
    assert_int_equal(a->data[5], 5);
    const fs_tensor_view *b = fs_safetensors_find(file, "b");
    assert_true(b->dtype == FS_F16 && b->rank == 1);
    assert_int_equal(b->data[0], 24);
    assert_true(fs_safetensors_find(file, "scalar")->rank == 0);
    assert_true(fs_safetensors_find(file, "scalar")->dtype == FS_I64);
    assert_true(fs_safetensors_find(file, "odd")->dtype == FS_OTHER);
    assert_int_equal(fs_safetensors_find(file, "empty")->bytes, 0);
    assert_null(fs_safetensors_find(file, "c"));
    assert_null(fs_safetensors_find(file, "__metadata__"));
    assert_non_null(strstr(fs_safetensors_path(file, a), whole));
    float values[6];
    fs_tensor_to_f32(values, a, 0, 6);
    assert_memory_equal(values, a->data, 24);
    fs_safetensors_close(&file);
    fs_safetensors_close(&file);
}

/* Lengths of the header that lie. */
static void header_sizes(void **unused)
{
    static const uint64_t lies[] = {3,          100,       100000001, UINT64_MAX, UINT64_MAX - 7,
                                    1ull << 63, 1ull << 32};
    fs_safetensors *file;
    assert_ok(open_raw(&file, 2, "{}", 0));
    assert_int_equal(fs_safetensors_count(file), 0);
    fs_safetensors_close(&file);
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        assert_status(open_raw(&file, lies[i], "{}", 0), FS_EFORMAT);
        assert_detail("header of");
        assert_detail(whole);
    }
    assert_status(open_raw(&file, 0, "{}", 0), FS_EFORMAT);
    assert_status(open_raw(&file, 1, "{}", 0), FS_EFORMAT);
    /* Shorter than the length itself. */
    for (size_t size = 0; size < 8; size++) {
        char *dir = testing_folder();
        char path[FS_PATH_BYTES_MAX];
        assert_ok(fs_path_join(path, dir, whole));
        assert_ok(tiny_file_write(path, "\2\0\0\0\0\0\0\0", size));
        assert_status(fs_safetensors_open(&file, dir), FS_EFORMAT);
        assert_detail("too short");
        testing_remove(dir);
    }
}

#define TENSOR(name, dtype, shape, begin, end)                                                     \
    "\"" name "\": {\"dtype\": \"" dtype "\", \"shape\": " shape ", \"data_offsets\": [" #begin    \
    ", " #end "]}"

static void bad_headers(void **unused)
{
    expect_bad("[]", 0, "object");
    expect_bad("{\"a\": ", 0, "JSON");
    expect_bad("{\"a\": 3}", 0, "dtype");
    expect_bad("{\"__metadata__\": {\"a\": 1}}", 0, "must be a string");
    expect_bad("{\"__metadata__\": []}", 0, "__metadata__");
    expect_bad("{} x", 0, "JSON");
    expect_bad("{" TENSOR("t", "F32", "[1]", 0, 4) "," TENSOR("t", "F32", "[1]", 4, 8) "}", 8,
               "duplicate");
    expect_bad("{" TENSOR("\\u0000", "F32", "[1]", 0, 4) "}", 4, "JSON");
    expect_bad("{\"t\": {\"shape\": [1], \"data_offsets\": [0, 4]}}", 4, "tensor t: \"dtype\"");
    expect_bad("{\"t\": {\"dtype\": 3, \"shape\": [1], \"data_offsets\": [0, 4]}}", 4, "dtype");
    expect_bad("{\"t\": {\"dtype\": \"F32\", \"data_offsets\": [0, 4]}}", 4, "shape");
    expect_bad("{\"t\": {\"dtype\": \"F32\", \"shape\": [1]}}", 4, "data_offsets");
    expect_bad("{" TENSOR("t", "F32", "3", 0, 12) "}", 12, "tensor t: \"shape\"");
    expect_bad("{" TENSOR("t", "F32", "[-1]", 0, 4) "}", 4, "tensor t: \"shape\"");
    expect_bad("{" TENSOR("t", "F32", "[1.0]", 0, 4) "}", 4, "tensor t: \"shape\"");
    expect_bad("{" TENSOR("t", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4, "at most 8");
    expect_bad("{\"t\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0]}}", 4,
               "data_offsets");
    expect_bad("{\"t\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4, 8]}}", 8,
               "data_offsets");
    expect_bad("{\"t\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, \"4\"]}}", 4,
               "data_offsets");
    expect_bad("{" TENSOR("t", "F32", "[1]", -4, 0) "}", 4, "data_offsets");
    expect_bad("{" TENSOR("t", "F32", "[1]", 4, 0) "}", 4, "tensor t lies at 4 to 0");
    expect_bad("{" TENSOR("t", "F32", "[2]", 0, 8) "}", 4, "0 to 8, but the file has 4");
    expect_bad("{" TENSOR("t", "F32", "[1]", 0, 9223372036854775807) "}", 4, "but the file has 4");
    expect_bad("{" TENSOR("t", "F32", "[1]", 0, 99999999999999999999) "}", 4, "JSON");
    /* Products that overflow 64 bits, exactly to something that would fit. */
    expect_bad("{" TENSOR("t", "F32", "[4294967296, 4294967296]", 0, 0) "}", 0, "larger than");
    expect_bad("{" TENSOR("t", "F32", "[4611686018427387904]", 0, 0) "}", 0, "do not take");
    expect_bad("{" TENSOR("t", "F32", "[4611686018427387905]", 0, 4) "}", 4, "do not take");
    expect_bad("{" TENSOR("t", "F16", "[3]", 0, 4) "}", 4, "3 values of F16 do not take the 4");
}

/* The tensors of a file tile its data: nothing between, nothing twice, nothing left. */
static void tiling(void **unused)
{
    expect_bad("{" TENSOR("a", "F32", "[1]", 0, 4) "," TENSOR("b", "F32", "[1]", 8, 12) "}", 12,
               "tensor b starts at 8, after one that ends at 4");
    expect_bad("{" TENSOR("a", "F32", "[2]", 0, 8) "," TENSOR("b", "F32", "[1]", 4, 8) "}", 8,
               "tensor b starts at 4, inside another that ends at 8");
    expect_bad("{" TENSOR("a", "F32", "[1]", 0, 4) "," TENSOR("b", "F32", "[1]", 0, 4) "}", 4,
               "starts at 0");
    expect_bad("{" TENSOR("a", "F32", "[1]", 4, 8) "}", 8, "starts at 4");
    expect_bad("{" TENSOR("a", "F32", "[1]", 0, 4) "}", 5, "end at 4, the file has 5");
    expect_bad("{}", 1, "end at 0, the file has 1");
    expect_bad("{" TENSOR("a", "WHO", "[7]", 0, 4) "," TENSOR("b", "F32", "[1]", 3, 7) "}", 7,
               "tensor b starts at 3");
}

static void nesting(void **unused)
{
    enum { DEPTH = 1000000 };
    char *text = malloc(DEPTH + 8);
    memcpy(text, "{\"a\":", 5);
    memset(text + 5, '[', DEPTH);
    text[5 + DEPTH] = '\0';
    expect_bad(text, 0, "depth");
    free(text);
}

/* All halves and bfloats, against ldexp. */
static void widening(void **unused)
{
    enum { ALL = 65536 };
    static uint16_t bits[ALL];
    static float wide[ALL];
    for (unsigned i = 0; i < ALL; i++) bits[i] = (uint16_t)i;
    fs_tensor_view view = {.name = "t", .dtype = FS_F16, .data = (uint8_t *)bits, .bytes = 2 * ALL};
    fs_tensor_to_f32(wide, &view, 0, ALL);
    for (unsigned i = 0; i < ALL; i++) {
        unsigned exponent = i >> 10 & 31, mantissa = i & 1023;
        double value =
            exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, (int)exponent - 25);
        uint32_t found;
        memcpy(&found, &wide[i], sizeof found);
        assert_int_equal(found >> 31, i >> 15);
        if (exponent == 31) {
            /* Inf, or a NaN with its payload in the high bits. */
            assert_int_equal(found & 0x7fffffffu, 0x7f800000u | mantissa << 13);
        } else {
            assert_true((double)wide[i] == (i >> 15 ? -value : value));
        }
    }
    view.dtype = FS_BF16;
    fs_tensor_to_f32(wide, &view, 0, ALL);
    for (unsigned i = 0; i < ALL; i++) {
        uint32_t found;
        memcpy(&found, &wide[i], sizeof found);
        assert_int_equal(found, i << 16);
    }
    /* A part of a tensor that lies unaligned: bytes 01 00 02 00 ... are read from the second on. */
    view = (fs_tensor_view){.dtype = FS_BF16, .data = (uint8_t *)bits + 1, .bytes = 2 * ALL - 2};
    fs_tensor_to_f32(wide, &view, 0x40, 2);
    uint32_t found[2];
    memcpy(found, wide, sizeof found);
    assert_int_equal(found[0], 0x41000000u);
    assert_int_equal(found[1], 0x42000000u);
}

static void write_text(const char *dir, const char *name, const char *text)
{
    char path[FS_PATH_BYTES_MAX];
    assert_ok(fs_path_join(path, dir, name));
    assert_ok(tiny_file_write(path, text, strlen(text)));
}

static void write_shard(const char *dir, const char *name, const char *header, size_t size)
{
    assert_ok(raw_model_write(dir, name, strlen(header), header, size));
}

static const char shard_a[] = "{" TENSOR("a", "F32", "[1]", 0, 4) "}";
static const char shard_b[] = "{" TENSOR("b", "F16", "[1]", 0, 2) "}";

static void shards(void **unused)
{
    char *dir = testing_folder();
    fs_safetensors *file;
    assert_false(fs_safetensors_present(dir));
    assert_status(fs_safetensors_open(&file, dir), FS_ENOENT);
    assert_detail(dir);
    write_shard(dir, "one.safetensors", shard_a, 4);
    write_shard(dir, "two.safetensors", shard_b, 2);
    write_text(dir, index_name,
               "{\"metadata\": {\"total_size\": 6}, \"weight_map\":"
               " {\"b\": \"two.safetensors\", \"a\": \"one.safetensors\"}}");
    assert_true(fs_safetensors_present(dir));
    assert_ok(fs_safetensors_open(&file, dir));
    assert_int_equal(fs_safetensors_count(file), 2);
    assert_non_null(strstr(fs_safetensors_path(file, fs_safetensors_find(file, "b")), "two.safe"));
    fs_safetensors_close(&file);

    /* A whole file goes before an index. */
    write_shard(dir, whole, "{" TENSOR("c", "F32", "[1]", 0, 4) "}", 4);
    assert_ok(fs_safetensors_open(&file, dir));
    assert_non_null(fs_safetensors_find(file, "c"));
    assert_null(fs_safetensors_find(file, "a"));
    fs_safetensors_close(&file);
    testing_remove(dir);
}

static void bad_indices(void **unused)
{
    static const struct {
        const char *text, *part;
        fs_status code;
    } cases[] = {
        {"{}", "weight_map", FS_EFORMAT},
        {"[1]", "object", FS_EFORMAT},
        {"{\"weight_map\": 3}", "weight_map", FS_EFORMAT},
        {"{\"weight_map\": {}}", "empty", FS_EFORMAT},
        {"{\"weight_map\": {\"a\": 1}}", "tensor a", FS_EFORMAT},
        {"{\"weight_map\": {\"a\": \"\"}}", "tensor a", FS_EFORMAT},
        {"{\"weight_map\": {\"a\": \"..\"}}", "same folder", FS_EFORMAT},
        {"{\"weight_map\": {\"a\": \"../one.safetensors\"}}", "same folder", FS_EFORMAT},
        {"{\"weight_map\": {\"a\": \"/etc/passwd\"}}", "same folder", FS_EFORMAT},
        {"{\"weight_map\": {\"a\": \"x/one.safetensors\"}}", "same folder", FS_EFORMAT},
        {"{\"weight_map\": {\"a\": \"three.safetensors\"}}", "three.safetensors", FS_ENOENT},
        {"{\"weight_map\": {\"b\": \"one.safetensors\"}}", "tensor b is not in one", FS_EFORMAT},
        {"{\"weight_map\": {\"a\": \"two.safetensors\", \"b\": \"one.safetensors\"}}", "is not in",
         FS_EFORMAT},
        {"{\"weight_map\": {\"a\": \"one.safetensors\", \"b\": \"copy.safetensors\"}}",
         "tensor a is also in", FS_EFORMAT},
    };
    char *dir = testing_folder();
    write_shard(dir, "one.safetensors", shard_a, 4);
    write_shard(dir, "two.safetensors", shard_b, 2);
    write_shard(dir, "copy.safetensors", shard_a, 4);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fs_safetensors *file;
        write_text(dir, index_name, cases[i].text);
        fs_status status = fs_safetensors_open(&file, dir);
        if (status != cases[i].code || strstr(fs_status_detail(), cases[i].part) == NULL) {
            fail_msg("%s: %s: %s", cases[i].text, fs_status_name(status), fs_status_detail());
        }
        assert_null(file);
    }
    testing_remove(dir);
}

static fs_status index_of(const char *dir, unsigned files)
{
    fs_buf text = {0};
    fs_safetensors *file;
    assert_ok(fs_buf_puts(&text, "{\"weight_map\": {"));
    for (unsigned i = 0; i < files; i++) {
        assert_ok(fs_buf_printf(&text, "%s\"t%u\": \"f%u\"", i == 0 ? "" : ",", i, i));
    }
    assert_ok(fs_buf_puts(&text, "}}"));
    write_text(dir, index_name, fs_buf_text(&text));
    fs_buf_free(&text);
    fs_status status = fs_safetensors_open(&file, dir);
    fs_safetensors_close(&file);
    return status;
}

static void limits(void **unused)
{
    char *dir = testing_folder();
    for (unsigned i = 0; i < FS_SHARD_FILES_MAX; i++) {
        char name[16], header[96];
        snprintf(name, sizeof name, "f%u", i);
        snprintf(header, sizeof header, "{" TENSOR("t%u", "U8", "[1]", 0, 1) "}", i);
        write_shard(dir, name, header, 1);
    }
    assert_ok(index_of(dir, FS_SHARD_FILES_MAX));
    assert_status(index_of(dir, FS_SHARD_FILES_MAX + 1), FS_ELIMIT);
    assert_detail(index_name);

    fs_buf header = {0};
    for (size_t n = FS_TENSORS_MAX; n <= FS_TENSORS_MAX + 1; n++) {
        fs_safetensors *file;
        fs_buf_clear(&header);
        assert_ok(fs_buf_puts(&header, "{\"__metadata__\": {}"));
        for (size_t i = 0; i < n; i++) {
            assert_ok(fs_buf_printf(&header,
                                    ", \"t%zu\": {\"dtype\": \"U8\", \"shape\": [1],"
                                    " \"data_offsets\": [%zu, %zu]}",
                                    i, i, i + 1));
        }
        assert_ok(fs_buf_puts(&header, "}"));
        fs_status status = open_raw(&file, header.size, fs_buf_text(&header), n);
        assert_status(status, n == FS_TENSORS_MAX ? FS_OK : FS_ELIMIT);
        fs_safetensors_close(&file);
    }
    fs_buf_free(&header);
    testing_remove(dir);
}

/* Every file that decides a result is in the hash; others, and the folder's name, are not. */
static void model_hash(void **unused)
{
    static const char *const deciding[] = {"config.json",
                                           "model-00002-of-00002.safetensors",
                                           "model.safetensors.index.json",
                                           "vocab.txt",
                                           "tokenizer_config.json",
                                           "merges.txt"};
    tiny_spec spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    spec.shards = 2;
    tiny_model *tiny;
    char *a = testing_folder(), *b = testing_folder();
    fs_hash first, other;
    assert_ok(tiny_model_new(&tiny, &spec));
    assert_ok(tiny_model_write(tiny, a));
    assert_ok(tiny_model_write(tiny, b));
    assert_ok(fs_model_hash(&first, a));
    assert_ok(fs_model_hash(&other, b));
    assert_true(fs_hash_equal(&first, &other));
    write_text(b, "README.md", "hello");
    assert_ok(fs_model_hash(&other, b));
    assert_true(fs_hash_equal(&first, &other));
    for (size_t i = 0; i < sizeof deciding / sizeof deciding[0]; i++) {
        char path[FS_PATH_BYTES_MAX];
        fs_hash before;
        assert_ok(fs_model_hash(&before, b));
        assert_ok(fs_path_join(path, b, deciding[i]));
        FILE *file = fopen(path, "ab");
        assert_non_null(file);
        fputc('\n', file);
        fclose(file);
        assert_ok(fs_model_hash(&other, b));
        assert_false(fs_hash_equal(&before, &other));
    }
    tiny_model_destroy(&tiny);
    testing_remove(a);
    testing_remove(b);
}

static void hash_of_nothing(void **unused)
{
    char *dir = testing_folder();
    fs_hash hash;
    assert_status(fs_model_hash(&hash, dir), FS_ENOENT);
    assert_detail("config.json");
    write_text(dir, "config.json", "{}");
    assert_status(fs_model_hash(&hash, dir), FS_ENOENT);
    assert_detail("model.safetensors");
    testing_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_file),       cmocka_unit_test(header_sizes),
        cmocka_unit_test(bad_headers),    cmocka_unit_test(tiling),
        cmocka_unit_test(nesting),        cmocka_unit_test(widening),
        cmocka_unit_test(shards),         cmocka_unit_test(bad_indices),
        cmocka_unit_test(limits),         cmocka_unit_test(model_hash),
        cmocka_unit_test(hash_of_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
