/** Command-line options from a table, and the help text from the same table.
 *
 * A command declares its options as a constant array and a plain struct for their values; parsing
 * writes each value at the option's offset. What is not given stays as the caller set it (zero, by
 * fs_program_main). Accepted: `--name value`, `--name=value`, `-n value`, `-nvalue`, flags in one
 * word (`-ab`), options after positional arguments, `--` before arguments that begin with a dash.
 * An option given twice keeps the last value.
 *
 * Example:
 *
 *   typedef struct eval_values { int json; const char *task; uint32_t threads; } eval_values;
 *   static const fs_option eval_options[] = {
 *       {"json", 0, NULL, FS_OPTION_FLAG, offsetof(eval_values, json), "print one JSON document"},
 *       {"task", 0, "classification|language-model", FS_OPTION_CHOICE,
 *        offsetof(eval_values, task), "what the model answers"},
 *       {"threads", 't', "N", FS_OPTION_U32, offsetof(eval_values, threads),
 *        "compute threads (default: one per core)", 1, FS_THREADS_MAX},
 *       {0},
 *   };
 *
 * Thread rule: reentrant. */
#ifndef FS_OPTIONS_H
#define FS_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "status.h"

enum { FS_ARGUMENTS_MAX = 64 /* positional arguments of one command */ };

typedef enum fs_option_kind {
    FS_OPTION_FLAG,   /* int, set to 1; takes no argument */
    FS_OPTION_TEXT,   /* const char *, borrowed from argv */
    FS_OPTION_CHOICE, /* const char *, one of the words of `argument`, separated by '|' */
    FS_OPTION_U32,    /* uint32_t, decimal, within least..most */
    FS_OPTION_U64,    /* uint64_t, decimal, within least..most */
    FS_OPTION_REAL    /* double, finite, within least..most */
} fs_option_kind;

typedef struct fs_option {
    const char *name;     /* long name without dashes; NULL ends the table */
    char letter;          /* short name, 0: none */
    const char *argument; /* "FILE", the choices, NULL for a flag */
    fs_option_kind kind;
    size_t offset;    /* of the value in the command's struct */
    const char *help; /* one line; says the default. NULL: hidden, for tests */
    double least;     /* numbers: smallest value allowed */
    double most;      /* numbers: largest value allowed, 0: no bound */
} fs_option;

/** What was not an option. Borrowed from argv. */
typedef struct fs_arguments {
    const char *items[FS_ARGUMENTS_MAX];
    unsigned count;
    int help; /* --help or -h was given: nothing else has been checked */
} fs_arguments;

/** Parses argv[0..argc), which holds no program or verb. `--help` and `-h` are always known.
 * Errors: FS_EUSAGE naming the option and, if one is near, the option that was probably meant. */
FS_MUST_CHECK fs_status fs_options_parse(const fs_option *options, int argc, char **argv,
                                         void *values, fs_arguments *out);
/** Appends one aligned line for each option, folded to 100 columns. */
FS_MUST_CHECK fs_status fs_options_help(const fs_option *options, fs_buf *out);
/** Finds the candidate nearest to `word`: at most two edits (insert, drop, replace, swap) and
 * fewer than its length, or a beginning of it.
 * @param candidate  returns the i-th word, NULL past the end
 * @return the word, NULL if none is near; borrowed from `candidate`. */
const char *fs_options_nearest(const char *word, const char *(*candidate)(const void *, size_t),
                               const void *context);

#endif
