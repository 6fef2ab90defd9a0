#include "activation.h"

#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "hash.h"
#include "limits.h"
#include "rng.h"

enum {
    LAYER_STAGES = FS_STAGE_COUNT - 2, /* between embedding.out and logits */
    PLACE_LOGITS = UINT16_MAX          /* behind the last layer of any model */
};
_Static_assert(1 + FS_LAYERS_MAX * (int)LAYER_STAGES < (int)PLACE_LOGITS, "a place fits 16 bits");

#define BOUNDARIES                                                                                 \
    ((fs_stage_set)1 << FS_STAGE_EMBEDDING_OUT | (fs_stage_set)1 << FS_STAGE_BLOCK_OUT |           \
     (fs_stage_set)1 << FS_STAGE_LOGITS)

static const char *const names[FS_STAGE_COUNT] = {
#define X(name, text) text,
    FS_STAGE_MAP(X)
#undef X
};

const char *fs_stage_name(fs_stage stage)
{
    FS_ASSERT(stage < FS_STAGE_COUNT);
    return names[stage];
}

fs_stage_set fs_stage_parse(const char *word)
{
    if (strcmp(word, "all") == 0) return ((fs_stage_set)1 << FS_STAGE_COUNT) - 1;
    if (strcmp(word, "boundaries") == 0) return BOUNDARIES;
    for (int i = 0; i < FS_STAGE_COUNT; i++)
        if (strcmp(word, names[i]) == 0) return (fs_stage_set)1 << i;
    return 0;
}

fs_format_kind fs_activation_format(fs_format_kind parameters)
{
    return parameters == FS_FORMAT_FP16 || parameters == FS_FORMAT_BF16 ? parameters
                                                                        : FS_FORMAT_FP32;
}

/* --- Places ----------------------------------------------------------------------------------- */

fs_place fs_place_of(fs_stage stage, uint32_t layer)
{
    if (stage == FS_STAGE_EMBEDDING_OUT) return 0;
    if (stage == FS_STAGE_LOGITS) return PLACE_LOGITS;
    FS_ASSERT(layer < FS_LAYERS_MAX && stage < FS_STAGE_COUNT);
    return (fs_place)(1 + layer * LAYER_STAGES + (uint32_t)stage - FS_STAGE_ATTENTION_Q);
}

fs_stage fs_place_stage(fs_place place)
{
    if (place == 0) return FS_STAGE_EMBEDDING_OUT;
    if (place == PLACE_LOGITS) return FS_STAGE_LOGITS;
    return (fs_stage)(FS_STAGE_ATTENTION_Q + (place - 1) % LAYER_STAGES);
}

int fs_place_layer(fs_place place)
{
    return place == 0 || place == PLACE_LOGITS ? -1 : (place - 1) / LAYER_STAGES;
}

int fs_place_valid(uint32_t number)
{
    return number <= FS_LAYERS_MAX * LAYER_STAGES || number == PLACE_LOGITS;
}

/* --- Shapes ----------------------------------------------------------------------------------- */

static int is_weighting(fs_stage stage)
{
    return stage == FS_STAGE_ATTENTION_SCORES || stage == FS_STAGE_ATTENTION_PROBS;
}

uint32_t fs_stage_width(const fs_config *config, fs_stage stage)
{
    if (is_weighting(stage)) return config->positions;
    if (stage == FS_STAGE_MLP_HIDDEN) return config->d_ff;
    if (stage == FS_STAGE_LOGITS)
        return config->task == FS_TASK_LM ? config->vocab : config->labels;
    return config->d_model;
}

unsigned fs_stage_index(const fs_config *config, fs_stage stage, uint64_t element, uint64_t out[3])
{
    uint32_t width = fs_stage_width(config, stage);
    uint64_t row = element / width, column = element % width;
    unsigned count = 0;
    if (is_weighting(stage)) {
        out[count++] = row / config->positions;
        row %= config->positions;
    }
    if (stage != FS_STAGE_LOGITS || config->task == FS_TASK_LM) out[count++] = row;
    out[count++] = column;
    return count;
}

fs_grid fs_stage_grid(const fs_config *config, fs_stage stage, fs_extent extent)
{
    if (is_weighting(stage))
        return (fs_grid){.copies = config->heads,
                         .rows = extent.length,
                         .cols = extent.length,
                         .lower = config->kind == FS_MODEL_GPT2};
    const uint32_t width = fs_stage_width(config, stage);
    if (stage != FS_STAGE_LOGITS)
        return (fs_grid){.copies = 1, .rows = extent.length, .cols = width};
    const uint32_t rows = config->task == FS_TASK_LM ? extent.scored : 1;
    return (fs_grid){.copies = 1, .rows = rows, .cols = width};
}

uint64_t fs_stage_values(const fs_config *config, fs_stage stage, fs_extent extent)
{
    const fs_grid grid = fs_stage_grid(config, stage, extent);
    return fs_grid_values(&grid);
}

/* The element of the n-th value of a stage. */
static uint64_t element_of(const fs_config *config, fs_stage stage, fs_extent extent, uint64_t n)
{
    const fs_grid grid = fs_stage_grid(config, stage, extent);
    if (is_weighting(stage)) {
        const fs_grid_at at = fs_grid_find(&grid, n);
        const uint64_t row = (uint64_t)at.copy * config->positions + at.row;
        return row * config->positions + at.col;
    }
    if (stage == FS_STAGE_LOGITS && config->task == FS_TASK_LM)
        return (uint64_t)(extent.length - 1 - extent.scored) * config->vocab + n;
    return n;
}

/* --- The space -------------------------------------------------------------------------------- */

static int layer_chosen(const int *layers, size_t layer_count, int layer)
{
    if (layer_count == 0) return 1;
    for (size_t i = 0; i < layer_count; i++)
        if (layers[i] == layer) return 1;
    return 0;
}

static void add_place(fs_fault_space *self, fs_stage stage, uint32_t layer, fs_extent largest)
{
    self->places[self->place_count++] = fs_place_of(stage, layer);
    fs_grids_add(&self->grids, fs_stage_grid(&self->geometry->config, stage, largest));
    self->values = fs_grids_values(&self->grids);
}

fs_status fs_activation_space_new(fs_fault_space **out, const fs_geometry *geometry,
                                  fs_stage_set stages, const int *layers, size_t layer_count,
                                  fs_bits bits, fs_extent largest)
{
    *out = NULL;
    if (bits == 0) return fs_fail(FS_ECONFIG, "no bits are chosen");
    uint32_t depth = geometry->config.layers;
    fs_fault_space *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a fault space");
    self->geometry = geometry;
    self->bits = bits;
    self->bit_count = (unsigned)__builtin_popcount(bits);
    const size_t places = (size_t)depth * LAYER_STAGES + 2;
    self->places = malloc(places * sizeof *self->places);
    if (self->places == NULL || fs_grids_init(&self->grids, places) != FS_OK) {
        fs_fault_space_destroy(&self);
        return fs_fail(FS_ENOMEM, "no memory for a fault space");
    }
    int outside = layer_chosen(layers, layer_count, -1);
    if (outside && (stages >> FS_STAGE_EMBEDDING_OUT & 1))
        add_place(self, FS_STAGE_EMBEDDING_OUT, 0, largest);
    for (uint32_t l = 0; l < depth; l++) {
        if (!layer_chosen(layers, layer_count, (int)l)) continue;
        for (int s = FS_STAGE_ATTENTION_Q; s < FS_STAGE_LOGITS; s++)
            if (stages >> s & 1) add_place(self, (fs_stage)s, l, largest);
    }
    if (outside && (stages >> FS_STAGE_LOGITS & 1)) add_place(self, FS_STAGE_LOGITS, 0, largest);
    if (self->values == 0) {
        fs_fault_space_destroy(&self);
        return fs_fail(FS_ECONFIG, "the selection holds no activation of this model");
    }
    fs_grids_trim(&self->grids);
    *out = self;
    return FS_OK;
}

/* --- Drawing ---------------------------------------------------------------------------------- */

uint32_t fs_activation_pick(uint64_t draw_key, uint64_t trial, uint32_t inputs)
{
    fs_rng rng;
    fs_rng_init(&rng, draw_key, trial);
    return (uint32_t)fs_rng_below(&rng, inputs);
}

/* Turns numbers of an input's values, in order, into places. */
static void locate(fs_fault_list *list, const fs_fault_space *space, const fs_grids *grids,
                   uint32_t input, fs_extent extent)
{
    const fs_config *config = &space->geometry->config;
    size_t at = 0;
    for (size_t i = 0; i < list->count; i++) {
        fs_fault *fault = &list->items[i];
        at = fs_grids_find(grids, fault->element, at);
        fault->input = input;
        fault->place = space->places[at];
        fault->element = element_of(config, fs_place_stage(fault->place), extent,
                                    fault->element - grids->first[at]);
    }
}

fs_status fs_activation_draw(fs_fault_list *out, const fs_fault_space *space, fs_amount amount,
                             const fs_form *form, uint64_t draw_key, uint64_t trial, uint32_t input,
                             fs_extent extent)
{
    const fs_config *config = &space->geometry->config;
    const uint64_t stream[2] = {draw_key, input};
    fs_grids grids;
    fs_rng rng;
    fs_rng_init(&rng, fs_checksum(stream, sizeof stream), trial);
    FS_TRY(fs_grids_init(&grids, space->place_count));
    for (size_t i = 0; i < space->place_count; i++)
        fs_grids_add(&grids, fs_stage_grid(config, fs_place_stage(space->places[i]), extent));
    const double most = (double)fs_grids_values(&grids) * fs_form_starts(form, space->bits);
    if (amount.kind == FS_AMOUNT_COUNT && amount.value > most) amount.value = most;
    fs_status status = fs_form_draw_numbers(out, &grids, space->bits, amount, form, &rng);
    if (status == FS_OK) {
        fs_fault_list_sort(out); /* numbers ascend, and so do places */
        locate(out, space, &grids, input, extent);
    }
    fs_grids_free(&grids);
    return status;
}

uint64_t fs_activation_checksum(uint64_t sum, const fs_fault *faults, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const fs_fault *f = &faults[i];
        const uint64_t words[3] = {sum,
                                   (uint64_t)f->input << 32 | (uint64_t)f->place << 16 |
                                       (uint64_t)f->bit << 8 | f->kind,
                                   f->element};
        sum = fs_checksum(words, sizeof words);
    }
    return sum;
}
