#include "report_health.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "history.h"
#include "report_meta.h"
#include "utf8.h"

typedef struct event {
    uint64_t ms;
    char *kind;
    char *text;
} event;

typedef struct health {
    const fs_plan *plan;
    history history;
    event events[REPORT_EVENTS_MAX]; /* a ring of the last ones */
    uint64_t event_count;
    json_t *quarantined;
    fs_status status;
} health;

json_t *report_json_text(const char *text)
{
    fs_buf clean = {0};
    size_t size = strlen(text);
    fs_status status = FS_OK;
    for (size_t i = 0; i < size && status == FS_OK;) {
        size_t length = fs_utf8_length(text + i, size - i);
        status = length == 0 ? fs_buf_puts(&clean, "\xef\xbf\xbd")
                             : fs_buf_append(&clean, text + i, length);
        i += length == 0 ? 1 : length;
    }
    json_t *out = status == FS_OK ? json_string(fs_buf_text(&clean)) : NULL;
    fs_buf_free(&clean);
    return out;
}

static int visit_event(void *data, uint64_t wall_ms, const char *kind, const char *text)
{
    health *self = data;
    event *e = &self->events[self->event_count++ % REPORT_EVENTS_MAX];
    free(e->kind);
    free(e->text);
    *e = (event){wall_ms, strdup(kind), strdup(text)};
    if (e->kind != NULL && e->text != NULL) return 0;
    self->status = fs_fail(FS_ENOMEM, "no memory for the report's events");
    return 1;
}

static int visit_quarantine(void *data, uint32_t cell, uint64_t trial, const char *cause)
{
    health *self = data;
    char id[FS_CELL_ID_BYTES_MAX + 24];
    if (json_array_size(self->quarantined) >= REPORT_QUARANTINED_MAX) return 1;
    snprintf(id, sizeof id, "%s/%" PRIu64,
             cell < self->plan->cell_count ? self->plan->cells[cell].id : "?", trial);
    json_array_append_new(self->quarantined, json_pack("{s:o, s:o}", "trial", report_json_text(id),
                                                       "cause", report_json_text(cause)));
    return 0;
}

static json_t *worker_json(const history_worker *w)
{
    return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I}", "worker",
                     report_json_text(w->uuid), "host", report_json_text(w->host), "deliveries",
                     (json_int_t)w->deliveries, "accepted", (json_int_t)w->accepted, "duplicates",
                     (json_int_t)w->duplicates, "mismatches", (json_int_t)w->mismatches, "first_ms",
                     (json_int_t)w->first_ms, "last_ms", (json_int_t)w->last_ms);
}

static json_t *events_json(const health *self)
{
    json_t *out = json_array();
    uint64_t kept = self->event_count < REPORT_EVENTS_MAX ? self->event_count : REPORT_EVENTS_MAX;
    for (uint64_t i = self->event_count - kept; i < self->event_count; i++) {
        const event *e = &self->events[i % REPORT_EVENTS_MAX];
        json_array_append_new(out, json_pack("{s:I, s:o, s:o}", "ms", (json_int_t)e->ms, "kind",
                                             report_json_text(e->kind), "text",
                                             report_json_text(e->text)));
    }
    return out;
}

static json_t *time_json(int known, uint64_t ms)
{
    return known ? json_integer((json_int_t)ms) : json_null();
}

static json_t *health_json(health *self)
{
    json_t *workers = json_array();
    uint64_t started = UINT64_MAX, finished = 0;
    for (size_t i = 0; i < self->history.count; i++) {
        const history_worker *w = &self->history.workers[i];
        if (i < REPORT_WORKERS_MAX) json_array_append_new(workers, worker_json(w));
        if (w->first_ms < started) started = w->first_ms;
        if (w->last_ms > finished) finished = w->last_ms;
    }
    int known = self->history.count > 0;
    json_t *quarantined = self->quarantined;
    self->quarantined = NULL;
    return json_pack("{s:o, s:I, s:o, s:o, s:o, s:I, s:o}", "workers", workers, "workers_total",
                     (json_int_t)self->history.count, "started_ms", time_json(known, started),
                     "finished_ms", time_json(known, finished), "events", events_json(self),
                     "events_total", (json_int_t)self->event_count, "quarantined", quarantined);
}

fs_status report_health_new(json_t **out, fs_store *store, const fs_plan *plan)
{
    health self = {.plan = plan, .quarantined = json_array()};
    *out = NULL;
    fs_status status = history_read(&self.history, store);
    if (status == FS_OK) status = fs_store_each_event(store, visit_event, &self);
    if (status == FS_OK) status = self.status;
    if (status == FS_OK) status = fs_store_each_quarantine(store, visit_quarantine, &self);
    if (status == FS_OK) {
        *out = health_json(&self);
        if (*out == NULL) status = fs_fail(FS_ENOMEM, "no memory for the report's health");
    }
    for (size_t i = 0; i < REPORT_EVENTS_MAX; i++) {
        free(self.events[i].kind);
        free(self.events[i].text);
    }
    json_decref(self.quarantined);
    history_free(&self.history);
    return status;
}
