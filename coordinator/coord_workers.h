/** The table of workers: who they are, where they are reached, what state they are in.
 *
 * Indices stay the same while a worker is known and are what the scheduler calls a worker. A worker
 * that is gone keeps its place for a while, so that its late results can be told apart from
 * garbage. Nothing but coord_worker_transition() changes a state. Thread rule: the loop's thread.
 */
#ifndef COORD_WORKERS_H
#define COORD_WORKERS_H

#include <stddef.h>
#include <stdint.h>

#include "bus.h"
#include "proto.h"

/* X(NAME, text) */
#define COORD_WORKER_STATE_MAP(X)                                                                  \
    X(FREE, "free")                                                                                \
    X(PREPARING, "preparing") /* said HELLO; looks for models and data */                          \
    X(READY, "ready")         /* may be granted leases */                                          \
    X(DRAINING, "draining")   /* finishes what it has and gets nothing more */                     \
    X(GONE, "gone")           /* left, died, fell silent or was rejected */

typedef enum coord_worker_state {
#define X(name, text) COORD_WORKER_##name,
    COORD_WORKER_STATE_MAP(X)
#undef X
        COORD_WORKER_STATE_COUNT
} coord_worker_state;

typedef enum coord_worker_event {
    COORD_WORKER_HELLO,
    COORD_WORKER_SAYS_READY,
    COORD_WORKER_DRAINS, /* it said so, or we told it to */
    COORD_WORKER_LEAVES, /* for whatever reason */
    COORD_WORKER_FORGET,
    COORD_WORKER_EVENT_COUNT
} coord_worker_event;

typedef struct coord_worker {
    coord_worker_state state;
    fs_peer peer;
    char uuid[FS_PROTO_UUID_BYTES + 1];
    uint64_t boot_ms;
    char host[FS_PROTO_HOST_BYTES_MAX + 1];
    char kernel[FS_PROTO_KERNEL_BYTES_MAX + 1];
    uint32_t pid;
    uint32_t threads;
    uint32_t generation; /* changes when the place is given to somebody else */
    uint32_t busy;       /* threads at work, as it says */
    uint64_t heard_ms;
    uint64_t trials;  /* new results of it that were stored */
    uint64_t garbage; /* frames that made no sense */
    uint64_t garbage_said_ms;
    uint8_t *golden; /* [variants] its golden run is made */
} coord_worker;

typedef struct coord_workers coord_workers;

enum {
    /* Who says nothing for so long may be a process that ended: containers give pids twice. */
    COORD_WORKER_SILENT_MS = 3 * FS_HEARTBEAT_MS
};

/** `variants` of the plan. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_workers_new(coord_workers **out, uint32_t variants);
void coord_workers_destroy(coord_workers **self);

/** @return the new state, which is set. Asserts that the event is legal in the state. */
coord_worker_state coord_worker_transition(coord_worker *self, coord_worker_event event);
/** @return nonzero if the event is legal in the worker's state. */
int coord_worker_allows(const coord_worker *self, coord_worker_event event);
const char *coord_worker_state_name(coord_worker_state state);

/** Finds the place of a worker that says HELLO: its own if the same process is known, else a new
 * one. Fills in who it is and sets it to preparing. `*known` tells whether it was there, alive;
 * `*former` is the index of a former process that is thereby over, or -1: one of the same uuid, or
 * one that had the same pid on the same host and is silent, and that was started before.
 * Errors: FS_ELIMIT beyond FS_WORKERS_MAX, FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_workers_hello(coord_workers *self, const fs_peer *peer,
                                            const fs_msg_hello *hello, uint64_t now_ms,
                                            uint32_t *index, int *known, int64_t *former);
/** @return the index of the worker behind a peer, -1 if there is none. One that is gone counts. */
int64_t coord_workers_find(const coord_workers *self, const fs_peer *peer);
/** @return the index of a worker that is not gone, by its process on this host; -1: none. */
int64_t coord_workers_by_pid(const coord_workers *self, uint32_t pid, const char *host);
/** @return one past the highest index in use. */
uint32_t coord_workers_end(const coord_workers *self);
/** @return the worker at an index below the end; may be free. */
coord_worker *coord_workers_at(coord_workers *self, uint32_t index);
/** @return workers that are not gone. */
uint32_t coord_workers_live(const coord_workers *self);
/** @return compute threads of the workers that are ready. */
uint32_t coord_workers_threads(const coord_workers *self);

#endif
