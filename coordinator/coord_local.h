/** Worker processes of this machine, started beside the coordinator and started again when they
 * die. Each has its own session, so that Ctrl-C reaches the coordinator only, and dies with its
 * parent. Thread rule: the loop's thread. */
#ifndef COORD_LOCAL_H
#define COORD_LOCAL_H

#include <stdint.h>
#include <uv.h>

#include "status.h"

enum {
    COORD_LOCAL_MAX = 256,        /* worker processes */
    COORD_LOCAL_REFUSALS_MAX = 3, /* exits with a failure, in a row, without progress */
    COORD_LOCAL_EXITS_MAX = 50,   /* exits of any kind, in a row, without progress */
    COORD_LOCAL_BACKOFF_MS = 100, /* before a start, times the exits in a row */
    COORD_LOCAL_BACKOFF_MS_MAX = 2000
};

typedef struct coord_local coord_local;

typedef struct coord_local_options {
    uint32_t workers;
    uint32_t threads;     /* of each; 0: the worker's default */
    const char *endpoint; /* to connect to; copied */
    int brute_force;
    int simulate;
    uint64_t simulate_us; /* of each simulated trial */
    double audit;         /* 0: none */
    const char *work;     /* folder for what their fine-tuning trials leave; borrowed */
    /** A process ended; `planned` if with exit code 0. */
    void (*gone)(void *data, uint32_t pid, int planned);
    /** They die so often that starting again makes no sense; the detail says how. */
    void (*failed)(void *data, fs_status status);
    void *data;
} coord_local_options;

/** Starts them. Errors: FS_EIO if the program is missing or cannot be started; FS_ENOMEM. */
FS_MUST_CHECK fs_status coord_local_start(coord_local **out, uv_loop_t *loop,
                                          const coord_local_options *options);
/** Results came: the exits until now are forgiven. */
void coord_local_progress(coord_local *self);
/** From now on nothing is started again. */
void coord_local_stop(coord_local *self);
/** @return processes that run. */
uint32_t coord_local_running(const coord_local *self);
/** Ends those that still run with SIGKILL. */
void coord_local_kill(coord_local *self);
/** Closes the handles; no process may run any more. The memory goes when the loop has run on. */
void coord_local_close(coord_local **self);

#endif
