/* Damaged stores: whatever bytes of data.mdb are changed, no process crashes, and either the damage
 * is reported or everything that can be read is what was written. Each damage is tried in a child
 * process, so that a crash is a result and not the end of the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hash.h"
#include "plan_fixture.h"
#include "store.h"

enum { CELLS = 3, TRIALS = 400, DAMAGES = 300, PAGE = 4096, LONG_BYTES = 9000 };

/* What a child found. */
enum { SOUND = 10, REPORTED = 11, SILENT = 12 };

typedef struct fixture {
    char dir[64];
    char path[96];
    plan_fixture *plan;
    char *text; /* a campaign text of several pages */
    fs_buf original;
    uint64_t digest;
} fixture;

static int mix_trial(void *data, uint32_t cell, uint64_t trial, const fs_trial_record *record,
                     const void *bytes, size_t size)
{
    uint64_t *digest = data;
    *digest = fixture_mix(*digest ^ fs_checksum(bytes, size)) + cell * 1000003u + trial;
    return 0;
}

static int mix_event(void *data, uint64_t wall_ms, const char *kind, const char *text)
{
    uint64_t *digest = data;
    *digest = fixture_mix(*digest ^ fs_checksum(text, strlen(text))) + wall_ms + (uint8_t)kind[0];
    return 0;
}

static int mix_attempt(void *data, const fs_attempt *attempt)
{
    uint64_t *digest = data;
    *digest = fixture_mix(*digest + attempt->id) + attempt->accepted + attempt->first;
    return 0;
}

static int mix_quarantine(void *data, uint32_t cell, uint64_t trial, const char *cause)
{
    uint64_t *digest = data;
    *digest = fixture_mix(*digest ^ fs_checksum(cause, strlen(cause))) + cell + trial;
    return 0;
}

/* Reads everything that there is to read into one number. */
static fs_status digest_store(fs_store *store, uint64_t *out)
{
    fs_buf text = {0};
    *out = 0;
    fs_status status = fs_store_campaign(store, &text);
    if (status == FS_OK) status = fs_store_identity(store, &text);
    if (status == FS_OK) *out = fs_checksum(text.data, text.size);
    fs_buf_free(&text);
    if (status == FS_OK) status = fs_store_each_trial(store, UINT32_MAX, mix_trial, out);
    if (status == FS_OK) status = fs_store_each_event(store, mix_event, out);
    if (status == FS_OK) status = fs_store_each_attempt(store, mix_attempt, out);
    if (status == FS_OK) status = fs_store_each_quarantine(store, mix_quarantine, out);
    for (uint32_t cell = 0; cell < CELLS && status == FS_OK; cell++) {
        fs_totals totals;
        fs_range *done;
        size_t count;
        status = fs_store_totals(store, cell, &totals);
        if (status == FS_OK) status = fs_store_done(store, cell, &done, &count);
        if (status != FS_OK) break;
        *out = fixture_mix(*out ^ fs_checksum(&totals, sizeof totals));
        if (count > 0) *out ^= fs_checksum(done, count * sizeof *done);
        free(done);
    }
    return status;
}

/* Reads it all; the digest only counts if the checker has nothing to say. */
static fs_status read_all(const fixture *f, uint64_t *digest)
{
    fs_store *store;
    fs_buf problems = {0};
    uint64_t errors, trials;
    int equal;
    FS_TRY(fs_store_open(&store, f->dir, FS_STORE_READ, NULL, NULL));
    fs_status status = digest_store(store, digest);
    fs_status verified = fs_store_verify(store, &problems, &errors, &equal, &trials);
    if (status == FS_OK) status = verified;
    fs_buf_free(&problems);
    fs_store_close(&store);
    return status;
}

static fs_status write_some(const fixture *f)
{
    fs_store *store;
    fs_buf record = {0};
    int verdict;
    FS_TRY(fs_store_open(&store, f->dir, FS_STORE_CREATE, &f->plan->plan, f->text));
    fs_status status = fs_store_begin(store);
    for (uint32_t cell = 0; cell < CELLS && status == FS_OK; cell++) {
        for (uint64_t t = TRIALS / 2 - 20; t < TRIALS / 2 + 60 && status == FS_OK; t++) {
            fixture_encode(&record, cell, t, 0);
            status = fs_store_put_trial(store, cell, t, record.data, record.size, &verdict);
        }
    }
    if (status == FS_OK) status = fs_store_put_event(store, 1, "late", "x");
    if (status == FS_OK) status = fs_store_commit(store);
    if (status != FS_OK) fs_store_abort(store);
    fs_buf_free(&record);
    fs_store_close(&store);
    return status;
}

/* Without the checker: what write_some brought has no attempts. */
static fs_status read_again(const fixture *f)
{
    fs_store *store;
    uint64_t digest;
    FS_TRY(fs_store_open(&store, f->dir, FS_STORE_READ, NULL, NULL));
    fs_status status = digest_store(store, &digest);
    fs_store_close(&store);
    return status;
}

static int child_main(const fixture *f)
{
    uint64_t digest;
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    fs_status status = read_all(f, &digest);
    int result = status != FS_OK ? REPORTED : digest == f->digest ? SOUND : SILENT;
    /* Going on with a damaged store may fail, but must not crash either. */
    if (write_some(f) == FS_OK && result == SOUND && read_again(f) != FS_OK) return SILENT;
    return result;
}

static void write_file(const fixture *f, const uint8_t *data, size_t size)
{
    int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    assert_int_equal(close(fd), 0);
}

static int try_damage(const fixture *f, const uint8_t *data, size_t size)
{
    write_file(f, data, size);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) _exit(child_main(f));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Fills the store in several commits, so that it has free pages and old ones. */
static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    fixture_mkdir(f->dir);
    snprintf(f->path, sizeof f->path, "%s/data.mdb", f->dir);
    f->plan = fixture_new(CELLS + 1, TRIALS, 7);
    f->text = malloc(LONG_BYTES + 1);
    memset(f->text, '#', LONG_BYTES);
    f->text[LONG_BYTES] = '\0';
    fs_store *store;
    fs_buf record = {0};
    assert_int_equal(fs_store_open(&store, f->dir, FS_STORE_CREATE, &f->plan->plan, f->text),
                     FS_OK);
    for (uint64_t first = 0; first < TRIALS / 2; first += 25) {
        assert_int_equal(fs_store_begin(store), FS_OK);
        for (uint32_t cell = 0; cell < CELLS; cell++) {
            for (uint64_t t = first; t < first + 25; t++) {
                int verdict;
                fixture_encode(&record, cell, t, 0);
                assert_int_equal(
                    fs_store_put_trial(store, cell, t, record.data, record.size, &verdict), FS_OK);
            }
            const fs_attempt attempt = {.cell = cell,
                                        .first = first,
                                        .last = first + 24,
                                        .accepted = 25,
                                        .worker = "w",
                                        .host = "h"};
            assert_int_equal(fs_store_put_attempt(store, &attempt), FS_OK);
        }
        assert_int_equal(fs_store_put_event(store, first, "commit", "text of an event"), FS_OK);
        assert_int_equal(fs_store_commit(store), FS_OK);
    }
    assert_int_equal(fs_store_begin(store), FS_OK);
    assert_int_equal(fs_store_put_quarantine(store, 2, TRIALS - 1, "cause"), FS_OK);
    assert_int_equal(fs_store_commit(store), FS_OK);
    fs_store_close(&store);
    fs_buf_free(&record);
    int fd = open(f->path, O_RDONLY);
    off_t size = lseek(fd, 0, SEEK_END);
    assert_int_equal(fs_buf_reserve(&f->original, (size_t)size), FS_OK);
    assert_int_equal(pread(fd, f->original.data, (size_t)size, 0), size);
    f->original.size = (size_t)size;
    close(fd);
    assert_int_equal(read_all(f, &f->digest), FS_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    fixture_rmdir(f->dir);
    fixture_free(f->plan);
    fs_buf_free(&f->original);
    free(f->text);
    free(f);
    return 0;
}

static uint64_t next(uint64_t *seed)
{
    *seed += 0x9e3779b97f4a7c15u;
    return fixture_mix(*seed);
}

/* One flipped bit, one overwritten byte, a run of garbage, or a page over another one; every
 * fourth among the first pages. */
static const char *damage(uint8_t *data, size_t size, uint64_t *seed, size_t *where)
{
    size_t at = next(seed) % 4 == 0 ? next(seed) % (6 * (size_t)PAGE) : next(seed) % size;
    *where = at;
    switch (next(seed) % 4) {
    case 0:
        data[at] = (uint8_t)next(seed);
        return "byte";
    case 1:
        for (size_t i = at; i < at + 24 && i < size; i++) data[i] = (uint8_t)next(seed);
        return "garbage";
    case 2: {
        size_t from = next(seed) % (size / PAGE) * PAGE, to = at / PAGE * PAGE;
        memcpy(data + to, data + from, PAGE);
        return "page";
    }
    default:
        data[at] ^= (uint8_t)(1u << (next(seed) % 8));
        return "bit";
    }
}

static void try_damages(fixture *f, uint64_t seed)
{
    print_message("seed %llu, %zu pages\n", (unsigned long long)seed, f->original.size / PAGE);
    uint8_t *data = malloc(f->original.size);
    assert_non_null(data);
    assert_int_equal(try_damage(f, f->original.data, f->original.size), SOUND);
    unsigned reported = 0, sound = 0, bad = 0;
    for (int i = 0; i < DAMAGES; i++) {
        size_t where;
        memcpy(data, f->original.data, f->original.size);
        const char *what = damage(data, f->original.size, &seed, &where);
        if (memcmp(data, f->original.data, f->original.size) == 0) continue;
        int result = try_damage(f, data, f->original.size);
        reported += result == REPORTED;
        sound += result == SOUND;
        if (result == REPORTED || result == SOUND) continue;
        bad++;
        print_message("damage %d (%s at %zu, page %zu): %s %d\n", i, what, where, where / PAGE,
                      result == SILENT ? "not noticed" : "signal", result);
    }
    print_message("%d damages: %u reported, %u without effect\n", DAMAGES, reported, sound);
    assert_int_equal(bad, 0);
    assert_true(reported > DAMAGES / 4); /* most of the file is in use */
    free(data);
}

/* The first seed's damages hold a flip that makes the first key of a page repeat one of the page
 * before. */
static void test_no_damage_crashes_or_passes_for_sound(void **state)
{
    try_damages(*state, 1795346737);
    try_damages(*state, (uint64_t)time(NULL));
}

static void test_cut_off_stores_are_reported(void **state)
{
    fixture *f = *state;
    for (size_t size = 1; size < f->original.size - PAGE; size += size < 3 * PAGE ? 511 : 7777) {
        int result = try_damage(f, f->original.data, size);
        /* The last pages may be free ones. */
        assert_true(result == REPORTED || (result == SOUND && size > f->original.size / 2));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_damage_crashes_or_passes_for_sound),
        cmocka_unit_test(test_cut_off_stores_are_reported),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
