/* The models of a plan: one entry for each folder, all of one shape. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan_build.h"

void fs__geometry_hash(fs_hash *out, const fs_geometry *geometry)
{
    fs_hasher hasher;
    fs_hasher_init(&hasher);
    fs_hasher_number(&hasher, geometry->tensor_count);
    for (size_t i = 0; i < geometry->tensor_count; i++) {
        const fs_tensor *t = &geometry->tensors[i];
        fs_hasher_field(&hasher, t->name, strlen(t->name));
        fs_hasher_number(&hasher, (uint64_t)t->rank);
        fs_hasher_number(&hasher, t->rows);
        fs_hasher_number(&hasher, t->cols);
    }
    fs_hasher_number(&hasher, geometry->slice_count);
    for (size_t i = 0; i < geometry->slice_count; i++) {
        const fs_slice *s = &geometry->slices[i];
        const char *component = fs_component_name(s->component);
        fs_hasher_field(&hasher, component, strlen(component));
        fs_hasher_number(&hasher, (uint64_t)(int64_t)s->layer);
        fs_hasher_number(&hasher, s->tensor);
        fs_hasher_number(&hasher, s->col_first);
        fs_hasher_number(&hasher, s->cols);
    }
    fs_hasher_final(&hasher, out);
}

uint32_t fs__plan_model_of(const fs_plan *self, const fs_arm *arm)
{
    uint32_t i = 0;
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): every model has its path */
    while (i < self->model_count && strcmp(self->models[i].path, arm->model) != 0) i++;
    return i;
}

/** Keeps the first reason why there is no fingerprint. */
static fs_status note_absent(fs_plan *self)
{
    if (self->absent == NULL) self->absent = strdup(fs_status_detail());
    if (self->absent == NULL) return fs_fail(FS_ENOMEM, "no memory for a plan");
    return FS_OK;
}

static fs_status check_task(const fs_campaign *campaign, const fs_arm *arm, const fs_config *config)
{
    const fs_task *task = &campaign->task;
    if (task->kind != config->task)
        return fs_fail(FS_ECONFIG, "task.kind is %s, but arm %s has a model for %s: %s",
                       task->kind == FS_TASK_LM ? "language-model" : "classification", arm->name,
                       config->task == FS_TASK_LM ? "language-model" : "classification",
                       arm->model);
    if (task->kind == FS_TASK_LM && task->window > config->positions)
        return fs_fail(FS_ECONFIG, "task.window is %u, but the model of arm %s has %u positions",
                       task->window, arm->name, config->positions);
    uint32_t window = task->window != 0 ? task->window : config->positions;
    if (task->kind == FS_TASK_LM && task->stride > window)
        return fs_fail(FS_ECONFIG, "task.stride is %u, more than the window of %u", task->stride,
                       window);
    const uint32_t learnt = campaign->finetune.window;
    if (learnt > config->positions)
        return fs_fail(FS_ECONFIG,
                       "finetune.window is %u, but the model of arm %s has %u positions", learnt,
                       arm->name, config->positions);
    return FS_OK;
}

/** Takes what is known of the model, or reads it. */
static fs_status find_config(fs_config *out, const fs_plan *self, const fs_arm *arm,
                             const fs_plan_known *known)
{
    if (known == NULL) return fs_config_read(out, arm->model);
    if (self->model_count >= known->model_count)
        return fs_fail(FS_ECORRUPT, "the campaign has more models than the %zu that are known",
                       known->model_count);
    *out = known->configs[self->model_count];
    return FS_OK;
}

static fs_status add_model(fs_plan *self, const fs_arm *arm, const fs_plan_known *known)
{
    fs_plan_model *model = &self->models[self->model_count];
    fs_config config;
    FS_TRY(find_config(&config, self, arm, known));
    FS_TRY(check_task(self->campaign, arm, &config));
    model->path = arm->model;
    FS_TRY(fs_geometry_new(&model->geometry, &config));
    self->model_count++;
    fs_hash first, this;
    fs__geometry_hash(&first, self->models[0].geometry);
    fs__geometry_hash(&this, model->geometry);
    if (!fs_hash_equal(&first, &this))
        return fs_fail(FS_ECONFIG,
                       "arms %s and %s have models of unlike shape (%s, %s); arms meet the same "
                       "faults, so give each shape a campaign of its own",
                       self->campaign->arms[0].name, arm->name, self->models[0].path, model->path);
    if (known != NULL) {
        model->hash = known->hashes[self->model_count - 1];
        model->has_weights = !fs_hash_equal(&model->hash, &(fs_hash){{0}});
        return FS_OK;
    }
    fs_status status = fs_model_hash(&model->hash, model->path);
    if (status == FS_ENOENT) return note_absent(self);
    model->has_weights = status == FS_OK;
    return status;
}

fs_status fs__plan_models(fs_plan *self, const fs_plan_known *known)
{
    const fs_campaign *c = self->campaign;
    self->models = calloc(c->arm_count, sizeof *self->models);
    if (self->models == NULL) return fs_fail(FS_ENOMEM, "no memory for a plan");
    for (size_t i = 0; i < c->arm_count; i++)
        if (fs__plan_model_of(self, &c->arms[i]) == self->model_count)
            FS_TRY(add_model(self, &c->arms[i], known));
    if (known != NULL) {
        self->data_hash = known->data_hash;
        return FS_OK;
    }
    fs_status status = fs_hash_file(&self->data_hash, c->task.data);
    if (status == FS_ENOENT) return note_absent(self);
    FS_TRY(status);
    if (c->finetune.steps == 0 || !fs_hash_equal(&c->finetune.data_hash, &(fs_hash){{0}}))
        return FS_OK;
    status = fs_fail(FS_ENOENT, "%s: there is no such file", c->finetune.data);
    return status == FS_OK ? FS_OK : note_absent(self);
}
