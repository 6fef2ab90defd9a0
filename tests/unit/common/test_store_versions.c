/* Stores of older versions: what they lack comes from the next worker, or from their trials. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plan_fixture.h"
#include "store.h"
#include "store_impl.h"

enum { TRIALS = 20, CELLS = 4 };

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
    assert_int_equal(
        fs_store_open(&f->store, f->dir, FS_STORE_CREATE, &f->plan->plan, fixture_text), FS_OK);
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

static void assert_verifies(fs_store *store, uint64_t trials_expected)
{
    fs_buf problems = {0};
    uint64_t errors, trials;
    int equal;
    assert_int_equal(fs_store_verify(store, &problems, &errors, &equal, &trials), FS_OK);
    assert_int_equal(errors, 0);
    assert_true(equal);
    assert_int_equal(trials, trials_expected);
    fs_buf_free(&problems);
}

/* A golden run as stores kept it before its facts were: what follows the host is absent. */
static void test_an_older_golden_run_gets_its_facts(void **state)
{
    fixture *f = *state;
    const fs_store_golden old = {
        .metric = 0.5, .loss = 1, .answers = 40, .checksum = 3, .kernel = "avx2", .host = "a"};
    fs_store_golden found, now = old, other;
    fs_buf bytes = {0};
    assert_int_equal(fs_store__golden_encode(&old, &bytes), FS_OK);
    assert_int_equal(bytes.size, 5 * 8 + 8 + strlen("avx2") + 8 + strlen("a"));
    now.has_facts = 1;
    now.token_rows_read = 7;
    now.positions_read = 5;
    now.bounds_checksum = 0x1234;
    snprintf(now.host, sizeof now.host, "b");
    other = now;
    other.positions_read = 6;
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    assert_int_equal(fs_store_put_golden(f->store, 0, &old), FS_OK);
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    assert_int_equal(fs_store_get_golden(f->store, 0, &found), FS_OK);
    assert_false(found.has_facts);
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    assert_int_equal(fs_store_put_golden(f->store, 0, &now), FS_OK);
    assert_int_equal(fs_store_put_golden(f->store, 0, &old), FS_OK); /* takes nothing away */
    assert_int_equal(fs_store_put_golden(f->store, 0, &other), FS_EMISMATCH);
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    assert_int_equal(fs_store_get_golden(f->store, 0, &found), FS_OK);
    assert_true(found.has_facts);
    assert_int_equal(found.token_rows_read, 7);
    assert_int_equal(found.positions_read, 5);
    assert_int_equal(found.bounds_checksum, 0x1234);
    assert_string_equal(found.host, "a"); /* the first one stays */
    fs_buf_clear(&bytes);
    assert_int_equal(fs_store__golden_encode(&now, &bytes), FS_OK);
    bytes.data[bytes.size - 4 * 8]++; /* a version to come */
    assert_int_equal(fs_store__golden_decode(&found, bytes.data, bytes.size), FS_ECORRUPT);
    assert_int_equal(fs_store__golden_decode(&found, bytes.data, bytes.size - 8), FS_ECORRUPT);
    fs_buf_free(&bytes);
}

/* Writes the totals of a cell as older stores did: without the faults in redundant bits. */
static void make_totals_old(fixture *f, uint32_t cell)
{
    fs_totals totals;
    fs_buf bytes = {0};
    fs_store_key key = fs_store__key_u32(cell);
    assert_int_equal(fs_store_totals(f->store, cell, &totals), FS_OK);
    assert_int_equal(fs_store__totals_encode(&totals, &bytes), FS_OK);
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    assert_int_equal(
        fs_store__put(f->store, f->store->txn, FS_DB_TOTALS, &key, bytes.data, bytes.size - 8),
        FS_OK);
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    fs_buf_free(&bytes);
}

static void put_checks(fixture *f, uint32_t cell, uint64_t trial, uint64_t check_faults)
{
    fs_trial_record record = fixture_record(cell, trial, 0);
    int verdict;
    record.check_faults = check_faults;
    fs_buf_clear(&f->record);
    assert_int_equal(fs_trial_encode(&record, &f->record), FS_OK);
    assert_int_equal(
        fs_store_put_trial(f->store, cell, trial, f->record.data, f->record.size, &verdict), FS_OK);
}

static void test_totals_of_an_older_store_are_completed(void **state)
{
    fixture *f = *state;
    fs_totals totals;
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    for (uint64_t i = 0; i < 10; i++) put_checks(f, 1, i, i);
    put_checks(f, 2, 0, 1000); /* a neighbour's do not count */
    put_checks(f, 0, 0, 1000);
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    assert_int_equal(fs_store_totals(f->store, 1, &totals), FS_OK);
    assert_int_equal(totals.check_faults, 45);
    make_totals_old(f, 1);
    assert_int_equal(fs_store_totals(f->store, 1, &totals), FS_OK);
    assert_int_equal(totals.check_faults, 45);
    assert_int_equal(totals.trials, 10);
    assert_verifies(f->store, 12);
    assert_int_equal(fs_store_begin(f->store), FS_OK);
    put_checks(f, 1, 10, 5); /* and it goes on from there */
    assert_int_equal(fs_store_commit(f->store), FS_OK);
    assert_int_equal(fs_store_totals(f->store, 1, &totals), FS_OK);
    assert_int_equal(totals.check_faults, 50);
    assert_verifies(f->store, 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_older_golden_run_gets_its_facts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_totals_of_an_older_store_are_completed, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
