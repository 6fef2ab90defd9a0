/* The way of results: RESULTS message -> scheduler -> storage thread -> committed -> ACK. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "coord_core.h"
#include "log.h"
#include "trial.h"

/** A batch on its way to the store, with all its bytes. */
typedef struct delivery {
    coord_batch batch;
    coord_core *core;
    uint32_t index;      /* of the worker */
    uint32_t generation; /* so that the place's next worker gets no foreign ACK */
    uint64_t sequence;
    size_t range_count;
    fs_range ranges[]; /* [range_count], then the results, then the records */
} delivery;

/** Writes the trials of a message as runs. @return how many. */
static size_t runs_of(const fs_msg_results *results, fs_range *out)
{
    size_t count = 0;
    for (uint32_t i = 0; i < results->count; i++) {
        uint64_t trial = results->results[i].trial;
        if (count > 0 && out[count - 1].first + out[count - 1].count == trial)
            out[count - 1].count++;
        else
            out[count++] = (fs_range){trial, 1};
    }
    return count;
}

/** Checks every record before the scheduler counts its trial as received. */
static fs_status check_records(const fs_plan *plan, const fs_msg_results *results)
{
    if (results->cell >= plan->cell_count) return FS_OK; /* the scheduler says so */
    const int simulated = fs_identity_simulated(plan->identity);
    for (uint32_t i = 0; i < results->count; i++) {
        fs_trial_record record;
        fs_status status =
            fs_trial_decode(&record, results->results[i].record, results->results[i].record_bytes);
        if (status == FS_OK && !simulated)
            status = fs_cell_check_record(&plan->cells[results->cell], &record);
        if (status != FS_OK)
            return fs_wrap(FS_EPROTO, "trial %" PRIu64 " of cell %u", results->results[i].trial,
                           results->cell);
    }
    return FS_OK;
}

static void send_ack(coord_core *core, const coord_worker *worker, fs_msg_ack ack)
{
    coord_core__send(core, &worker->peer, &(fs_message){.type = FS_MSG_ACK, .u.ack = ack});
}

static void on_stored(coord_batch *batch, fs_status status)
{
    delivery *self = batch->data;
    coord_core *core = self->core;
    if (status == FS_ENOSPC && core->phase == COORD_LEAVING) {
        /* Stopped while the disk is full: these were never acknowledged and will be run again. */
        free(self);
        return;
    }
    if (status != FS_OK) {
        /* The store does not take results any more, and what it has is safe. */
        coord_core_fail(
            core, fs_fail(status, "results could not be stored (%s)", fs_status_text(status)));
        free(self);
        return;
    }
    fs_msg_ack ack = {.lease = batch->lease, .sequence = self->sequence};
    uint64_t critical = 0;
    for (size_t i = 0; i < batch->result_count; i++) {
        const coord_result *result = &batch->results[i];
        ack.accepted += result->verdict == COORD_NEW;
        ack.duplicates += result->verdict == COORD_DUPLICATE;
        ack.mismatches += result->verdict == COORD_MISMATCH;
        critical += result->verdict == COORD_NEW && result->critical;
        if (result->verdict == COORD_MISMATCH)
            fs_warn("trial %s/%" PRIu64 " on %s differs from the stored result",
                    core->plan->cells[batch->cell].id, result->trial, batch->host);
    }
    core->accepted += ack.accepted;
    core->duplicates += ack.duplicates;
    core->mismatches += ack.mismatches;
    status = coord_scheduler_committed(core->scheduler, batch->cell, self->ranges,
                                       self->range_count, critical);
    if (status != FS_OK) coord_core_fail(core, status);
    coord_worker *worker = coord_workers_at(core->workers, self->index);
    if (worker->generation == self->generation) {
        worker->trials += ack.accepted;
        if (worker->state != COORD_WORKER_GONE) send_ack(core, worker, ack);
    }
    free(self);
    if (coord_scheduler_waiting(core->scheduler)) coord_core__grant_all(core);
}

static fs_status make_delivery(delivery **out, const fs_msg_results *results, size_t runs)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < results->count; i++) bytes += results->results[i].record_bytes;
    delivery *self = malloc(sizeof *self + runs * sizeof(fs_range) +
                            results->count * sizeof(coord_result) + bytes);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for %u results", results->count);
    memset(self, 0, sizeof *self);
    self->range_count = runs;
    self->batch.results = (coord_result *)(void *)(self->ranges + runs);
    self->batch.result_count = results->count;
    uint8_t *record = (uint8_t *)(self->batch.results + results->count);
    for (uint32_t i = 0; i < results->count; i++) {
        const fs_msg_result *from = &results->results[i];
        memcpy(record, from->record, from->record_bytes);
        self->batch.results[i] = (coord_result){
            .trial = from->trial, .record = record, .record_bytes = from->record_bytes};
        record += from->record_bytes;
    }
    *out = self;
    return FS_OK;
}

/** When the lease was granted, in wall-clock time; now if that is not known. */
static uint64_t granted_wall_ms(const coord_core *core, uint64_t lease)
{
    uint64_t granted = coord_scheduler_granted_ms(core->scheduler, lease);
    uint64_t ago = granted > 0 ? fs_clock_mono_ms() - granted : 0;
    return fs_clock_wall_ms() - ago;
}

void coord_core__results(coord_core *core, uint32_t index, const fs_msg_results *results)
{
    const coord_worker *worker = coord_workers_at(core->workers, index);
    fs_range runs[FS_RESULTS_PER_MESSAGE_MAX];
    size_t count = runs_of(results, runs);
    uint64_t started_ms = granted_wall_ms(core, results->lease);
    delivery *self = NULL;
    fs_status status = check_records(core->plan, results);
    if (status == FS_OK && results->count > 0) status = make_delivery(&self, results, count);
    if (status == FS_OK)
        status =
            coord_scheduler_received(core->scheduler, index, results->lease, results->cell, runs,
                                     count, results->last, results->cost_us, fs_clock_mono_ms());
    if (status != FS_OK) {
        free(self);
        coord_core__judge(core, index, status);
        return;
    }
    if (self == NULL) {
        send_ack(core, worker,
                 (fs_msg_ack){.lease = results->lease, .sequence = results->sequence});
    } else {
        memcpy(self->ranges, runs, count * sizeof *runs);
        self->core = core;
        self->index = index;
        self->generation = worker->generation;
        self->sequence = results->sequence;
        self->batch.cell = results->cell;
        self->batch.lease = results->lease;
        self->batch.started_ms = started_ms;
        snprintf(self->batch.worker, sizeof self->batch.worker, "%s", worker->uuid);
        snprintf(self->batch.host, sizeof self->batch.host, "%s", worker->host);
        self->batch.done = on_stored;
        self->batch.data = self;
        coord_store_submit(core->store, &self->batch);
    }
    coord_core__grant(core, index);
}
