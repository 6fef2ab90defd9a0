/* Bits of parameters at the addresses of a log of memory errors. */
#include "site.h"

const fs_site_class fs__site_addresses = {
    .name = "addresses",
    .value = "parameter",
    .when = FS_SITE_STORED,
    .from = FS_SITE_LOG,
    .lasts = FS_LASTS_EVALUATION,
    .lasts_plain = FS_LASTS_EVALUATION,
    FS__SITE_COMPONENTS,
};
