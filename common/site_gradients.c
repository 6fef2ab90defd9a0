/* Gradients: what a step of fine-tuning sums up of the parameters, before it is clipped; they have
 * the parameters' shapes and words. */
#include "site.h"

static fs_tune_arrays arrays(fs_site_set set)
{
    (void)set;
    return (fs_tune_arrays)1 << FS_TUNE_GRADIENTS;
}

const fs_site_class fs__site_gradients = {
    .name = "gradients",
    .value = "gradient",
    .when = FS_SITE_TUNED,
    .by = FS_BY_LAYER | FS_BY_COMPONENT | FS_BY_GROUP,
    .division = "'layer', 'component' and 'group'",
    .absent = "none of the components lies in the selected layers",
    FS__SITE_COMPONENTS,
    .arrays = arrays,
};
