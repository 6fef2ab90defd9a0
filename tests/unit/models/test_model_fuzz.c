/* Damaged model folders: thousands of mutations of valid ones, by a fixed seed. Each is refused
 * with a text that says why, or loads and computes; none crashes (run it under asan and ubsan). */
#include "testing.h"

#include "file.h"
#include "nn_model.h"
#include "tiny_model.h"

enum { ROUNDS = 1000, MUTATIONS_MAX = 3, SMALL = 8 };

static const char *const numbers[] = {"0",
                                      "-1",
                                      "1",
                                      "7",
                                      "4294967295",
                                      "4294967296",
                                      "9223372036854775807",
                                      "9223372036854775808",
                                      "1e400",
                                      "0.5",
                                      "null",
                                      "\"1\"",
                                      "[]",
                                      "{}",
                                      "true",
                                      "1152921504606846976"};

static void replace(fs_buf *file, size_t at, size_t size, const char *by, size_t by_size)
{
    fs_buf out = {0};
    assert_ok(fs_buf_append(&out, file->data, at));
    assert_ok(fs_buf_append(&out, by, by_size));
    assert_ok(fs_buf_append(&out, file->data + at + size, file->size - at - size));
    fs_buf_free(file);
    *file = out;
}

/* Replaces a run of digits by a number that is unlike it. */
static void mutate_number(fs_buf *file, size_t head, uint64_t *state)
{
    size_t at = tiny_random(state) % head, size = 0;
    while (at < head && (file->data[at] < '0' || file->data[at] > '9')) at++;
    while (at + size < head && file->data[at + size] >= '0' && file->data[at + size] <= '9') size++;
    const char *number = numbers[tiny_random(state) % (sizeof numbers / sizeof numbers[0])];
    if (size > 0) replace(file, at, size, number, strlen(number));
}

/* Mostly within the first `head` bytes, where the structure is. */
static void mutate(fs_buf *file, size_t head, uint64_t *state)
{
    static const char marks[] = "{}[]\",:0\\ \n\xff";
    if (head > file->size) head = file->size;
    if (head == 0) return;
    size_t at = tiny_random(state) % head;
    size_t size = tiny_random(state) % 16;
    if (size > file->size - at) size = file->size - at;
    switch (tiny_random(state) % 8) {
    case 0:
        file->data[at] ^= (uint8_t)(1u << tiny_random(state) % 8);
        return;
    case 1:
        file->data[at] = (uint8_t)marks[tiny_random(state) % (sizeof marks - 1)];
        return;
    case 2:
        replace(file, at, size, "", 0);
        return;
    case 3:
        replace(file, at, 0, "                ", size);
        return;
    case 4:
        file->size = tiny_random(state) % file->size;
        return;
    case 5:
        file->data[tiny_random(state) % 8 % file->size] = (uint8_t)tiny_random(state);
        return;
    default:
        mutate_number(file, head, state);
        return;
    }
}

/* A model that loaded in spite of its damage must compute without a crash. */
static void use(nn_model *model)
{
    const fs_config *config = &nn_model_geometry(model)->config;
    const int32_t ids[2] = {0, (int32_t)config->vocab - 1};
    const uint32_t off[2] = {0, config->positions < 2 ? 1 : 2};
    const nn_batch batch = {ids, off, 1};
    nn_view *view;
    float *state = calloc(2 * (size_t)config->d_model, sizeof *state);
    float *logits = calloc(2 * (size_t)(config->vocab + config->labels), sizeof *logits);
    assert_true(state != NULL && logits != NULL);
    assert_ok(nn_view_new(&view, model));
    assert_ok(nn_embed(view, &batch, state));
    for (uint32_t l = 0; l < config->layers; l++) assert_ok(nn_layer(view, l, &batch, state));
    if (config->task == FS_TASK_CLASSIFICATION) {
        assert_ok(nn_classify(view, &batch, state, logits));
    } else {
        assert_ok(nn_final_norm(view, &batch, state, state));
        assert_ok(nn_lm_logits(view, state, off[1], logits));
    }
    nn_view_destroy(&view);
    free(state);
    free(logits);
}

/* @return where the header of a sound safetensors file ends. */
static size_t header_end(const fs_buf *file)
{
    uint64_t size;
    memcpy(&size, file->data, sizeof size);
    return 8 + (size_t)size;
}

static void read_file(fs_buf *out, const char *dir, const char *name)
{
    char path[FS_PATH_BYTES_MAX];
    assert_ok(fs_path_join(path, dir, name));
    assert_ok(fs_file_read(out, path, 1 << 24));
}

static void write_file(const char *dir, const char *name, const fs_buf *file)
{
    char path[FS_PATH_BYTES_MAX];
    assert_ok(fs_path_join(path, dir, name));
    assert_ok(tiny_file_write(path, file->data, file->size));
}

/* Damages `name` in a folder of this model, again and again from its sound contents. */
static void damage(const tiny_spec *spec, const char *name, uint64_t seed)
{
    char *dir = testing_folder();
    tiny_model *tiny;
    fs_buf sound = {0};
    unsigned loaded = 0, refused = 0;
    assert_ok(tiny_model_new(&tiny, spec));
    assert_ok(tiny_model_write(tiny, dir));
    read_file(&sound, dir, name);
    const size_t head = strstr(name, ".safetensors") != NULL && strstr(name, ".json") == NULL
                            ? header_end(&sound)
                            : sound.size;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t state = seed * ROUNDS + round;
        fs_buf file = {0};
        nn_model *model;
        assert_ok(fs_buf_append(&file, sound.data, sound.size));
        for (uint64_t n = 1 + tiny_random(&state) % MUTATIONS_MAX; n > 0; n--) {
            if (file.size > 0) mutate(&file, head, &state);
        }
        write_file(dir, name, &file);
        (void)fs_fail(FS_EIO, "%s", ""); /* an earlier refusal must not pass for this one */
        if (nn_model_open(&model, dir, NULL) == FS_OK) {
            use(model);
            nn_model_close(&model);
            loaded++;
        } else {
            assert_true(strlen(fs_status_detail()) > 0);
            assert_null(model);
            refused++;
        }
        fs_buf_free(&file);
    }
    print_message("%s: %u loaded, %u refused\n", name, loaded, refused);
    assert_true(loaded > 0 && refused > ROUNDS / 4);
    fs_buf_free(&sound);
    tiny_model_destroy(&tiny);
    testing_remove(dir);
}

static tiny_spec small(fs_model_kind kind, fs_task_kind task)
{
    tiny_spec spec = tiny_spec_default(kind, task);
    spec.layers = 1;
    spec.width = SMALL;
    spec.heads = 2;
    spec.vocab = 9;
    spec.positions = 4;
    return spec;
}

static void configurations(void **unused)
{
    tiny_spec bert = small(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    tiny_spec gpt2 = small(FS_MODEL_GPT2, FS_TASK_LM);
    damage(&bert, "config.json", 1);
    damage(&gpt2, "config.json", 2);
}

static void weights(void **unused)
{
    tiny_spec bert = small(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    tiny_spec gpt2 = small(FS_MODEL_GPT2, FS_TASK_LM);
    gpt2.dtype = TINY_F16;
    damage(&bert, "model.safetensors", 3);
    damage(&gpt2, "model.safetensors", 4);
}

static void indices(void **unused)
{
    tiny_spec spec = small(FS_MODEL_GPT2, FS_TASK_CLASSIFICATION);
    spec.shards = 2;
    damage(&spec, "model.safetensors.index.json", 5);
    damage(&spec, "model-00002-of-00002.safetensors", 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(configurations), cmocka_unit_test(weights),
                                       cmocka_unit_test(indices)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
