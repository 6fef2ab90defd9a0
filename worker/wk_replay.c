#include "wk_replay.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "grow.h"
#include "wk_fault_list.h"

typedef struct replayed {
    uint32_t cell;
    uint64_t trial;
    fs_trial_record record;
    uint32_t first_difference;
} replayed;

typedef struct replay {
    const fs_plan *plan;
    wk_executor *executor;
    replayed *trials;
    size_t count, capacity;
    atomic_size_t next;
    pthread_mutex_t lock; /* over status and why */
    fs_status status;
    char why[512];
} replay;

typedef struct replay_thread {
    replay *replay;
    unsigned index;
} replay_thread;

static fs_status read_ids(replay *self, const char *path)
{
    fs_buf text = {0};
    fs_status status = fs_file_read(&text, path, (size_t)WK_REPLAY_TRIALS_MAX * 64);
    char *line = (char *)text.data, *end;
    for (size_t number = 1; status == FS_OK && line != NULL && *line != '\0'; number++) {
        end = strchr(line, '\n');
        if (end != NULL) *end = '\0';
        replayed *trials = fs_grow(self->trials, self->count, &self->capacity, sizeof *trials);
        if (trials == NULL) {
            status = fs_fail(FS_ENOMEM, "no memory for more trials");
            break;
        }
        self->trials = trials;
        replayed *r = &self->trials[self->count++];
        status = fs_trial_id_parse(self->plan, line, &r->cell, &r->trial);
        if (status != FS_OK) status = fs_wrap(FS_EFORMAT, "%s:%zu", path, number);
        line = end == NULL ? NULL : end + 1;
    }
    fs_buf_free(&text);
    return status;
}

static void *replay_thread_main(void *data)
{
    replay_thread *thread = data;
    replay *self = thread->replay;
    size_t i;
    while ((i = atomic_fetch_add(&self->next, 1)) < self->count) {
        replayed *r = &self->trials[i];
        fs_status status =
            wk_executor_run(self->executor, thread->index, r->cell, r->trial, &r->record);
        if (status == FS_OK) {
            r->first_difference =
                wk_executor_first_difference(self->executor, thread->index, r->cell);
            continue;
        }
        pthread_mutex_lock(&self->lock);
        if (self->status == FS_OK) snprintf(self->why, sizeof self->why, "%s", fs_status_detail());
        self->status = status;
        pthread_mutex_unlock(&self->lock);
        atomic_store(&self->next, self->count);
    }
    return NULL;
}

static fs_status run_all(replay *self, unsigned threads)
{
    pthread_t ids[FS_THREADS_MAX];
    replay_thread all[FS_THREADS_MAX];
    unsigned started = 0;
    all[0] = (replay_thread){self, 0};
    for (unsigned t = 1; t < threads; t++) all[t] = (replay_thread){self, t};
    for (; started + 1 < threads; started++) {
        if (pthread_create(&ids[started], NULL, replay_thread_main, &all[started + 1]) != 0) break;
    }
    replay_thread_main(&all[0]);
    for (unsigned t = 0; t < started; t++) pthread_join(ids[t], NULL);
    return self->status == FS_OK ? FS_OK : fs_fail(self->status, "%s", self->why);
}

static fs_status print_one(const replay *self, const replayed *r, fs_buf *record, FILE *out)
{
    const fs_cell *cell = &self->plan->cells[r->cell];
    wk_golden_info golden;
    FS_TRY(wk_executor_golden(self->executor, cell->variant, &golden));
    fs_buf_clear(record);
    FS_TRY(fs_trial_encode(&r->record, record));
    fprintf(out, "{\"trial\": \"%s/%llu\", \"golden_metric\": ", cell->id,
            (unsigned long long)r->trial);
    /* JSON has neither infinities nor NaN. */
    if (isfinite(golden.metric))
        fprintf(out, "%.17g", golden.metric);
    else
        fputs("null", out);
    fputs(", \"first_difference\": ", out);
    if (r->first_difference == UINT32_MAX)
        fputs("null", out);
    else
        fprintf(out, "%u", r->first_difference);
    fputs(", \"record\": \"", out);
    for (size_t i = 0; i < record->size; i++) fprintf(out, "%02x", record->data[i]);
    fputs("\"}\n", out);
    return FS_OK;
}

/* Writes the faults of the one trial that was run. */
static fs_status write_faults(const replay *self, const char *path)
{
    const replayed *r = &self->trials[0];
    if (self->count != 1)
        return fs_fail(FS_EUSAGE, "the faults of one trial can be written, not of %zu",
                       self->count);
    return wk_fault_list_write(path, self->plan, wk_executor_data(self->executor, r->cell), r->cell,
                               r->trial);
}

fs_status wk_replay(const wk_replay_request *request, const wk_options *options, FILE *out)
{
    const char *campaign_path = request->campaign;
    wk_options own = *options;
    own.afresh = 1; /* what is checked is not to be gone on from */
    fs_campaign *campaign = NULL;
    fs_plan *plan = NULL;
    fs_buf record = {0};
    replay self = {.lock = PTHREAD_MUTEX_INITIALIZER};
    fs_status status = fs_campaign_read(&campaign, campaign_path);
    if (status == FS_OK) status = fs_plan_new(&plan, campaign);
    self.plan = plan;
    if (status == FS_OK && !plan->has_fingerprint) {
        status =
            fs_fail(FS_ENOENT, "%s: the campaign's weights or data are absent here", campaign_path);
    }
    if (status == FS_OK) status = read_ids(&self, request->ids);
    if (status == FS_OK) status = wk_executor_new(&self.executor, plan, &own);
    if (status == FS_OK) status = run_all(&self, options->threads);
    if (status == FS_OK && request->faults != NULL) status = write_faults(&self, request->faults);
    for (size_t i = 0; i < self.count && status == FS_OK; i++) {
        status = print_one(&self, &self.trials[i], &record, out);
    }
    if (status == FS_OK && (fflush(out) != 0 || ferror(out))) {
        status = fs_fail(FS_EIO, "cannot write the replayed trials");
    }
    fs_buf_free(&record);
    free(self.trials);
    wk_executor_destroy(&self.executor);
    fs_plan_destroy(&plan);
    fs_campaign_destroy(&campaign);
    return status;
}
