/* The section `finetune` of a campaign file: how trials of phase finetune tune their model. */
#include <inttypes.h>
#include <string.h>

#include "campaign_read.h"
#include "file.h"
#include "number.h"

/* The defaults are those of the command `finetune`. */
static const fs_finetune defaults = {.batch = 16,
                                     .rate = 5e-5,
                                     .warmup = 0.1,
                                     .decay = 0.01,
                                     .clip = 1,
                                     .dropout = 0.1,
                                     .attention_dropout = 0.1,
                                     .seed = 1,
                                     .checkpoint_steps = 100};

static const char *const schedule_words[] = {"linear", "cosine", "constant", NULL};
static const char *const keep_words[] = {"none", "critical", "all", NULL};
static const char *const flag_words[] = {"false", "true", NULL};

const char *fs_tune_schedule_name(fs_tune_schedule schedule)
{
    return schedule_words[schedule];
}

const char *fs_tune_keep_name(fs_tune_keep keep)
{
    return keep_words[keep];
}

typedef struct section {
    fs_finetune *out;
    fs_task_kind kind;
    const char *file; /* as fs__data_find */
    fs_hash hash;     /* of the data as they are now; zero: they are not there, or not looked at */
} section;

static fs_status read_data(const fs_yaml_at *at, void *target)
{
    section *self = target;
    FS_TRY(fs__data_find(at, self->file, self->kind, self->out->data));
    if (self->file == NULL || !fs_file_exists(self->out->data)) return FS_OK;
    fs_status status = fs_hash_file(&self->hash, self->out->data);
    return status == FS_OK ? FS_OK : fs_yaml_wrap(at, status);
}

static fs_status read_data_hash(const fs_yaml_at *at, void *target)
{
    const char *text;
    FS_TRY(fs_yaml_text(at, &text));
    fs_status status = fs_hash_parse(&((section *)target)->out->data_hash, text);
    return status == FS_OK ? FS_OK : fs_yaml_wrap(at, FS_ECONFIG);
}

static fs_status read_steps(const fs_yaml_at *at, void *target)
{
    return fs_yaml_u64(at, 1, FS_TUNE_STEPS_MAX, &((section *)target)->out->steps);
}

static fs_status read_batch(const fs_yaml_at *at, void *target)
{
    uint64_t value;
    FS_TRY(fs_yaml_u64(at, 1, FS_TUNE_BATCH_MAX, &value));
    ((section *)target)->out->batch = (uint32_t)value;
    return FS_OK;
}

static fs_status read_window(const fs_yaml_at *at, void *target)
{
    uint64_t value;
    if (fs_yaml_is_word(at, "positions")) return FS_OK;
    FS_TRY(fs_yaml_u64(at, 2, FS_POSITIONS_MAX, &value));
    ((section *)target)->out->window = (uint32_t)value;
    return FS_OK;
}

static fs_status read_rate(const fs_yaml_at *at, void *target)
{
    double *rate = &((section *)target)->out->rate;
    FS_TRY(fs_yaml_real(at, 0, 1e6, rate));
    return *rate > 0 ? FS_OK : fs_yaml_fail(at, FS_ECONFIG, "is 0; a number above 0 is wanted");
}

static fs_status read_warmup(const fs_yaml_at *at, void *target)
{
    return fs_yaml_real(at, 0, FS_TUNE_STEPS_MAX, &((section *)target)->out->warmup);
}

static fs_status read_schedule(const fs_yaml_at *at, void *target)
{
    size_t choice;
    FS_TRY(fs_yaml_choice(at, schedule_words, &choice));
    ((section *)target)->out->schedule = (fs_tune_schedule)choice;
    return FS_OK;
}

static fs_status read_decay(const fs_yaml_at *at, void *target)
{
    return fs_yaml_real(at, 0, 1e6, &((section *)target)->out->decay);
}

static fs_status read_clip(const fs_yaml_at *at, void *target)
{
    return fs_yaml_real(at, 0, 1e30, &((section *)target)->out->clip);
}

static fs_status read_dropout(const fs_yaml_at *at, void *target)
{
    return fs_yaml_real(at, 0, 0.999, &((section *)target)->out->dropout);
}

static fs_status read_attention_dropout(const fs_yaml_at *at, void *target)
{
    return fs_yaml_real(at, 0, 0.999, &((section *)target)->out->attention_dropout);
}

static fs_status read_seed(const fs_yaml_at *at, void *target)
{
    return fs_yaml_u64(at, 0, UINT64_MAX, &((section *)target)->out->seed);
}

static fs_status read_exponent_protection(const fs_yaml_at *at, void *target)
{
    size_t choice;
    FS_TRY(fs_yaml_choice(at, flag_words, &choice));
    ((section *)target)->out->exponent_protection = (int)choice;
    return FS_OK;
}

static fs_status read_keep(const fs_yaml_at *at, void *target)
{
    size_t choice;
    FS_TRY(fs_yaml_choice(at, keep_words, &choice));
    ((section *)target)->out->keep = (fs_tune_keep)choice;
    return FS_OK;
}

static fs_status read_checkpoint_steps(const fs_yaml_at *at, void *target)
{
    if (fs_yaml_is_word(at, "none")) {
        ((section *)target)->out->checkpoint_steps = 0;
        return FS_OK;
    }
    return fs_yaml_u64(at, 1, FS_TUNE_STEPS_MAX, &((section *)target)->out->checkpoint_steps);
}

/* What is learnt from is part of the campaign: a stored one says its hash, and a file that is there
 * now has it. */
static fs_status settle_hash(const fs_yaml_at *at, const section *self)
{
    static const fs_hash zero;
    fs_hash *said = &self->out->data_hash;
    if (fs_hash_equal(&self->hash, &zero)) return FS_OK;
    if (!fs_hash_equal(said, &zero) && !fs_hash_equal(said, &self->hash))
        return fs_yaml_fail(at, FS_EREFUSED, "%s was changed: its hash is not data_hash",
                            self->out->data);
    *said = self->hash;
    return FS_OK;
}

fs_status fs__finetune_read(const fs_yaml_at *at, const char *file, fs_task_kind kind,
                            fs_finetune *out)
{
    static const fs_yaml_field fields[] = {
        {"data", read_data, NULL, 1},
        {"data_hash", read_data_hash, NULL, 0},
        {"steps", read_steps, NULL, 1},
        {"batch", read_batch, NULL, 0},
        {"window", read_window, NULL, 0},
        {"learning_rate", read_rate, NULL, 0},
        {"warmup", read_warmup, NULL, 0},
        {"schedule", read_schedule, NULL, 0},
        {"decay", read_decay, NULL, 0},
        {"clip", read_clip, NULL, 0},
        {"dropout", read_dropout, NULL, 0},
        {"attention_dropout", read_attention_dropout, NULL, 0},
        {"seed", read_seed, NULL, 0},
        {"exponent_protection", read_exponent_protection, NULL, 0},
        {"keep", read_keep, NULL, 0},
        {"checkpoint_steps", read_checkpoint_steps, NULL, 0},
        {NULL, NULL, NULL, 0},
    };
    section self = {.out = out, .kind = kind, .file = file};
    *out = defaults;
    FS_TRY(fs_yaml_map(at, fields, NULL, &self));
    if (out->warmup > (double)out->steps)
        return fs_yaml_fail(at, FS_ECONFIG,
                            "warmup %g is more than all %" PRIu64 " steps (below 1 it is a share "
                            "of them)",
                            out->warmup, out->steps);
    if (kind == FS_TASK_CLASSIFICATION && out->window != 0)
        return fs_yaml_fail(at, FS_ECONFIG, "'window' is for kind: language-model only");
    return settle_hash(at, &self);
}

/* --- Writing ---------------------------------------------------------------------------------- */

static fs_status put_real(fs_buf *out, const char *start, const char *key, double value)
{
    char number[FS_NUMBER_BYTES];
    fs_number_text(value, number);
    return fs_buf_printf(out, "%s%s: %s\n", start, key, number);
}

fs_status fs__finetune_write(const fs_finetune *self, const char *start, fs_buf *out)
{
    char hex[FS_HASH_HEX_BYTES];
    static const fs_hash zero;
    fs_hash_hex(&self->data_hash, hex);
    if (!fs_hash_equal(&self->data_hash, &zero))
        FS_TRY(fs_buf_printf(out, "%sdata_hash: \"%s\"\n", start, hex));
    FS_TRY(fs_buf_printf(out, "%ssteps: %" PRIu64 "\n%sbatch: %" PRIu32 "\n", start, self->steps,
                         start, self->batch));
    if (self->window != 0)
        FS_TRY(fs_buf_printf(out, "%swindow: %" PRIu32 "\n", start, self->window));
    FS_TRY(put_real(out, start, "learning_rate", self->rate));
    FS_TRY(put_real(out, start, "warmup", self->warmup));
    FS_TRY(fs_buf_printf(out, "%sschedule: %s\n", start, schedule_words[self->schedule]));
    FS_TRY(put_real(out, start, "decay", self->decay));
    FS_TRY(put_real(out, start, "clip", self->clip));
    FS_TRY(put_real(out, start, "dropout", self->dropout));
    FS_TRY(put_real(out, start, "attention_dropout", self->attention_dropout));
    return fs_buf_printf(out, "%sseed: %" PRIu64 "\n%sexponent_protection: %s\n", start, self->seed,
                         start, flag_words[self->exponent_protection]);
}
