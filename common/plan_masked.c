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

/* A tied head multiplies every row, whatever the inputs are. */
static int head_reads_tokens(const fs_config *config)
{
    return config->task == FS_TASK_LM && config->tied;
}

static uint64_t unread_tokens(const fs_config *config, uint32_t rows, const fs_reads *reads)
{
    if (reads == NULL || reads->token_rows >= rows || head_reads_tokens(config)) return 0;
    return rows - reads->token_rows;
}

static uint64_t unread_positions(const fs_task *task, uint32_t rows, const fs_reads *reads)
{
    uint64_t read = rows;
    if (task->kind == FS_TASK_LM && task->window > 0 && task->window < read) read = task->window;
    if (reads != NULL && reads->positions < read) read = reads->positions;
    return rows - read;
}

/* Counts the values of a slice in rows of its tensor that no input of the task reads. A pattern may
 * reach out of a masked place: rows of positions and segments that are unread are a tensor's last,
 * so that a run down a column stays among them; a whole column does not, and unread rows of tokens
 * have read ones below. */
static void add_unread(const fs_plan *plan, const fs_cell *cell, const fs_slice *slice,
                       const fs_reads *reads, fs_masked *values)
{
    const fs_geometry *geometry = cell->space->geometry;
    const uint32_t rows = geometry->tensors[slice->tensor].rows;
    if (slice->component == FS_EMBEDDING_SEGMENT)
        values->segments += (uint64_t)(rows - 1) * slice->cols;
    else if (slice->component == FS_EMBEDDING_POSITION)
        values->positions += unread_positions(&plan->campaign->task, rows, reads) * slice->cols;
    else if (slice->component == FS_EMBEDDING_TOKEN && fs_form_keeps_row(&cell->form))
        values->token_rows += unread_tokens(&geometry->config, rows, reads) * slice->cols;
}

uint64_t fs_cell_masked_sites(const fs_plan *self, const fs_cell *cell, const fs_reads *reads,
                              fs_masked *out)
{
    const fs_fault_space *space = cell->space;
    const fs_protect *protect = &self->variants[cell->variant].protect;
    const fs_form *form = &cell->form;
    const int leaves = form->pattern.axis == FS_FORM_COLUMN && form->pattern.span == 0;
    *out = (fs_masked){0};
    /* While a model is tuned, faults have other ways to matter. */
    if (cell->site->masked != fs__plan_masked_sites || space == NULL ||
        self->campaign->sweeps[cell->sweep].finetunes)
        return 0;
    for (size_t i = 0; i < space->slice_count && !leaves && !may_detect(protect); i++)
        add_unread(self, cell, &space->geometry->slices[space->slices[i]], reads, out);
    /* Bits are the same in all values of a pattern, and each is masked for itself. */
    const uint64_t starts = fs_form_starts(form, space->bits);
    const uint64_t masked = fs_form_starts_within(form, space->bits, unread_bits(protect));
    out->bits = (space->values - out->segments - out->positions - out->token_rows) * masked;
    out->segments *= starts;
    out->positions *= starts;
    out->token_rows *= starts;
    return out->segments + out->positions + out->token_rows + out->bits;
}

uint64_t fs__plan_masked_sites(const fs_plan *plan, const fs_cell *cell)
{
    fs_masked masked;
    return fs_cell_masked_sites(plan, cell, NULL, &masked);
}

uint64_t fs_cell_sites(const fs_cell *cell)
{
    const unsigned arrays =
        cell->steps == 0 ? 1 : (unsigned)__builtin_popcount(fs_cell_arrays(cell));
    return cell->space->values * fs_form_starts(&cell->form, cell->space->bits) * arrays;
}

int fs_cell_masked(const fs_cell *cell)
{
    return cell->space != NULL && cell->masked_sites == fs_cell_sites(cell);
}
