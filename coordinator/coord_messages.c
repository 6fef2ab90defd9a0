/* What workers say: frame -> message -> scheduler, and what is answered. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "coord_core.h"
#include "log.h"

static void reject(coord_core *self, const fs_peer *peer, int64_t index, const char *why)
{
    char text[FS_PROTO_WHY_BYTES_MAX + 1];
    fs_message message = {.type = FS_MSG_REJECT};
    message.u.reject.why = fs_text_clean(text, sizeof text, why);
    coord_core__send(self, peer, &message);
    fs_warn("a worker was turned away: %s", why);
    coord_core__event(self, "worker-rejected", "%s", why);
    if (index >= 0) coord_core__leave(self, (uint32_t)index, COORD_PLANNED, why);
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
    fs_status status = coord_workers_hello(self->workers, peer, hello, fs_clock_mono_ms(), &index,
                                           &known, &former);
    if (status != FS_OK) {
        reject(self, peer, -1, fs_status_detail());
        return;
    }
    if (former >= 0) coord_core__leave(self, (uint32_t)former, COORD_DIED, "it was started again");
    coord_worker *worker = coord_workers_at(self->workers, index);
    if (!known) {
        fs_debug("worker %s on %s, pid %u, %u threads, %s", worker->uuid, worker->host, worker->pid,
                 worker->threads, worker->kernel);
        coord_core__event(self, "worker-joined", "%s on %s, pid %u, %u threads, %s", worker->uuid,
                          worker->host, worker->pid, worker->threads, worker->kernel);
    }
    int ours = fs_hash_equal(&hello->fingerprint, &self->plan->fingerprint);
    size_t held = ours ? hello->lease_count : 0;
    coord_core__must(self, coord_scheduler_keep(self->scheduler, index, hello->leases, held));
    for (size_t i = 0; i < held; i++) {
        coord_core__judge(
            self, index,
            coord_scheduler_adopt(self->scheduler, index, &hello->leases[i], fs_clock_mono_ms()));
        uint32_t cell = hello->leases[i].cell; /* of a lease that we know it may be anything */
        if (cell < self->plan->cell_count && worker->golden[self->plan->cells[cell].variant])
            coord_scheduler_warm(self->scheduler, hello->leases[i].id);
    }
    welcome(self, peer);
    if (self->phase == COORD_RUNNING) return;
    coord_worker_transition(worker, COORD_WORKER_DRAINS);
    coord_core__stop(self, peer, "the coordinator is stopping");
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

static int arm_reads(const fs_plan *plan, uint32_t arm, uint32_t variant)
{
    size_t i = 0;
    while (i < plan->cell_count && (plan->cells[i].arm != arm || plan->cells[i].variant != variant))
        i++;
    return i < plan->cell_count;
}

void coord_core__judge_golden(const coord_core *self, uint32_t variant)
{
    const fs_plan *plan = self->plan;
    const fs_store_golden *golden = &self->golden[variant];
    const fs_variant *read = &plan->variants[variant];
    if (fs_store_golden_finite(golden)) return;
    for (uint32_t arm = 0; arm < plan->campaign->arm_count; arm++)
        if (arm_reads(plan, arm, variant))
            fs_warn(
                "arm %s, in %s%s: its fault-free run has no finite answer (loss %g, metric %g), "
                "so its masked and critical shares mean nothing: look for NaN, Inf and values "
                "too large for the format in the model%s",
                plan->campaign->arms[arm].name, fs_protect_format(&read->protect)->name,
                read->tuned ? ", tuned" : "", golden->loss, golden->metric,
                read->tuned ? ", and at finetune.learning_rate" : "");
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
        if (!self->golden_known[golden->variant]) coord_core__judge_golden(self, golden->variant);
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
        coord_core__leave(self, index, COORD_PLANNED, why);
        return;
    }
    fs_status status =
        coord_scheduler_trial_failed(self->scheduler, failed->lease, failed->cell, failed->trial);
    coord_core__judge(self, index, status);
    if (status == FS_EPROTO) return;
    fs_warn("trial %s/%" PRIu64 " failed on %s: %s", self->plan->cells[failed->cell].id,
            failed->trial, worker->host, why);
    coord_core__event(self, "trial-failed", "%s/%" PRIu64 " on %s: %s",
                      self->plan->cells[failed->cell].id, failed->trial, worker->host, why);
    coord_core__quarantine(self, why);
}

static void on_return(coord_core *self, uint32_t index, const fs_msg_return *returned)
{
    coord_worker *worker = coord_workers_at(self->workers, index);
    coord_core__judge(self, index,
                      coord_scheduler_returned(self->scheduler, index, &returned->lease));
    coord_worker_transition(worker, COORD_WORKER_DRAINS);
    coord_core__grant_all(self);
}

static void on_heartbeat(coord_core *self, uint32_t index, const fs_msg_heartbeat *heartbeat)
{
    coord_workers_at(self->workers, index)->busy = heartbeat->busy;
    coord_core__must(self, coord_scheduler_heartbeat(self->scheduler, index, heartbeat->leases,
                                                     heartbeat->lease_count, fs_clock_mono_ms()));
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
        coord_core__leave(self, index, COORD_PLANNED, "it said goodbye");
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
        coord_workers_at(self->workers, (uint32_t)index)->heard_ms = fs_clock_mono_ms();
        dispatch(self, (uint32_t)index, &message);
    } else if (message.type != FS_MSG_BYE && message.type != FS_MSG_FAILED) {
        coord_core__send(self, peer, &(fs_message){.type = FS_MSG_WHO});
    }
    fs_message_free(&message);
}
