/* Sweeps expanded into cells. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "number.h"
#include "plan_build.h"

/** One place on the layer, component and group axes, or on those of layer and stage. */
typedef struct site {
    int layer;
    fs_component_set components;
    fs_stage_set stages;
} site;

/** A sweep while it is expanded. Cells of an arm follow each other. */
typedef struct expansion {
    fs_plan *plan;
    const fs_sweep *sweep;
    uint32_t sweep_index;
    site *sites;
    size_t site_count;
    int layers_vary; /* axes that are shown in an id */
    int components_vary;
    int stages_vary;
    fs_fault_space **spaces;        /* [site][bits], inside the plan's */
    uint32_t variants[FS_AXIS_MAX]; /* of the arm in work, by guard */
    fs_hash geometry;
} expansion;

static int has_slice(const fs_geometry *geometry, fs_component_set components, int layer)
{
    for (size_t i = 0; i < geometry->slice_count; i++)
        if ((components >> geometry->slices[i].component & 1) && geometry->slices[i].layer == layer)
            return 1;
    return 0;
}

static int layer_selected(const fs_sweep *sweep, int layer)
{
    if (sweep->layer_count == 0) return 1;
    for (size_t i = 0; i < sweep->layer_count; i++)
        if (sweep->layers[i] == layer) return 1;
    return 0;
}

/** Adds the cells of one set of components: by layer, or one for all selected layers. */
static void add_sites(expansion *e, const fs_geometry *geometry, fs_component_set components)
{
    int layers = (int)geometry->config.layers, found = 0;
    if (components == 0) return;
    for (int layer = -1; layer < layers; layer++) {
        if (!layer_selected(e->sweep, layer) || !has_slice(geometry, components, layer)) continue;
        found = 1;
        if (!(e->sweep->by & FS_BY_LAYER)) break;
        e->sites[e->site_count++] = (site){.layer = layer, .components = components};
    }
    if (found && !(e->sweep->by & FS_BY_LAYER))
        e->sites[e->site_count++] = (site){.layer = -1, .components = components};
}

/** The same of one set of stages: those at the ends belong to no layer. */
static void add_stages(expansion *e, uint32_t layers, fs_stage_set stages)
{
    const fs_stage_set ends = (fs_stage_set)1 << FS_STAGE_EMBEDDING_OUT | (fs_stage_set)1
                                                                              << FS_STAGE_LOGITS;
    int found = 0;
    for (int layer = -1; layer < (int)layers; layer++) {
        fs_stage_set own = layer < 0 ? stages & ends : stages & ~ends;
        if (!layer_selected(e->sweep, layer) || own == 0) continue;
        found = 1;
        if (e->sweep->by & FS_BY_LAYER)
            e->sites[e->site_count++] = (site){.layer = layer, .stages = own};
    }
    if (found && !(e->sweep->by & FS_BY_LAYER))
        e->sites[e->site_count++] = (site){.layer = -1, .stages = stages};
}

static void find_stages(expansion *e, uint32_t layers)
{
    if (!(e->sweep->by & FS_BY_STAGE)) {
        add_stages(e, layers, e->sweep->stages);
        return;
    }
    for (int s = 0; s < FS_STAGE_COUNT; s++)
        if (e->sweep->stages >> s & 1) add_stages(e, layers, (fs_stage_set)1 << s);
}

/** Says why a sweep selects nothing. */
static fs_status fail_empty(const expansion *e)
{
    const fs_geometry *geometry = e->plan->models[0].geometry;
    const fs_sweep *sweep = e->sweep;
    if (sweep->stages != 0)
        return fs_fail(FS_ECONFIG,
                       "sweep %s: the selection holds no activation of this model: embedding.out "
                       "and logits belong to no layer",
                       sweep->name);
    if ((sweep->components & fs_geometry_components(geometry)) == 0)
        return fs_fail(FS_ECONFIG,
                       "sweep %s: the selection holds no parameter of this model: %s has no %s",
                       sweep->name, geometry->config.kind == FS_MODEL_BERT ? "BERT" : "GPT-2",
                       fs_component_name((fs_component)__builtin_ctz(sweep->components)));
    return fs_fail(FS_ECONFIG,
                   "sweep %s: the selection holds no parameter of this model: none of "
                   "the components lies in the selected layers",
                   sweep->name);
}

static fs_status find_sites(expansion *e)
{
    const fs_geometry *geometry = e->plan->models[0].geometry;
    const fs_sweep *sweep = e->sweep;
    _Static_assert((int)FS_STAGE_COUNT <= (int)FS_COMPONENT_COUNT, "room for either kind of site");
    size_t count_max = (geometry->config.layers + 1) * (size_t)FS_COMPONENT_COUNT;
    for (size_t i = 0; i < sweep->layer_count; i++)
        if (sweep->layers[i] >= (int)geometry->config.layers)
            return fs_fail(FS_ECONFIG,
                           "sweep %s: layer %d is selected, but the model has %u (0..%u)",
                           sweep->name, sweep->layers[i], geometry->config.layers,
                           geometry->config.layers - 1);
    e->sites = malloc(count_max * sizeof *e->sites);
    if (e->sites == NULL) return fs_fail(FS_ENOMEM, "no memory for a plan");
    fs_component_set set = sweep->components & fs_geometry_components(geometry);
    if (sweep->stages != 0) {
        find_stages(e, geometry->config.layers);
    } else if (sweep->by & FS_BY_COMPONENT) {
        for (int c = 0; c < FS_COMPONENT_COUNT; c++)
            add_sites(e, geometry, set & (fs_component_set)1 << c);
    } else if (sweep->by & FS_BY_GROUP) {
        for (int g = 0; g < FS_GROUP_COUNT; g++)
            add_sites(e, geometry, set & fs_component_parse(fs_group_name((fs_group)g)));
    } else {
        add_sites(e, geometry, set);
    }
    return e->site_count == 0 ? fail_empty(e) : FS_OK;
}

/** Orders by layer, then component: an order that people expect of a map. */
static int compare_sites(const void *a, const void *b)
{
    const site *x = a, *y = b;
    if (x->layer != y->layer) return x->layer < y->layer ? -1 : 1;
    if (x->stages != y->stages) return x->stages < y->stages ? -1 : 1;
    /* The lowest component decides; the sets of one sweep are disjoint or equal. */
    fs_component_set p = x->components & (0u - x->components);
    fs_component_set q = y->components & (0u - y->components);
    return p < q ? -1 : p > q;
}

static void find_axes(expansion *e)
{
    qsort(e->sites, e->site_count, sizeof *e->sites, compare_sites);
    for (size_t i = 1; i < e->site_count; i++) {
        e->layers_vary |= e->sites[i].layer != e->sites[0].layer;
        e->components_vary |= e->sites[i].components != e->sites[0].components;
        e->stages_vary |= e->sites[i].stages != e->sites[0].stages;
    }
}

/** The largest input that the task can have. */
static fs_extent largest_of(const fs_plan *plan)
{
    const fs_task *task = &plan->campaign->task;
    uint32_t length = plan->models[0].geometry->config.positions;
    if (task->kind != FS_TASK_LM) return (fs_extent){.length = length};
    if (task->window != 0) length = task->window;
    return (fs_extent){.length = length, .scored = length - 1};
}

static fs_status make_space(const expansion *e, const site *s, fs_bits bits, fs_fault_space **out)
{
    const fs_sweep *sweep = e->sweep;
    int by_layer = (sweep->by & FS_BY_LAYER) != 0;
    const int *layers = by_layer ? &s->layer : sweep->layers;
    size_t layer_count = by_layer ? 1 : sweep->layer_count;
    const fs_geometry *geometry = e->plan->models[0].geometry;
    if (s->stages != 0)
        return fs_activation_space_new(out, geometry, s->stages, layers, layer_count, bits,
                                       largest_of(e->plan));
    return fs_fault_space_new(out, geometry, s->components, layers, layer_count, bits);
}

static fs_status make_spaces(expansion *e)
{
    fs_plan *plan = e->plan;
    const fs_sweep *sweep = e->sweep;
    size_t add = e->site_count * sweep->bits_count;
    fs_fault_space **grown =
        realloc(plan->spaces, (plan->space_count + add) * sizeof(fs_fault_space *));
    if (grown == NULL) return fs_fail(FS_ENOMEM, "no memory for a plan");
    plan->spaces = grown;
    size_t first = plan->space_count;
    for (size_t s = 0; s < e->site_count; s++) {
        for (size_t b = 0; b < sweep->bits_count; b++) {
            fs_status status =
                make_space(e, &e->sites[s], sweep->bits[b].bits, &plan->spaces[plan->space_count]);
            if (status != FS_OK) return fs_wrap(status, "sweep %s", sweep->name);
            plan->space_count++;
        }
    }
    e->spaces = plan->spaces + first;
    return FS_OK;
}

/* --- Variants --------------------------------------------------------------------------------- */

static fs_status find_variant(fs_plan *plan, uint32_t arm_index, fs_guard guard, uint32_t *out)
{
    const fs_arm *arm = &plan->campaign->arms[arm_index];
    fs_variant wanted = {.model = fs__plan_model_of(plan, arm), .arm = arm_index};
    const char *names[FS_PROTECT_MAX];
    for (unsigned i = 0; i < arm->protect_count; i++) names[i] = arm->protect[i];
    fs_status status = fs_protect_init(&wanted.protect, names, arm->protect_count, guard);
    if (status != FS_OK) return fs_wrap(status, "arm %s", arm->name);
    for (size_t i = 0; i < plan->variant_count; i++) {
        *out = (uint32_t)i;
        if (plan->variants[i].model == wanted.model &&
            fs_protect_equal(&plan->variants[i].protect, &wanted.protect))
            return FS_OK;
    }
    if (plan->variant_count == FS_VARIANTS_MAX)
        return fs_fail(FS_ELIMIT, "more than %d combinations of model, protection and guard",
                       FS_VARIANTS_MAX);
    fs_variant *grown = realloc(plan->variants, (plan->variant_count + 1) * sizeof *plan->variants);
    if (grown == NULL) return fs_fail(FS_ENOMEM, "no memory for a plan");
    plan->variants = grown;
    plan->variants[plan->variant_count] = wanted;
    *out = (uint32_t)plan->variant_count++;
    return FS_OK;
}

/* --- Ids and keys ----------------------------------------------------------------------------- */

static int append(char id[FS_CELL_ID_BYTES_MAX], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** @return zero if the id would be too long. */
static int append(char id[FS_CELL_ID_BYTES_MAX], const char *format, ...)
{
    size_t used = strlen(id);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(id + used, FS_CELL_ID_BYTES_MAX - used, format, args);
    va_end(args);
    return n >= 0 && (size_t)n < FS_CELL_ID_BYTES_MAX - used;
}

static const char *site_word(const expansion *e, fs_component_set components)
{
    fs_component lowest = (fs_component)__builtin_ctz(components);
    return e->sweep->by & FS_BY_COMPONENT ? fs_component_name(lowest)
                                          : fs_group_name(fs_component_group(lowest));
}

static fs_status name_cell(const expansion *e, fs_cell *cell)
{
    const fs_sweep *sweep = e->sweep;
    char number[FS_NUMBER_BYTES];
    fs_buf guard = {0};
    int fits = append(cell->id, "%s/%s", sweep->name, e->plan->campaign->arms[cell->arm].name);
    if (e->layers_vary)
        fits &= cell->layer < 0 ? append(cell->id, ",layer=none")
                                : append(cell->id, ",layer=%d", cell->layer);
    if (e->components_vary)
        fits &= append(cell->id, ",%s=%s", sweep->by & FS_BY_COMPONENT ? "component" : "group",
                       site_word(e, cell->components));
    if (e->stages_vary && (sweep->by & FS_BY_STAGE))
        fits &= append(cell->id, ",stage=%s", fs_stage_name((fs_stage)__builtin_ctz(cell->stages)));
    fs_number_text(cell->amount.value, number);
    if (sweep->amount_count > 1)
        fits &= append(cell->id, ",%s=%s", fs_amount_name(sweep->amount_kind), number);
    if (sweep->kind_count > 1) fits &= append(cell->id, ",kind=%s", fs_fault_kind_name(cell->kind));
    if (sweep->bits_count > 1) fits &= append(cell->id, ",bits=%s", cell->bits->name);
    if (sweep->guard_count > 1) {
        FS_TRY(fs_guard_write(&cell->guard, &guard));
        fits &= append(cell->id, ",guard=%s", fs_buf_text(&guard));
        fs_buf_free(&guard);
    }
    if (!fits)
        return fs_fail(FS_ELIMIT, "sweep %s: the cell id %.60s... is longer than %d bytes",
                       sweep->name, cell->id, FS_CELL_ID_BYTES_MAX - 1);
    return FS_OK;
}

static void hash_text(fs_hasher *hasher, const char *text)
{
    fs_hasher_field(hasher, text, strlen(text));
}

/** The key of a cell's faults: all that says where and how many, nothing of arm and guard. */
static uint64_t draw_key(const expansion *e, const fs_cell *cell)
{
    char amount[FS_NUMBER_BYTES];
    fs_hasher hasher;
    fs_hash hash;
    fs_hasher_init(&hasher);
    hash_text(&hasher, FS_CONVENTION);
    fs__hash_number(&hasher, e->plan->campaign->seed);
    hash_text(&hasher, e->sweep->name);
    fs_hasher_field(&hasher, e->geometry.bytes, FS_HASH_BYTES);
    fs__hash_number(&hasher, cell->space->slice_count);
    for (size_t i = 0; i < cell->space->slice_count; i++)
        fs__hash_number(&hasher, cell->space->slices[i]);
    if (cell->stages != 0) {
        hash_text(&hasher, cell->transient ? "transient activations" : "activations");
        fs__hash_number(&hasher, cell->space->place_count);
        for (size_t i = 0; i < cell->space->place_count; i++)
            fs__hash_number(&hasher, cell->space->places[i]);
    }
    fs__hash_number(&hasher, cell->space->bits);
    hash_text(&hasher, fs_amount_name(cell->amount.kind));
    fs_number_text(cell->amount.value, amount);
    hash_text(&hasher, amount);
    hash_text(&hasher, fs_fault_kind_name(cell->kind));
    fs_hasher_final(&hasher, &hash);
    return fs_hash_u64(&hash);
}

/** Redundant bits are hit as often as data bits. Where a cell names bits of the words, those are
 * what is asked about, and nothing else is hit. */
static void set_checks(const expansion *e, fs_cell *cell)
{
    const fs_arm *arm = &e->plan->campaign->arms[cell->arm];
    const fs_protect *protect = &e->plan->variants[cell->variant].protect;
    const double sites = (double)cell->space->values * cell->space->bit_count;
    fs_hasher hasher;
    fs_hash hash;
    if (cell->stages != 0 || !arm->metadata || !fs_protect_has_checks(protect)) return;
    if (cell->space->bit_count != fs_protect_format(protect)->bits) return;
    cell->check_rate = fs_cell_faults(cell) / sites;
    if (cell->check_rate > 1) cell->check_rate = 1;
    fs_hasher_init(&hasher);
    hash_text(&hasher, "redundant bits");
    fs__hash_number(&hasher, cell->draw_key);
    for (unsigned i = 0; i < protect->codec_count; i++)
        hash_text(&hasher, protect->codecs[i]->name);
    fs_hasher_final(&hasher, &hash);
    cell->check_key = fs_hash_u64(&hash);
}

/* --- Cells ------------------------------------------------------------------------------------ */

static fs_status check_amount(const fs_cell *cell)
{
    double sites = (double)cell->space->values * cell->space->bit_count;
    if (cell->amount.kind == FS_AMOUNT_COUNT && cell->amount.value > sites)
        return fs_fail(FS_ECONFIG, "cell %s: %.0f faults are wanted, but there are %.0f sites",
                       cell->id, cell->amount.value, sites);
    if (fs_cell_faults(cell) > (double)FS_FAULTS_PER_TRIAL_MAX)
        return fs_fail(FS_ELIMIT, "cell %s: %.0f faults a trial, at most %.0f are allowed",
                       cell->id, fs_cell_faults(cell), (double)FS_FAULTS_PER_TRIAL_MAX);
    return FS_OK;
}

/** Fills one cell from the number of its place on the axes; the last axis counts fastest. */
static fs_status make_cell(const expansion *e, uint32_t arm, size_t place, uint32_t pair,
                           fs_cell *cell)
{
    const fs_sweep *sweep = e->sweep;
    FS_ASSERT(sweep->guard_count > 0 && sweep->bits_count > 0 && sweep->kind_count > 0);
    size_t guard = place % sweep->guard_count;
    place /= sweep->guard_count;
    size_t bits = place % sweep->bits_count;
    place /= sweep->bits_count;
    size_t kind = place % sweep->kind_count;
    place /= sweep->kind_count;
    size_t amount = place % sweep->amount_count;
    place /= sweep->amount_count;
    FS_ASSERT(place < e->site_count);
    *cell = (fs_cell){
        .sweep = e->sweep_index,
        .arm = arm,
        .pair = pair,
        .layer = e->sites[place].layer,
        .by_layer = (sweep->by & FS_BY_LAYER) != 0,
        .components = e->sites[place].components,
        .stages = e->sites[place].stages,
        .transient = sweep->transient,
        .amount = {.kind = sweep->amount_kind, .value = sweep->amounts[amount]},
        .kind = sweep->kinds[kind],
        .bits = &sweep->bits[bits],
        .guard = sweep->guards[guard],
        .variant = e->variants[guard],
        .trials = sweep->trials,
        .space = e->spaces[place * sweep->bits_count + bits],
    };
    cell->draw_key = draw_key(e, cell);
    cell->masked_sites = fs__plan_masked_sites(e->plan, cell);
    FS_TRY(name_cell(e, cell));
    FS_TRY(check_amount(cell));
    set_checks(e, cell);
    return FS_OK;
}

static size_t cells_per_arm(const expansion *e)
{
    return e->site_count * e->sweep->amount_count * e->sweep->kind_count * e->sweep->bits_count *
           e->sweep->guard_count;
}

static fs_status expand(expansion *e, uint32_t pair_first)
{
    fs_plan *plan = e->plan;
    size_t arms = plan->campaign->arm_count, count = cells_per_arm(e);
    if (count > FS_CELLS_MAX || count * arms + plan->cell_count > FS_CELLS_MAX)
        return fs_fail(FS_ELIMIT,
                       "sweep %s: %zu cells in each of %zu arms, beyond the %d cells of "
                       "a campaign",
                       e->sweep->name, count, arms, FS_CELLS_MAX);
    FS_TRY(make_spaces(e));
    fs_cell *grown = realloc(plan->cells, (plan->cell_count + count * arms) * sizeof *grown);
    if (grown == NULL) return fs_fail(FS_ENOMEM, "no memory for a plan");
    plan->cells = grown;
    for (uint32_t arm = 0; arm < arms; arm++) {
        for (size_t g = 0; g < e->sweep->guard_count; g++)
            FS_TRY(find_variant(plan, arm, e->sweep->guards[g], &e->variants[g]));
        for (size_t place = 0; place < count; place++) {
            fs_cell *cell = &plan->cells[plan->cell_count];
            FS_TRY(make_cell(e, arm, place, pair_first + (uint32_t)place, cell));
            plan->cell_count++;
            plan->trials += cell->trials;
        }
    }
    return FS_OK;
}

double fs_cell_faults(const fs_cell *cell)
{
    double values = (double)cell->space->values;
    switch (cell->amount.kind) {
    case FS_AMOUNT_COUNT:
        return cell->amount.value;
    case FS_AMOUNT_RATE:
        return cell->amount.value * values;
    case FS_AMOUNT_BER:
        break;
    }
    return cell->amount.value * values * cell->space->bit_count;
}

fs_status fs__plan_cells(fs_plan *self)
{
    uint32_t pair = 0;
    for (uint32_t i = 0; i < self->campaign->sweep_count; i++) {
        expansion e = {.plan = self, .sweep = &self->campaign->sweeps[i], .sweep_index = i};
        fs__geometry_hash(&e.geometry, self->models[0].geometry);
        fs_status status = find_sites(&e);
        if (status == FS_OK) {
            find_axes(&e);
            status = expand(&e, pair);
            pair += (uint32_t)cells_per_arm(&e);
        }
        free(e.sites);
        FS_TRY(status);
    }
    return FS_OK;
}
