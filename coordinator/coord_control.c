#include "coord_control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "assert.h"
#include "clock.h"
#include "file.h"
#include "limits.h"
#include "log.h"

static const char socket_name[] = "control.sock";

typedef struct client {
    uv_pipe_t pipe;
    uv_timer_t timer;
    coord_control *control;
    char word[COORD_CONTROL_WORD_BYTES_MAX];
    size_t size;
    fs_buf reply;
    uv_write_t write;
    int open_handles;
} client;

struct coord_control {
    uv_pipe_t pipe;
    char path[FS_PATH_BYTES_MAX];
    coord_control_answer *answer;
    void *data;
    client *clients[COORD_CONTROL_CLIENTS_MAX];
    unsigned client_count;
    int closing;
    int pipe_open;
};

/** The folder's socket under a name that always fits sun_path: through /proc where it is long.
 * `*folder` is an open descriptor to be kept until the address was used, or -1. */
static fs_status make_address(const char *dir, struct sockaddr_un *out, int *folder)
{
    *folder = -1;
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(out->sun_path, sizeof out->sun_path, "%s/%s", dir, socket_name);
    if (n > 0 && (size_t)n < sizeof out->sun_path) return FS_OK;
    *folder = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*folder < 0) return fs_fail(FS_ENOENT, "%s: %s", dir, strerror(errno));
    snprintf(out->sun_path, sizeof out->sun_path, "/proc/self/fd/%d/%s", *folder, socket_name);
    return FS_OK;
}

/* --- server --- */

static void maybe_free(coord_control *self)
{
    if (self->closing && !self->pipe_open && self->client_count == 0) free(self);
}

static void on_client_closed(uv_handle_t *handle)
{
    client *c = handle->data;
    if (--c->open_handles > 0) return;
    coord_control *control = c->control;
    for (unsigned i = 0; i < COORD_CONTROL_CLIENTS_MAX; i++)
        if (control->clients[i] == c) control->clients[i] = NULL;
    control->client_count--;
    fs_buf_free(&c->reply);
    free(c);
    maybe_free(control);
}

static void close_client(client *c)
{
    if (uv_is_closing((uv_handle_t *)&c->pipe)) return;
    uv_close((uv_handle_t *)&c->pipe, on_client_closed);
    uv_close((uv_handle_t *)&c->timer, on_client_closed);
}

static void on_client_timeout(uv_timer_t *timer)
{
    close_client(timer->data);
}

static void on_written(uv_write_t *request, int status)
{
    (void)status; /* who has gone away does not want the answer */
    close_client(request->data);
}

static void answer(client *c)
{
    coord_control *control = c->control;
    uv_read_stop((uv_stream_t *)&c->pipe);
    fs_status status = control->answer(control->data, c->word, &c->reply);
    if (status == FS_OK) status = fs_buf_puts(&c->reply, "\n");
    uv_buf_t buffer = uv_buf_init((char *)c->reply.data, (unsigned)c->reply.size);
    c->write.data = c;
    if (status != FS_OK ||
        uv_write(&c->write, (uv_stream_t *)&c->pipe, &buffer, 1, on_written) != 0)
        close_client(c);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)suggested;
    client *c = handle->data;
    *out = uv_buf_init(c->word + c->size, (unsigned)(sizeof c->word - 1 - c->size));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    (void)buffer;
    client *c = stream->data;
    if (n < 0) {
        close_client(c);
        return;
    }
    c->size += (size_t)n;
    char *end = memchr(c->word, '\n', c->size);
    if (end != NULL) {
        *end = '\0';
        answer(c);
    } else if (c->size == sizeof c->word - 1) {
        close_client(c);
    }
}

static void on_connection(uv_stream_t *server, int status)
{
    coord_control *self = server->data;
    if (status != 0) return;
    client *c = calloc(1, sizeof *c);
    if (c == NULL) return;
    unsigned place = 0;
    while (place < COORD_CONTROL_CLIENTS_MAX && self->clients[place] != NULL) place++;
    uv_pipe_init(server->loop, &c->pipe, 0);
    uv_timer_init(server->loop, &c->timer);
    c->pipe.data = c->timer.data = c;
    c->control = self;
    c->open_handles = 2;
    self->client_count++;
    if (place < COORD_CONTROL_CLIENTS_MAX) self->clients[place] = c;
    if (uv_accept(server, (uv_stream_t *)&c->pipe) != 0 || place == COORD_CONTROL_CLIENTS_MAX ||
        uv_timer_start(&c->timer, on_client_timeout, COORD_CONTROL_CLIENT_MS, 0) != 0 ||
        uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) != 0)
        close_client(c);
}

static void on_pipe_closed(uv_handle_t *handle)
{
    coord_control *self = handle->data;
    self->pipe_open = 0;
    maybe_free(self);
}

/** Binds by hand: libuv cuts long paths, and the mode must be right from the start. */
static fs_status bind_socket(const char *dir, int *out)
{
    struct sockaddr_un address;
    int folder = -1;
    FS_TRY(make_address(dir, &address, &folder));
    unlink(address.sun_path); /* of a coordinator that was killed: we hold the store's lock */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t old = umask(0177);
    int ok = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    int error = errno;
    umask(old);
    if (folder >= 0) close(folder);
    *out = fd;
    if (ok) return FS_OK;
    if (fd >= 0) close(fd);
    return fs_fail(FS_EIO, "%s/%s: %s", dir, socket_name, strerror(error));
}

fs_status coord_control_listen(coord_control **out, uv_loop_t *loop, const char *dir,
                               coord_control_answer *answer_word, void *data)
{
    int fd = -1;
    coord_control *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for the control socket");
    self->answer = answer_word;
    self->data = data;
    fs_status status = fs_path_join(self->path, dir, socket_name);
    if (status == FS_OK) status = bind_socket(dir, &fd);
    if (status != FS_OK) {
        free(self);
        return status;
    }
    uv_pipe_init(loop, &self->pipe, 0);
    self->pipe.data = self;
    self->pipe_open = 1;
    int rc = uv_pipe_open(&self->pipe, fd);
    if (rc != 0) close(fd);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&self->pipe, COORD_CONTROL_CLIENTS_MAX, on_connection);
    if (rc != 0) {
        coord_control_close(&self);
        return fs_fail(FS_EIO, "%s/%s: %s", dir, socket_name, uv_strerror(rc));
    }
    *out = self;
    return FS_OK;
}

void coord_control_close(coord_control **self)
{
    coord_control *control = *self;
    if (control == NULL) return;
    *self = NULL;
    control->closing = 1;
    unlink(control->path);
    for (unsigned i = 0; i < COORD_CONTROL_CLIENTS_MAX; i++)
        if (control->clients[i] != NULL) close_client(control->clients[i]);
    uv_close((uv_handle_t *)&control->pipe, on_pipe_closed);
}

/* --- client --- */

/** Waits until the descriptor is ready or the deadline is past. */
static fs_status wait_for(int fd, short events, uint64_t deadline_ms, const char *dir)
{
    uint64_t now = fs_clock_mono_ms();
    struct pollfd item = {fd, events, 0};
    int rc = poll(&item, 1, now < deadline_ms ? (int)(deadline_ms - now) : 0);
    if (rc > 0) return FS_OK;
    if (rc < 0 && errno != EINTR) return fs_fail(FS_EIO, "%s: %s", dir, strerror(errno));
    if (rc < 0) return wait_for(fd, events, deadline_ms, dir);
    return fs_fail(FS_ETIMEOUT, "%s: the coordinator does not answer", dir);
}

static fs_status read_reply(int fd, const char *dir, uint64_t deadline_ms, fs_buf *reply)
{
    char bytes[4096];
    for (;;) {
        FS_TRY(wait_for(fd, POLLIN, deadline_ms, dir));
        ssize_t n = read(fd, bytes, sizeof bytes);
        if (n == 0) return FS_OK;
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n < 0) return fs_fail(FS_EIO, "%s: %s", dir, strerror(errno));
        if (reply->size + (size_t)n > COORD_CONTROL_REPLY_BYTES_MAX)
            return fs_fail(FS_ELIMIT, "%s: the coordinator's answer is too long", dir);
        FS_TRY(fs_buf_append(reply, bytes, (size_t)n));
    }
}

fs_status coord_control_ask(const char *dir, const char *word, int timeout_ms, fs_buf *reply)
{
    FS_ASSERT(strlen(word) + 1 < COORD_CONTROL_WORD_BYTES_MAX);
    uint64_t deadline = fs_clock_mono_ms() + (uint64_t)timeout_ms;
    struct sockaddr_un address;
    int folder = -1;
    FS_TRY(make_address(dir, &address, &folder));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int connected = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    int error = errno;
    if (folder >= 0) close(folder);
    fs_status status = FS_OK;
    if (!connected && (error == ENOENT || error == ECONNREFUSED || error == ENOTDIR))
        status = fs_fail(FS_ENOENT, "%s: no coordinator is running there", dir);
    else if (!connected)
        status = fs_fail(FS_EIO, "%s/%s: %s", dir, socket_name, strerror(error));
    char line[COORD_CONTROL_WORD_BYTES_MAX + 1];
    int n = snprintf(line, sizeof line, "%s\n", word);
    if (status == FS_OK && send(fd, line, (size_t)n, MSG_NOSIGNAL) != n)
        status = fs_fail(FS_EIO, "%s/%s: %s", dir, socket_name, strerror(errno));
    if (status == FS_OK) status = read_reply(fd, dir, deadline, reply);
    if (fd >= 0) close(fd);
    return status;
}
