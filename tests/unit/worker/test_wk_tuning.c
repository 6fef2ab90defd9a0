/* Fine-tuning trials: against a loop of the test's own, whose faults are put in by hand and whose
 * models go through files; on any number of threads, in any order, killed at any step. */
#include "trial_fixture.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "by_hand.h"
#include "tr_hash.h"
#include "tuning.h"

static const char *const arms = "  - {name: plain}\n  - {name: kept, protect: [ep, secded]}\n";

static const char *const every_site =
    "  - {name: none, phase: finetune, site: {gradients: all}, amount: {count: 0}, trials: 1}\n"
    "  - {name: grads, phase: finetune, site: {gradients: [attention, head, mlp]},"
    " amount: {count: 5}, trials: 2}\n"
    "  - {name: low, phase: finetune, site: {gradients: all, layers: [0], by: layer},"
    " amount: {rate: 0.02}, bits: mantissa, trials: 2}\n"
    "  - {name: m, phase: finetune, site: {optimizer: adam.m}, amount: {ber: 0.0001}, trials: 2}\n"
    "  - {name: v, phase: finetune, site: {optimizer: adam.v}, amount: {rate: 0.001},"
    " kind: stuck1, trials: 2}\n"
    "  - {name: both, phase: finetune, site: {optimizer: [adam.m, adam.v]}, persistence: transient,"
    " amount: {count: 40}, trials: 3}\n"
    "  - {name: params, phase: finetune, site: {parameters: all}, amount: {count: 3},"
    " bits: [[20, 21, 22, 23, 24]], trials: 2}\n"
    "  - {name: lane, phase: finetune, site: {gradients: mlp}, persistence: transient,"
    " amount: {count: 2}, kind: value, pattern: {column: all}, trials: 2}\n"
    "  - {name: once, phase: finetune, site: {parameters: mlp}, persistence: transient,"
    " amount: {count: 30}, trials: 3}\n";

static fixture_options make_options(fs_model_kind kind, const char *finetune)
{
    const int bert = kind == FS_MODEL_BERT;
    fixture_options o = {.spec =
                             tiny_spec_default(kind, bert ? FS_TASK_CLASSIFICATION : FS_TASK_LM),
                         .rows = 40,
                         .windows = "window: 24, stride: 16, examples: 12",
                         .arms = arms,
                         .sweeps = every_site,
                         .finetune = finetune};
    o.spec.width = 16, o.spec.heads = 2, o.spec.inner = 24, o.spec.vocab = 300;
    return o;
}

static const char *const section = "steps: 5, batch: 6, learning_rate: 3.0e-3, seed: 4, "
                                   "checkpoint_steps: 1, keep: all";

static wk_executor *open_executor(const fixture *f, unsigned threads, const char *work)
{
    const wk_options options = {.threads = threads, .golden_bytes_max = 1 << 20, .work = work};
    return trial_executor(f, &options);
}

static char *subfolder(const fixture *f, const char *name)
{
    char *path = malloc(FS_PATH_BYTES_MAX);
    assert_non_null(path);
    assert_ok(fs_path_join(path, f->folder, name));
    return path;
}

/* --- Against the loop by hand -------------------------------------------------------------- */

static void assert_as_by_hand(const fixture *f, const fs_cell *cell, uint64_t trial,
                              const fs_trial_record *record)
{
    by_hand other;
    fs_hash hash;
    by_hand_run(&other, f, cell, trial);
    tr_hash_values(&hash, other.layout, tr_weights_values(other.weights));
    if (!fs_hash_equal(&hash, &record->model))
        fail_msg("%s/%d: another model than by hand", cell->id, (int)trial);
    assert_int_equal(record->tuned, 1);
    assert_int_equal(record->diverged, other.diverged);
    assert_int_equal(record->faults, other.faults);
    assert_int_equal(record->effective, other.effective);
    assert_int_equal(record->visible, other.visible);
    if (record->kept > 0) {
        const fs_fault_record *a = &record->fault[0], *b = &other.first;
        assert_true(a->tensor == b->tensor && a->bit == b->bit && a->place == b->place &&
                    a->element == b->element && a->step == b->step && a->before == b->before);
    }
    if (other.diverged != 0) {
        by_hand_close(&other);
        return;
    }
    const by_hand_answers came = by_hand_evaluate(&other, &f->plan->variants[cell->variant]);
    assert_int_equal(record->answers, came.answers);
    const double loss = came.loss / (double)came.answers;
    assert_true(record->loss == loss || (isnan(record->loss) && isnan(loss)));
    if (f->campaign->task.kind != FS_TASK_LM)
        assert_true(record->metric == (double)came.right / (double)came.answers);
    by_hand_close(&other);
}

static void check_against_hand(fs_model_kind kind, const char *finetune)
{
    const fixture_options options = make_options(kind, finetune);
    fixture f;
    fs_buf bytes = {0};
    unsigned changed = 0, outcomes[FS_OUTCOME_COUNT] = {0};
    fixture_open(&f, &options);
    wk_executor *e = open_executor(&f, 1, NULL);
    for (uint32_t c = 0; c < f.plan->cell_count; c++) {
        const fs_cell *cell = &f.plan->cells[c];
        for (uint64_t t = 0; t < cell->trials; t++) {
            const fs_trial_record record = trial_run(e, 0, c, t, &bytes);
            assert_as_by_hand(&f, cell, t, &record);
            outcomes[record.outcome]++;
            changed += record.outcome != FS_OUTCOME_MASKED && record.diverged == 0;
            if (strncmp(cell->id, "none/", 5) == 0) trial_assert_golden(e, cell, &record);
        }
    }
    assert_true(changed > 20 && outcomes[FS_OUTCOME_MASKED] > 0);
    fs_buf_free(&bytes);
    wk_executor_destroy(&e);
    fixture_close(&f);
}

static void a_classifier_is_tuned_as_by_hand(void **state)
{
    check_against_hand(FS_MODEL_BERT, section);
}

static void a_language_model_is_tuned_as_by_hand(void **state)
{
    check_against_hand(FS_MODEL_GPT2, section);
}

static void exponent_protection_is_as_by_hand(void **state)
{
    check_against_hand(FS_MODEL_BERT, "steps: 4, batch: 6, learning_rate: 0.3, "
                                      "exponent_protection: true");
}

/* --- Nothing but the trial decides --------------------------------------------------------------
 */

typedef struct thread_job {
    wk_executor *executor;
    const fixture *f;
    unsigned thread, threads;
    fs_buf *records; /* of every trial, in the plan's order */
} thread_job;

static void *run_share(void *data)
{
    thread_job *job = data;
    size_t number = 0;
    for (uint32_t c = 0; c < job->f->plan->cell_count; c++)
        for (uint64_t t = 0; t < job->f->plan->cells[c].trials; t++, number++)
            if (number % job->threads == job->thread)
                trial_run(job->executor, job->thread, c, t, &job->records[number]);
    return NULL;
}

/* One thread from the last trial to the first; four threads, with checkpoints, each its share. */
static void threads_order_and_checkpoints_do_not_show(void **state)
{
    enum { THREADS = 4, TRIALS_MAX = 64 };
    const fixture_options options = make_options(FS_MODEL_BERT, section);
    fixture f;
    fs_buf records[TRIALS_MAX] = {{0}}, bytes = {0};
    pthread_t ids[THREADS];
    thread_job jobs[THREADS];
    fixture_open(&f, &options);
    char *work = subfolder(&f, "work");
    assert_true(f.plan->trials <= TRIALS_MAX);
    wk_executor *many = open_executor(&f, THREADS, work), *one = open_executor(&f, 1, NULL);
    for (unsigned i = 0; i < THREADS; i++) {
        jobs[i] = (thread_job){many, &f, i, THREADS, records};
        assert_int_equal(pthread_create(&ids[i], NULL, run_share, &jobs[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) pthread_join(ids[i], NULL);
    size_t number = (size_t)f.plan->trials;
    for (uint32_t c = (uint32_t)f.plan->cell_count; c-- > 0;)
        for (uint64_t t = f.plan->cells[c].trials; t-- > 0;) {
            number--;
            trial_run(one, 0, c, t, &bytes);
            assert_int_equal(bytes.size, records[number].size);
            assert_memory_equal(bytes.data, records[number].data, bytes.size);
        }
    for (size_t i = 0; i < TRIALS_MAX; i++) fs_buf_free(&records[i]);
    fs_buf_free(&bytes);
    wk_executor_destroy(&many);
    wk_executor_destroy(&one);
    free(work);
    fixture_close(&f);
}

/* --- Killed -------------------------------------------------------------------------------------
 */

/* @return the cell of that id. */
static uint32_t cell_of(const fixture *f, const char *id)
{
    const int64_t found = fs_plan_find(f->plan, id);
    assert_true(found >= 0);
    return (uint32_t)found;
}

/* @return files in the folder of checkpoints; the newest one's inode in *inode. */
static unsigned look(const char *work, uint64_t *inode)
{
    char command[FS_PATH_BYTES_MAX + 64];
    unsigned count = 0;
    unsigned long long number;
    snprintf(command, sizeof command, "ls -i '%s/checkpoints' 2>/dev/null", work);
    FILE *list = popen(command, "r");
    assert_non_null(list);
    while (fscanf(list, "%llu %*s", &number) == 1) {
        *inode = number;
        count++;
    }
    pclose(list);
    return count;
}

/* Runs a trial in a process that is killed once it has written `checkpoints` of them. */
static void run_and_kill(const fixture *f, const char *work, uint32_t cell, unsigned checkpoints)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fs_trial_record record;
        wk_executor *e;
        const wk_options options = {.threads = 1, .golden_bytes_max = 1 << 20, .work = work};
        const fs_status status = wk_executor_new(&e, f->plan, &options);
        _exit(status == FS_OK && wk_executor_run(e, 0, cell, 1, &record) == FS_OK ? 0 : 1);
    }
    uint64_t before = 0, inode = 0;
    int ended = 0;
    for (unsigned seen = 0; seen < checkpoints && waitpid(child, &ended, WNOHANG) == 0;) {
        const struct timespec pause = {0, 300000};
        if (look(work, &inode) > 0 && inode != before) seen++;
        before = inode;
        nanosleep(&pause, NULL);
    }
    (void)kill(child, SIGKILL);
    (void)waitpid(child, &ended, 0);
}

static void a_killed_trial_goes_on(void **state)
{
    fixture_options options = make_options(
        FS_MODEL_BERT, "steps: 12, batch: 40, learning_rate: 1.0e-3, checkpoint_steps: 1");
    fixture f;
    fs_buf want = {0}, got = {0};
    fixture_open(&f, &options);
    char *work = subfolder(&f, "work");
    static const char *const ids[] = {"grads/plain", "m/kept", "both/plain", "params/kept"};
    wk_executor *whole = open_executor(&f, 1, NULL);
    for (unsigned i = 0; i < 4; i++) {
        const uint32_t cell = cell_of(&f, ids[i]);
        trial_run(whole, 0, cell, 1, &want);
        /* The first kills fall into the fault-free run, later ones into the trial. */
        for (unsigned kills = 1; kills <= 6; kills++) run_and_kill(&f, work, cell, kills);
        wk_executor *e = open_executor(&f, 1, work);
        trial_run(e, 0, cell, 1, &got);
        trial_assert_equal(&want, &got, &f.plan->cells[cell], 1, "after kills");
        wk_executor_destroy(&e);
        uint64_t inode;
        assert_int_equal(look(work, &inode), 1); /* the fault-free run's stays */
    }
    fs_buf_free(&want);
    fs_buf_free(&got);
    wk_executor_destroy(&whole);
    free(work);
    fixture_close(&f);
}

/* Cuts every checkpoint short, or flips a byte of it. */
static void damage(const char *work, int cut)
{
    char command[2 * FS_PATH_BYTES_MAX];
    snprintf(command, sizeof command,
             cut ? "for f in '%s'/checkpoints/*; do truncate -s 1000 \"$f\"; done"
                 : "for f in '%s'/checkpoints/*; do printf X | dd of=\"$f\" bs=1 seek=3000 "
                   "conv=notrunc status=none; done",
             work);
    assert_int_equal(system(command), 0);
}

static void a_damaged_checkpoint_is_not_used(void **state)
{
    const fixture_options options = make_options(
        FS_MODEL_BERT, "steps: 12, batch: 40, learning_rate: 1.0e-3, checkpoint_steps: 1");
    fixture f;
    fs_buf want = {0}, got = {0};
    fixture_open(&f, &options);
    char *work = subfolder(&f, "work");
    const uint32_t cell = cell_of(&f, "grads/plain");
    wk_executor *whole = open_executor(&f, 1, NULL);
    trial_run(whole, 0, cell, 1, &want);
    for (int cut = 0; cut < 2; cut++) {
        run_and_kill(&f, work, cell, 16);
        damage(work, cut);
        wk_executor *e = open_executor(&f, 1, work);
        trial_run(e, 0, cell, 1, &got);
        trial_assert_equal(&want, &got, &f.plan->cells[cell], 1, "after damage");
        wk_executor_destroy(&e);
    }
    fs_buf_free(&want);
    fs_buf_free(&got);
    wk_executor_destroy(&whole);
    free(work);
    fixture_close(&f);
}

/* --- Ends ---------------------------------------------------------------------------------------
 */

static void a_run_that_diverges_is_due(void **state)
{
    fixture_options options = make_options(FS_MODEL_BERT, section);
    options.arms = "  - {name: plain}\n  - {name: small, dtype: int8}\n";
    options.sweeps = "  - {name: ruin, phase: finetune, site: {parameters: layernorm},"
                     " persistence: transient, amount: {rate: 1}, kind: stuck1, bits: exponent,"
                     " trials: 12}\n";
    fixture f;
    fs_buf bytes = {0};
    fixture_open(&f, &options);
    wk_executor *e = open_executor(&f, 1, NULL);
    const fs_cell *cell = &f.plan->cells[0];
    uint32_t diverged = 0;
    for (uint64_t t = 0; t < cell->trials; t++) {
        const fs_trial_record record = trial_run(e, 0, 0, t, &bytes);
        const uint64_t step = fs_tune_pick(cell->draw_key, t, cell->steps);
        if (record.diverged == 0) continue;
        diverged++;
        assert_true(record.diverged > step + 1);
        assert_int_equal(record.outcome, FS_OUTCOME_DUE);
        assert_int_equal(record.due, record.inputs);
        assert_int_equal(record.answers_changed, record.answers);
        assert_int_equal(record.critical, 1);
        assert_true(record.metric == 0 && isnan(record.loss) && isinf(record.deviation_max));
    }
    assert_true(diverged > 0);
    /* Ruined in the last step a model is whole, but int8 cannot store it. */
    unsigned ruined = 0;
    for (uint64_t t = 0; t < cell->trials; t++) {
        if (fs_tune_pick(cell->draw_key, t, cell->steps) + 1 != cell->steps) continue;
        const fs_trial_record plain = trial_run(e, 0, 0, t, &bytes);
        const fs_trial_record small = trial_run(e, 0, 1, t, &bytes);
        assert_true(plain.diverged == 0 && small.diverged == 0);
        assert_true(fs_hash_equal(&plain.model, &small.model));
        assert_int_equal(small.due, small.inputs);
        ruined++;
    }
    assert_true(ruined > 0);
    fs_buf_free(&bytes);
    wk_executor_destroy(&e);
    fixture_close(&f);
}

static void a_fault_free_run_that_diverges_is_an_error(void **state)
{
    const fixture_options options =
        make_options(FS_MODEL_BERT, "steps: 40, batch: 6, warmup: 0, clip: 0, "
                                    "learning_rate: 1.0e+6, decay: 1.0e+6");
    fixture f;
    wk_golden_info golden;
    fixture_open(&f, &options);
    wk_executor *e = open_executor(&f, 1, NULL);
    assert_status(wk_executor_golden(e, 0, &golden), FS_EDIVERGED);
    assert_detail("without any fault");
    wk_executor_destroy(&e);
    fixture_close(&f);
}

/* Bounds of activations are those of the fault-free tuned model, and a trial is kept within. */
static void activations_are_kept_within_bounds(void **state)
{
    fixture_options options = make_options(FS_MODEL_BERT, section);
    options.arms = "  - {name: plain}\n  - {name: ranged, protect: [range-activations]}\n";
    options.sweeps =
        "  - {name: none, phase: finetune, site: {gradients: all}, amount: {count: 0}, trials: 1}\n"
        "  - {name: big, phase: finetune, site: {parameters: mlp}, persistence: transient,"
        " amount: {count: 20}, kind: stuck1, bits: [[24, 25, 26, 27, 28, 29]], trials: 4}\n";
    fixture f;
    fs_buf bytes = {0};
    fixture_open(&f, &options);
    wk_executor *e = open_executor(&f, 1, NULL);
    uint64_t outside = 0;
    for (uint32_t c = 0; c < 2; c++) {
        const fs_trial_record none =
            trial_run(e, 0, cell_of(&f, c == 0 ? "none/plain" : "none/ranged"), 0, &bytes);
        assert_int_equal(none.outcome, FS_OUTCOME_MASKED);
        assert_int_equal(none.detected, 0);
    }
    for (uint64_t t = 0; t < 4; t++) {
        const fs_trial_record plain = trial_run(e, 0, cell_of(&f, "big/plain"), t, &bytes);
        const fs_trial_record ranged = trial_run(e, 0, cell_of(&f, "big/ranged"), t, &bytes);
        assert_true(fs_hash_equal(&plain.model, &ranged.model));
        assert_int_equal(plain.detected, 0);
        outside += ranged.detected;
    }
    assert_true(outside > 0);
    fs_buf_free(&bytes);
    wk_executor_destroy(&e);
    fixture_close(&f);
}

/* A kept model is what the record says, and answers as the record says. */
static void kept_models_are_whole(void **state)
{
    const fixture_options options = make_options(FS_MODEL_GPT2, section);
    fixture f;
    fs_buf bytes = {0};
    fixture_open(&f, &options);
    char *work = subfolder(&f, "work");
    wk_executor *e = open_executor(&f, 1, work);
    const uint32_t cell = cell_of(&f, "params/plain");
    const fs_trial_record record = trial_run(e, 0, cell, 0, &bytes);
    char hex[FS_HASH_HEX_BYTES], dir[FS_PATH_BYTES_MAX + 80];
    fs_hash_hex(&record.model, hex);
    snprintf(dir, sizeof dir, "%s/models/%s", work, hex);
    by_hand kept;
    fs_config config;
    fs_hash hash;
    size_t fresh;
    by_hand_open(&kept, &f, &config);
    assert_ok(tr_load_weights(kept.weights, dir, &fresh));
    tr_hash_values(&hash, kept.layout, tr_weights_values(kept.weights));
    assert_true(fs_hash_equal(&hash, &record.model));
    const by_hand_answers came =
        by_hand_evaluate(&kept, &f.plan->variants[f.plan->cells[cell].variant]);
    assert_true(record.loss == came.loss / (double)came.answers);
    by_hand_close(&kept);
    fs_buf_free(&bytes);
    wk_executor_destroy(&e);
    free(work);
    fixture_close(&f);
}

static void other_data_than_planned_are_refused(void **state)
{
    const fixture_options options = make_options(FS_MODEL_BERT, section);
    fixture f;
    wk_golden_info golden;
    fixture_open(&f, &options);
    wk_executor *e = open_executor(&f, 1, NULL);
    FILE *data = fopen(f.campaign->finetune.data, "a");
    assert_non_null(data);
    fputs("one more\t1\n", data);
    fclose(data);
    assert_status(wk_executor_golden(e, 0, &golden), FS_EREFUSED);
    assert_detail(f.campaign->finetune.data);
    wk_executor_destroy(&e);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_classifier_is_tuned_as_by_hand),
        cmocka_unit_test(a_language_model_is_tuned_as_by_hand),
        cmocka_unit_test(exponent_protection_is_as_by_hand),
        cmocka_unit_test(threads_order_and_checkpoints_do_not_show),
        cmocka_unit_test(a_killed_trial_goes_on),
        cmocka_unit_test(a_damaged_checkpoint_is_not_used),
        cmocka_unit_test(a_run_that_diverges_is_due),
        cmocka_unit_test(a_fault_free_run_that_diverges_is_an_error),
        cmocka_unit_test(activations_are_kept_within_bounds),
        cmocka_unit_test(kept_models_are_whole),
        cmocka_unit_test(other_data_than_planned_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
