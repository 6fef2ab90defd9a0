#include "program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "log.h"

static const fs_option no_options[] = {{0}};

static const fs_option *command_options(const fs_command *command)
{
    return command->options == NULL ? no_options : command->options;
}

/** "flipsweep-model eval", or the command's name alone. */
static fs_status write_title(const char *program, const fs_command *command, fs_buf *out)
{
    if (program != NULL) FS_TRY(fs_buf_printf(out, "%s ", program));
    return fs_buf_puts(out, command->name);
}

fs_status fs_command_help(const char *program, const fs_command *command, fs_buf *out)
{
    FS_TRY(fs_buf_puts(out, "usage: "));
    FS_TRY(write_title(program, command, out));
    FS_TRY(fs_buf_puts(out, " [options]"));
    if (command->synopsis[0] != '\0') FS_TRY(fs_buf_printf(out, " %s", command->synopsis));
    FS_TRY(fs_buf_printf(out, "\n\n%s\n\noptions:\n", command->summary));
    FS_TRY(fs_options_help(command_options(command), out));
    return command->details == NULL ? FS_OK : fs_buf_printf(out, "\n%s", command->details);
}

fs_status fs_program_help(const fs_program *program, fs_buf *out)
{
    FS_TRY(fs_buf_printf(out, "usage: %s VERB [options] [arguments]\n\n%s\n\nverbs:\n",
                         program->name, program->summary));
    for (const fs_command *const *c = program->commands; *c != NULL; c++)
        FS_TRY(fs_buf_printf(out, "  %-10s %s\n", (*c)->name, (*c)->summary));
    return fs_buf_printf(out, "\n%s VERB --help explains a verb; %s --version names the version.\n",
                         program->name, program->name);
}

/** Says on stderr what went wrong. @return the exit code. */
static int report_failure(const char *program, const fs_command *command, fs_status status)
{
    const char *detail = fs_status_detail();
    if (detail[0] == '\0') detail = fs_status_text(status);
    fs_buf title = {0};
    int titled = write_title(program, command, &title) == FS_OK;
    const char *name = titled ? fs_buf_text(&title) : command->name;
    fprintf(stderr, "%s: %s\n", name, detail);
    if (status == FS_EUSAGE) fprintf(stderr, "Try '%s --help'.\n", name);
    fs_buf_free(&title);
    return fs_status_exit(status);
}

/** A full disk under a redirected stdout must not look like success. */
static fs_status flush_stdout(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return FS_OK;
    return fs_fail(errno == ENOSPC ? FS_ENOSPC : FS_EIO, "standard output: %s", strerror(errno));
}

static fs_status print(fs_status made, const fs_buf *text)
{
    if (made == FS_OK) fputs(fs_buf_text(text), stdout);
    return made;
}

static fs_status check_arguments(const fs_command *command, const fs_arguments *arguments)
{
    if (arguments->count < command->arguments_min)
        return fs_fail(FS_EUSAGE, "missing argument: %s", command->synopsis);
    if (arguments->count > command->arguments_max)
        return fs_fail(FS_EUSAGE, "unexpected argument \"%s\"",
                       arguments->items[command->arguments_max]);
    return FS_OK;
}

static fs_status run_command(const char *program, const fs_command *command, int argc, char **argv)
{
    FS_ASSERT(command->run != NULL && command->arguments_max <= FS_ARGUMENTS_MAX);
    fs_arguments arguments;
    void *values = calloc(1, command->values_bytes + 1);
    if (values == NULL) return fs_fail(FS_ENOMEM, "out of memory");
    if (command->defaults != NULL) memcpy(values, command->defaults, command->values_bytes);
    fs_status status = fs_options_parse(command_options(command), argc, argv, values, &arguments);
    if (status == FS_OK && arguments.help) {
        fs_buf text = {0};
        status = print(fs_command_help(program, command, &text), &text);
        fs_buf_free(&text);
    } else {
        if (status == FS_OK) status = check_arguments(command, &arguments);
        if (status == FS_OK) status = command->run(values, &arguments);
    }
    free(values);
    return status;
}

static int finish(const char *program, const fs_command *command, fs_status status)
{
    if (status == FS_OK)
        status = flush_stdout();
    else if (fflush(stdout) != 0)
        clearerr(stdout);
    return status == FS_OK ? 0 : report_failure(program, command, status);
}

int fs_command_main(const fs_command *command, int argc, char **argv)
{
    fs_log_init(command->name, FS_LOG_INFO);
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("%s %s\n", command->name, FS_VERSION);
        return finish(NULL, command, FS_OK);
    }
    int skip = argc > 0; /* execve may pass no argv[0] */
    return finish(NULL, command, run_command(NULL, command, argc - skip, argv + skip));
}

static const char *command_name(const void *commands, size_t i)
{
    const fs_command *command = ((const fs_command *const *)commands)[i];
    return command == NULL ? NULL : command->name;
}

static const fs_command *find_command(const fs_program *program, const char *name)
{
    for (const fs_command *const *c = program->commands; *c != NULL; c++)
        if (strcmp((*c)->name, name) == 0) return *c;
    return NULL;
}

static fs_status unknown_verb(const fs_program *program, const char *verb)
{
    const char *near = fs_options_nearest(verb, command_name, program->commands);
    if (near == NULL) return fs_fail(FS_EUSAGE, "unknown verb \"%.200s\"", verb);
    return fs_fail(FS_EUSAGE, "unknown verb \"%.200s\" (did you mean %s?)", verb, near);
}

int fs_program_main(const fs_program *program, int argc, char **argv)
{
    const fs_command whole = {.name = program->name};
    fs_log_init(program->name, FS_LOG_INFO);
    if (argc < 2) return finish(NULL, &whole, fs_fail(FS_EUSAGE, "a verb is missing"));
    const char *verb = argv[1];
    /* "help eval" reads as "eval --help" does. */
    static char help_word[] = "--help";
    char *help_argv[] = {argc > 2 ? argv[2] : argv[1], help_word, NULL};
    if (strcmp(verb, "help") == 0 && argc > 2) {
        verb = argv[2];
        argc = 2;
        argv = help_argv;
    } else {
        argc -= 1;
        argv += 1;
    }
    if (strcmp(verb, "--version") == 0) {
        printf("%s %s\n", program->name, FS_VERSION);
        return finish(NULL, &whole, FS_OK);
    }
    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0 || strcmp(verb, "help") == 0) {
        fs_buf text = {0};
        fs_status status = print(fs_program_help(program, &text), &text);
        fs_buf_free(&text);
        return finish(NULL, &whole, status);
    }
    const fs_command *command = find_command(program, verb);
    if (command == NULL) return finish(NULL, &whole, unknown_verb(program, verb));
    fs_status status = command->pass != NULL
                           ? command->pass(argc, argv)
                           : run_command(program->name, command, argc - 1, argv + 1);
    return finish(program->name, command, status);
}
