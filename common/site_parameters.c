/* Parameters: the stored words of a model, by component. */
#include "plan_build.h"

const char *const fs__site_component_words[] = {"all",
#define X(name, text) text,
                                                FS_GROUP_MAP(X)
#undef X
#define X(name, text, group) text,
                                                    FS_COMPONENT_MAP(X)
#undef X
                                                        NULL};

const char *fs__site_component_word(unsigned i)
{
    return i < FS_COMPONENT_COUNT ? fs_component_name((fs_component)i) : NULL;
}

fs_site_set fs__site_component_part(unsigned by, unsigned i, const char **name)
{
    if (i >= (by == FS_BY_GROUP ? (unsigned)FS_GROUP_COUNT : (unsigned)FS_COMPONENT_COUNT))
        return 0;
    *name = by == FS_BY_GROUP ? fs_group_name((fs_group)i) : fs_component_name((fs_component)i);
    return fs_component_parse(*name);
}

/* The whole set, whichever of its components lie there: a cell of `by: layer` is of the selection.
 */
fs_site_set fs__site_component_held(const fs_geometry *geometry, fs_site_set set, int layer)
{
    set &= fs_geometry_components(geometry);
    for (size_t i = 0; i < geometry->slice_count; i++)
        if ((set >> geometry->slices[i].component & 1) && geometry->slices[i].layer == layer)
            return set;
    return 0;
}

fs_status fs__site_component_space(fs_fault_space **out, const fs_site_choice *choice)
{
    return fs_fault_space_new(out, choice->geometry, choice->set, choice->layers,
                              choice->layer_count, choice->bits);
}

/* While a model is tuned its parameters are hit after each update. */
static fs_tune_arrays arrays(fs_site_set set)
{
    (void)set;
    return (fs_tune_arrays)1 << FS_TUNE_PARAMETERS;
}

const fs_site_class fs__site_parameters = {
    .name = "parameters",
    .value = "parameter",
    .when = FS_SITE_STORED,
    .by = FS_BY_LAYER | FS_BY_COMPONENT | FS_BY_GROUP,
    .division = "'layer', 'component' and 'group'",
    .lasts = FS_LASTS_EVALUATION,
    .lasts_plain = FS_LASTS_EVALUATION,
    .absent = "none of the components lies in the selected layers",
    FS__SITE_COMPONENTS,
    .arrays = arrays,
    .masked = fs__plan_masked_sites,
};
