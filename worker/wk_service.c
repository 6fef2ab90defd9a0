#include "wk_service.h"

#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "names.h"

struct wk_service {
    fs_campaign *campaign;
    fs_plan *plan;
    wk_executor *executor;
    wk_work work;
};

/** @return where the last `parts` parts of a path begin, NULL if one of them is "", "." or "..".
 * Nothing that was sent leads out of the folders that are searched here. */
static const char *tail_of(const char *path, unsigned parts)
{
    const char *end = path + strlen(path), *at = end;
    for (unsigned i = 0; i < parts; i++) {
        const char *part_end = i == 0 ? end : at - 1;
        if (i > 0 && at == path) return NULL;
        for (at = part_end; at > path && at[-1] != '/'; at--) {
        }
        size_t size = (size_t)(part_end - at);
        if (size == 0 || (size <= 2 && memcmp(at, "..", size) == 0)) return NULL;
    }
    return at;
}

/** Looks for what the coordinator's path names in `models`, then by its name, as a campaign's
 * names are looked up, in the zoo and the cache of this machine. @return nonzero if found. */
static int find_here(char out[FS_PATH_BYTES_MAX], const char *path, const char *models,
                     const fs_task_kind *data_kind)
{
    const char *name = tail_of(path, 1), *fetched = tail_of(path, 2);
    if (name == NULL) return 0;
    if (models != NULL && fs_path_join(out, models, name) == FS_OK && fs_file_exists(out)) return 1;
    if (data_kind != NULL)
        return fs_data_find(out, name, NULL, *data_kind) == FS_OK && fs_file_exists(out);
    if (fs_model_find(out, name, NULL) == FS_OK) return 1;
    return fetched != NULL && fs_model_find(out, fetched, NULL) == FS_OK;
}

/** Replaces a path that does not exist here by one of the same name that does. What lies there is
 * checked by its contents, as the fingerprint is made of their hashes. */
static void localise(char *path, const char *models, const fs_task_kind *data_kind)
{
    char found[FS_PATH_BYTES_MAX];
    if (path[0] == '\0' || fs_file_exists(path)) return;
    if (find_here(found, path, models, data_kind)) memcpy(path, found, sizeof found);
}

static void localise_all(fs_campaign *campaign, const char *models)
{
    localise(campaign->task.model, models, NULL);
    localise(campaign->task.data, models, &campaign->task.kind);
    localise(campaign->finetune.data, models, &campaign->task.kind);
    for (size_t i = 0; i < campaign->arm_count; i++)
        localise(campaign->arms[i].model, models, NULL);
    for (size_t i = 0; i < campaign->sweep_count; i++) {
        localise(campaign->sweeps[i].source.file, models, &campaign->task.kind);
        localise(campaign->sweeps[i].source.map, models, &campaign->task.kind);
    }
}

/** Says why the plan made here is not the coordinator's. */
static fs_status refuse(const fs_plan *plan, const wk_service_request *request)
{
    if (!plan->has_fingerprint) {
        const char *learnt = plan->campaign->finetune.data;
        return fs_fail(FS_ENOENT,
                       "the models or data of this campaign are not on this machine, nor in "
                       "its zoo or cache: %s, %s%s%s",
                       plan->campaign->task.model, plan->campaign->task.data,
                       learnt[0] != '\0' ? ", " : "", learnt);
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

/* A campaign that keeps tuned models needs somewhere to keep them. */
static fs_status check_work(const fs_campaign *campaign, const wk_options *options)
{
    const fs_finetune *f = &campaign->finetune;
    if (f->steps == 0 || f->keep == FS_KEEP_NONE || options->work != NULL) return FS_OK;
    return fs_fail(FS_EREFUSED,
                   "the campaign keeps tuned models (finetune.keep: %s), but this worker has no "
                   "folder for them: give it one with --work DIR",
                   fs_tune_keep_name(f->keep));
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
    localise_all(self->campaign, request->models);
    FS_TRY(fs_plan_new(&self->plan, self->campaign));
    if (!self->plan->has_fingerprint ||
        !fs_hash_equal(&self->plan->fingerprint, &request->fingerprint)) {
        return refuse(self->plan, request);
    }
    FS_TRY(check_work(self->campaign, &request->options));
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
