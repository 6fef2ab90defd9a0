/* Sweeps expanded into cells. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "number.h"
#include "plan_build.h"

/** A sweep while it is expanded. Cells of an arm follow each other. */
typedef struct expansion {
    fs_plan *plan;
    const fs_sweep *sweep;
    uint32_t sweep_index;
    fs_plan_site *sites;
    size_t site_count;
    int layers_vary; /* axes that are shown in an id */
    int parts_vary;
    size_t spaces[FS_FORMAT_COUNT]; /* of words of a format, [site][bits]: first in the plan's */
    uint32_t variants[FS_AXIS_MAX]; /* of the arm in work, by guard */
    fs_hash geometry;
} expansion;

static void find_axes(expansion *e)
{
    for (size_t i = 1; i < e->site_count; i++) {
        e->layers_vary |= e->sites[i].layer != e->sites[0].layer;
        e->parts_vary |= e->sites[i].part != e->sites[0].part;
    }
}

/** The words that the cells of an arm hit. What is only computed with is fp32, but activations: a
 * model is tuned in fp32 too. */
static fs_format_kind words_of(const expansion *e, const fs_arm *arm)
{
    if (e->sweep->finetunes) return FS_FORMAT_FP32;
    if (e->sweep->site->when == FS_SITE_STORED) return arm->dtype;
    return e->sweep->site->when == FS_SITE_COMPUTED ? fs_activation_format(arm->dtype)
                                                    : FS_FORMAT_FP32;
}

/** Resolves the bits axis for an arm's words. */
static fs_status find_bits(const expansion *e, const fs_arm *arm, fs_bits out[FS_AXIS_MAX])
{
    const fs_sweep *sweep = e->sweep;
    const fs_format *format = fs_format_of(words_of(e, arm));
    for (size_t b = 0; b < sweep->bits_count; b++) {
        fs_status status = fs_bits_choice_in(&sweep->bits[b], format, &out[b]);
        if (status != FS_OK) return fs_wrap(status, "sweep %s, arm %s", sweep->name, arm->name);
        for (size_t i = 0; i < b; i++)
            if (out[i] == out[b])
                return fs_fail(
                    FS_ECONFIG, "sweep %s, arm %s: bits '%s' and '%s' are the same of %s words",
                    sweep->name, arm->name, sweep->bits[i].name, sweep->bits[b].name, format->name);
    }
    return FS_OK;
}

/** Makes the spaces of an arm's words, unless an arm of that format has them. */
static fs_status make_spaces(expansion *e, const fs_arm *arm)
{
    fs_plan *plan = e->plan;
    const fs_sweep *sweep = e->sweep;
    const fs_format_kind format = words_of(e, arm);
    fs_bits bits[FS_AXIS_MAX];
    if (e->spaces[format] != SIZE_MAX) return FS_OK;
    FS_TRY(find_bits(e, arm, bits));
    size_t add = e->site_count * sweep->bits_count;
    fs_fault_space **grown =
        realloc(plan->spaces, (plan->space_count + add) * sizeof(fs_fault_space *));
    if (grown == NULL) return fs_fail(FS_ENOMEM, "no memory for a plan");
    plan->spaces = grown;
    e->spaces[format] = plan->space_count;
    for (size_t s = 0; s < e->site_count; s++) {
        for (size_t b = 0; b < sweep->bits_count; b++) {
            FS_TRY(fs__plan_space(plan, sweep, &e->sites[s], bits[b],
                                  &plan->spaces[plan->space_count]));
            plan->space_count++;
        }
    }
    return FS_OK;
}

/* --- Variants --------------------------------------------------------------------------------- */

static fs_status find_variant(fs_plan *plan, uint32_t arm_index, fs_guard guard, int tuned,
                              uint32_t *out)
{
    const fs_arm *arm = &plan->campaign->arms[arm_index];
    fs_variant wanted = {.model = fs__plan_model_of(plan, arm), .arm = arm_index, .tuned = tuned};
    const char *names[FS_PROTECT_MAX];
    for (unsigned i = 0; i < arm->protect_count; i++) names[i] = arm->protect[i];
    fs_status status =
        fs_protect_init_format(&wanted.protect, names, arm->protect_count, guard, arm->dtype);
    if (status != FS_OK) return fs_wrap(status, "arm %s", arm->name);
    for (size_t i = 0; i < plan->variant_count; i++) {
        *out = (uint32_t)i;
        if (plan->variants[i].model == wanted.model && plan->variants[i].tuned == tuned &&
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

static fs_status name_cell(const expansion *e, const char *part, fs_cell *cell)
{
    const fs_sweep *sweep = e->sweep;
    char number[FS_NUMBER_BYTES], form[FS_FORM_TEXT_BYTES];
    fs_buf guard = {0};
    int fits = append(cell->id, "%s/%s", sweep->name, e->plan->campaign->arms[cell->arm].name);
    if (e->layers_vary)
        fits &= cell->layer < 0 ? append(cell->id, ",layer=none")
                                : append(cell->id, ",layer=%d", cell->layer);
    if (e->parts_vary)
        fits &=
            append(cell->id, ",%s=%s",
                   fs_by_word((unsigned)__builtin_ctz(sweep->by & ~(unsigned)FS_BY_LAYER)), part);
    fs_number_text(cell->amount.value, number);
    if (sweep->amount_count > 1)
        fits &= append(cell->id, ",%s=%s", fs_amount_name(sweep->amount_kind), number);
    fs_form_kind_text(cell->form.kind, form);
    if (sweep->kind_count > 1) fits &= append(cell->id, ",kind=%s", form);
    fs_form_pattern_text(cell->form.pattern, form);
    if (sweep->pattern_count > 1) fits &= append(cell->id, ",pattern=%s", form);
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

/** The key of a cell's faults: all that says where and how many, nothing of arm and guard, nor of a
 * storage format: bits are named as of fp32. */
static uint64_t draw_key(const expansion *e, const fs_cell *cell)
{
    char amount[FS_NUMBER_BYTES], form[FS_FORM_TEXT_BYTES];
    fs_hasher hasher;
    fs_hash hash;
    fs_hasher_init(&hasher);
    fs_hasher_text(&hasher, FS_CONVENTION);
    fs_hasher_number(&hasher, e->plan->campaign->seed);
    fs_hasher_text(&hasher, e->sweep->name);
    fs_hasher_field(&hasher, e->geometry.bytes, FS_HASH_BYTES);
    fs_hasher_number(&hasher, cell->space->slice_count);
    for (size_t i = 0; i < cell->space->slice_count; i++)
        fs_hasher_number(&hasher, cell->space->slices[i]);
    if (cell->site->key != NULL) cell->site->key(&hasher, cell);
    if (cell->steps != 0) {
        fs_hasher_text(&hasher, cell->transient ? "one step of fine-tuning" : "fine-tuning");
        fs_hasher_number(&hasher, fs_cell_arrays(cell));
    }
    fs_hasher_number(&hasher, cell->bits->bits);
    fs_hasher_text(&hasher, fs_amount_name(cell->amount.kind));
    fs_number_text(cell->amount.value, amount);
    fs_hasher_text(&hasher, amount);
    fs_form_kind_text(cell->form.kind, form);
    fs_hasher_text(&hasher, form);
    fs_form_pattern_text(cell->form.pattern, form);
    if (cell->form.pattern.axis != FS_FORM_ELEMENT) fs_hasher_text(&hasher, form);
    fs_hasher_final(&hasher, &hash);
    return fs_hash_u64(&hash);
}

/** Bits beside the words are hit as often as data bits. Where a cell names bits of the words, those
 * are what is asked about, and nothing else is hit. */
static void set_checks(const expansion *e, fs_cell *cell)
{
    const fs_arm *arm = &e->plan->campaign->arms[cell->arm];
    const fs_protect *protect = &e->plan->variants[cell->variant].protect;
    const double sites = (double)cell->space->values * cell->space->bit_count;
    fs_hasher hasher;
    fs_hash hash;
    if (cell->site->when != FS_SITE_STORED || cell->site->from != FS_SITE_DRAWN ||
        cell->steps != 0 || !arm->metadata || !fs_protect_has_checks(protect))
        return;
    if (cell->space->bit_count != fs_protect_format(protect)->bits) return;
    cell->check_rate = fs_cell_faults(cell) / sites;
    if (cell->check_rate > 1) cell->check_rate = 1;
    fs_hasher_init(&hasher);
    fs_hasher_text(&hasher, "redundant bits");
    fs_hasher_number(&hasher, cell->draw_key);
    for (unsigned i = 0; i < protect->codec_count; i++)
        fs_hasher_text(&hasher, protect->codecs[i]->name);
    fs_hasher_final(&hasher, &hash);
    cell->check_keys.checks = fs_hash_u64(&hash);
    fs_hasher_init(&hasher);
    fs_hasher_text(&hasher, "scales");
    fs_hasher_number(&hasher, cell->draw_key);
    fs_hasher_final(&hasher, &hash);
    cell->check_keys.scales = fs_hash_u64(&hash);
}

/* --- Cells ------------------------------------------------------------------------------------ */

static fs_form_expected expect(const fs_cell *cell)
{
    return fs_form_expect(&cell->form, &cell->space->grids, cell->space->bits, cell->amount);
}

fs_tune_arrays fs_cell_arrays(const fs_cell *cell)
{
    return cell->steps == 0 ? 0 : cell->site->arrays(cell->set);
}

/** @return how often a trial draws faults. */
static double draws(const fs_cell *cell)
{
    if (cell->steps == 0) return 1;
    const double arrays = __builtin_popcount(fs_cell_arrays(cell));
    return cell->transient ? arrays : arrays * (double)cell->steps;
}

static fs_status check_amount(const fs_cell *cell)
{
    const int plain = fs_form_is_plain(&cell->form);
    const double sites =
        (double)cell->space->values * fs_form_starts(&cell->form, cell->space->bits);
    const double faults = draws(cell) * expect(cell).written;
    if (cell->amount.kind == FS_AMOUNT_COUNT && cell->amount.value > sites)
        return fs_fail(FS_ECONFIG, "cell %s: %.0f faults are wanted, but there are %.0f %s",
                       cell->id, cell->amount.value, sites,
                       plain ? "sites" : "places where one can start");
    if (faults > (double)FS_FAULTS_PER_TRIAL_MAX)
        return fs_fail(FS_ELIMIT, "cell %s: %.0f faults a trial%s, at most %.0f are allowed",
                       cell->id, faults, plain ? "" : ", each bit that they hit being one",
                       (double)FS_FAULTS_PER_TRIAL_MAX);
    return FS_OK;
}

/** A burst needs a place to start. */
static fs_status check_form(const fs_sweep *sweep, const fs_cell *cell)
{
    char kind[FS_FORM_TEXT_BYTES];
    if (fs_form_starts(&cell->form, cell->space->bits) > 0) return FS_OK;
    fs_form_kind_text(cell->form.kind, kind);
    return fs_fail(FS_ECONFIG,
                   "sweep %s: kind %s does not fit into bits %s of %s words: it needs %u that are "
                   "adjacent",
                   sweep->name, kind, cell->bits->name, fs_format_of(cell->format)->name,
                   (unsigned)cell->form.kind.burst);
}

/** Fills one cell from the number of its place on the axes; the last axis counts fastest. */
static fs_status make_cell(const expansion *e, uint32_t arm, size_t place, uint32_t pair,
                           fs_cell *cell)
{
    const fs_sweep *sweep = e->sweep;
    FS_ASSERT(sweep->guard_count > 0 && sweep->bits_count > 0 && sweep->kind_count > 0 &&
              sweep->pattern_count > 0);
    size_t guard = place % sweep->guard_count;
    place /= sweep->guard_count;
    size_t bits = place % sweep->bits_count;
    place /= sweep->bits_count;
    size_t pattern = place % sweep->pattern_count;
    place /= sweep->pattern_count;
    size_t kind = place % sweep->kind_count;
    place /= sweep->kind_count;
    size_t amount = place % sweep->amount_count;
    place /= sweep->amount_count;
    FS_ASSERT(place < e->site_count);
    const fs_format_kind format = words_of(e, &e->plan->campaign->arms[arm]);
    *cell = (fs_cell){
        .sweep = e->sweep_index,
        .arm = arm,
        .pair = pair,
        .layer = e->sites[place].layer,
        .by_layer = (sweep->by & FS_BY_LAYER) != 0,
        .site = sweep->site,
        .set = e->sites[place].set,
        .transient = sweep->transient,
        .steps = sweep->finetunes ? e->plan->campaign->finetune.steps : 0,
        .amount = {.kind = sweep->amount_kind, .value = sweep->amounts[amount]},
        .form = {sweep->kinds[kind], sweep->patterns[pattern]},
        .bits = &sweep->bits[bits],
        .format = format,
        .guard = sweep->guards[guard],
        .variant = e->variants[guard],
        .trials = sweep->trials,
        .space = e->plan->spaces[e->spaces[format] + place * sweep->bits_count + bits],
    };
    FS_TRY(check_form(sweep, cell));
    cell->draw_key = draw_key(e, cell);
    if (cell->site->masked != NULL && cell->steps == 0)
        cell->masked_sites = cell->site->masked(e->plan, cell);
    FS_TRY(name_cell(e, e->sites[place].part, cell));
    FS_TRY(check_amount(cell));
    set_checks(e, cell);
    return FS_OK;
}

static size_t cells_per_arm(const expansion *e)
{
    const fs_sweep *sweep = e->sweep;
    return e->site_count * sweep->amount_count * sweep->kind_count * sweep->pattern_count *
           sweep->bits_count * sweep->guard_count;
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
    fs_cell *grown = realloc(plan->cells, (plan->cell_count + count * arms) * sizeof *grown);
    if (grown == NULL) return fs_fail(FS_ENOMEM, "no memory for a plan");
    plan->cells = grown;
    for (uint32_t arm = 0; arm < arms; arm++) {
        FS_TRY(make_spaces(e, &plan->campaign->arms[arm]));
        for (size_t g = 0; g < e->sweep->guard_count; g++)
            FS_TRY(
                find_variant(plan, arm, e->sweep->guards[g], e->sweep->finetunes, &e->variants[g]));
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
    return draws(cell) * expect(cell).sites;
}

fs_status fs__plan_cells(fs_plan *self)
{
    uint32_t pair = 0;
    for (uint32_t i = 0; i < self->campaign->sweep_count; i++) {
        expansion e = {.plan = self, .sweep = &self->campaign->sweeps[i], .sweep_index = i};
        for (int f = 0; f < FS_FORMAT_COUNT; f++) e.spaces[f] = SIZE_MAX;
        fs__geometry_hash(&e.geometry, self->models[0].geometry);
        fs_status status = fs__plan_sites(self, e.sweep, &e.sites, &e.site_count);
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
