/** A small plan made by hand and trial records made by formula, for tests that need no model. */
#ifndef PLAN_FIXTURE_H
#define PLAN_FIXTURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "buf.h"
#include "geometry.h"
#include "plan.h"
#include "trial.h"

enum { FIXTURE_INPUTS = 40 };

static const char fixture_text[] = "campaign: fixture\n";

typedef struct plan_fixture {
    fs_plan plan;
    fs_campaign campaign;
    fs_arm arms[2];
    fs_sweep sweep;
    fs_plan_model model;
    fs_variant variants[2];
} plan_fixture;

/** `cells` is even: cells 2i and 2i+1 are a pair in the two arms. */
static inline plan_fixture *fixture_new(size_t cells, uint64_t trials, uint64_t seed)
{
    plan_fixture *f = calloc(1, sizeof *f);
    FS_ASSERT(f != NULL);
    snprintf(f->campaign.name, sizeof f->campaign.name, "fixture");
    f->campaign.seed = seed;
    f->campaign.task.kind = FS_TASK_CLASSIFICATION;
    f->campaign.arms = f->arms;
    f->campaign.arm_count = 2;
    f->campaign.sweeps = &f->sweep;
    f->campaign.sweep_count = 1;
    snprintf(f->arms[0].name, sizeof f->arms[0].name, "unprotected");
    snprintf(f->arms[1].name, sizeof f->arms[1].name, "ep");
    snprintf(f->sweep.name, sizeof f->sweep.name, "s");
    f->sweep.trials = trials;
    const fs_config config = {.kind = FS_MODEL_BERT,
                              .vocab = 8,
                              .positions = 8,
                              .segments = 2,
                              .d_model = 4,
                              .layers = 1,
                              .heads = 1,
                              .d_ff = 8,
                              .labels = 2,
                              .norm_eps = 1e-12};
    fs_status status = fs_geometry_new(&f->model.geometry, &config);
    FS_ASSERT(status == FS_OK);
    f->model.has_weights = 1;
    f->sweep.site = &fs__site_parameters;
    f->plan.campaign = &f->campaign;
    f->plan.models = &f->model;
    f->plan.model_count = 1;
    f->plan.variants = f->variants;
    f->plan.variant_count = 2;
    f->variants[1].arm = 1;
    f->plan.cells = calloc(cells, sizeof *f->plan.cells);
    f->plan.cell_count = cells;
    for (size_t i = 0; i < cells; i++) {
        fs_cell *cell = &f->plan.cells[i];
        snprintf(cell->id, sizeof cell->id, "s/%s,x=%zu", i % 2 == 0 ? "unprotected" : "ep", i / 2);
        cell->arm = cell->variant = (uint32_t)(i % 2);
        cell->pair = (uint32_t)(i / 2);
        cell->layer = -1;
        cell->site = &fs__site_parameters;
        cell->trials = trials;
        f->plan.trials += trials;
    }
    f->plan.has_fingerprint = 1;
    f->plan.identity = malloc(256);
    snprintf(f->plan.identity, 256, "convention: %s\nseed: %llu\ncells: %zu\ntrials: %llu\n",
             FS_CONVENTION, (unsigned long long)seed, cells, (unsigned long long)trials);
    fs_hash_bytes(&f->plan.fingerprint, f->plan.identity, strlen(f->plan.identity));
    return f;
}

static inline void fixture_free(plan_fixture *f)
{
    fs_geometry_destroy(&f->model.geometry);
    free(f->plan.cells);
    free(f->plan.identity);
    free(f);
}

/* A mixing step, so that the records of neighbours have nothing in common. */
static inline uint64_t fixture_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/** The record of a trial; another salt gives another record. */
static inline fs_trial_record fixture_record(uint32_t cell, uint64_t trial, uint64_t salt)
{
    uint64_t h = fixture_mix(fixture_mix(trial + 0x9e3779b97f4a7c15u * (cell + 1)) + salt);
    fs_trial_record r = {.inputs = FIXTURE_INPUTS, .answers = FIXTURE_INPUTS};
    unsigned kind = (unsigned)(h % 10);
    uint32_t part = 1 + (uint32_t)((h >> 8) % (FIXTURE_INPUTS - 1));
    r.outcome = kind < 5   ? FS_OUTCOME_MASKED
                : kind < 7 ? FS_OUTCOME_BENIGN
                : kind < 9 ? FS_OUTCOME_SDC
                           : FS_OUTCOME_DUE;
    r.masked = r.outcome == FS_OUTCOME_MASKED ? FIXTURE_INPUTS : FIXTURE_INPUTS - part;
    r.benign = r.outcome == FS_OUTCOME_BENIGN ? part : 0;
    r.sdc = r.outcome == FS_OUTCOME_SDC ? part : 0;
    r.due = r.outcome == FS_OUTCOME_DUE ? part : 0;
    r.answers_changed = r.sdc + r.due;
    r.critical = r.answers_changed > FIXTURE_INPUTS / 2;
    r.metric = 0.9 * (double)(FIXTURE_INPUTS - r.answers_changed) / FIXTURE_INPUTS;
    r.loss = (double)(h >> 20 & 0xfff) / 4096;
    r.deviation_max = r.outcome == FS_OUTCOME_MASKED ? 0 : (double)(h >> 32 & 0xff);
    r.faults = 1;
    r.effective = h >> 40 & 1;
    r.visible = r.effective;
    r.faults_checksum = h;
    r.kept = 1;
    r.fault[0] = (fs_fault_record){.tensor = cell, .bit = (uint8_t)(h & 31), .element = trial};
    return r;
}

/** Replaces `out`'s contents by the encoded record. */
static inline void fixture_encode(fs_buf *out, uint32_t cell, uint64_t trial, uint64_t salt)
{
    fs_trial_record record = fixture_record(cell, trial, salt);
    fs_buf_clear(out);
    fs_status status = fs_trial_encode(&record, out);
    FS_ASSERT(status == FS_OK);
}

/** Makes an empty folder for a test; remove it with fixture_rmdir. */
static inline void fixture_mkdir(char out[64])
{
    snprintf(out, 64, "/tmp/flipsweep-test-XXXXXX");
    char *made = mkdtemp(out);
    FS_ASSERT(made != NULL);
}

static inline void fixture_rmdir(const char *dir)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "store.lock"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        remove(path);
    }
    remove(dir);
}

#endif
