#include "testing.h"

#include "fault_file.h"
#include "file.h"

/* BERT, or GPT-2 whose fused matrix has three slices, of width 10. */
static fs_geometry *geometry_of(fs_model_kind kind)
{
    const fs_config config = {.kind = kind,
                              .task = kind == FS_MODEL_BERT ? FS_TASK_CLASSIFICATION : FS_TASK_LM,
                              .layers = 2,
                              .heads = 2,
                              .d_model = 10,
                              .d_ff = 21,
                              .vocab = 13,
                              .positions = 8,
                              .segments = kind == FS_MODEL_BERT ? 2 : 0,
                              .labels = 3,
                              .tied = kind == FS_MODEL_GPT2};
    fs_geometry *geometry;
    assert_ok(fs_geometry_new(&geometry, &config));
    return geometry;
}

static fs_protect list_of(const char *first, const char *second)
{
    const char *names[] = {first, second};
    fs_protect protect;
    assert_ok(fs_protect_init(&protect, names, second == NULL ? 1 : 2, (fs_guard){0}));
    return protect;
}

/* A folder with the files of a test. */
static char *folder;
static fs_fault_source source;

static int setup(void **state)
{
    (void)state;
    folder = testing_folder();
    return folder == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_remove(folder);
    return 0;
}

/* Without the care for power cuts that fs_file_write_atomic takes: there are thousands. */
static void write_file(char path[FS_PATH_BYTES_MAX], const char *name, const char *text,
                       size_t size)
{
    assert_ok(fs_path_join(path, folder, name));
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void use_list(const char *text, size_t size)
{
    source = (fs_fault_source){0};
    write_file(source.file, "list.csv", text, size);
}

static void use_log(const char *log, const char *map)
{
    source = (fs_fault_source){0};
    write_file(source.file, "log.csv", log, strlen(log));
    write_file(source.map, "map.csv", map, strlen(map));
}

static fs_status open_source(fs_fault_file **out, const fs_geometry *geometry,
                             fs_format_kind format, fs_codec_set codecs)
{
    *out = NULL;
    FS_TRY(fs_fault_source_read(&source));
    return fs_fault_file_new(out, &source, geometry, fs_format_of(format), codecs);
}

static void assert_fault(const fs_fault_list *list, size_t i, const char *tensor, uint64_t element,
                         unsigned bit, fs_fault_kind kind, const fs_geometry *geometry)
{
    const fs_fault *f = &list->items[i];
    const fs_slice *slice = &geometry->slices[f->slice];
    assert_true(i < list->count);
    assert_string_equal(geometry->tensors[f->tensor].name, tensor);
    assert_int_equal(f->element, element);
    assert_int_equal(f->bit, bit);
    assert_int_equal(f->kind, kind);
    const uint64_t col = element % geometry->tensors[f->tensor].cols;
    assert_int_equal(slice->tensor, f->tensor);
    assert_true(col >= slice->col_first && col < slice->col_first + slice->cols);
}

static void test_list(void **state)
{
    static const char text[] = "# from a test\ntrial,index,tensor,bit,kind\r\n"
                               "1,20,classifier.weight,31,stuck1\r\n"
                               "0,\"2:9\",bert.classifier.weight,0,\r\n"
                               "0,3,embeddings.LayerNorm.bias,23,flip\r\n"
                               "0,2:9,classifier.weight,30,stuck0\r\n";
    (void)state;
    fs_geometry *geometry = geometry_of(FS_MODEL_BERT);
    fs_fault_file *file;
    fs_fault_list list = {0};
    use_list(text, strlen(text));
    assert_ok(open_source(&file, geometry, FS_FORMAT_FP32, 0));
    assert_int_equal(source.faults, 4);
    assert_int_equal(source.trials, 2);
    assert_int_equal(file->trials, 2);
    assert_int_equal(file->codes, 0);
    assert_ok(fs_fault_file_faults(file, 0, &list));
    assert_int_equal(list.count, 3);
    assert_fault(&list, 0, "embeddings.LayerNorm.bias", 3, 23, FS_FAULT_FLIP, geometry);
    assert_fault(&list, 1, "classifier.weight", 29, 0, FS_FAULT_FLIP, geometry);
    assert_fault(&list, 2, "classifier.weight", 29, 30, FS_FAULT_STUCK0, geometry);
    assert_ok(fs_fault_file_faults(file, 1, &list));
    assert_int_equal(list.count, 1);
    assert_fault(&list, 0, "classifier.weight", 20, 31, FS_FAULT_STUCK1, geometry);
    fs_fault_list_free(&list);
    fs_fault_file_destroy(&file);
    fs_fault_file_destroy(&file);
    fs_geometry_destroy(&geometry);
}

/* All of a fused tensor, and the head that is tied to the embedding. */
static void test_gpt2_names(void **state)
{
    static const char text[] = "tensor,index,bit\ntransformer.h.1.attn.c_attn.weight,9,1\n"
                               "h.1.attn.c_attn.weight,10,1\nh.1.attn.c_attn.weight,0:29,1\n"
                               "lm_head.weight,12:9,5\n";
    (void)state;
    fs_geometry *geometry = geometry_of(FS_MODEL_GPT2);
    fs_fault_file *file;
    fs_fault_list list = {0};
    use_list(text, strlen(text));
    assert_ok(open_source(&file, geometry, FS_FORMAT_FP32, 0));
    assert_ok(fs_fault_file_faults(file, 0, &list));
    assert_int_equal(list.count, 4);
    assert_fault(&list, 0, "wte.weight", 129, 5, FS_FAULT_FLIP, geometry);
    static const fs_component parts[] = {FS_ATTENTION_QUERY, FS_ATTENTION_KEY, FS_ATTENTION_VALUE};
    static const uint64_t elements[] = {9, 10, 29};
    for (size_t i = 0; i < 3; i++) {
        assert_fault(&list, i + 1, "h.1.attn.c_attn.weight", elements[i], 1, FS_FAULT_FLIP,
                     geometry);
        assert_int_equal(geometry->slices[list.items[i + 1].slice].component, parts[i]);
    }
    fs_fault_list_free(&list);
    fs_fault_file_destroy(&file);
    fs_geometry_destroy(&geometry);
}

/* Redundant bits reach the arms that have their code, by its place in the arm's list. */
static void test_codes(void **state)
{
    static const char text[] = "tensor,index,bit,code,trial\n"
                               "classifier.weight,2:4,7,secded,0\n"
                               "classifier.weight,2:4,7,,0\n"
                               "classifier.weight,1:0,63,scrub,0\n"
                               "classifier.weight,2:4,6,secded,0\n"
                               "classifier.weight,2:4,6,secded,1\n";
    (void)state;
    fs_geometry *geometry = geometry_of(FS_MODEL_BERT);
    const fs_protect both = list_of("scrub", "secded"), one = list_of("secded", NULL),
                     other = list_of("mset", NULL);
    const fs_codec_set set = fs_codec_set_of(&both);
    fs_fault_file *file;
    fs_fault_list faults = {0};
    fs_check_list checks = {0};
    assert_int_equal(__builtin_popcountll(set), 2);
    assert_int_equal(fs_codec_set_of(&other), 0);
    use_list(text, strlen(text));
    assert_ok(open_source(&file, geometry, FS_FORMAT_FP32, set));
    assert_int_equal(file->codes, set);
    assert_ok(fs_fault_file_faults(file, 0, &faults));
    assert_int_equal(faults.count, 1);
    assert_ok(fs_fault_file_checks(file, 0, &both, &checks));
    assert_int_equal(checks.count, 3);
    assert_int_equal(checks.items[0].element, 10);
    assert_int_equal(checks.items[0].codec, 0);
    assert_int_equal(checks.items[0].bit, 63);
    for (size_t i = 1; i < 3; i++) {
        assert_int_equal(checks.items[i].element, 24);
        assert_int_equal(checks.items[i].codec, 1);
        assert_int_equal(checks.items[i].bit, 5 + i);
    }
    assert_ok(fs_fault_file_checks(file, 0, &one, &checks));
    assert_int_equal(checks.count, 2);
    assert_int_equal(checks.items[0].codec, 0);
    assert_ok(fs_fault_file_checks(file, 0, &other, &checks));
    assert_int_equal(checks.count, 0);
    assert_ok(fs_fault_file_checks(file, 1, &one, &checks));
    assert_int_equal(checks.count, 1);
    fs_fault_file_destroy(&file);
    /* Only asked for by `codecs`: the rows of others are there to see, and kept from nobody else.
     */
    assert_ok(open_source(&file, geometry, FS_FORMAT_FP32, fs_codec_set_of(&one)));
    assert_int_equal(file->codes, set);
    assert_ok(fs_fault_file_checks(file, 0, &both, &checks));
    assert_int_equal(checks.count, 2);
    fs_fault_file_destroy(&file);
    fs_fault_list_free(&faults);
    fs_check_list_free(&checks);
    fs_geometry_destroy(&geometry);
}

/* A line of an otherwise good list that is refused, and the words that say why. */
static const struct {
    const char *row, *detail;
} bad_rows[] = {
    {"clasifier.bias,0,0,,0,",
     "list.csv:3: tensor 'clasifier.bias' is unknown (did you mean 'classifier.bias'?)"},
    {",0,0,,0,", "list.csv:3: tensor is empty"},
    {"transformer.classifier.bias,0,0,,0,",
     "list.csv:3: tensor 'transformer.classifier.bias' is unknown"},
    {"lm_head.weight,0,0,,0,", "list.csv:3: tensor 'lm_head.weight' is unknown"},
    {"classifier.bias,3,0,,0,",
     "list.csv:3: index 3: tensor classifier.bias has 1 rows of 3 values"},
    {"classifier.bias,1:0,0,,0,", "list.csv:3: index 1:0: tensor classifier.bias has 1 rows"},
    {"classifier.weight,0:10,0,,0,",
     "list.csv:3: index 0:10: tensor classifier.weight has 3 rows of 10 values"},
    {"classifier.weight,18446744073709551615,0,,0,", "list.csv:3: index 18446744073709551615: "},
    {"classifier.weight,18446744073709551616,0,,0,",
     "list.csv:3: index 18446744073709551616 is beyond 18446744073709551615"},
    {"classifier.weight,,0,,0,", "list.csv:3: index is empty"},
    {"classifier.weight,:1,0,,0,", "list.csv:3: index's row is empty"},
    {"classifier.weight,1:,0,,0,", "list.csv:3: index's column is empty"},
    {"classifier.weight,1:2:3,0,,0,", "list.csv:3: index's column '2:3' is not a whole number"},
    {"classifier.weight,-1,0,,0,", "list.csv:3: index '-1' is not a whole number"},
    {"classifier.weight,0x10,0,,0,", "list.csv:3: index '0x10' is not a whole number"},
    {"classifier.weight,0,32,,0,", "list.csv:3: bit 32: words of fp32 have bits 0 to 31"},
    {"classifier.weight,0,64,,0,", "list.csv:3: bit 64 is beyond 63"},
    {"classifier.weight,0,,,0,", "list.csv:3: bit is empty"},
    {"classifier.weight,0,sign,,0,", "list.csv:3: bit 'sign' is not a whole number"},
    {"classifier.weight,0,0,flop,0,", "list.csv:3: kind 'flop' is none of flip, stuck0, stuck1"},
    {"classifier.weight,0,0,,,", "list.csv:3: trial is empty"},
    {"classifier.weight,0,0,,2,",
     "list.csv:3: trial 2, but no row is of trial 1: trials are numbered without gaps"},
    {"classifier.weight,0,0,,8388608,", "list.csv:3: trial 8388608 is beyond 8388607"},
    {"classifier.weight,0,0,,0,secdec",
     "list.csv:3: code 'secdec' is unknown (did you mean 'secded'?)"},
    {"classifier.weight,0,0,,0,parity bits", "list.csv:3: code 'parity bits' is unknown"},
    {"classifier.weight,0,0,,0,mset", "list.csv:3: code mset keeps no bits beside the words"},
    {"classifier.weight,0,8,,0,secded", "list.csv:3: bit 8: those of a secded are 0 to 7"},
    {"classifier.weight,11,0,,0,secded",
     "list.csv:3: index 11 is not the first value that a secded is of"},
    {"classifier.weight,1:2,0,,0,scrub",
     "list.csv:3: index 1:2 is not the first value that a scrub is of"},
    {"pooler.dense.bias,\"0:4\",0,stuck1,0,", "list.csv:3: hits the same bit as line 2"},
    {"pooler.dense.bias,4,0,flip,0", "list.csv:3: 5 fields under a header of 6"},
};

static void test_bad_rows(void **state)
{
    (void)state;
    fs_geometry *geometry = geometry_of(FS_MODEL_BERT);
    const fs_protect protect = list_of("secded", "scrub");
    for (size_t i = 0; i < sizeof bad_rows / sizeof bad_rows[0]; i++) {
        char text[512];
        fs_fault_file *file;
        const int size = snprintf(
            text, sizeof text, "tensor,index,bit,kind,trial,code\npooler.dense.bias,4,0,,0,\n%s\n",
            bad_rows[i].row);
        use_list(text, (size_t)size);
        assert_status(open_source(&file, geometry, FS_FORMAT_FP32, fs_codec_set_of(&protect)),
                      FS_EFORMAT);
        assert_detail(bad_rows[i].detail);
        assert_null(file);
    }
    fs_geometry_destroy(&geometry);
}

/* One and the same bit may be hit once in each trial, as a data bit and as a redundant one. */
static void test_equal_bits_that_differ(void **state)
{
    static const char text[] = "tensor,index,bit,trial,code\nclassifier.weight,0,3,0,\n"
                               "classifier.weight,0,3,1,\nclassifier.weight,0,3,0,secded\n"
                               "classifier.weight,0,3,0,scrub\n";
    (void)state;
    fs_geometry *geometry = geometry_of(FS_MODEL_BERT);
    const fs_protect protect = list_of("secded", "scrub");
    fs_fault_file *file;
    use_list(text, strlen(text));
    assert_ok(open_source(&file, geometry, FS_FORMAT_FP32, fs_codec_set_of(&protect)));
    fs_fault_file_destroy(&file);
    fs_geometry_destroy(&geometry);
}

static void test_formats(void **state)
{
    static const char bit15[] = "tensor,index,bit\nclassifier.bias,0,15\n";
    static const char code[] = "tensor,index,bit,code\nclassifier.weight,2,0,secded\n";
    (void)state;
    fs_geometry *geometry = geometry_of(FS_MODEL_BERT);
    const fs_protect protect = list_of("secded", NULL);
    const fs_codec_set set = fs_codec_set_of(&protect);
    fs_fault_file *file;
    use_list(bit15, strlen(bit15));
    assert_ok(open_source(&file, geometry, FS_FORMAT_FP16, 0));
    fs_fault_file_destroy(&file);
    assert_status(open_source(&file, geometry, FS_FORMAT_INT8, 0), FS_EFORMAT);
    assert_detail("list.csv:2: bit 15: words of int8 have bits 0 to 7");
    /* Two words of fp32 make a codeword, four of bf16. */
    use_list(code, strlen(code));
    assert_ok(open_source(&file, geometry, FS_FORMAT_FP32, set));
    fs_fault_file_destroy(&file);
    assert_status(open_source(&file, geometry, FS_FORMAT_BF16, set), FS_EFORMAT);
    assert_detail("index 2 is not the first value that a secded is of");
    assert_ok(open_source(&file, geometry, FS_FORMAT_BF16, 0));
    fs_fault_file_destroy(&file);
    fs_geometry_destroy(&geometry);
}

/* A row of a BERT matrix is a channel, a column of GPT-2's; a vector is one. */
static void test_scales(void **state)
{
    static const struct {
        fs_model_kind kind;
        const char *row, *detail; /* NULL: it is read */
    } cases[] = {
        {FS_MODEL_BERT, "classifier.weight,1:0,31,scale", NULL},
        {FS_MODEL_BERT, "classifier.weight,1:1,31,scale",
         "list.csv:2: index 1:1 is not the first value that a scale is of"},
        {FS_MODEL_BERT, "classifier.weight,1:0,32,scale",
         "list.csv:2: bit 32: those of a scale are 0 to 31"},
        {FS_MODEL_BERT, "classifier.bias,0,0,scale", NULL},
        {FS_MODEL_BERT, "classifier.bias,1,0,scale", "index 1 is not the first value"},
        {FS_MODEL_GPT2, "h.1.attn.c_attn.weight,0:29,7,scale", NULL},
        {FS_MODEL_GPT2, "h.1.attn.c_attn.weight,1:0,7,scale", "index 1:0 is not the first value"},
        {FS_MODEL_GPT2, "wte.weight,1:0,7,scale", NULL},
        {FS_MODEL_GPT2, "wte.weight,1,7,scale", "index 1 is not the first value"},
        {FS_MODEL_BERT, "classifier.weight,1:0,31,scales",
         "code 'scales' is unknown (did you mean 'scale'?)"},
    };
    (void)state;
    fs_protect int8, fp32;
    assert_ok(fs_protect_init_format(&int8, NULL, 0, (fs_guard){0}, FS_FORMAT_INT8));
    assert_ok(fs_protect_init_format(&fp32, NULL, 0, (fs_guard){0}, FS_FORMAT_FP32));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fs_geometry *geometry = geometry_of(cases[i].kind);
        fs_check_list checks = {0};
        fs_fault_file *file;
        char text[128];
        const int size = snprintf(text, sizeof text, "tensor,index,bit,code\n%s\n", cases[i].row);
        use_list(text, (size_t)size);
        fs_status status = open_source(&file, geometry, FS_FORMAT_INT8, fs_codec_set_of(&int8));
        if (cases[i].detail != NULL) {
            assert_status(status, FS_EFORMAT);
            assert_detail(cases[i].detail);
        } else {
            assert_ok(status);
            assert_int_equal(file->codes, FS_CODEC_SET_SCALES);
            assert_ok(fs_fault_file_checks(file, 0, &int8, &checks));
            assert_int_equal(checks.count, 1);
            assert_int_equal(checks.items[0].codec, FS_CHECK_SCALE);
            assert_ok(fs_fault_file_checks(file, 0, &fp32, &checks));
            assert_int_equal(checks.count, 0);
        }
        fs_check_list_free(&checks);
        fs_fault_file_destroy(&file);
        fs_geometry_destroy(&geometry);
    }
}

static void test_log(void **state)
{
    static const char map[] = "tensor,base\nclassifier.weight,0x1000\nclassifier.bias,0x2000\n";
    static const char log[] = "# machine 7\naddress,bit,kind,trial\n0x1007,7,flip,0\n"
                              "8194,3,stuck1,0\n0x9999,1,flip,0\n0x2001,0,,2\n17,0,,1\n";
    (void)state;
    fs_geometry *geometry = geometry_of(FS_MODEL_BERT);
    fs_fault_file *file;
    fs_fault_list list = {0};
    use_log(log, map);
    assert_ok(open_source(&file, geometry, FS_FORMAT_FP32, 0));
    assert_int_equal(source.faults, 5);
    assert_int_equal(file->trials, 3);
    assert_int_equal(file->outside, 2);
    assert_ok(fs_fault_file_faults(file, 0, &list));
    assert_int_equal(list.count, 2);
    assert_fault(&list, 0, "classifier.weight", 1, 31, FS_FAULT_FLIP, geometry);
    assert_fault(&list, 1, "classifier.bias", 0, 19, FS_FAULT_STUCK1, geometry);
    assert_ok(fs_fault_file_faults(file, 1, &list));
    assert_int_equal(list.count, 0);
    assert_ok(fs_fault_file_faults(file, 2, &list));
    assert_int_equal(list.count, 1);
    assert_fault(&list, 0, "classifier.bias", 0, 8, FS_FAULT_FLIP, geometry);
    fs_fault_file_destroy(&file);
    assert_ok(open_source(&file, geometry, FS_FORMAT_FP16, 0));
    assert_ok(fs_fault_file_faults(file, 0, &list));
    assert_fault(&list, 0, "classifier.weight", 3, 15, FS_FAULT_FLIP, geometry);
    assert_fault(&list, 1, "classifier.bias", 1, 3, FS_FAULT_STUCK1, geometry);
    fs_fault_file_destroy(&file);
    fs_fault_list_free(&list);
    fs_geometry_destroy(&geometry);
}

/* A correctable error is reported whenever its cell is read. */
static void test_a_log_repeats_itself(void **state)
{
    static const char map[] = "tensor,base\nclassifier.weight,0x1000\n";
    static const char log[] = "address,bit,trial\n0x1000,7,0\n0x1004,1,0\n4096,7,0\n0x1000,7,1\n"
                              "0x1000,7,0\n0x1000,6,0\n0x9000,1,0\n0x9000,1,0\n";
    (void)state;
    fs_geometry *geometry = geometry_of(FS_MODEL_BERT);
    fs_fault_file *file;
    fs_fault_list list = {0};
    use_log(log, map);
    assert_ok(open_source(&file, geometry, FS_FORMAT_FP32, 0));
    assert_int_equal(source.faults, 8);
    assert_int_equal(file->repeated, 2);
    assert_int_equal(file->outside, 2);
    assert_ok(fs_fault_file_faults(file, 0, &list));
    assert_int_equal(list.count, 3);
    assert_fault(&list, 0, "classifier.weight", 0, 6, FS_FAULT_FLIP, geometry);
    assert_fault(&list, 1, "classifier.weight", 0, 7, FS_FAULT_FLIP, geometry);
    assert_fault(&list, 2, "classifier.weight", 1, 1, FS_FAULT_FLIP, geometry);
    assert_ok(fs_fault_file_faults(file, 1, &list));
    assert_int_equal(list.count, 1);
    fs_fault_file_destroy(&file);
    fs_fault_list_free(&list);
    fs_geometry_destroy(&geometry);
}

static void test_bad_logs(void **state)
{
    static const char map[] = "tensor,base\nclassifier.weight,0x1000\n";
    static const struct {
        const char *log, *map, *detail;
    } cases[] = {
        {"address,bit\n1,0\n0x0fff,0\n", map, "log.csv: none of 2 addresses lies in a tensor of "},
        {"address,bit\n0x1000,8\n", map, "log.csv:2: bit 8 is beyond 7"},
        {"address,bit\n0x1000\n", map, "log.csv:2: 1 fields under a header of 2"},
        {"address,bit\n0x1_0,8\n", map, "log.csv:2: bit 8"},
        {"address,bit\n0x1_0,7\n", map, "log.csv:2: address '0x1_0' is not a whole number"},
        {"address,bit,kind\n0x1000,7,stuck1\n4096,7,stuck0\n", map,
         "log.csv:3: hits the same bit as line 2 in another way"},
        {"address,bit,trial\n0x1000,7,1\n", map,
         "log.csv:2: trial 1, but no row is of trial 0: trials are numbered without gaps"},
        {"address,bit,code\n0x1000,7,\n", map, "log.csv:1: column 'code' is unknown"},
        {"address,bit\n", map, "log.csv: holds no fault"},
        {"address,bit\n0x1000,7\n", "tensor,base\n", "map.csv: maps no tensor"},
        {"address,bit\n0x1000,7\n", "tensor,base\nx,y\n", "map.csv:2: tensor 'x' is unknown"},
    };
    (void)state;
    fs_geometry *geometry = geometry_of(FS_MODEL_BERT);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fs_fault_file *file;
        use_log(cases[i].log, cases[i].map);
        assert_status(open_source(&file, geometry, FS_FORMAT_FP32, 0), FS_EFORMAT);
        assert_detail(cases[i].detail);
    }
    fs_geometry_destroy(&geometry);
}

/* A file that is not what it was when the campaign was read. */
static void test_changed(void **state)
{
    static const char first[] = "tensor,index,bit\nclassifier.bias,0,1\n";
    static const char second[] = "tensor,index,bit\nclassifier.bias,0,2\n";
    static const char log[] = "address,bit\n0,1\n";
    (void)state;
    fs_geometry *geometry = geometry_of(FS_MODEL_BERT);
    const fs_format *format = fs_format_of(FS_FORMAT_FP32);
    fs_fault_file *file;
    char path[FS_PATH_BYTES_MAX];
    use_list(first, strlen(first));
    assert_ok(fs_fault_source_read(&source));
    write_file(path, "list.csv", second, strlen(second));
    assert_status(fs_fault_file_new(&file, &source, geometry, format, 0), FS_EREFUSED);
    assert_detail("list.csv: not the file that the campaign names: its hash is ");
    assert_int_equal(unlink(path), 0);
    assert_status(fs_fault_file_new(&file, &source, geometry, format, 0), FS_ENOENT);
    assert_detail("list.csv: No such file");
    use_log(log, "tensor,base\nclassifier.bias,0\n");
    assert_ok(fs_fault_source_read(&source));
    write_file(path, "map.csv", "tensor,base\nclassifier.bias,1\n", 30);
    assert_status(fs_fault_file_new(&file, &source, geometry, format, 0), FS_EREFUSED);
    assert_detail("map.csv: not the file");
    fs_geometry_destroy(&geometry);
}

static fs_status survey_lines(size_t rows)
{
    static const char header[] = "index,bit,tensor\n", row[] = "0,0,t\n";
    const size_t start = sizeof header - 1, each = sizeof row - 1;
    char *text = malloc(start + rows * each);
    assert_non_null(text);
    memcpy(text, header, start);
    for (size_t i = 0; i < rows; i++) memcpy(text + start + i * each, row, each);
    use_list(text, start + rows * each);
    free(text);
    return fs_fault_source_read(&source);
}

static void test_limits(void **state)
{
    (void)state;
    assert_ok(survey_lines(FS_LIST_FAULTS_MAX));
    assert_int_equal(source.faults, FS_LIST_FAULTS_MAX);
    assert_status(survey_lines(FS_LIST_FAULTS_MAX + 1), FS_ELIMIT);
    assert_detail("list.csv:8388610: more than 8388608 faults");
    use_list("tensor,index,bit\n", 17);
    assert_status(fs_fault_source_read(&source), FS_EFORMAT);
    assert_detail("list.csv: holds no fault");
    assert_int_equal(truncate(source.file, (off_t)FS_LIST_BYTES_MAX + 1), 0);
    assert_status(fs_fault_source_read(&source), FS_ELIMIT);
    assert_detail("list.csv: larger than 536870912 bytes");
    source = (fs_fault_source){0};
    assert_ok(fs_path_join(source.file, "", folder));
    assert_status(fs_fault_source_read(&source), FS_EFORMAT);
    assert_detail("is a directory");
}

/* Good files with a few bytes changed: whatever they are now, they are read or refused with a
 * reason, and what is read lies inside of the model. */
static void mutate(const char *good, const char *name, const fs_geometry *geometry)
{
    const fs_protect protect = list_of("secded", "scrub");
    const size_t size = strlen(good);
    uint32_t seed = 7;
    for (int n = 0; n < 600; n++) {
        char text[1024], path[FS_PATH_BYTES_MAX];
        fs_fault_file *file;
        fs_fault_list list = {0};
        memcpy(text, good, size);
        for (int edits = n % 4; edits >= 0; edits--) {
            static const char bytes[] = "0123456789,:\"\n\r# xflipstuck\0\xff-";
            seed = seed * 1664525 + 1013904223;
            text[(seed >> 8) % size] = bytes[(seed >> 20) % (sizeof bytes - 1)];
        }
        write_file(path, name, text, size);
        fs_status status = open_source(&file, geometry, FS_FORMAT_FP32, fs_codec_set_of(&protect));
        if (status != FS_OK) {
            assert_true(status == FS_EFORMAT || status == FS_ELIMIT);
            assert_non_null(strstr(fs_status_detail(), ".csv"));
            continue;
        }
        for (uint64_t t = 0; t < file->trials; t++) {
            assert_ok(fs_fault_file_faults(file, t, &list));
            for (size_t i = 0; i < list.count; i++) {
                const fs_tensor *tensor = &geometry->tensors[list.items[i].tensor];
                assert_true(list.items[i].element < (uint64_t)tensor->rows * tensor->cols);
                assert_true(list.items[i].bit < 32);
            }
        }
        fs_fault_list_free(&list);
        fs_fault_file_destroy(&file);
    }
}

static void test_mutations(void **state)
{
    static const char list[] = "tensor,index,bit,kind,trial,code\nclassifier.bias,1,23,flip,0,\n"
                               "\"bert.classifier.weight\",2:4,7,stuck1,1,secded\n"
                               "# and\nembeddings.word_embeddings.weight,12:9,30,,2,\n";
    static const char log[] = "address,bit,trial\n0x1003,7,0\n4104,1,1\n0x2000,0,2\n77,1,2\n";
    static const char map[] = "tensor,base,bytes\nclassifier.weight,0x1000,120\n"
                              "classifier.bias,0x2000,12\n";
    (void)state;
    fs_geometry *geometry = geometry_of(FS_MODEL_BERT);
    use_list(list, strlen(list));
    mutate(list, "list.csv", geometry);
    use_log(log, map);
    mutate(log, "log.csv", geometry);
    use_log(log, map);
    mutate(map, "map.csv", geometry);
    fs_geometry_destroy(&geometry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_gpt2_names),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_bad_rows),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_equal_bits_that_differ),
        cmocka_unit_test(test_scales),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_a_log_repeats_itself),
        cmocka_unit_test(test_bad_logs),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
