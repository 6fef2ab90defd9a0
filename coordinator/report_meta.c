#include "report_meta.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli_print.h"
#include "number.h"
#include "report_groups.h"
#include "report_health.h"
#include "report_place.h"
#include "summary_arms.h"

static json_t *hash_json(int known, const fs_hash *hash)
{
    char hex[FS_HASH_HEX_BYTES];
    if (!known) return json_null();
    fs_hash_hex(hash, hex);
    return json_string(hex);
}

/* 64-bit numbers are texts: script has only 53 bits. */
static json_t *u64_json(uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return json_string(text);
}

static json_t *task_json(const fs_plan *plan)
{
    const fs_task *task = &plan->campaign->task;
    int lm = task->kind == FS_TASK_LM;
    return json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:I, s:s}", "kind",
                     lm ? "language-model" : "classification", "metric",
                     lm ? "perplexity" : "accuracy", "data", report_json_text(task->data),
                     "data_hash", hash_json(plan->has_fingerprint, &plan->data_hash), "examples",
                     (json_int_t)task->examples, "window", (json_int_t)task->window, "stride",
                     (json_int_t)task->stride, "recipe", fs_recipe_name(task->recipe));
}

static json_t *models_json(const fs_plan *plan)
{
    json_t *out = json_array();
    for (size_t i = 0; i < plan->model_count; i++) {
        const fs_plan_model *model = &plan->models[i];
        const fs_config *config = &model->geometry->config;
        json_array_append_new(out,
                              json_pack("{s:o, s:o, s:s, s:o, s:I}", "path",
                                        report_json_text(model->path != NULL ? model->path : ""),
                                        "hash", hash_json(model->has_weights, &model->hash), "type",
                                        config->kind == FS_MODEL_BERT ? "bert" : "gpt2", "values",
                                        u64_json(model->geometry->values), "layers",
                                        (json_int_t)config->layers));
    }
    return out;
}

static const fs_variant *variant_of_arm(const fs_plan *plan, uint32_t arm)
{
    for (size_t i = 0; i < plan->cell_count; i++) {
        if (plan->cells[i].arm == arm) return &plan->variants[plan->cells[i].variant];
    }
    return NULL;
}

static json_t *arms_json(const fs_plan *plan)
{
    json_t *out = json_array();
    for (uint32_t a = 0; a < plan->campaign->arm_count; a++) {
        const fs_arm *arm = &plan->campaign->arms[a];
        const fs_variant *variant = variant_of_arm(plan, a);
        json_t *protect = json_array();
        for (unsigned i = 0; i < arm->protect_count; i++) {
            json_array_append_new(protect, report_json_text(arm->protect[i]));
        }
        json_array_append_new(
            out, json_pack("{s:o, s:I, s:s, s:I, s:o, s:f}", "name", report_json_text(arm->name),
                           "model", (json_int_t)(variant != NULL ? variant->model : 0), "dtype",
                           fs_format_of(arm->dtype)->name, "base",
                           (json_int_t)report_base_of(plan->campaign, a), "protect", protect,
                           "bits_per_value",
                           variant != NULL ? fs_protect_bits_per_value(&variant->protect) : 0.0));
    }
    return out;
}

static json_t *guard_json(const fs_guard *guard)
{
    fs_buf text = {0};
    json_t *out = fs_guard_write(guard, &text) == FS_OK ? json_string(fs_buf_text(&text)) : NULL;
    fs_buf_free(&text);
    return out;
}

static json_t *golden_json(const fs_store_golden *golden)
{
    return json_pack("{s:o, s:o, s:I, s:o, s:o}", "metric", cli_json_real(golden->metric), "loss",
                     cli_json_real(golden->loss), "answers", (json_int_t)golden->answers, "kernel",
                     report_json_text(golden->kernel), "host", report_json_text(golden->host));
}

static fs_status variants_json(json_t **out, fs_store *store, const fs_plan *plan)
{
    *out = json_array();
    for (uint32_t i = 0; i < plan->variant_count; i++) {
        const fs_variant *variant = &plan->variants[i];
        fs_store_golden golden;
        fs_status status = fs_store_get_golden(store, i, &golden);
        if (status != FS_OK && status != FS_ENOENT) return status;
        json_array_append_new(
            *out, json_pack("{s:I, s:I, s:o, s:o}", "model", (json_int_t)variant->model, "arm",
                            (json_int_t)variant->arm, "guard", guard_json(&variant->protect.guard),
                            "golden", status == FS_OK ? golden_json(&golden) : json_null()));
    }
    return FS_OK;
}

static json_t *axis_json(const fs_sweep *sweep)
{
    json_t *amounts = json_array(), *bits = json_array(), *guards = json_array();
    json_t *kinds = json_array(), *patterns = json_array(), *by = json_array();
    char form[FS_FORM_TEXT_BYTES];
    for (size_t i = 0; i < sweep->amount_count; i++)
        json_array_append_new(amounts, json_real(sweep->amounts[i]));
    for (size_t i = 0; i < sweep->bits_count; i++)
        json_array_append_new(bits, report_json_text(sweep->bits[i].name));
    for (size_t i = 0; i < sweep->guard_count; i++)
        json_array_append_new(guards, guard_json(&sweep->guards[i]));
    for (size_t i = 0; i < sweep->kind_count; i++) {
        fs_form_kind_text(sweep->kinds[i], form);
        json_array_append_new(kinds, json_string(form));
    }
    for (size_t i = 0; i < sweep->pattern_count; i++) {
        fs_form_pattern_text(sweep->patterns[i], form);
        json_array_append_new(patterns, json_string(form));
    }
    for (unsigned i = 0; i < FS_BY_COUNT; i++)
        if (sweep->by >> i & 1) json_array_append_new(by, json_string(fs_by_word(i)));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "amounts", amounts, "bits", bits, "guards",
                     guards, "kinds", kinds, "patterns", patterns, "by", by);
}

static json_t *stop_json(const fs_stop *stop)
{
    if (!(stop->half_width > 0)) return json_null();
    return json_pack("{s:f, s:f, s:I}", "half_width", stop->half_width, "confidence",
                     stop->confidence, "at_most", (json_int_t)stop->at_most);
}

static fs_status sweeps_json(json_t **out, const fs_plan *plan)
{
    fs_buf sites = {0};
    fs_status status = FS_OK;
    *out = json_array();
    for (uint32_t i = 0; i < plan->campaign->sweep_count && status == FS_OK; i++) {
        const fs_sweep *sweep = &plan->campaign->sweeps[i];
        fs_buf_clear(&sites);
        status = report_place_sweep(&sites, plan, i);
        json_t *one = axis_json(sweep);
        json_object_set_new(one, "name", report_json_text(sweep->name));
        json_object_set_new(one, "amount_kind", json_string(fs_amount_name(sweep->amount_kind)));
        json_object_set_new(one, "sites", report_json_text(fs_buf_text(&sites)));
        json_object_set_new(one, "trials", json_integer((json_int_t)sweep->trials));
        json_object_set_new(one, "stop", stop_json(&sweep->stop));
        json_array_append_new(*out, one);
    }
    fs_buf_free(&sites);
    return status;
}

static json_t *progress_json(const summary *s)
{
    return json_pack("{s:I, s:I, s:b, s:I, s:I, s:I, s:I}", "planned",
                     (json_int_t)s->trials_planned, "done", (json_int_t)s->trials_done, "complete",
                     s->complete, "duplicates", (json_int_t)s->duplicates, "mismatches",
                     (json_int_t)s->mismatches, "quarantined", (json_int_t)s->quarantined,
                     "retries", (json_int_t)s->retries);
}

static json_t *outcomes_json(void)
{
    json_t *out = json_array();
    for (int i = 0; i < FS_OUTCOME_COUNT; i++)
        json_array_append_new(out, json_string(fs_outcome_name((fs_outcome)i)));
    return out;
}

/* The parts that need no store. */
static json_t *plain_json(const summary *s, const report_sample *sample, const char *dir)
{
    const fs_plan *plan = s->plan;
    const fs_campaign *campaign = plan->campaign;
    json_t *names = json_pack("{s:o, s:o, s:o}", "name", report_json_text(campaign->name), "seed",
                              u64_json(campaign->seed), "fingerprint",
                              hash_json(plan->has_fingerprint, &plan->fingerprint));
    json_t *critical = json_pack("{s:f, s:f}", "accuracy_drop", campaign->critical.accuracy_drop,
                                 "perplexity_ratio", campaign->critical.perplexity_ratio);
    json_t *sampled = json_pack("{s:I, s:I}", "kept", (json_int_t)sample->kept, "total",
                                (json_int_t)sample->total);
    return json_pack("{s:i, s:s, s:s, s:o, s:o, s:o, s:o, s:i, s:I, s:I, s:o, s:o, s:o, s:o, s:o}",
                     "schema", REPORT_SCHEMA, "version", FS_VERSION, "convention", FS_CONVENTION,
                     "store", report_json_text(dir), "campaign", names, "task", task_json(plan),
                     "critical", critical, "confidence", SUMMARY_CONFIDENCE_PERCENT, "base_arm",
                     (json_int_t)report_base_arm(campaign), "layers",
                     (json_int_t)plan->models[0].geometry->config.layers, "models",
                     models_json(plan), "arms", arms_json(plan), "progress", progress_json(s),
                     "outcomes", outcomes_json(), "sampled", sampled);
}

static fs_status add_arm_rows(json_t *root, fs_store *store, const summary *s)
{
    summary_arms *arms = NULL;
    FS_TRY(summary_arms_new(&arms, store, s));
    const int failed = json_object_set_new(root, "arm_rows", summary_arms_json(arms)) != 0;
    summary_arms_destroy(&arms);
    return failed ? fs_fail(FS_ENOMEM, "no memory for the report's meta data") : FS_OK;
}

static fs_status add_stored(json_t *root, fs_store *store, const fs_plan *plan)
{
    json_t *part = NULL;
    fs_buf campaign = {0}, identity = {0};
    fs_status status = variants_json(&part, store, plan);
    json_object_set_new(root, "variants", part);
    if (status == FS_OK) status = sweeps_json(&part, plan);
    if (status == FS_OK) json_object_set_new(root, "sweeps", part);
    if (status == FS_OK) status = report_health_new(&part, store, plan);
    if (status == FS_OK) json_object_set_new(root, "health", part);
    if (status == FS_OK) status = fs_store_campaign(store, &campaign);
    if (status == FS_OK) status = fs_store_identity(store, &identity);
    if (status == FS_OK) {
        json_object_set_new(root, "campaign_text", report_json_text(fs_buf_text(&campaign)));
        json_object_set_new(root, "identity", report_json_text(fs_buf_text(&identity)));
    }
    fs_buf_free(&campaign);
    fs_buf_free(&identity);
    return status;
}

/* `<`, `>` and `&` stand only inside of strings, so they can be escaped in the finished text; what
 * is not ASCII the encoder has escaped. */
static fs_status append_escaped(fs_buf *out, const char *text)
{
    for (const char *at = text; *at != '\0';) {
        size_t plain = strcspn(at, "<>&\x7f");
        FS_TRY(fs_buf_append(out, at, plain));
        at += plain;
        if (*at != '\0') FS_TRY(fs_buf_printf(out, "\\u%04x", (unsigned char)*at++));
    }
    return FS_OK;
}

fs_status report_meta_write(fs_buf *out, fs_store *store, const summary *s,
                            const report_sample *sample, const char *dir)
{
    json_t *root = plain_json(s, sample, dir);
    if (root == NULL) return fs_fail(FS_ENOMEM, "no memory for the report's meta data");
    fs_status status = add_stored(root, store, s->plan);
    if (status == FS_OK) status = add_arm_rows(root, store, s);
    char *text = NULL;
    if (status == FS_OK) {
        text = json_dumps(root, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15));
        if (text == NULL) status = fs_fail(FS_ENOMEM, "no memory for the report's meta data");
    }
    if (status == FS_OK) status = append_escaped(out, text);
    free(text);
    json_decref(root);
    return status;
}
