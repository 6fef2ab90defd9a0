#include "replay.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"

extern char **environ;

fs_status replay_plan(fs_store *store, fs_campaign **campaign, fs_plan **plan)
{
    fs_buf text = {0}, identity = {0}, difference = {0};
    fs_hash stored;
    *campaign = NULL;
    *plan = NULL;
    fs_status status = fs_store_campaign(store, &text);
    if (status == FS_OK) {
        status = fs_campaign_parse(campaign, fs_buf_text(&text), text.size, "stored campaign");
    }
    if (status == FS_OK) status = fs_plan_new(plan, *campaign);
    if (status == FS_OK && !(*plan)->has_fingerprint) {
        status = fs_fail(FS_ENOENT, "the campaign's weights or data are absent on this machine");
    }
    if (status == FS_OK) status = fs_store_fingerprint(store, &stored);
    if (status == FS_OK && !fs_hash_equal(&stored, &(*plan)->fingerprint)) {
        status = fs_store_identity(store, &identity);
        if (status == FS_OK) {
            status = fs_identity_difference((*plan)->identity, fs_buf_text(&identity), &difference);
        }
        if (status == FS_OK) {
            status = fs_fail(FS_EREFUSED, "not the files that the campaign ran on: %s",
                             fs_buf_text(&difference));
        }
    }
    fs_buf_free(&text);
    fs_buf_free(&identity);
    fs_buf_free(&difference);
    if (status != FS_OK) {
        fs_plan_destroy(plan);
        fs_campaign_destroy(campaign);
    }
    return status;
}

/* The folder with what the worker reads. */
typedef struct errand {
    char folder[64];
    char campaign[FS_PATH_BYTES_MAX];
    char ids[FS_PATH_BYTES_MAX];
} errand;

static fs_status errand_write(errand *self, const fs_plan *plan, const replay_id *ids, size_t count)
{
    fs_buf text = {0};
    memcpy(self->folder, "/tmp/flipsweep-replay-XXXXXX", 29);
    if (mkdtemp(self->folder) == NULL) {
        return fs_fail(FS_EIO, "%s: %s", self->folder, strerror(errno));
    }
    fs_status status = fs_path_join(self->campaign, self->folder, "campaign.yaml");
    if (status == FS_OK) status = fs_path_join(self->ids, self->folder, "trials");
    if (status == FS_OK) status = fs_campaign_write(plan->campaign, &text);
    if (status == FS_OK) status = fs_file_write_atomic(self->campaign, text.data, text.size);
    fs_buf_clear(&text);
    for (size_t i = 0; i < count && status == FS_OK; i++) {
        status = fs_buf_printf(&text, "%s/%llu\n", plan->cells[ids[i].cell].id,
                               (unsigned long long)ids[i].trial);
    }
    if (status == FS_OK) status = fs_file_write_atomic(self->ids, text.data, text.size);
    fs_buf_free(&text);
    return status;
}

static void errand_remove(const errand *self)
{
    if (self->campaign[0] != '\0') unlink(self->campaign);
    if (self->ids[0] != '\0') unlink(self->ids);
    rmdir(self->folder);
}

/* Starts the worker with its stdout on a pipe. */
static fs_status start_worker(const errand *work, const replay_options *options, pid_t *out_pid,
                              FILE **out_pipe)
{
    char program[FS_PATH_BYTES_MAX], threads[16];
    FS_TRY(fs_path_sibling(program, "flipsweep-worker"));
    const char *argv[13] = {program, "--replay", work->ids, "--campaign", work->campaign};
    size_t count = 5;
    /* The worker's own default is one for each core that it may use. */
    if (options->threads != 0) {
        snprintf(threads, sizeof threads, "%u", options->threads);
        argv[count++] = "--threads";
        argv[count++] = threads;
    }
    if (options->brute_force) argv[count++] = "--brute-force";
    if (options->faults != NULL) {
        argv[count++] = "--faults";
        argv[count++] = options->faults;
    }
    if (options->work != NULL) {
        argv[count++] = "--work";
        argv[count++] = options->work;
    }
    int ends[2];
    if (pipe(ends) != 0) return fs_fail(FS_EIO, "pipe: %s", strerror(errno));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    int error = posix_spawn(out_pid, program, &actions, NULL, (char **)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (error != 0) {
        close(ends[0]);
        return fs_fail(FS_EIO, "%s: %s", program, strerror(error));
    }
    *out_pipe = fdopen(ends[0], "r");
    if (*out_pipe != NULL) return FS_OK;
    close(ends[0]);
    return fs_fail(FS_ENOMEM, "no memory for a pipe");
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static fs_status parse_record(const char *hex, fs_buf *bytes, fs_trial_record *record)
{
    fs_buf_clear(bytes);
    for (size_t i = 0; hex != NULL && hex[i] != '\0'; i += 2) {
        int high = hex_value(hex[i]), low = high < 0 ? -1 : hex_value(hex[i + 1]);
        if (low < 0) return fs_fail(FS_EPROTO, "the worker's record is no hexadecimal text");
        uint8_t byte = (uint8_t)(high << 4 | low);
        FS_TRY(fs_buf_append(bytes, &byte, 1));
    }
    return fs_trial_decode(record, bytes->data, bytes->size);
}

static fs_status read_result(const char *line, fs_store *store, const fs_plan *plan,
                             replay_result *out)
{
    fs_buf bytes = {0}, stored = {0};
    json_error_t error;
    json_t *root = json_loads(line, 0, &error);
    if (root == NULL) return fs_fail(FS_EPROTO, "the worker answered: %.200s", line);
    const json_t *golden = json_object_get(root, "golden_metric");
    const json_t *difference = json_object_get(root, "first_difference");
    out->golden_metric = json_is_number(golden) ? json_number_value(golden) : (double)NAN;
    out->first_difference = json_is_integer(difference) ? json_integer_value(difference) : -1;
    fs_status status =
        parse_record(json_string_value(json_object_get(root, "record")), &bytes, &out->record);
    if (status == FS_OK) status = fs_cell_check_record(&plan->cells[out->id.cell], &out->record);
    if (status == FS_OK) {
        status = fs_store_get_trial(store, out->id.cell, out->id.trial, &stored);
        out->stored = status == FS_OK;
        if (status == FS_ENOENT) status = FS_OK;
    }
    out->stored_equal = out->stored && bytes.size > 0 && stored.size == bytes.size &&
                        memcmp(stored.data, bytes.data, bytes.size) == 0;
    json_decref(root);
    fs_buf_free(&bytes);
    fs_buf_free(&stored);
    return status;
}

static fs_status wait_worker(pid_t pid)
{
    int ended;
    while (waitpid(pid, &ended, 0) < 0) {
        if (errno != EINTR) return fs_fail(FS_EIO, "waitpid: %s", strerror(errno));
    }
    if (WIFEXITED(ended) && WEXITSTATUS(ended) == 0) return FS_OK;
    if (WIFEXITED(ended)) {
        return fs_fail(FS_EIO, "flipsweep-worker ended with %d", WEXITSTATUS(ended));
    }
    return fs_fail(FS_EIO, "flipsweep-worker was ended by signal %d", WTERMSIG(ended));
}

fs_status replay_trials(fs_store *store, const fs_plan *plan, const replay_id *ids, size_t count,
                        const replay_options *options,
                        fs_status (*visit)(void *data, const replay_result *result), void *data)
{
    if (count == 0) return FS_OK;
    errand work = {0};
    pid_t pid = 0;
    FILE *pipe = NULL;
    char *line = NULL;
    size_t capacity = 0, seen = 0;
    fs_status status = errand_write(&work, plan, ids, count);
    if (status == FS_OK) status = start_worker(&work, options, &pid, &pipe);
    while (status == FS_OK && seen < count && getline(&line, &capacity, pipe) > 0) {
        replay_result result = {.id = ids[seen++]};
        status = read_result(line, store, plan, &result);
        if (status == FS_OK) status = visit(data, &result);
    }
    free(line);
    if (pipe != NULL) fclose(pipe);
    if (pid > 0) {
        fs_status ended = wait_worker(pid);
        if (status == FS_OK) status = ended;
    }
    errand_remove(&work);
    if (status == FS_OK && seen < count) {
        status = fs_fail(FS_EPROTO, "the worker answered %zu of %zu trials", seen, count);
    }
    return status;
}
