#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "options.h"

typedef struct values {
    int json;
    int quiet;
    const char *file;
    const char *recipe;
    uint32_t threads;
    uint64_t examples;
    double rate;
} values;

static const fs_option table[] = {
    {"json", 0, NULL, FS_OPTION_FLAG, offsetof(values, json), "one document", 0, 0},
    {"quiet", 'q', NULL, FS_OPTION_FLAG, offsetof(values, quiet), "say nothing", 0, 0},
    {"file", 'f', "FILE", FS_OPTION_TEXT, offsetof(values, file), "a file", 0, 0},
    {"recipe", 0, "as-is|hf", FS_OPTION_CHOICE, offsetof(values, recipe), "a recipe", 0, 0},
    {"threads", 't', "N", FS_OPTION_U32, offsetof(values, threads), "threads", 1, 8},
    {"examples", 0, "N", FS_OPTION_U64, offsetof(values, examples), "examples", 0, 0},
    {"rate", 0, "R", FS_OPTION_REAL, offsetof(values, rate), "a rate", 0, 1},
    {0},
};

enum { WORDS_MAX = 80 };

/** Parses a line of words divided by single spaces; "_" stands for an empty word. */
static fs_status parse(const char *line, values *out, fs_arguments *arguments)
{
    static char text[2048];
    static char *words[WORDS_MAX];
    static char empty[] = "";
    int count = 0;
    *out = (values){0};
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        words[count++] = strcmp(word, "_") == 0 ? empty : word;
    return fs_options_parse(table, count, words, out, arguments);
}

static void expect_error(const char *line, const char *message)
{
    values v;
    fs_arguments a;
    assert_int_equal(parse(line, &v, &a), FS_EUSAGE);
    assert_string_equal(fs_status_detail(), message);
}

static void test_all_forms_are_read(void **state)
{
    values v;
    fs_arguments a;
    assert_int_equal(parse("--json one --file=a.txt -t 8 --recipe hf two --rate 0.25 "
                           "--examples 18446744073709551615 -- --three",
                           &v, &a),
                     FS_OK);
    assert_true(v.json && !v.quiet && !a.help);
    assert_string_equal(v.file, "a.txt");
    assert_string_equal(v.recipe, "hf");
    assert_int_equal(v.threads, 8);
    assert_true(v.examples == UINT64_MAX);
    assert_true(v.rate == 0.25);
    assert_int_equal(a.count, 3);
    assert_string_equal(a.items[0], "one");
    assert_string_equal(a.items[2], "--three");
}

static void test_short_options(void **state)
{
    values v;
    fs_arguments a;
    assert_int_equal(parse("-qfname -t3 - -f last", &v, &a), FS_OK);
    assert_true(v.quiet);
    assert_string_equal(v.file, "last");
    assert_int_equal(v.threads, 3);
    assert_int_equal(a.count, 1); /* a lone dash is an argument: standard input by custom */
    assert_string_equal(a.items[0], "-");
    assert_int_equal(parse("--file= --file -x", &v, &a), FS_OK);
    assert_string_equal(v.file, "-x");
}

static void test_help_wins_but_not_after_dashes(void **state)
{
    values v;
    fs_arguments a;
    assert_int_equal(parse("--unknown --help", &v, &a), FS_OK);
    assert_true(a.help);
    assert_int_equal(parse("-h", &v, &a), FS_OK);
    assert_true(a.help);
    assert_int_equal(parse("-- --help", &v, &a), FS_OK);
    assert_true(!a.help && a.count == 1);
}

static void test_errors_name_the_option(void **state)
{
    expect_error("--jsno", "unknown option --jsno (did you mean --json?)");
    expect_error("--thread 3", "unknown option --thread (did you mean --threads?)");
    expect_error("--ex=3", "unknown option --ex (did you mean --examples?)");
    expect_error("--colour", "unknown option --colour");
    expect_error("--=3", "unknown option --");
    expect_error("-qz", "unknown option -z");
    expect_error("--json=yes", "--json takes no value");
    expect_error("--file", "--file needs a value: FILE");
    expect_error("-f", "-f needs a value: FILE");
    expect_error("--recipe raw", "--recipe: \"raw\" is not one of as-is|hf");
    expect_error("--recipe as-is|hf", "--recipe: \"as-is|hf\" is not one of as-is|hf");
    expect_error("--recipe as", "--recipe: \"as\" is not one of as-is|hf");
    expect_error("--recipe _", "--recipe: \"\" is not one of as-is|hf");
}

static void test_numbers_are_strict(void **state)
{
    expect_error("--threads 0", "--threads: 0 is below 1");
    expect_error("--threads 9", "--threads: 9 is above 8");
    expect_error("--threads +3", "--threads: \"+3\" is not a whole number");
    expect_error("--threads -3", "--threads: \"-3\" is not a whole number");
    expect_error("--threads 3x", "--threads: \"3x\" is not a whole number");
    expect_error("--threads 0x3", "--threads: \"0x3\" is not a whole number");
    expect_error("--threads _", "--threads: \"\" is not a whole number");
    expect_error("--threads 4294967297", "--threads: 4294967297 is too large");
    expect_error("--examples 18446744073709551616",
                 "--examples: 18446744073709551616 is too large");
    expect_error("--rate nan", "--rate: \"nan\" is not a finite number");
    expect_error("--rate inf", "--rate: \"inf\" is not a finite number");
    expect_error("--rate 1e999", "--rate: \"1e999\" is not a finite number");
    expect_error("--rate 1.5", "--rate: 1.5 is above 1");
    expect_error("--rate -0.5", "--rate: -0.5 is below 0");
    expect_error("--rate 0.5%", "--rate: \"0.5%\" is not a finite number");
}

static void test_arguments_are_bounded(void **state)
{
    char line[2048] = "";
    values v;
    fs_arguments a;
    for (int i = 0; i < FS_ARGUMENTS_MAX; i++) {
        size_t size = strlen(line);
        snprintf(line + size, sizeof line - size, "a%d ", i);
    }
    assert_int_equal(parse(line, &v, &a), FS_OK);
    assert_int_equal(a.count, FS_ARGUMENTS_MAX);
    size_t size = strlen(line);
    snprintf(line + size, sizeof line - size, "more");
    expect_error(line, "more than 64 arguments");
}

static void test_a_very_long_option_is_refused(void **state)
{
    char line[1000] = "--";
    values v;
    fs_arguments a;
    memset(line + 2, 'j', sizeof line - 3);
    assert_int_equal(parse(line, &v, &a), FS_EUSAGE);
}

static void test_help_lists_every_option(void **state)
{
    fs_buf out = {0};
    assert_int_equal(fs_options_help(table, &out), FS_OK);
    assert_non_null(strstr(fs_buf_text(&out), "      --json             one document\n"));
    assert_non_null(strstr(fs_buf_text(&out), "  -t, --threads N        threads\n"));
    assert_non_null(strstr(fs_buf_text(&out), "  -h, --help             print this text\n"));
    fs_buf_free(&out);
}

static void test_help_folds_long_lines(void **state)
{
    static const fs_option wide[] = {
        {"a-rather-long-name-for-an-option", 0, "ARGUMENT", FS_OPTION_TEXT, 0,
         "a text that goes on and on and on and on and on and on and on and on and on and on and "
         "on and on and on and on to the end",
         0, 0},
        {0},
    };
    fs_buf out = {0};
    assert_int_equal(fs_options_help(wide, &out), FS_OK);
    const char *at = fs_buf_text(&out);
    int lines = 0;
    for (; *at != '\0'; lines++) {
        size_t size = strcspn(at, "\n");
        assert_in_range(size, 1, 100);
        at += size + 1;
    }
    assert_int_equal(lines, 4); /* the label, two lines of text, --help */
    fs_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_forms_are_read),
        cmocka_unit_test(test_short_options),
        cmocka_unit_test(test_help_wins_but_not_after_dashes),
        cmocka_unit_test(test_errors_name_the_option),
        cmocka_unit_test(test_numbers_are_strict),
        cmocka_unit_test(test_arguments_are_bounded),
        cmocka_unit_test(test_a_very_long_option_is_refused),
        cmocka_unit_test(test_help_lists_every_option),
        cmocka_unit_test(test_help_folds_long_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
