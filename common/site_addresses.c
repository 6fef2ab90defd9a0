/* Bits of parameters at the addresses of a log of memory errors. */
#include "site.h"

const fs_site_class fs__site_addresses = {
    .name = "addresses",
    .value = "parameter",
    .when = FS_SITE_STORED,
    .from = FS_SITE_LOG,
    .lasts = FS_LASTS_EVALUATION,
    .lasts_plain = FS_LASTS_EVALUATION,
    .words = fs__site_component_words,
    .parse = fs_component_parse,
    .word = fs__site_component_word,
    .part = fs__site_component_part,
    .held = fs__site_component_held,
    .space = fs__site_component_space,
};
