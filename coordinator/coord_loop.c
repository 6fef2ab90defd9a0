#include "coord_loop.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "assert.h"
#include "clock.h"
#include "coord_control.h"
#include "coord_core.h"
#include "coord_live.h"
#include "coord_local.h"
#include "coord_progress.h"
#include "log.h"

typedef struct loop_state {
    const coord_loop_options *options;
    uv_loop_t uv;
    uv_timer_t tick;
    uv_signal_t interrupt, terminate;
    int handles_open;
    coord_core core;
    coord_local *local;
    coord_control *control;
    coord_progress progress;
    uint64_t core_tick_ms, shown_ms, started_ms;
    uint64_t deadline_ms; /* of draining or leaving */
    uint64_t accepted;    /* as of the last tick */
    unsigned stops;       /* how often we were told to stop */
    int ending;           /* handles are being closed */
    int bar;
    int bar_shown;
} loop_state;

/* --- showing progress --- */

static void show(loop_state *self, uint64_t now)
{
    uint64_t between = self->bar ? COORD_BAR_MS : COORD_LINE_MS;
    if (self->shown_ms == 0 && !self->bar) {
        if (now - self->started_ms < COORD_LINE_FIRST_MS) return;
    } else if (now - self->shown_ms < between) {
        return;
    }
    self->shown_ms = now;
    char line[COORD_PROGRESS_LINE_BYTES_MAX];
    coord_progress_line(&self->progress, self->bar, coord_workers_live(self->core.workers), line,
                        sizeof line);
    if (self->bar) /* the cursor goes back, so that a message overwrites the bar */
        fprintf(stderr, "%s\x1b[K\r", line);
    else
        fs_info("%s", line);
    self->bar_shown = self->bar;
}

/* --- stopping --- */

static void enter_leaving(loop_state *self, const char *why)
{
    coord_core_stop(&self->core, COORD_LEAVING, why);
    if (self->local != NULL) coord_local_stop(self->local);
    self->deadline_ms = fs_clock_mono_ms() + COORD_LEAVE_MS;
}

static void enter_draining(loop_state *self, const char *why)
{
    if (self->core.phase != COORD_RUNNING) return;
    coord_core_stop(&self->core, COORD_DRAINING, why);
    if (self->local != NULL) coord_local_stop(self->local);
    self->deadline_ms = fs_clock_mono_ms() + COORD_DRAIN_MS;
}

static void told_to_stop(loop_state *self, const char *who)
{
    if (self->core.phase == COORD_LEAVING) return;
    if (++self->stops == 1 && self->core.paused) {
        fs_info("%s while the disk is full: stopping now; what is stored is kept, the same command "
                "resumes",
                who);
        enter_leaving(self, who);
    } else if (self->stops == 1) {
        fs_info("%s: finishing what is leased; once more stops at once; the same command resumes "
                "either way",
                who);
        enter_draining(self, who);
    } else {
        fs_info("%s again: stopping now; what is stored is kept, the same command resumes", who);
        enter_leaving(self, who);
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    told_to_stop(handle->data, number == SIGINT ? "interrupted" : "terminated");
}

static void on_handle_closed(uv_handle_t *handle)
{
    loop_state *self = handle->data;
    self->handles_open--;
}

/** Closes everything; the loop ends by itself when the last handle is gone. */
static void close_all(loop_state *self)
{
    if (self->ending) return;
    self->ending = 1;
    coord_control_close(&self->control);
    coord_local_close(&self->local);
    if (self->core.bus != NULL && fs_bus_dropped(self->core.bus) > 0)
        fs_debug("%" PRIu64 " messages were dropped", fs_bus_dropped(self->core.bus));
    if (self->core.bus != NULL) fs_bus_close(&self->core.bus, COORD_LINGER_MS, NULL, NULL);
    if (self->core.store != NULL) coord_store_stop(self->core.store, NULL, NULL);
    self->core.store = NULL;
    uv_close((uv_handle_t *)&self->tick, on_handle_closed);
    uv_close((uv_handle_t *)&self->interrupt, on_handle_closed);
    uv_close((uv_handle_t *)&self->terminate, on_handle_closed);
}

/** Moves on towards the end: running -> (draining ->) leaving -> closed. */
static void advance(loop_state *self, uint64_t now)
{
    coord_core *core = &self->core;
    int idle =
        coord_scheduler_leases(core->scheduler) == 0 && coord_store_pending(core->store) == 0;
    if (core->phase != COORD_LEAVING) {
        if (core->failure != FS_OK)
            enter_leaving(self, "the coordinator has failed");
        else if (coord_scheduler_complete(core->scheduler))
            enter_leaving(self, "the campaign is complete");
        else if (core->phase == COORD_DRAINING &&
                 (idle || core->paused || now >= self->deadline_ms))
            enter_leaving(self, "the coordinator is stopping");
        return;
    }
    /* What a full disk does not take was never acknowledged, and is run again. */
    int stored = core->paused || coord_store_pending(core->store) == 0;
    int quiet = coord_workers_live(core->workers) == 0 && stored;
    if (!quiet && now < self->deadline_ms) return;
    if (self->local != NULL && coord_local_running(self->local) > 0) {
        if (now >= self->deadline_ms) coord_local_kill(self->local);
        return;
    }
    close_all(self);
}

/* --- events --- */

static void on_tick(uv_timer_t *timer)
{
    loop_state *self = timer->data;
    coord_core *core = &self->core;
    uint64_t now = fs_clock_mono_ms();
    if (now - self->core_tick_ms >= COORD_CORE_TICK_MS) {
        self->core_tick_ms = now;
        coord_core_tick(core);
    }
    if (core->accepted != self->accepted && self->local != NULL) coord_local_progress(self->local);
    self->accepted = core->accepted;
    coord_progress_update(&self->progress, now, coord_scheduler_done(core->scheduler),
                          coord_scheduler_remaining(core->scheduler));
    if (core->phase != COORD_LEAVING) show(self, now);
    uint64_t until = self->options->until_ms;
    if (until != 0 && core->phase == COORD_RUNNING && fs_clock_wall_ms() >= until) {
        fs_info("the time is up: finishing what is leased");
        enter_draining(self, "the time is up");
    }
    advance(self, now);
}

static void on_child_gone(void *data, uint32_t pid, int planned)
{
    loop_state *self = data;
    coord_core_child_gone(&self->core, pid, planned);
    if (!planned && self->core.last_fatal[0] != '\0' && self->core.phase == COORD_RUNNING)
        coord_core_fail(&self->core, fs_fail(FS_EINTERNAL, "the local worker cannot go on: %s",
                                             self->core.last_fatal));
}

static void on_children_fail(void *data, fs_status status)
{
    loop_state *self = data;
    coord_core_fail(&self->core, status);
}

static fs_status on_word(void *data, const char *word, fs_buf *reply)
{
    loop_state *self = data;
    if (strcmp(word, "stop") == 0) {
        self->stops++;
        if (self->core.phase != COORD_LEAVING) enter_leaving(self, "stop was asked for");
        return fs_buf_puts(reply, "{\"ok\": true}");
    }
    if (strcmp(word, "drain") == 0) {
        enter_draining(self, "stop --drain was asked for");
        return fs_buf_puts(reply, "{\"ok\": true}");
    }
    if (strcmp(word, "status") != 0) return fs_buf_puts(reply, "{\"error\": \"unknown word\"}");
    json_t *live = coord_live_json(&self->core, &self->progress);
    char *text = live != NULL ? json_dumps(live, JSON_COMPACT) : NULL;
    fs_status status = text != NULL ? fs_buf_puts(reply, text) : fs_fail(FS_ENOMEM, "no memory");
    free(text);
    json_decref(live);
    return status;
}

/* --- beginning and end --- */

static void init_handles(loop_state *self)
{
    uv_timer_init(&self->uv, &self->tick);
    uv_signal_init(&self->uv, &self->interrupt);
    uv_signal_init(&self->uv, &self->terminate);
    self->tick.data = self->interrupt.data = self->terminate.data = self;
    self->handles_open = 3;
}

static fs_status start_local(loop_state *self)
{
    const coord_loop_options *o = self->options;
    coord_local_options local = {.workers = o->workers,
                                 .threads = o->threads,
                                 .endpoint = fs_bus_endpoint(self->core.bus),
                                 .brute_force = o->brute_force,
                                 .simulate = o->simulate,
                                 .simulate_us = o->simulate_us,
                                 .audit = o->audit,
                                 .work = o->work,
                                 .gone = on_child_gone,
                                 .failed = on_children_fail,
                                 .data = self};
    return coord_local_start(&self->local, &self->uv, &local);
}

static fs_status start(loop_state *self, fs_store **store)
{
    const coord_loop_options *o = self->options;
    coord_core *core = &self->core;
    fs_bus_handlers handlers = {coord_core_message, coord_core_lost, core};
    FS_TRY(fs_bus_bind(&core->bus, &self->uv, o->endpoint, handlers));
    FS_TRY(coord_store_start(&core->store, &self->uv, store, coord_core_pause, core));
    FS_TRY(coord_control_listen(&self->control, &self->uv, o->state_dir, on_word, self));
    self->started_ms = fs_clock_mono_ms();
    if (o->grace) core->grace_end_ms = self->started_ms + COORD_GRACE_MS;
    int rc = uv_timer_start(&self->tick, on_tick, 0, COORD_TICK_MS);
    if (rc == 0) rc = uv_signal_start(&self->interrupt, on_signal, SIGINT);
    if (rc == 0) rc = uv_signal_start(&self->terminate, on_signal, SIGTERM);
    if (rc != 0) return fs_fail(FS_EIO, "the event loop does not start: %s", uv_strerror(rc));
    if (o->bound != NULL) FS_TRY(o->bound(o->data, fs_bus_endpoint(core->bus)));
    coord_core__event(core, "coordinator-started", "on %s", fs_bus_endpoint(core->bus));
    return o->workers > 0 ? start_local(self) : FS_OK;
}

static fs_status verdict(loop_state *self)
{
    const coord_core *core = &self->core;
    uint64_t done = coord_scheduler_done(core->scheduler);
    uint64_t all = done + coord_scheduler_remaining(core->scheduler);
    if (self->bar_shown) fprintf(stderr, "\x1b[K");
    if (core->failure != FS_OK) return fs_fail(core->failure, "%s", core->failure_text);
    if (coord_scheduler_complete(core->scheduler)) return FS_OK;
    return fs_fail(self->stops > 1 ? FS_EINTERRUPTED : FS_EINCOMPLETE,
                   "stopped with %" PRIu64 " of %" PRIu64 " trials done; the same command goes on",
                   done, all);
}

fs_status coord_loop_run(const coord_loop_options *options, fs_store **store)
{
    loop_state state = {.options = options, .bar = isatty(STDERR_FILENO)}, *self = &state;
    fs_status status = coord_core_init(&self->core, options->plan, options->campaign_text, *store);
    if (status != FS_OK || coord_scheduler_complete(self->core.scheduler)) {
        fs_store_close(store);
        coord_core_free(&self->core);
        return status;
    }
    signal(SIGPIPE, SIG_IGN);
    int rc = uv_loop_init(&self->uv);
    if (rc != 0) {
        fs_store_close(store);
        coord_core_free(&self->core);
        return fs_fail(FS_EIO, "the event loop does not start: %s", uv_strerror(rc));
    }
    init_handles(self);
    status = start(self, store);
    if (status != FS_OK) {
        coord_core_fail(&self->core, status);
        if (self->local == NULL) close_all(self); /* else the tick ends the processes first */
    }
    uv_run(&self->uv, UV_RUN_DEFAULT);
    FS_ASSERT(self->handles_open == 0 && uv_loop_close(&self->uv) == 0);
    if (*store != NULL) fs_store_close(store);
    status = verdict(self);
    coord_core_free(&self->core);
    return status;
}
