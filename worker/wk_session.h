/** The worker's side of the conversation with the coordinator: what it has been told, what it
 * holds, what it still owes.
 *
 * A state machine without sockets, threads or clocks: it acts through a table of ports and is told
 * what happens and what time it is, so that tests can play coordinator. What it holds (leases,
 * results not acknowledged) survives reconnections and a restarted coordinator; proto.h says how.
 * Thread rule: the loop's thread. */
#ifndef WK_SESSION_H
#define WK_SESSION_H

#include <stdint.h>

#include "wk_identity.h"
#include "wk_pool.h"
#include "wk_state.h"

/** What leaving the conversation asks of a worker. */
typedef enum wk_drain {
    WK_DRAIN_FINISH, /* run the leases held to their end (STOP, USR1) */
    WK_DRAIN_RETURN, /* give back what is not started (TERM, the first INT) */
    WK_DRAIN_NOW     /* forget what runs, send what is finished (the second INT) */
} wk_drain;

enum {
    WK_BATCH_MS = 50,            /* a finished trial waits at most this long to be sent */
    WK_HELLO_MS = 500,           /* a HELLO answers every WHO of this time */
    WK_TICK_MS = 25,             /* wk_session_tick is to be called about this often */
    WK_GRACE_MS = 20000,         /* for running trials and acknowledgements when leaving */
    WK_FAILURES_IN_A_ROW_MAX = 8 /* failed trials, after which this worker trusts itself no more */
};

/** What the session acts on. */
typedef struct wk_ports {
    fs_status (*send)(void *data, const void *frame, size_t size);
    /** @return frames that wait for a connection. */
    size_t (*queued)(void *data);
    /** Starts preparing for a campaign, dropping the former one; ends in wk_session_prepared. The
     * welcome is borrowed until return. */
    void (*prepare)(void *data, const fs_msg_welcome *welcome);
    void (*add)(void *data, const fs_lease *lease); /* as wk_pool_add, _give_back, _drop, _busy */
    uint64_t (*give_back)(void *data, uint64_t lease);
    void (*drop)(void *data);
    unsigned (*busy)(void *data);
    /** The conversation is over: send what is queued and end the process with this status. */
    void (*leave)(void *data, fs_status status, const char *why);
    void *data;
} wk_ports;

typedef struct wk_session wk_session;

/** `idle_exit_ms` is the time without work and without a word of the coordinator after which the
 * worker leaves, 0: never. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status wk_session_new(wk_session **out, const wk_identity *identity,
                                       wk_ports ports, uint64_t idle_exit_ms);
void wk_session_destroy(wk_session **self);

/** Says the first HELLO. `now_ms`, here and below, is of a monotonic clock. */
void wk_session_start(wk_session *self, uint64_t now_ms);
/** A frame of the coordinator. What is not understood is logged and dropped. */
void wk_session_message(wk_session *self, const void *frame, size_t size, uint64_t now_ms);
/** Preparing has ended. `status` is FS_OK and the campaign has `cells` cells, or says with `why`
 * that this worker cannot serve it. */
void wk_session_prepared(wk_session *self, fs_status status, const char *why, uint32_t cells,
                         uint64_t now_ms);
/** As the pool's handlers. */
void wk_session_done(wk_session *self, const wk_done *done, uint64_t now_ms);
void wk_session_golden(wk_session *self, uint32_t variant, const wk_golden_info *info);
void wk_session_broken(wk_session *self, fs_status status, const char *why);
/** Sends batches and heartbeats that are due, and leaves when it is time. */
void wk_session_tick(wk_session *self, uint64_t now_ms);
/** A signal or an operator asks the worker to leave. */
void wk_session_drain(wk_session *self, wk_drain how, uint64_t now_ms);

/** What a session has done so far. */
typedef struct wk_counts {
    uint64_t trials;     /* run here, failed ones included */
    uint64_t failed;     /* without a result */
    uint64_t accepted;   /* of the results: stored as the first of their trials, */
    uint64_t duplicates; /* equal to the stored ones, */
    uint64_t mismatches; /* or not */
} wk_counts;

wk_counts wk_session_counts(const wk_session *self);
wk_state wk_session_state(const wk_session *self);
/** @return results that are finished and not acknowledged. */
uint64_t wk_session_unacknowledged(const wk_session *self);

#endif
