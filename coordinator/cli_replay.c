#include "cli.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_print.h"
#include "coord_campaign.h"
#include "file.h"
#include "limits.h"
#include "replay.h"

typedef struct replay_values {
    int json;
    int brute_force;
    uint32_t threads;
    const char *faults;
} replay_values;

static const fs_option replay_option_table[] = {
    {"json", 0, NULL, FS_OPTION_FLAG, offsetof(replay_values, json), "print one JSON document", 0,
     0},
    {"threads", 't', "N", FS_OPTION_U32, offsetof(replay_values, threads),
     "compute threads (default: one per core)", 1, FS_THREADS_MAX},
    {"brute-force", 0, NULL, FS_OPTION_FLAG, offsetof(replay_values, brute_force),
     "run the whole forward pass for every input; must give the same", 0, 0},
    {"faults", 0, "FILE", FS_OPTION_TEXT, offsetof(replay_values, faults),
     "write all faults of the one TRIAL to FILE, a list that a campaign can take", 0, 0},
    {0},
};

/* What the visitor prints to. */
typedef struct printer {
    const fs_plan *plan;
    const char *work;  /* folder where tuned models lie */
    json_t *documents; /* NULL: text */
    size_t unequal;
} printer;

static const fs_geometry *geometry_of(const printer *self, uint32_t cell)
{
    uint32_t variant = self->plan->cells[cell].variant;
    return self->plan->models[self->plan->variants[variant].model].geometry;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A fault's indices within its tensor or place. @return how many there are. */
static unsigned index_of(const fs_geometry *geometry, const fs_trial_record *record,
                         const fs_fault_record *fault, uint64_t out[3])
{
    if (record->activations)
        return fs_stage_index(&geometry->config, fs_place_stage(fault->place), fault->element, out);
    const fs_tensor *tensor = &geometry->tensors[fault->tensor];
    unsigned count = 0;
    if (tensor->rank == 2) out[count++] = fault->element / tensor->cols;
    out[count++] = fault->element % tensor->cols;
    return count;
}

/* "tensor" of a parameter, with "array" and "step", from 1, of one of fine-tuning; "stage", "layer"
 * (null: of none) and "input" of an activation. */
static json_t *place_json(const fs_geometry *geometry, const fs_trial_record *record,
                          const fs_fault_record *fault)
{
    if (record->tuned)
        return json_pack("{s:s, s:s, s:I}", "tensor", geometry->tensors[fault->tensor].name,
                         "array", fs_tune_array_name((fs_tune_array)fault->place), "step",
                         (json_int_t)fault->step + 1);
    if (!record->activations)
        return json_pack("{s:s}", "tensor", geometry->tensors[fault->tensor].name);
    int layer = fs_place_layer(fault->place);
    return json_pack("{s:s, s:o, s:I}", "stage", fs_stage_name(fs_place_stage(fault->place)),
                     "layer", layer < 0 ? json_null() : json_integer(layer), "input",
                     (json_int_t)fault->input);
}

static json_t *fault_json(const fs_geometry *geometry, const fs_trial_record *record,
                          const fs_fault_record *fault)
{
    uint64_t at[3];
    unsigned count = index_of(geometry, record, fault, at);
    json_t *index = json_array(), *out = place_json(geometry, record, fault);
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(index, json_integer((json_int_t)at[i]));
    json_t *rest =
        json_pack("{s:o, s:i, s:s, s:I, s:I, s:I, s:I, s:o, s:o}", "index", index, "bit",
                  (int)fault->bit, "kind", fs_fault_kind_name((fs_fault_kind)fault->kind), "before",
                  (json_int_t)fault->before, "after", (json_int_t)fault->after, "read_before",
                  (json_int_t)fault->value_before, "read_after", (json_int_t)fault->value_after,
                  "value_before", cli_json_real(float_of(fault->value_before)), "value_after",
                  cli_json_real(float_of(fault->value_after)));
    if (out != NULL) json_object_update(out, rest);
    json_decref(rest);
    return out;
}

static json_t *outcome_json(const replay_result *result)
{
    const fs_trial_record *r = &result->record;
    return json_pack(
        "{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "outcome",
        fs_outcome_name((fs_outcome)r->outcome), "critical", (int)r->critical, "masked",
        (json_int_t)r->masked, "benign", (json_int_t)r->benign, "sdc", (json_int_t)r->sdc, "due",
        (json_int_t)r->due, "answers", (json_int_t)r->answers, "answers_changed",
        (json_int_t)r->answers_changed, "metric", cli_json_real(r->metric), "golden_metric",
        cli_json_real(result->golden_metric), "loss", cli_json_real(r->loss), "deviation_max",
        cli_json_real(r->deviation_max), "kl_mean", cli_json_real(r->kl_mean));
}

/* Writes the folder of a tuned model. @return zero if none lies there. */
static int find_tuned(const printer *self, const fs_trial_record *record,
                      char dir[FS_PATH_BYTES_MAX])
{
    char hex[FS_HASH_HEX_BYTES], name[FS_HASH_HEX_BYTES + 8], config[FS_PATH_BYTES_MAX];
    fs_hash_hex(&record->model, hex);
    snprintf(name, sizeof name, "models/%s", hex);
    return fs_path_join(dir, self->work, name) == FS_OK &&
           fs_path_join(config, dir, "config.json") == FS_OK && fs_file_exists(config);
}

static json_t *tuned_json(const printer *self, const fs_trial_record *record)
{
    char hex[FS_HASH_HEX_BYTES], dir[FS_PATH_BYTES_MAX];
    if (!record->tuned) return json_null();
    fs_hash_hex(&record->model, hex);
    return json_pack("{s:s, s:o, s:o}", "model", hex, "diverged_step",
                     record->diverged == 0 ? json_null() : json_integer(record->diverged), "folder",
                     find_tuned(self, record, dir) ? json_string(dir) : json_null());
}

static fs_status append_json(printer *self, const replay_result *result)
{
    const fs_cell *cell = &self->plan->cells[result->id.cell];
    const fs_trial_record *r = &result->record;
    json_t *faults = json_array();
    for (uint32_t i = 0; i < r->kept; i++) {
        json_array_append_new(faults,
                              fault_json(geometry_of(self, result->id.cell), r, &r->fault[i]));
    }
    char id[FS_CELL_ID_BYTES_MAX + 24];
    snprintf(id, sizeof id, "%s/%" PRIu64, cell->id, result->id.trial);
    json_t *document = json_pack(
        "{s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:b, s:b}", "trial", id,
        "faults", faults, "faults_drawn", (json_int_t)r->faults, "faults_effective",
        (json_int_t)r->effective, "check_faults", (json_int_t)r->check_faults, "corrected",
        (json_int_t)r->corrected, "detected", (json_int_t)r->detected, "miscorrected",
        (json_int_t)r->miscorrected, "values_changed", (json_int_t)r->visible, "first_difference",
        result->first_difference < 0 ? json_null() : json_integer(result->first_difference),
        "tuned", tuned_json(self, r), "outcome", outcome_json(result), "stored", result->stored,
        "stored_equal", result->stored_equal);
    if (document == NULL || json_array_append_new(self->documents, document) != 0) {
        return fs_fail(FS_ENOMEM, "no memory for a JSON document");
    }
    return FS_OK;
}

static const char *bit_field(const fs_format *format, unsigned bit)
{
    if (format->sign >> bit & 1) return "sign";
    return format->exponent >> bit & 1 ? "exponent" : "mantissa";
}

static void print_fault(const fs_cell *cell, const fs_trial_record *record,
                        const fs_fault_record *fault)
{
    const fs_geometry *geometry = cell->space->geometry;
    const fs_format *format = fs_format_of(cell->format);
    const int digits = (int)format->bits / 4;
    uint64_t at[3];
    unsigned count = index_of(geometry, record, fault, at);
    if (record->activations) {
        int layer = fs_place_layer(fault->place);
        printf("  input %u, %s", fault->input, fs_stage_name(fs_place_stage(fault->place)));
        if (layer >= 0) printf(" of layer %d", layer);
    } else {
        fputs("  ", stdout);
        if (record->tuned)
            printf("step %" PRIu32 ", %s of ", fault->step + 1,
                   fs_tune_array_name((fs_tune_array)fault->place));
        fputs(geometry->tensors[fault->tensor].name, stdout);
    }
    for (unsigned i = 0; i < count; i++) printf("%s%" PRIu64, i == 0 ? "[" : ", ", at[i]);
    printf("] bit %u (%s): stored %0*x -> %0*x, read %.9g -> %.9g\n", fault->bit,
           bit_field(format, fault->bit), digits, fault->before, digits, fault->after,
           (double)float_of(fault->value_before), (double)float_of(fault->value_after));
}

static void print_place(const printer *self, const replay_result *result)
{
    int64_t layers = geometry_of(self, result->id.cell)->config.layers;
    int64_t at = result->first_difference;
    if (at < 0)
        puts("  state: never differs from the fault-free run");
    else if (at == 0)
        puts("  state: first differs after the embeddings");
    else if (at > layers)
        puts("  state: first differs in the logits");
    else
        printf("  state: first differs after block %" PRId64 "\n", at - 1);
}

static void print_tuned(const printer *self, const fs_trial_record *record)
{
    char hex[FS_HASH_HEX_BYTES], dir[FS_PATH_BYTES_MAX];
    fs_hash_hex(&record->model, hex);
    if (record->diverged != 0)
        printf("  tuning: diverged in step %" PRIu32 "\n", record->diverged);
    else if (find_tuned(self, record, dir))
        printf("  tuned model: %s\n", dir);
    else
        printf("  tuned model: %s, not kept\n", hex);
}

static void print_text(printer *self, const replay_result *result)
{
    const fs_trial_record *r = &result->record;
    printf("%s/%" PRIu64 "\n", self->plan->cells[result->id.cell].id, result->id.trial);
    printf("  %" PRIu64 " faults, %" PRIu64 " changed a stored bit, %" PRIu64
           " values read differently\n",
           r->faults, r->effective, r->visible);
    if (r->check_faults + r->corrected + r->detected > 0)
        printf("  %" PRIu64 " faults in redundant bits; codewords: %" PRIu64 " corrected, %" PRIu64
               " of units wrongly, %" PRIu64 " detected\n",
               r->check_faults, r->corrected, r->miscorrected, r->detected);
    for (uint32_t i = 0; i < r->kept; i++) {
        print_fault(&self->plan->cells[result->id.cell], r, &r->fault[i]);
    }
    if (r->kept < r->faults) printf("  ... and %" PRIu64 " more\n", r->faults - r->kept);
    if (r->tuned) print_tuned(self, r);
    print_place(self, result);
    printf("  outcome: %s%s; inputs: %u masked, %u benign, %u sdc, %u due\n",
           fs_outcome_name((fs_outcome)r->outcome), r->critical ? ", critical" : "", r->masked,
           r->benign, r->sdc, r->due);
    printf("  metric %.6g, fault-free %.6g; answers changed %" PRIu64 " of %" PRIu64 "\n",
           r->metric, result->golden_metric, r->answers_changed, r->answers);
    puts(!result->stored        ? "  stored row: none yet"
         : result->stored_equal ? "  stored row: equal, byte for byte"
                                : "  stored row: DIFFERS");
}

static fs_status visit(void *data, const replay_result *result)
{
    printer *self = data;
    self->unequal += result->stored && !result->stored_equal;
    if (self->documents != NULL) return append_json(self, result);
    print_text(self, result);
    return FS_OK;
}

static fs_status print_documents(json_t *documents)
{
    json_t *root = json_array_size(documents) == 1 ? json_array_get(documents, 0) : documents;
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    if (text == NULL) return fs_fail(FS_ENOMEM, "no memory for a JSON document");
    puts(text);
    free(text);
    return FS_OK;
}

static fs_status run(const void *data, const fs_arguments *arguments)
{
    const replay_values *values = data;
    char work[FS_PATH_BYTES_MAX];
    FS_TRY(fs_path_join(work, arguments->items[0], "work"));
    const replay_options options = {values->threads, values->brute_force, values->faults, work};
    fs_store *store = NULL;
    fs_campaign *campaign = NULL;
    fs_plan *plan = NULL;
    replay_id ids[FS_ARGUMENTS_MAX];
    size_t count = arguments->count - 1;
    printer out = {0};
    char state_dir[FS_PATH_BYTES_MAX];
    if (values->faults != NULL && count != 1)
        return fs_fail(FS_EUSAGE, "--faults writes the faults of one TRIAL; %zu are given", count);
    FS_TRY(coord_state_dir(state_dir, arguments->items[0]));
    fs_status status = fs_store_open(&store, state_dir, FS_STORE_READ, NULL, NULL);
    if (status == FS_OK) status = replay_plan(store, &campaign, &plan);
    for (size_t i = 0; i < count && status == FS_OK; i++) {
        status = fs_trial_id_parse(plan, arguments->items[i + 1], &ids[i].cell, &ids[i].trial);
    }
    out.plan = plan;
    out.work = work;
    if (values->json) out.documents = json_array();
    if (status == FS_OK) {
        status = replay_trials(store, plan, ids, count, &options, visit, &out);
    }
    if (status == FS_OK && values->json) status = print_documents(out.documents);
    if (status == FS_OK && out.unequal > 0) {
        status = fs_fail(FS_EMISMATCH, "%zu of %zu trials differ from their stored rows",
                         out.unequal, count);
    }
    json_decref(out.documents);
    fs_plan_destroy(&plan);
    fs_campaign_destroy(&campaign);
    fs_store_close(&store);
    return status;
}

const fs_command cli_replay = {
    .name = "replay",
    .summary = "Run stored trials again and compare them with their rows.",
    .synopsis = "DIR TRIAL [TRIAL ...]",
    .arguments_min = 2,
    .arguments_max = FS_ARGUMENTS_MAX,
    .options = replay_option_table,
    .values_bytes = sizeof(replay_values),
    .details =
        "A TRIAL is SWEEP/CELL/INDEX, as in status, verify and the report. --faults writes "
        "what it hits, in\nwords and redundant bits, for `site: {list: FILE}` of a campaign; "
        "faults of activations\nare written too, but cannot be read back.\n",
    .run = run,
};
