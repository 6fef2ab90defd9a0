/** The coordinator's state and what it does with messages: bus, scheduler, workers and store tied
 * together, without clocks, signals and screens, which are coord_loop's.
 *
 * A result is acknowledged from the store's callback only. What a worker sends is checked against
 * the plan before anything else believes it; what makes no sense is counted, said at most once a
 * minute per worker, and dropped. Thread rule: the loop's thread. */
#ifndef COORD_CORE_H
#define COORD_CORE_H

#include <stdint.h>

#include "bus.h"
#include "coord_scheduler.h"
#include "coord_store.h"
#include "coord_workers.h"
#include "plan.h"

enum {
    COORD_PROBE_MS = 3000, /* silence after which a worker is asked WHO */
    COORD_LOST_MS = 3000,  /* at the end a worker that cannot be reached is given up after this */
    COORD_GRACE_MS = 3000, /* after a restart workers may claim what they hold */
    COORD_GARBAGE_SAY_MS = 60000,
    COORD_GARBAGE_MAX = 1000 /* frames of garbage after which a worker is rejected */
};

typedef enum coord_phase {
    COORD_RUNNING,
    COORD_DRAINING, /* nothing is granted, what is leased is finished */
    COORD_LEAVING   /* workers are told to stop, their results are still taken */
} coord_phase;

typedef struct coord_core {
    const fs_plan *plan;
    const char *campaign_text; /* effective, sent to workers */
    coord_scheduler *scheduler;
    coord_workers *workers;
    coord_store *store;
    fs_bus *bus;
    fs_store_golden *golden; /* [variants] */
    uint8_t *golden_known;   /* [variants] */
    fs_buf frame;            /* for sending */
    coord_phase phase;
    int paused; /* the disk is full */
    uint64_t grace_end_ms;
    uint64_t accepted; /* new results stored by this process */
    uint64_t duplicates, mismatches, quarantined;
    uint64_t garbage;         /* frames that made no sense, of everybody */
    uint64_t garbage_said_ms; /* of peers that are no workers */
    uint64_t retries;         /* of the scheduler's, those journalled */
    fs_status failure;        /* why the campaign cannot go on */
    char failure_text[1024];
    char last_fatal[1024]; /* what the last worker said that could not serve */
} coord_core;

/** Builds scheduler and tables from the plan and what the store has. Errors: FS_ENOMEM, those of
 * the store. */
FS_MUST_CHECK fs_status coord_core_init(coord_core *self, const fs_plan *plan,
                                        const char *campaign_text, fs_store *store);
void coord_core_free(coord_core *self);

/** fs_bus_handlers. */
void coord_core_message(void *self, const fs_peer *peer, const void *frame, size_t size);
void coord_core_lost(void *self, const fs_peer *peer);
/** For coord_store_start(). */
void coord_core_pause(void *self, int paused, const char *why);

/** Looks for silent workers and expired leases, and grants. Call every few hundred ms. */
void coord_core_tick(coord_core *self);
/** A process of this host that served as a worker has ended. */
void coord_core_child_gone(coord_core *self, uint32_t pid, int planned);
/** Tells all workers to finish their leases (COORD_DRAINING) or to drop them (COORD_LEAVING). */
void coord_core_stop(coord_core *self, coord_phase phase, const char *why);
/** Records why the campaign cannot go on; the first reason stays. */
void coord_core_fail(coord_core *self, fs_status status);

/* For coord_core.c, coord_messages.c and coord_results.c only. */

/** Sends a message to a peer; a failure is logged, as the other side's silence will be noticed. */
void coord_core__send(coord_core *self, const fs_peer *peer, const fs_message *message);
/** Ends the campaign by a status of the scheduler that is no worker's fault; nothing is lost. */
void coord_core__must(coord_core *self, fs_status status);
/** The same of what a worker's message led to: where it is FS_EPROTO the message was garbage. */
void coord_core__judge(coord_core *self, uint32_t index, fs_status status);
/** Counts and says that a frame made no sense. */
void coord_core__garbage(coord_core *self, int64_t worker, const char *why);
/** Grants a worker whatever it may have. */
void coord_core__grant(coord_core *self, uint32_t index);
/** Grants every worker that is ready. */
void coord_core__grant_all(coord_core *self);
/** A worker has gone; its leases are others' now. */
void coord_core__leave(coord_core *self, uint32_t index, coord_departure how, const char *why);
/** Tells a worker to stop, as the phase says. */
void coord_core__stop(coord_core *self, const fs_peer *peer, const char *why);
/** Stores and counts what the scheduler has quarantined. */
void coord_core__quarantine(coord_core *self, const char *cause);
/** Warns of each arm that reads a variant whose fault-free run has no finite answer. */
void coord_core__judge_golden(const coord_core *self, uint32_t variant);
/** Queues a line for the journal. */
void coord_core__event(coord_core *self, const char *kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/** Takes a RESULTS message. */
void coord_core__results(coord_core *self, uint32_t index, const fs_msg_results *results);

#endif
