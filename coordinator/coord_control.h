/** A local socket in the store's folder: `stop` and `status` talk to the running coordinator.
 *
 * One word in, one line of JSON out, then the connection closes. Only who may write to the folder
 * can reach it. The socket of a killed coordinator is replaced by the next one, which holds the
 * store's lock. Thread rule: the server on the loop's thread; the client reentrant. */
#ifndef COORD_CONTROL_H
#define COORD_CONTROL_H

#include <uv.h>

#include "buf.h"
#include "status.h"

typedef struct coord_control coord_control;

enum {
    COORD_CONTROL_WORD_BYTES_MAX = 32,
    COORD_CONTROL_REPLY_BYTES_MAX = 16 << 20,
    COORD_CONTROL_CLIENTS_MAX = 16,
    COORD_CONTROL_CLIENT_MS = 2000 /* for a client to say its word */
};

/** Answers a word: appends JSON on one line to `reply`. */
typedef fs_status coord_control_answer(void *data, const char *word, fs_buf *reply);

/** Listens in `dir`. Errors: FS_EIO naming the path. */
FS_MUST_CHECK fs_status coord_control_listen(coord_control **out, uv_loop_t *loop, const char *dir,
                                             coord_control_answer *answer, void *data);
/** Closes everything and removes the socket; the memory goes when the loop has run on. */
void coord_control_close(coord_control **self);

/** Asks the coordinator that runs over the store in `dir`; blocks, at most `timeout_ms`. The reply
 * is appended. Errors: FS_ENOENT when no coordinator listens, FS_ETIMEOUT, FS_EIO. */
FS_MUST_CHECK fs_status coord_control_ask(const char *dir, const char *word, int timeout_ms,
                                          fs_buf *reply);

#endif
