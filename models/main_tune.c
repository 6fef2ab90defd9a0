#include "main_tune.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "tr_correct.h"
#include "tr_faults.h"
#include "tr_lora.h"

#define FAULT_RATE  0.01
#define LAMBDA      0.1
#define INJECT_RATE 0.001

struct main_tuning {
    tr_lora *lora;
    tr_correct *correct;
    tr_faults *faults;
};

/* A part's own random numbers: a key from the run's seed and the part's name. */
static uint64_t key_of(uint64_t seed, const char *part)
{
    fs_hasher hasher;
    fs_hash hash;
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(seed >> (8 * i));
    fs_hasher_init(&hasher);
    fs_hasher_field(&hasher, part, strlen(part));
    fs_hasher_field(&hasher, bytes, sizeof bytes);
    fs_hasher_final(&hasher, &hash);
    return fs_hash_u64(&hash);
}

/* Words of components, divided by commas. A group's word means those of its components that the
 * model has, with `linear` but for embeddings and norms. */
static fs_status components(fs_component_set *out, const char *words, const char *option,
                            const fs_geometry *geometry, int linear)
{
    *out = 0;
    for (const char *at = words;; at++) {
        char word[FS_NAME_BYTES_MAX];
        const size_t size = strcspn(at, ",");
        fs_component_set set = 0;
        if (size < sizeof word) {
            memcpy(word, at, size);
            word[size] = '\0';
            set = fs_component_parse(word);
        }
        if (set == 0)
            return fs_fail(FS_EUSAGE, "--%s: '%.*s' is no component of a model", option,
                           size > 40 ? 40 : (int)size, at);
        for (fs_component c = 0; c < FS_COMPONENT_COUNT && (set & (set - 1)) != 0; c++) {
            const fs_group group = fs_component_group(c);
            const int fits = !linear || group == FS_GROUP_ATTENTION || group == FS_GROUP_MLP;
            if (!fits || !(fs_geometry_components(geometry) >> c & 1u)) set &= ~(1u << c);
        }
        *out |= set;
        at += size;
        if (*at == '\0') return FS_OK;
    }
}

/* Numbers of layers, divided by commas. */
static fs_status layers(int out[FS_LAYERS_MAX], size_t *count, const char *words, uint32_t of)
{
    *count = 0;
    for (const char *at = words;; at++) {
        const size_t size = strspn(at, "0123456789");
        const unsigned long layer = strtoul(at, NULL, 10);
        if (size == 0 || size > 4 || layer >= of || (at[size] != ',' && at[size] != '\0'))
            return fs_fail(FS_EUSAGE, "--fault-layers %s: the model's layers are 0 to %u", words,
                           of - 1);
        if (*count == FS_LAYERS_MAX)
            return fs_fail(FS_ELIMIT, "--fault-layers names more than %d layers", FS_LAYERS_MAX);
        out[(*count)++] = (int)layer;
        at += size;
        if (*at == '\0') return FS_OK;
    }
}

static int protects(const main_tune *o)
{
    return o->self_correction || o->exponent_protection;
}

static fs_status check(const main_tune *o)
{
    if (o->lora == 0 && (o->lora_alpha > 0 || o->lora_on != NULL || o->lora_full != NULL))
        return fs_fail(FS_EUSAGE, "--lora-alpha, --lora-on and --lora-full need --lora RANK");
    if (!o->self_correction &&
        (o->fault_rate > 0 || o->lambda > 0 || o->faults_on != NULL || o->fault_layers != NULL ||
         o->task_on != NULL || o->divergence != NULL || o->clamp > 0 || o->average || o->drop_hit ||
         o->faults_after > 0 || o->faults_below > 0))
        return fs_fail(FS_EUSAGE, "--fault-rate, --lambda and what else shapes the faulty branch "
                                  "need --self-correction");
    if (o->fault_eval_rate > 0 && o->fault_eval == 0)
        return fs_fail(FS_EUSAGE, "--fault-eval-rate needs --fault-eval N");
    if (o->fault_eval > 0 && !protects(o))
        return fs_fail(FS_EUSAGE, "--fault-eval needs --self-correction or --exponent-protection");
    if (o->inject == NULL && o->inject_rate > 0)
        return fs_fail(FS_EUSAGE, "--inject-rate needs --inject SITES");
    if (o->average && o->task_on != NULL)
        return fs_fail(FS_EUSAGE, "--average takes the task's loss from both branches, --task-on "
                                  "from one");
    const int none = o->divergence != NULL && strcmp(o->divergence, "none") == 0;
    if (none && o->lambda > 0)
        return fs_fail(FS_EUSAGE, "--lambda weighs the divergence that --divergence none leaves "
                                  "out");
    if (none && !o->average && (o->task_on == NULL || strcmp(o->task_on, "faulty") != 0))
        return fs_fail(FS_EUSAGE, "without divergence the faulty branch teaches nothing: "
                                  "--task-on faulty or --average is missing");
    return FS_OK;
}

static fs_status make_lora(main_tuning *self, const main_tune *o, tr_weights *weights,
                           tr_pool *pool, uint64_t seed)
{
    const fs_geometry *geometry = tr_weights_layout(weights)->geometry;
    tr_lora_options options = {.rank = o->lora,
                               .alpha = o->lora_alpha > 0 ? o->lora_alpha : 2.0 * o->lora,
                               .key = key_of(seed, "adapters"),
                               .clip = protects(o)};
    const char *on = o->lora_on != NULL ? o->lora_on : "attention,mlp";
    FS_TRY(components(&options.on, on, "lora-on", geometry, 1));
    if (o->lora_full != NULL)
        FS_TRY(components(&options.full, o->lora_full, "lora-full", geometry, 0));
    return tr_lora_new(&self->lora, &options, weights, pool);
}

static fs_status make_correct(main_tuning *self, const main_tune *o, tr_weights *weights,
                              tr_pool *pool, uint64_t seed)
{
    const fs_geometry *geometry = tr_weights_layout(weights)->geometry;
    const char *divergence = o->divergence != NULL ? o->divergence : "l2";
    const int faulty = o->task_on != NULL && strcmp(o->task_on, "faulty") == 0;
    tr_correct_options options = {.rate = o->fault_rate > 0 ? o->fault_rate : FAULT_RATE,
                                  .lambda = o->lambda > 0 ? o->lambda : LAMBDA,
                                  .task = o->average ? TR_CORRECT_BOTH
                                          : faulty   ? TR_CORRECT_FAULTY
                                                     : TR_CORRECT_CLEAN,
                                  .divergence = strcmp(divergence, "kl") == 0 ? TR_DIVERGENCE_KL
                                                                              : TR_DIVERGENCE_L2,
                                  .clamp = o->clamp,
                                  .drop_hit = o->drop_hit,
                                  .after_steps = o->faults_after,
                                  .below_loss = o->faults_below,
                                  .key = key_of(seed, "self-correction"),
                                  .lists = o->fault_eval,
                                  /* The same lists for every run, so that runs can be compared. */
                                  .measure_key = key_of(0, "faults of measurements")};
    options.measure_rate = o->fault_eval_rate > 0 ? o->fault_eval_rate : options.rate;
    if (!o->self_correction) options.rate = 0;
    if (strcmp(divergence, "none") == 0) options.lambda = 0;
    int chosen[FS_LAYERS_MAX];
    options.layers = chosen;
    if (o->fault_layers != NULL)
        FS_TRY(layers(chosen, &options.layer_count, o->fault_layers, geometry->config.layers));
    if (o->faults_on != NULL)
        FS_TRY(components(&options.components, o->faults_on, "faults-on", geometry, 0));
    return tr_correct_new(&self->correct, &options, weights, pool,
                          self->lora != NULL ? tr_lora_adapter(self->lora) : NULL);
}

static fs_status make_faults(main_tuning *self, const main_tune *o, uint64_t seed)
{
    tr_faults_options options = {.rate = o->inject_rate > 0 ? o->inject_rate : INJECT_RATE,
                                 .key = key_of(seed, "faults while tuning"),
                                 .clear_bit_30 = protects(o)};
    FS_TRY(tr_fault_sites_parse(&options.sites, o->inject));
    return tr_faults_new(&self->faults, &options,
                         self->correct != NULL ? tr_correct_hooks(self->correct) : NULL);
}

fs_status main_tuning_new(main_tuning **out, const main_tune *options, tr_weights *weights,
                          tr_pool *pool, uint64_t seed)
{
    *out = NULL;
    FS_TRY(check(options));
    if (options->lora == 0 && !protects(options) && options->inject == NULL) return FS_OK;
    main_tuning *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for tuning");
    fs_status status = FS_OK;
    /* What adapters hold frozen is clipped with the rest of the model, before they copy it. */
    if (protects(options))
        tr_correct_clip(pool, tr_weights_values(weights), tr_weights_layout(weights)->floats);
    if (options->lora > 0) status = make_lora(self, options, weights, pool, seed);
    if (status == FS_OK && protects(options))
        status = make_correct(self, options, weights, pool, seed);
    if (status == FS_OK && options->inject != NULL) status = make_faults(self, options, seed);
    if (status != FS_OK) main_tuning_destroy(&self);
    *out = self;
    return status;
}

void main_tuning_destroy(main_tuning **self)
{
    if (*self == NULL) return;
    tr_faults_destroy(&(*self)->faults);
    tr_correct_destroy(&(*self)->correct);
    tr_lora_destroy(&(*self)->lora);
    free(*self);
    *self = NULL;
}

const tr_hooks *main_tuning_hooks(const main_tuning *self)
{
    if (self == NULL) return NULL;
    if (self->faults != NULL) return tr_faults_hooks(self->faults);
    return self->correct != NULL ? tr_correct_hooks(self->correct) : NULL;
}

const tr_adapter *main_tuning_adapter(const main_tuning *self)
{
    return self != NULL && self->lora != NULL ? tr_lora_adapter(self->lora) : NULL;
}

static int put_TEXT(json_t *out, const char *name, const char *value)
{
    return value == NULL ? 0 : json_object_set_new(out, name, json_string(value));
}

static int put_REAL(json_t *out, const char *name, double value)
{
    return value > 0 ? json_object_set_new(out, name, json_real(value)) : 0;
}

static int put_U64(json_t *out, const char *name, uint64_t value)
{
    return value > 0 ? json_object_set_new(out, name, json_integer((json_int_t)value)) : 0;
}

#define put_CHOICE                 put_TEXT
#define put_FLAG(out, name, value) put_U64(out, name, (uint64_t)(value))
#define put_U32                    put_U64

fs_status main_tune_describe(const main_tune *options, json_t *out)
{
    int failed = 0;
#define X(at, name, argument, kind, field, help, least, most)                                      \
    failed |= put_##kind(out, name, options->field)
    MAIN_TUNE_MAP(X, );
#undef X
    return failed ? fs_fail(FS_ENOMEM, "no memory for the options of tuning") : FS_OK;
}
