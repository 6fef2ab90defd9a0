/* Whether a record that came from outside can be of a cell. */
#include "plan.h"

static fs_status fail(const fs_cell *cell, const char *what)
{
    return fs_fail(FS_ECORRUPT, "a trial record %s, which cell %s does not have", what, cell->id);
}

/* An activation: `element` counts in rows of the longest sequence, see fs_stage_width. */
static int in_place(const fs_cell *cell, const fs_fault_record *fault)
{
    const fs_config *config = &cell->space->geometry->config;
    const fs_stage stage = fs_place_stage(fault->place);
    const uint64_t width = fs_stage_width(config, stage);
    const int heads = stage == FS_STAGE_ATTENTION_SCORES || stage == FS_STAGE_ATTENTION_PROBS;
    uint64_t rows = (heads ? config->heads : 1) * (uint64_t)config->positions;
    if (stage == FS_STAGE_LOGITS && config->task != FS_TASK_LM) rows = 1;
    for (size_t i = 0; i < cell->space->place_count; i++)
        if (cell->space->places[i] == fault->place) return fault->element < rows * width;
    return 0;
}

static int in_tensor(const fs_cell *cell, const fs_fault_record *fault)
{
    const fs_geometry *geometry = cell->space->geometry;
    if (fault->tensor >= geometry->tensor_count) return 0;
    const fs_tensor *tensor = &geometry->tensors[fault->tensor];
    return fault->element < (uint64_t)tensor->rows * tensor->cols;
}

static fs_status check_tuned(const fs_cell *cell, const fs_trial_record *record)
{
    if (record->diverged > cell->steps) return fail(cell, "diverges in a step");
    for (uint32_t i = 0; i < record->kept; i++) {
        const fs_fault_record *fault = &record->fault[i];
        if (fault->step >= cell->steps) return fail(cell, "has a fault in a step");
        if (!(fs_cell_arrays(cell) >> fault->place & 1))
            return fail(cell, "has a fault in an array");
    }
    return FS_OK;
}

fs_status fs_cell_check_record(const fs_cell *cell, const fs_trial_record *record)
{
    const int tuned = cell->steps != 0;
    const int computed = !tuned && cell->site->when == FS_SITE_COMPUTED;
    const unsigned bits = fs_format_of(cell->format)->bits;
    if (tuned != (record->tuned != 0) || computed != (record->activations != 0))
        return fail(cell, "is of another kind of site");
    for (uint32_t i = 0; i < record->kept; i++) {
        const fs_fault_record *fault = &record->fault[i];
        if (fault->bit >= bits) return fail(cell, "has a fault in a bit");
        if (!(computed ? in_place(cell, fault) : in_tensor(cell, fault)))
            return fail(cell, computed ? "has a fault in an activation" : "has a fault in a value");
    }
    return tuned ? check_tuned(cell, record) : FS_OK;
}
