#include "testing.h"

#include <fcntl.h>

#include "program.h"

typedef struct values {
    int json;
    uint32_t count;
} values;

static const fs_option options[] = {
    {"json", 0, NULL, FS_OPTION_FLAG, offsetof(values, json), "one document", 0, 0},
    {"count", 'n', "N", FS_OPTION_U32, offsetof(values, count), "how many", 1, 9},
    {0},
};

static fs_status greet(const void *given, const fs_arguments *arguments)
{
    const values *v = given;
    printf("greet json=%d count=%u", v->json, v->count);
    for (unsigned i = 0; i < arguments->count; i++) printf(" %s", arguments->items[i]);
    putchar('\n');
    return FS_OK;
}

static fs_status refuse(const void *given, const fs_arguments *arguments)
{
    puts("said before");
    return fs_fail(FS_EREFUSED, "no");
}

static fs_status pass(int argc, char **argv)
{
    printf("pass %d %s\n", argc, argv[argc - 1]);
    return FS_OK;
}

static const fs_command greet_command = {.name = "greet",
                                         .summary = "Greets.",
                                         .synopsis = "NAME [NAME]",
                                         .arguments_min = 1,
                                         .arguments_max = 2,
                                         .options = options,
                                         .values_bytes = sizeof(values),
                                         .details = "More.\n",
                                         .run = greet};
static const values nine = {.count = 9};
static const fs_command usual_command = {.name = "usual",
                                         .summary = "Greets nine times.",
                                         .synopsis = "",
                                         .options = options,
                                         .values_bytes = sizeof(values),
                                         .defaults = &nine,
                                         .run = greet};
static const fs_command refuse_command = {
    .name = "refuse", .summary = "Refuses.", .synopsis = "", .run = refuse};
static const fs_command pass_command = {
    .name = "pass", .summary = "Passes on.", .synopsis = "", .pass = pass};
static const fs_command *const commands[] = {&greet_command, &usual_command, &refuse_command,
                                             &pass_command, NULL};
static const fs_program program = {"prog", "Does things.", commands};

enum { TEXT_BYTES = 4096, WORDS_MAX = 16 };
static char out[TEXT_BYTES], err[TEXT_BYTES];

static void read_back(int fd, char *text)
{
    off_t size = lseek(fd, 0, SEEK_END);
    assert_in_range(size, 0, TEXT_BYTES - 1);
    assert_true(pread(fd, text, (size_t)size, 0) == size);
    text[size] = '\0';
    close(fd);
}

static int scratch_file(void)
{
    char path[] = "/tmp/flipsweep-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

/* Runs main with the words of a line; leaves what was printed in `out` and `err`.
 * @return the exit code. */
static int run(const char *line)
{
    static char text[TEXT_BYTES];
    static char *words[WORDS_MAX];
    int argc = 0;
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        words[argc++] = word;
    words[argc] = NULL;
    fflush(stdout);
    int out_fd = scratch_file(), err_fd = scratch_file(), old_out = dup(1), old_err = dup(2);
    dup2(out_fd, 1);
    dup2(err_fd, 2);
    int code = fs_program_main(&program, argc, words);
    fflush(stdout);
    dup2(old_out, 1);
    dup2(old_err, 2);
    close(old_out);
    close(old_err);
    read_back(out_fd, out);
    read_back(err_fd, err);
    return code;
}

static void test_a_verb_runs_with_its_values(void **state)
{
    assert_int_equal(run("prog greet --json a -n 3 b"), 0);
    assert_string_equal(out, "greet json=1 count=3 a b\n");
    assert_string_equal(err, "");
    assert_int_equal(run("prog usual"), 0);
    assert_string_equal(out, "greet json=0 count=9\n");
    assert_int_equal(run("prog usual --json -n 2"), 0);
    assert_string_equal(out, "greet json=1 count=2\n");
    assert_int_equal(run("prog pass --what ever"), 0);
    assert_string_equal(out, "pass 3 ever\n");
}

static void test_failures_set_exit_code_and_message(void **state)
{
    assert_int_equal(run("prog refuse"), 4);
    assert_string_equal(err, "prog refuse: no\n");
    assert_string_equal(out, "said before\n");
}

static void test_usage_errors(void **state)
{
    static const struct {
        const char *line, *message;
    } rows[] = {
        {"prog", "prog: a verb is missing\nTry 'prog --help'.\n"},
        {"prog gret", "prog: unknown verb \"gret\" (did you mean greet?)\nTry 'prog --help'.\n"},
        {"prog 17", "prog: unknown verb \"17\"\nTry 'prog --help'.\n"},
        {"prog help nothing", "prog: unknown verb \"nothing\"\nTry 'prog --help'.\n"},
        {"prog greet", "prog greet: missing argument: NAME [NAME]\nTry 'prog greet --help'.\n"},
        {"prog greet a b c", "prog greet: unexpected argument \"c\"\nTry 'prog greet --help'.\n"},
        {"prog refuse --json", "prog refuse: unknown option --json\nTry 'prog refuse --help'.\n"},
        {"prog greet -n 10 a", "prog greet: --count: 10 is above 9\nTry 'prog greet --help'.\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(run(rows[i].line), 2);
        assert_string_equal(err, rows[i].message);
        assert_string_equal(out, "");
    }
}

static void test_help_and_version(void **state)
{
    char help[TEXT_BYTES];
    assert_int_equal(run("prog greet --help"), 0);
    assert_string_equal(out, "usage: prog greet [options] NAME [NAME]\n\nGreets.\n\noptions:\n"
                             "      --json     one document\n"
                             "  -n, --count N  how many\n"
                             "  -h, --help     print this text\n\nMore.\n");
    snprintf(help, sizeof help, "%s", out);
    assert_int_equal(run("prog help greet"), 0);
    assert_string_equal(out, help);
    assert_int_equal(run("prog --help"), 0);
    assert_non_null(strstr(out, "  greet      Greets.\n"));
    assert_non_null(strstr(out, "  pass       Passes on.\n"));
    assert_int_equal(run("prog --version"), 0);
    assert_string_equal(out, "prog " FS_VERSION "\n");
}

static void test_a_full_disk_under_stdout_is_a_failure(void **state)
{
    int full = open("/dev/full", O_WRONLY), err_fd = scratch_file();
    int old_out = dup(1), old_err = dup(2);
    char name[] = "prog", verb[] = "greet", argument[] = "a";
    char *argv[] = {name, verb, argument, NULL};
    assert_true(full >= 0);
    fflush(stdout);
    dup2(full, 1);
    dup2(err_fd, 2);
    int code = fs_program_main(&program, 3, argv);
    clearerr(stdout);
    dup2(old_out, 1);
    dup2(old_err, 2);
    close(full);
    close(old_out);
    close(old_err);
    read_back(err_fd, err);
    assert_int_equal(code, 1);
    assert_non_null(strstr(err, "prog greet: standard output: No space left on device"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_verb_runs_with_its_values),
        cmocka_unit_test(test_failures_set_exit_code_and_message),
        cmocka_unit_test(test_usage_errors),
        cmocka_unit_test(test_help_and_version),
        cmocka_unit_test(test_a_full_disk_under_stdout_is_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
