/** The scheduler step by step: looks, sizes, leases, copies, poison. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coord_scheduler.h"
#include "coord_shard.h"

typedef struct fixture {
    uint64_t trials[4];
    uint32_t cells;
    int rule;
} fixture;

static uint64_t trials_of(void *data, uint32_t cell)
{
    return ((const fixture *)data)->trials[cell];
}

static uint64_t next_look(void *data, uint32_t cell, uint64_t done)
{
    const fixture *f = data;
    uint64_t look = f->rule ? 10 : f->trials[cell];
    while (look <= done) look *= 2;
    return look < f->trials[cell] ? look : f->trials[cell];
}

/** Stops where not one trial was critical. */
static int stops(void *data, uint32_t cell, uint64_t n, uint64_t critical)
{
    (void)cell;
    (void)n;
    return ((const fixture *)data)->rule && critical == 0;
}

static coord_scheduler *make(fixture *f)
{
    coord_cells cells = {f->cells, trials_of, next_look, stops, f};
    coord_scheduler *s = NULL;
    assert_int_equal(coord_scheduler_new(&s, &cells, 1000), FS_OK);
    return s;
}

static fs_lease grant(coord_scheduler *s, uint32_t worker, uint32_t threads, uint64_t now)
{
    fs_lease lease = {0};
    int granted = 0;
    assert_int_equal(coord_scheduler_grant(s, worker, threads, now, &lease, &granted), FS_OK);
    if (!granted) lease.count = 0;
    coord_scheduler_check(s);
    return lease;
}

static void receive(coord_scheduler *s, uint32_t worker, const fs_lease *lease, uint64_t count,
                    int last, uint64_t cost_us, uint64_t now)
{
    fs_range range = {lease->first, count};
    assert_int_equal(coord_scheduler_received(s, worker, lease->id, lease->cell, &range, count > 0,
                                              last, cost_us, now),
                     FS_OK);
    coord_scheduler_check(s);
}

static void commit(coord_scheduler *s, const fs_lease *lease, uint64_t count, uint64_t critical)
{
    fs_range range = {lease->first, count};
    assert_int_equal(coord_scheduler_committed(s, lease->cell, &range, 1, critical), FS_OK);
    coord_scheduler_check(s);
}

/** Runs a lease to its end. */
static void complete(coord_scheduler *s, uint32_t worker, const fs_lease *lease, uint64_t critical)
{
    receive(s, worker, lease, lease->count, 1, 0, 0);
    commit(s, lease, lease->count, critical);
}

static void test_a_look_waits_for_its_whole_prefix(void **state)
{
    (void)state;
    fixture f = {{40}, 1, 1};
    coord_scheduler *s = make(&f);
    fs_lease a = grant(s, 0, 1, 0), b = grant(s, 0, 1, 0);
    assert_int_equal(a.count + b.count, 8); /* blind: four trials a thread each */
    complete(s, 0, &b, 1);
    fs_lease c = grant(s, 0, 1, 0);
    assert_int_equal(c.first, 8);
    assert_int_equal(c.count, 2);
    complete(s, 0, &c, 0);
    assert_int_equal(coord_scheduler_look(s, 0), 10);
    assert_int_equal(grant(s, 0, 1, 0).count, 0); /* the rest is leased: no look into the future */
    complete(s, 0, &a, 0);
    assert_int_equal(coord_scheduler_look(s, 0), 20); /* one was critical: on to the next look */
    assert_int_equal(coord_scheduler_remaining(s), 30);
    coord_scheduler_destroy(&s);
}

static void test_a_rule_stops_and_resumes_alike(void **state)
{
    (void)state;
    fixture f = {{40, 40}, 2, 1};
    coord_scheduler *s = make(&f);
    /* Cell 0: the first ten without a critical one: it was stopped. Cell 1: a trial beyond the
     * first look proves that it went on. */
    assert_int_equal(coord_scheduler_load(s, 0, &(fs_range){0, 10}, 1, 0), FS_OK);
    fs_range done[] = {{0, 10}, {12, 1}};
    assert_int_equal(coord_scheduler_load(s, 1, done, 2, 3), FS_OK);
    assert_int_equal(coord_scheduler_look(s, 0), 10);
    assert_int_equal(coord_scheduler_look(s, 1), 20);
    assert_int_equal(coord_scheduler_done(s), 21);
    assert_int_equal(coord_scheduler_remaining(s), 29);
    fs_lease a = grant(s, 0, 1, 0);
    assert_int_equal(a.cell, 1);
    assert_int_equal(a.first, 10);
    assert_int_equal(a.count, 2);
    assert_int_equal(coord_scheduler_load(s, 0, &(fs_range){39, 2}, 1, 0), FS_ECORRUPT);
    coord_scheduler_destroy(&s);
}

static void test_sizes_follow_the_cost(void **state)
{
    (void)state;
    fixture f = {{1000000}, 1, 0};
    coord_scheduler *s = make(&f);
    coord_scheduler_capacity(s, 2);
    fs_lease a = grant(s, 0, 2, 0);
    assert_int_equal(a.count, 8);
    receive(s, 0, &a, a.count, 1, 8 * 1000, 10); /* a millisecond each */
    fs_lease b = grant(s, 0, 2, 1000);
    assert_int_equal(b.count, 4000); /* two seconds of two threads */
    coord_scheduler_destroy(&s);
}

static void test_the_end_is_shared_out(void **state)
{
    (void)state;
    coord_shard in = {
        .cell_us = 1000, .mean_us = 1000, .left_us = 16e6, .threads = 2, .threads_total = 8};
    /* 16 s of work over 8 threads is 2 s each; a lease near the end is a quarter of that. */
    assert_int_equal(coord_shard_trials(&in), 1000);
    assert_int_equal(coord_shard_ms(&in, 1000), 500);
    in.left_us = 1;
    assert_int_equal(coord_shard_trials(&in), 100); /* not below 50 ms */
    in.cell_us = 1e9;
    assert_int_equal(coord_shard_trials(&in), 2); /* a trial for each thread */
    in.cell_us = 0.001;
    in.left_us = 1e12;
    assert_int_equal(coord_shard_trials(&in), FS_SHARD_TRIALS_MAX);
}

static void test_two_leases_a_worker(void **state)
{
    (void)state;
    fixture f = {{100}, 1, 0};
    coord_scheduler *s = make(&f);
    for (int i = 0; i < FS_LEASES_PER_WORKER_MAX; i++)
        assert_int_not_equal(grant(s, 7, 1, 0).count, 0);
    assert_int_equal(grant(s, 7, 1, 0).count, 0);
    fs_lease held[FS_LEASES_PER_WORKER_MAX];
    assert_int_equal(coord_scheduler_held(s, 7, held), FS_LEASES_PER_WORKER_MAX);
    coord_scheduler_destroy(&s);
}

static void test_an_expired_lease_comes_back(void **state)
{
    (void)state;
    fixture f = {{8}, 1, 0};
    coord_scheduler *s = make(&f);
    fs_lease a = grant(s, 0, 1, 0), b = grant(s, 0, 1, 0);
    assert_int_equal(coord_scheduler_heartbeat(s, 0, &b.id, 1, FS_LEASE_MS - 1), FS_OK);
    assert_int_equal(coord_scheduler_tick(s, FS_LEASE_MS), FS_OK);
    /* Only the first expired; another worker takes half of it before the holder speaks again. */
    fs_lease c = grant(s, 1, 1, FS_LEASE_MS);
    assert_int_equal(c.first, a.first);
    assert_int_equal(c.count, a.count);
    assert_int_not_equal(c.id, a.id);
    receive(s, 0, &a, 2, 0, 0, FS_LEASE_MS); /* late results of the first holder count */
    commit(s, &a, 2, 0);
    assert_int_equal(coord_scheduler_done(s), 2);
    receive(s, 1, &c, 4, 1, 0, FS_LEASE_MS);
    commit(s, &c, 4, 0);
    assert_int_equal(coord_scheduler_done(s), 4); /* each once */
    complete(s, 0, &b, 0);
    assert_true(coord_scheduler_complete(s));
    coord_scheduler_destroy(&s);
}

static void test_a_copy_of_a_straggler(void **state)
{
    (void)state;
    fixture f = {{4}, 1, 0};
    coord_scheduler *s = make(&f);
    fs_lease a = grant(s, 0, 1, 0);
    assert_int_equal(grant(s, 1, 1, COORD_STRAGGLER_MS - 1).count, 0);
    fs_lease b = grant(s, 1, 1, COORD_STRAGGLER_MS);
    assert_int_equal(b.first, a.first);
    assert_int_equal(b.count, a.count);
    assert_int_equal(grant(s, 2, 1, 10 * COORD_STRAGGLER_MS).count, 0); /* two copies, no more */
    assert_int_equal(coord_scheduler_left(s, 1, COORD_PLANNED), FS_OK);
    fs_lease c = grant(s, 2, 1, 10 * COORD_STRAGGLER_MS);
    assert_int_equal(c.count, a.count);
    complete(s, 2, &c, 0);
    assert_true(coord_scheduler_complete(s));
    receive(s, 0, &a, a.count, 1, 0, 0);
    commit(s, &a, a.count, 0);
    assert_int_equal(coord_scheduler_done(s), 4);
    coord_scheduler_destroy(&s);
}

/** Kills a worker with every lease that holds `poison`; runs the others. @return deaths. */
static unsigned run_with_poison(coord_scheduler *s, uint64_t poison)
{
    unsigned deaths = 0;
    while (!coord_scheduler_complete(s)) {
        coord_quarantine q;
        if (coord_scheduler_quarantined(s, &q)) {
            assert_int_equal(q.trial, poison);
            assert_int_equal(q.deaths, FS_LEASE_DEATHS_MAX);
            continue;
        }
        fs_lease lease = grant(s, 0, 4, 0);
        assert_int_not_equal(lease.count, 0);
        coord_scheduler_warm(s, lease.id);
        if (poison >= lease.first && poison < lease.first + lease.count) {
            deaths++;
            assert_int_equal(coord_scheduler_left(s, 0, COORD_DIED), FS_OK);
            coord_scheduler_check(s);
        } else {
            complete(s, 0, &lease, 0);
        }
    }
    return deaths;
}

static void test_poison_is_bisected_and_quarantined(void **state)
{
    (void)state;
    for (uint64_t poison = 0; poison < 64; poison += 7) {
        fixture f = {{64}, 1, 0};
        coord_scheduler *s = make(&f);
        /* The 16 trials of a blind lease need four halvings, then three deaths of the one. */
        unsigned deaths = run_with_poison(s, poison);
        assert_in_range(deaths, FS_LEASE_DEATHS_MAX, 4 + FS_LEASE_DEATHS_MAX);
        assert_int_equal(coord_scheduler_done(s), 64);
        coord_scheduler_destroy(&s);
    }
}

/** Workers fall silent over and over: nothing is quarantined, and what they are granted gets
 * smaller, so that all but the trial that is to blame gets done. */
static void test_silence_bisects_and_never_condemns(void **state)
{
    (void)state;
    fixture f = {{16}, 1, 0};
    coord_scheduler *s = make(&f);
    coord_quarantine q;
    const uint64_t poison = 5;
    unsigned losses = 0;
    while (coord_scheduler_done(s) < 15) {
        fs_lease lease = grant(s, 0, 4, 0);
        assert_int_not_equal(lease.count, 0);
        coord_scheduler_warm(s, lease.id);
        if (poison < lease.first || poison >= lease.first + lease.count) {
            complete(s, 0, &lease, 0);
            continue;
        }
        assert_in_range(++losses, 1, 4 * COORD_LOSSES_MAX); /* 16 trials: four halvings */
        assert_int_equal(coord_scheduler_left(s, 0, COORD_LOST), FS_OK);
        coord_scheduler_check(s);
    }
    assert_int_equal(losses, 4 * COORD_LOSSES_MAX);
    assert_int_equal(coord_scheduler_retries(s), losses);
    for (unsigned i = 0; i < 10; i++) {
        coord_scheduler_warm(s, grant(s, 0, 4, 0).id);
        assert_int_equal(coord_scheduler_left(s, 0, COORD_LOST), FS_OK);
    }
    assert_false(coord_scheduler_quarantined(s, &q));
    /* Only deaths that were seen count, and all of them, whatever silence lies in between. */
    for (unsigned i = 0; i < FS_LEASE_DEATHS_MAX; i++) {
        coord_scheduler_warm(s, grant(s, 0, 4, 0).id);
        assert_int_equal(coord_scheduler_left(s, 0, COORD_LOST), FS_OK);
        assert_false(coord_scheduler_quarantined(s, &q));
        coord_scheduler_warm(s, grant(s, 0, 4, 0).id);
        assert_int_equal(coord_scheduler_left(s, 0, COORD_DIED), FS_OK);
    }
    assert_true(coord_scheduler_quarantined(s, &q));
    assert_int_equal(q.trial, poison);
    assert_int_equal(q.deaths, FS_LEASE_DEATHS_MAX);
    assert_true(coord_scheduler_complete(s));
    coord_scheduler_destroy(&s);
}

/** A worker that was given up comes back with its lease: nobody else runs it. */
static void test_suspect_trials_come_back_to_their_worker(void **state)
{
    (void)state;
    fixture f = {{4}, 1, 0};
    coord_scheduler *s = make(&f);
    fs_lease a = grant(s, 0, 1, 0);
    coord_scheduler_warm(s, a.id);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(coord_scheduler_left(s, 0, COORD_LOST), FS_OK);
        assert_true(coord_scheduler_waiting(s));
        assert_int_equal(coord_scheduler_adopt(s, 0, &a, 0), FS_OK);
        coord_scheduler_check(s);
        coord_scheduler_warm(s, a.id);
        assert_false(coord_scheduler_waiting(s));
        assert_int_equal(grant(s, 1, 1, 0).count, 0);
    }
    /* The same if only its lease expired. */
    assert_int_equal(coord_scheduler_tick(s, FS_LEASE_MS), FS_OK);
    assert_true(coord_scheduler_waiting(s));
    assert_int_equal(coord_scheduler_heartbeat(s, 0, &a.id, 1, FS_LEASE_MS), FS_OK);
    assert_int_equal(grant(s, 1, 1, FS_LEASE_MS).count, 0);
    complete(s, 0, &a, 0);
    assert_true(coord_scheduler_complete(s));
    coord_scheduler_destroy(&s);
}

/** At a look of ten with one trial quarantined the rule decides on nine. */
static uint64_t asked_n;

static int stops_and_notes(void *data, uint32_t cell, uint64_t n, uint64_t critical)
{
    asked_n = n;
    return stops(data, cell, n, critical);
}

static void test_the_rule_does_not_see_quarantined_trials(void **state)
{
    (void)state;
    fixture f = {{40}, 1, 1};
    coord_cells cells = {1, trials_of, next_look, stops_and_notes, &f};
    coord_scheduler *s = NULL;
    assert_int_equal(coord_scheduler_new(&s, &cells, 1000), FS_OK);
    fs_range rest[] = {{0, 3}, {4, 6}}, late = {3, 1};
    coord_quarantine q;
    fs_lease lease = grant(s, 0, 1, 0);
    assert_int_equal(lease.first, 0);
    assert_int_equal(coord_scheduler_trial_failed(s, lease.id, 0, 3), FS_OK);
    assert_int_equal(coord_scheduler_received(s, 0, lease.id, 0, rest, 2, 1, 0, 0), FS_OK);
    assert_int_equal(coord_scheduler_committed(s, 0, rest, 2, 1), FS_OK);
    for (unsigned i = 1; i < FS_LEASE_DEATHS_MAX; i++) {
        lease = grant(s, i, 1, 0);
        assert_int_equal(lease.first, 3);
        assert_int_equal(coord_scheduler_trial_failed(s, lease.id, 0, 3), FS_OK);
        receive(s, i, &lease, 0, 1, 0, 0);
    }
    assert_true(coord_scheduler_quarantined(s, &q));
    assert_int_equal(asked_n, 9);
    assert_int_equal(coord_scheduler_look(s, 0), 20);
    /* A late result makes it a trial like others. */
    assert_int_equal(coord_scheduler_committed(s, 0, &late, 1, 0), FS_OK);
    fs_range next = {10, 10};
    assert_int_equal(coord_scheduler_received(s, 0, 1, 0, &next, 1, 0, 0, 0), FS_OK);
    assert_int_equal(coord_scheduler_committed(s, 0, &next, 1, 0), FS_OK);
    assert_int_equal(asked_n, 20);
    coord_scheduler_destroy(&s);
    /* The same after a restart. */
    assert_int_equal(coord_scheduler_new(&s, &cells, 1000), FS_OK);
    assert_int_equal(coord_scheduler_load_quarantined(s, 0, 3), FS_OK);
    assert_int_equal(coord_scheduler_load_quarantined(s, 0, 40), FS_ECORRUPT);
    assert_int_equal(coord_scheduler_load(s, 0, &(fs_range){0, 10}, 1, 1), FS_OK);
    assert_int_equal(asked_n, 9);
    coord_scheduler_destroy(&s);
}

static void test_planned_and_cold_deaths_do_not_count(void **state)
{
    (void)state;
    fixture f = {{1}, 1, 0};
    coord_scheduler *s = make(&f);
    coord_quarantine q;
    for (int i = 0; i < 10; i++) {
        fs_lease lease = grant(s, 0, 1, 0);
        assert_int_equal(lease.count, 1);
        coord_scheduler_warm(s, lease.id);
        assert_int_equal(coord_scheduler_left(s, 0, COORD_PLANNED), FS_OK);
    }
    for (int i = 0; i < COORD_COLD_DEATHS_MAX; i++) {
        assert_int_equal(grant(s, 0, 1, 0).count, 1);
        assert_int_equal(coord_scheduler_left(s, 0, COORD_DIED), FS_OK);
    }
    assert_false(coord_scheduler_quarantined(s, &q));
    for (int i = 0; i < FS_LEASE_DEATHS_MAX; i++) {
        assert_int_equal(grant(s, 0, 1, 0).count, 1);
        assert_int_equal(coord_scheduler_left(s, 0, COORD_DIED), FS_OK);
    }
    assert_true(coord_scheduler_quarantined(s, &q));
    assert_true(coord_scheduler_complete(s));
    coord_scheduler_destroy(&s);
}

static void test_a_failing_trial_is_tried_elsewhere(void **state)
{
    (void)state;
    fixture f = {{4}, 1, 0};
    coord_scheduler *s = make(&f);
    fs_lease a = grant(s, 0, 1, 0);
    assert_int_equal(coord_scheduler_trial_failed(s, a.id, 0, 2), FS_OK);
    assert_int_equal(coord_scheduler_trial_failed(s, a.id, 0, 4), FS_EPROTO);
    receive(s, 0, &a, 2, 0, 0, 0);
    fs_range last = {3, 1};
    assert_int_equal(coord_scheduler_received(s, 0, a.id, 0, &last, 1, 1, 0, 0), FS_OK);
    coord_scheduler_check(s);
    for (unsigned i = 1; i < FS_LEASE_DEATHS_MAX; i++) {
        fs_lease b = grant(s, i, 1, 0);
        assert_int_equal(b.first, 2);
        assert_int_equal(b.count, 1);
        assert_int_equal(coord_scheduler_trial_failed(s, b.id, 0, 2), FS_OK);
        receive(s, i, &b, 0, 1, 0, 0);
    }
    coord_quarantine q;
    assert_true(coord_scheduler_quarantined(s, &q));
    assert_int_equal(q.trial, 2);
    coord_scheduler_destroy(&s);
}

static void test_a_part_is_given_back(void **state)
{
    (void)state;
    fixture f = {{4}, 1, 0};
    coord_scheduler *s = make(&f);
    fs_lease a = grant(s, 0, 1, 0);
    fs_lease tail = {a.id, 0, 2, 2}, wrong = {a.id, 0, 3, 2};
    assert_int_equal(coord_scheduler_returned(s, 0, &wrong), FS_EPROTO);
    assert_int_equal(coord_scheduler_returned(s, 0, &tail), FS_OK);
    coord_scheduler_check(s);
    fs_lease b = grant(s, 1, 1, 0);
    assert_int_equal(b.first, 2);
    complete(s, 1, &b, 0);
    receive(s, 0, &a, 2, 1, 0, 0);
    commit(s, &a, 2, 0);
    assert_true(coord_scheduler_complete(s));
    coord_scheduler_destroy(&s);
}

static void test_leases_are_adopted_after_a_restart(void **state)
{
    (void)state;
    fixture f = {{100}, 1, 0};
    coord_scheduler *s = make(&f);
    assert_int_equal(coord_scheduler_load(s, 0, &(fs_range){0, 15}, 1, 0), FS_OK);
    fs_lease held = {77, 0, 10, 10};
    assert_int_equal(coord_scheduler_adopt(s, 3, &held, 0), FS_OK);
    coord_scheduler_check(s);
    fs_lease other = grant(s, 0, 1, 0);
    assert_int_equal(other.first, 20); /* 15..19 are the adopted lease's */
    assert_int_equal(coord_scheduler_adopt(s, 4, &held, 0), FS_EPROTO);
    fs_lease alien = {78, 9, 0, 1};
    assert_int_equal(coord_scheduler_adopt(s, 4, &alien, 0), FS_EPROTO);
    assert_int_equal(coord_scheduler_keep(s, 3, NULL, 0), FS_OK); /* it says it has none */
    assert_int_equal(grant(s, 4, 1, 0).first, 15);
    coord_scheduler_destroy(&s);
}

static void test_results_never_granted_are_refused(void **state)
{
    (void)state;
    fixture f = {{40}, 1, 1};
    coord_scheduler *s = make(&f);
    fs_range beyond = {10, 1}, fine = {9, 1};
    assert_int_equal(coord_scheduler_received(s, 0, 5, 0, &beyond, 1, 0, 0, 0), FS_EPROTO);
    assert_int_equal(coord_scheduler_received(s, 0, 5, 1, &fine, 1, 0, 0, 0), FS_EPROTO);
    assert_int_equal(coord_scheduler_received(s, 0, 5, 0, &fine, 1, 0, 0, 0), FS_OK);
    coord_scheduler_check(s);
    coord_scheduler_destroy(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_look_waits_for_its_whole_prefix),
        cmocka_unit_test(test_a_rule_stops_and_resumes_alike),
        cmocka_unit_test(test_sizes_follow_the_cost),
        cmocka_unit_test(test_the_end_is_shared_out),
        cmocka_unit_test(test_two_leases_a_worker),
        cmocka_unit_test(test_an_expired_lease_comes_back),
        cmocka_unit_test(test_a_copy_of_a_straggler),
        cmocka_unit_test(test_poison_is_bisected_and_quarantined),
        cmocka_unit_test(test_silence_bisects_and_never_condemns),
        cmocka_unit_test(test_suspect_trials_come_back_to_their_worker),
        cmocka_unit_test(test_the_rule_does_not_see_quarantined_trials),
        cmocka_unit_test(test_planned_and_cold_deaths_do_not_count),
        cmocka_unit_test(test_a_failing_trial_is_tried_elsewhere),
        cmocka_unit_test(test_a_part_is_given_back),
        cmocka_unit_test(test_leases_are_adopted_after_a_restart),
        cmocka_unit_test(test_results_never_granted_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
