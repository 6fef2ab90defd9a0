#include "coord_local.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "assert.h"
#include "file.h"
#include "limits.h"
#include "log.h"

typedef struct child {
    uv_process_t process;
    uv_timer_t again;
    coord_local *local;
    int running;
    int process_open; /* the handle was initialised and is not closed yet */
} child;

struct coord_local {
    uv_loop_t *loop;
    coord_local_options options;
    char program[FS_PATH_BYTES_MAX];
    char endpoint[FS_PATH_BYTES_MAX];
    child *children;          /* [options.workers] */
    unsigned refusals, exits; /* in a row */
    int stopping;
    int closing;
    uint32_t open_handles;
};

static void on_again(uv_timer_t *timer);

static void maybe_free(coord_local *self)
{
    if (!self->closing || self->open_handles > 0) return;
    free(self->children);
    free(self);
}

static void on_closed(uv_handle_t *handle)
{
    child *c = handle->data;
    coord_local *self = c->local;
    if (handle == (uv_handle_t *)&c->process) c->process_open = 0;
    self->open_handles--;
    maybe_free(self);
}

static void describe_exit(int64_t code, int signal_number, char *out, size_t size)
{
    if (signal_number != 0)
        snprintf(out, size, "was ended by signal %d (%s)", signal_number, strsignal(signal_number));
    else
        snprintf(out, size, "ended with exit code %d", (int)code);
}

static void on_exit_of(uv_process_t *process, int64_t code, int signal_number)
{
    child *c = process->data;
    coord_local *self = c->local;
    c->running = 0;
    int planned = code == 0 && signal_number == 0;
    uint32_t pid = (uint32_t)process->pid;
    uv_close((uv_handle_t *)process, on_closed);
    char how[128];
    describe_exit(code, signal_number, how, sizeof how);
    if (!self->stopping && !planned) fs_warn("the local worker %u %s", pid, how);
    self->options.gone(self->options.data, pid, planned);
    if (self->stopping) return;
    self->exits++;
    if (!planned && signal_number == 0) self->refusals++;
    if (self->refusals >= COORD_LOCAL_REFUSALS_MAX || self->exits >= COORD_LOCAL_EXITS_MAX) {
        self->stopping = 1;
        self->options.failed(self->options.data,
                             fs_fail(FS_EINTERNAL,
                                     "local workers ended %u times in a row without a new result; "
                                     "the last %s",
                                     self->exits, how));
        return;
    }
    uint64_t wait_ms = (uint64_t)COORD_LOCAL_BACKOFF_MS * (self->exits - 1);
    if (wait_ms > COORD_LOCAL_BACKOFF_MS_MAX) wait_ms = COORD_LOCAL_BACKOFF_MS_MAX;
    uv_timer_start(&c->again, on_again, wait_ms, 0);
}

static fs_status start_child(child *c)
{
    coord_local *self = c->local;
    const coord_local_options *o = &self->options;
    char parent[16], threads[16], audit[32], simulate_us[24];
    const char *argv[20];
    size_t n = 0;
    argv[n++] = self->program;
    argv[n++] = "--connect";
    argv[n++] = self->endpoint;
    snprintf(parent, sizeof parent, "%d", (int)getpid());
    argv[n++] = "--parent-death";
    argv[n++] = parent;
    if (o->threads > 0) {
        snprintf(threads, sizeof threads, "%u", o->threads);
        argv[n++] = "--threads";
        argv[n++] = threads;
    }
    if (o->brute_force) argv[n++] = "--brute-force";
    if (o->simulate) {
        snprintf(simulate_us, sizeof simulate_us, "%llu", (unsigned long long)o->simulate_us);
        argv[n++] = "--simulate";
        argv[n++] = "--simulate-us";
        argv[n++] = simulate_us;
    }
    if (o->audit > 0) {
        snprintf(audit, sizeof audit, "%.17g", o->audit);
        argv[n++] = "--audit";
        argv[n++] = audit;
    }
    if (o->work != NULL) {
        argv[n++] = "--work";
        argv[n++] = o->work;
    }
    FS_ASSERT(n < sizeof argv / sizeof argv[0]);
    argv[n] = NULL;
    /* What a worker prints is for people: it goes to stderr, stdout belongs to the results. */
    uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE},
                                     {.flags = UV_INHERIT_FD, .data.fd = 2},
                                     {.flags = UV_INHERIT_FD, .data.fd = 2}};
    uv_process_options_t options = {.exit_cb = on_exit_of,
                                    .file = self->program,
                                    .args = (char **)(uintptr_t)argv,
                                    .flags = UV_PROCESS_DETACHED,
                                    .stdio = stdio,
                                    .stdio_count = 3};
    int rc = uv_spawn(self->loop, &c->process, &options);
    c->process.data = c;
    c->process_open = 1;
    self->open_handles++;
    if (rc != 0) {
        uv_close((uv_handle_t *)&c->process, on_closed);
        return fs_fail(FS_EIO, "cannot start %s: %s", self->program, uv_strerror(rc));
    }
    c->running = 1;
    return FS_OK;
}

static void on_again(uv_timer_t *timer)
{
    child *c = timer->data;
    coord_local *self = c->local;
    if (self->stopping) return;
    if (c->process_open) { /* its former handle is not closed yet */
        uv_timer_start(timer, on_again, 1, 0);
        return;
    }
    fs_status status = start_child(c);
    if (status == FS_OK) return;
    self->stopping = 1;
    self->options.failed(self->options.data, status);
}

fs_status coord_local_start(coord_local **out, uv_loop_t *loop, const coord_local_options *options)
{
    FS_ASSERT(options->workers >= 1 && options->workers <= COORD_LOCAL_MAX);
    coord_local *self = calloc(1, sizeof *self);
    child *children = calloc(options->workers, sizeof *children);
    if (self == NULL || children == NULL) {
        free(self);
        free(children);
        return fs_fail(FS_ENOMEM, "no memory for %u local workers", options->workers);
    }
    self->loop = loop;
    self->options = *options;
    self->children = children;
    snprintf(self->endpoint, sizeof self->endpoint, "%s", options->endpoint);
    fs_status status = fs_path_sibling(self->program, "flipsweep-worker");
    for (uint32_t i = 0; i < options->workers; i++) {
        children[i].local = self;
        uv_timer_init(loop, &children[i].again);
        children[i].again.data = &children[i];
        self->open_handles++;
    }
    for (uint32_t i = 0; status == FS_OK && i < options->workers; i++)
        status = start_child(&children[i]);
    *out = self; /* also on failure: some may run, and the caller ends and closes them */
    return status;
}

void coord_local_progress(coord_local *self)
{
    self->refusals = 0;
    self->exits = 0;
}

void coord_local_stop(coord_local *self)
{
    self->stopping = 1;
}

uint32_t coord_local_running(const coord_local *self)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < self->options.workers; i++) count += self->children[i].running != 0;
    return count;
}

void coord_local_kill(coord_local *self)
{
    for (uint32_t i = 0; i < self->options.workers; i++)
        if (self->children[i].running) uv_process_kill(&self->children[i].process, SIGKILL);
}

void coord_local_close(coord_local **self)
{
    coord_local *local = *self;
    if (local == NULL) return;
    *self = NULL;
    local->stopping = 1;
    local->closing = 1;
    for (uint32_t i = 0; i < local->options.workers; i++) {
        child *c = &local->children[i];
        FS_ASSERT(!c->running);
        uv_close((uv_handle_t *)&c->again, on_closed);
    }
}
