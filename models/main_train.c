#include "main_learn.h"

#define AT MAIN_LEARN_AT
static const fs_option train_options[] = {
    {"model", 'm', "bert|gpt2", FS_OPTION_CHOICE, AT(model), "what to train from scratch", 0, 0},
    {"from", 0, "DIR", FS_OPTION_TEXT, AT(from), "a model to train further, with its tokeniser", 0,
     0},
    {"layers", 0, "N", FS_OPTION_U32, AT(layers), "blocks (default: 4)", 1, FS_LAYERS_MAX},
    {"width", 0, "N", FS_OPTION_U32, AT(width), "of the residual stream (default: 256)", 1,
     FS_WIDTH_MAX},
    {"heads", 0, "N", FS_OPTION_U32, AT(heads), "attention heads (default: 4)", 1, FS_HEADS_MAX},
    {"inner", 0, "N", FS_OPTION_U32, AT(inner), "width of the MLP (default: 4 times the width)", 1,
     FS_WIDTH_MAX},
    {"activation", 0, "gelu|gelu_new|relu", FS_OPTION_CHOICE, AT(activation),
     "of the MLP (default: gelu for BERT, gelu_new for GPT-2)", 0, 0},
    {"positions", 0, "N", FS_OPTION_U32, AT(positions),
     "longest sequence in tokens (default: BERT 128, GPT-2 256)", 3, FS_POSITIONS_MAX},
    {"tokenizer", 0, "DIR", FS_OPTION_TEXT, AT(tokenizer),
     "a vocabulary to use (default: one is made from the text)", 0, 0},
    {"vocab", 0, "N", FS_OPTION_U32, AT(vocab), "pieces of a new vocabulary (default: 8192)", 8,
     1 << 20},
    {"vocab-data", 0, "FILE", FS_OPTION_TEXT, AT(vocab_data),
     "text for a new vocabulary (default: --data)", 0, 0},
    MAIN_LEARN_OPTIONS,
    {0},
};

static fs_status run(const void *values, const fs_arguments *arguments)
{
    return main_learn_run("train", values, arguments->items[0]);
}

const fs_command main_train = {
    .name = "train",
    .summary = "Trains a model from scratch, or further, on text or labelled sentences.",
    .synopsis = "OUT",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = train_options,
    .values_bytes = sizeof(main_learn),
    .defaults = &main_learn_train_defaults,
    .details = "OUT becomes a HuggingFace folder, with metrics.jsonl beside the model. Interrupted "
               "or killed,\nthe same command goes on, to the same bits.\n",
    .run = run,
};
