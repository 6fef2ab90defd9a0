#include "cli.h"

int main(int argc, char **argv)
{
    static const fs_command *const commands[] = {
        &cli_run,    &cli_plan,     &cli_serve,    &cli_worker,  &cli_status, &cli_stop,
        &cli_report, &cli_eval,     &cli_tokenize, &cli_inspect, &cli_replay, &cli_verify,
        &cli_train,  &cli_finetune, &cli_vocab,    &cli_fetch,   NULL,
    };
    static const fs_program program = {
        "flipsweep",
        "Says with evidence what a bit flip does to a transformer, and what protection buys.",
        commands,
    };
    return fs_program_main(&program, argc, argv);
}
