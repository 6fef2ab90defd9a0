#include "tr_trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "assert.h"

/* As PyTorch's clip_grad_norm_ does. */
#define CLIP_EPSILON 1e-6

struct tr_trainer {
    tr_trainer_options options;
    tr_objective *objective;
    tr_source *source;
    tr_hooks hooks;
    const tr_adapter *adapter; /* NULL: none */
    tr_state state;
    float *network_grads; /* state.grads without an adapter */
    float *own_values;    /* an adapter's; NULL without */
};

static float *new_array(size_t floats)
{
    return aligned_alloc(64, floats * sizeof(float));
}

static fs_status make_arrays(tr_trainer *self)
{
    tr_state *s = &self->state;
    const size_t floats = s->layout->floats;
    const tr_layout *network = tr_weights_layout(s->weights);
    self->network_grads = new_array(network->floats);
    s->grads = self->network_grads;
    s->values = tr_weights_values(s->weights);
    if (self->adapter != NULL) {
        s->grads = new_array(floats);
        self->own_values = new_array(floats);
        s->values = self->own_values;
    }
    s->m = new_array(floats);
    s->v = new_array(floats);
    if (self->network_grads == NULL || s->grads == NULL || s->values == NULL || s->m == NULL ||
        s->v == NULL)
        return fs_fail(FS_ENOMEM, "no memory for the gradients of %zu values", floats);
    for (size_t i = 0; i < floats; i++) s->grads[i] = s->m[i] = s->v[i] = 0;
    if (self->adapter != NULL) {
        for (size_t i = 0; i < floats; i++) s->values[i] = 0;
        self->adapter->init(self->adapter->context, s->values);
    }
    return FS_OK;
}

fs_status tr_trainer_new(tr_trainer **out, const tr_trainer_options *options, tr_weights *weights,
                         tr_pool *pool, tr_source *source, const tr_hooks *hooks,
                         const tr_adapter *adapter)
{
    FS_ASSERT(adapter == NULL || options->wanted == NULL);
    *out = NULL;
    tr_trainer *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for training");
    const tr_layout *network = tr_weights_layout(weights);
    self->options = *options;
    self->source = source;
    self->adapter = adapter;
    if (hooks != NULL) self->hooks = *hooks;
    self->state = (tr_state){.layout = adapter != NULL ? adapter->layout : network,
                             .weights = weights,
                             .wanted = options->wanted,
                             .pool = pool};
    fs_status status =
        tr_objective_new(&self->objective, network, pool, &options->objective, hooks);
    if (status == FS_OK) status = make_arrays(self);
    if (status == FS_OK)
        tr_trainer_restored(self);
    else
        tr_trainer_destroy(&self);
    *out = self;
    return status;
}

void tr_trainer_destroy(tr_trainer **self)
{
    if (*self == NULL) return;
    tr_objective_destroy(&(*self)->objective);
    if ((*self)->state.grads != (*self)->network_grads) free((*self)->state.grads);
    free((*self)->network_grads);
    free((*self)->own_values);
    free((*self)->state.m);
    free((*self)->state.v);
    free(*self);
    *self = NULL;
}

static void refresh(tr_trainer *self)
{
    tr_state *s = &self->state;
    if (self->adapter != NULL)
        self->adapter->compose(self->adapter->context, s->values, s->weights, s->pool);
    else if (s->wanted != NULL)
        tr_weights_pack_some(s->weights, s->pool, s->wanted);
    else
        tr_weights_pack(s->weights, s->pool);
}

void tr_trainer_restored(tr_trainer *self)
{
    tr_weights_pack(self->state.weights, self->state.pool);
    if (self->adapter != NULL) refresh(self);
}

static fs_status call(fs_status (*hook)(void *, const tr_state *), void *context,
                      const tr_state *state)
{
    return hook == NULL ? FS_OK : hook(context, state);
}

static fs_status find_gradients(tr_trainer *self, tr_step_report *report)
{
    tr_state *s = &self->state;
    const tr_adapter *adapter = self->adapter;
    const uint8_t *wanted = adapter != NULL ? adapter->network_wanted : s->wanted;
    FS_TRY(call(self->hooks.begin, self->hooks.context, s));
    FS_TRY(tr_objective_step(self->objective, self->source, s->weights, s->step,
                             self->network_grads, wanted, &report->sums, &report->tokens));
    if (adapter != NULL)
        adapter->project(adapter->context, s->values, self->network_grads, s->grads, s->pool);
    FS_TRY(call(self->hooks.gradients, self->hooks.context, s));
    report->norm = tr_gradient_norm(s->layout, s->pool, s->grads, s->wanted);
    return FS_OK;
}

static fs_status diverged(const tr_step_report *report)
{
    const double loss = report->sums.loss / (double)report->sums.outputs;
    return fs_fail(FS_EDIVERGED,
                   "step %" PRIu64 " diverged: loss %g, gradient norm %g, rate %g; a smaller "
                   "--rate, a longer --warmup or --clip may help",
                   report->step, loss, report->norm, report->rate);
}

fs_status tr_trainer_step(tr_trainer *self, tr_step_report *report)
{
    tr_state *s = &self->state;
    const tr_trainer_options *o = &self->options;
    *report =
        (tr_step_report){.step = s->step + 1, .rate = tr_schedule_rate(&o->schedule, s->step)};
    FS_TRY(find_gradients(self, report));
    const int finite = isfinite(report->sums.loss) && isfinite(report->norm);
    if (!finite && !self->hooks.skips) return diverged(report);
    report->skipped = !finite;
    if (finite) {
        double scale = 1;
        if (o->clip > 0) scale = o->clip / (report->norm + CLIP_EPSILON);
        report->clipped = scale < 1;
        if (scale > 1) scale = 1;
        tr_adamw_update(&o->adamw, s->layout, s->pool, s->values, s->grads, s->m, s->v,
                        report->rate, scale, s->step + 1, s->wanted);
    }
    FS_TRY(call(self->hooks.updated, self->hooks.context, s));
    refresh(self);
    s->step++;
    return FS_OK;
}

tr_state *tr_trainer_state(tr_trainer *self)
{
    return &self->state;
}
