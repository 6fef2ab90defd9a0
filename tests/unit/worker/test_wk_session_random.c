/* Thousands of seeded schedules: a coordinator that grants, forgets, loses what is on its way and
 * acknowledges late, against one session with a pool of the test's. A failing seed is printed. */
#include "testing.h"

#include "wk_session.h"

enum {
    SCHEDULES = 3000,
    STEPS = 400,
    TRACE_LINE_MAX = 4096,
    LEASES_MAX = 256,
    LEASE_TRIALS_MAX = 40
};

/** Frames on their way in one direction; a cut connection loses them. */
typedef struct line {
    fs_buf frames[TRACE_LINE_MAX];
    unsigned first, end;
} line;

/** A lease as the coordinator and as the pool know it. */
typedef struct granted {
    fs_lease lease;
    int over; /* said last, returned whole, or void */
    int voided;
    uint64_t tail;  /* trials given back */
    uint64_t next;  /* of the pool: started up to here */
    uint64_t ended; /* and handed over */
    int queued;
    uint8_t came[LEASE_TRIALS_MAX];
} granted;

typedef struct world {
    wk_session *session;
    uint64_t seed, now;
    line up, down;
    granted leases[LEASES_MAX];
    unsigned lease_count;
    int known; /* the coordinator has heard HELLO on this connection */
    int ready; /* and READY */
    int golden_known;
    int drains; /* it was told that this worker takes nothing more */
    int preparing;
    int left, bye;
    int golden_said; /* by the pool */
} world;

static uint32_t below(world *w, uint32_t n)
{
    w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((w->seed >> 33) % n);
}

static void put(line *l, const void *frame, size_t size)
{
    assert_true(l->end < TRACE_LINE_MAX);
    assert_ok(fs_buf_append(&l->frames[l->end++], frame, size));
}

static void cut(line *l)
{
    for (unsigned i = 0; i < l->end; i++) fs_buf_free(&l->frames[i]);
    l->first = l->end = 0;
}

/* ---- ports ---- */

static fs_status port_send(void *data, const void *frame, size_t size)
{
    put(&((world *)data)->up, frame, size);
    return FS_OK;
}

static size_t port_queued(void *data)
{
    return 0;
}

static void port_prepare(void *data, const fs_msg_welcome *welcome)
{
    ((world *)data)->preparing = 1;
}

static granted *by_id(world *w, uint64_t id)
{
    assert_true(id >= 1 && id <= w->lease_count);
    return &w->leases[id - 1];
}

static void port_add(void *data, const fs_lease *lease)
{
    granted *g = by_id(data, lease->id);
    assert_false(g->queued);
    g->queued = 1;
    unsigned running = 0;
    for (unsigned i = 0; i < ((world *)data)->lease_count; i++) {
        const granted *other = &((world *)data)->leases[i];
        running += other->queued && other->ended < other->lease.count - other->tail;
    }
    assert_true(running <= FS_LEASES_PER_WORKER_MAX);
}

static uint64_t port_give_back(void *data, uint64_t lease)
{
    granted *g = by_id(data, lease);
    uint64_t count = g->lease.count - g->next;
    g->next = g->lease.count;
    g->tail = count;
    return count;
}

static void port_drop(void *data)
{
}

static unsigned port_busy(void *data)
{
    return 1;
}

static void port_leave(void *data, fs_status status, const char *why)
{
    world *w = data;
    assert_int_equal(status, FS_OK);
    w->left = 1;
}

/* ---- the pool ---- */

static void pool_step(world *w)
{
    granted *g = &w->leases[below(w, w->lease_count)];
    if (!g->queued) return;
    if (g->next < g->lease.count) g->next++;
    uint64_t started = g->lease.count - g->tail;
    if (started > g->next) started = g->next;
    if (g->ended == started) return;
    if (!w->golden_said) {
        const wk_golden_info info = {.checksum = 1};
        wk_session_golden(w->session, 0, &info);
        w->golden_said = 1;
    }
    const uint8_t record[4] = {1, 2, 3, 4};
    const wk_done done = {.lease = g->lease.id,
                          .cell = g->lease.cell,
                          .trial = g->lease.first + g->ended++,
                          .record = record,
                          .record_bytes = sizeof record};
    wk_session_done(w->session, &done, w->now);
}

/* ---- the coordinator ---- */

static void answer(world *w, const fs_message *message)
{
    fs_buf frame = {0};
    assert_ok(fs_message_encode(message, &frame));
    put(&w->down, frame.data, frame.size);
    fs_buf_free(&frame);
}

static void take_hello(world *w, const fs_msg_hello *hello)
{
    fs_message m = {.type = FS_MSG_WELCOME};
    memset(m.u.welcome.fingerprint.bytes, 7, FS_HASH_BYTES);
    m.u.welcome.heartbeat_ms = 100;
    m.u.welcome.lease_ms = 1000;
    w->known = 1;
    w->ready = 0;
    w->drains = hello->draining;
    for (unsigned i = 0; i < w->lease_count; i++) {
        granted *g = &w->leases[i];
        int held = 0;
        for (uint32_t k = 0; k < hello->lease_count; k++) {
            held |= hello->leases[k].id == g->lease.id;
        }
        if (!held && !g->over) g->over = 1;
    }
    answer(w, &m);
}

static void take_results(world *w, const fs_msg_results *results)
{
    granted *g = by_id(w, results->lease);
    assert_true(w->golden_known);
    for (uint32_t i = 0; i < results->count; i++) {
        uint64_t index = results->results[i].trial - g->lease.first;
        assert_true(index < g->lease.count);
        g->came[index] = 1;
    }
    if (results->last) g->over = 1;
    fs_message m = {.type = FS_MSG_ACK};
    m.u.ack = (fs_msg_ack){results->lease, results->sequence, results->count, 0, 0};
    answer(w, &m);
}

static void take(world *w, const fs_message *m)
{
    if (m->type == FS_MSG_HELLO) {
        take_hello(w, &m->u.hello);
    } else if (m->type == FS_MSG_BYE) {
        w->bye = 1;
    } else if (!w->known) {
        answer(w, &(fs_message){.type = FS_MSG_WHO});
    } else if (m->type == FS_MSG_READY) {
        w->ready = 1;
    } else if (m->type == FS_MSG_GOLDEN) {
        w->golden_known = 1;
    } else if (m->type == FS_MSG_RESULTS) {
        take_results(w, &m->u.results);
    } else if (m->type == FS_MSG_RETURN) {
        granted *g = by_id(w, m->u.returned.lease.id);
        w->drains = 1;
        if (m->u.returned.lease.count == g->lease.count) g->over = 1;
    }
}

static void coordinator_step(world *w)
{
    if (w->up.first < w->up.end) {
        fs_buf *frame = &w->up.frames[w->up.first++];
        fs_message m;
        assert_ok(fs_message_decode(&m, frame->data, frame->size));
        take(w, &m);
        fs_message_free(&m);
    }
    unsigned open = 0;
    for (unsigned i = 0; i < w->lease_count; i++) open += !w->leases[i].over;
    if (!w->ready || w->drains || open >= FS_LEASES_PER_WORKER_MAX ||
        w->lease_count == LEASES_MAX) {
        return;
    }
    granted *g = &w->leases[w->lease_count++];
    g->lease =
        (fs_lease){w->lease_count, below(w, 3), below(w, 1000), 1 + below(w, LEASE_TRIALS_MAX)};
    fs_message m = {.type = FS_MSG_GRANT};
    m.u.grant.lease = g->lease;
    m.u.grant.deadline_ms = 1000;
    answer(w, &m);
}

/** The connection is cut, perhaps because the coordinator was killed: nothing of it is known. */
static void disconnect(world *w)
{
    cut(&w->up);
    cut(&w->down);
    w->known = w->ready = w->golden_known = w->drains = 0;
}

static void worker_hears(world *w)
{
    if (w->down.first == w->down.end) return;
    fs_buf *frame = &w->down.frames[w->down.first++];
    wk_session_message(w->session, frame->data, frame->size, w->now);
}

static void step(world *w)
{
    w->now += below(w, 30);
    uint32_t dice = below(w, 100);
    if (dice < 40 && w->lease_count > 0) {
        pool_step(w);
    } else if (dice < 65) {
        coordinator_step(w);
    } else if (dice < 85) {
        worker_hears(w);
    } else if (dice < 97) {
        wk_session_tick(w->session, w->now);
    } else if (dice < 98) {
        disconnect(w);
    } else if (w->preparing) {
        w->preparing = 0;
        wk_session_prepared(w->session, FS_OK, "", 3, w->now);
    }
}

/** Without further disasters the worker runs what it holds or returns it, and leaves. */
static void settle(world *w, wk_drain how)
{
    wk_session_drain(w->session, how, w->now);
    for (int i = 0; i < 20000 && !w->left; i++) {
        w->now += 1;
        if (w->lease_count > 0) pool_step(w);
        coordinator_step(w);
        worker_hears(w);
        wk_session_tick(w->session, w->now);
    }
    assert_true(w->left);
    while (w->up.first < w->up.end) coordinator_step(w);
}

/** Whatever the coordinator made of a lease: a trial that was run has arrived, and none that was
 * given back has. */
static void check(const world *w)
{
    assert_true(w->bye);
    for (unsigned i = 0; i < w->lease_count; i++) {
        const granted *g = &w->leases[i];
        for (uint64_t t = 0; t < g->lease.count; t++) assert_int_equal(g->came[t], t < g->ended);
        if (g->queued) assert_int_equal(g->ended, g->lease.count - g->tail);
    }
}

static void run_schedule(world *w, uint64_t seed)
{
    static const wk_identity identity = {
        "01234567-89ab-4def-8123-456789abcdef", 99, "here", 7, 2, "portable"};
    const wk_ports ports = {port_send, port_queued, port_prepare, port_add, port_give_back,
                            port_drop, port_busy,   port_leave,   w};
    memset(w, 0, sizeof *w);
    w->seed = seed;
    assert_ok(wk_session_new(&w->session, &identity, ports, 0));
    wk_session_start(w->session, w->now);
    for (int i = 0; i < STEPS; i++) step(w);
    settle(w, below(w, 2) ? WK_DRAIN_FINISH : WK_DRAIN_RETURN);
    check(w);
    wk_session_destroy(&w->session);
    cut(&w->up);
    cut(&w->down);
}

static void everything_arrives(void **state)
{
    world *w = malloc(sizeof *w);
    assert_non_null(w);
    uint64_t leases = 0;
    for (uint64_t seed = 1; seed <= SCHEDULES; seed++) {
        const char *only = getenv("FS_SEED");
        if (only != NULL && strtoull(only, NULL, 10) != seed) continue;
        fprintf(stderr, "\rseed %llu ", (unsigned long long)seed); /* stays if it fails */
        run_schedule(w, seed);
        leases += w->lease_count;
    }
    fprintf(stderr, "%llu leases\n", (unsigned long long)leases);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(everything_arrives)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
