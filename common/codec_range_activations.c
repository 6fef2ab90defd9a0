/* Range restriction of activations, Ranger: the least and the largest value of each stage of each
 * layer in the golden run are kept, and a value outside of them cannot be right.
 *
 * It is no code of stored words, so nothing is encoded or decoded here: the forward pass asks for
 * it (nn_ranges.h). `range-activations` reads such a value as 0, `range-activations-clip` as the
 * nearest bound; NaN as 0 in both. Source: Chen et al., "A Low-cost Fault Corrector for Deep Neural
 * Networks through Range Restriction", DSN 2021, which clips. */
#include "codec.h"

static void leave(const fs_codec_run *run, const uint8_t *check, fs_codec_report *report)
{
    (void)run;
    (void)check;
    (void)report;
}

const fs_codec fs__codec_range_activations = {
    .name = "range-activations",
    .summary = "least and largest activation of each stage and layer in the golden run; outside of "
               "them reads as 0",
    .family = "range-activations",
    .words = 1,
    .flags = FS_CODEC_ACTIVATIONS,
    .decode = leave,
};

const fs_codec fs__codec_range_activations_clip = {
    .name = "range-activations-clip",
    .summary = "least and largest activation of each stage and layer in the golden run; outside of "
               "them reads as the nearest one",
    .family = "range-activations",
    .words = 1,
    .flags = FS_CODEC_ACTIVATIONS | FS_CODEC_CLIPS,
    .decode = leave,
};
