/* The worker process against a coordinator that this test plays, over TCP, with simulated trials.
 */
#include "fake_coordinator.h"

#include <signal.h>

static const char *const quick[] = {"--simulate", "--threads", "2", NULL};
static const char *const slow[] = {"--simulate", "--threads", "2", "--simulate-us", "20000", NULL};

static void leases_are_run_to_their_end(void **state)
{
    fake *c = fake_new();
    fake_start_worker(c, quick);
    fake_until(c, c->heard[FS_MSG_READY] == 1);
    assert_int_equal(c->hello.threads, 2);
    assert_int_equal(c->hello.pid, (uint32_t)c->pid);
    assert_int_equal(c->hello.lease_count, 0);
    assert_int_equal(strlen(c->uuid), FS_PROTO_UUID_BYTES);
    fake_grant(c, 11, 0, 5000);
    fake_grant(c, 12, 5000, 1);
    fake_grant(c, 12, 5000, 1); /* repeated: ignored */
    fake_until(c, c->last_count == 2);
    fake_grant(c, 12, 5000, 1);
    fake_grant(c, 13, 6000, FS_SHARD_TRIALS_MAX);
    fake_until(c, c->last_count == 3);
    assert_int_equal(fake_once(c, 0, 5001), 5001);
    assert_int_equal(fake_once(c, 6000, FS_SHARD_TRIALS_MAX), FS_SHARD_TRIALS_MAX);
    assert_int_equal(c->records, 5001 + FS_SHARD_TRIALS_MAX);
    assert_int_equal(c->heard[FS_MSG_GOLDEN], 1);
    assert_int_equal(c->golden_after_results, 0);
    fs_message stop = {.type = FS_MSG_STOP};
    stop.u.stop.drain = 1;
    fake_say(c, &stop);
    assert_int_equal(fake_wait(c), 0);
    fake_until(c, c->heard[FS_MSG_BYE] == 1);
    assert_int_equal(c->heard[FS_MSG_RETURN], 0);
    fake_free(c);
}

static void term_returns_what_is_not_started(void **state)
{
    fake *c = fake_new();
    fake_start_worker(c, slow);
    fake_until(c, c->heard[FS_MSG_READY] == 1);
    fake_grant(c, 1, 0, 1000);
    fake_grant(c, 2, 1000, 1000);
    fake_until(c, c->records >= 10);
    kill(c->pid, SIGTERM);
    assert_int_equal(fake_wait(c), 0);
    fake_until(c, c->heard[FS_MSG_BYE] == 1);
    assert_int_equal(c->returned_count, 2);
    /* The second lease whole, of the first what follows the trials that were started. */
    const fs_lease *a = &c->returned[1], *b = &c->returned[0];
    assert_true(b->id == 2 && b->first == 1000 && b->count == 1000);
    assert_true(a->id == 1 && a->first + a->count == 1000 && a->first >= 10);
    assert_int_equal(fake_once(c, 0, a->first), a->first);
    assert_int_equal(c->records, a->first);
    assert_int_equal(c->last_count, 1);
    fake_free(c);
}

static void usr1_finishes_the_leases(void **state)
{
    fake *c = fake_new();
    fake_start_worker(c, slow);
    fake_until(c, c->heard[FS_MSG_READY] == 1);
    fake_grant(c, 1, 0, 40);
    fake_until(c, c->records >= 5);
    kill(c->pid, SIGUSR1);
    fake_run(c, 50);
    fake_grant(c, 2, 1000, 10); /* crosses the drain: comes back whole */
    assert_int_equal(fake_wait(c), 0);
    fake_until(c, c->heard[FS_MSG_BYE] == 1);
    assert_int_equal(fake_once(c, 0, 40), 40);
    assert_int_equal(c->records, 40);
    assert_int_equal(c->returned_count, 1);
    assert_true(c->returned[0].id == 2 && c->returned[0].count == 10);
    fake_free(c);
}

static void a_second_interrupt_leaves_at_once(void **state)
{
    static const char *const very_slow[] = {"--simulate",    "--threads", "1",
                                            "--simulate-us", "8000000",   NULL};
    fake *c = fake_new();
    fake_start_worker(c, very_slow);
    fake_until(c, c->heard[FS_MSG_READY] == 1);
    fake_grant(c, 1, 0, 10);
    fake_run(c, 300);
    uint64_t start = fs_clock_mono_ms();
    kill(c->pid, SIGINT);
    fake_until(c, c->returned_count == 1);
    assert_int_equal(c->returned[0].count, 9);
    kill(c->pid, SIGINT);
    assert_int_equal(fake_wait(c), 0);
    assert_true(fs_clock_mono_ms() - start < 4000);
    fake_free(c);
}

static void a_new_coordinator_gets_everything(void **state)
{
    fake *c = fake_new();
    c->ack = 0;
    fake_start_worker(c, slow);
    fake_until(c, c->heard[FS_MSG_READY] == 1);
    fake_grant(c, 1, 0, 100);
    fake_grant(c, 2, 1000, 30);
    fake_until(c, c->records >= 20);
    char uuid[FS_PROTO_UUID_BYTES + 1];
    memcpy(uuid, c->uuid, sizeof uuid);

    /* Killed without a word; what it has received was never acknowledged. */
    fake_unbind(c);
    usleep(700 * 1000);
    memset(c->seen, 0, FAKE_TRIALS_MAX);
    memset(c->heard, 0, sizeof c->heard);
    c->records = 0;
    c->sequence_count = 0;
    c->last_count = 0;
    c->ack = 1;
    fake_bind(c, c->endpoint);
    uint64_t start = fs_clock_mono_ms();
    fake_until(c, c->heard[FS_MSG_HELLO] >= 1);
    assert_true(fs_clock_mono_ms() - start < 8000);
    assert_string_equal(c->uuid, uuid);
    assert_true(fs_hash_equal(&c->hello.fingerprint, &c->fingerprint));
    assert_in_range(c->hello.lease_count, 1, 2);
    fake_until(c, c->last_count == 2);
    /* Everything came to the new one, the unacknowledged again. */
    assert_int_equal(fake_came(c, 0, 100), 100);
    assert_int_equal(fake_came(c, 1000, 30), 30);
    assert_true(c->heard[FS_MSG_GOLDEN] >= 1);
    assert_int_equal(c->golden_after_results, 0);
    assert_int_equal(c->sequences[0], 0);
    fake_grant(c, 3, 2000, 10);
    fake_until(c, fake_came(c, 2000, 10) == 10);
    kill(c->pid, SIGTERM);
    assert_int_equal(fake_wait(c), 0);
    fake_free(c);
}

static void a_frozen_worker_comes_back(void **state)
{
    fake *c = fake_new();
    fake_start_worker(c, slow);
    fake_until(c, c->heard[FS_MSG_READY] == 1);
    fake_grant(c, 1, 0, 60);
    fake_until(c, c->records >= 4);
    kill(c->pid, SIGSTOP);
    fake_run(c, 4500); /* beyond the heartbeats of ZMTP: the connection is cut */
    c->greeted = 0;
    kill(c->pid, SIGCONT);
    fake_until(c, c->last_count >= 1);
    assert_true(c->greeted);
    assert_int_equal(fake_came(c, 0, 60), 60);
    kill(c->pid, SIGTERM);
    assert_int_equal(fake_wait(c), 0);
    fake_free(c);
}

static void results_wait_for_their_acknowledgement(void **state)
{
    fake *c = fake_new();
    c->ack = 0;
    fake_start_worker(c, quick);
    fake_until(c, c->heard[FS_MSG_READY] == 1);
    fake_grant(c, 1, 0, 10);
    fake_until(c, c->last_count == 1);
    kill(c->pid, SIGTERM);
    fake_run(c, 700);
    assert_int_equal(waitpid(c->pid, NULL, WNOHANG), 0); /* it owes results */
    for (unsigned i = 0; i < c->sequence_count; i++) {
        fs_message m = {.type = FS_MSG_ACK};
        m.u.ack = (fs_msg_ack){.lease = 1, .sequence = c->sequences[i]};
        fake_say(c, &m);
    }
    assert_int_equal(fake_wait(c), 0);
    fake_free(c);
}

static void another_campaign_replaces_the_first(void **state)
{
    fake *c = fake_new();
    fake_start_worker(c, slow);
    fake_until(c, c->heard[FS_MSG_READY] == 1);
    fake_grant(c, 1, 0, 1000);
    fake_until(c, c->records >= 4);
    memset(c->fingerprint.bytes, 0x77, sizeof c->fingerprint.bytes);
    c->greeted = 0; /* asked WHO, it is welcomed to the other one */
    fake_until(c, c->heard[FS_MSG_READY] == 2);
    memset(c->seen, 0, FAKE_TRIALS_MAX);
    fake_grant(c, 1, 500, 20);
    fake_until(c, fake_came(c, 500, 20) == 20);
    assert_int_equal(fake_came(c, 0, 400), 0);
    assert_int_equal(c->heard[FS_MSG_GOLDEN], 2);
    kill(c->pid, SIGKILL);
    assert_int_equal(fake_wait(c), -SIGKILL);
    fake_free(c);
}

static void refusals_end_it(void **state)
{
    fake *c = fake_new();
    c->answer_hello = 0;
    fake_start_worker(c, quick);
    fake_until(c, c->heard[FS_MSG_HELLO] == 1);
    fs_message m = {.type = FS_MSG_REJECT};
    m.u.reject.why = fs_text_of("your kernels differ");
    fake_say(c, &m);
    assert_int_equal(fake_wait(c), 4);

    /* A real worker that is sent something that is no campaign says so and goes. */
    static const char *const real[] = {"--threads", "1", NULL};
    c->answer_hello = 1;
    fake_start_worker(c, real);
    int code = fake_wait(c);
    assert_true(code > 0 && code != 127);
    fake_until(c, c->heard[FS_MSG_FAILED] == 1);
    fake_free(c);
}

static void garbage_from_a_coordinator_is_dropped(void **state)
{
    fake *c = fake_new();
    fake_start_worker(c, quick);
    fake_until(c, c->heard[FS_MSG_READY] == 1);
    uint64_t random = 5;
    for (int i = 0; i < 500; i++) {
        uint8_t junk[64];
        for (size_t k = 0; k < sizeof junk; k++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            junk[k] = (uint8_t)(random >> 33);
        }
        assert_ok(fs_bus_send(c->bus, &c->peer, junk, 1 + random % sizeof junk));
    }
    fake_grant(c, 1, 0, 100);
    fake_until(c, c->last_count == 1);
    kill(c->pid, SIGTERM);
    assert_int_equal(fake_wait(c), 0);
    fake_free(c);
}

static void it_does_not_wait_for_ever_if_told(void **state)
{
    static const char *const patient[] = {"--simulate", "--idle-exit", "1", "--threads", "1", NULL};
    fake *c = fake_new();
    fake_start_worker(c, patient);
    fake_until(c, c->heard[FS_MSG_READY] == 1);
    assert_int_equal(fake_wait(c), 0); /* it was welcomed, and then nothing */
    fake_unbind(c);
    fake_start_worker(c, patient);
    int ended = 0;
    assert_int_equal(waitpid(c->pid, &ended, 0), c->pid);
    assert_int_equal(WEXITSTATUS(ended), 1); /* nobody ever answered */
    fake_bind(c, c->endpoint);
    fake_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leases_are_run_to_their_end),
        cmocka_unit_test(term_returns_what_is_not_started),
        cmocka_unit_test(usr1_finishes_the_leases),
        cmocka_unit_test(a_second_interrupt_leaves_at_once),
        cmocka_unit_test(a_new_coordinator_gets_everything),
        cmocka_unit_test(a_frozen_worker_comes_back),
        cmocka_unit_test(results_wait_for_their_acknowledgement),
        cmocka_unit_test(another_campaign_replaces_the_first),
        cmocka_unit_test(refusals_end_it),
        cmocka_unit_test(garbage_from_a_coordinator_is_dropped),
        cmocka_unit_test(it_does_not_wait_for_ever_if_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
