/* The effective campaign: every default written out. */
#include <inttypes.h>
#include <string.h>

#include "campaign_read.h"
#include "number.h"

/** A double-quoted scalar. Paths hold no control characters, but a few printable-looking characters
 * end a line or are not allowed in YAML unless escaped. */
static fs_status write_quoted(fs_buf *out, const char *text)
{
    static const struct {
        const char *raw, *escaped;
    } escapes[] = {
        {"\"", "\\\""},
        {"\\", "\\\\"},
        {"\xe2\x80\xa8", "\\L"},
        {"\xe2\x80\xa9", "\\P"},
        {"\xef\xbb\xbf", "\\uFEFF"},
        {"\xef\xbf\xbe", "\\uFFFE"},
        {"\xef\xbf\xbf", "\\uFFFF"},
    };
    FS_TRY(fs_buf_puts(out, "\""));
    for (const char *p = text; *p != '\0';) {
        const unsigned char *u = (const unsigned char *)p;
        size_t i = 0, count = sizeof escapes / sizeof escapes[0];
        while (i < count && strncmp(p, escapes[i].raw, strlen(escapes[i].raw)) != 0) i++;
        if (i < count) {
            FS_TRY(fs_buf_puts(out, escapes[i].escaped));
            p += strlen(escapes[i].raw);
        } else if (u[0] == 0xc2 && u[1] < 0xa0) { /* C1 controls */
            FS_TRY(fs_buf_printf(out, "\\x%02X", u[1]));
            p += 2;
        } else {
            FS_TRY(fs_buf_append(out, p, 1));
            p++;
        }
    }
    return fs_buf_puts(out, "\"");
}

static fs_status write_u32_or(fs_buf *out, const char *key, uint64_t value, const char *word)
{
    if (value == 0) return fs_buf_printf(out, "  %s: %s\n", key, word);
    return fs_buf_printf(out, "  %s: %" PRIu64 "\n", key, value);
}

static fs_status write_task(const fs_task *task, fs_buf *out)
{
    int lm = task->kind == FS_TASK_LM;
    FS_TRY(fs_buf_printf(out,
                         "task:\n  kind: %s\n  model: ", lm ? "language-model" : "classification"));
    FS_TRY(write_quoted(out, task->model));
    FS_TRY(fs_buf_puts(out, "\n  data: "));
    FS_TRY(write_quoted(out, task->data));
    FS_TRY(fs_buf_puts(out, "\n"));
    FS_TRY(write_u32_or(out, "examples", task->examples, "all"));
    if (!lm) return FS_OK;
    FS_TRY(write_u32_or(out, "window", task->window, "positions"));
    FS_TRY(write_u32_or(out, "stride", task->stride, "window"));
    return fs_buf_printf(out, "  recipe: %s\n", fs_recipe_name(task->recipe));
}

static fs_status write_arm(const fs_arm *arm, fs_buf *out)
{
    FS_TRY(fs_buf_printf(out, "  - name: %s\n    model: ", arm->name));
    FS_TRY(write_quoted(out, arm->model));
    if (arm->dtype != FS_FORMAT_FP32)
        FS_TRY(fs_buf_printf(out, "\n    dtype: %s", fs_format_of(arm->dtype)->name));
    FS_TRY(fs_buf_puts(out, "\n    protect: ["));
    for (unsigned i = 0; i < arm->protect_count; i++)
        FS_TRY(fs_buf_printf(out, "%s%s", i == 0 ? "" : ", ", arm->protect[i]));
    FS_TRY(fs_buf_puts(out, "]\n"));
    if (!fs_arm_has_checks(arm)) return FS_OK;
    return fs_buf_printf(out, "    metadata: %s\n", arm->metadata ? "true" : "false");
}

/** The file of a sweep, and what it was. */
static fs_status write_source(const fs_sweep *sweep, fs_buf *out)
{
    const fs_fault_source *source = &sweep->source;
    char hex[FS_HASH_HEX_BYTES];
    FS_TRY(fs_buf_printf(out, "    site:\n      %s: ", sweep->site->name));
    FS_TRY(write_quoted(out, source->file));
    fs_hash_hex(&source->file_hash, hex);
    FS_TRY(fs_buf_printf(out, "\n      hash: %s\n", hex));
    if (source->map[0] != '\0') {
        FS_TRY(fs_buf_puts(out, "      map: "));
        FS_TRY(write_quoted(out, source->map));
        fs_hash_hex(&source->map_hash, hex);
        FS_TRY(fs_buf_printf(out, "\n      map_hash: %s\n", hex));
    }
    return fs_buf_printf(out, "      faults: %" PRIu64 "\n      groups: %" PRIu64 "\n",
                         source->faults, source->trials);
}

static fs_status write_site(const fs_sweep *sweep, fs_buf *out)
{
    if (sweep->site->from != FS_SITE_DRAWN) return write_source(sweep, out);
    FS_TRY(fs_buf_printf(out, "    site: {%s: ", sweep->site->name));
    FS_TRY(fs_site_write(sweep->site, sweep->set, out));
    FS_TRY(fs_buf_puts(out, sweep->layer_count == 0 ? ", layers: all" : ", layers: ["));
    for (size_t i = 0; i < sweep->layer_count; i++)
        FS_TRY(fs_buf_printf(out, "%s%d", i == 0 ? "" : ", ", sweep->layers[i]));
    FS_TRY(fs_buf_puts(out, sweep->layer_count == 0 ? ", by: " : "], by: "));
    FS_TRY(fs__by_write(sweep->by, out));
    return fs_buf_puts(out, "}\n");
}

fs_status fs_guard_write(const fs_guard *guard, fs_buf *out)
{
    char text[FS_NUMBER_BYTES];
    switch (guard->kind) {
    case FS_GUARD_NONE:
        return fs_buf_puts(out, "none");
    case FS_GUARD_NONFINITE_ZERO:
        return fs_buf_puts(out, "nonfinite-zero");
    case FS_GUARD_THRESHOLD:
        break;
    }
    fs_number_text_float(guard->threshold, text);
    return fs_buf_printf(out, "threshold:%s", text);
}

/** A word or a number as it is, a set of bits as a list in the list. */
static fs_status write_bits_choice(const fs_bits_choice *choice, fs_buf *out)
{
    int is_set = strpbrk(choice->name, "+-") != NULL;
    if (!is_set) return fs_buf_puts(out, choice->name);
    const char *separator = "[";
    for (unsigned i = 0; i < 32; i++) {
        if (!(choice->bits >> i & 1)) continue;
        FS_TRY(fs_buf_printf(out, "%s%u", separator, i));
        separator = ", ";
    }
    return fs_buf_puts(out, "]");
}

/** The axes of what is drawn. */
static fs_status write_drawn(const fs_sweep *sweep, fs_buf *out)
{
    char number[FS_NUMBER_BYTES];
    FS_TRY(fs_buf_printf(out, "    amount: {%s: [", fs_amount_name(sweep->amount_kind)));
    for (size_t i = 0; i < sweep->amount_count; i++) {
        fs_number_text(sweep->amounts[i], number);
        FS_TRY(fs_buf_printf(out, "%s%s", i == 0 ? "" : ", ", number));
    }
    FS_TRY(fs_buf_puts(out, "]}\n    kind: ["));
    for (size_t i = 0; i < sweep->kind_count; i++) {
        if (i > 0) FS_TRY(fs_buf_puts(out, ", "));
        FS_TRY(fs__kind_write(sweep->kinds[i], out));
    }
    FS_TRY(fs_buf_puts(out, "]\n    pattern: ["));
    for (size_t i = 0; i < sweep->pattern_count; i++) {
        if (i > 0) FS_TRY(fs_buf_puts(out, ", "));
        FS_TRY(fs__pattern_write(sweep->patterns[i], out));
    }
    FS_TRY(fs_buf_puts(out, "]\n    bits: ["));
    for (size_t i = 0; i < sweep->bits_count; i++) {
        if (i > 0) FS_TRY(fs_buf_puts(out, ", "));
        FS_TRY(write_bits_choice(&sweep->bits[i], out));
    }
    return fs_buf_puts(out, "]\n");
}

static fs_status write_guards(const fs_sweep *sweep, fs_buf *out)
{
    char number[FS_NUMBER_BYTES];
    FS_TRY(fs_buf_puts(out, "    guard: ["));
    for (size_t i = 0; i < sweep->guard_count; i++) {
        if (i > 0) FS_TRY(fs_buf_puts(out, ", "));
        if (sweep->guards[i].kind != FS_GUARD_THRESHOLD) {
            FS_TRY(fs_guard_write(&sweep->guards[i], out));
            continue;
        }
        fs_number_text_float(sweep->guards[i].threshold, number);
        FS_TRY(fs_buf_printf(out, "{threshold: %s}", number));
    }
    return fs_buf_puts(out, "]\n");
}

static fs_status write_sweep(const fs_sweep *sweep, fs_buf *out)
{
    char half_width[FS_NUMBER_BYTES], confidence[FS_NUMBER_BYTES];
    FS_TRY(fs_buf_printf(out, "  - name: %s\n", sweep->name));
    FS_TRY(write_site(sweep, out));
    if (sweep->finetunes) FS_TRY(fs_buf_puts(out, "    phase: finetune\n"));
    if (sweep->finetunes || (sweep->site->lasts & FS_LASTS_ONCE) != 0)
        FS_TRY(fs_buf_printf(out, "    persistence: %s\n",
                             sweep->transient ? "transient" : "permanent"));
    if (sweep->site->from == FS_SITE_DRAWN) FS_TRY(write_drawn(sweep, out));
    FS_TRY(write_guards(sweep, out));
    if (sweep->stop.half_width == 0)
        return fs_buf_printf(out, "    trials: %" PRIu64 "\n", sweep->trials);
    fs_number_text(sweep->stop.half_width, half_width);
    fs_number_text(sweep->stop.confidence, confidence);
    return fs_buf_printf(out, "    stop: {half_width: %s, confidence: %s, at_most: %" PRIu64 "}\n",
                         half_width, confidence, sweep->stop.at_most);
}

static fs_status write_finetune(const fs_finetune *self, fs_buf *out)
{
    FS_TRY(fs_buf_puts(out, "finetune:\n  data: "));
    FS_TRY(write_quoted(out, self->data));
    FS_TRY(fs_buf_puts(out, "\n"));
    FS_TRY(fs__finetune_write(self, "  ", out));
    FS_TRY(fs_buf_printf(out, "  keep: %s\n", fs_tune_keep_name(self->keep)));
    return write_u32_or(out, "checkpoint_steps", self->checkpoint_steps, "none");
}

fs_status fs_campaign_write(const fs_campaign *self, fs_buf *out)
{
    char number[FS_NUMBER_BYTES];
    FS_TRY(fs_buf_printf(out, "campaign: %s\nseed: %" PRIu64 "\n", self->name, self->seed));
    FS_TRY(write_task(&self->task, out));
    FS_TRY(fs_buf_puts(out, "arms:\n"));
    for (size_t i = 0; i < self->arm_count; i++) FS_TRY(write_arm(&self->arms[i], out));
    FS_TRY(fs_buf_puts(out, "sweep:\n"));
    for (size_t i = 0; i < self->sweep_count; i++) FS_TRY(write_sweep(&self->sweeps[i], out));
    if (self->finetune.steps != 0) FS_TRY(write_finetune(&self->finetune, out));
    int lm = self->task.kind == FS_TASK_LM;
    fs_number_text(lm ? self->critical.perplexity_ratio : self->critical.accuracy_drop, number);
    return fs_buf_printf(out, "critical: {%s: %s}\n", lm ? "perplexity_ratio" : "accuracy_drop",
                         number);
}
