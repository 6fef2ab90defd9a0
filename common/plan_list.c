/* The fault lists of a plan. */
#include <inttypes.h>
#include <stdlib.h>

#include "assert.h"
#include "plan_build.h"

/* What the codes of an arm's list may be: bits that can be hit. */
static fs_codec_set codes_of(const fs_plan *plan, const fs_cell *cell)
{
    if (!plan->campaign->arms[cell->arm].metadata) return 0;
    return fs_codec_set_of(&plan->variants[cell->variant].protect);
}

static fs_format_kind format_of(const fs_plan *plan, const fs_cell *cell)
{
    return plan->variants[cell->variant].protect.format;
}

/* The codes of all arms, or of those of one format. */
static fs_codec_set codes_of_sweep(const fs_plan *plan, uint32_t sweep, int format)
{
    fs_codec_set set = 0;
    for (size_t i = 0; i < plan->cell_count; i++) {
        const fs_cell *cell = &plan->cells[i];
        if (cell->sweep != sweep || (format >= 0 && (int)format_of(plan, cell) != format)) continue;
        set |= codes_of(plan, cell);
    }
    return set;
}

static fs_status check(const fs_plan *plan, uint32_t index, const fs_fault_file *list)
{
    const fs_sweep *sweep = &plan->campaign->sweeps[index];
    const fs_codec_set missing = list->codes & ~codes_of_sweep(plan, index, -1);
    if (missing != 0)
        return fs_fail(FS_ECONFIG,
                       "%s hits bits of code %s, which no arm keeps where they can be hit",
                       sweep->source.file, fs_codec_set_name(missing));
    if (sweep->trials > list->trials)
        return fs_fail(FS_ECONFIG, "%" PRIu64 " trials, but %s has %" PRIu64, sweep->trials,
                       sweep->source.file, list->trials);
    return FS_OK;
}

/* Gives a list to all cells of the sweep and format of `first`. */
static fs_status read_list(fs_plan *self, const fs_cell *first)
{
    const uint32_t sweep = first->sweep;
    const fs_format_kind format = format_of(self, first);
    fs_fault_file **grown = realloc(self->lists, (self->list_count + 1) * sizeof(fs_fault_file *));
    if (grown == NULL) return fs_fail(FS_ENOMEM, "no memory for a plan");
    self->lists = grown;
    FS_TRY(fs_fault_file_new(&self->lists[self->list_count], &self->campaign->sweeps[sweep].source,
                             self->models[0].geometry, fs_format_of(format),
                             codes_of_sweep(self, sweep, (int)format)));
    const fs_fault_file *list = self->lists[self->list_count++];
    FS_TRY(check(self, sweep, list));
    for (size_t i = 0; i < self->cell_count; i++) {
        fs_cell *cell = &self->cells[i];
        if (cell->sweep != sweep || format_of(self, cell) != format) continue;
        cell->list = list;
        cell->list_checks = codes_of(self, cell) != 0;
    }
    return FS_OK;
}

fs_status fs__plan_lists(fs_plan *self)
{
    for (size_t i = 0; i < self->cell_count; i++) {
        const fs_cell *cell = &self->cells[i];
        if (cell->site->from == FS_SITE_DRAWN || cell->list != NULL) continue;
        fs_status status = read_list(self, cell);
        if (status != FS_OK)
            return fs_wrap(status, "sweep %s", self->campaign->sweeps[cell->sweep].name);
    }
    return FS_OK;
}

/* Of the sweep's first cell; NULL: it has none. */
static const fs_fault_file *list_of(const fs_plan *plan, uint32_t sweep)
{
    for (size_t i = 0; i < plan->cell_count; i++)
        if (plan->cells[i].sweep == sweep) return plan->cells[i].list;
    return NULL;
}

uint64_t fs_plan_outside(const fs_plan *self, uint32_t sweep)
{
    const fs_fault_file *list = list_of(self, sweep);
    return list != NULL ? list->outside : 0;
}

uint64_t fs_plan_repeated(const fs_plan *self, uint32_t sweep)
{
    const fs_fault_file *list = list_of(self, sweep);
    return list != NULL ? list->repeated : 0;
}
