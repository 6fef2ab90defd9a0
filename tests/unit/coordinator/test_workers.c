#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coord_workers.h"

static fs_peer peer_of(unsigned n)
{
    fs_peer peer = {.size = 5};
    memcpy(peer.id, &n, sizeof n);
    return peer;
}

typedef struct greeting {
    uint32_t index;
    int known;
    int64_t former;
} greeting;

static fs_status hello(coord_workers *workers, unsigned peer, unsigned uuid, uint64_t boot_ms,
                       greeting *out)
{
    char text[FS_PROTO_UUID_BYTES + 1];
    snprintf(text, sizeof text, "00000000-0000-4000-8000-%012x", uuid);
    fs_msg_hello message = {.uuid = fs_text_of(text),
                            .boot_ms = boot_ms,
                            .host = fs_text_of("no\x1b[31mde\n"),
                            .pid = uuid,
                            .threads = 3,
                            .kernel = fs_text_of("avx2")};
    fs_peer from = peer_of(peer);
    return coord_workers_hello(workers, &from, &message, 100, &out->index, &out->known,
                               &out->former);
}

static void test_a_worker_keeps_its_place(void **state)
{
    (void)state;
    coord_workers *workers = NULL;
    assert_int_equal(coord_workers_new(&workers, 2), FS_OK);
    greeting a, b, again;
    assert_int_equal(hello(workers, 1, 1, 50, &a), FS_OK);
    assert_int_equal(hello(workers, 2, 2, 50, &b), FS_OK);
    assert_int_not_equal(a.index, b.index);
    assert_false(a.known);
    coord_worker *worker = coord_workers_at(workers, a.index);
    coord_worker_transition(worker, COORD_WORKER_SAYS_READY);
    worker->golden[1] = 1;
    assert_int_equal(coord_workers_threads(workers), 3);
    /* The same process over a new connection. */
    assert_int_equal(hello(workers, 9, 1, 50, &again), FS_OK);
    assert_int_equal(again.index, a.index);
    assert_true(again.known);
    assert_int_equal(again.former, -1);
    assert_int_equal(worker->state, COORD_WORKER_PREPARING);
    assert_int_equal(worker->golden[1], 1);
    fs_peer old = peer_of(1), fresh = peer_of(9);
    assert_int_equal(coord_workers_find(workers, &old), -1);
    assert_int_equal(coord_workers_find(workers, &fresh), a.index);
    coord_workers_destroy(&workers);
    coord_workers_destroy(&workers);
}

static void test_a_restarted_worker_is_another(void **state)
{
    (void)state;
    coord_workers *workers = NULL;
    assert_int_equal(coord_workers_new(&workers, 1), FS_OK);
    greeting a, b;
    assert_int_equal(hello(workers, 1, 1, 50, &a), FS_OK);
    coord_workers_at(workers, a.index)->golden[0] = 1;
    assert_int_equal(hello(workers, 2, 1, 60, &b), FS_OK);
    assert_int_equal(b.former, a.index);
    assert_false(b.known);
    assert_int_not_equal(b.index, a.index);
    assert_int_equal(coord_workers_at(workers, b.index)->golden[0], 0);
    coord_workers_destroy(&workers);
}

/** Another uuid at the same pid of the same host: the former process is over once it is silent. */
static void test_a_pid_is_given_twice(void **state)
{
    (void)state;
    coord_workers *workers = NULL;
    assert_int_equal(coord_workers_new(&workers, 1), FS_OK);
    fs_msg_hello message = {.uuid = fs_text_of("first"),
                            .boot_ms = 50,
                            .host = fs_text_of("node"),
                            .pid = 7,
                            .threads = 1,
                            .kernel = fs_text_of("avx2")};
    fs_peer one = peer_of(1), two = peer_of(2);
    uint32_t first, other;
    int known;
    int64_t former;
    assert_int_equal(coord_workers_hello(workers, &one, &message, 100, &first, &known, &former),
                     FS_OK);
    assert_int_equal(coord_workers_by_pid(workers, 7, "node"), first);
    assert_int_equal(coord_workers_by_pid(workers, 7, "other"), -1);
    static const struct {
        const char *host;
        uint64_t boot_ms, now_ms;
        int over;
    } cases[] = {{"node", 60, 100 + COORD_WORKER_SILENT_MS - 1, 0}, /* containers side by side */
                 {"node", 40, 100 + COORD_WORKER_SILENT_MS, 0},
                 {"other", 60, 100 + COORD_WORKER_SILENT_MS, 0},
                 {"node", 60, 100 + COORD_WORKER_SILENT_MS, 1}};
    message.uuid = fs_text_of("second");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        message.host = fs_text_of(cases[i].host);
        message.boot_ms = cases[i].boot_ms;
        assert_int_equal(
            coord_workers_hello(workers, &two, &message, cases[i].now_ms, &other, &known, &former),
            FS_OK);
        assert_int_equal(former, cases[i].over ? (int64_t)first : -1);
        coord_worker_transition(coord_workers_at(workers, other), COORD_WORKER_LEAVES);
    }
    coord_workers_destroy(&workers);
}

static void test_texts_cannot_steer_a_terminal(void **state)
{
    (void)state;
    coord_workers *workers = NULL;
    greeting a;
    assert_int_equal(coord_workers_new(&workers, 1), FS_OK);
    assert_int_equal(hello(workers, 1, 1, 50, &a), FS_OK);
    assert_string_equal(coord_workers_at(workers, a.index)->host, "no?[31mde?");
    coord_workers_destroy(&workers);
}

static void test_states(void **state)
{
    (void)state;
    coord_worker worker = {0};
    assert_false(coord_worker_allows(&worker, COORD_WORKER_SAYS_READY));
    assert_false(coord_worker_allows(&worker, COORD_WORKER_LEAVES));
    assert_int_equal(coord_worker_transition(&worker, COORD_WORKER_HELLO), COORD_WORKER_PREPARING);
    assert_int_equal(coord_worker_transition(&worker, COORD_WORKER_DRAINS), COORD_WORKER_DRAINING);
    /* Who drains is granted nothing any more, whatever it says. */
    assert_int_equal(coord_worker_transition(&worker, COORD_WORKER_SAYS_READY),
                     COORD_WORKER_DRAINING);
    assert_int_equal(coord_worker_transition(&worker, COORD_WORKER_LEAVES), COORD_WORKER_GONE);
    assert_false(coord_worker_allows(&worker, COORD_WORKER_SAYS_READY));
    assert_int_equal(coord_worker_transition(&worker, COORD_WORKER_HELLO), COORD_WORKER_PREPARING);
    assert_string_equal(coord_worker_state_name(COORD_WORKER_DRAINING), "draining");
}

static void test_the_table_is_bounded(void **state)
{
    (void)state;
    coord_workers *workers = NULL;
    greeting g;
    assert_int_equal(coord_workers_new(&workers, 1), FS_OK);
    for (unsigned i = 0; i < FS_WORKERS_MAX; i++)
        assert_int_equal(hello(workers, i, i, 1, &g), FS_OK);
    assert_int_equal(coord_workers_live(workers), FS_WORKERS_MAX);
    assert_int_equal(hello(workers, FS_WORKERS_MAX, FS_WORKERS_MAX, 1, &g), FS_ELIMIT);
    /* One that is gone makes room. */
    uint32_t generation = coord_workers_at(workers, 5)->generation;
    coord_worker_transition(coord_workers_at(workers, 5), COORD_WORKER_LEAVES);
    assert_int_equal(hello(workers, FS_WORKERS_MAX, FS_WORKERS_MAX, 1, &g), FS_OK);
    assert_int_equal(g.index, 5);
    assert_int_not_equal(coord_workers_at(workers, 5)->generation, generation);
    coord_workers_destroy(&workers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_worker_keeps_its_place),
        cmocka_unit_test(test_a_restarted_worker_is_another),
        cmocka_unit_test(test_a_pid_is_given_twice),
        cmocka_unit_test(test_texts_cannot_steer_a_terminal),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_the_table_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
