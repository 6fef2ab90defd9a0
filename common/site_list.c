/* Bits of parameters that a file lists. */
#include "site.h"

const fs_site_class fs__site_list = {
    .name = "list",
    .value = "parameter",
    .when = FS_SITE_STORED,
    .from = FS_SITE_LIST,
    .lasts = FS_LASTS_EVALUATION,
    .lasts_plain = FS_LASTS_EVALUATION,
    FS__SITE_COMPONENTS,
};
