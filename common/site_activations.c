/* Activations: the values of a forward pass, by stage. */
#include "plan.h"

static const char *const words[] = {"all", "boundaries",
#define X(name, text) text,
                                    FS_STAGE_MAP(X)
#undef X
                                        NULL};

static const char *word_at(unsigned i)
{
    return i < FS_STAGE_COUNT ? fs_stage_name((fs_stage)i) : NULL;
}

static fs_site_set part_at(unsigned by, unsigned i, const char **name)
{
    (void)by;
    *name = word_at(i);
    return *name == NULL ? 0 : (fs_site_set)1 << i;
}

/* The stages at the ends belong to no layer. */
static fs_site_set held(const fs_geometry *geometry, fs_site_set set, int layer)
{
    const fs_site_set ends = (fs_site_set)1 << FS_STAGE_EMBEDDING_OUT | (fs_site_set)1
                                                                            << FS_STAGE_LOGITS;
    (void)geometry;
    return layer < 0 ? set & ends : set & ~ends;
}

static fs_status make_space(fs_fault_space **out, const fs_site_choice *choice)
{
    return fs_activation_space_new(out, choice->geometry, choice->set, choice->layers,
                                   choice->layer_count, choice->bits, choice->largest);
}

static void add_key(fs_hasher *hasher, const fs_cell *cell)
{
    fs_hasher_text(hasher, cell->transient ? "transient activations" : "activations");
    fs_hasher_number(hasher, cell->space->place_count);
    for (size_t i = 0; i < cell->space->place_count; i++)
        fs_hasher_number(hasher, cell->space->places[i]);
}

/* An activation lives for one inference, and so does its fault unless told otherwise. */
const fs_site_class fs__site_activations = {
    .name = "activations",
    .value = "activation",
    .when = FS_SITE_COMPUTED,
    .by = FS_BY_LAYER | FS_BY_STAGE,
    .division = "'layer' and 'stage'",
    .lasts = FS_LASTS_EVALUATION | FS_LASTS_ONCE,
    .lasts_plain = FS_LASTS_ONCE,
    .absent = "embedding.out and logits belong to no layer",
    .words = words,
    .parse = fs_stage_parse,
    .word = word_at,
    .part = part_at,
    .held = held,
    .space = make_space,
    .key = add_key,
};
