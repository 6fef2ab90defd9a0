/** The frame of a program: its verbs, their help, their exit codes.
 *
 * Each program is one constant fs_program; `--help`, `--version`, unknown verbs, usage errors,
 * messages on stderr and exit codes are the same everywhere. Source: `cli.md`. */
#ifndef FS_PROGRAM_H
#define FS_PROGRAM_H

#include <stddef.h>

#include "buf.h"
#include "options.h"
#include "status.h"

/** One verb, or a whole program that has none. */
typedef struct fs_command {
    const char *name;     /* the verb; for a program without verbs its name */
    const char *summary;  /* one line, a sentence */
    const char *synopsis; /* positional arguments for people: "MODEL", "DIR [DIR ...]", "" */
    unsigned arguments_min;
    unsigned arguments_max;   /* at most FS_ARGUMENTS_MAX */
    const fs_option *options; /* ends with a zeroed entry; NULL: none */
    size_t values_bytes;      /* size of the struct that the options write to */
    const void *defaults;     /* the struct where nothing is given; NULL: zeros */
    const char *details;      /* more text for --help, with line ends; NULL: none */
    /** Does the work. `values` is the filled struct, `defaults` or zero where nothing was given.
     * The status's detail is printed and its exit code returned by fs_program_main. */
    fs_status (*run)(const void *values, const fs_arguments *arguments);
    /** Instead of `run`: takes argv after the program's name unparsed, argv[0] being the verb; for
     * verbs that another program carries out. */
    fs_status (*pass)(int argc, char **argv);
} fs_command;

typedef struct fs_program {
    const char *name;
    const char *summary;
    const fs_command *const *commands; /* ends with NULL */
} fs_program;

/** Runs the verb that argv[1] names: the whole of a main(). @return the exit code. */
int fs_program_main(const fs_program *program, int argc, char **argv);
/** The same for a program that is one command. @return the exit code. */
int fs_command_main(const fs_command *command, int argc, char **argv);

/** Appends what --help prints. `program` is NULL where the command is the whole program. */
FS_MUST_CHECK fs_status fs_command_help(const char *program, const fs_command *command,
                                        fs_buf *out);
FS_MUST_CHECK fs_status fs_program_help(const fs_program *program, fs_buf *out);

#endif
