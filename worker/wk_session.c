#include "wk_session.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "wk_holdings.h"
#include "wk_outbox.h"

struct wk_session {
    wk_state state;
    wk_identity identity;
    wk_ports ports;
    uint64_t now_ms;
    fs_hash fingerprint; /* of the campaign served or prepared; zero before the first WELCOME */
    uint32_t cells;
    int prepared;
    int known;     /* to the coordinator, by HELLO and READY: before that it is told nothing else */
    int overtaken; /* a WELCOME to another campaign came while preparing */
    wk_holdings holds;
    wk_outbox outbox;
    fs_msg_golden *golden; /* those known, in order of arrival */
    size_t golden_count;
    fs_buf frame;
    uint64_t heartbeat_ms;
    uint64_t heartbeat_due_ms;
    uint64_t hello_ms; /* of the last HELLO */
    uint64_t heard_ms; /* of the coordinator, or of our own threads' work */
    uint64_t idle_exit_ms;
    int welcomed;
    int drain_returns;
    uint64_t leave_by_ms; /* UINT64_MAX: no hurry */
    wk_counts counts;
    unsigned failures_in_a_row;
    uint64_t garbage; /* frames that were no message; the first is said */
};

static void transition(wk_session *self, wk_event event)
{
    wk_state next = wk_state_next(self->state, event);
    if (next == self->state) return;
    fs_debug("%s -> %s", wk_state_name(self->state), wk_state_name(next));
    self->state = next;
}

/* ---- saying things ---- */

static void say(wk_session *self, const fs_message *message)
{
    fs_buf_clear(&self->frame);
    fs_status status = fs_message_encode(message, &self->frame);
    if (status == FS_OK) {
        status = self->ports.send(self->ports.data, self->frame.data, self->frame.size);
    }
    if (status != FS_OK) {
        fs_warn("%s not sent: %s", fs_message_name(message->type), fs_status_detail());
    }
}

static void say_hello(wk_session *self)
{
    const wk_identity *me = &self->identity;
    fs_message message = {.type = FS_MSG_HELLO};
    fs_msg_hello *hello = &message.u.hello;
    hello->uuid = fs_text_of(me->uuid);
    hello->boot_ms = me->boot_ms;
    hello->host = fs_text_of(me->host);
    hello->pid = me->pid;
    hello->threads = me->threads;
    hello->kernel = fs_text_of(me->kernel);
    hello->version = fs_text_of(FS_VERSION);
    if (self->prepared) hello->fingerprint = self->fingerprint;
    for (uint32_t i = 0; i < self->holds.count; i++) hello->leases[i] = self->holds.at[i].lease;
    hello->lease_count = self->holds.count;
    hello->draining = self->state == WK_STATE_DRAINING;
    self->hello_ms = self->now_ms;
    say(self, &message);
}

static void say_heartbeat(wk_session *self)
{
    fs_message message = {.type = FS_MSG_HEARTBEAT};
    fs_msg_heartbeat *heartbeat = &message.u.heartbeat;
    for (uint32_t i = 0; i < self->holds.count; i++)
        heartbeat->leases[i] = self->holds.at[i].lease.id;
    heartbeat->lease_count = self->holds.count;
    heartbeat->trials_done = self->counts.trials;
    heartbeat->busy = self->ports.busy(self->ports.data);
    say(self, &message);
}

static void say_return(wk_session *self, const fs_lease *lease)
{
    fs_message message = {.type = FS_MSG_RETURN};
    message.u.returned.lease = *lease;
    say(self, &message);
}

static void say_failed(wk_session *self, fs_status status, const char *why, int fatal,
                       const wk_done *done)
{
    char text[FS_PROTO_WHY_BYTES_MAX + 1];
    fs_message message = {.type = FS_MSG_FAILED};
    fs_msg_failed *failed = &message.u.failed;
    failed->status = status;
    failed->fatal = fatal;
    if (done != NULL) {
        failed->lease = done->lease;
        failed->cell = done->cell;
        failed->trial = done->trial;
    }
    failed->why = fs_text_clean(text, sizeof text, why);
    say(self, &message);
}

static void send_item(wk_session *self, const wk_outbox_item *item)
{
    fs_status status = self->ports.send(self->ports.data, item->frame.data, item->frame.size);
    if (status != FS_OK) fs_warn("results kept for later: %s", fs_status_detail());
}

/* ---- leaving ---- */

static void leave(wk_session *self, fs_status status, const char *why, int say_bye)
{
    if (self->state == WK_STATE_GONE) return;
    if (say_bye) say(self, &(fs_message){.type = FS_MSG_BYE});
    transition(self, WK_EVENT_LEAVE);
    self->ports.drop(self->ports.data);
    if (self->outbox.results > 0) {
        fs_warn("leaving with %llu results that were not acknowledged; they will be run again",
                (unsigned long long)self->outbox.results);
    }
    self->ports.leave(self->ports.data, status, why);
}

static void fail(wk_session *self, fs_status status, const char *why)
{
    if (self->state == WK_STATE_GONE) return;
    say_failed(self, status, why, 1, NULL);
    leave(self, status, why, 0);
}

/** Leaves a drained worker's conversation if it holds and owes nothing, or its time is over. */
static void leave_if_drained(wk_session *self)
{
    if (self->state != WK_STATE_DRAINING) return;
    int empty = self->holds.count == 0 && self->outbox.count == 0;
    if (self->holds.count == 0 && self->leave_by_ms == UINT64_MAX) {
        self->leave_by_ms = self->now_ms + WK_GRACE_MS;
    }
    if (empty || self->now_ms >= self->leave_by_ms) leave(self, FS_OK, "drained", 1);
}

/* ---- leases ---- */

static void forget_all(wk_session *self)
{
    self->ports.drop(self->ports.data);
    while (self->holds.count > 0) wk_holdings_end(&self->holds, &self->holds.at[0]);
    wk_outbox_clear(&self->outbox);
    wk_holdings_forget(&self->holds);
    self->golden_count = 0;
}

/** Sends what a lease has finished; lets the lease go if that is all of it. */
static void flush_held(wk_session *self, wk_held *held)
{
    int last = wk_held_is_over(held);
    if (held->pending_count == 0 && !last) return;
    fs_msg_results results;
    const wk_outbox_item *item = NULL;
    wk_held_message(held, last, &results);
    fs_status status = wk_outbox_add(&self->outbox, &results, &item);
    if (status != FS_OK) {
        fail(self, status, fs_status_detail());
        return;
    }
    wk_held_sent(held);
    if (last) wk_holdings_end(&self->holds, held);
    if (self->known) send_item(self, item);
}

static void flush_due(wk_session *self, int all)
{
    for (uint32_t i = self->holds.count; i-- > 0 && self->state != WK_STATE_GONE;) {
        wk_held *held = &self->holds.at[i];
        int due = held->pending_count > 0 && self->now_ms - held->pending_since_ms >= WK_BATCH_MS;
        if (all || due || wk_held_is_over(held)) flush_held(self, held);
    }
}

static void on_grant(wk_session *self, const fs_lease *lease)
{
    int takes = self->state == WK_STATE_READY;
    /* In the other states our last HELLO did not name this lease, which makes it void. */
    if ((!takes && self->state != WK_STATE_DRAINING) || wk_holdings_know(&self->holds, lease))
        return;
    if (!takes || self->holds.count == FS_LEASES_PER_WORKER_MAX || lease->cell >= self->cells) {
        if (takes) fs_warn("lease %llu cannot be taken", (unsigned long long)lease->id);
        say_return(self, lease);
        return;
    }
    wk_holdings_add(&self->holds, lease);
    self->ports.add(self->ports.data, lease);
    self->heard_ms = self->now_ms;
}

/** Gives back the tails of leases that are not started. */
static void return_tails(wk_session *self)
{
    for (uint32_t i = self->holds.count; i-- > 0;) {
        wk_held *held = &self->holds.at[i];
        uint64_t count = self->ports.give_back(self->ports.data, held->lease.id);
        if (count == 0) continue;
        fs_lease tail = held->lease;
        tail.first += tail.count - count;
        tail.count = count;
        held->lease.count -= count;
        say_return(self, &tail);
        if (held->lease.count == 0) wk_holdings_end(&self->holds, held);
    }
}

/* ---- what the coordinator says ---- */

/** After WELCOME: everything it may have missed. */
static void catch_up(wk_session *self)
{
    fs_message message = {.type = FS_MSG_READY};
    message.u.ready.fingerprint = self->fingerprint;
    say(self, &message);
    self->known = 1;
    for (size_t i = 0; i < self->golden_count; i++) {
        say(self, &(fs_message){.type = FS_MSG_GOLDEN, .u.golden = self->golden[i]});
    }
    for (const wk_outbox_item *i = self->outbox.first; i != NULL; i = i->next) send_item(self, i);
}

static void on_welcome(wk_session *self, const fs_msg_welcome *welcome)
{
    self->welcomed = 1;
    self->heartbeat_ms = welcome->heartbeat_ms;
    int same = fs_hash_equal(&welcome->fingerprint, &self->fingerprint);
    if (same && self->prepared) {
        transition(self, WK_EVENT_SAME);
        wk_holdings_forget(&self->holds);
        catch_up(self);
        leave_if_drained(self);
    } else if (self->state == WK_STATE_DRAINING) {
        /* What it holds is of no use to this coordinator. */
        forget_all(self);
        leave_if_drained(self);
    } else if (self->state == WK_STATE_PREPARING) {
        self->overtaken = !same;
    } else {
        transition(self, WK_EVENT_OTHER);
        forget_all(self);
        self->fingerprint = welcome->fingerprint;
        self->prepared = self->known = 0;
        self->overtaken = 0;
        self->ports.prepare(self->ports.data, welcome);
    }
}

static void on_who(wk_session *self)
{
    transition(self, WK_EVENT_WHO);
    self->known = 0;
    /* Every message that crossed is answered WHO; one HELLO answers them all. If it is lost, the
     * next heartbeat is asked again. */
    if (self->now_ms - self->hello_ms >= WK_HELLO_MS) say_hello(self);
}

static void on_stop(wk_session *self, const fs_msg_stop *stop)
{
    fs_debug("the coordinator says stop: %.*s", (int)stop->why.size, stop->why.data);
    wk_session_drain(self, stop->drain ? WK_DRAIN_FINISH : WK_DRAIN_NOW, self->now_ms);
}

static void on_reject(wk_session *self, const fs_msg_reject *reject)
{
    char why[FS_PROTO_WHY_BYTES_MAX + 1];
    memcpy(why, reject->why.data, reject->why.size);
    why[reject->why.size] = '\0';
    leave(self, FS_EREFUSED, why, 0);
}

static void on_ack(wk_session *self, const fs_msg_ack *ack)
{
    if (!wk_outbox_ack(&self->outbox, ack->lease, ack->sequence)) return;
    self->counts.accepted += ack->accepted;
    self->counts.duplicates += ack->duplicates;
    self->counts.mismatches += ack->mismatches;
    leave_if_drained(self);
}

static void dispatch(wk_session *self, const fs_message *message)
{
    switch (message->type) {
    case FS_MSG_WHO:
        on_who(self);
        break;
    case FS_MSG_WELCOME:
        on_welcome(self, &message->u.welcome);
        break;
    case FS_MSG_GRANT:
        on_grant(self, &message->u.grant.lease);
        break;
    case FS_MSG_ACK:
        on_ack(self, &message->u.ack);
        break;
    case FS_MSG_STOP:
        on_stop(self, &message->u.stop);
        break;
    case FS_MSG_REJECT:
        on_reject(self, &message->u.reject);
        break;
    default:
        fs_warn("a coordinator does not say %s", fs_message_name(message->type));
        break;
    }
}

/* ---- the public verbs ---- */

fs_status wk_session_new(wk_session **out, const wk_identity *identity, wk_ports ports,
                         uint64_t idle_exit_ms)
{
    wk_session *self = calloc(1, sizeof *self);
    *out = self;
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a session");
    self->identity = *identity;
    self->ports = ports;
    self->idle_exit_ms = idle_exit_ms;
    self->heartbeat_ms = FS_HEARTBEAT_MS;
    self->leave_by_ms = UINT64_MAX;
    return FS_OK;
}

void wk_session_destroy(wk_session **session)
{
    wk_session *self = *session;
    *session = NULL;
    if (self == NULL) return;
    wk_holdings_free(&self->holds);
    wk_outbox_clear(&self->outbox);
    fs_buf_free(&self->frame);
    free(self->golden);
    free(self);
}

void wk_session_start(wk_session *self, uint64_t now_ms)
{
    self->now_ms = self->heard_ms = now_ms;
    self->heartbeat_due_ms = now_ms + self->heartbeat_ms;
    say_hello(self);
}

void wk_session_message(wk_session *self, const void *frame, size_t size, uint64_t now_ms)
{
    if (self->state == WK_STATE_GONE) return;
    fs_message message;
    if (fs_message_decode(&message, frame, size) != FS_OK) {
        if (self->garbage++ == 0) fs_warn("a message that is none: %s", fs_status_detail());
        return;
    }
    self->now_ms = self->heard_ms = now_ms;
    dispatch(self, &message);
    fs_message_free(&message);
}

void wk_session_prepared(wk_session *self, fs_status status, const char *why, uint32_t cells,
                         uint64_t now_ms)
{
    self->now_ms = self->heard_ms = now_ms;
    if (self->state == WK_STATE_GONE || self->state == WK_STATE_DRAINING) return;
    if (self->overtaken) {
        /* Its campaign is not known any more: ask for it. */
        memset(&self->fingerprint, 0, sizeof self->fingerprint);
        self->overtaken = 0;
        transition(self, WK_EVENT_PREPARED);
        transition(self, WK_EVENT_WHO);
        say_hello(self);
        return;
    }
    if (status != FS_OK) {
        fail(self, status, why);
        return;
    }
    self->cells = cells;
    self->prepared = 1;
    transition(self, WK_EVENT_PREPARED);
    catch_up(self);
}

void wk_session_done(wk_session *self, const wk_done *done, uint64_t now_ms)
{
    self->now_ms = self->heard_ms = now_ms;
    wk_held *held = wk_holdings_find(&self->holds, done->lease);
    if (held == NULL || self->state == WK_STATE_GONE) return; /* dropped meanwhile */
    fs_status status = wk_held_done(held, done, now_ms);
    if (status != FS_OK) {
        fail(self, status, fs_status_detail());
        return;
    }
    self->counts.trials++;
    if (done->status == FS_OK) {
        self->failures_in_a_row = 0;
    } else {
        self->counts.failed++;
        fs_warn("trial %llu of cell %u: %s", (unsigned long long)done->trial, done->cell,
                done->why);
        say_failed(self, done->status, done->why, 0, done);
        if (++self->failures_in_a_row >= WK_FAILURES_IN_A_ROW_MAX) {
            fail(self, done->status, done->why);
            return;
        }
    }
    if (wk_held_is_over(held) || held->pending_count == FS_RESULTS_PER_MESSAGE_MAX) {
        flush_held(self, held);
    }
    leave_if_drained(self);
}

void wk_session_golden(wk_session *self, uint32_t variant, const wk_golden_info *info)
{
    if (self->state == WK_STATE_GONE) return;
    fs_msg_golden *all = realloc(self->golden, (self->golden_count + 1) * sizeof *all);
    if (all == NULL) {
        fail(self, FS_ENOMEM, "no memory for a golden run");
        return;
    }
    self->golden = all;
    all[self->golden_count] = (fs_msg_golden){.variant = variant,
                                              .metric = info->metric,
                                              .loss = info->loss,
                                              .answers = info->answers,
                                              .checksum = info->checksum,
                                              .altered = info->altered,
                                              .token_rows_read = info->token_rows_read,
                                              .positions_read = info->positions_read,
                                              .bounds_checksum = info->bounds_checksum};
    if (self->known) {
        say(self, &(fs_message){.type = FS_MSG_GOLDEN, .u.golden = all[self->golden_count]});
    }
    self->golden_count++;
}

void wk_session_broken(wk_session *self, fs_status status, const char *why)
{
    fail(self, status, why);
}

void wk_session_tick(wk_session *self, uint64_t now_ms)
{
    self->now_ms = now_ms;
    if (self->state == WK_STATE_GONE) return;
    flush_due(self, 0);
    if (now_ms >= self->heartbeat_due_ms && self->state != WK_STATE_GONE) {
        self->heartbeat_due_ms = now_ms + self->heartbeat_ms;
        /* One is enough to make itself known once there is a connection. */
        if (self->ports.queued(self->ports.data) == 0) say_heartbeat(self);
    }
    leave_if_drained(self);
    uint64_t silent_ms = now_ms - self->heard_ms;
    if (self->idle_exit_ms > 0 && silent_ms >= self->idle_exit_ms && self->holds.count == 0 &&
        self->state != WK_STATE_PREPARING) {
        leave(self, self->welcomed ? FS_OK : FS_ETIMEOUT,
              self->welcomed ? "nothing to do" : "no coordinator answered", 1);
    }
}

void wk_session_drain(wk_session *self, wk_drain how, uint64_t now_ms)
{
    self->now_ms = now_ms;
    if (self->state == WK_STATE_GONE) return;
    transition(self, WK_EVENT_DRAIN);
    if (how == WK_DRAIN_NOW) {
        flush_due(self, 1);
        leave(self, FS_OK, "stopped", 1);
        return;
    }
    if (how == WK_DRAIN_RETURN) {
        uint64_t by = now_ms + WK_GRACE_MS;
        if (by < self->leave_by_ms) self->leave_by_ms = by;
        return_tails(self);
        flush_due(self, 1);
    }
    leave_if_drained(self);
}

wk_counts wk_session_counts(const wk_session *self)
{
    return self->counts;
}

wk_state wk_session_state(const wk_session *self)
{
    return self->state;
}

uint64_t wk_session_unacknowledged(const wk_session *self)
{
    uint64_t count = self->outbox.results;
    for (uint32_t i = 0; i < self->holds.count; i++) count += self->holds.at[i].pending_count;
    return count;
}
