/* Fine-tuning trials: against a loop of the test's own, whose faults are put in by hand and whose
 * models go through files; on any number of threads, in any order, killed at any step. */
#include "trial_fixture.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "dataset.h"
#include "hash.h"
#include "nn_eval.h"
#include "tok.h"
#include "tr_hash.h"
#include "tr_load.h"
#include "tr_save.h"
#include "tr_trainer.h"
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

/* --- The loop of the test's own ----------------------------------------------------------------
 */

typedef struct oracle {
    const fixture *f;
    const fs_cell *cell;
    uint64_t trial;
    tr_layout *layout;
    tr_weights *weights;
    tr_pool *pool;
    uint64_t faults, effective, visible;
    uint64_t diverged;     /* step from 1; 0: it did not */
    fs_fault_record first; /* fault */
} oracle;

static void hit(oracle *self, fs_tune_array array, uint64_t step, float *values)
{
    const fs_cell *cell = self->cell;
    const int ep = self->f->campaign->finetune.exponent_protection;
    fs_fault_list list = {0};
    assert_ok(fs_tune_draw(&list, cell->space, cell->amount, &cell->form, cell->draw_key,
                           self->trial, step, array));
    float *before = malloc(self->layout->floats * sizeof *before);
    assert_non_null(before);
    memcpy(before, values, self->layout->floats * sizeof *before);
    for (size_t i = 0; i < list.count; i++) {
        const fs_fault *fault = &list.items[i];
        const size_t at = self->layout->tensors[fault->tensor].first + fault->element;
        uint32_t word, old;
        memcpy(&word, &values[at], sizeof word);
        old = word;
        if (fault->kind == FS_FAULT_FLIP) word ^= 1u << fault->bit;
        if (fault->kind == FS_FAULT_STUCK1) word |= 1u << fault->bit;
        if (fault->kind == FS_FAULT_STUCK0) word &= ~(1u << fault->bit);
        self->effective += word != old;
        if (ep && array == FS_TUNE_PARAMETERS) word &= ~(1u << 30);
        memcpy(&values[at], &word, sizeof word);
        if (self->faults++ == 0)
            self->first = (fs_fault_record){.tensor = fault->tensor,
                                            .bit = fault->bit,
                                            .place = (uint16_t)array,
                                            .element = fault->element,
                                            .before = old,
                                            .step = (uint32_t)step};
    }
    for (size_t i = 0; i < self->layout->floats; i++)
        self->visible += memcmp(&before[i], &values[i], sizeof *before) != 0;
    free(before);
    fs_fault_list_free(&list);
}

static int is_hit(const oracle *self, uint64_t step)
{
    return !self->cell->transient ||
           step == fs_tune_pick(self->cell->draw_key, self->trial, self->cell->steps);
}

static fs_status after_gradients(void *context, const tr_state *state)
{
    oracle *self = context;
    if (strcmp(self->cell->site->name, "gradients") == 0 && is_hit(self, state->step))
        hit(self, FS_TUNE_GRADIENTS, state->step, state->grads);
    return FS_OK;
}

/* Exponent protection, if the campaign has it. */
static void clip(const oracle *self, float *values)
{
    const float most = 2 - 0x1p-23f;
    if (!self->f->campaign->finetune.exponent_protection) return;
    for (size_t i = 0; i < self->layout->floats; i++)
        values[i] = fmaxf(-most, fminf(most, values[i]));
}

static fs_status after_update(void *context, const tr_state *state)
{
    oracle *self = context;
    clip(self, state->values);
    if (!is_hit(self, state->step)) return FS_OK;
    if (strcmp(self->cell->site->name, "optimizer") == 0) {
        if (self->cell->set & 1) hit(self, FS_TUNE_ADAM_M, state->step, state->m);
        if (self->cell->set & 2) hit(self, FS_TUNE_ADAM_V, state->step, state->v);
    }
    if (strcmp(self->cell->site->name, "parameters") == 0)
        hit(self, FS_TUNE_PARAMETERS, state->step, state->values);
    return FS_OK;
}

static void oracle_open(oracle *self, const fixture *f, fs_config *config)
{
    size_t fresh;
    *self = (oracle){.f = f};
    assert_ok(fs_config_read(config, f->folder));
    assert_ok(tr_layout_new(&self->layout, config,
                            config->task == FS_TASK_LM ? TR_HEAD_CAUSAL : TR_HEAD_CLASSIFY));
    assert_ok(tr_weights_new(&self->weights, self->layout));
    assert_ok(tr_pool_new(&self->pool, 2));
    assert_ok(tr_load_weights(self->weights, f->folder, &fresh));
    assert_int_equal(fresh, 0);
}

static void oracle_close(oracle *self)
{
    tr_weights_destroy(&self->weights);
    tr_layout_destroy(&self->layout);
    tr_pool_destroy(&self->pool);
}

/* Tunes; the weights are what came out. */
static void oracle_run(oracle *self, const fixture *f, const fs_cell *cell, uint64_t trial)
{
    const fs_finetune *s = &f->campaign->finetune;
    fs_config config;
    tok *tokeniser;
    tr_source *source;
    tr_trainer *trainer;
    oracle_open(self, f, &config);
    clip(self, tr_weights_values(self->weights));
    self->cell = cell;
    self->trial = trial;
    assert_ok(tok_open(&tokeniser, f->folder));
    const tr_source_options options = {.head = self->layout->head,
                                       .seed = fs_hash_key(s->seed, "order"),
                                       .batch = s->batch,
                                       .window = config.positions};
    assert_ok(tr_source_open(&source, s->data, &config, tokeniser, &options));
    const tr_trainer_options training = {
        .objective = {.dropout = 0.1f,
                      .attention_dropout = 0.1f,
                      .key = fs_hash_key(s->seed, "dropout"),
                      .accumulate = 1},
        .adamw = {0.9, 0.999, 1e-8, 0.01},
        .schedule = {TR_SCHEDULE_LINEAR, s->rate, (uint64_t)(0.1 * (double)s->steps), s->steps},
        .clip = 1};
    const tr_hooks hooks = {.context = self, .gradients = after_gradients, .updated = after_update};
    assert_ok(tr_trainer_new(&trainer, &training, self->weights, self->pool, source, &hooks, NULL));
    for (uint64_t i = 0; i < s->steps && self->diverged == 0; i++) {
        tr_step_report report;
        const fs_status status = tr_trainer_step(trainer, &report);
        if (status != FS_OK) assert_status(status, FS_EDIVERGED);
        if (status != FS_OK) self->diverged = i + 1;
    }
    tr_trainer_destroy(&trainer);
    tr_source_close(&source);
    tok_close(&tokeniser);
}

/* What a folder's model answers. */
typedef struct answers {
    const dataset *data;
    uint64_t right, answers;
    double loss;
} answers;

static fs_status take(void *context, const nn_eval_item *item)
{
    answers *self = context;
    self->loss += item->loss;
    self->answers += item->answers;
    self->right += self->data->labels != NULL && item->answer == self->data->labels[item->input];
    return FS_OK;
}

/* Saves the tuned model to a folder, opens that through the protection, and answers everything. */
static answers evaluate(const oracle *self, const fs_variant *variant)
{
    char *dir = testing_folder();
    nn_model *model;
    tok *tokeniser;
    dataset *data;
    answers out = {0};
    const tr_save_options options = {.tokenizer = self->f->folder, .end_token = -1};
    assert_ok(tr_save(self->layout, tr_weights_values(self->weights), dir, &options));
    assert_ok(nn_model_open(&model, dir, &variant->protect));
    assert_ok(tok_open(&tokeniser, self->f->folder));
    assert_ok(dataset_read(&data, &self->f->campaign->task, &nn_model_geometry(model)->config,
                           tokeniser));
    out.data = data;
    const nn_eval_options eval = {.threads = 1, .sink = take, .context = &out};
    assert_ok(nn_eval_run(model, data, &eval));
    dataset_destroy(&data);
    tok_close(&tokeniser);
    nn_model_close(&model);
    testing_remove(dir);
    return out;
}

static void assert_as_oracle(const fixture *f, const fs_cell *cell, uint64_t trial,
                             const fs_trial_record *record)
{
    oracle by_hand;
    fs_hash hash;
    oracle_run(&by_hand, f, cell, trial);
    tr_hash_values(&hash, by_hand.layout, tr_weights_values(by_hand.weights));
    if (!fs_hash_equal(&hash, &record->model))
        fail_msg("%s/%d: another model than by hand", cell->id, (int)trial);
    assert_int_equal(record->tuned, 1);
    assert_int_equal(record->diverged, by_hand.diverged);
    assert_int_equal(record->faults, by_hand.faults);
    assert_int_equal(record->effective, by_hand.effective);
    assert_int_equal(record->visible, by_hand.visible);
    if (record->kept > 0) {
        const fs_fault_record *a = &record->fault[0], *b = &by_hand.first;
        assert_true(a->tensor == b->tensor && a->bit == b->bit && a->place == b->place &&
                    a->element == b->element && a->step == b->step && a->before == b->before);
    }
    if (by_hand.diverged != 0) {
        oracle_close(&by_hand);
        return;
    }
    const answers came = evaluate(&by_hand, &f->plan->variants[cell->variant]);
    assert_int_equal(record->answers, came.answers);
    const double loss = came.loss / (double)came.answers;
    assert_true(record->loss == loss || (isnan(record->loss) && isnan(loss)));
    if (came.data->labels != NULL)
        assert_true(record->metric == (double)came.right / (double)came.answers);
    oracle_close(&by_hand);
}

static void check_against_oracle(fs_model_kind kind, const char *finetune)
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
            assert_as_oracle(&f, cell, t, &record);
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
    check_against_oracle(FS_MODEL_BERT, section);
}

static void a_language_model_is_tuned_as_by_hand(void **state)
{
    check_against_oracle(FS_MODEL_GPT2, section);
}

static void exponent_protection_is_as_by_hand(void **state)
{
    check_against_oracle(FS_MODEL_BERT, "steps: 4, batch: 6, learning_rate: 0.3, "
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
    oracle kept;
    fs_config config;
    fs_hash hash;
    size_t fresh;
    oracle_open(&kept, &f, &config);
    assert_ok(tr_load_weights(kept.weights, dir, &fresh));
    tr_hash_values(&hash, kept.layout, tr_weights_values(kept.weights));
    assert_true(fs_hash_equal(&hash, &record.model));
    const answers came = evaluate(&kept, &f.plan->variants[f.plan->cells[cell].variant]);
    assert_true(record.loss == came.loss / (double)came.answers);
    oracle_close(&kept);
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
        cmocka_unit_test(kept_models_are_whole),
        cmocka_unit_test(other_data_than_planned_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
