#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hash.h"
#include "plan_fixture.h"
#include "store.h"
#include "store_impl.h"

enum { TRIALS = 500, CELLS = 4 };

typedef struct fixture {
    char dir[64];
    plan_fixture *plan;
    fs_store *store;
    fs_buf record;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    fixture_mkdir(f->dir);
    f->plan = fixture_new(CELLS, TRIALS, 7);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    fs_store_close(&f->store);
    fixture_rmdir(f->dir);
    fixture_free(f->plan);
    fs_buf_free(&f->record);
    free(f);
    return 0;
}

static void open_writer(fixture *f)
{
    fs_status status =
        fs_store_open(&f->store, f->dir, FS_STORE_CREATE, &f->plan->plan, fixture_text);
    if (status != FS_OK) print_message("%s\n", fs_status_detail());
    assert_int_equal(status, FS_OK);
}

static int put(fixture *f, uint32_t cell, uint64_t trial, uint64_t salt)
{
    int verdict = -1;
    fixture_encode(&f->record, cell, trial, salt);
    assert_int_equal(
        fs_store_put_trial(f->store, cell, trial, f->record.data, f->record.size, &verdict), FS_OK);
    return verdict;
}

static void assert_verifies(fs_store *store, uint64_t trials_expected)
{
    fs_buf problems = {0};
    uint64_t errors, trials;
    int equal;
    fs_status status = fs_store_verify(store, &problems, &errors, &equal, &trials);
    if (status != FS_OK) print_message("%s\n%s", fs_status_detail(), fs_buf_text(&problems));
    assert_int_equal(status, FS_OK);
    assert_int_equal(errors, 0);
    assert_true(equal);
    assert_int_equal(trials, trials_expected);
    fs_buf_free(&problems);
}

static void test_results_survive_reopening(void **state)
{
    fixture *f = *state;
    open_writer(f);
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    for (uint64_t t = 0; t < 100; t++) assert_int_equal(put(f, 1, t, 0), 0);
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    for (uint64_t t = 100; t < 200; t++) assert_int_equal(put(f, 1, t, 0), 0);
    fs_store_abort(f->store);
    fs_store_close(&f->store);
    assert_null(f->store);

    open_writer(f);
    fs_totals totals, expected = {0};
    assert_int_equal(fs_store_totals(f->store, 1, &totals), FS_OK);
    for (uint64_t t = 0; t < 100; t++) {
        fs_trial_record r = fixture_record(1, t, 0);
        expected.trials++;
        expected.outcomes[r.outcome]++;
        expected.critical += r.critical;
        expected.inputs += r.inputs;
        expected.masked += r.masked;
        expected.benign += r.benign;
        expected.sdc += r.sdc;
        expected.due += r.due;
        expected.faults += r.faults;
        expected.effective += r.effective;
        expected.visible += r.visible;
    }
    assert_memory_equal(&totals, &expected, sizeof totals);
    fs_range *done;
    size_t count;
    assert_int_equal(fs_store_done(f->store, 1, &done, &count), FS_OK);
    assert_int_equal(count, 1);
    assert_int_equal(done[0].first, 0);
    assert_int_equal(done[0].count, 100);
    free(done);
    fs_buf bytes = {0};
    for (uint64_t t = 0; t < 100; t++) {
        fs_buf_clear(&bytes);
        assert_int_equal(fs_store_get_trial(f->store, 1, t, &bytes), FS_OK);
        fixture_encode(&f->record, 1, t, 0);
        assert_int_equal(bytes.size, f->record.size);
        assert_memory_equal(bytes.data, f->record.data, bytes.size);
    }
    assert_int_equal(fs_store_get_trial(f->store, 1, 100, &bytes), FS_ENOENT);
    fs_buf_clear(&bytes);
    assert_int_equal(fs_store_campaign(f->store, &bytes), FS_OK);
    assert_string_equal(fs_buf_text(&bytes), fixture_text);
    fs_buf_clear(&bytes);
    assert_int_equal(fs_store_identity(f->store, &bytes), FS_OK);
    assert_string_equal(fs_buf_text(&bytes), f->plan->plan.identity);
    fs_hash hash;
    assert_int_equal(fs_store_fingerprint(f->store, &hash), FS_OK);
    assert_true(fs_hash_equal(&hash, &f->plan->plan.fingerprint));
    fs_buf_free(&bytes);
    assert_verifies(f->store, 100);
}

static void test_duplicates_and_mismatches_never_count_twice(void **state)
{
    fixture *f = *state;
    open_writer(f);
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    assert_int_equal(put(f, 0, 3, 0), 0);
    assert_int_equal(put(f, 0, 3, 0), 1); /* within one transaction */
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    assert_int_equal(put(f, 0, 3, 0), 1);
    assert_int_equal(put(f, 0, 3, 9), 2);
    assert_int_equal(put(f, 0, 4, 0), 0);
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    fs_totals totals;
    assert_int_equal(fs_store_totals(f->store, 0, &totals), FS_OK);
    assert_int_equal(totals.trials, 2);
    assert_int_equal(totals.duplicates, 2);
    assert_int_equal(totals.mismatches, 1);
    fs_buf bytes = {0}; /* the first result stays */
    assert_int_equal(fs_store_get_trial(f->store, 0, 3, &bytes), FS_OK);
    fixture_encode(&f->record, 0, 3, 0);
    assert_memory_equal(bytes.data, f->record.data, bytes.size);
    fs_buf_free(&bytes);
    assert_verifies(f->store, 2);
}

static void test_what_a_worker_made_up_is_refused(void **state)
{
    fixture *f = *state;
    open_writer(f);
    int verdict;
    fixture_encode(&f->record, 0, 0, 0);
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    const void *data = f->record.data;
    size_t size = f->record.size;
    assert_int_equal(fs_store_put_trial(f->store, CELLS - 1, TRIALS - 1, data, size, &verdict),
                     FS_OK);
    assert_int_equal(fs_store_put_trial(f->store, CELLS, 0, data, size, &verdict), FS_EPROTO);
    assert_int_equal(fs_store_put_trial(f->store, 0, TRIALS, data, size, &verdict), FS_EPROTO);
    assert_int_equal(fs_store_put_trial(f->store, 0, 0, data, size - 1, &verdict), FS_ECORRUPT);
    f->record.data[20] ^= 1;
    assert_int_equal(fs_store_put_trial(f->store, 0, 0, data, size, &verdict), FS_ECORRUPT);
    assert_non_null(strstr(fs_status_detail(), "trial 0 of cell 0"));
    assert_int_equal(fs_store_put_quarantine(f->store, CELLS, 0, "x"), FS_EPROTO);
    fs_store_abort(f->store);
}

static uint64_t random_next(uint64_t *seed)
{
    *seed += 0x9e3779b97f4a7c15u;
    return fixture_mix(*seed);
}

static void assert_done_equals(fixture *f, uint32_t cell, const uint8_t *done)
{
    fs_range *ranges;
    size_t count;
    assert_int_equal(fs_store_done(f->store, cell, &ranges, &count), FS_OK);
    uint8_t marked[TRIALS] = {0};
    for (size_t i = 0; i < count; i++) {
        assert_true(ranges[i].count > 0);
        if (i > 0) assert_true(ranges[i].first > ranges[i - 1].first + ranges[i - 1].count);
        for (uint64_t t = 0; t < ranges[i].count; t++) marked[ranges[i].first + t] = 1;
    }
    assert_memory_equal(marked, done, sizeof marked);
    free(ranges);
}

static void test_ranges_equal_a_set_under_random_orders(void **state)
{
    fixture *f = *state;
    open_writer(f);
    uint64_t seed = 1;
    uint8_t done[CELLS][TRIALS] = {{0}};
    for (int round = 0; round < 300; round++) {
        uint8_t next[CELLS][TRIALS];
        memcpy(next, done, sizeof next);
        assert_int_equal(fs_store_begin(f->store), FS_OK);
        for (uint64_t runs = 1 + random_next(&seed) % 4; runs > 0; runs--) {
            uint32_t cell = (uint32_t)(random_next(&seed) % CELLS);
            uint64_t first = random_next(&seed) % TRIALS;
            uint64_t count = 1 + random_next(&seed) % 12;
            for (uint64_t t = first; t < first + count && t < TRIALS; t++) {
                assert_int_equal(put(f, cell, t, 0), next[cell][t]);
                next[cell][t] = 1;
            }
        }
        if (random_next(&seed) % 4 == 0) {
            fs_store_abort(f->store);
            continue;
        }
        assert_int_equal(fs_store_commit(f->store), FS_OK);
        memcpy(done, next, sizeof done);
        if (round % 10 == 0)
            for (uint32_t cell = 0; cell < CELLS; cell++) assert_done_equals(f, cell, done[cell]);
    }
    uint64_t trials = 0;
    for (uint32_t cell = 0; cell < CELLS; cell++) {
        assert_done_equals(f, cell, done[cell]);
        for (size_t t = 0; t < TRIALS; t++) trials += done[cell][t];
    }
    assert_true(trials > TRIALS);
    assert_verifies(f->store, trials);
}

static void test_quarantine_and_result_in_either_order(void **state)
{
    fixture *f = *state;
    open_writer(f);
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    assert_int_equal(fs_store_put_quarantine(f->store, 0, 5, "signal 11"), FS_OK);
    assert_int_equal(fs_store_put_quarantine(f->store, 0, 5, "again"), FS_OK);
    assert_int_equal(put(f, 0, 6, 0), 0);
    assert_int_equal(fs_store_put_quarantine(f->store, 0, 6, "late"), FS_OK);
    assert_int_equal(fs_store_put_quarantine(f->store, 0, 7, "signal 9"), FS_OK);
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    assert_int_equal(put(f, 0, 7, 0), 0);
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    fs_totals totals;
    assert_int_equal(fs_store_totals(f->store, 0, &totals), FS_OK);
    assert_int_equal(totals.quarantined, 1);
    assert_int_equal(totals.trials, 2);
    uint8_t done[TRIALS] = {0};
    done[5] = done[6] = done[7] = 1;
    assert_done_equals(f, 0, done);
    assert_verifies(f->store, 2);
}

static int take_quarantine(void *data, uint32_t cell, uint64_t trial, const char *cause)
{
    char *text = data;
    snprintf(text + strlen(text), 200 - strlen(text), "%u/%llu:%zu;", cell,
             (unsigned long long)trial, strlen(cause));
    return 0;
}

static int take_event(void *data, uint64_t wall_ms, const char *kind, const char *text)
{
    char *out = data;
    snprintf(out + strlen(out), 200 - strlen(out), "%llu %s %zu;", (unsigned long long)wall_ms,
             kind, strlen(text));
    return 0;
}

static int take_attempt(void *data, const fs_attempt *attempt)
{
    ((fs_attempt *)data)[attempt->id - 1] = *attempt;
    return attempt->id == 2; /* stops before a third */
}

static void test_events_attempts_and_quarantines_come_back(void **state)
{
    fixture *f = *state;
    open_writer(f);
    char long_text[2000], seen[200] = "";
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    fs_attempt attempts[3] = {{0}};
    const fs_attempt attempt = {.cell = 2,
                                .first = 3,
                                .last = 9,
                                .lease = 77,
                                .accepted = 0,
                                .started_ms = 1000,
                                .committed_ms = 2000,
                                .worker = "w-1",
                                .host = "node7"};
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    for (int i = 0; i < 3; i++) assert_int_equal(fs_store_put_attempt(f->store, &attempt), FS_OK);
    assert_int_equal(fs_store_put_event(f->store, 5, "start", "a"), FS_OK);
    assert_int_equal(fs_store_put_event(f->store, 6, "stop", long_text), FS_OK);
    assert_int_equal(fs_store_put_quarantine(f->store, 3, 1, ""), FS_OK);
    assert_int_equal(fs_store_put_quarantine(f->store, 1, 2, long_text), FS_OK);
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    assert_int_equal(fs_store_each_event(f->store, take_event, seen), FS_OK);
    assert_string_equal(seen, "5 start 1;6 stop 511;");
    seen[0] = '\0';
    assert_int_equal(fs_store_each_quarantine(f->store, take_quarantine, seen), FS_OK);
    assert_string_equal(seen, "1/2:511;3/1:0;");
    assert_int_equal(fs_store_each_attempt(f->store, take_attempt, attempts), FS_OK);
    assert_int_equal(attempts[0].id, 1);
    assert_int_equal(attempts[1].id, 2);
    assert_int_equal(attempts[2].id, 0);
    attempts[0].id = 0;
    assert_memory_equal(&attempts[0], &attempt, sizeof attempt);
}

static void test_golden_runs_must_agree(void **state)
{
    fixture *f = *state;
    open_writer(f);
    fs_store_golden golden = {.metric = 0.875,
                              .loss = 0.25,
                              .answers = 40,
                              .checksum = 11,
                              .kernel = "avx2",
                              .host = "a"},
                    found;
    assert_int_equal(fs_store_get_golden(f->store, 1, &found), FS_ENOENT);
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    assert_int_equal(fs_store_put_golden(f->store, 1, &golden), FS_OK);
    snprintf(golden.host, sizeof golden.host, "b");
    assert_int_equal(fs_store_put_golden(f->store, 1, &golden), FS_OK);
    golden.checksum = 12;
    assert_int_equal(fs_store_put_golden(f->store, 1, &golden), FS_EMISMATCH);
    assert_int_equal(fs_store_put_golden(f->store, 0, &golden), FS_OK); /* it goes on */
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    assert_int_equal(fs_store_get_golden(f->store, 1, &found), FS_OK);
    assert_int_equal(found.checksum, 11);
    assert_string_equal(found.host, "a");
    assert_string_equal(found.kernel, "avx2");
}

static int stop_at_three(void *data, uint32_t cell, uint64_t trial, const fs_trial_record *record,
                         const void *bytes, size_t size)
{
    uint64_t *seen = data;
    const fs_trial_record expected = fixture_record(cell, trial, 0);
    assert_int_equal(record->faults_checksum, expected.faults_checksum);
    assert_true(size > 0 && bytes != NULL);
    seen[0] = seen[0] * 1000 + cell * 100 + trial;
    return ++seen[1] == 3;
}

static void test_trials_come_in_order_of_cell_and_index(void **state)
{
    fixture *f = *state;
    open_writer(f);
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    put(f, 2, 0, 0);
    put(f, 1, 9, 0);
    put(f, 1, 2, 0);
    put(f, 0, 5, 0);
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    uint64_t seen[2] = {0};
    assert_int_equal(fs_store_each_trial(f->store, UINT32_MAX, stop_at_three, seen), FS_OK);
    assert_int_equal(seen[0], 5 * 1000000 + 102 * 1000 + 109);
    seen[0] = seen[1] = 0;
    assert_int_equal(fs_store_each_trial(f->store, 1, stop_at_three, seen), FS_OK);
    assert_int_equal(seen[0], 102 * 1000 + 109);
}

static void test_another_campaign_is_refused(void **state)
{
    fixture *f = *state;
    open_writer(f);
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    put(f, 0, 5, 0);
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    fs_store_close(&f->store);
    plan_fixture *other = fixture_new(CELLS, TRIALS, 8);
    fs_status status = fs_store_open(&f->store, f->dir, FS_STORE_CREATE, &other->plan, "x");
    assert_int_equal(status, FS_EREFUSED);
    assert_null(f->store);
    assert_non_null(strstr(fs_status_detail(), "seed: 8"));
    other->plan.has_fingerprint = 0;
    assert_int_equal(fs_store_open(&f->store, f->dir, FS_STORE_CREATE, &other->plan, "x"),
                     FS_EREFUSED);
    fixture_free(other);
    open_writer(f);
}

/* A campaign that never got a result does not lock its folder. */
static void test_an_empty_store_takes_another_campaign(void **state)
{
    fixture *f = *state;
    fs_buf text = {0};
    open_writer(f);
    fs_store_close(&f->store);
    plan_fixture *other = fixture_new(CELLS, TRIALS, 8);
    assert_int_equal(fs_store_open(&f->store, f->dir, FS_STORE_CREATE, &other->plan, "mended"),
                     FS_OK);
    assert_int_equal(fs_store_campaign(f->store, &text), FS_OK);
    assert_string_equal(fs_buf_text(&text), "mended");
    fs_store_close(&f->store);
    fixture_free(other);
    fs_buf_free(&text);
    open_writer(f);
}

static void test_folders_without_a_store(void **state)
{
    fixture *f = *state;
    assert_int_equal(fs_store_open(&f->store, f->dir, FS_STORE_READ, NULL, NULL), FS_ENOENT);
    assert_non_null(strstr(fs_status_detail(), f->dir));
    assert_int_equal(fs_store_open(&f->store, "/no/such/dir", FS_STORE_READ, NULL, NULL),
                     FS_ENOENT);
    char path[128];
    snprintf(path, sizeof path, "%s/data.mdb", f->dir);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 5000; i++) fputs("not a database ", file);
    fclose(file);
    assert_int_equal(fs_store_open(&f->store, f->dir, FS_STORE_READ, NULL, NULL), FS_ECORRUPT);
    assert_int_equal(fs_store_open(&f->store, f->dir, FS_STORE_CREATE, &f->plan->plan, "x"),
                     FS_ECORRUPT);
}

static void test_network_file_systems_are_known(void **state)
{
    assert_string_equal(fs_store__network_name(0x6969), "NFS");
    assert_string_equal(fs_store__network_name(0xFF534D42), "CIFS");
    assert_string_equal(fs_store__network_name((unsigned long)(int32_t)0xFF534D42), "CIFS");
    assert_string_equal(fs_store__network_name(0x0BD00BD0), "Lustre");
    assert_null(fs_store__network_name(0xEF53));     /* ext4 */
    assert_null(fs_store__network_name(0x01021994)); /* tmpfs */
    assert_null(fs_store__network_name(0x58465342)); /* xfs */
}

static void test_a_full_map_grows(void **state)
{
    fixture *f = *state;
    fixture_free(f->plan);
    f->plan = fixture_new(2, 20000, 7);
    fs_store__set_map_bytes(256 * 1024);
    open_writer(f);
    fs_store__set_map_bytes(0);
    int full = 0;
    for (uint64_t first = 0; first < 20000; first += 1000) {
        fs_status status = FS_ENOSPC;
        for (int tries = 0; tries < 4 && status == FS_ENOSPC; tries++) {
            assert_int_equal(fs_store_begin(f->store), FS_OK);
            status = FS_OK;
            for (uint64_t t = first; t < first + 1000 && status == FS_OK; t++) {
                int verdict;
                fixture_encode(&f->record, 0, t, 0);
                status =
                    fs_store_put_trial(f->store, 0, t, f->record.data, f->record.size, &verdict);
            }
            if (status == FS_OK) status = fs_store_commit(f->store);
            if (status != FS_OK) fs_store_abort(f->store);
            full += status == FS_ENOSPC;
        }
        assert_int_equal(status, FS_OK);
    }
    assert_true(full >= 3); /* 20000 records are some megabytes */
    assert_verifies(f->store, 20000);
}

/* Makes the descriptor by which LMDB writes its meta pages one of a full device: the other one that
 * it has of data.mdb. */
static void fill_meta_disk(fs_store *store)
{
    int data_fd, full = open("/dev/full", O_WRONLY | O_CLOEXEC), found = 0;
    struct stat data, other;
    assert_true(full >= 0);
    assert_int_equal(mdb_env_get_fd(store->env, &data_fd), 0);
    assert_int_equal(fstat(data_fd, &data), 0);
    for (int fd = 3; fd < 256; fd++) {
        if (fd == data_fd || fstat(fd, &other) != 0) continue;
        if (other.st_dev != data.st_dev || other.st_ino != data.st_ino) continue;
        assert_int_equal(dup2(full, fd), fd);
        found++;
    }
    assert_int_equal(found, 1);
    close(full);
}

static void test_a_broken_environment_is_reopened(void **state)
{
    fixture *f = *state;
    open_writer(f);
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    put(f, 0, 0, 0);
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    /* The meta page cannot be written: LMDB refuses whatever follows until it is opened again. */
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    assert_int_equal(put(f, 0, 1, 0), 0);
    fill_meta_disk(f->store);
    assert_int_equal(fs_store_commit(f->store), FS_ENOSPC);
    fs_store_abort(f->store);
    MDB_txn *txn;
    assert_int_equal(mdb_txn_begin(f->store->env, NULL, 0, &txn), MDB_PANIC);
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    assert_int_equal(put(f, 0, 0, 0), 1);
    assert_int_equal(put(f, 0, 1, 0), 0);
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    assert_verifies(f->store, 2);
}

/* Processes. */

static void child_writes_and_waits(fixture *f, int ready)
{
    fs_store *store;
    if (fs_store_open(&store, f->dir, FS_STORE_CREATE, &f->plan->plan, fixture_text) != FS_OK)
        _exit(1);
    if (write(ready, "r", 1) != 1) _exit(2);
    pause();
    _exit(3);
}

static void test_one_writer_at_a_time(void **state)
{
    fixture *f = *state;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) child_writes_and_waits(f, ready[1]);
    char c;
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_int_equal(fs_store_open(&f->store, f->dir, FS_STORE_CREATE, &f->plan->plan, "x"),
                     FS_EBUSY);
    char number[32];
    snprintf(number, sizeof number, " %ld ", (long)pid);
    assert_non_null(strstr(fs_status_detail(), number));
    assert_int_equal(fs_store_open(&f->store, f->dir, FS_STORE_READ, NULL, NULL), FS_OK);
    fs_store *second;
    assert_int_equal(fs_store_open(&second, f->dir, FS_STORE_READ, NULL, NULL), FS_EBUSY);
    fs_store_close(&f->store);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    open_writer(f); /* the lock is gone with its process */
    close(ready[0]);
    close(ready[1]);
}

/* Reads the store again and again: each time it must hold together, and never have fewer trials. */
static void child_reads(const char *dir)
{
    uint64_t before = 0;
    for (int i = 0; i < 2000; i++) {
        fs_store *store;
        if (fs_store_open(&store, dir, FS_STORE_READ, NULL, NULL) != FS_OK) _exit(1);
        fs_buf problems = {0};
        uint64_t errors, trials;
        int equal;
        if (fs_store_verify(store, &problems, &errors, &equal, &trials) != FS_OK) {
            fprintf(stderr, "%s %s\n", fs_status_detail(), fs_buf_text(&problems));
            _exit(2);
        }
        if (trials < before) _exit(3);
        before = trials;
        fs_store_close(&store);
        if (trials == TRIALS * CELLS) _exit(0);
    }
    _exit(4);
}

static void test_readers_beside_the_writer(void **state)
{
    fixture *f = *state;
    open_writer(f);
    pid_t pids[2];
    /* The writer's environment is open here; children only use their own. */
    for (int i = 0; i < 2; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            execl("/proc/self/exe", "reader", f->dir, (char *)NULL);
            _exit(9);
        }
    }
    for (uint64_t t = 0; t < TRIALS; t += 5) {
        assert_int_equal(fs_store_begin(f->store), FS_OK);
        for (uint32_t cell = 0; cell < CELLS; cell++)
            for (uint64_t i = 0; i < 5; i++) put(f, cell, t + i, 0);
        assert_int_equal(fs_store_commit(f->store), FS_OK);
    }
    for (int i = 0; i < 2; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

int main(int argc, char **argv)
{
    if (argc == 2) child_reads(argv[1]);
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_results_survive_reopening),
        TEST(test_duplicates_and_mismatches_never_count_twice),
        TEST(test_what_a_worker_made_up_is_refused),
        TEST(test_ranges_equal_a_set_under_random_orders),
        TEST(test_quarantine_and_result_in_either_order),
        TEST(test_events_attempts_and_quarantines_come_back),
        TEST(test_golden_runs_must_agree),
        TEST(test_trials_come_in_order_of_cell_and_index),
        TEST(test_another_campaign_is_refused),
        TEST(test_an_empty_store_takes_another_campaign),
        TEST(test_folders_without_a_store),
        TEST(test_network_file_systems_are_known),
        TEST(test_a_full_map_grows),
        TEST(test_a_broken_environment_is_reopened),
        TEST(test_one_writer_at_a_time),
        TEST(test_readers_beside_the_writer),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
