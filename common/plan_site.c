/* What a sweep's selection is divided into. */
#include <stdlib.h>

#include "plan_build.h"

enum { PARTS_MAX = 32 /* of a set */ };

static int layer_selected(const fs_sweep *sweep, int layer)
{
    if (sweep->layer_count == 0) return 1;
    for (size_t i = 0; i < sweep->layer_count; i++)
        if (sweep->layers[i] == layer) return 1;
    return 0;
}

/* Adds the places of one set: by layer, or one for all selected layers. */
static size_t add_set(const fs_geometry *geometry, const fs_sweep *sweep, fs_site_set set,
                      const char *part, fs_plan_site *out)
{
    size_t count = 0;
    int found = 0;
    for (int layer = -1; layer < (int)geometry->config.layers; layer++) {
        const fs_site_set held = sweep->site->held(geometry, set, layer);
        if (!layer_selected(sweep, layer) || held == 0) continue;
        found = 1;
        if (sweep->by & FS_BY_LAYER)
            out[count++] = (fs_plan_site){.layer = layer, .set = held, .part = part};
    }
    if (found && !(sweep->by & FS_BY_LAYER))
        out[count++] = (fs_plan_site){.layer = -1, .set = set, .part = part};
    return count;
}

/* @return what of the selection the model has, in any layer. */
static fs_site_set held_anywhere(const fs_geometry *geometry, const fs_sweep *sweep)
{
    fs_site_set set = 0;
    for (int layer = -1; layer < (int)geometry->config.layers; layer++)
        set |= sweep->site->held(geometry, sweep->set, layer);
    return set;
}

static fs_status fail_empty(const fs_geometry *geometry, const fs_sweep *sweep)
{
    const fs_site_class *site = sweep->site;
    if (held_anywhere(geometry, sweep) == 0)
        return fs_fail(
            FS_ECONFIG, "sweep %s: the selection holds no %s of this model: %s has no %s",
            sweep->name, site->value, geometry->config.kind == FS_MODEL_BERT ? "BERT" : "GPT-2",
            site->word((unsigned)__builtin_ctz(sweep->set)));
    return fs_fail(FS_ECONFIG, "sweep %s: the selection holds no %s of this model: %s", sweep->name,
                   site->value, site->absent);
}

/* Orders by layer, then word: an order that people expect of a map. */
static int compare_sites(const void *a, const void *b)
{
    const fs_plan_site *x = a, *y = b;
    if (x->layer != y->layer) return x->layer < y->layer ? -1 : 1;
    /* The lowest word decides; the sets of one sweep are disjoint or equal. */
    fs_site_set p = x->set & (0u - x->set), q = y->set & (0u - y->set);
    return p < q ? -1 : p > q;
}

fs_status fs__plan_sites(const fs_plan *plan, const fs_sweep *sweep, fs_plan_site **out,
                         size_t *count)
{
    const fs_geometry *geometry = plan->models[0].geometry;
    const unsigned by = sweep->by & ~(unsigned)FS_BY_LAYER;
    const char *part = NULL;
    *out = NULL;
    *count = 0;
    for (size_t i = 0; i < sweep->layer_count; i++)
        if (sweep->layers[i] >= (int)geometry->config.layers)
            return fs_fail(FS_ECONFIG,
                           "sweep %s: layer %d is selected, but the model has %u (0..%u)",
                           sweep->name, sweep->layers[i], geometry->config.layers,
                           geometry->config.layers - 1);
    *out = malloc((geometry->config.layers + 1) * (size_t)PARTS_MAX * sizeof **out);
    if (*out == NULL) return fs_fail(FS_ENOMEM, "no memory for a plan");
    const fs_site_set set = sweep->set & held_anywhere(geometry, sweep);
    if (by == 0) {
        *count = add_set(geometry, sweep, set, NULL, *out);
    } else {
        fs_site_set own;
        for (unsigned i = 0; (own = sweep->site->part(by, i, &part)) != 0; i++)
            *count += add_set(geometry, sweep, set & own, part, *out + *count);
    }
    if (*count == 0) return fail_empty(geometry, sweep);
    qsort(*out, *count, sizeof **out, compare_sites);
    return FS_OK;
}

/* The largest input that the task can have. */
static fs_extent largest_of(const fs_plan *plan)
{
    const fs_task *task = &plan->campaign->task;
    uint32_t length = plan->models[0].geometry->config.positions;
    if (task->kind != FS_TASK_LM) return (fs_extent){.length = length};
    if (task->window != 0) length = task->window;
    return (fs_extent){.length = length, .scored = length - 1};
}

fs_status fs__plan_space(const fs_plan *plan, const fs_sweep *sweep, const fs_plan_site *site,
                         fs_bits bits, fs_fault_space **out)
{
    const int by_layer = (sweep->by & FS_BY_LAYER) != 0;
    const fs_site_choice choice = {.geometry = plan->models[0].geometry,
                                   .set = site->set,
                                   .layers = by_layer ? &site->layer : sweep->layers,
                                   .layer_count = by_layer ? 1 : sweep->layer_count,
                                   .bits = bits,
                                   .largest = largest_of(plan)};
    fs_status status = sweep->site->space(out, &choice);
    return status == FS_OK ? FS_OK : fs_wrap(status, "sweep %s", sweep->name);
}
