#include "main_plan.h"

#include <string.h>

#include "file.h"
#include "hash.h"
#include "tr_init.h"
#include "tr_load.h"

/* What both verbs begin with. */
#define DEFAULTS                                                                                   \
    .seed = 1, .accumulate = 1, .warmup = 0.1, .decay = 0.01, .clip = 1, .beta2 = 0.999,           \
    .dropout = 0.1, .attention_dropout = 0.1, .masking = 0.15, .init_range = TR_INIT_RANGE,        \
    .log_every = 50

const main_learn main_learn_train_defaults = {DEFAULTS, .epochs = 1, .batch = 32, .rate = 5e-4};
const main_learn main_learn_tune_defaults = {DEFAULTS, .epochs = 3, .batch = 16, .rate = 5e-5};

const char *const main_plan_tokeniser_files[MAIN_PLAN_TOKENISER_FILES] = {
    "vocab.txt", "vocab.json", "merges.txt", "tokenizer_config.json"};

tr_schedule_kind main_plan_schedule(const main_learn *options)
{
    const char *word = options->schedule;
    if (word == NULL || strcmp(word, "linear") == 0) return TR_SCHEDULE_LINEAR;
    return strcmp(word, "cosine") == 0 ? TR_SCHEDULE_COSINE : TR_SCHEDULE_CONSTANT;
}

uint32_t main_plan_vocab(const main_learn *options)
{
    return options->vocab == 0 ? 8192 : options->vocab;
}

static fs_status make_config(fs_config *out, const main_learn *o)
{
    if (o->model == NULL)
        return fs_fail(FS_EUSAGE, "say what to train: --model bert, --model gpt2 or --from DIR");
    const int bert = strcmp(o->model, "bert") == 0;
    const uint32_t width = o->width == 0 ? 256 : o->width, heads = o->heads == 0 ? 4 : o->heads;
    if (width % heads != 0)
        return fs_fail(FS_EUSAGE, "--width %u is not a multiple of --heads %u", width, heads);
    if (o->inner == 0 && width > FS_WIDTH_MAX / 4)
        return fs_fail(FS_ELIMIT, "an MLP of 4 x %u is wider than %d", width, FS_WIDTH_MAX);
    const char *activation = o->activation;
    if (activation == NULL) activation = bert ? "gelu" : "gelu_new";
    *out = (fs_config){
        .kind = bert ? FS_MODEL_BERT : FS_MODEL_GPT2,
        .task = FS_TASK_LM,
        .activation = strcmp(activation, "gelu") == 0   ? FS_ACT_GELU_ERF
                      : strcmp(activation, "relu") == 0 ? FS_ACT_RELU
                                                        : FS_ACT_GELU_TANH,
        .positions = o->positions != 0 ? o->positions
                     : bert            ? 128
                                       : 256,
        .segments = bert ? 2 : 0,
        .d_model = width,
        .layers = o->layers == 0 ? 4 : o->layers,
        .heads = heads,
        .d_ff = o->inner != 0 ? o->inner : 4 * width,
        .norm_eps = bert ? 1e-12 : 1e-5,
        .tied = !bert,
    };
    return FS_OK;
}

/* The head that is asked for, else the one that the model is for. */
static tr_head choose_head(const char *task, int bert, int classifies)
{
    if (task == NULL) {
        if (classifies) return TR_HEAD_CLASSIFY;
        return bert ? TR_HEAD_MASKED : TR_HEAD_CAUSAL;
    }
    if (strcmp(task, "classification") == 0) return TR_HEAD_CLASSIFY;
    return strcmp(task, "masked") == 0 ? TR_HEAD_MASKED : TR_HEAD_CAUSAL;
}

static fs_status resolve_scratch(main_plan *out, const main_learn *o)
{
    FS_TRY(make_config(&out->config, o));
    fs_config *c = &out->config;
    const int bert = c->kind == FS_MODEL_BERT;
    out->head = choose_head(o->task, bert, 0);
    if (bert || out->head == TR_HEAD_CLASSIFY) {
        c->task = FS_TASK_CLASSIFICATION;
        c->labels = o->labels == 0 ? 2 : o->labels;
        c->tied = 0;
    }
    return FS_OK;
}

static fs_status resolve_from(main_plan *out, const main_learn *o)
{
    int classifies;
    if (o->tokenizer != NULL || o->vocab_data != NULL)
        return fs_fail(FS_EUSAGE, "--from brings its tokeniser: no --tokenizer or --vocab-data");
    if (o->model != NULL || o->activation != NULL || o->layers != 0 || o->width != 0 ||
        o->heads != 0 || o->inner != 0 || o->positions != 0 || o->vocab != 0)
        return fs_fail(FS_EUSAGE,
                       "--from brings the model: no --model, --layers, --width, --heads, "
                       "--inner, --positions, --vocab or --activation");
    FS_TRY(fs_config_read_base(&out->config, o->from, &classifies));
    out->head = choose_head(o->task, out->config.kind == FS_MODEL_BERT, classifies);
    return tr_load_config(&out->config, o->from, out->head, o->labels);
}

fs_status main_plan_make(main_plan *out, const main_learn *o)
{
    *out = (main_plan){0};
    if (o->data == NULL) return fs_fail(FS_EUSAGE, "--data FILE is missing");
    if (o->keep_best && o->dev == NULL) return fs_fail(FS_EUSAGE, "--keep-best needs --dev FILE");
    if (o->eval_every != 0 && o->dev == NULL)
        return fs_fail(FS_EUSAGE, "--eval-every needs --dev FILE");
    FS_TRY(o->from != NULL ? resolve_from(out, o) : resolve_scratch(out, o));
    const fs_config *c = &out->config;
    if (c->kind == FS_MODEL_BERT ? out->head == TR_HEAD_CAUSAL : out->head == TR_HEAD_MASKED)
        return fs_fail(FS_EUSAGE, "--task %s is not for %s", o->task,
                       c->kind == FS_MODEL_BERT ? "BERT" : "GPT-2");
    if (out->head == TR_HEAD_CLASSIFY) {
        if (o->window != 0)
            return fs_fail(FS_EUSAGE, "--window is for running text, not for classification");
        return FS_OK;
    }
    if (o->labels != 0)
        return fs_fail(FS_EUSAGE, "--labels is for classification, not for running text");
    out->window = o->window == 0 ? c->positions : o->window;
    if (out->window > c->positions)
        return fs_fail(FS_EUSAGE, "--window %u is more than the model's %u positions", out->window,
                       c->positions);
    return FS_OK;
}

/* Writing down. A failed insertion is kept in `failed`. */

typedef struct writer {
    json_t *root;
    int failed;
} writer;

static void put(writer *self, const char *key, json_t *value)
{
    self->failed |= json_object_set_new(self->root, key, value) != 0;
}

static void put_hash(writer *self, const char *key, const fs_hash *hash)
{
    char hex[FS_HASH_HEX_BYTES];
    fs_hash_hex(hash, hex);
    put(self, key, json_string(hex));
}

static fs_status put_file(writer *self, const char *key, const char *path)
{
    fs_hash hash;
    if (path == NULL) return FS_OK;
    FS_TRY(fs_hash_file(&hash, path));
    put_hash(self, key, &hash);
    return FS_OK;
}

/* A tokeniser's folder: its files that are there. */
static fs_status put_tokenizer(writer *self, const char *dir)
{
    const char *const *names = main_plan_tokeniser_files;
    fs_hasher hasher;
    fs_hash hash;
    if (dir == NULL) return FS_OK;
    fs_hasher_init(&hasher);
    for (size_t i = 0; i < MAIN_PLAN_TOKENISER_FILES; i++) {
        char path[FS_PATH_BYTES_MAX];
        FS_TRY(fs_path_join(path, dir, names[i]));
        if (!fs_file_exists(path)) continue;
        FS_TRY(fs_hash_file(&hash, path));
        fs_hasher_field(&hasher, names[i], strlen(names[i]));
        fs_hasher_field(&hasher, hash.bytes, sizeof hash.bytes);
    }
    fs_hasher_final(&hasher, &hash);
    put_hash(self, "tokenizer", &hash);
    return FS_OK;
}

static fs_status put_files(writer *self, const main_learn *o)
{
    fs_hash hash;
    FS_TRY(put_file(self, "data", o->data));
    FS_TRY(put_file(self, "dev", o->dev));
    FS_TRY(put_file(self, "vocab-data", o->vocab_data));
    FS_TRY(put_tokenizer(self, o->tokenizer));
    if (o->from == NULL) return FS_OK;
    FS_TRY(fs_model_hash(&hash, o->from));
    put_hash(self, "from", &hash);
    return FS_OK;
}

static void put_shape(writer *self, const main_learn *o, const fs_config *c)
{
    put(self, "model", json_string(c->kind == FS_MODEL_BERT ? "bert" : "gpt2"));
    put(self, "layers", json_integer(c->layers));
    put(self, "width", json_integer(c->d_model));
    put(self, "heads", json_integer(c->heads));
    put(self, "inner", json_integer(c->d_ff));
    put(self, "positions", json_integer(c->positions));
    put(self, "activation", json_string(fs_activation_name(c->activation)));
    put(self, "labels", json_integer(c->labels));
    if (o->from == NULL && o->tokenizer == NULL)
        put(self, "vocab", json_integer(main_plan_vocab(o)));
}

static void put_numbers(writer *self, const main_learn *o)
{
    static const char *const schedules[] = {"constant", "linear", "cosine"};
    if (o->steps != 0)
        put(self, "steps", json_integer((json_int_t)o->steps));
    else
        put(self, "epochs", json_real(o->epochs));
    put(self, "seed", json_integer((json_int_t)o->seed));
    put(self, "batch", json_integer(o->batch));
    put(self, "accumulate", json_integer(o->accumulate));
    put(self, "rate", json_real(o->rate));
    put(self, "schedule", json_string(schedules[main_plan_schedule(o)]));
    put(self, "warmup", json_real(o->warmup));
    put(self, "decay", json_real(o->decay));
    put(self, "clip", json_real(o->clip));
    put(self, "beta2", json_real(o->beta2));
    put(self, "smoothing", json_real(o->smoothing));
    put(self, "init-range", json_real(o->init_range));
    put(self, "dropout", json_real(o->dropout));
    put(self, "attention-dropout", json_real(o->attention_dropout));
    put(self, "eval-every", json_integer((json_int_t)o->eval_every));
    put(self, "keep-best", json_boolean(o->keep_best));
}

fs_status main_plan_describe(json_t **out, const char *verb, const main_learn *o,
                             const main_plan *plan)
{
    static const char *const tasks[] = {"classification", "causal", "masked"};
    writer self = {.root = json_object()};
    if (self.root == NULL) return fs_fail(FS_ENOMEM, "no memory for the options");
    put(&self, "verb", json_string(verb));
    put(&self, "task", json_string(tasks[plan->head]));
    put_shape(&self, o, &plan->config);
    put_numbers(&self, o);
    if (plan->head == TR_HEAD_MASKED) put(&self, "masking", json_real(o->masking));
    if (plan->window != 0) put(&self, "window", json_integer(plan->window));
    fs_status status = put_files(&self, o);
    if (status == FS_OK) status = main_tune_describe(&o->tune, self.root);
    if (status == FS_OK && self.failed) status = fs_fail(FS_ENOMEM, "no memory for the options");
    if (status != FS_OK) {
        json_decref(self.root);
        self.root = NULL;
    }
    *out = self.root;
    return status;
}
