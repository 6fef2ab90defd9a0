/** ZeroMQ sockets on a libuv loop: one ROUTER at the coordinator, one DEALER at each worker.
 *
 * Implements the loop recipe and the socket options of `orchestration.md`: uv_poll on ZMQ_FD with
 * an empty callback, uv_prepare that looks at ZMQ_EVENTS and keeps an idle handle going while work
 * waits, uv_check that receives within a budget and flushes sends. Frames and messages beyond the
 * limits are dropped with a count; nothing a peer sends can end the process.
 * Thread rule: the loop's thread. */
#ifndef FS_BUS_H
#define FS_BUS_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "limits.h"
#include "status.h"

typedef struct fs_bus fs_bus;

/** A peer's routing identity as ROUTER gives it; zero size at a DEALER. */
typedef struct fs_peer {
    uint8_t id[32];
    size_t size;
} fs_peer;

typedef struct fs_bus_handlers {
    /** One whole frame arrived. Borrowed until return. */
    void (*message)(void *data, const fs_peer *peer, const void *frame, size_t size);
    /** A queued frame to this peer could not be delivered and was dropped: the peer is gone, or has
     * not read for so long that its queue is full (ROUTER, MANDATORY). Called on the loop after
     * fs_bus_send has returned, once for each such frame. May be NULL. */
    void (*lost)(void *data, const fs_peer *peer);
    void *data;
} fs_bus_handlers;

/** Binds a ROUTER. `endpoint` may end in ":*" for a free port. Errors: FS_EUSAGE for a malformed
 * endpoint, FS_EBUSY if the address is taken, FS_EIO. */
FS_MUST_CHECK fs_status fs_bus_bind(fs_bus **out, uv_loop_t *loop, const char *endpoint,
                                    fs_bus_handlers handlers);
/** Connects a DEALER; reconnects for ever. Errors: FS_EUSAGE, FS_EIO. */
FS_MUST_CHECK fs_status fs_bus_connect(fs_bus **out, uv_loop_t *loop, const char *endpoint,
                                       fs_bus_handlers handlers);
/** Queues one frame of 1..FS_MESSAGE_BYTES_MAX bytes; copied. `peer` is NULL at a DEALER. Sent is
 * not delivered: what a DEALER had queued in a connection that breaks is lost. Errors: FS_ELIMIT
 * beyond FS_BUS_FRAMES_MAX or FS_BUS_BYTES_MAX, FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_bus_send(fs_bus *self, const fs_peer *peer, const void *frame,
                                    size_t size);
/** @return the bound endpoint with its real port; borrowed. */
const char *fs_bus_endpoint(const fs_bus *self);
/** @return messages dropped: received ones that were not one frame within the limits, and sends to
 * lost peers. */
uint64_t fs_bus_dropped(const fs_bus *self);
/** @return frames that ZeroMQ has not taken yet: at a DEALER, those that wait for a connection. */
size_t fs_bus_queued(const fs_bus *self);
/** Closes handles and socket, waiting at most `linger_ms` (0..60000) for queued frames; nothing is
 * received any more. `closed` (may be NULL) is called on the loop when all is gone. */
void fs_bus_close(fs_bus **self, int linger_ms, void (*closed)(void *data), void *data);

#endif
