/** The verbs of `flipsweep`: one constant fs_command each, in cli_<verb>.c.
 *
 * main.c lists the verbs that exist in one table. `--help`, option errors, messages and exit codes
 * come from program.h; a verb's `run` writes results to stdout and everything else to stderr, and
 * returns a status whose exit code is the command's. Source: `cli.md`. */
#ifndef CLI_H
#define CLI_H

#include "program.h"

extern const fs_command cli_run;
extern const fs_command cli_plan;
extern const fs_command cli_serve;
extern const fs_command cli_worker; /* execs flipsweep-worker */
extern const fs_command cli_status;
extern const fs_command cli_stop;
extern const fs_command cli_report;
extern const fs_command cli_replay;
extern const fs_command cli_verify;
extern const fs_command cli_fetch;

/* These exec flipsweep-model, which lies beside this program (cli_model.c). */
extern const fs_command cli_eval;
extern const fs_command cli_tokenize;
extern const fs_command cli_inspect;
extern const fs_command cli_train;
extern const fs_command cli_finetune;
extern const fs_command cli_vocab;

/** Becomes `program`, which lies beside this one, with `argc` arguments. Returns on failure only:
 * FS_ENOENT if it cannot be started. */
fs_status cli_become(const char *program, int argc, char **arguments);

#endif
