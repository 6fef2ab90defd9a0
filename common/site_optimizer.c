/* Optimizer state: Adam's two moments of every parameter, as they lie in memory between two steps
 * of fine-tuning. Each of the two that are named is hit by the amount, for itself. */
#include <string.h>

#include "site.h"

static const char *const words[] = {"adam.m", "adam.v", NULL};

static fs_site_set parse(const char *word)
{
    for (unsigned i = 0; words[i] != NULL; i++)
        if (strcmp(words[i], word) == 0) return (fs_site_set)1 << i;
    return 0;
}

static const char *word_at(unsigned i)
{
    return i < sizeof words / sizeof words[0] ? words[i] : NULL;
}

static fs_site_set held(const fs_geometry *geometry, fs_site_set set, int layer)
{
    return fs__site_component_held(geometry, fs_component_parse("all"), layer) != 0 ? set : 0;
}

static fs_status make_space(fs_fault_space **out, const fs_site_choice *choice)
{
    return fs_fault_space_new(out, choice->geometry, fs_component_parse("all"), choice->layers,
                              choice->layer_count, choice->bits);
}

static fs_tune_arrays arrays(fs_site_set set)
{
    _Static_assert(FS_TUNE_ADAM_V == FS_TUNE_ADAM_M + 1, "in the order of the words");
    return (fs_tune_arrays)set << FS_TUNE_ADAM_M;
}

/* Not divided into moments: two sweeps do that. */
const fs_site_class fs__site_optimizer = {
    .name = "optimizer",
    .value = "moment",
    .when = FS_SITE_TUNED,
    .by = FS_BY_LAYER,
    .division = "'layer'",
    .absent = "the selected layers hold no parameter",
    .words = words,
    .parse = parse,
    .word = word_at,
    .held = held,
    .space = make_space,
    .arrays = arrays,
};
