#include "campaign.h"

#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "campaign_read.h"
#include "file.h"

/** What is read first and settled when the whole file is known. */
typedef struct reading {
    fs_campaign *campaign;
    const char *path;
    fs_yaml_at model; /* task.model and task.data: they are looked up when the kind is known */
    fs_yaml_at data;
    fs_yaml_at critical;
    fs_yaml_at finetune; /* is read when the task's kind is known; no key: not given */
    int drop_given;
    int ratio_given;
    fs_format_kind dtype; /* the arms' default */
} reading;

static const char *const kind_words[] = {"classification", "language-model", NULL};
static const char *const recipe_words[] = {"as-is", "hf", NULL};

const char *fs_recipe_name(fs_recipe recipe)
{
    return recipe_words[recipe];
}

/* --- task ------------------------------------------------------------------------------------- */

static fs_status read_kind(const fs_yaml_at *at, void *target)
{
    size_t choice;
    FS_TRY(fs_yaml_choice(at, kind_words, &choice));
    ((reading *)target)->campaign->task.kind = choice == 0 ? FS_TASK_CLASSIFICATION : FS_TASK_LM;
    return FS_OK;
}

static fs_status read_model(const fs_yaml_at *at, void *target)
{
    ((reading *)target)->model = *at;
    return FS_OK;
}

static fs_status read_data(const fs_yaml_at *at, void *target)
{
    ((reading *)target)->data = *at;
    return FS_OK;
}

static fs_status read_examples(const fs_yaml_at *at, void *target)
{
    fs_task *task = &((reading *)target)->campaign->task;
    if (fs_yaml_is_word(at, "all")) return FS_OK;
    return fs_yaml_u64(at, 1, FS_EXAMPLES_MAX, &task->examples);
}

static fs_status read_window(const fs_yaml_at *at, void *target)
{
    uint64_t value;
    if (fs_yaml_is_word(at, "positions")) return FS_OK;
    FS_TRY(fs_yaml_u64(at, 2, FS_POSITIONS_MAX, &value));
    ((reading *)target)->campaign->task.window = (uint32_t)value;
    return FS_OK;
}

static fs_status read_stride(const fs_yaml_at *at, void *target)
{
    uint64_t value;
    if (fs_yaml_is_word(at, "window")) return FS_OK;
    FS_TRY(fs_yaml_u64(at, 1, FS_POSITIONS_MAX, &value));
    ((reading *)target)->campaign->task.stride = (uint32_t)value;
    return FS_OK;
}

static fs_status read_recipe(const fs_yaml_at *at, void *target)
{
    size_t choice;
    FS_TRY(fs_yaml_choice(at, recipe_words, &choice));
    ((reading *)target)->campaign->task.recipe = choice == 0 ? FS_RECIPE_AS_IS : FS_RECIPE_HF;
    return FS_OK;
}

static fs_status read_task(const fs_yaml_at *at, void *target)
{
    /* The first three are for language models only, which is checked by their places. */
    static const fs_yaml_field fields[] = {
        {"window", read_window, NULL, 0},
        {"stride", read_stride, NULL, 0},
        {"recipe", read_recipe, NULL, 0},
        {"kind", read_kind, NULL, 1},
        {"model", read_model, NULL, 1},
        {"data", read_data, NULL, 1},
        {"examples", read_examples, NULL, 0},
        {"dtype", NULL, FS_DTYPE_ELSEWHERE, 0},
        {NULL, NULL, NULL, 0},
    };
    reading *r = target;
    fs_task *task = &r->campaign->task;
    uint64_t seen;
    FS_TRY(fs_yaml_map(at, fields, &seen, target));
    for (size_t i = 0; i < 3; i++)
        if (task->kind == FS_TASK_CLASSIFICATION && (seen >> i & 1))
            return fs_yaml_fail(at, FS_ECONFIG, "'%s' is for kind: language-model only",
                                fields[i].key);
    if (task->window != 0 && task->stride > task->window)
        return fs_yaml_fail(at, FS_ECONFIG, "stride %u is more than the window of %u", task->stride,
                            task->window);
    FS_TRY(fs__model_find(&r->model, r->path, task->model));
    return fs__data_find(&r->data, r->path, task->kind, task->data);
}

/* --- arms ------------------------------------------------------------------------------------- */

static fs_status read_format(const fs_yaml_at *at, fs_format_kind *out)
{
    const char *words[FS_FORMAT_COUNT + 1] = {NULL};
    size_t choice;
    for (unsigned i = 0; i < FS_FORMAT_COUNT; i++) words[i] = fs_format_of((fs_format_kind)i)->name;
    FS_TRY(fs_yaml_choice(at, words, &choice));
    *out = (fs_format_kind)choice;
    return FS_OK;
}

static fs_status read_dtype(const fs_yaml_at *at, void *target)
{
    return read_format(at, &((reading *)target)->dtype);
}

typedef struct arm_reading {
    fs_arm *arm;
    const char *path;
} arm_reading;

static fs_status read_arm_name(const fs_yaml_at *at, void *target)
{
    return fs_yaml_name(at, ((arm_reading *)target)->arm->name);
}

static fs_status read_arm_model(const fs_yaml_at *at, void *target)
{
    arm_reading *r = target;
    return fs__model_find(at, r->path, r->arm->model);
}

static fs_status read_arm_dtype(const fs_yaml_at *at, void *target)
{
    return read_format(at, &((arm_reading *)target)->arm->dtype);
}

static fs_status read_protection(const fs_yaml_at *at, void *target)
{
    fs_arm *arm = ((arm_reading *)target)->arm;
    char name[FS_NAME_BYTES_MAX] = "";
    const char *names[FS_PROTECT_MAX + 1];
    fs_protect protect;
    FS_TRY(fs_yaml_name(at, name));
    if (strcmp(name, "sc") == 0 || strcmp(name, "flipguard") == 0)
        return fs_yaml_fail(at, FS_ECONFIG,
                            "'%s' needs a model tuned with self-correction: name that model in "
                            "'model', with protect: [ep] for flipguard",
                            name);
    for (unsigned i = 0; i < arm->protect_count; i++) names[i] = arm->protect[i];
    names[arm->protect_count] = name;
    fs_status status = fs_protect_init(&protect, names, arm->protect_count + 1, (fs_guard){0});
    if (status != FS_OK) return fs_yaml_wrap(at, status);
    if (strcmp(name, "none") == 0) return FS_OK;
    memcpy(arm->protect[arm->protect_count++], name, sizeof name);
    return FS_OK;
}

int fs_arm_has_checks(const fs_arm *arm)
{
    if (arm->dtype == FS_FORMAT_INT8) return 1;
    for (unsigned i = 0; i < arm->protect_count; i++)
        if (fs_codec_find(arm->protect[i])->check_bits > 0) return 1;
    return 0;
}

static fs_status read_metadata(const fs_yaml_at *at, void *target)
{
    static const char *const words[] = {"false", "true", NULL};
    size_t word;
    FS_TRY(fs_yaml_choice(at, words, &word));
    ((arm_reading *)target)->arm->metadata = (int)word;
    return FS_OK;
}

static fs_status read_protect(const fs_yaml_at *at, void *target)
{
    if (fs_yaml_is_list(at) && fs_yaml_count(at) == 0) return FS_OK;
    return fs_yaml_each(at, FS_PROTECT_MAX, read_protection, target);
}

static fs_status read_arm(const fs_yaml_at *at, void *target)
{
    static const fs_yaml_field fields[] = {
        {"name", read_arm_name, NULL, 1},
        {"model", read_arm_model, NULL, 0},
        {"protect", read_protect, NULL, 0},
        {"metadata", read_metadata, NULL, 0},
        {"dtype", read_arm_dtype, NULL, 0},
        {"finetune", NULL, FS_LATER, 0},
        {NULL, NULL, NULL, 0},
    };
    reading *r = target;
    fs_campaign *c = r->campaign;
    arm_reading arm = {.arm = &c->arms[c->arm_count], .path = r->path};
    arm.arm->metadata = 1;
    arm.arm->dtype = FS_FORMAT_COUNT; /* the campaign's, which may be written below */
    FS_TRY(fs_yaml_map(at, fields, NULL, &arm));
    for (size_t i = 0; i < c->arm_count; i++)
        if (strcmp(c->arms[i].name, arm.arm->name) == 0)
            return fs_yaml_fail(at, FS_ECONFIG, "the name '%s' is taken by arms[%zu]",
                                arm.arm->name, i);
    c->arm_count++;
    return FS_OK;
}

static fs_status read_arms(const fs_yaml_at *at, void *target)
{
    reading *r = target;
    size_t count = fs_yaml_count(at);
    if (count > FS_ARMS_MAX)
        return fs_yaml_fail(at, FS_ELIMIT, "has %zu items, at most %d are allowed", count,
                            FS_ARMS_MAX);
    r->campaign->arms = calloc(count + 1, sizeof *r->campaign->arms);
    if (r->campaign->arms == NULL) return fs_yaml_fail(at, FS_ENOMEM, "out of memory");
    return fs_yaml_list(at, FS_ARMS_MAX, read_arm, target);
}

/** Arms omitted: the model as it is. An arm without a model has the task's, one without a storage
 * format `dtype`. */
static fs_status settle_arms(fs_campaign *c, fs_format_kind dtype)
{
    if (c->arms == NULL) {
        c->arms = calloc(1, sizeof *c->arms);
        if (c->arms == NULL) return fs_fail(FS_ENOMEM, "no memory for a campaign");
        memcpy(c->arms[0].name, "unprotected", sizeof "unprotected");
        c->arms[0].dtype = dtype;
        c->arms[0].metadata = 1;
        c->arm_count = 1;
    }
    for (size_t i = 0; i < c->arm_count; i++) {
        fs_arm *arm = &c->arms[i];
        if (arm->dtype == FS_FORMAT_COUNT) arm->dtype = dtype;
        if (arm->model[0] == '\0') memcpy(arm->model, c->task.model, FS_PATH_BYTES_MAX);
        if (!fs_arm_has_checks(arm)) arm->metadata = 1; /* says nothing there */
    }
    return FS_OK;
}

/* --- sweeps, critical, the file --------------------------------------------------------------- */

static fs_status read_sweep(const fs_yaml_at *at, void *target)
{
    fs_campaign *c = ((reading *)target)->campaign;
    fs_sweep *sweep = &c->sweeps[c->sweep_count];
    FS_TRY(fs__sweep_read(at, sweep));
    FS_TRY(fs__list_settle(at, sweep, ((reading *)target)->path));
    for (size_t i = 0; i < c->sweep_count; i++)
        if (strcmp(c->sweeps[i].name, sweep->name) == 0)
            return fs_yaml_fail(at, FS_ECONFIG, "the name '%s' is taken by sweep[%zu]", sweep->name,
                                i);
    c->sweep_count++;
    return FS_OK;
}

static fs_status read_sweeps(const fs_yaml_at *at, void *target)
{
    reading *r = target;
    size_t count = fs_yaml_count(at);
    if (count > FS_SWEEPS_MAX)
        return fs_yaml_fail(at, FS_ELIMIT, "has %zu items, at most %d are allowed", count,
                            FS_SWEEPS_MAX);
    r->campaign->sweeps = calloc(count + 1, sizeof *r->campaign->sweeps);
    if (r->campaign->sweeps == NULL) return fs_yaml_fail(at, FS_ENOMEM, "out of memory");
    return fs_yaml_list(at, FS_SWEEPS_MAX, read_sweep, target);
}

static fs_status read_drop(const fs_yaml_at *at, void *target)
{
    reading *r = target;
    r->drop_given = 1;
    FS_TRY(fs_yaml_real(at, 0, 1, &r->campaign->critical.accuracy_drop));
    if (r->campaign->critical.accuracy_drop == 0)
        return fs_yaml_fail(at, FS_ECONFIG, "is 0; a share of answers above 0 is wanted");
    return FS_OK;
}

static fs_status read_ratio(const fs_yaml_at *at, void *target)
{
    reading *r = target;
    r->ratio_given = 1;
    FS_TRY(fs_yaml_real(at, 1, 1e9, &r->campaign->critical.perplexity_ratio));
    if (r->campaign->critical.perplexity_ratio == 1)
        return fs_yaml_fail(at, FS_ECONFIG, "is 1; a ratio above 1 is wanted");
    return FS_OK;
}

static fs_status read_critical(const fs_yaml_at *at, void *target)
{
    static const fs_yaml_field fields[] = {
        {"accuracy_drop", read_drop, NULL, 0},
        {"perplexity_ratio", read_ratio, NULL, 0},
        {NULL, NULL, NULL, 0},
    };
    reading *r = target;
    r->critical = *at;
    return fs_yaml_map(at, fields, NULL, target);
}

static fs_status settle_critical(const reading *r)
{
    fs_task_kind kind = r->campaign->task.kind;
    if (kind == FS_TASK_CLASSIFICATION && r->ratio_given)
        return fs_yaml_fail(&r->critical, FS_ECONFIG,
                            "perplexity_ratio is for language-model; a classification takes "
                            "accuracy_drop");
    if (kind == FS_TASK_LM && r->drop_given)
        return fs_yaml_fail(&r->critical, FS_ECONFIG,
                            "accuracy_drop is for classification; a language-model takes "
                            "perplexity_ratio");
    return FS_OK;
}

static fs_status read_campaign_name(const fs_yaml_at *at, void *target)
{
    return fs_yaml_name(at, ((reading *)target)->campaign->name);
}

static fs_status read_seed(const fs_yaml_at *at, void *target)
{
    return fs_yaml_u64(at, 0, UINT64_MAX, &((reading *)target)->campaign->seed);
}

static fs_status read_finetune(const fs_yaml_at *at, void *target)
{
    ((reading *)target)->finetune = *at;
    return FS_OK;
}

/* The section and the sweeps that tune need each other. */
static fs_status settle_finetune(const reading *r, const fs_yaml_at *root)
{
    fs_campaign *c = r->campaign;
    const fs_sweep *tunes = NULL;
    for (size_t i = 0; i < c->sweep_count && tunes == NULL; i++)
        if (c->sweeps[i].finetunes) tunes = &c->sweeps[i];
    if (r->finetune.key == NULL) {
        if (tunes == NULL) return FS_OK;
        return fs_yaml_fail(root, FS_ECONFIG,
                            "sweep %s is of phase finetune: the section 'finetune' is missing",
                            tunes->name);
    }
    FS_TRY(fs__finetune_read(&r->finetune, r->path, c->task.kind, &c->finetune));
    if (tunes != NULL) return FS_OK;
    return fs_yaml_fail(&r->finetune, FS_ECONFIG, "no sweep is of phase finetune");
}

static fs_status read_root(reading *r, fs_yaml *doc)
{
    static const fs_yaml_field fields[] = {
        {"campaign", read_campaign_name, NULL, 1},
        {"seed", read_seed, NULL, 0},
        {"task", read_task, NULL, 1},
        {"arms", read_arms, NULL, 0},
        {"sweep", read_sweeps, NULL, 1},
        {"critical", read_critical, NULL, 0},
        {"dtype", read_dtype, NULL, 0},
        {"train", NULL, FS_LATER, 0},
        {"finetune", read_finetune, NULL, 0},
        {"fit", NULL, FS_LATER, 0},
        {NULL, NULL, NULL, 0},
    };
    fs_yaml_at root = fs_yaml_root(doc);
    r->campaign->critical = (fs_critical){.accuracy_drop = 0.05, .perplexity_ratio = 1.5};
    FS_TRY(fs_yaml_map(&root, fields, NULL, r));
    FS_TRY(settle_critical(r));
    FS_TRY(settle_finetune(r, &root));
    return settle_arms(r->campaign, r->dtype);
}

/** `name` stands in messages; `path` anchors relative paths, NULL: there are none. */
static fs_status parse(fs_campaign **out, const char *text, size_t size, const char *name,
                       const char *path)
{
    *out = NULL;
    fs_yaml *doc = NULL;
    FS_TRY(fs_yaml_new(&doc, text, size, name));
    reading r = {.path = path, .campaign = calloc(1, sizeof *r.campaign)};
    fs_status status =
        r.campaign == NULL ? fs_fail(FS_ENOMEM, "no memory for a campaign") : read_root(&r, doc);
    fs_yaml_destroy(&doc);
    if (status != FS_OK)
        fs_campaign_destroy(&r.campaign);
    else
        *out = r.campaign;
    return status;
}

fs_status fs_campaign_parse(fs_campaign **out, const char *text, size_t size, const char *path)
{
    return parse(out, text, size, path, path);
}

fs_status fs_campaign_parse_stored(fs_campaign **out, const char *text, size_t size,
                                   const char *name)
{
    return parse(out, text, size, name, NULL);
}

fs_status fs_campaign_read(fs_campaign **out, const char *path)
{
    *out = NULL;
    fs_buf text = {0};
    fs_status status = fs_file_read(&text, path, FS_CAMPAIGN_BYTES_MAX);
    if (status == FS_OK) status = fs_campaign_parse(out, fs_buf_text(&text), text.size, path);
    fs_buf_free(&text);
    return status;
}

void fs_campaign_destroy(fs_campaign **self)
{
    if (*self == NULL) return;
    free((*self)->arms);
    free((*self)->sweeps);
    free(*self);
    *self = NULL;
}
