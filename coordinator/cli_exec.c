/* Verbs that another program of the project carries out: the coordinator links no engine. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "file.h"
#include "limits.h"

fs_status cli_become(const char *program, int argc, char **arguments)
{
    static char path[FS_PATH_BYTES_MAX];
    FS_TRY(fs_path_sibling(path, program));
    char **argv = calloc((size_t)argc + 2, sizeof *argv);
    if (argv == NULL) return fs_fail(FS_ENOMEM, "out of memory");
    argv[0] = path;
    for (int i = 0; i < argc; i++) argv[i + 1] = arguments[i];
    execv(path, argv);
    int error = errno;
    free(argv);
    return fs_fail(FS_ENOENT, "cannot start %s: %s", path, strerror(error));
}

static fs_status pass_to_model(int argc, char **argv)
{
    return cli_become("flipsweep-model", argc, argv);
}

const fs_command cli_eval = {
    .name = "eval",
    .summary = "Measures a model on a data set, without faults.",
    .synopsis = "MODEL",
    .pass = pass_to_model,
};

const fs_command cli_tokenize = {
    .name = "tokenize",
    .summary = "Prints the token ids of lines of text.",
    .synopsis = "MODEL",
    .pass = pass_to_model,
};

const fs_command cli_inspect = {
    .name = "inspect",
    .summary = "Shows a model's shape, components and weights.",
    .synopsis = "MODEL",
    .pass = pass_to_model,
};

const fs_command cli_train = {
    .name = "train",
    .summary = "Trains a model from nothing, or further.",
    .synopsis = "OUT",
    .pass = pass_to_model,
};

const fs_command cli_finetune = {
    .name = "finetune",
    .summary = "Fine-tunes a model: fully, by LoRA, under faults, self-correcting.",
    .synopsis = "OUT",
    .pass = pass_to_model,
};

const fs_command cli_vocab = {
    .name = "vocab",
    .summary = "Makes a vocabulary from text.",
    .synopsis = "OUT",
    .pass = pass_to_model,
};
