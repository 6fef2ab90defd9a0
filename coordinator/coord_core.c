#include "coord_core.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/** A status of the scheduler that is no worker's fault ends the campaign; nothing is lost. */
static void must(coord_core *self, fs_status status)
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
        must(self, coord_scheduler_grant(self->scheduler, index, worker->threads, now,
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

static void leave(coord_core *self, uint32_t index, coord_departure how, const char *why)
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
    must(self, coord_scheduler_left(self->scheduler, index, how));
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
        leave(self, (uint32_t)index, planned ? COORD_PLANNED : COORD_DIED, "its process ended");
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
        leave(self, (uint32_t)index, COORD_LOST, "it cannot be reached");
}

static void reject(coord_core *self, const fs_peer *peer, int64_t index, const char *why)
{
    char text[FS_PROTO_WHY_BYTES_MAX + 1];
    fs_message message = {.type = FS_MSG_REJECT};
    message.u.reject.why = fs_text_clean(text, sizeof text, why);
    coord_core__send(self, peer, &message);
    fs_warn("a worker was turned away: %s", why);
    coord_core__event(self, "worker-rejected", "%s", why);
    if (index >= 0) leave(self, (uint32_t)index, COORD_PLANNED, why);
}

/* --- messages --- */

static void send_stop(coord_core *self, const fs_peer *peer, const char *why)
{
    fs_message message = {.type = FS_MSG_STOP};
    message.u.stop.drain = self->phase == COORD_DRAINING;
    message.u.stop.why = fs_text_of(why);
    coord_core__send(self, peer, &message);
}

static void welcome(coord_core *self, const fs_peer *peer)
{
    fs_message message = {.type = FS_MSG_WELCOME};
    message.u.welcome.fingerprint = self->plan->fingerprint;
    message.u.welcome.campaign = fs_text_of(self->campaign_text);
    message.u.welcome.identity = fs_text_of(self->plan->identity);
    message.u.welcome.heartbeat_ms = FS_HEARTBEAT_MS;
    message.u.welcome.lease_ms = FS_LEASE_MS;
    coord_core__send(self, peer, &message);
}

static int text_is(fs_text text, const char *word)
{
    return text.size == strlen(word) && memcmp(text.data, word, text.size) == 0;
}

static void on_hello(coord_core *self, const fs_peer *peer, const fs_msg_hello *hello)
{
    char why[256];
    if (!text_is(hello->version, FS_VERSION)) {
        snprintf(why, sizeof why, "worker %.*s on %.*s is version %.*s, the coordinator %s",
                 (int)hello->uuid.size, hello->uuid.data, (int)hello->host.size, hello->host.data,
                 (int)hello->version.size, hello->version.data, FS_VERSION);
        reject(self, peer, coord_workers_find(self->workers, peer), why);
        return;
    }
    uint32_t index = 0;
    int known = 0;
    int64_t former = -1;
    fs_status status =
        coord_workers_hello(self->workers, peer, hello, now_ms(), &index, &known, &former);
    if (status != FS_OK) {
        reject(self, peer, -1, fs_status_detail());
        return;
    }
    if (former >= 0) leave(self, (uint32_t)former, COORD_DIED, "it was started again");
    coord_worker *worker = coord_workers_at(self->workers, index);
    if (!known) {
        fs_debug("worker %s on %s, pid %u, %u threads, %s", worker->uuid, worker->host, worker->pid,
                 worker->threads, worker->kernel);
        coord_core__event(self, "worker-joined", "%s on %s, pid %u, %u threads, %s", worker->uuid,
                          worker->host, worker->pid, worker->threads, worker->kernel);
    }
    int ours = fs_hash_equal(&hello->fingerprint, &self->plan->fingerprint);
    size_t held = ours ? hello->lease_count : 0;
    must(self, coord_scheduler_keep(self->scheduler, index, hello->leases, held));
    for (size_t i = 0; i < held; i++) {
        status = coord_scheduler_adopt(self->scheduler, index, &hello->leases[i], now_ms());
        if (status == FS_EPROTO)
            coord_core__garbage(self, index, fs_status_detail());
        else
            must(self, status);
        uint32_t cell = hello->leases[i].cell; /* of a lease that we know it may be anything */
        if (cell < self->plan->cell_count && worker->golden[self->plan->cells[cell].variant])
            coord_scheduler_warm(self->scheduler, hello->leases[i].id);
    }
    welcome(self, peer);
    if (self->phase == COORD_RUNNING) return;
    coord_worker_transition(worker, COORD_WORKER_DRAINS);
    send_stop(self, peer, "the coordinator is stopping");
}

static void on_ready(coord_core *self, uint32_t index, const fs_msg_ready *ready)
{
    coord_worker *worker = coord_workers_at(self->workers, index);
    if (!fs_hash_equal(&ready->fingerprint, &self->plan->fingerprint)) {
        char why[512], theirs[FS_HASH_HEX_BYTES], ours[FS_HASH_HEX_BYTES];
        fs_hash_hex(&ready->fingerprint, theirs);
        fs_hash_hex(&self->plan->fingerprint, ours);
        snprintf(why, sizeof why,
                 "the models or data on %s are not the campaign's: fingerprint %.16s, not %.16s",
                 worker->host, theirs, ours);
        reject(self, &worker->peer, index, why);
        return;
    }
    coord_worker_transition(worker, COORD_WORKER_SAYS_READY);
    coord_scheduler_capacity(self->scheduler, coord_workers_threads(self->workers));
    coord_core__grant(self, index);
}

static fs_store_golden stored_golden(const fs_msg_golden *said, const coord_worker *worker)
{
    fs_store_golden out = {.metric = said->metric,
                           .loss = said->loss,
                           .answers = said->answers,
                           .checksum = said->checksum,
                           .altered = said->altered,
                           .has_facts = 1,
                           .token_rows_read = said->token_rows_read,
                           .positions_read = said->positions_read,
                           .bounds_checksum = said->bounds_checksum};
    snprintf(out.kernel, sizeof out.kernel, "%s", worker->kernel);
    snprintf(out.host, sizeof out.host, "%s", worker->host);
    return out;
}

/* Names what differs, but for the metric, which the checksum stands for. */
static void say_golden_mismatch(coord_core *self, uint32_t index, uint32_t variant,
                                const fs_store_golden *said)
{
    const fs_store_golden *known = &self->golden[variant];
    char why[512];
    snprintf(why, sizeof why,
             "the fault-free run of variant %u on %s (%s) differs from that on %s (%s): "
             "checksum %016" PRIx64 ", not %016" PRIx64 "; %" PRIu64 " values altered, not %" PRIu64
             "; bounds %016" PRIx64 ", not %016" PRIx64 "; %" PRIu64 " token rows and %" PRIu64
             " positions read, not %" PRIu64 " and %" PRIu64,
             variant, said->host, said->kernel, known->host, known->kernel, said->checksum,
             known->checksum, said->altered, known->altered, said->bounds_checksum,
             known->bounds_checksum, said->token_rows_read, said->positions_read,
             known->token_rows_read, known->positions_read);
    coord_core__event(self, "golden-mismatch", "%s", why);
    reject(self, &coord_workers_at(self->workers, index)->peer, index, why);
}

static void on_golden(coord_core *self, uint32_t index, const fs_msg_golden *golden)
{
    coord_worker *worker = coord_workers_at(self->workers, index);
    if (golden->variant >= self->plan->variant_count) {
        coord_core__garbage(self, index, "a golden run of a variant that the plan does not have");
        return;
    }
    const fs_store_golden said = stored_golden(golden, worker);
    fs_store_golden *known = &self->golden[golden->variant];
    if (self->golden_known[golden->variant] && !fs_store_golden_equal(known, &said)) {
        say_golden_mismatch(self, index, golden->variant, &said);
        return;
    }
    /* What an older store kept lacks the facts: the store adds them. */
    if (!self->golden_known[golden->variant] || !known->has_facts) {
        *known = said;
        coord_store_golden(self->store, golden->variant, known);
        self->golden_known[golden->variant] = 1;
    }
    worker->golden[golden->variant] = 1;
    fs_lease held[FS_LEASES_PER_WORKER_MAX];
    uint32_t count = coord_scheduler_held(self->scheduler, index, held);
    for (uint32_t i = 0; i < count; i++)
        if (self->plan->cells[held[i].cell].variant == golden->variant)
            coord_scheduler_warm(self->scheduler, held[i].id);
}

static void on_failed(coord_core *self, uint32_t index, const fs_msg_failed *failed)
{
    const coord_worker *worker = coord_workers_at(self->workers, index);
    char why[FS_PROTO_WHY_BYTES_MAX + 1];
    snprintf(why, sizeof why, "%.*s", (int)failed->why.size, failed->why.data);
    if (failed->fatal) {
        snprintf(self->last_fatal, sizeof self->last_fatal, "%s", why);
        fs_warn("worker %s on %s cannot go on: %s", worker->uuid, worker->host, why);
        leave(self, index, COORD_PLANNED, why);
        return;
    }
    fs_status status =
        coord_scheduler_trial_failed(self->scheduler, failed->lease, failed->cell, failed->trial);
    if (status == FS_EPROTO) {
        coord_core__garbage(self, index, fs_status_detail());
        return;
    }
    must(self, status);
    fs_warn("trial %s/%" PRIu64 " failed on %s: %s", self->plan->cells[failed->cell].id,
            failed->trial, worker->host, why);
    coord_core__event(self, "trial-failed", "%s/%" PRIu64 " on %s: %s",
                      self->plan->cells[failed->cell].id, failed->trial, worker->host, why);
    coord_core__quarantine(self, why);
}

static void on_return(coord_core *self, uint32_t index, const fs_msg_return *returned)
{
    coord_worker *worker = coord_workers_at(self->workers, index);
    fs_status status = coord_scheduler_returned(self->scheduler, index, &returned->lease);
    if (status == FS_EPROTO)
        coord_core__garbage(self, index, fs_status_detail());
    else
        must(self, status);
    coord_worker_transition(worker, COORD_WORKER_DRAINS);
    coord_core__grant_all(self);
}

static void on_heartbeat(coord_core *self, uint32_t index, const fs_msg_heartbeat *heartbeat)
{
    coord_workers_at(self->workers, index)->busy = heartbeat->busy;
    must(self, coord_scheduler_heartbeat(self->scheduler, index, heartbeat->leases,
                                         heartbeat->lease_count, now_ms()));
    coord_core__grant(self, index);
}

static void dispatch(coord_core *self, uint32_t index, const fs_message *message)
{
    switch (message->type) {
    case FS_MSG_READY:
        on_ready(self, index, &message->u.ready);
        break;
    case FS_MSG_GOLDEN:
        on_golden(self, index, &message->u.golden);
        break;
    case FS_MSG_RESULTS:
        coord_core__results(self, index, &message->u.results);
        break;
    case FS_MSG_HEARTBEAT:
        on_heartbeat(self, index, &message->u.heartbeat);
        break;
    case FS_MSG_RETURN:
        on_return(self, index, &message->u.returned);
        break;
    case FS_MSG_FAILED:
        on_failed(self, index, &message->u.failed);
        break;
    case FS_MSG_BYE:
        leave(self, index, COORD_PLANNED, "it said goodbye");
        break;
    default:
        coord_core__garbage(self, index, "a message that only a coordinator sends");
    }
}

/** Whether a frame is a message of another protocol version: [version, ...]. */
static int other_version(const uint8_t *frame, size_t size)
{
    return size >= 3 && frame[0] > 0x91 && frame[0] <= 0x9f && frame[1] < 0x80 &&
           frame[1] != FS_PROTO_VERSION && frame[2] == FS_MSG_HELLO;
}

static void undecodable(coord_core *self, const fs_peer *peer, int64_t index, const void *frame,
                        size_t size)
{
    char why[512];
    snprintf(why, sizeof why, "%s", fs_status_detail());
    coord_core__garbage(self, index, why);
    if (other_version(frame, size))
        reject(self, peer, index, why);
    else if (index >= 0 &&
             coord_workers_at(self->workers, (uint32_t)index)->garbage >= COORD_GARBAGE_MAX)
        reject(self, peer, index, "it sends what cannot be understood");
}

void coord_core_message(void *data, const fs_peer *peer, const void *frame, size_t size)
{
    coord_core *self = data;
    int64_t index = coord_workers_find(self->workers, peer);
    fs_message message;
    if (fs_message_decode(&message, frame, size) != FS_OK) {
        undecodable(self, peer, index, frame, size);
        return;
    }
    int gone =
        index < 0 || coord_workers_at(self->workers, (uint32_t)index)->state == COORD_WORKER_GONE;
    if (message.type == FS_MSG_HELLO) {
        on_hello(self, peer, &message.u.hello);
    } else if (!gone || (index >= 0 && message.type == FS_MSG_RESULTS)) {
        coord_workers_at(self->workers, (uint32_t)index)->heard_ms = now_ms();
        dispatch(self, (uint32_t)index, &message);
    } else if (message.type != FS_MSG_BYE && message.type != FS_MSG_FAILED) {
        coord_core__send(self, peer, &(fs_message){.type = FS_MSG_WHO});
    }
    fs_message_free(&message);
}

/* --- the clock and the store --- */

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
            leave(self, i, COORD_LOST, "it fell silent");
        else if (silent >= COORD_PROBE_MS) /* it may have missed that we forgot it */
            coord_core__send(self, &worker->peer, &(fs_message){.type = FS_MSG_WHO});
    }
    must(self, coord_scheduler_tick(self->scheduler, now));
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
        send_stop(self, &worker->peer, why);
    }
}
