/* The session against a coordinator and a pool that this test plays, message by message. */
#include "session_world.h"

/* ---- greeting ---- */

static void it_greets_and_gets_ready(void **state)
{
    world w;
    set_up(&w, 0);
    assert_state(&w, "connecting");
    const fs_msg_hello *hello = &only(&w, FS_MSG_HELLO)->m.u.hello;
    assert_true(hello->pid == 7 && hello->threads == 2 && hello->boot_ms == 99);
    assert_true(hello->lease_count == 0 && !hello->draining);
    hear_welcome(&w, 1);
    assert_state(&w, "preparing");
    assert_int_equal(w.prepares, 1);
    hear_welcome(&w, 1); /* again: nothing changes */
    assert_int_equal(w.prepares, 1);
    assert_int_equal(w.said_count, 0);
    prepared(&w);
    assert_state(&w, "ready");
    const fs_msg_ready *ready = &only(&w, FS_MSG_READY)->m.u.ready;
    assert_int_equal(ready->fingerprint.bytes[31], 1);
    tear_down(&w);
}

static void heartbeats_go_on_in_every_state(void **state)
{
    world w;
    set_up(&w, 0);
    w.said_count = 0;
    for (int phase = 0; phase < 3; phase++) {
        for (int i = 0; i < 5; i++) {
            tick(&w, 999);
            assert_int_equal(w.said_count, 0);
            tick(&w, 1);
            only(&w, FS_MSG_HEARTBEAT);
        }
        /* While nobody is connected one is enough. */
        w.queued = 1;
        tick(&w, 1000);
        assert_int_equal(w.said_count, 0);
        w.queued = 0;
        if (phase == 0) hear_welcome(&w, 1);
        if (phase == 1) prepared(&w);
        w.said_count = 0;
    }
    tear_down(&w);
}

static void failing_to_prepare_is_fatal(void **state)
{
    world w;
    set_up(&w, 0);
    hear_welcome(&w, 1);
    w.said_count = 0;
    wk_session_prepared(w.session, FS_EREFUSED, "model.hash: a, was b", 0, w.now);
    const fs_msg_failed *failed = &only(&w, FS_MSG_FAILED)->m.u.failed;
    assert_true(failed->fatal && failed->status == FS_EREFUSED);
    assert_true(w.left);
    assert_status(w.left_status, FS_EREFUSED);
    assert_string_equal(w.left_why, "model.hash: a, was b");
    assert_state(&w, "gone");
    /* Nothing moves it any more. */
    hear_who(&w);
    hear_welcome(&w, 1);
    hear_grant(&w, 1, 0, 0, 1);
    tick(&w, 100000);
    wk_session_drain(w.session, WK_DRAIN_NOW, w.now);
    assert_int_equal(w.said_count, 0);
    tear_down(&w);
}

static void a_rejection_is_final(void **state)
{
    world w;
    make_ready(&w, 0);
    fs_message m = {.type = FS_MSG_REJECT};
    m.u.reject.why = fs_text_of("version 9 wanted");
    hear(&w, &m);
    assert_int_equal(w.said_count, 0);
    assert_status(w.left_status, FS_EREFUSED);
    assert_string_equal(w.left_why, "version 9 wanted");
    tear_down(&w);
}

static void one_hello_answers_a_storm_of_who(void **state)
{
    world w;
    make_ready(&w, 0);
    w.now += 5000;
    for (int i = 0; i < 50; i++) hear_who(&w);
    assert_state(&w, "greeting");
    only(&w, FS_MSG_HELLO);
    w.now += WK_HELLO_MS; /* it was lost */
    hear_who(&w);
    const fs_msg_hello *hello = &only(&w, FS_MSG_HELLO)->m.u.hello;
    assert_int_equal(hello->fingerprint.bytes[0], 1);
    hear_welcome(&w, 1);
    assert_state(&w, "ready");
    only(&w, FS_MSG_READY);
    assert_int_equal(w.prepares, 1);
    tear_down(&w);
}

/* ---- leases and results ---- */

static void grants_are_taken_when_ready(void **state)
{
    world w;
    set_up(&w, 0);
    w.said_count = 0;
    hear_grant(&w, 1, 0, 0, 5); /* before READY: void */
    hear_welcome(&w, 1);
    hear_grant(&w, 1, 0, 0, 5);
    prepared(&w);
    w.said_count = 0;
    assert_int_equal(w.adds, 0);
    hear_grant(&w, 1, 9, 3, 5);
    assert_int_equal(w.adds, 1);
    assert_true(w.added.id == 1 && w.added.cell == 9 && w.added.first == 3 && w.added.count == 5);
    hear_grant(&w, 1, 9, 3, 5);
    assert_int_equal(w.adds, 1);
    assert_int_equal(w.said_count, 0);
    hear_grant(&w, 2, 10, 0, 5); /* the plan has 10 cells */
    assert_int_equal(only(&w, FS_MSG_RETURN)->m.u.returned.lease.count, 5);
    hear_grant(&w, 3, 0, 0, 5);
    assert_int_equal(w.adds, 2);
    hear_grant(&w, 4, 0, 5, 6); /* one more than a worker may hold */
    assert_int_equal(only(&w, FS_MSG_RETURN)->m.u.returned.lease.count, 6);
    assert_int_equal(w.adds, 2);
    tick(&w, 1000);
    const fs_msg_heartbeat *beat = &only(&w, FS_MSG_HEARTBEAT)->m.u.heartbeat;
    assert_true(beat->lease_count == 2 && beat->leases[0] == 1 && beat->leases[1] == 3);
    assert_int_equal(beat->busy, 2);
    tear_down(&w);
}

static void results_are_batched(void **state)
{
    world w;
    make_ready(&w, 0);
    hear_grant(&w, 1, 0, 0, 5000);
    finish(&w, 1, 0, 2);
    finish(&w, 1, 0, 0);
    finish(&w, 1, 0, 1);
    tick(&w, WK_BATCH_MS - 1);
    assert_int_equal(w.said_count, 0);
    assert_int_equal(wk_session_unacknowledged(w.session), 3);
    tick(&w, 1);
    const said *s = only(&w, FS_MSG_RESULTS);
    const fs_msg_results *r = &s->m.u.results;
    assert_true(r->lease == 1 && r->sequence == 0 && r->cell == 0 && !r->last && r->count == 3);
    assert_int_equal(r->cost_us, 30);
    assert_true(s->trials[0] == 0 && s->trials[1] == 1 && s->trials[2] == 2);
    finish_run(&w, 1, 0, 3, FS_RESULTS_PER_MESSAGE_MAX - 1);
    assert_int_equal(w.said_count, 0);
    finish(&w, 1, 0, 3 + FS_RESULTS_PER_MESSAGE_MAX - 1);
    r = &only(&w, FS_MSG_RESULTS)->m.u.results;
    assert_true(r->sequence == 1 && r->count == FS_RESULTS_PER_MESSAGE_MAX);
    hear_grant(&w, 2, 3, 7, 2);
    finish_run(&w, 2, 3, 7, 2);
    r = &only(&w, FS_MSG_RESULTS)->m.u.results;
    assert_true(r->lease == 2 && r->cell == 3 && r->last && r->count == 2 && r->sequence == 2);
    hear_grant(&w, 2, 3, 7, 2); /* over, and known */
    assert_int_equal(w.adds, 2);
    hear_ack(&w, 1, 0);
    hear_ack(&w, 1, 0);
    hear_ack(&w, 2, 1); /* no such pair */
    assert_int_equal(wk_session_unacknowledged(w.session), FS_RESULTS_PER_MESSAGE_MAX + 2);
    const wk_counts counts = wk_session_counts(w.session); /* one of the three meant something */
    assert_int_equal(counts.trials, 3 + FS_RESULTS_PER_MESSAGE_MAX + 2);
    assert_int_equal(counts.failed, 0);
    assert_true(counts.accepted == 5 && counts.duplicates == 3 && counts.mismatches == 1);
    tear_down(&w);
}

static void failed_trials_do_not_stop_a_lease(void **state)
{
    world w;
    make_ready(&w, 0);
    hear_grant(&w, 1, 2, 0, 3);
    finish(&w, 1, 2, 0);
    fail_trial(&w, 1, 2, 1);
    const fs_msg_failed *failed = &only(&w, FS_MSG_FAILED)->m.u.failed;
    assert_true(!failed->fatal && failed->lease == 1 && failed->cell == 2 && failed->trial == 1);
    assert_int_equal(failed->status, FS_EMISMATCH);
    tick(&w, WK_BATCH_MS);
    assert_int_equal(only(&w, FS_MSG_RESULTS)->m.u.results.last, 0);
    fail_trial(&w, 1, 2, 2);
    assert_int_equal(w.said_count, 2);
    const fs_msg_results *r = &w.said[1].m.u.results;
    assert_true(w.said[1].m.type == FS_MSG_RESULTS && r->last && r->count == 0);
    tear_down(&w);
}

static void a_worker_that_only_fails_leaves(void **state)
{
    world w;
    make_ready(&w, 0);
    hear_grant(&w, 1, 2, 0, 100);
    for (int i = 0; i < WK_FAILURES_IN_A_ROW_MAX - 1; i++) fail_trial(&w, 1, 2, (uint64_t)i);
    finish(&w, 1, 2, 50);
    for (int i = 0; i < WK_FAILURES_IN_A_ROW_MAX - 1; i++) fail_trial(&w, 1, 2, 20 + (uint64_t)i);
    assert_false(w.left);
    fail_trial(&w, 1, 2, 40);
    assert_true(w.left);
    assert_status(w.left_status, FS_EMISMATCH);
    assert_int_equal(w.said[w.said_count - 1].m.u.failed.fatal, 1);
    tear_down(&w);
}

static void a_broken_golden_run_is_fatal(void **state)
{
    world w;
    make_ready(&w, 0);
    wk_session_broken(w.session, FS_EFORMAT, "model.safetensors: damaged");
    assert_int_equal(only(&w, FS_MSG_FAILED)->m.u.failed.fatal, 1);
    assert_status(w.left_status, FS_EFORMAT);
    tear_down(&w);
}

/* ---- reconnection ---- */

static void a_new_coordinator_is_told_everything(void **state)
{
    world w;
    make_ready(&w, 0);
    const wk_golden_info golden = {.metric = 0.5, .checksum = 42};
    wk_session_golden(w.session, 4, &golden);
    assert_int_equal(only(&w, FS_MSG_GOLDEN)->m.u.golden.variant, 4);
    hear_grant(&w, 1, 0, 0, 2);
    hear_grant(&w, 2, 0, 10, 50);
    finish_run(&w, 1, 0, 0, 2);
    finish_run(&w, 2, 0, 10, 5);
    tick(&w, WK_BATCH_MS);
    assert_int_equal(w.said_count, 2);
    hear_ack(&w, 1, 0);
    w.said_count = 0;
    w.now += 1000;

    hear_who(&w);
    const fs_msg_hello *hello = &only(&w, FS_MSG_HELLO)->m.u.hello;
    assert_true(hello->lease_count == 1 && hello->leases[0].id == 2);
    /* Meanwhile work goes on, and is kept. */
    tick(&w, 0);
    only(&w, FS_MSG_HEARTBEAT);
    finish_run(&w, 2, 0, 15, 5);
    tick(&w, WK_BATCH_MS);
    wk_session_golden(w.session, 5, &golden);
    assert_int_equal(w.said_count, 0);
    hear_grant(&w, 3, 0, 90, 1); /* crossed our HELLO, which made it void */
    assert_int_equal(w.adds, 2);

    hear_welcome(&w, 1);
    assert_int_equal(w.said_count, 5);
    assert_int_equal(w.said[0].m.type, FS_MSG_READY);
    assert_int_equal(w.said[1].m.u.golden.variant, 4);
    assert_int_equal(w.said[2].m.u.golden.variant, 5);
    assert_true(w.said[3].m.u.results.sequence == 1 && w.said[3].m.u.results.count == 5);
    assert_true(w.said[4].m.u.results.sequence == 2 && w.said[4].trials[0] == 15);
    /* Lease ids of a new coordinator may be those of the old one. */
    hear_grant(&w, 1, 0, 0, 2);
    assert_int_equal(w.adds, 3);
    tear_down(&w);
}

static void another_campaign_drops_everything(void **state)
{
    world w;
    make_ready(&w, 0);
    hear_grant(&w, 1, 0, 0, 50);
    finish_run(&w, 1, 0, 0, 5);
    const wk_golden_info golden = {.checksum = 42};
    wk_session_golden(w.session, 0, &golden);
    hear_welcome(&w, 2);
    assert_state(&w, "preparing");
    assert_int_equal(w.prepares, 2);
    assert_true(w.drops > 0);
    finish(&w, 1, 0, 6); /* a late one of the former campaign */
    assert_int_equal(wk_session_unacknowledged(w.session), 0);
    w.said_count = 0;
    w.now += 1000;
    hear_who(&w);
    const fs_msg_hello *hello = &only(&w, FS_MSG_HELLO)->m.u.hello;
    assert_true(hello->lease_count == 0 && hello->fingerprint.bytes[0] == 0);
    /* A third one comes while the second is prepared: it is asked for when that has ended. */
    hear_welcome(&w, 3);
    assert_int_equal(w.prepares, 2);
    w.now += 1000;
    prepared(&w);
    assert_state(&w, "greeting");
    only(&w, FS_MSG_HELLO);
    hear_welcome(&w, 3);
    assert_int_equal(w.prepares, 3);
    prepared(&w);
    assert_int_equal(only(&w, FS_MSG_READY)->m.u.ready.fingerprint.bytes[0], 3);
    tear_down(&w);
}

/* ---- leaving ---- */

static void term_returns_tails(void **state)
{
    world w;
    make_ready(&w, 0);
    hear_grant(&w, 1, 0, 0, 10);
    hear_grant(&w, 2, 0, 10, 10);
    finish_run(&w, 1, 0, 0, 3);
    w.not_started[1] = 5; /* 0..4 were started, 3 and 4 run */
    w.not_started[2] = 10;
    wk_session_drain(w.session, WK_DRAIN_RETURN, w.now);
    assert_state(&w, "draining");
    assert_int_equal(w.said_count, 3);
    const fs_lease *a = &w.said[0].m.u.returned.lease, *b = &w.said[1].m.u.returned.lease;
    assert_true(a->id == 2 && a->first == 10 && a->count == 10);
    assert_true(b->id == 1 && b->first == 5 && b->count == 5);
    assert_true(w.said[2].m.u.results.count == 3 && !w.said[2].m.u.results.last);
    w.said_count = 0;
    hear_grant(&w, 3, 0, 50, 2);
    assert_int_equal(only(&w, FS_MSG_RETURN)->m.u.returned.lease.id, 3);
    finish_run(&w, 1, 0, 3, 2);
    const fs_msg_results *r = &only(&w, FS_MSG_RESULTS)->m.u.results;
    assert_true(r->last && r->count == 2);
    hear_ack(&w, 1, 0);
    assert_false(w.left);
    hear_ack(&w, 1, 1);
    only(&w, FS_MSG_BYE);
    assert_true(w.left && w.left_status == FS_OK);
    tear_down(&w);
}

static void a_shortened_lease_may_end_empty(void **state)
{
    world w;
    make_ready(&w, 0);
    hear_grant(&w, 1, 0, 0, 10);
    finish_run(&w, 1, 0, 0, 4);
    tick(&w, WK_BATCH_MS);
    only(&w, FS_MSG_RESULTS);
    w.not_started[1] = 6;
    wk_session_drain(w.session, WK_DRAIN_RETURN, w.now);
    assert_int_equal(w.said_count, 2);
    assert_true(w.said[1].m.u.results.last && w.said[1].m.u.results.count == 0);
    tear_down(&w);
}

static void the_grace_is_limited(void **state)
{
    world w;
    make_ready(&w, 0);
    hear_grant(&w, 1, 0, 0, 10);
    wk_session_drain(w.session, WK_DRAIN_RETURN, w.now); /* all ten run, or so it says */
    tick(&w, WK_GRACE_MS - 1);
    assert_false(w.left);
    tick(&w, 1);
    assert_true(w.left && w.left_status == FS_OK);
    tear_down(&w);

    /* A drain without hurry: the grace begins when the leases are done. */
    make_ready(&w, 0);
    hear_grant(&w, 1, 0, 0, 2);
    hear_stop(&w, 1);
    assert_int_equal(w.said_count, 0);
    tick(&w, 10 * WK_GRACE_MS);
    assert_false(w.left);
    finish_run(&w, 1, 0, 0, 2);
    tick(&w, WK_GRACE_MS - 1);
    assert_false(w.left);
    tick(&w, 1);
    assert_true(w.left);
    tear_down(&w);
}

static void nothing_held_leaves_at_once(void **state)
{
    for (int phase = 0; phase < 3; phase++) {
        for (wk_drain how = WK_DRAIN_FINISH; how <= WK_DRAIN_NOW; how++) {
            world w;
            set_up(&w, 0);
            if (phase > 0) hear_welcome(&w, 1);
            if (phase > 1) prepared(&w);
            w.said_count = 0;
            wk_session_drain(w.session, how, w.now);
            only(&w, FS_MSG_BYE);
            assert_true(w.left && w.left_status == FS_OK);
            if (phase == 1) prepared(&w); /* the thread ends later */
            assert_int_equal(w.said_count, 0);
            tear_down(&w);
        }
    }
}

static void stop_now_sends_what_is_finished(void **state)
{
    world w;
    make_ready(&w, 0);
    hear_grant(&w, 1, 0, 0, 10);
    finish_run(&w, 1, 0, 0, 4);
    hear_stop(&w, 0);
    assert_int_equal(w.said_count, 2);
    assert_true(w.said[0].m.u.results.count == 4 && !w.said[0].m.u.results.last);
    assert_int_equal(w.said[1].m.type, FS_MSG_BYE);
    assert_true(w.left && w.drops > 0);
    tear_down(&w);
}

static void a_draining_worker_says_so_to_a_new_coordinator(void **state)
{
    world w;
    make_ready(&w, 0);
    hear_grant(&w, 1, 0, 0, 4);
    hear_stop(&w, 1);
    w.now += 2000;
    hear_who(&w);
    const fs_msg_hello *hello = &only(&w, FS_MSG_HELLO)->m.u.hello;
    assert_true(hello->draining && hello->lease_count == 1);
    hear_welcome(&w, 1);
    assert_state(&w, "draining");
    only(&w, FS_MSG_READY);
    finish_run(&w, 1, 0, 0, 4);
    only(&w, FS_MSG_RESULTS);
    /* One of another campaign has no use for what it holds. */
    hear_welcome(&w, 9);
    only(&w, FS_MSG_BYE);
    assert_true(w.left);
    tear_down(&w);
}

static void idle_workers_leave_if_told(void **state)
{
    world w;
    set_up(&w, 3000);
    tick(&w, 2999);
    assert_false(w.left);
    tick(&w, 1);
    assert_status(w.left_status, FS_ETIMEOUT);
    tear_down(&w);

    make_ready(&w, 3000);
    hear_grant(&w, 1, 0, 0, 2);
    tick(&w, 100000); /* it has work */
    assert_false(w.left);
    finish_run(&w, 1, 0, 0, 2);
    tick(&w, 2999);
    assert_false(w.left);
    hear_ack(&w, 1, 0);
    tick(&w, 2999);
    assert_false(w.left);
    tick(&w, 1);
    assert_true(w.left && w.left_status == FS_OK);
    tear_down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_greets_and_gets_ready),
        cmocka_unit_test(heartbeats_go_on_in_every_state),
        cmocka_unit_test(failing_to_prepare_is_fatal),
        cmocka_unit_test(a_rejection_is_final),
        cmocka_unit_test(one_hello_answers_a_storm_of_who),
        cmocka_unit_test(grants_are_taken_when_ready),
        cmocka_unit_test(results_are_batched),
        cmocka_unit_test(failed_trials_do_not_stop_a_lease),
        cmocka_unit_test(a_worker_that_only_fails_leaves),
        cmocka_unit_test(a_broken_golden_run_is_fatal),
        cmocka_unit_test(a_new_coordinator_is_told_everything),
        cmocka_unit_test(another_campaign_drops_everything),
        cmocka_unit_test(term_returns_tails),
        cmocka_unit_test(a_shortened_lease_may_end_empty),
        cmocka_unit_test(the_grace_is_limited),
        cmocka_unit_test(nothing_held_leaves_at_once),
        cmocka_unit_test(stop_now_sends_what_is_finished),
        cmocka_unit_test(a_draining_worker_says_so_to_a_new_coordinator),
        cmocka_unit_test(idle_workers_leave_if_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
