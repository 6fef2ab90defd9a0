#include "bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <zmq.h>

#include "assert.h"
#include "log.h"

enum {
    ENDPOINT_BYTES_MAX = 256,
    BACKLOG = 4096,
    RECONNECT_MS = 200,
    RECONNECT_MS_MAX = 5000,
    HEARTBEAT_MS = 1000,
    HEARTBEAT_TIMEOUT_MS = 2000,
    CLOSE_MS_MAX = 60000,
    PEER_FRAMES_MAX = 16384, /* a peer that leaves so many unread counts as lost */
    RECEIVE_BUDGET = 512     /* messages in one turn of the loop */
};

/** A frame on its way out. */
typedef struct bus_frame {
    struct bus_frame *next;
    fs_peer peer; /* zero size at a DEALER */
    zmq_msg_t body;
    size_t bytes;
} bus_frame;

struct fs_bus {
    void *context;
    void *socket; /* NULL once closed */
    int router;
    char endpoint[ENDPOINT_BYTES_MAX];
    fs_bus_handlers handlers;
    bus_frame *first;
    bus_frame **last;
    size_t queued;
    size_t queued_bytes;
    uint64_t dropped;
    /* The loop recipe: `poll` wakes the loop, `prepare` asks ZeroMQ whether work waits and keeps
     * `idle` going if so, `check` does it. ZMQ_FD is edge-triggered: it tells that ZMQ_EVENTS may
     * have changed, not that something can be read, so that waiting on it alone stalls. */
    uv_poll_t poll;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;
    uv_timer_t linger;
    uv_work_t term;
    unsigned holds;       /* handles and work that still refer to us while closing */
    int closing;          /* fs_bus_close was called: send what is queued, receive nothing */
    uint64_t close_by_ms; /* of the loop's clock */
    void (*closed)(void *data);
    void *closed_data;
};

/* Its being active is its work: the loop does not wait while an idle handle runs. */
static void on_idle(uv_idle_t *idle)
{
}

/* ---- the outgoing queue ---- */

static void pop_frame(fs_bus *self)
{
    bus_frame *frame = self->first;
    self->first = frame->next;
    if (self->first == NULL) self->last = &self->first;
    self->queued--;
    self->queued_bytes -= frame->bytes;
    zmq_msg_close(&frame->body);
    free(frame);
}

/** Sends the first frame. @return 0, or the errno that tells why it stays. */
static int send_first(fs_bus *self)
{
    bus_frame *frame = self->first;
    int rc;
    if (self->router) {
        /* Whether the peer can be reached is decided here; the body then cannot be refused. */
        do {
            rc = zmq_send(self->socket, frame->peer.id, frame->peer.size,
                          ZMQ_DONTWAIT | ZMQ_SNDMORE);
        } while (rc < 0 && zmq_errno() == EINTR);
        if (rc < 0) return zmq_errno();
    }
    do {
        rc = zmq_msg_send(&frame->body, self->socket, ZMQ_DONTWAIT);
    } while (rc < 0 && zmq_errno() == EINTR);
    return rc < 0 ? zmq_errno() : 0;
}

static void flush_sends(fs_bus *self)
{
    while (self->first != NULL) {
        int error = send_first(self);
        if (error == EAGAIN && !self->router) return; /* not connected, or the peer is slow */
        fs_peer peer = self->first->peer;
        pop_frame(self);
        if (error == 0) continue;
        /* EHOSTUNREACH: the peer is gone. EAGAIN at a ROUTER: it has stopped reading, and what is
         * queued for it would block everybody else's. Both are lost to us. */
        self->dropped++;
        if (!self->closing && self->handlers.lost != NULL) {
            self->handlers.lost(self->handlers.data, &peer);
        }
    }
}

fs_status fs_bus_send(fs_bus *self, const fs_peer *peer, const void *frame, size_t size)
{
    FS_ASSERT(self->router == (peer != NULL) && !self->closing);
    FS_ASSERT(size > 0 && size <= FS_MESSAGE_BYTES_MAX);
    if (self->queued >= FS_BUS_FRAMES_MAX || size > FS_BUS_BYTES_MAX - self->queued_bytes) {
        return fs_fail(FS_ELIMIT, "%s: %zu frames and %zu bytes wait to be sent", self->endpoint,
                       self->queued, self->queued_bytes);
    }
    bus_frame *item = calloc(1, sizeof *item);
    if (item == NULL) return fs_fail(FS_ENOMEM, "no memory for a message");
    if (zmq_msg_init_size(&item->body, size) != 0) {
        free(item);
        return fs_fail(FS_ENOMEM, "no memory for a message of %zu bytes", size);
    }
    memcpy(zmq_msg_data(&item->body), frame, size);
    if (peer != NULL) item->peer = *peer;
    item->bytes = size;
    *self->last = item;
    self->last = &item->next;
    self->queued++;
    self->queued_bytes += size;
    /* Whatever called us, the loop must come round to `check` before it waits. */
    uv_idle_start(&self->idle, on_idle);
    return FS_OK;
}

/* ---- receiving ---- */

/** One message: the routing identity (ROUTER), one frame, and how many there were. */
typedef struct bus_parts {
    fs_peer peer;
    zmq_msg_t body;
    unsigned count;
} bus_parts;

static void keep_part(const fs_bus *self, bus_parts *parts, zmq_msg_t *part)
{
    unsigned index = parts->count++;
    if (self->router && index == 0) {
        /* ROUTER made it up, in 5 bytes; or the peer chose it, in up to 255. */
        size_t size = zmq_msg_size(part);
        if (size == 0 || size > sizeof parts->peer.id) return;
        memcpy(parts->peer.id, zmq_msg_data(part), size);
        parts->peer.size = size;
    } else if (index == (self->router ? 1u : 0u)) {
        zmq_msg_move(&parts->body, part);
    }
}

/** Receives one message whole; frames beyond the first are let go one by one.
 * @return 0 if none waits. */
static int receive_parts(const fs_bus *self, bus_parts *parts)
{
    for (int more = 1; more;) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        int rc = zmq_msg_recv(&part, self->socket, ZMQ_DONTWAIT);
        if (rc < 0 && zmq_errno() == EINTR) continue;
        if (rc < 0) return 0;
        more = zmq_msg_more(&part); /* before the part is moved away */
        keep_part(self, parts, &part);
        zmq_msg_close(&part);
    }
    return 1;
}

static int receive_one(fs_bus *self)
{
    bus_parts parts = {0};
    zmq_msg_init(&parts.body);
    int received = receive_parts(self, &parts);
    size_t size = zmq_msg_size(&parts.body);
    int whole = parts.count == FS_MESSAGE_FRAMES_MAX - (self->router ? 0u : 1u) &&
                (!self->router || parts.peer.size > 0);
    if (received && (!whole || size == 0 || size > FS_MESSAGE_BYTES_MAX)) {
        self->dropped++;
        fs_debug("%s: dropped a message of %u frames", self->endpoint, parts.count);
    } else if (received) {
        self->handlers.message(self->handlers.data, &parts.peer, zmq_msg_data(&parts.body), size);
    }
    zmq_msg_close(&parts.body);
    return received;
}

static int events_of(const fs_bus *self)
{
    int events = 0;
    size_t size = sizeof events;
    int rc = zmq_getsockopt(self->socket, ZMQ_EVENTS, &events, &size);
    return rc == 0 ? events : 0;
}

/* ---- the loop's callbacks ---- */

static void shut(fs_bus *self);

/** Level-triggered on an edge-triggered descriptor: it only wakes the loop, and `prepare` asks. */
static void on_poll(uv_poll_t *poll, int status, int events)
{
}

static void on_prepare(uv_prepare_t *prepare)
{
    fs_bus *self = prepare->data;
    int events = events_of(self);
    int work = (events & ZMQ_POLLIN && !self->closing) ||
               (self->first != NULL && (self->router || events & ZMQ_POLLOUT));
    if (work) {
        uv_idle_start(&self->idle, on_idle);
    } else {
        uv_idle_stop(&self->idle);
    }
}

static void on_check(uv_check_t *check)
{
    fs_bus *self = check->data;
    for (int budget = RECEIVE_BUDGET; budget > 0 && !self->closing; budget--) {
        if (!receive_one(self)) break;
    }
    flush_sends(self);
    if (self->closing && self->first == NULL) shut(self);
}

/* ---- making ---- */

/** ZeroMQ takes a port modulo 65536 without a word, so that ports are looked at here. */
static int is_port(const char *text, int router)
{
    if (router && (strcmp(text, "*") == 0 || strcmp(text, "0") == 0)) return 1;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits] != '\0') return 0;
    long port = strtol(text, NULL, 10);
    return port >= 1 && port <= 65535;
}

static int is_endpoint(const char *endpoint, int router)
{
    if (strlen(endpoint) >= ENDPOINT_BYTES_MAX) return 0;
    if (strncmp(endpoint, "ipc://", 6) == 0) return endpoint[6] != '\0';
    const char *colon = strrchr(endpoint, ':');
    return strncmp(endpoint, "tcp://", 6) == 0 && colon > endpoint + 6 &&
           is_port(colon + 1, router);
}

static fs_status set_options(fs_bus *self)
{
    const struct {
        int name;
        int value;
    } options[] = {
        {ZMQ_RCVHWM, 1000},
        {ZMQ_SNDHWM, self->router ? PEER_FRAMES_MAX : 1000},
        {ZMQ_BACKLOG, BACKLOG},
        {ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS},
        {ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS},
        {ZMQ_RECONNECT_IVL, RECONNECT_MS},
        {ZMQ_RECONNECT_IVL_MAX, RECONNECT_MS_MAX},
        {ZMQ_IMMEDIATE, 1},
        {ZMQ_LINGER, 0}, /* until fs_bus_close says otherwise */
    };
    int64_t bytes_max = FS_MESSAGE_BYTES_MAX;
    int rc = zmq_setsockopt(self->socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof bytes_max);
    for (size_t i = 0; rc == 0 && i < sizeof options / sizeof options[0]; i++) {
        rc = zmq_setsockopt(self->socket, options[i].name, &options[i].value, sizeof(int));
    }
    int mandatory = 1;
    if (rc == 0 && self->router) {
        rc = zmq_setsockopt(self->socket, ZMQ_ROUTER_MANDATORY, &mandatory, sizeof mandatory);
    }
    if (rc == 0) return FS_OK;
    return fs_fail(FS_EINTERNAL, "cannot set up a socket: %s", zmq_strerror(zmq_errno()));
}

static fs_status attach(fs_bus *self, const char *endpoint)
{
    int rc = self->router ? zmq_bind(self->socket, endpoint) : zmq_connect(self->socket, endpoint);
    if (rc == 0) {
        size_t size = sizeof self->endpoint;
        rc = zmq_getsockopt(self->socket, ZMQ_LAST_ENDPOINT, self->endpoint, &size);
    }
    if (rc == 0) return FS_OK;
    int error = zmq_errno();
    const char *verb = self->router ? "bind" : "connect to";
    switch (error) {
    case EADDRINUSE:
        return fs_fail(FS_EBUSY, "cannot bind %s: another process has this address", endpoint);
    case EINVAL:
    case ENODEV:
    case EADDRNOTAVAIL:
    case EPROTONOSUPPORT:
    case ENAMETOOLONG:
        return fs_fail(FS_EUSAGE, "cannot %s %s: %s", verb, endpoint, zmq_strerror(error));
    default:
        return fs_fail(FS_EIO, "cannot %s %s: %s", verb, endpoint, zmq_strerror(error));
    }
}

static fs_status start_handles(fs_bus *self, uv_loop_t *loop)
{
    int fd = -1;
    size_t size = sizeof fd;
    if (zmq_getsockopt(self->socket, ZMQ_FD, &fd, &size) != 0) {
        return fs_fail(FS_EINTERNAL, "no descriptor: %s", zmq_strerror(zmq_errno()));
    }
    int rc = uv_poll_init(loop, &self->poll, fd);
    if (rc != 0) return fs_fail(FS_EIO, "cannot watch a socket: %s", uv_strerror(rc));
    uv_prepare_init(loop, &self->prepare);
    uv_check_init(loop, &self->check);
    uv_idle_init(loop, &self->idle);
    uv_timer_init(loop, &self->linger);
    self->poll.data = self->prepare.data = self->check.data = self;
    self->idle.data = self->linger.data = self->term.data = self;
    uv_poll_start(&self->poll, UV_READABLE, on_poll);
    uv_prepare_start(&self->prepare, on_prepare);
    uv_check_start(&self->check, on_check);
    return FS_OK;
}

static fs_status open_bus(fs_bus *self, uv_loop_t *loop, const char *endpoint)
{
    self->context = zmq_ctx_new();
    if (self->context == NULL) return fs_fail(FS_ENOMEM, "no memory for ZeroMQ");
    self->socket = zmq_socket(self->context, self->router ? ZMQ_ROUTER : ZMQ_DEALER);
    if (self->socket == NULL) {
        return fs_fail(FS_EIO, "cannot make a socket: %s", zmq_strerror(zmq_errno()));
    }
    FS_TRY(set_options(self));
    FS_TRY(attach(self, endpoint));
    return start_handles(self, loop);
}

static fs_status new_bus(fs_bus **out, uv_loop_t *loop, const char *endpoint, int router,
                         fs_bus_handlers handlers)
{
    *out = NULL;
    if (!is_endpoint(endpoint, router)) {
        return fs_fail(FS_EUSAGE,
                       "'%.80s' is no address: tcp://HOST:PORT or ipc://PATH, up to %d bytes",
                       endpoint, ENDPOINT_BYTES_MAX - 1);
    }
    fs_bus *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a socket");
    self->router = router;
    self->handlers = handlers;
    self->last = &self->first;
    fs_status status = open_bus(self, loop, endpoint);
    if (status == FS_OK) {
        *out = self;
        return FS_OK;
    }
    if (self->socket != NULL) zmq_close(self->socket);
    if (self->context != NULL) zmq_ctx_term(self->context);
    free(self);
    return status;
}

/** Each worker is a descriptor; the soft limit is often 1024. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) fs_debug("the limit on open files stays as it is");
}

fs_status fs_bus_bind(fs_bus **out, uv_loop_t *loop, const char *endpoint, fs_bus_handlers handlers)
{
    raise_descriptors();
    return new_bus(out, loop, endpoint, 1, handlers);
}

fs_status fs_bus_connect(fs_bus **out, uv_loop_t *loop, const char *endpoint,
                         fs_bus_handlers handlers)
{
    return new_bus(out, loop, endpoint, 0, handlers);
}

const char *fs_bus_endpoint(const fs_bus *self)
{
    return self->endpoint;
}

uint64_t fs_bus_dropped(const fs_bus *self)
{
    return self->dropped;
}

size_t fs_bus_queued(const fs_bus *self)
{
    return self->queued;
}

/* ---- closing ---- */

static void release(fs_bus *self)
{
    if (--self->holds > 0) return;
    while (self->first != NULL) pop_frame(self);
    void (*closed)(void *) = self->closed;
    void *data = self->closed_data;
    free(self);
    if (closed != NULL) closed(data);
}

static void on_handle_closed(uv_handle_t *handle)
{
    release(handle->data);
}

/** Waits for the I/O thread to hand over what lingers, so not on the loop. */
static void term_context(uv_work_t *work)
{
    fs_bus *self = work->data;
    while (zmq_ctx_term(self->context) != 0 && zmq_errno() == EINTR) {
    }
}

static void on_context_gone(uv_work_t *work, int status)
{
    release(work->data);
}

/** Closes everything: the queue is empty or its time is over. */
static void shut(fs_bus *self)
{
    uv_handle_t *handles[] = {(uv_handle_t *)&self->poll, (uv_handle_t *)&self->prepare,
                              (uv_handle_t *)&self->check, (uv_handle_t *)&self->idle,
                              (uv_handle_t *)&self->linger};
    uv_loop_t *loop = self->poll.loop;
    uint64_t now = uv_now(loop);
    int linger_ms = self->close_by_ms > now ? (int)(self->close_by_ms - now) : 0;
    for (size_t i = 0; i < sizeof handles / sizeof handles[0]; i++) {
        self->holds++;
        uv_close(handles[i], on_handle_closed);
    }
    zmq_setsockopt(self->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_close(self->socket);
    self->socket = NULL;
    self->holds++;
    int rc = uv_queue_work(loop, &self->term, term_context, on_context_gone);
    FS_ASSERT(rc == 0);
}

static void on_linger(uv_timer_t *timer)
{
    shut(timer->data);
}

void fs_bus_close(fs_bus **bus, int linger_ms, void (*closed)(void *data), void *data)
{
    fs_bus *self = *bus;
    *bus = NULL;
    FS_ASSERT(linger_ms >= 0 && linger_ms <= CLOSE_MS_MAX && !self->closing);
    self->closing = 1;
    self->closed = closed;
    self->closed_data = data;
    self->close_by_ms = uv_now(self->poll.loop) + (uint64_t)linger_ms;
    /* `check` shuts once the queue is empty, the timer when it will not empty; both come from the
     * loop, so that closing inside a callback of ours is safe. */
    uv_timer_start(&self->linger, on_linger, (uint64_t)linger_ms, 0);
    uv_idle_start(&self->idle, on_idle);
}
