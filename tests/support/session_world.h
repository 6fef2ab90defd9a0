/** What a worker's session acts on, played by a test: a pool and a bus that only take notes, and
 * the coordinator's messages. */
#ifndef SESSION_WORLD_H
#define SESSION_WORLD_H

#include "testing.h"

#include "wk_session.h"

enum { SAID_MAX = 512 };

/** A message the session sent, as far as the tests look at it. */
typedef struct said {
    fs_message m; /* texts and records are gone; results: trials in `trials` */
    uint64_t trials[FS_RESULTS_PER_MESSAGE_MAX];
} said;

typedef struct world {
    wk_session *session;
    uint64_t now;
    said *said; /* [SAID_MAX] */
    unsigned said_count;
    size_t queued; /* what the port tells */
    unsigned prepares, drops, adds;
    fs_lease added;          /* the last */
    uint64_t not_started[4]; /* by lease id: what give_back returns */
    int left;
    fs_status left_status;
    char left_why[128];
    uint8_t record[16];
} world;

static inline fs_status port_send(void *data, const void *frame, size_t size)
{
    world *w = data;
    assert_true(w->said_count < SAID_MAX);
    said *s = &w->said[w->said_count++];
    assert_ok(fs_message_decode(&s->m, frame, size));
    if (s->m.type == FS_MSG_RESULTS) {
        for (uint32_t i = 0; i < s->m.u.results.count; i++) {
            s->trials[i] = s->m.u.results.results[i].trial;
        }
    }
    if (s->m.type == FS_MSG_FAILED) s->m.u.failed.why.data = NULL;
    uint32_t count = s->m.u.results.count;
    fs_message_free(&s->m);
    if (s->m.type == FS_MSG_RESULTS) s->m.u.results.count = count;
    return FS_OK;
}

static inline size_t port_queued(void *data)
{
    return ((world *)data)->queued;
}

static inline void port_prepare(void *data, const fs_msg_welcome *welcome)
{
    ((world *)data)->prepares++;
}

static inline void port_add(void *data, const fs_lease *lease)
{
    world *w = data;
    w->adds++;
    w->added = *lease;
}

static inline uint64_t port_give_back(void *data, uint64_t lease)
{
    world *w = data;
    uint64_t count = lease < 4 ? w->not_started[lease] : 0;
    if (lease < 4) w->not_started[lease] = 0;
    return count;
}

static inline void port_drop(void *data)
{
    ((world *)data)->drops++;
}

static inline unsigned port_busy(void *data)
{
    return 2;
}

static inline void port_leave(void *data, fs_status status, const char *why)
{
    world *w = data;
    assert_false(w->left);
    w->left = 1;
    w->left_status = status;
    snprintf(w->left_why, sizeof w->left_why, "%s", why);
}

static inline void set_up(world *w, uint64_t idle_exit_ms)
{
    static const wk_identity identity = {
        "01234567-89ab-4def-8123-456789abcdef", 99, "here", 7, 2, "portable"};
    const wk_ports ports = {port_send, port_queued, port_prepare, port_add, port_give_back,
                            port_drop, port_busy,   port_leave,   w};
    memset(w, 0, sizeof *w);
    w->now = 5000;
    w->said = calloc(SAID_MAX, sizeof *w->said);
    assert_non_null(w->said);
    assert_ok(wk_session_new(&w->session, &identity, ports, idle_exit_ms));
    wk_session_start(w->session, w->now);
}

static inline void tear_down(world *w)
{
    wk_session_destroy(&w->session);
    wk_session_destroy(&w->session);
    free(w->said);
}

static inline void hear(world *w, const fs_message *message)
{
    fs_buf frame = {0};
    assert_ok(fs_message_encode(message, &frame));
    wk_session_message(w->session, frame.data, frame.size, w->now);
    fs_buf_free(&frame);
}

static inline void hear_who(world *w)
{
    hear(w, &(fs_message){.type = FS_MSG_WHO});
}

static inline void hear_welcome(world *w, uint8_t campaign)
{
    fs_message m = {.type = FS_MSG_WELCOME};
    memset(m.u.welcome.fingerprint.bytes, campaign, FS_HASH_BYTES);
    m.u.welcome.heartbeat_ms = 1000;
    m.u.welcome.lease_ms = FS_LEASE_MS;
    hear(w, &m);
}

static inline void hear_grant(world *w, uint64_t id, uint32_t cell, uint64_t first, uint64_t count)
{
    fs_message m = {.type = FS_MSG_GRANT};
    m.u.grant.lease = (fs_lease){id, cell, first, count};
    m.u.grant.deadline_ms = FS_LEASE_MS;
    hear(w, &m);
}

static inline void hear_ack(world *w, uint64_t lease, uint64_t sequence)
{
    fs_message m = {.type = FS_MSG_ACK};
    m.u.ack = (fs_msg_ack){lease, sequence, 5, 3, 1};
    hear(w, &m);
}

static inline void hear_stop(world *w, int drain)
{
    fs_message m = {.type = FS_MSG_STOP};
    m.u.stop.drain = drain;
    hear(w, &m);
}

static inline void prepared(world *w)
{
    wk_session_prepared(w->session, FS_OK, "", 10, w->now);
}

static inline void make_ready(world *w, uint64_t idle_exit_ms)
{
    set_up(w, idle_exit_ms);
    hear_welcome(w, 1);
    prepared(w);
    w->said_count = 0;
}

static inline void finish(world *w, uint64_t lease, uint32_t cell, uint64_t trial)
{
    const wk_done done = {.lease = lease,
                          .cell = cell,
                          .trial = trial,
                          .cost_us = 10,
                          .record = w->record,
                          .record_bytes = sizeof w->record};
    wk_session_done(w->session, &done, w->now);
}

static inline void finish_run(world *w, uint64_t lease, uint32_t cell, uint64_t first,
                              uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) finish(w, lease, cell, first + i);
}

static inline void fail_trial(world *w, uint64_t lease, uint32_t cell, uint64_t trial)
{
    const wk_done done = {.lease = lease,
                          .cell = cell,
                          .trial = trial,
                          .status = FS_EMISMATCH,
                          .why = "the audit disagrees"};
    wk_session_done(w->session, &done, w->now);
}

static inline void tick(world *w, uint64_t ms)
{
    w->now += ms;
    wk_session_tick(w->session, w->now);
}

#define assert_state(w, name)                                                                      \
    assert_string_equal(wk_state_name(wk_session_state((w)->session)), name)

static inline const said *only(world *w, fs_message_type type)
{
    assert_int_equal(w->said_count, 1);
    assert_string_equal(fs_message_name(w->said[0].m.type), fs_message_name(type));
    w->said_count = 0;
    return &w->said[0];
}

#endif
