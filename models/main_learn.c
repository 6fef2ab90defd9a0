#include "main_learn.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cores.h"
#include "file.h"
#include "hash.h"
#include "json_file.h"
#include "log.h"
#include "main_out.h"
#include "main_plan.h"
#include "math64.h"
#include "meter.h"
#include "names.h"
#include "tr_init.h"
#include "tr_load.h"
#include "tr_loop.h"
#include "tr_save.h"
#include "tr_vocab.h"

/** One run and all it holds. */
typedef struct learner {
    const main_learn *options;
    main_plan plan;
    main_out out;
    tok *tokeniser;
    tr_source *source, *dev;
    tr_layout *layout;
    tr_weights *weights;
    tr_pool *pool;
    main_tuning *tuning;
    tr_trainer *trainer;
    json_t *base; /* config.json of --from; NULL: from scratch */
    fs_meter meter;
    char note[64];
    tr_tally tally;
} learner;

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

/* Once: a checkpoint and out. Twice: at once. */
static void watch_signals(void)
{
    struct sigaction action = {.sa_handler = stop, .sa_flags = (int)(SA_RESETHAND | SA_RESTART)};
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

static void free_learner(learner *self)
{
    tr_trainer_destroy(&self->trainer);
    main_tuning_destroy(&self->tuning);
    tr_source_close(&self->source);
    tr_source_close(&self->dev);
    tr_weights_destroy(&self->weights);
    tr_layout_destroy(&self->layout);
    tr_pool_destroy(&self->pool);
    tok_close(&self->tokeniser);
    json_decref(self->base);
    main_out_close(&self->out);
}

/* Data. */

static fs_status open_tokeniser(learner *self)
{
    const main_learn *o = self->options;
    const char *given = o->from != NULL ? o->from : o->tokenizer;
    if (given == NULL && !self->out.known) {
        const tr_vocab_options options = {.kind = self->plan.config.kind,
                                          .size = main_plan_vocab(o)};
        const char *text = o->vocab_data != NULL ? o->vocab_data : o->data;
        tr_vocab_counts counts;
        FS_TRY(tr_vocab_train(self->out.dir, text, &options, &counts));
        fs_info("a vocabulary of %" PRIu32 " pieces from %" PRIu64 " words of %s", counts.pieces,
                counts.words, text);
    }
    if (given == NULL)
        FS_TRY(main_out_files(&self->out, main_plan_tokeniser_files, MAIN_PLAN_TOKENISER_FILES));
    const char *dir = given != NULL ? given : self->out.dir;
    FS_TRY(tok_open(&self->tokeniser, dir));
    const size_t pieces = tok_vocab_size(self->tokeniser);
    fs_config *config = &self->plan.config;
    if (o->from == NULL) {
        if (pieces > FS_VOCAB_MAX) return fs_fail(FS_ELIMIT, "%s: %zu pieces", dir, pieces);
        config->vocab = (uint32_t)pieces;
    } else if (pieces > config->vocab) {
        return fs_fail(FS_EFORMAT, "%s: the tokeniser has %zu pieces, the model %" PRIu32, dir,
                       pieces, config->vocab);
    }
    return FS_OK;
}

static fs_status open_data(learner *self)
{
    const main_learn *o = self->options;
    tr_source_options options = {.head = self->plan.head,
                                 .seed = fs_hash_key(o->seed, "order"),
                                 .batch = o->batch,
                                 .window = self->plan.window,
                                 .masking = o->masking};
    FS_TRY(tr_source_open(&self->source, o->data, &self->plan.config, self->tokeniser, &options));
    options.seed = fs_hash_key(o->seed, "dev");
    if (o->dev != NULL)
        FS_TRY(tr_source_open(&self->dev, o->dev, &self->plan.config, self->tokeniser, &options));
    fs_info("%" PRIu64 " sequences, %" PRIu64 " tokens, in an epoch of %" PRIu64 " batches",
            tr_source_examples(self->source), tr_source_tokens(self->source),
            tr_source_epoch_steps(self->source));
    return FS_OK;
}

/* The network. */

static fs_status open_network(learner *self)
{
    const main_learn *o = self->options;
    const unsigned threads = o->threads == 0 ? fs_cores_usable() : o->threads;
    FS_TRY(tr_pool_new(&self->pool, threads));
    FS_TRY(tr_layout_new(&self->layout, &self->plan.config, self->plan.head));
    FS_TRY(tr_weights_new(&self->weights, self->layout));
    tr_init_all(self->layout, tr_weights_values(self->weights), o->init_range,
                fs_hash_key(o->seed, "first values"));
    if (o->from != NULL) {
        size_t fresh;
        FS_TRY(tr_load_weights(self->weights, o->from, &fresh));
        if (fresh > 0) fs_info("%zu tensors of the head begin anew: %s has none", fresh, o->from);
    }
    fs_info("%" PRIu64 " parameters, %u threads", self->layout->parameters, threads);
    return FS_OK;
}

static fs_status open_trainer(learner *self)
{
    const main_learn *o = self->options;
    main_plan *plan = &self->plan;
    plan->steps = o->steps != 0 ? o->steps : tr_loop_steps(self->source, o->epochs, o->accumulate);
    const double warmup = o->warmup < 1 ? o->warmup * (double)plan->steps : o->warmup;
    if (warmup > (double)plan->steps)
        return fs_fail(FS_EUSAGE, "--warmup %g is more than all %" PRIu64 " steps", o->warmup,
                       plan->steps);
    const tr_trainer_options options = {
        .objective = {.smoothing = (float)o->smoothing,
                      .dropout = (float)o->dropout,
                      .attention_dropout = (float)o->attention_dropout,
                      .key = fs_hash_key(o->seed, "dropout"),
                      .accumulate = o->accumulate},
        .adamw = {.beta1 = 0.9, .beta2 = o->beta2, .epsilon = 1e-8, .decay = o->decay},
        .schedule = {.kind = main_plan_schedule(o),
                     .peak = o->rate,
                     .warmup_steps = (uint64_t)warmup,
                     .steps = plan->steps},
        .clip = o->clip,
    };
    FS_TRY(main_tuning_new(&self->tuning, &o->tune, self->weights, self->pool,
                           fs_hash_key(o->seed, "tuning")));
    return tr_trainer_new(&self->trainer, &options, self->weights, self->pool, self->source,
                          main_tuning_hooks(self->tuning), main_tuning_adapter(self->tuning));
}

/* Telling how it goes. */

static void show_step(void *context, const tr_progress *progress)
{
    learner *self = context;
    const uint64_t step = progress->report->step;
    if (self->meter.all == 0) {
        fs_meter_start(&self->meter, "", "steps", 1, step - 1, progress->steps);
        self->meter.note = self->note;
    }
    snprintf(self->note, sizeof self->note, "loss %.4f, learning rate %.3g", progress->loss,
             progress->report->rate);
    fs_meter_show(&self->meter, step);
}

static void show_quality(void *context, uint64_t step, const tr_quality *dev)
{
    learner *self = context;
    fs_meter_end(&self->meter);
    if (self->plan.head == TR_HEAD_CLASSIFY)
        fs_info("step %" PRIu64 ": dev accuracy %.4f, F1 %.4f, loss %.4f", step, dev->accuracy,
                dev->f1, dev->loss);
    else
        fs_info("step %" PRIu64 ": dev perplexity %.4f, loss %.4f, accuracy %.4f", step,
                fs_exp64(dev->loss), dev->loss, dev->accuracy);
}

static json_t *quality_json(const learner *self, double loss, double accuracy, double f1)
{
    json_t *root =
        json_pack("{s:o, s:o}", "loss", main_json_real(loss), "accuracy", main_json_real(accuracy));
    if (root == NULL) return NULL;
    if (self->plan.head == TR_HEAD_CLASSIFY)
        json_object_set_new(root, "f1", main_json_real(f1));
    else
        json_object_set_new(root, "perplexity", main_json_real(fs_exp64(loss)));
    return root;
}

static json_t *result_json(const learner *self)
{
    const tr_tally *t = &self->tally;
    json_t *root = json_pack("{s:I, s:I, s:I, s:o}", "steps", (json_int_t)self->plan.steps,
                             "parameters", (json_int_t)self->layout->parameters, "skipped",
                             (json_int_t)t->skipped_all, "seconds", main_json_real(t->seconds));
    if (root == NULL || self->dev == NULL) return root;
    json_object_set_new(root, "dev", quality_json(self, t->dev_loss, t->dev_accuracy, t->dev_f1));
    json_object_set_new(root, "best_step", json_integer((json_int_t)t->best_step));
    json_object_set_new(root, "best",
                        quality_json(self, t->best_loss, t->best_accuracy, t->best_f1));
    return root;
}

static fs_status print_result(const learner *self)
{
    if (!self->options->json) return FS_OK;
    json_t *root = json_deep_copy(self->out.result);
    if (root != NULL) json_object_set_new(root, "out", json_string(self->out.dir));
    return main_json_print(root);
}

/* The run. */

static fs_status check_finite(const learner *self)
{
    const float *values = tr_weights_values(self->weights);
    size_t bad = 0;
    for (size_t i = 0; i < self->layout->floats; i++) bad += isfinite(values[i]) ? 0 : 1;
    if (bad == 0) return FS_OK;
    if (main_tuning_hooks(self->tuning) == NULL)
        return fs_fail(FS_EDIVERGED, "the last step diverged: a parameter is not finite; a "
                                     "smaller --rate may help");
    /* Faults may make anything, and what they made is the result. */
    fs_warn("%zu parameters are not finite: the faults ruined this model", bad);
    return FS_OK;
}

static fs_status finish(learner *self)
{
    const main_learn *o = self->options;
    const char *tokenizer = o->from != NULL        ? o->from
                            : o->tokenizer != NULL ? o->tokenizer
                                                   : self->out.dir;
    const tr_save_options options = {.tokenizer = tokenizer,
                                     .base = self->base,
                                     .dropout = o->dropout,
                                     .attention_dropout = o->attention_dropout,
                                     .range = o->init_range,
                                     .end_token = tok_special_id(self->tokeniser, TOK_SPECIAL_END)};
    FS_TRY(check_finite(self));
    FS_TRY(tr_save(self->layout, tr_weights_values(self->weights), self->out.dir, &options));
    FS_TRY(main_out_complete(&self->out, result_json(self)));
    fs_info("%s: complete after %" PRIu64 " steps", self->out.dir, self->plan.steps);
    return print_result(self);
}

static fs_status learn(learner *self)
{
    const main_learn *o = self->options;
    tr_loop_options options = {.dir = self->out.dir,
                               .log_every = o->log_every,
                               .eval_every = o->eval_every,
                               .checkpoint_every = o->checkpoint_every,
                               .keep_best = o->keep_best,
                               .stop = &stopped,
                               .show = show_step,
                               .measured = show_quality,
                               .context = self};
    FS_TRY(open_tokeniser(self));
    FS_TRY(open_data(self));
    FS_TRY(open_network(self));
    FS_TRY(open_trainer(self));
    options.steps = self->plan.steps;
    FS_TRY(main_out_fingerprint(&self->out, &options.fingerprint));
    FS_TRY(main_out_begin(&self->out));
    watch_signals();
    fs_status status =
        tr_loop_run(self->trainer, self->source, self->dev, main_tuning_hooks(self->tuning),
                    o->accumulate, &options, &self->tally);
    fs_meter_end(&self->meter);
    FS_TRY(status);
    return finish(self);
}

static fs_status read_base(json_t **out, const char *from)
{
    char path[FS_PATH_BYTES_MAX];
    if (from == NULL) return FS_OK;
    FS_TRY(fs_path_join(path, from, "config.json"));
    return fs_json_file_read(out, path, FS_JSON_BYTES_MAX);
}

/** Paths that the options' names stand for. */
typedef struct places {
    char from[FS_PATH_BYTES_MAX], tokenizer[FS_PATH_BYTES_MAX];
    char data[FS_PATH_BYTES_MAX], dev[FS_PATH_BYTES_MAX], vocab_data[FS_PATH_BYTES_MAX];
} places;

static fs_status find_model(const char **name, char path[FS_PATH_BYTES_MAX])
{
    if (*name == NULL) return FS_OK;
    FS_TRY(fs_model_argument(path, *name));
    *name = path;
    return FS_OK;
}

static fs_status find_data(const char **name, tr_head head, char path[FS_PATH_BYTES_MAX])
{
    if (*name == NULL) return FS_OK;
    FS_TRY(fs_data_argument(path, *name,
                            head == TR_HEAD_CLASSIFY ? FS_TASK_CLASSIFICATION : FS_TASK_LM));
    *name = path;
    return FS_OK;
}

/** `o` is what self->options points to; its names become paths. */
static fs_status run(learner *self, main_learn *o, places *found, const char *verb, const char *out)
{
    json_t *description;
    FS_TRY(find_model(&o->from, found->from));
    FS_TRY(find_model(&o->tokenizer, found->tokenizer));
    FS_TRY(main_plan_make(&self->plan, o));
    FS_TRY(find_data(&o->data, self->plan.head, found->data));
    FS_TRY(find_data(&o->dev, self->plan.head, found->dev));
    FS_TRY(find_data(&o->vocab_data, TR_HEAD_CAUSAL, found->vocab_data));
    FS_TRY(read_base(&self->base, o->from));
    FS_TRY(main_plan_describe(&description, verb, o, &self->plan));
    FS_TRY(main_out_open(&self->out, out, description));
    if (self->out.result == NULL) return learn(self);
    fs_info("%s: is complete already", out);
    return print_result(self);
}

fs_status main_learn_run(const char *verb, const main_learn *options, const char *out)
{
    main_learn own = *options;
    places found;
    learner self = {.options = &own, .out = {.lock = -1}};
    fs_status status = run(&self, &own, &found, verb, out);
    free_learner(&self);
    return status;
}
