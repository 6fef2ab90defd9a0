#include "wk_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"

struct wk_service {
    fs_campaign *campaign;
    fs_plan *plan;
    wk_executor *executor;
    wk_work work;
};

/** Replaces a path that does not exist here by one of the same name in `models`, if that does. Only
 * the last part of the name is used: nothing that was sent leads out of the folder. */
static fs_status localise(char *path, const char *models)
{
    char found[FS_PATH_BYTES_MAX];
    if (models == NULL || path[0] == '\0' || fs_file_exists(path)) return FS_OK;
    const char *slash = strrchr(path, '/');
    const char *base = slash == NULL ? path : slash + 1;
    if (base[0] == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0) return FS_OK;
    FS_TRY(fs_path_join(found, models, base));
    if (fs_file_exists(found)) snprintf(path, FS_PATH_BYTES_MAX, "%s", found);
    return FS_OK;
}

static fs_status localise_all(fs_campaign *campaign, const char *models)
{
    FS_TRY(localise(campaign->task.model, models));
    FS_TRY(localise(campaign->task.data, models));
    for (size_t i = 0; i < campaign->arm_count; i++) {
        FS_TRY(localise(campaign->arms[i].model, models));
    }
    return FS_OK;
}

/** Says why the plan made here is not the coordinator's. */
static fs_status refuse(const fs_plan *plan, const wk_service_request *request)
{
    if (!plan->has_fingerprint) {
        return fs_fail(FS_ENOENT,
                       "the models or data of this campaign are not on this machine: "
                       "%s, %s",
                       plan->campaign->task.model, plan->campaign->task.data);
    }
    fs_buf difference = {0};
    if (request->identity[0] != '\0') {
        FS_TRY(fs_identity_difference(plan->identity, request->identity, &difference));
    }
    fs_status status =
        fs_fail(FS_EREFUSED, "this machine's plan is not the coordinator's: %s",
                difference.size > 0 ? fs_buf_text(&difference) : "the fingerprints differ");
    fs_buf_free(&difference);
    return status;
}

static fs_status service_golden(void *context, uint32_t variant, wk_golden_info *out)
{
    return wk_executor_golden(((wk_service *)context)->executor, variant, out);
}

static fs_status service_run(void *context, unsigned thread, uint32_t cell, uint64_t trial,
                             fs_trial_record *out)
{
    return wk_executor_run(((wk_service *)context)->executor, thread, cell, trial, out);
}

static uint32_t service_variant(void *context, uint32_t cell)
{
    return ((wk_service *)context)->plan->cells[cell].variant;
}

static fs_status fill(wk_service *self, const wk_service_request *request)
{
    /* Its paths are the coordinator's: absolute, and perhaps not here. */
    FS_TRY(fs_campaign_parse_stored(&self->campaign, request->campaign, request->campaign_bytes,
                                    "the coordinator's campaign"));
    FS_TRY(localise_all(self->campaign, request->models));
    FS_TRY(fs_plan_new(&self->plan, self->campaign));
    if (!self->plan->has_fingerprint ||
        !fs_hash_equal(&self->plan->fingerprint, &request->fingerprint)) {
        return refuse(self->plan, request);
    }
    FS_TRY(wk_executor_new(&self->executor, self->plan, &request->options));
    self->work = (wk_work){.golden = service_golden,
                           .run = service_run,
                           .variant = service_variant,
                           .context = self,
                           .cells = (uint32_t)self->plan->cell_count,
                           .variants = (uint32_t)self->plan->variant_count};
    return FS_OK;
}

fs_status wk_service_new(wk_service **out, const wk_service_request *request)
{
    wk_service *self = calloc(1, sizeof *self);
    *out = NULL;
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a campaign");
    fs_status status = fill(self, request);
    if (status == FS_OK) {
        *out = self;
    } else {
        wk_service_destroy(&self);
    }
    return status;
}

void wk_service_destroy(wk_service **self)
{
    if (*self == NULL) return;
    wk_executor_destroy(&(*self)->executor);
    fs_plan_destroy(&(*self)->plan);
    fs_campaign_destroy(&(*self)->campaign);
    free(*self);
    *self = NULL;
}

const wk_work *wk_service_work(const wk_service *self)
{
    return &self->work;
}
