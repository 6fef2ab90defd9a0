/* Sites of a cell that are masked whatever the weights and the data are. */
#include <string.h>

#include "plan_build.h"

/* Bits that decoding replaces before anything reads them. */
static fs_bits unread_bits(const fs_protect *protect)
{
    if (protect->codec_count != 1 || strcmp(protect->codecs[0]->name, "ep") != 0) return 0;
    return fs_protect_format(protect)->top_exponent;
}

/* A detected fault is known to be wrong wherever it lies; EP detects nothing. */
static int may_detect(const fs_protect *protect)
{
    for (unsigned i = 0; i < protect->codec_count; i++)
        if (strcmp(protect->codecs[i]->name, "ep") != 0) return 1;
    return 0;
}

/* Rows of a slice's tensor that no input of the task can read. */
static uint64_t unread_rows(const fs_plan *plan, const fs_slice *slice)
{
    const fs_geometry *geometry = plan->models[0].geometry;
    const fs_task *task = &plan->campaign->task;
    uint32_t rows = geometry->tensors[slice->tensor].rows;
    if (slice->component == FS_EMBEDDING_SEGMENT) return rows - 1; /* all text is of segment 0 */
    if (slice->component == FS_EMBEDDING_POSITION && task->kind == FS_TASK_LM && task->window > 0)
        return rows - task->window;
    return 0;
}

/* A pattern may reach out of a masked place. Rows that are unread are a tensor's last, so that a
 * run down a column stays among them; a whole column does not. Bits are the same in all values of a
 * pattern, and each is masked for itself. */
uint64_t fs__plan_masked_sites(const fs_plan *plan, const fs_cell *cell)
{
    const fs_fault_space *space = cell->space;
    const fs_protect *protect = &plan->variants[cell->variant].protect;
    const fs_form *form = &cell->form;
    const int leaves = form->pattern.axis == FS_FORM_COLUMN && form->pattern.span == 0;
    if (space->places != NULL) return 0;
    uint64_t unread = 0;
    for (size_t i = 0; i < space->slice_count && !leaves && !may_detect(protect); i++) {
        const fs_slice *slice = &space->geometry->slices[space->slices[i]];
        unread += unread_rows(plan, slice) * slice->cols;
    }
    const uint64_t starts = fs_form_starts(form, space->bits);
    const uint64_t masked = fs_form_starts_within(form, space->bits, unread_bits(protect));
    return unread * starts + (space->values - unread) * masked;
}

uint64_t fs_cell_sites(const fs_cell *cell)
{
    return cell->space->values * fs_form_starts(&cell->form, cell->space->bits);
}

int fs_cell_masked(const fs_cell *cell)
{
    return cell->space != NULL && cell->masked_sites == fs_cell_sites(cell);
}
