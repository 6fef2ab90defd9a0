#include "wk_fault_list.h"

#include <inttypes.h>

#include "fault_file.h"
#include "outfile.h"
#include "wk_activations.h"

static void write_comment(FILE *out, const fs_plan *plan, const fs_cell *cell, uint64_t trial)
{
    char hex[FS_HASH_HEX_BYTES];
    fs_hash_hex(&plan->fingerprint, hex);
    fprintf(out, "# faults of one trial\n# campaign: %s\n# fingerprint: %s\n# cell: %s\n",
            plan->campaign->name, hex, cell->id);
    fprintf(out, "# trial: %" PRIu64 "\n", trial);
}

static fs_status write_parameters(FILE *out, const fs_plan *plan, const fs_cell *cell,
                                  uint64_t trial)
{
    const fs_variant *variant = &plan->variants[cell->variant];
    fs_fault_list faults = {0};
    fs_check_list checks = {0};
    fs_status status = fs_cell_draw(&faults, cell, trial);
    if (status == FS_OK) status = fs_cell_draw_checks(&checks, cell, &variant->protect, trial);
    const size_t count = faults.count + checks.count;
    if (status == FS_OK && count > FS_LIST_FAULTS_MAX)
        status = fs_fail(FS_ELIMIT, "%s/%" PRIu64 " has %zu faults; a list holds at most %d",
                         cell->id, trial, count, FS_LIST_FAULTS_MAX);
    if (status == FS_OK) {
        if (count == 0) fputs("# nothing is hit: there is no list to take\n", out);
        fs_fault_file_write(out, plan->models[variant->model].geometry, &variant->protect, &faults,
                            &checks);
    }
    fs_fault_list_free(&faults);
    fs_check_list_free(&checks);
    return status;
}

static void write_activation(FILE *out, const fs_fault *f)
{
    const int layer = fs_place_layer(f->place);
    fprintf(out, "%" PRIu32 ",%s,", f->input, fs_stage_name(fs_place_stage(f->place)));
    if (layer >= 0) fprintf(out, "%d", layer);
    fprintf(out, ",%" PRIu64 ",%u,%s\n", f->element, f->bit,
            fs_fault_kind_name((fs_fault_kind)f->kind));
}

/* Draws as a trial does, one input after the other. */
static fs_status write_activations(FILE *out, const fs_cell *cell, const dataset *data,
                                   uint64_t trial)
{
    fs_trial_record record = {0};
    wk_activations drawn;
    fs_status status = wk_activations_init(&drawn, data, 1);
    fputs("# for reading only: campaigns take lists of parameters\n"
          "input,stage,layer,index,bit,kind\n",
          out);
    if (status == FS_OK) wk_activations_begin(&drawn, cell, trial, &record);
    for (uint32_t i = 0; i < data->count && status == FS_OK; i++) {
        status = wk_activations_draw(&drawn, i, 1);
        for (size_t f = 0; f < drawn.list.count && status == FS_OK; f++)
            write_activation(out, &drawn.list.items[f]);
    }
    wk_activations_free(&drawn);
    return status;
}

/* What one step, from 0 here and from 1 in the file, hits in one array. */
static fs_status write_step(FILE *out, const fs_cell *cell, uint64_t trial, uint64_t step,
                            fs_tune_array array, fs_fault_list *list)
{
    FS_TRY(fs_tune_draw(list, cell->space, cell->amount, &cell->form, cell->draw_key, trial, step,
                        array));
    for (size_t i = 0; i < list->count; i++) {
        const fs_fault *f = &list->items[i];
        fprintf(out, "%" PRIu64 ",%s,%s,%" PRIu64 ",%u,%s\n", step + 1, fs_tune_array_name(array),
                cell->space->geometry->tensors[f->tensor].name, f->element, f->bit,
                fs_fault_kind_name((fs_fault_kind)f->kind));
    }
    return FS_OK;
}

/* Draws all steps; a run that diverges does not come to the last ones. */
static fs_status write_tuning(FILE *out, const fs_cell *cell, uint64_t trial)
{
    const uint64_t only = fs_tune_pick(cell->draw_key, trial, cell->steps);
    fs_fault_list list = {0};
    fs_status status = FS_OK;
    fputs("# for reading only: campaigns take lists of parameters\n"
          "step,array,tensor,index,bit,kind\n",
          out);
    for (uint64_t step = 0; step < cell->steps; step++) {
        if (cell->transient && step != only) continue;
        for (fs_tune_array array = 0; array < FS_TUNE_ARRAY_COUNT && status == FS_OK; array++)
            if (fs_cell_arrays(cell) >> array & 1u)
                status = write_step(out, cell, trial, step, array, &list);
    }
    fs_fault_list_free(&list);
    return status;
}

fs_status wk_fault_list_write(const char *path, const fs_plan *plan, const dataset *data,
                              uint32_t cell_index, uint64_t trial)
{
    const fs_cell *cell = &plan->cells[cell_index];
    fs_outfile file;
    FS_TRY(fs_outfile_open(&file, path));
    write_comment(file.file, plan, cell, trial);
    fs_status status = cell->steps != 0 ? write_tuning(file.file, cell, trial)
                       : cell->site->when == FS_SITE_COMPUTED
                           ? write_activations(file.file, cell, data, trial)
                           : write_parameters(file.file, plan, cell, trial);
    if (status == FS_OK) return fs_outfile_commit(&file);
    fs_outfile_drop(&file);
    return status;
}
