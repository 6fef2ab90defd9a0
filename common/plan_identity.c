/* What a campaign is, as text that two campaigns can be compared by, line by line. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "campaign_read.h"
#include "number.h"
#include "plan_build.h"

static fs_status put_hash(fs_buf *out, const char *key, const fs_hash *hash, int known)
{
    char hex[FS_HASH_HEX_BYTES];
    fs_hash_hex(hash, hex);
    return fs_buf_printf(out, "%s: %s\n", key, known ? hex : "absent");
}

static fs_status put_task(const fs_plan *plan, fs_buf *out)
{
    const fs_task *task = &plan->campaign->task;
    static const fs_hash zero;
    int has_data = !fs_hash_equal(&plan->data_hash, &zero);
    FS_TRY(fs_buf_printf(out, "task.kind: %s\n",
                         task->kind == FS_TASK_LM ? "language-model" : "classification"));
    FS_TRY(put_hash(out, "task.data", &plan->data_hash, has_data));
    if (task->examples == 0)
        FS_TRY(fs_buf_puts(out, "task.examples: all\n"));
    else
        FS_TRY(fs_buf_printf(out, "task.examples: %" PRIu64 "\n", task->examples));
    if (task->kind != FS_TASK_LM) return FS_OK;
    uint32_t positions = plan->models[0].geometry->config.positions;
    uint32_t window = task->window == 0 ? positions : task->window;
    return fs_buf_printf(out, "task.window: %u\ntask.stride: %u\ntask.recipe: %s\n", window,
                         task->stride == 0 ? window : task->stride, fs_recipe_name(task->recipe));
}

static fs_status put_arms(const fs_plan *plan, fs_buf *out)
{
    const fs_campaign *c = plan->campaign;
    FS_TRY(fs_buf_puts(out, "arms:"));
    for (size_t i = 0; i < c->arm_count; i++) FS_TRY(fs_buf_printf(out, " %s", c->arms[i].name));
    FS_TRY(fs_buf_puts(out, "\n"));
    for (size_t i = 0; i < c->arm_count; i++) {
        const fs_arm *arm = &c->arms[i];
        const fs_plan_model *model = &plan->models[fs__plan_model_of(plan, arm)];
        char key[FS_NAME_BYTES_MAX + 16];
        snprintf(key, sizeof key, "arm.%s.model", arm->name);
        FS_TRY(put_hash(out, key, &model->hash, model->has_weights));
        if (arm->dtype != FS_FORMAT_FP32)
            FS_TRY(fs_buf_printf(out, "arm.%s.dtype: %s\n", arm->name,
                                 fs_format_of(arm->dtype)->name));
        FS_TRY(fs_buf_printf(out, "arm.%s.protect:", arm->name));
        for (unsigned p = 0; p < arm->protect_count; p++)
            FS_TRY(fs_buf_printf(out, " %s", arm->protect[p]));
        FS_TRY(fs_buf_puts(out, arm->protect_count == 0 ? " none\n" : "\n"));
        if (fs_arm_has_checks(arm))
            FS_TRY(fs_buf_printf(out, "arm.%s.metadata: %s\n", arm->name,
                                 arm->metadata ? "yes" : "no"));
    }
    return FS_OK;
}

/** The contents of files; where they lie changes nothing. */
static fs_status put_source(const fs_sweep *sweep, fs_buf *out)
{
    char key[FS_NAME_BYTES_MAX + 32];
    snprintf(key, sizeof key, "sweep.%s.%s", sweep->name, sweep->site->name);
    FS_TRY(put_hash(out, key, &sweep->source.file_hash, 1));
    if (sweep->source.map[0] == '\0') return FS_OK;
    snprintf(key, sizeof key, "sweep.%s.map", sweep->name);
    return put_hash(out, key, &sweep->source.map_hash, 1);
}

static fs_status put_site(const fs_sweep *sweep, fs_buf *out)
{
    if (sweep->site->from != FS_SITE_DRAWN) return put_source(sweep, out);
    FS_TRY(fs_buf_printf(out, "sweep.%s.%s:", sweep->name, sweep->site->name));
    for (unsigned i = 0; sweep->site->word(i) != NULL; i++)
        if (sweep->set >> i & 1) FS_TRY(fs_buf_printf(out, " %s", sweep->site->word(i)));
    if (sweep->finetunes) FS_TRY(fs_buf_printf(out, "\nsweep.%s.phase: finetune", sweep->name));
    if (sweep->finetunes || (sweep->site->lasts & FS_LASTS_ONCE) != 0)
        FS_TRY(fs_buf_printf(out, "\nsweep.%s.persistence: %s", sweep->name,
                             sweep->transient ? "transient" : "permanent"));
    FS_TRY(fs_buf_printf(out, "\nsweep.%s.layers:%s", sweep->name,
                         sweep->layer_count == 0 ? " all" : ""));
    for (size_t i = 0; i < sweep->layer_count; i++)
        FS_TRY(fs_buf_printf(out, " %d", sweep->layers[i]));
    FS_TRY(fs_buf_printf(out, "\nsweep.%s.by:%s", sweep->name, sweep->by == 0 ? " none" : ""));
    for (unsigned i = 0; i < FS_BY_COUNT; i++)
        if (sweep->by >> i & 1) FS_TRY(fs_buf_printf(out, " %s", fs_by_word(i)));
    return fs_buf_puts(out, "\n");
}

static fs_status put_drawn(const fs_sweep *sweep, fs_buf *out)
{
    char number[FS_NUMBER_BYTES], form[FS_FORM_TEXT_BYTES];
    FS_TRY(fs_buf_printf(out, "sweep.%s.%s:", sweep->name, fs_amount_name(sweep->amount_kind)));
    for (size_t i = 0; i < sweep->amount_count; i++) {
        fs_number_text(sweep->amounts[i], number);
        FS_TRY(fs_buf_printf(out, " %s", number));
    }
    FS_TRY(fs_buf_printf(out, "\nsweep.%s.kind:", sweep->name));
    for (size_t i = 0; i < sweep->kind_count; i++) {
        fs_form_kind_text(sweep->kinds[i], form);
        FS_TRY(fs_buf_printf(out, " %s", form));
    }
    /* Campaigns from before there were patterns have no such line. */
    int patterns = sweep->pattern_count > 1 || sweep->patterns[0].axis != FS_FORM_ELEMENT;
    if (patterns) FS_TRY(fs_buf_printf(out, "\nsweep.%s.pattern:", sweep->name));
    for (size_t i = 0; patterns && i < sweep->pattern_count; i++) {
        fs_form_pattern_text(sweep->patterns[i], form);
        FS_TRY(fs_buf_printf(out, " %s", form));
    }
    FS_TRY(fs_buf_printf(out, "\nsweep.%s.bits:", sweep->name));
    for (size_t i = 0; i < sweep->bits_count; i++)
        FS_TRY(fs_buf_printf(out, " %s", sweep->bits[i].name));
    return fs_buf_puts(out, "\n");
}

static fs_status put_axes(const fs_sweep *sweep, fs_buf *out)
{
    char number[FS_NUMBER_BYTES];
    if (sweep->site->from == FS_SITE_DRAWN) FS_TRY(put_drawn(sweep, out));
    FS_TRY(fs_buf_printf(out, "sweep.%s.guard:", sweep->name));
    for (size_t i = 0; i < sweep->guard_count; i++) {
        FS_TRY(fs_buf_puts(out, " "));
        FS_TRY(fs_guard_write(&sweep->guards[i], out));
    }
    FS_TRY(fs_buf_printf(out, "\nsweep.%s.trials: %" PRIu64 "\n", sweep->name, sweep->trials));
    if (sweep->stop.half_width == 0)
        return fs_buf_printf(out, "sweep.%s.stop: none\n", sweep->name);
    fs_number_text(sweep->stop.half_width, number);
    FS_TRY(fs_buf_printf(out, "sweep.%s.stop: half_width %s", sweep->name, number));
    fs_number_text(sweep->stop.confidence, number);
    return fs_buf_printf(out, " confidence %s\n", number);
}

static fs_status put_all(const fs_plan *plan, fs_buf *out)
{
    const fs_campaign *c = plan->campaign;
    char number[FS_NUMBER_BYTES];
    fs_hash geometry;
    FS_TRY(fs_buf_printf(out, "convention: %s\ncampaign: %s\nseed: %" PRIu64 "\n", FS_CONVENTION,
                         c->name, c->seed));
    FS_TRY(put_task(plan, out));
    fs__geometry_hash(&geometry, plan->models[0].geometry);
    FS_TRY(put_hash(out, "geometry", &geometry, 1));
    FS_TRY(put_arms(plan, out));
    FS_TRY(fs_buf_puts(out, "sweeps:"));
    for (size_t i = 0; i < c->sweep_count; i++)
        FS_TRY(fs_buf_printf(out, " %s", c->sweeps[i].name));
    FS_TRY(fs_buf_puts(out, "\n"));
    for (size_t i = 0; i < c->sweep_count; i++) {
        FS_TRY(put_site(&c->sweeps[i], out));
        FS_TRY(put_axes(&c->sweeps[i], out));
    }
    if (c->finetune.steps != 0) FS_TRY(fs__finetune_write(&c->finetune, "finetune.", out));
    int lm = c->task.kind == FS_TASK_LM;
    fs_number_text(lm ? c->critical.perplexity_ratio : c->critical.accuracy_drop, number);
    return fs_buf_printf(out, "critical.%s: %s\n", lm ? "perplexity_ratio" : "accuracy_drop",
                         number);
}

fs_status fs__plan_identify(fs_plan *self)
{
    fs_buf text = {0};
    fs_status status = put_all(self, &text);
    if (status != FS_OK) {
        fs_buf_free(&text);
        return status;
    }
    self->has_fingerprint = self->absent == NULL;
    if (self->has_fingerprint) fs_hash_bytes(&self->fingerprint, text.data, text.size);
    self->identity = (char *)text.data;
    return FS_OK;
}

static const char simulated_line[] = "simulated: yes\n";

fs_status fs_plan_mark_simulated(fs_plan *self)
{
    fs_buf text = {0};
    fs_status status = fs_buf_printf(&text, "%s%s", self->identity, simulated_line);
    if (status != FS_OK) {
        fs_buf_free(&text);
        return status;
    }
    free(self->identity);
    self->identity = (char *)text.data;
    self->has_fingerprint = 1;
    fs_hash_bytes(&self->fingerprint, text.data, text.size);
    return FS_OK;
}

int fs_identity_simulated(const char *identity)
{
    size_t size = strlen(identity), line = sizeof simulated_line - 1;
    return size >= line && strcmp(identity + size - line, simulated_line) == 0;
}

/* --- Comparison ------------------------------------------------------------------------------- */

/** A line "key: value" inside a longer text; size 0 past the end. */
typedef struct line {
    const char *text;
    size_t size;
    size_t key_size;
} line;

static line line_at(const char *text)
{
    line l = {.text = text, .size = strcspn(text, "\n")};
    const char *colon = l.size == 0 ? NULL : memchr(text, ':', l.size);
    l.key_size = colon == NULL ? l.size : (size_t)(colon - text);
    return l;
}

static const char *next_line(line l)
{
    return l.text + l.size + (l.text[l.size] == '\n');
}

static line find_key(const char *text, line wanted)
{
    line l = line_at(text);
    while (l.size > 0 &&
           (l.key_size != wanted.key_size || memcmp(l.text, wanted.text, wanted.key_size) != 0))
        l = line_at(next_line(l));
    return l;
}

/** "key: A, was B"; a line of size 0 is one that the text does not have. */
static fs_status put_difference(line now, line before, fs_buf *out)
{
    line key = now.size > 0 ? now : before;
    FS_TRY(fs_buf_append(out, key.text, key.key_size));
    line sides[2] = {now, before};
    for (int i = 0; i < 2; i++) {
        line l = sides[i];
        size_t skip = l.key_size + 1;
        while (skip < l.size && l.text[skip] == ' ') skip++;
        FS_TRY(fs_buf_puts(out, i == 0 ? ": " : ", was "));
        if (l.size <= skip)
            FS_TRY(fs_buf_puts(out, l.size == 0 ? "absent" : "nothing"));
        else
            FS_TRY(fs_buf_append(out, l.text + skip, l.size - skip));
    }
    return FS_OK;
}

fs_status fs_identity_difference(const char *now, const char *before, fs_buf *out)
{
    line a = line_at(now), b = line_at(before);
    while (a.size > 0 && a.size == b.size && memcmp(a.text, b.text, a.size) == 0) {
        a = line_at(next_line(a));
        b = line_at(next_line(b));
    }
    if (a.size == 0 && b.size == 0) return FS_OK;
    /* A line may have been added or removed, or its value changed. */
    if (a.size > 0) {
        line was = find_key(before, a);
        if (was.size == 0 || was.size != a.size || memcmp(was.text, a.text, a.size) != 0)
            return put_difference(a, was, out);
    }
    if (b.size > 0) return put_difference(find_key(now, b), b, out);
    return put_difference(a, b, out);
}
