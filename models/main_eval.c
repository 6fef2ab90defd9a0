#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "assert.h"
#include "clock.h"
#include "cores.h"
#include "dataset.h"
#include "file.h"
#include "hash.h"
#include "limits.h"
#include "main.h"
#include "main_protect.h"
#include "meter.h"
#include "names.h"
#include "nn_cpu.h"
#include "nn_eval.h"
#include "outfile.h"

typedef struct eval_values {
    int json;
    const char *task, *data, *recipe, *kernel, *logits, *losses, *dtype, *protect;
    uint64_t examples;
    uint32_t window, stride, threads;
} eval_values;

#define AT(field) offsetof(eval_values, field)
static const fs_option eval_options[] = {
    {"json", 0, NULL, FS_OPTION_FLAG, AT(json), "print one JSON document", 0, 0},
    {"task", 0, "classification|language-model", FS_OPTION_CHOICE, AT(task),
     "what the model answers (default: what its head is for)", 0, 0},
    {"data", 'd', "FILE", FS_OPTION_TEXT, AT(data),
     "classification: a header line, then \"sentence TAB label\"; language model: plain text", 0,
     0},
    {"examples", 'n', "N", FS_OPTION_U64, AT(examples),
     "use the first N inputs or windows (default: all)", 1, 0},
    {"window", 0, "W", FS_OPTION_U32, AT(window),
     "tokens in a window (default: the model's positions)", 2, FS_POSITIONS_MAX},
    {"stride", 0, "S", FS_OPTION_U32, AT(stride), "tokens between windows (default: the window)", 1,
     FS_POSITIONS_MAX},
    {"recipe", 0, "as-is|hf", FS_OPTION_CHOICE, AT(recipe),
     "text as one piece, or lines joined by blank lines as HuggingFace does (default: as-is)", 0,
     0},
    {"threads", 't', "T", FS_OPTION_U32, AT(threads), "compute threads (default: one per core)", 1,
     FS_THREADS_MAX},
    {"kernel", 0, "portable|avx2|avx512", FS_OPTION_CHOICE, AT(kernel),
     "kernels to use; all give the same bits (default: the fastest)", 0, 0},
    {"logits", 0, "FILE", FS_OPTION_TEXT, AT(logits), "write the logits, one input a line", 0, 0},
    {"losses", 0, "FILE", FS_OPTION_TEXT, AT(losses), "write the losses in nats, one input a line",
     0, 0},
    {"dtype", 0, "fp32|fp16|bf16|int8", FS_OPTION_CHOICE, AT(dtype),
     "storage format of the weights, and of the activations if it has 16 bits (default: fp32)", 0,
     0},
    {"protect", 0, "LIST", FS_OPTION_TEXT, AT(protect),
     "protections that the weights are stored under: names with commas between them", 0, 0},
    {0},
};

/** One evaluation: what it reads and what it sums up. */
typedef struct evaluation {
    const eval_values *values;
    fs_task task;
    fs_protect protect;
    nn_model *model;
    tok *tokeniser;
    dataset *data;
    fs_outfile logits, losses;
    fs_meter progress;
    uint64_t correct;
    double loss; /* sum over answers, in the order of inputs */
    double seconds;
} evaluation;

static void print_number(FILE *file, double value)
{
    /* The sign of a NaN is noise of the processor. */
    if (isnan(value))
        fputs("nan", file);
    else
        fprintf(file, "%.9g", value);
}

/** Adds one input's results; called in their order. */
static fs_status take_item(void *context, const nn_eval_item *item)
{
    evaluation *e = context;
    e->loss += item->loss;
    if (e->data->kind == FS_TASK_CLASSIFICATION)
        e->correct += item->answer == e->data->labels[item->input];
    if (e->logits.file != NULL) {
        for (uint64_t i = 0; i < item->logit_count; i++) {
            if (i > 0) fputc(' ', e->logits.file);
            print_number(e->logits.file, (double)item->logits[i]);
        }
        fputc('\n', e->logits.file);
        /* A full disk ends a long run now, not at its end. */
        if (ferror(e->logits.file)) return fs_outfile_commit(&e->logits);
    }
    if (e->losses.file != NULL) {
        for (uint32_t i = 0; i < item->answers; i++) {
            if (i > 0) fputc(' ', e->losses.file);
            print_number(e->losses.file, item->losses[i]);
        }
        fputc('\n', e->losses.file);
        if (ferror(e->losses.file)) return fs_outfile_commit(&e->losses);
    }
    fs_meter_show(&e->progress, e->data->off[item->input + 1]);
    return FS_OK;
}

static fs_status set_task(evaluation *e, const char *dir, const fs_config *config)
{
    const eval_values *v = e->values;
    fs_task *task = &e->task;
    task->kind = config->task;
    if (v->task != NULL) task->kind = v->task[0] == 'c' ? FS_TASK_CLASSIFICATION : FS_TASK_LM;
    if (task->kind == FS_TASK_CLASSIFICATION &&
        (v->window != 0 || v->stride != 0 || v->recipe != NULL))
        return fs_fail(FS_EUSAGE, "--window, --stride and --recipe are for language models");
    if (v->data == NULL) return fs_fail(FS_EUSAGE, "--data FILE is missing");
    FS_TRY(fs_data_argument(task->data, v->data, task->kind));
    FS_TRY(fs_path_join(task->model, "", dir));
    task->examples = v->examples;
    task->window = v->window;
    task->stride = v->stride;
    task->recipe =
        v->recipe != NULL && strcmp(v->recipe, "hf") == 0 ? FS_RECIPE_HF : FS_RECIPE_AS_IS;
    return FS_OK;
}

static fs_status set_protect(evaluation *e)
{
    const eval_values *v = e->values;
    const fs_format *format = fs_format_find(v->dtype != NULL ? v->dtype : "fp32");
    FS_ASSERT(format != NULL); /* the option's choices */
    return main_protect_parse(&e->protect, v->protect != NULL ? v->protect : "none", format->kind);
}

/** Reads everything; the cheap checks come before the weights. */
static fs_status prepare(evaluation *e, const char *dir)
{
    fs_config config;
    if (e->values->kernel != NULL) FS_TRY(nn_kernel_choose(e->values->kernel));
    FS_TRY(set_protect(e));
    FS_TRY(fs_config_read(&config, dir));
    FS_TRY(set_task(e, dir, &config));
    FS_TRY(tok_open(&e->tokeniser, dir));
    FS_TRY(dataset_read(&e->data, &e->task, &config, e->tokeniser));
    if (e->values->logits != NULL) FS_TRY(fs_outfile_open(&e->logits, e->values->logits));
    if (e->values->losses != NULL) FS_TRY(fs_outfile_open(&e->losses, e->values->losses));
    return nn_model_open(&e->model, dir, &e->protect);
}

static fs_status compute(evaluation *e)
{
    nn_eval_options options = {
        .threads = e->values->threads == 0 ? fs_cores_usable() : e->values->threads,
        .lm_logits = e->values->logits != NULL,
        .sink = take_item,
        .context = e,
    };
    uint64_t start = fs_clock_mono_ns();
    fs_meter_start(&e->progress, "", "tokens", 1, 0, e->data->off[e->data->count]);
    fs_status status = nn_eval_run(e->model, e->data, &options);
    fs_meter_end(&e->progress);
    e->seconds = (double)(fs_clock_mono_ns() - start) / 1e9;
    if (status == FS_OK) status = fs_outfile_commit(&e->logits);
    if (status == FS_OK) status = fs_outfile_commit(&e->losses);
    return status;
}

static double mean_loss(const evaluation *e)
{
    return e->loss / (double)e->data->answers;
}

static double metric_value(const evaluation *e)
{
    if (e->data->kind == FS_TASK_LM) return exp(mean_loss(e));
    return (double)e->correct / (double)e->data->count;
}

static double word_perplexity(const evaluation *e)
{
    return exp(e->loss / (double)e->data->words);
}

static void add_windows(json_t *root, const evaluation *e)
{
    const fs_config *config = &nn_model_geometry(e->model)->config;
    uint32_t window = e->task.window == 0 ? config->positions : e->task.window;
    uint32_t stride = e->task.stride == 0 ? window : e->task.stride;
    json_object_set_new(root, "recipe", json_string(fs_recipe_name(e->task.recipe)));
    json_object_set_new(root, "window", json_integer(window));
    json_object_set_new(root, "stride", json_integer(stride));
    json_object_set_new(root, "normaliser", json_string("token"));
    json_object_set_new(root, "scored", json_integer((json_int_t)e->data->answers));
    json_object_set_new(root, "words", json_integer((json_int_t)e->data->words));
    json_object_set_new(root, "perplexity_per_word", main_json_real(word_perplexity(e)));
}

static json_t *protect_json(const fs_protect *protect)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < protect->codec_count; i++)
        json_array_append_new(list, json_string(protect->codecs[i]->name));
    return list;
}

static fs_status print_json(const evaluation *e, const char *model_hash, const char *data_hash)
{
    int lm = e->data->kind == FS_TASK_LM;
    uint64_t tokens = e->data->off[e->data->count];
    json_t *root = json_object();
    if (root == NULL) return main_json_print(NULL);
    json_object_set_new(root, "metric", json_string(lm ? "perplexity" : "accuracy"));
    json_object_set_new(root, "value", main_json_real(metric_value(e)));
    json_object_set_new(root, "loss", main_json_real(mean_loss(e)));
    json_object_set_new(root, "examples", json_integer(e->data->count));
    json_object_set_new(root, "tokens", json_integer((json_int_t)tokens));
    json_object_set_new(root, "seconds", main_json_real(e->seconds));
    json_object_set_new(root, "tokens_per_s", main_json_real((double)tokens / e->seconds));
    json_object_set_new(root, "parameters",
                        json_integer((json_int_t)nn_model_geometry(e->model)->values));
    json_object_set_new(root, "task", json_string(lm ? "language-model" : "classification"));
    if (lm)
        add_windows(root, e);
    else
        json_object_set_new(root, "correct", json_integer((json_int_t)e->correct));
    json_object_set_new(root, "kernel", json_string(nn_kernel_name()));
    json_object_set_new(root, "dtype", json_string(fs_protect_format(&e->protect)->name));
    json_object_set_new(root, "protect", protect_json(&e->protect));
    json_object_set_new(root, "altered", json_integer((json_int_t)nn_model_altered(e->model)));
    json_object_set_new(root, "model", json_string(e->task.model));
    json_object_set_new(root, "model_hash", json_string(model_hash));
    json_object_set_new(root, "data", json_string(e->task.data));
    json_object_set_new(root, "data_hash", json_string(data_hash));
    return main_json_print(root);
}

static void print_text(const evaluation *e)
{
    uint64_t tokens = e->data->off[e->data->count];
    if (e->data->kind == FS_TASK_CLASSIFICATION) {
        printf("accuracy    %.4f (%" PRIu64 " of %u right)\n", metric_value(e), e->correct,
               e->data->count);
    } else {
        printf("perplexity  %.6g per token, %.6g per word\n", metric_value(e), word_perplexity(e));
        printf("scored      %" PRIu64 " tokens in %u windows, recipe %s\n", e->data->answers,
               e->data->count, fs_recipe_name(e->task.recipe));
    }
    printf("loss        %.6f nats\n", mean_loss(e));
    if (!fs_protect_is_plain(&e->protect))
        printf("stored      as %s%s%s; %" PRIu64 " of %" PRIu64 " weights read as others\n",
               fs_protect_format(&e->protect)->name, e->protect.codec_count > 0 ? " under " : "",
               e->protect.codec_count > 0 ? e->values->protect : "", nn_model_altered(e->model),
               nn_model_geometry(e->model)->values);
    printf("time        %.2f s, %" PRIu64 " tokens, %.0f tokens/s, kernels %s\n", e->seconds,
           tokens, (double)tokens / e->seconds, nn_kernel_name());
}

static fs_status report(const evaluation *e)
{
    fs_hash hash;
    char model_hash[FS_HASH_HEX_BYTES], data_hash[FS_HASH_HEX_BYTES];
    if (!e->values->json) {
        print_text(e);
        return FS_OK;
    }
    FS_TRY(fs_model_hash(&hash, e->task.model));
    fs_hash_hex(&hash, model_hash);
    FS_TRY(fs_hash_file(&hash, e->task.data));
    fs_hash_hex(&hash, data_hash);
    return print_json(e, model_hash, data_hash);
}

static fs_status run(const void *values, const fs_arguments *arguments)
{
    evaluation e = {.values = values};
    char dir[FS_PATH_BYTES_MAX];
    FS_TRY(fs_model_argument(dir, arguments->items[0]));
    fs_status status = prepare(&e, dir);
    if (status == FS_OK) status = compute(&e);
    if (status == FS_OK) status = report(&e);
    fs_outfile_drop(&e.logits);
    fs_outfile_drop(&e.losses);
    dataset_destroy(&e.data);
    tok_close(&e.tokeniser);
    nn_model_close(&e.model);
    return status;
}

const fs_command main_eval = {
    .name = "eval",
    .summary = "Measures a model on a data set: accuracy, or perplexity.",
    .synopsis = "MODEL",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = eval_options,
    .values_bytes = sizeof(eval_values),
    .details = "MODEL is a HuggingFace folder (config.json, the weights and the tokeniser's files) "
               "or a name that\nis looked up in the zoo and the cache, as is FILE of --data."
               "\nLogits have 9 significant digits; of a language model they are the whole "
               "vocabulary's\nfor every token of a window.\n",
    .run = run,
};
