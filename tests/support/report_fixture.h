/** A store with two arms, two read guards, two amounts and two classes of bits, filled by formula,
 * for the tests of the report. Names are hostile where a test asks for it. */
#ifndef REPORT_FIXTURE_H
#define REPORT_FIXTURE_H

#include "hash.h"
#include "plan_fixture.h"
#include "store.h"

enum { REPORT_CELLS = 8, REPORT_TRIALS = 60 };

typedef struct report_fixture {
    plan_fixture *base;
    fs_fault_space *spaces[2]; /* exponent and mantissa */
    fs_store *store;
    char dir[64];
} report_fixture;

/* Cell 2i is unprotected and cell 2i+1 protected; i counts bits first, then amounts. */
static inline void report_fixture__cell(report_fixture *self, size_t i)
{
    fs_cell *cell = &self->base->plan.cells[i];
    size_t point = i / 2;
    cell->bits = &self->base->sweep.bits[point % 2];
    cell->space = self->spaces[point % 2];
    cell->site = self->base->sweep.site;
    cell->set = self->base->sweep.set;
    cell->amount = (fs_amount){FS_AMOUNT_COUNT, point / 2 == 0 ? 1 : 10};
    cell->draw_key = point;
}

static inline void report_fixture__sweep(report_fixture *self)
{
    fs_sweep *sweep = &self->base->sweep;
    sweep->site = &fs__site_parameters;
    sweep->set = fs_geometry_components(self->base->model.geometry);
    sweep->amount_kind = FS_AMOUNT_COUNT;
    sweep->amounts[0] = 1;
    sweep->amounts[1] = 10;
    sweep->amount_count = 2;
    sweep->kind_count = 1;
    sweep->pattern_count = 1;
    sweep->bits[0] = (fs_bits_choice){FS_BITS_EXPONENT, "exponent"};
    sweep->bits[1] = (fs_bits_choice){FS_BITS_MANTISSA, "mantissa"};
    sweep->bits_count = 2;
    sweep->guard_count = 1;
    for (int i = 0; i < 2; i++) {
        fs_status status = fs_fault_space_new(&self->spaces[i], self->base->model.geometry,
                                              sweep->set, NULL, 0, sweep->bits[i].bits);
        FS_ASSERT(status == FS_OK);
    }
}

/** Opens an empty store. `name` is the campaign's. */
static inline report_fixture *report_fixture_new(const char *name, uint64_t trials)
{
    report_fixture *self = calloc(1, sizeof *self);
    FS_ASSERT(self != NULL);
    self->base = fixture_new(REPORT_CELLS, trials, 42);
    snprintf(self->base->campaign.name, sizeof self->base->campaign.name, "%s", name);
    snprintf(self->base->arms[1].protect[0], sizeof self->base->arms[1].protect[0], "ep");
    self->base->arms[1].protect_count = 1;
    self->base->model.path = "models/fixture";
    self->base->campaign.critical.accuracy_drop = 0.05;
    report_fixture__sweep(self);
    for (size_t i = 0; i < REPORT_CELLS; i++) report_fixture__cell(self, i);
    fixture_mkdir(self->dir);
    fs_status status =
        fs_store_open(&self->store, self->dir, FS_STORE_CREATE, &self->base->plan, fixture_text);
    FS_ASSERT(status == FS_OK);
    return self;
}

/** A record as fixture_record makes it, but with little harm in the protected arm. */
static inline fs_trial_record report_fixture_record(uint32_t cell, uint64_t trial)
{
    fs_trial_record r = fixture_record(cell, trial, 0);
    r.fault[0].tensor = cell;
    if (cell % 2 == 0 || trial % 10 == 0) return r;
    r.outcome = FS_OUTCOME_MASKED;
    r.masked = FIXTURE_INPUTS;
    r.benign = r.sdc = r.due = 0;
    r.answers_changed = 0;
    r.critical = 0;
    r.metric = 0.9;
    r.deviation_max = 0;
    return r;
}

/** Stores trials 0..trials-1 of a cell in one commit. */
static inline void report_fixture_run(report_fixture *self, uint32_t cell, uint64_t trials)
{
    fs_buf bytes = {0};
    int verdict;
    fs_status status = fs_store_begin(self->store);
    for (uint64_t i = 0; i < trials && status == FS_OK; i++) {
        fs_trial_record r = report_fixture_record(cell, i);
        fs_buf_clear(&bytes);
        status = fs_trial_encode(&r, &bytes);
        if (status == FS_OK)
            status = fs_store_put_trial(self->store, cell, i, bytes.data, bytes.size, &verdict);
    }
    if (status == FS_OK) status = fs_store_commit(self->store);
    FS_ASSERT(status == FS_OK);
    fs_buf_free(&bytes);
}

/** Journal, goldens, attempts and one quarantined trial, with texts that try to break out. */
static inline void report_fixture_journal(report_fixture *self, const char *text)
{
    const fs_store_golden golden = {.metric = 0.9,
                                    .loss = 0.3,
                                    .answers = FIXTURE_INPUTS,
                                    .kernel = "portable",
                                    .host = "host"};
    fs_attempt attempt = {.cell = 0,
                          .last = 9,
                          .accepted = 10,
                          .started_ms = 1790000000000,
                          .committed_ms = 1790000005000,
                          .worker = "worker-1"};
    snprintf(attempt.host, sizeof attempt.host, "%s", text);
    fs_status status = fs_store_begin(self->store);
    for (uint32_t v = 0; v < 2 && status == FS_OK; v++)
        status = fs_store_put_golden(self->store, v, &golden);
    if (status == FS_OK) status = fs_store_put_attempt(self->store, &attempt);
    if (status == FS_OK) status = fs_store_put_event(self->store, 1790000000000, "note", text);
    if (status == FS_OK) status = fs_store_put_quarantine(self->store, 0, REPORT_TRIALS - 1, text);
    if (status == FS_OK) status = fs_store_commit(self->store);
    FS_ASSERT(status == FS_OK);
}

static inline void report_fixture_free(report_fixture *self)
{
    fs_store_close(&self->store);
    fixture_rmdir(self->dir);
    for (int i = 0; i < 2; i++) fs_fault_space_destroy(&self->spaces[i]);
    fixture_free(self->base);
    free(self);
}

#endif
