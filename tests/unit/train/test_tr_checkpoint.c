/* What is written comes back; whatever is damaged, cut off or foreign is told; a process that is
 * killed while it writes, or whose disk is full, leaves the checkpoint before. */
#include "testing.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "buf.h"
#include "file.h"
#include "tiny_model.h"
#include "tr_checkpoint.h"

enum { FLOATS = 48, KILLS = 25, BIG_FLOATS = 1 << 16 };

static float written[3][FLOATS], found[3][FLOATS];

static tr_checkpoint make(float data[3][FLOATS])
{
    tr_checkpoint self = {.step = 1234567890123, .floats = FLOATS, .arrays = 3};
    memset(self.fingerprint.bytes, 7, sizeof self.fingerprint.bytes);
    for (unsigned i = 0; i < TR_COUNTERS; i++) self.counters[i] = i * 0x0101010101010101u;
    for (size_t i = 0; i < 3; i++) self.data[i] = data[i];
    return self;
}

static char *path_in(const char *dir)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/checkpoint", dir) > 0);
    return path;
}

static char *dir, *path;

static int begin(void **state)
{
    dir = testing_folder();
    path = path_in(dir);
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < FLOATS; j++) written[i][j] = (float)(100 * i + j) / 3;
    return 0;
}

static int end(void **state)
{
    free(path);
    testing_remove(dir);
    return 0;
}

static void comes_back_as_it_was(void **state)
{
    const tr_checkpoint out = make(written);
    tr_checkpoint in = make(found);
    in.step = 0;
    memset(in.counters, 0, sizeof in.counters);
    assert_ok(tr_checkpoint_write(&out, path));
    assert_ok(tr_checkpoint_read(&in, path));
    assert_true(in.step == 1234567890123);
    assert_memory_equal(in.counters, out.counters, sizeof in.counters);
    assert_memory_equal(found, written, sizeof found);
    in.fingerprint.bytes[31] ^= 1;
    assert_status(tr_checkpoint_read(&in, path), FS_EREFUSED);
    assert_detail("another run");
    in = make(found);
    in.arrays = 2;
    assert_status(tr_checkpoint_read(&in, path), FS_EREFUSED);
    in = make(found);
    in.floats = FLOATS - 16;
    assert_status(tr_checkpoint_read(&in, path), FS_EREFUSED);
    assert_int_equal(unlink(path), 0);
    assert_status(tr_checkpoint_read(&in, path), FS_ENOENT);
}

/* What an owner adds comes back too, and belongs to what is expected of the file. */
static void an_owner_can_add_bytes(void **state)
{
    char text[] = "faults so far: 3", back[sizeof text] = "";
    tr_checkpoint out = make(written), in = make(found);
    out.extra = text;
    in.extra = back;
    out.extra_bytes = in.extra_bytes = sizeof text;
    assert_ok(tr_checkpoint_write(&out, path));
    assert_ok(tr_checkpoint_read(&in, path));
    assert_string_equal(back, "faults so far: 3");
    assert_memory_equal(found, written, sizeof found);
    in.extra_bytes--;
    assert_status(tr_checkpoint_read(&in, path), FS_EREFUSED);
    in.extra_bytes = 0;
    assert_status(tr_checkpoint_read(&in, path), FS_EREFUSED);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, -(long)FS_HASH_BYTES - 3, SEEK_END), 0);
    fputc('X', file);
    fclose(file);
    in.extra_bytes = sizeof text;
    assert_status(tr_checkpoint_read(&in, path), FS_ECORRUPT);
}

/* One bit of each byte in turn, then each length short of the whole, then too long ones. */
static void every_damage_is_told(void **state)
{
    const tr_checkpoint out = make(written);
    fs_buf whole = {0}, bad = {0};
    assert_ok(tr_checkpoint_write(&out, path));
    assert_ok(fs_file_read(&whole, path, 1 << 20));
    for (size_t i = 0; i < whole.size; i++) {
        tr_checkpoint in = make(found);
        whole.data[i] ^= (uint8_t)(1 << i % 8);
        assert_ok(tiny_file_write(path, whole.data, whole.size));
        whole.data[i] ^= (uint8_t)(1 << i % 8);
        assert_status(tr_checkpoint_read(&in, path), FS_ECORRUPT);
        assert_detail(path);
    }
    for (size_t size = 0; size < whole.size; size++) {
        tr_checkpoint in = make(found);
        assert_ok(tiny_file_write(path, whole.data, size));
        assert_status(tr_checkpoint_read(&in, path), FS_ECORRUPT);
    }
    tr_checkpoint in = make(found);
    assert_ok(fs_buf_append(&bad, whole.data, whole.size));
    assert_ok(fs_buf_append(&bad, "", 1));
    assert_ok(tiny_file_write(path, bad.data, bad.size));
    assert_status(tr_checkpoint_read(&in, path), FS_ECORRUPT);
    assert_detail("delete it to begin anew");
    fs_buf_free(&whole);
    fs_buf_free(&bad);
}

/* Writes one checkpoint after the other, of values that are all the step's number. */
static void write_for_ever(void)
{
    float *values = calloc(BIG_FLOATS, sizeof *values);
    if (values == NULL) _exit(1);
    for (uint64_t step = 1;; step++) {
        for (size_t i = 0; i < BIG_FLOATS; i++) values[i] = (float)step;
        const tr_checkpoint out = {
            .step = step, .floats = BIG_FLOATS, .arrays = 3, .data = {values, values, values}};
        if (tr_checkpoint_write(&out, path) != FS_OK) _exit(1);
    }
}

static void a_kill_leaves_a_whole_one(void **state)
{
    float *values[3];
    uint64_t moments = 1;
    for (size_t i = 0; i < 3; i++) {
        values[i] = calloc(BIG_FLOATS, sizeof *values[i]);
        assert_non_null(values[i]);
    }
    for (int kill_count = 0; kill_count < KILLS; kill_count++) {
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) write_for_ever();
        while (!fs_file_exists(path)) usleep(200);
        moments = moments * 6364136223846793005u + 1442695040888963407u;
        usleep((useconds_t)(moments >> 50)); /* up to 16 ms */
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_true(waitpid(child, NULL, 0) == child);
        tr_checkpoint in = {.floats = BIG_FLOATS, .arrays = 3};
        for (size_t i = 0; i < 3; i++) in.data[i] = values[i];
        assert_ok(tr_checkpoint_read(&in, path));
        assert_true(in.step >= 1);
        for (size_t i = 0; i < 3; i++)
            for (size_t j = 0; j < BIG_FLOATS; j += 4099)
                assert_true(values[i][j] == (float)in.step);
    }
    for (size_t i = 0; i < 3; i++) free(values[i]);
}

/* A file that may not grow stands for a disk that is full: the one before stays, and no litter. */
static void a_failed_write_keeps_the_one_before(void **state)
{
    const tr_checkpoint out = make(written);
    assert_ok(tr_checkpoint_write(&out, path));
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit limit = {256, 256};
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(1);
        tr_checkpoint later = make(written);
        later.step++;
        _exit(tr_checkpoint_write(&later, path) == FS_EIO ? 0 : 2);
    }
    int code;
    assert_true(waitpid(child, &code, 0) == child);
    assert_true(WIFEXITED(code) && WEXITSTATUS(code) == 0);
    tr_checkpoint in = make(found);
    assert_ok(tr_checkpoint_read(&in, path));
    assert_true(in.step == out.step);
    unsigned entries = 0;
    DIR *folder = opendir(dir);
    assert_non_null(folder);
    while (readdir(folder) != NULL) entries++;
    closedir(folder);
    assert_int_equal(entries, 3); /* with . and .. */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(comes_back_as_it_was, begin, end),
        cmocka_unit_test_setup_teardown(an_owner_can_add_bytes, begin, end),
        cmocka_unit_test_setup_teardown(every_damage_is_told, begin, end),
        cmocka_unit_test_setup_teardown(a_kill_leaves_a_whole_one, begin, end),
        cmocka_unit_test_setup_teardown(a_failed_write_keeps_the_one_before, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
