#include "summary_arms.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli_print.h"
#include "report_health.h"

static const fs_protect *protect_of(const summary_arms *self, const summary_arm *row)
{
    return &self->summary->plan->variants[row->variant].protect;
}

static summary_arm *row_of(summary_arms *self, const fs_cell *cell)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->items[i].arm == cell->arm && self->items[i].variant == cell->variant)
            return &self->items[i];
    summary_arm *row = &self->items[self->count++];
    *row = (summary_arm){.arm = cell->arm, .variant = cell->variant, .reference = -1};
    return row;
}

static void add_cell(summary_arm *row, const summary_cell *cell)
{
    const fs_totals *t = &cell->totals;
    row->cells++;
    row->trials += t->trials;
    row->faults += t->faults;
    row->check_faults += t->check_faults;
    row->corrected += t->corrected;
    row->detected += t->detected;
    row->miscorrected += t->miscorrected;
}

static int same_guard(const fs_guard *a, const fs_guard *b)
{
    return a->kind == b->kind && (a->kind != FS_GUARD_THRESHOLD || a->threshold == b->threshold);
}

/* The first row without protection of the same model and guard, in the wanted format. */
static int64_t find_plain(const summary_arms *self, const summary_arm *row, fs_format_kind format)
{
    const fs_variant *variants = self->summary->plan->variants;
    for (size_t i = 0; i < self->count; i++) {
        const fs_protect *other = protect_of(self, &self->items[i]);
        if (other->codec_count == 0 && other->format == format &&
            same_guard(&other->guard, &protect_of(self, row)->guard) &&
            variants[self->items[i].variant].model == variants[row->variant].model &&
            variants[self->items[i].variant].tuned == variants[row->variant].tuned)
            return (int64_t)i;
    }
    return -1;
}

static void compare(const summary_arms *self, summary_arm *row)
{
    const fs_protect *protect = protect_of(self, row);
    row->metric_change = row->loss_change = (double)NAN;
    if (protect->codec_count > 0) row->reference = find_plain(self, row, protect->format);
    if (row->reference < 0 && (protect->codec_count > 0 || protect->format != FS_FORMAT_FP32))
        row->reference = find_plain(self, row, FS_FORMAT_FP32);
    if (row->reference < 0) return;
    const summary_arm *base = &self->items[row->reference];
    if (!row->has_golden || !base->has_golden) return;
    row->metric_change = row->golden.metric - base->golden.metric;
    row->loss_change = row->golden.loss - base->golden.loss;
}

static fs_status fill(summary_arms *self, fs_store *store)
{
    const fs_plan *plan = self->summary->plan;
    for (size_t i = 0; i < plan->cell_count; i++)
        add_cell(row_of(self, &plan->cells[i]), &self->summary->cells[i]);
    for (size_t i = 0; i < self->count; i++) {
        summary_arm *row = &self->items[i];
        const fs_protect *protect = protect_of(self, row);
        const fs_geometry *geometry = plan->models[plan->variants[row->variant].model].geometry;
        row->redundant_bits = fs_check_bits_per_value(geometry, protect);
        row->bits_per_value = fs_protect_format(protect)->bits + row->redundant_bits;
        fs_status status = fs_store_get_golden(store, row->variant, &row->golden);
        if (status != FS_OK && status != FS_ENOENT) return status;
        row->has_golden = status == FS_OK;
    }
    for (size_t i = 0; i < self->count; i++) compare(self, &self->items[i]);
    return FS_OK;
}

fs_status summary_arms_new(summary_arms **out, fs_store *store, const summary *s)
{
    *out = NULL;
    summary_arms *self = calloc(1, sizeof *self);
    if (self != NULL) self->items = calloc(s->plan->cell_count + 1, sizeof *self->items);
    if (self == NULL || self->items == NULL) {
        summary_arms_destroy(&self);
        return fs_fail(FS_ENOMEM, "no memory for the arms of %zu cells", s->plan->cell_count);
    }
    self->summary = s;
    fs_status status = fill(self, store);
    if (status != FS_OK) summary_arms_destroy(&self);
    *out = self;
    return status;
}

void summary_arms_destroy(summary_arms **self)
{
    if (*self == NULL) return;
    free((*self)->items);
    free(*self);
    *self = NULL;
}

static json_t *guard_text(const fs_guard *guard)
{
    fs_buf text = {0};
    json_t *out = fs_guard_write(guard, &text) == FS_OK ? json_string(fs_buf_text(&text)) : NULL;
    fs_buf_free(&text);
    return out;
}

static json_t *count_if(int known, uint64_t value)
{
    return known ? json_integer((json_int_t)value) : json_null();
}

static json_t *hex_if(int known, uint64_t value)
{
    char text[17];
    if (!known) return json_null();
    snprintf(text, sizeof text, "%016" PRIx64, value);
    return json_string(text);
}

static json_t *golden_json(const summary_arm *row)
{
    const fs_store_golden *g = &row->golden;
    const int known = row->has_golden, facts = known && g->has_facts;
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "altered", count_if(known, g->altered),
        "golden_finite", known ? json_boolean(fs_store_golden_finite(g)) : json_null(),
        "metric_golden", cli_json_real(known ? g->metric : (double)NAN), "loss_golden",
        cli_json_real(known ? g->loss : (double)NAN), "golden_checksum", hex_if(known, g->checksum),
        "token_rows_read", count_if(facts, g->token_rows_read), "positions_read",
        count_if(facts, g->positions_read), "bounds_checksum",
        hex_if(facts && g->bounds_checksum != 0, g->bounds_checksum));
}

static json_t *counts_json(const summary_arm *row)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "cells", (json_int_t)row->cells,
                     "trials", (json_int_t)row->trials, "faults", (json_int_t)row->faults,
                     "check_faults", (json_int_t)row->check_faults, "corrected",
                     (json_int_t)row->corrected, "detected", (json_int_t)row->detected,
                     "miscorrected", (json_int_t)row->miscorrected);
}

static json_t *compared_json(const summary_arms *self, const summary_arm *row)
{
    const summary_arm *base = row->reference < 0 ? NULL : &self->items[row->reference];
    return json_pack(
        "{s:o, s:o, s:o, s:o}", "compared_with",
        base == NULL ? json_null()
                     : report_json_text(self->summary->plan->campaign->arms[base->arm].name),
        "compared_dtype",
        base == NULL ? json_null() : json_string(fs_protect_format(protect_of(self, base))->name),
        "metric_change", cli_json_real(row->metric_change), "loss_change",
        cli_json_real(row->loss_change));
}

static json_t *row_json(const summary_arms *self, const summary_arm *row)
{
    const fs_plan *plan = self->summary->plan;
    const fs_protect *protect = protect_of(self, row);
    const fs_plan_model *model = &plan->models[plan->variants[row->variant].model];
    json_t *codecs = json_array();
    for (unsigned i = 0; i < protect->codec_count; i++)
        json_array_append_new(codecs, json_string(protect->codecs[i]->name));
    json_t *out = json_pack(
        "{s:o, s:o, s:o, s:o, s:s, s:b, s:I, s:f, s:f}", "arm",
        report_json_text(plan->campaign->arms[row->arm].name), "model",
        report_json_text(model->path != NULL ? model->path : ""), "protect", codecs, "guard",
        guard_text(&protect->guard), "dtype", fs_protect_format(protect)->name, "tuned",
        plan->variants[row->variant].tuned, "values", (json_int_t)model->geometry->values,
        "bits_per_value", row->bits_per_value, "redundant_bits_per_value", row->redundant_bits);
    json_t *parts[] = {golden_json(row), compared_json(self, row), counts_json(row)};
    int failed = out == NULL;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (failed || json_object_update(out, parts[i]) != 0) failed = 1;
        json_decref(parts[i]);
    }
    if (!failed) return out;
    json_decref(out);
    return NULL;
}

json_t *summary_arms_json(const summary_arms *self)
{
    json_t *out = json_array();
    for (size_t i = 0; i < self->count; i++) {
        if (json_array_append_new(out, row_json(self, &self->items[i])) == 0) continue;
        json_decref(out);
        return NULL;
    }
    return out;
}
