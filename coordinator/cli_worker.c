#include "cli.h"

static fs_status pass(int argc, char **argv)
{
    return cli_become("flipsweep-worker", argc - 1, argv + 1);
}

const fs_command cli_worker = {
    .name = "worker",
    .summary = "Serves a coordinator: runs trials on this machine.",
    .synopsis = "(--connect ENDPOINT | --access FILE)",
    .pass = pass,
};
