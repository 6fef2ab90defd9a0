#include "plan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "plan_build.h"

static fs_status build(fs_plan **out, const fs_campaign *campaign, const fs_plan_known *known)
{
    *out = NULL;
    FS_ASSERT(campaign->arm_count >= 1 && campaign->sweep_count >= 1);
    fs_plan *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a plan");
    self->campaign = campaign;
    fs_status status = fs__plan_models(self, known);
    if (status == FS_OK) status = fs__plan_cells(self);
    if (status == FS_OK && known == NULL) status = fs__plan_lists(self);
    if (status == FS_OK) status = fs__plan_identify(self);
    if (status != FS_OK)
        fs_plan_destroy(&self);
    else
        *out = self;
    return status;
}

fs_status fs_plan_new(fs_plan **out, const fs_campaign *campaign)
{
    return build(out, campaign, NULL);
}

fs_status fs_plan_new_known(fs_plan **out, const fs_campaign *campaign, const fs_plan_known *known)
{
    return build(out, campaign, known);
}

void fs_plan_destroy(fs_plan **self)
{
    fs_plan *plan = *self;
    if (plan == NULL) return;
    for (size_t i = 0; i < plan->space_count; i++) fs_fault_space_destroy(&plan->spaces[i]);
    for (size_t i = 0; i < plan->model_count; i++) fs_geometry_destroy(&plan->models[i].geometry);
    for (size_t i = 0; i < plan->list_count; i++) fs_fault_file_destroy(&plan->lists[i]);
    free(plan->spaces);
    free(plan->lists);
    free(plan->models);
    free(plan->variants);
    free(plan->cells);
    free(plan->identity);
    free(plan->absent);
    free(plan);
    *self = NULL;
}

int64_t fs_plan_find(const fs_plan *self, const char *cell_id)
{
    for (size_t i = 0; i < self->cell_count; i++)
        if (strcmp(self->cells[i].id, cell_id) == 0) return (int64_t)i;
    return -1;
}

fs_status fs_trial_id_parse(const fs_plan *self, const char *text, uint32_t *cell, uint64_t *trial)
{
    const char *slash = strrchr(text, '/');
    if (slash == NULL)
        return fs_fail(FS_EUSAGE, "'%.100s' is no trial; one is SWEEP/CELL/INDEX", text);
    size_t size = (size_t)(slash - text);
    char id[FS_CELL_ID_BYTES_MAX] = "";
    if (size < sizeof id) memcpy(id, text, size);
    int64_t found = fs_plan_find(self, id);
    if (found < 0)
        return fs_fail(FS_EUSAGE, "no cell '%.*s' in this campaign (flipsweep plan lists them)",
                       (int)(size < 256 ? size : 256), text);
    uint64_t value = 0;
    size_t digits = strspn(slash + 1, "0123456789");
    if (digits == 0 || digits > 15 || slash[1 + digits] != '\0')
        return fs_fail(FS_EUSAGE, "'%.40s' is no index of a trial", slash + 1);
    for (size_t i = 1; i <= digits; i++) value = value * 10 + (uint64_t)(slash[i] - '0');
    if (value >= self->cells[found].trials)
        return fs_fail(FS_EUSAGE, "trial %" PRIu64 " of %s: the cell has %" PRIu64 " trials", value,
                       id, self->cells[found].trials);
    *cell = (uint32_t)found;
    *trial = value;
    return FS_OK;
}

fs_status fs_cell_draw(fs_fault_list *out, const fs_cell *cell, uint64_t trial)
{
    if (cell->list != NULL) return fs_fault_file_faults(cell->list, trial, out);
    FS_ASSERT(cell->site->from == FS_SITE_DRAWN);
    return fs_form_draw(out, cell->space, cell->amount, &cell->form, cell->draw_key, trial);
}

fs_status fs_cell_draw_checks(fs_check_list *out, const fs_cell *cell, const fs_protect *protect,
                              uint64_t trial)
{
    if (cell->list != NULL && cell->list_checks)
        return fs_fault_file_checks(cell->list, trial, protect, out);
    return fs_check_draw(out, cell->space, protect, cell->check_rate, cell->form.kind.word,
                         cell->check_keys, trial);
}
