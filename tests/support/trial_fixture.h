/** Trials of a small plan, run by executors that must agree. */
#ifndef TRIAL_FIXTURE_H
#define TRIAL_FIXTURE_H

#include "sweep_fixture.h"

#include "wk_executor.h"

static inline wk_executor *trial_executor(const fixture *f, const wk_options *options)
{
    wk_executor *made;
    assert_ok(wk_executor_new(&made, f->plan, options));
    return made;
}

/** Runs a trial; `bytes` become its record's. */
static inline fs_trial_record trial_run(wk_executor *e, unsigned thread, uint32_t cell,
                                        uint64_t trial, fs_buf *bytes)
{
    fs_trial_record record;
    fs_buf_clear(bytes);
    assert_ok(wk_executor_run(e, thread, cell, trial, &record));
    assert_ok(fs_trial_encode(&record, bytes));
    assert_int_equal(record.inputs, record.masked + record.benign + record.sdc + record.due);
    return record;
}

/** Fails unless two executors gave a trial the same record; `got` says what the second one is. */
static inline void trial_assert_equal(const fs_buf *a, const fs_buf *b, const fs_cell *cell,
                                      uint64_t trial, const char *got)
{
    if (a->size != b->size || memcmp(a->data, b->data, a->size) != 0)
        fail_msg("%s/%llu differs from brute force %s", cell->id, (unsigned long long)trial, got);
}

/** Fails unless a trial without faults is the golden run. */
static inline void trial_assert_golden(wk_executor *e, const fs_cell *cell,
                                       const fs_trial_record *record)
{
    wk_golden_info golden;
    assert_ok(wk_executor_golden(e, cell->variant, &golden));
    assert_int_equal(record->faults, 0);
    assert_int_equal(record->masked, record->inputs);
    assert_int_equal(record->outcome, FS_OUTCOME_MASKED);
    assert_true(record->metric == golden.metric && record->loss == golden.loss);
}

/** Three executors of one thread with no boundary beyond the mandatory ones, some, and all: the
 * memory must not show. Beside them the one that runs everything. */
typedef struct trial_rivals {
    wk_executor *brute, *fast[3];
    fs_buf want, got;
} trial_rivals;

static inline void trial_rivals_open(trial_rivals *self, const fixture *f, uint64_t some_bytes)
{
    const uint64_t bytes[3] = {0, some_bytes, 1u << 30};
    wk_options options = {.threads = 1, .check_always = 1, .brute_force = 1};
    *self = (trial_rivals){.brute = trial_executor(f, &options)};
    options.brute_force = 0;
    for (int i = 0; i < 3; i++) {
        options.golden_bytes_max = options.private_bytes_max = bytes[i];
        self->fast[i] = trial_executor(f, &options);
    }
}

/** @return the record that all of them agree on. */
static inline fs_trial_record trial_rivals_run(trial_rivals *self, const fs_plan *plan, uint32_t c,
                                               uint64_t t)
{
    static const char *const memory[3] = {"with no golden state", "with some", "with all"};
    fs_trial_record record = trial_run(self->brute, 0, c, t, &self->want);
    for (int i = 0; i < 3; i++) {
        trial_run(self->fast[i], 0, c, t, &self->got);
        trial_assert_equal(&self->want, &self->got, &plan->cells[c], t, memory[i]);
    }
    return record;
}

static inline void trial_rivals_close(trial_rivals *self)
{
    wk_executor_destroy(&self->brute);
    for (int i = 0; i < 3; i++) wk_executor_destroy(&self->fast[i]);
    fs_buf_free(&self->want);
    fs_buf_free(&self->got);
}

#endif
