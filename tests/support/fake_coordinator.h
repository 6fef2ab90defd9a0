/** A coordinator played by a test: a ROUTER, a real flipsweep-worker process, and what it says. */
#ifndef FAKE_COORDINATOR_H
#define FAKE_COORDINATOR_H

#include <sys/types.h>
#include <sys/wait.h>

#include "bus.h"
#include "clock.h"
#include "proto.h"
#include "testing.h"

enum { FAKE_TRIALS_MAX = 200000, FAKE_DEADLINE_MS = 30000 };

typedef struct fake {
    uv_loop_t loop;
    fs_bus *bus;
    char endpoint[128];
    fs_peer peer; /* the last that spoke */
    pid_t pid;
    fs_hash fingerprint;
    int answer_hello; /* WELCOME every HELLO */
    int ack;          /* acknowledge every RESULTS */
    int who;          /* answer anybody who did not say HELLO with WHO */
    int greeted;
    int closed;
    /* what was heard, by type and in detail */
    unsigned heard[128];
    fs_msg_hello hello; /* texts not kept */
    char uuid[FS_PROTO_UUID_BYTES + 1];
    fs_lease returned[8];
    unsigned returned_count;
    unsigned last_count; /* RESULTS that said last */
    uint64_t records;    /* received, repeats included */
    uint64_t sequences[1024];
    unsigned sequence_count;
    unsigned golden_after_results; /* GOLDEN came too late */
    uint8_t *seen;                 /* [FAKE_TRIALS_MAX] times each trial came */
    fs_buf frame;
} fake;

static inline void fake_say(fake *self, const fs_message *message)
{
    fs_buf_clear(&self->frame);
    assert_ok(fs_message_encode(message, &self->frame));
    assert_ok(fs_bus_send(self->bus, &self->peer, self->frame.data, self->frame.size));
}

static inline void fake_welcome(fake *self)
{
    fs_message m = {.type = FS_MSG_WELCOME};
    m.u.welcome.fingerprint = self->fingerprint;
    m.u.welcome.campaign = fs_text_of("campaign: simulated\n");
    m.u.welcome.heartbeat_ms = 200;
    m.u.welcome.lease_ms = FS_LEASE_MS;
    fake_say(self, &m);
}

static inline void fake_grant(fake *self, uint64_t id, uint64_t first, uint64_t count)
{
    fs_message m = {.type = FS_MSG_GRANT};
    m.u.grant.lease = (fs_lease){id, 7, first, count};
    m.u.grant.deadline_ms = FS_LEASE_MS;
    fake_say(self, &m);
}

static inline void fake_results(fake *self, const fs_msg_results *results)
{
    for (uint32_t i = 0; i < results->count; i++) {
        assert_true(results->results[i].trial < FAKE_TRIALS_MAX);
        self->seen[results->results[i].trial]++;
    }
    if (self->heard[FS_MSG_GOLDEN] == 0) self->golden_after_results++;
    self->records += results->count;
    self->last_count += (unsigned)results->last;
    if (self->sequence_count < 1024) self->sequences[self->sequence_count++] = results->sequence;
    fs_message m = {.type = FS_MSG_ACK};
    m.u.ack = (fs_msg_ack){results->lease, results->sequence, results->count, 0, 0};
    if (self->ack) fake_say(self, &m);
}

static inline void fake_heard(void *data, const fs_peer *peer, const void *frame, size_t size)
{
    fake *self = data;
    fs_message m;
    assert_ok(fs_message_decode(&m, frame, size));
    self->peer = *peer;
    self->heard[m.type]++;
    if (m.type == FS_MSG_HELLO) {
        self->hello = m.u.hello;
        memcpy(self->uuid, m.u.hello.uuid.data, FS_PROTO_UUID_BYTES);
        self->greeted = 1;
        if (self->answer_hello) fake_welcome(self);
    } else if (self->who && !self->greeted) {
        fake_say(self, &(fs_message){.type = FS_MSG_WHO});
    } else if (m.type == FS_MSG_RESULTS) {
        fake_results(self, &m.u.results);
    } else if (m.type == FS_MSG_RETURN) {
        assert_true(self->returned_count < 8);
        self->returned[self->returned_count++] = m.u.returned.lease;
    }
    fs_message_free(&m);
}

static inline void fake_bind(fake *self, const char *endpoint)
{
    const fs_bus_handlers handlers = {fake_heard, NULL, self};
    assert_int_equal(uv_loop_init(&self->loop), 0);
    assert_ok(fs_bus_bind(&self->bus, &self->loop, endpoint, handlers));
    snprintf(self->endpoint, sizeof self->endpoint, "%s", fs_bus_endpoint(self->bus));
    self->greeted = 0;
    self->closed = 0;
}

static inline void fake_on_closed(void *data)
{
    ((fake *)data)->closed = 1;
}

/** The coordinator is gone, as after SIGKILL: nothing lingers. */
static inline void fake_unbind(fake *self)
{
    fs_bus_close(&self->bus, 0, fake_on_closed, self);
    while (uv_run(&self->loop, UV_RUN_ONCE) != 0) {
    }
    assert_true(self->closed);
    assert_int_equal(uv_loop_close(&self->loop), 0);
}

static inline void fake_wake(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

/** Lets the loop run for a while. */
static inline void fake_run(fake *self, uint64_t ms)
{
    uv_timer_t timer;
    uv_timer_init(&self->loop, &timer);
    uv_timer_start(&timer, fake_wake, ms, 0);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&self->loop, UV_RUN_NOWAIT);
}

/** Runs the loop until the condition holds. */
#define fake_until(self, condition)                                                                \
    do {                                                                                           \
        uint64_t fake_start_ms_ = fs_clock_mono_ms();                                              \
        while (!(condition)) {                                                                     \
            fake_run(self, 5);                                                                     \
            if (fs_clock_mono_ms() - fake_start_ms_ > FAKE_DEADLINE_MS) {                          \
                fail_msg("still not after %d ms: %s", FAKE_DEADLINE_MS, #condition);               \
            }                                                                                      \
        }                                                                                          \
    } while (0)

/** Starts the worker that lies beside the test, with more arguments, ending with NULL. */
static inline void fake_start_worker(fake *self, const char *const *more)
{
    char path[1024], program[1100];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    assert_true(n > 0);
    path[n] = '\0';
    *strrchr(path, '/') = '\0';
    snprintf(program, sizeof program, "%s/../bin/flipsweep-worker", path);
    const char *argv[16] = {program, "--connect", self->endpoint};
    for (int i = 0; more[i] != NULL; i++) {
        assert_true(i < 12);
        argv[3 + i] = more[i];
    }
    self->pid = fork();
    assert_true(self->pid >= 0);
    if (self->pid == 0) {
        execv(program, (char **)(uintptr_t)argv);
        _exit(127);
    }
}

/** Waits for the worker while the loop runs. @return its exit code, or minus the signal. */
static inline int fake_wait(fake *self)
{
    int ended = 0;
    fake_until(self, waitpid(self->pid, &ended, WNOHANG) == self->pid);
    return WIFEXITED(ended) ? WEXITSTATUS(ended) : -WTERMSIG(ended);
}

static inline fake *fake_new(void)
{
    fake *self = calloc(1, sizeof *self);
    assert_non_null(self);
    self->seen = calloc(FAKE_TRIALS_MAX, 1);
    assert_non_null(self->seen);
    memset(self->fingerprint.bytes, 0x5a, sizeof self->fingerprint.bytes);
    self->answer_hello = self->ack = self->who = 1;
    fake_bind(self, "tcp://127.0.0.1:*");
    return self;
}

static inline void fake_free(fake *self)
{
    fake_unbind(self);
    fs_buf_free(&self->frame);
    free(self->seen);
    free(self);
}

/** @return trials in [first, first + count) that came exactly once. */
static inline uint64_t fake_once(const fake *self, uint64_t first, uint64_t count)
{
    uint64_t once = 0;
    for (uint64_t i = first; i < first + count; i++) once += self->seen[i] == 1;
    return once;
}

/** @return trials in [first, first + count) that came at least once. */
static inline uint64_t fake_came(const fake *self, uint64_t first, uint64_t count)
{
    uint64_t came = 0;
    for (uint64_t i = first; i < first + count; i++) came += self->seen[i] > 0;
    return came;
}

#endif
