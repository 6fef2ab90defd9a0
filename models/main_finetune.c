#include "main_learn.h"

#define AT          MAIN_LEARN_AT
#define TUNE(field) (offsetof(main_learn, tune) + offsetof(main_tune, field))
static const fs_option finetune_options[] = {
    {"from", 0, "DIR", FS_OPTION_TEXT, AT(from), "the model to begin with", 0, 0},
    MAIN_LEARN_OPTIONS,
    MAIN_TUNE_OPTIONS(TUNE),
    {0},
};

static fs_status run(const void *values, const fs_arguments *arguments)
{
    const main_learn *options = values;
    if (options->from == NULL) return fs_fail(FS_EUSAGE, "--from DIR is missing");
    return main_learn_run("finetune", options, arguments->items[0]);
}

const fs_command main_finetune = {
    .name = "finetune",
    .summary = "Fine-tunes a model: fully, by LoRA, under faults, self-correcting.",
    .synopsis = "OUT",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = finetune_options,
    .values_bytes = sizeof(main_learn),
    .defaults = &main_learn_tune_defaults,
    .details = "OUT becomes a HuggingFace folder, with metrics.jsonl beside the model. Interrupted "
               "or killed,\nthe same command goes on, to the same bits.\n",
    .run = run,
};
