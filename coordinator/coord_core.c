#include "coord_core.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "assert.h"
#include "clock.h"
#include "log.h"
#include "summary.h"

/* --- the plan, as the scheduler asks for it --- */

static uint64_t cell_trials(void *data, uint32_t cell)
{
    return ((const fs_plan *)data)->cells[cell].trials;
}

static uint64_t cell_next_look(void *data, uint32_t cell, uint64_t done)
{
    const fs_plan *plan = data;
    return fs_cell_next_look(plan, &plan->cells[cell], done);
}

static int cell_stops(void *data, uint32_t cell, uint64_t n, uint64_t critical)
{
    const fs_plan *plan = data;
    return fs_cell_stops(plan, &plan->cells[cell], n, critical);
}

/* --- creation --- */

typedef struct quarantine_load {
    coord_scheduler *scheduler;
    fs_status status;
} quarantine_load;

static int load_quarantined(void *data, uint32_t cell, uint64_t trial, const char *cause)
{
    quarantine_load *self = data;
    self->status = coord_scheduler_load_quarantined(self->scheduler, cell, trial);
    return self->status != FS_OK;
}

static fs_status load(coord_core *self, fs_store *store)
{
    quarantine_load quarantine = {self->scheduler, FS_OK};
    FS_TRY(fs_store_each_quarantine(store, load_quarantined, &quarantine));
    FS_TRY(quarantine.status);
    for (uint32_t i = 0; i < self->plan->cell_count; i++) {
        fs_range *done = NULL;
        size_t count = 0;
        fs_totals totals;
        FS_TRY(fs_store_totals(store, i, &totals));
        FS_TRY(fs_store_done(store, i, &done, &count));
        fs_status status = FS_OK;
        if (count > 0)
            status = coord_scheduler_load(self->scheduler, i, done, count, totals.critical);
        free(done);
        if (status != FS_OK) return status;
    }
    for (uint32_t i = 0; i < self->plan->variant_count; i++) {
        fs_status status = fs_store_get_golden(store, i, &self->golden[i]);
        if (status != FS_OK && status != FS_ENOENT) return status;
        self->golden_known[i] = status == FS_OK;
        if (status == FS_OK) coord_core__judge_golden(self, i);
    }
    return FS_OK;
}

fs_status coord_core_init(coord_core *self, const fs_plan *plan, const char *campaign_text,
                          fs_store *store)
{
    *self = (coord_core){.plan = plan, .campaign_text = campaign_text};
    coord_cells cells = {(uint32_t)plan->cell_count, cell_trials, cell_next_look, cell_stops,
                         (void *)(uintptr_t)plan};
    size_t variants = plan->variant_count > 0 ? plan->variant_count : 1;
    self->golden = calloc(variants, sizeof *self->golden);
    self->golden_known = calloc(variants, 1);
    fs_status status = FS_OK;
    if (self->golden == NULL || self->golden_known == NULL)
        status = fs_fail(FS_ENOMEM, "no memory for %zu golden runs", variants);
    /* Lease ids go up by the clock, so that those of a former coordinator are never given again;
     * a million leases a millisecond will do. */
    if (status == FS_OK)
        status = coord_scheduler_new(&self->scheduler, &cells, fs_clock_wall_ms() << 20);
    if (status == FS_OK) status = coord_workers_new(&self->workers, (uint32_t)plan->variant_count);
    if (status == FS_OK) status = load(self, store);
    if (status != FS_OK) coord_core_free(self);
    return status;
}

void coord_core_free(coord_core *self)
{
    coord_scheduler_destroy(&self->scheduler);
    coord_workers_destroy(&self->workers);
    fs_buf_free(&self->frame);
    free(self->golden);
    free(self->golden_known);
    self->golden = NULL;
    self->golden_known = NULL;
}

/* --- small things --- */

void coord_core_fail(coord_core *self, fs_status status)
{
    if (self->failure != FS_OK) return;
    self->failure = status;
    snprintf(self->failure_text, sizeof self->failure_text, "%s", fs_status_detail());
}

void coord_core__must(coord_core *self, fs_status status)
{
    if (status != FS_OK) coord_core_fail(self, status);
}

void coord_core__event(coord_core *self, const char *kind, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (self->store != NULL) coord_store_event(self->store, kind, text);
}

void coord_core__send(coord_core *self, const fs_peer *peer, const fs_message *message)
{
    if (self->bus == NULL) return; /* closed: the end of the campaign */
    fs_buf_clear(&self->frame);
    fs_status status = fs_message_encode(message, &self->frame);
    if (status == FS_OK) status = fs_bus_send(self->bus, peer, self->frame.data, self->frame.size);
    if (status != FS_OK)
        fs_warn("a %s could not be sent: %s", fs_message_name(message->type), fs_status_detail());
}

void coord_core__garbage(coord_core *self, int64_t index, const char *why)
{
    uint64_t now = fs_clock_mono_ms();
    coord_worker *worker = index >= 0 ? coord_workers_at(self->workers, (uint32_t)index) : NULL;
    uint64_t *said = worker != NULL ? &worker->garbage_said_ms : &self->garbage_said_ms;
    uint64_t total = worker != NULL ? ++worker->garbage : self->garbage + 1;
    self->garbage++;
    if (*said != 0 && now - *said < COORD_GARBAGE_SAY_MS) return;
    *said = now;
    fs_warn("a message of %s%s was dropped: %s (%" PRIu64 " so far)",
            worker != NULL ? "worker " : "an unknown peer", worker != NULL ? worker->uuid : "", why,
            total);
}

void coord_core__judge(coord_core *self, uint32_t index, fs_status status)
{
    if (status == FS_EPROTO)
        coord_core__garbage(self, index, fs_status_detail());
    else
        coord_core__must(self, status);
}

void coord_core__quarantine(coord_core *self, const char *cause)
{
    coord_quarantine found;
    while (coord_scheduler_quarantined(self->scheduler, &found)) {
        char text[512];
        snprintf(text, sizeof text, "%u times: %s", found.deaths, cause);
        const char *id = self->plan->cells[found.cell].id;
        fs_warn("trial %s/%" PRIu64 " is quarantined, %s", id, found.trial, text);
        coord_store_quarantine(self->store, found.cell, found.trial, text);
        self->quarantined++;
    }
}

/** Journals the leases that ended undone since the last time; the summary counts the lines. */
static void note_retries(coord_core *self)
{
    while (self->retries < coord_scheduler_retries(self->scheduler))
        coord_core__event(self, SUMMARY_EVENT_LEASE_LOST,
                          "a lease ended undone, the %" PRIu64 "th of this coordinator",
                          ++self->retries);
}

static uint64_t now_ms(void)
{
    return fs_clock_mono_ms();
}

/* --- granting --- */

void coord_core__grant(coord_core *self, uint32_t index)
{
    coord_worker *worker = coord_workers_at(self->workers, index);
    uint64_t now = now_ms();
    if (worker->state != COORD_WORKER_READY || self->phase != COORD_RUNNING || self->paused ||
        now < self->grace_end_ms || self->failure != FS_OK)
        return;
    for (;;) {
        fs_message message = {.type = FS_MSG_GRANT};
        fs_msg_grant *grant = &message.u.grant;
        int granted = 0;
        coord_core__must(self, coord_scheduler_grant(self->scheduler, index, worker->threads, now,
                                                     &grant->lease, &granted));
        if (!granted) return;
        if (worker->golden[self->plan->cells[grant->lease.cell].variant])
            coord_scheduler_warm(self->scheduler, grant->lease.id);
        grant->deadline_ms = FS_LEASE_MS;
        fs_debug("lease %" PRIu64 " of cell %u, %" PRIu64 " trials from %" PRIu64 ", to %s",
                 grant->lease.id, grant->lease.cell, grant->lease.count, grant->lease.first,
                 worker->uuid);
        coord_core__send(self, &worker->peer, &message);
    }
}

void coord_core__grant_all(coord_core *self)
{
    for (uint32_t i = 0; i < coord_workers_end(self->workers); i++) coord_core__grant(self, i);
}

/* --- workers that go --- */

void coord_core__leave(coord_core *self, uint32_t index, coord_departure how, const char *why)
{
    coord_worker *worker = coord_workers_at(self->workers, index);
    if (!coord_worker_allows(worker, COORD_WORKER_LEAVES)) return;
    coord_worker_transition(worker, COORD_WORKER_LEAVES);
    fs_debug("worker %s on %s (pid %u) is gone: %s", worker->uuid, worker->host, worker->pid, why);
    static const char *const kind[] = {[COORD_PLANNED] = "worker-left",
                                       [COORD_LOST] = "worker-lost",
                                       [COORD_DIED] = "worker-died"};
    coord_core__event(self, kind[how], "%s on %s, pid %u: %s", worker->uuid, worker->host,
                      worker->pid, why);
    coord_core__must(self, coord_scheduler_left(self->scheduler, index, how));
    note_retries(self);
    coord_core__quarantine(self, "its worker died while running it");
    coord_scheduler_capacity(self->scheduler, coord_workers_threads(self->workers));
    coord_core__grant_all(self);
}

void coord_core_child_gone(coord_core *self, uint32_t pid, int planned)
{
    char name[256] = "", host[FS_PROTO_HOST_BYTES_MAX + 1];
    if (gethostname(name, sizeof name - 1) != 0) name[0] = '\0';
    fs_text_clean(host, sizeof host, name); /* as a worker says it */
    int64_t index = coord_workers_by_pid(self->workers, pid, host);
    if (index >= 0)
        coord_core__leave(self, (uint32_t)index, planned ? COORD_PLANNED : COORD_DIED,
                          "its process ended");
}

void coord_core_lost(void *data, const fs_peer *peer)
{
    coord_core *self = data;
    int64_t index = coord_workers_find(self->workers, peer);
    /* A connection that breaks ends nothing while the campaign runs: the worker keeps its leases
     * until they expire, and may be back with them before. At the end nobody waits for it. */
    if (index < 0 || self->phase == COORD_RUNNING) return;
    const coord_worker *worker = coord_workers_at(self->workers, (uint32_t)index);
    if (now_ms() - worker->heard_ms >= COORD_LOST_MS)
        coord_core__leave(self, (uint32_t)index, COORD_LOST, "it cannot be reached");
}

/* --- the clock and the store --- */

void coord_core__stop(coord_core *self, const fs_peer *peer, const char *why)
{
    fs_message message = {.type = FS_MSG_STOP};
    message.u.stop.drain = self->phase == COORD_DRAINING;
    message.u.stop.why = fs_text_of(why);
    coord_core__send(self, peer, &message);
}

void coord_core_pause(void *data, int paused, const char *why)
{
    coord_core *self = data;
    self->paused = paused;
    if (self->phase == COORD_LEAVING) return; /* it does not go on either way */
    if (paused) {
        fs_warn("paused: %s; the campaign goes on when there is room", why);
    } else {
        fs_info("there is room again, the campaign goes on");
        coord_core__grant_all(self);
    }
}

void coord_core_tick(coord_core *self)
{
    uint64_t now = now_ms();
    for (uint32_t i = 0; i < coord_workers_end(self->workers); i++) {
        coord_worker *worker = coord_workers_at(self->workers, i);
        if (!coord_worker_allows(worker, COORD_WORKER_LEAVES)) continue;
        uint64_t silent = now - worker->heard_ms;
        if (silent >= FS_LEASE_MS)
            coord_core__leave(self, i, COORD_LOST, "it fell silent");
        else if (silent >= COORD_PROBE_MS) /* it may have missed that we forgot it */
            coord_core__send(self, &worker->peer, &(fs_message){.type = FS_MSG_WHO});
    }
    coord_core__must(self, coord_scheduler_tick(self->scheduler, now));
    note_retries(self);
    coord_core__grant_all(self);
}

void coord_core_stop(coord_core *self, coord_phase phase, const char *why)
{
    FS_ASSERT(phase > self->phase);
    self->phase = phase;
    for (uint32_t i = 0; i < coord_workers_end(self->workers); i++) {
        coord_worker *worker = coord_workers_at(self->workers, i);
        if (!coord_worker_allows(worker, COORD_WORKER_DRAINS)) continue;
        coord_worker_transition(worker, COORD_WORKER_DRAINS);
        coord_core__stop(self, &worker->peer, why);
    }
}
