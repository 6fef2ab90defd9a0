/* What becomes of a tuned model: read within the bounds of the fault-free one, of the data that the
 * campaign was planned with, from no checkpoint where a trial is checked. */
#include "trial_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "by_hand.h"
#include "nn_ranges.h"
#include "wk_service.h"

static const char *const hits =
    "  - {name: none, phase: finetune, site: {gradients: all}, amount: {count: 0}, trials: 1}\n"
    "  - {name: hit, phase: finetune, site: {parameters: all}, amount: {count: 20},"
    " bits: exponent, persistence: transient, trials: 12}\n";

static void open_fixture(fixture *f, const char *arms, const char *sweeps, const char *finetune)
{
    fixture_options o = {.spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION),
                         .rows = 24,
                         .arms = arms,
                         .sweeps = sweeps,
                         .finetune = finetune};
    o.spec.width = 16, o.spec.heads = 2, o.spec.inner = 24, o.spec.vocab = 300;
    fixture_open(f, &o);
}

static wk_executor *open_executor(const fixture *f, const char *work)
{
    const wk_options options = {.threads = 1, .golden_bytes_max = 1 << 20, .work = work};
    return trial_executor(f, &options);
}

static const fs_cell *cell_of(const fixture *f, const char *id, uint32_t *index)
{
    const int64_t found = fs_plan_find(f->plan, id);
    assert_true(found >= 0);
    *index = (uint32_t)found;
    return &f->plan->cells[found];
}

/* --- Bounds of weights ------------------------------------------------------------------------ */

/* Puts a tuned model's values back into the bounds of golden's. @return how many were outside. */
static uint64_t restrict_weights(by_hand *tuned, const by_hand *golden, int clip)
{
    const tr_layout *layout = tuned->layout;
    uint64_t outside = 0;
    for (size_t t = 0; t < layout->geometry->tensor_count; t++) {
        const fs_tensor *tensor = &layout->geometry->tensors[t];
        const size_t count = (size_t)tensor->rows * tensor->cols, first = layout->tensors[t].first;
        const float *clean = tr_weights_values(golden->weights) + first;
        float *values = tr_weights_values(tuned->weights) + first;
        float low = INFINITY, high = -INFINITY;
        for (size_t i = 0; i < count; i++) low = fminf(low, clean[i]), high = fmaxf(high, clean[i]);
        const float zero = low > 0 ? low : high < 0 ? high : 0;
        for (size_t i = 0; i < count; i++) {
            if (values[i] >= low && values[i] <= high) continue;
            values[i] = !clip || isnan(values[i]) ? zero : values[i] < low ? low : high;
            outside++;
        }
    }
    return outside;
}

static void weights_keep_to_the_golden_bounds(void **state)
{
    static const char *const arms = "  - {name: plain}\n  - {name: zero, protect: [range]}\n"
                                    "  - {name: clip, protect: [range-clip]}\n";
    fixture f;
    fs_buf bytes = {0};
    by_hand golden, tuned;
    uint32_t index;
    uint64_t detected = 0, compared = 0;
    open_fixture(&f, arms, hits, "steps: 3, batch: 6, learning_rate: 1.0e-3");
    wk_executor *e = open_executor(&f, NULL);
    const fs_cell *plain = cell_of(&f, "none/plain", &index);
    by_hand_run(&golden, &f, plain, 0);
    for (int clip = 0; clip < 2; clip++) {
        const fs_cell *cell = cell_of(&f, clip ? "none/clip" : "none/zero", &index);
        fs_trial_record record = trial_run(e, 0, index, 0, &bytes);
        trial_assert_golden(e, cell, &record);
        assert_int_equal(record.detected, 0);
        cell = cell_of(&f, clip ? "hit/clip" : "hit/zero", &index);
        for (uint64_t t = 0; t < cell->trials; t++) {
            record = trial_run(e, 0, index, t, &bytes);
            if (record.diverged != 0) continue;
            by_hand_run(&tuned, &f, cell, t);
            const uint64_t outside = restrict_weights(&tuned, &golden, clip);
            const by_hand_answers came =
                by_hand_evaluate(&tuned, &f.plan->variants[plain->variant]);
            assert_int_equal(record.detected, outside);
            assert_true(record.loss == came.loss / (double)came.answers);
            assert_true(record.metric == (double)came.right / (double)came.answers);
            detected += outside;
            compared++;
            by_hand_close(&tuned);
        }
    }
    assert_true(compared >= 4 && detected > 20);
    by_hand_close(&golden);
    fs_buf_free(&bytes);
    wk_executor_destroy(&e);
    fixture_close(&f);
}

/* --- Bounds of activations -------------------------------------------------------------------- */

/* Runs every input of the task by itself, a layer at a time; learns `ranges` or keeps to them.
 * @return how many values were outside. */
static uint64_t run_inputs(const by_hand *tuned, nn_ranges *ranges, int learns, int clip,
                           uint64_t *right)
{
    const fs_geometry *geometry = tuned->layout->geometry;
    const float *tensors[256];
    nn_model *model;
    nn_view *view;
    tok *tokeniser;
    dataset *data;
    assert_true(geometry->tensor_count <= 256);
    for (size_t t = 0; t < geometry->tensor_count; t++)
        tensors[t] = tr_weights_values(tuned->weights) + tuned->layout->tensors[t].first;
    assert_ok(nn_model_of_values(&model, &geometry->config, tensors, NULL, NULL));
    assert_ok(nn_view_new(&view, model));
    if (learns)
        nn_view_learn_ranges(view, ranges);
    else
        nn_view_restrict(view, ranges, clip);
    assert_ok(tok_open(&tokeniser, tuned->f->folder));
    assert_ok(dataset_read(&data, &tuned->f->campaign->task, &geometry->config, tokeniser));
    *right = 0;
    for (uint32_t i = 0; i < data->count; i++) {
        const uint32_t off[2] = {0, data->off[i + 1] - data->off[i]};
        const nn_batch batch = {data->ids + data->off[i], off, 1};
        float logits[8] = {0}, *rows = calloc(off[1], geometry->config.d_model * sizeof *rows);
        assert_true(rows != NULL && geometry->config.labels == 2);
        assert_ok(nn_embed(view, &batch, rows));
        for (uint32_t l = 0; l < geometry->config.layers; l++)
            assert_ok(nn_layer(view, l, &batch, rows));
        assert_ok(nn_classify(view, &batch, rows, logits));
        *right += (logits[1] > logits[0]) == data->labels[i] && !isnan(logits[0] - logits[1]);
        free(rows);
    }
    const uint64_t outside = nn_view_take_outside(view);
    dataset_destroy(&data);
    tok_close(&tokeniser);
    nn_view_destroy(&view);
    nn_model_close(&model);
    return outside;
}

static void activations_keep_to_the_golden_bounds(void **state)
{
    static const char *const arms = "  - {name: plain}\n"
                                    "  - {name: zero, protect: [range-activations]}\n"
                                    "  - {name: clip, protect: [range-activations-clip]}\n";
    fixture f;
    fs_buf bytes = {0};
    by_hand golden, tuned;
    nn_ranges *ranges;
    uint32_t index;
    uint64_t right, detected = 0, compared = 0;
    open_fixture(&f, arms, hits, "steps: 3, batch: 6, learning_rate: 1.0e-3");
    wk_executor *e = open_executor(&f, NULL);
    by_hand_run(&golden, &f, cell_of(&f, "none/plain", &index), 0);
    assert_ok(nn_ranges_new(&ranges, &golden.layout->geometry->config));
    run_inputs(&golden, ranges, 1, 0, &right);
    for (int clip = 0; clip < 2; clip++) {
        const fs_cell *cell = cell_of(&f, clip ? "none/clip" : "none/zero", &index);
        fs_trial_record record = trial_run(e, 0, index, 0, &bytes);
        trial_assert_golden(e, cell, &record);
        assert_int_equal(record.detected, 0);
        cell = cell_of(&f, clip ? "hit/clip" : "hit/zero", &index);
        for (uint64_t t = 0; t < cell->trials; t++) {
            record = trial_run(e, 0, index, t, &bytes);
            if (record.diverged != 0) continue;
            by_hand_run(&tuned, &f, cell, t);
            const uint64_t outside = run_inputs(&tuned, ranges, 0, clip, &right);
            assert_int_equal(record.detected, outside);
            assert_true(record.metric == (double)right / (double)record.inputs);
            detected += outside;
            compared++;
            by_hand_close(&tuned);
        }
    }
    assert_true(compared >= 4 && detected > 20);
    nn_ranges_destroy(&ranges);
    by_hand_close(&golden);
    fs_buf_free(&bytes);
    wk_executor_destroy(&e);
    fixture_close(&f);
}

/* --- Data and folders that are not there ------------------------------------------------------ */

static const char *const one_arm = "  - {name: plain}\n";

static void change_data(const fixture *f)
{
    FILE *data = fopen(f->campaign->finetune.data, "a");
    assert_non_null(data);
    fputs("one more\t1\n", data);
    fclose(data);
}

static void other_data_are_refused_before_any_trial(void **state)
{
    fixture f;
    fs_trial_record record;
    wk_golden_info golden;
    const wk_options options = {.threads = 1, .golden_bytes_max = 1 << 20};
    open_fixture(&f, one_arm, hits, "steps: 2, batch: 6");
    const char *path = f.campaign->finetune.data;
    /* Between the golden run and a thread's first trial. */
    wk_executor *e = open_executor(&f, NULL);
    assert_ok(wk_executor_golden(e, 0, &golden));
    change_data(&f);
    assert_status(wk_executor_run(e, 0, 0, 0, &record), FS_EREFUSED);
    assert_detail(path);
    wk_executor_destroy(&e);
    /* At the start. */
    assert_status(wk_executor_new(&e, f.plan, &options), FS_EREFUSED);
    assert_detail(path);
    assert_null(e);
    assert_int_equal(remove(path), 0);
    assert_status(wk_executor_new(&e, f.plan, &options), FS_ENOENT);
    assert_detail(path);
    fixture_close(&f);
}

/* A worker learns of both when it is asked to serve, not when a trial fails. */
static void a_worker_says_what_it_lacks(void **state)
{
    static const char *const keeps[] = {"all", "critical", "none"};
    for (int i = 0; i < 3; i++) {
        char text[96], moved[FS_PATH_BYTES_MAX + 8];
        fixture f;
        fs_buf sent = {0};
        wk_service *service;
        snprintf(text, sizeof text, "steps: 2, batch: 6, keep: %s", keeps[i]);
        open_fixture(&f, one_arm, hits, text);
        assert_ok(fs_campaign_write(f.campaign, &sent));
        wk_service_request request = {.campaign = fs_buf_text(&sent),
                                      .campaign_bytes = sent.size,
                                      .identity = f.plan->identity,
                                      .fingerprint = f.plan->fingerprint,
                                      .options = {.threads = 1, .golden_bytes_max = 1 << 20}};
        if (i < 2) {
            assert_status(wk_service_new(&service, &request), FS_EREFUSED);
            assert_detail("--work");
            assert_detail(keeps[i]);
            assert_null(service);
        }
        request.options.work = f.folder;
        assert_ok(wk_service_new(&service, &request));
        wk_service_destroy(&service);
        snprintf(moved, sizeof moved, "%s.gone", f.campaign->finetune.data);
        assert_int_equal(rename(f.campaign->finetune.data, moved), 0);
        assert_status(wk_service_new(&service, &request), FS_ENOENT);
        assert_detail(f.campaign->finetune.data);
        fs_buf_free(&sent);
        fixture_close(&f);
    }
}

/* --- Checkpoints ------------------------------------------------------------------------------ */

/* Alters a value in the checkpoint of the fault-free run's last step, and its hash with it. */
static void forge(const char *work)
{
    char command[FS_PATH_BYTES_MAX + 64], path[FS_PATH_BYTES_MAX] = "";
    fs_buf file = {0};
    fs_hash sum;
    snprintf(command, sizeof command, "ls '%s'/checkpoints/*.run", work);
    FILE *list = popen(command, "r");
    assert_non_null(list);
    assert_non_null(fgets(path, sizeof path, list));
    pclose(list);
    path[strcspn(path, "\n")] = '\0';
    assert_ok(fs_file_read(&file, path, 1 << 24));
    const size_t body = file.size - FS_HASH_BYTES;
    const float one = 1;
    for (size_t i = 0; i < 4000; i++) memcpy(file.data + 1024 + 4 * i, &one, sizeof one);
    fs_hash_bytes(&sum, file.data, body);
    memcpy(file.data + body, sum.bytes, FS_HASH_BYTES);
    assert_ok(fs_file_write_atomic(path, file.data, file.size));
    fs_buf_free(&file);
}

static void a_check_begins_afresh(void **state)
{
    fixture f;
    char work[FS_PATH_BYTES_MAX], folder[FS_PATH_BYTES_MAX + 32];
    wk_golden_info want, got;
    open_fixture(&f, one_arm, hits, "steps: 2, batch: 6, checkpoint_steps: 1");
    assert_ok(fs_path_join(work, f.folder, "work"));
    wk_options options = {.threads = 1, .golden_bytes_max = 1 << 20, .work = work, .afresh = 1};
    wk_executor *e = trial_executor(&f, &options);
    assert_ok(wk_executor_golden(e, 0, &want));
    wk_executor_destroy(&e);
    snprintf(folder, sizeof folder, "rmdir '%s/checkpoints'", work);
    assert_int_equal(system(folder), 0); /* nothing was written */
    for (int afresh = 0; afresh < 3; afresh++) {
        options.afresh = afresh == 2;
        e = trial_executor(&f, &options);
        assert_ok(wk_executor_golden(e, 0, &got));
        /* Written, then gone on from as it was forged, then not looked at. */
        assert_int_equal(got.checksum == want.checksum, afresh != 1);
        wk_executor_destroy(&e);
        if (afresh == 0) forge(work);
    }
    fixture_close(&f);
}

/* --- Waiting ---------------------------------------------------------------------------------- */

typedef struct tuning_thread {
    wk_executor *executor;
    uint32_t variant;
    atomic_int ended;
} tuning_thread;

static void *tune(void *data)
{
    tuning_thread *self = data;
    wk_golden_info golden;
    const fs_status status = wk_executor_golden(self->executor, self->variant, &golden);
    atomic_store(&self->ended, 1);
    return status == FS_OK ? self : NULL;
}

/* Trials of phase inference go on while another variant is tuned without faults. */
static void others_do_not_wait_for_the_fault_free_run(void **state)
{
    static const char *const both =
        "  - {name: tuned, phase: finetune, site: {gradients: all}, amount: {count: 1}, trials: "
        "1}\n"
        "  - {name: plain, site: {parameters: all}, amount: {count: 1}, trials: 4}\n";
    fixture f;
    fs_buf bytes = {0};
    pthread_t id;
    uint32_t index;
    char work[FS_PATH_BYTES_MAX], checkpoints[FS_PATH_BYTES_MAX];
    void *result;
    open_fixture(&f, one_arm, both, "steps: 1500, batch: 20, checkpoint_steps: none");
    assert_ok(fs_path_join(work, f.folder, "work"));
    assert_ok(fs_path_join(checkpoints, work, "checkpoints"));
    const wk_options options = {.threads = 1, .golden_bytes_max = 1 << 20, .work = work};
    wk_executor *e = trial_executor(&f, &options);
    tuning_thread job = {.executor = e, .variant = cell_of(&f, "tuned/plain", &index)->variant};
    assert_int_equal(pthread_create(&id, NULL, tune, &job), 0);
    /* Its folder is made when it begins, a second before it ends. */
    while (!fs_file_exists(checkpoints)) {
        const struct timespec pause = {0, 200000};
        nanosleep(&pause, NULL);
    }
    const fs_cell *cell = cell_of(&f, "plain/plain", &index);
    for (uint64_t t = 0; t < cell->trials; t++) trial_run(e, 0, index, t, &bytes);
    assert_int_equal(atomic_load(&job.ended), 0);
    pthread_join(id, &result);
    assert_non_null(result);
    fs_buf_free(&bytes);
    wk_executor_destroy(&e);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_keep_to_the_golden_bounds),
        cmocka_unit_test(activations_keep_to_the_golden_bounds),
        cmocka_unit_test(other_data_are_refused_before_any_trial),
        cmocka_unit_test(a_worker_says_what_it_lacks),
        cmocka_unit_test(a_check_begins_afresh),
        cmocka_unit_test(others_do_not_wait_for_the_fault_free_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
