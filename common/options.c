#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"

enum { WORD_BYTES_MAX = 64, COLUMNS = 100, HELP_COLUMN_MAX = 34 };

/** Edit distance with swaps of neighbours (optimal string alignment), for short words. */
static unsigned edit_distance(const char *a, const char *b)
{
    size_t rows = strlen(a), cols = strlen(b);
    if (rows >= WORD_BYTES_MAX || cols >= WORD_BYTES_MAX) return WORD_BYTES_MAX;
    unsigned table[3][WORD_BYTES_MAX + 1]; /* rows i-2, i-1 and i, by i modulo 3 */
    for (size_t j = 0; j <= cols; j++) table[0][j] = (unsigned)j;
    for (size_t i = 1; i <= rows; i++) {
        unsigned *row = table[i % 3];
        const unsigned *above = table[(i - 1) % 3], *above_two = table[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= cols; j++) {
            unsigned best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best) best = above[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            int swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && above_two[j - 2] + 1 < best) best = above_two[j - 2] + 1;
            row[j] = best;
        }
    }
    return table[rows % 3][cols];
}

const char *fs_options_nearest(const char *word, const char *(*candidate)(const void *, size_t),
                               const void *context)
{
    const char *best = NULL;
    unsigned best_distance = 3;
    size_t size = strlen(word);
    for (size_t i = 0;; i++) {
        const char *name = candidate(context, i);
        if (name == NULL) return best;
        unsigned distance = edit_distance(word, name);
        if (size >= 2 && strncmp(word, name, size) == 0) distance = 1;
        if (distance < best_distance && distance < size && distance < strlen(name)) {
            best = name;
            best_distance = distance;
        }
    }
}

static const char *option_name(const void *options, size_t i)
{
    return ((const fs_option *)options)[i].name;
}

static const fs_option *find_long(const fs_option *options, const char *name, size_t size)
{
    for (const fs_option *o = options; o->name != NULL; o++)
        if (strlen(o->name) == size && memcmp(o->name, name, size) == 0) return o;
    return NULL;
}

static const fs_option *find_short(const fs_option *options, char letter)
{
    for (const fs_option *o = options; o->name != NULL; o++)
        if (o->letter == letter) return o;
    return NULL;
}

static int is_choice(const char *choices, const char *text)
{
    size_t size = strlen(text);
    if (size == 0 || strchr(text, '|') != NULL) return 0;
    for (const char *at = choices; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        if (strcspn(at, "|") == size && memcmp(at, text, size) == 0) return 1;
    }
    return 0;
}

static fs_status check_range(const fs_option *option, const char *text, double value)
{
    if (value < option->least)
        return fs_fail(FS_EUSAGE, "--%s: %s is below %.10g", option->name, text, option->least);
    if (option->most > 0 && value > option->most)
        return fs_fail(FS_EUSAGE, "--%s: %s is above %.10g", option->name, text, option->most);
    return FS_OK;
}

static fs_status parse_whole(const fs_option *option, const char *text, uint64_t limit,
                             uint64_t *out)
{
    errno = 0;
    char *end = NULL;
    unsigned long long value = strtoull(text, &end, 10);
    /* strtoull takes signs and leading spaces; a count has neither. */
    if (text[0] < '0' || text[0] > '9' || *end != '\0')
        return fs_fail(FS_EUSAGE, "--%s: \"%s\" is not a whole number", option->name, text);
    if (errno == ERANGE || value > limit)
        return fs_fail(FS_EUSAGE, "--%s: %s is too large", option->name, text);
    *out = value;
    return check_range(option, text, (double)value);
}

static fs_status parse_real(const fs_option *option, const char *text, double *out)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value))
        return fs_fail(FS_EUSAGE, "--%s: \"%s\" is not a finite number", option->name, text);
    *out = value;
    return check_range(option, text, value);
}

static fs_status set_value(const fs_option *option, const char *text, void *values)
{
    char *slot = (char *)values + option->offset;
    uint64_t whole = 0;
    switch (option->kind) {
    case FS_OPTION_FLAG:
        *(int *)(void *)slot = 1;
        return FS_OK;
    case FS_OPTION_CHOICE:
        if (!is_choice(option->argument, text))
            return fs_fail(FS_EUSAGE, "--%s: \"%s\" is not one of %s", option->name, text,
                           option->argument);
        *(const char **)(void *)slot = text;
        return FS_OK;
    case FS_OPTION_TEXT:
        *(const char **)(void *)slot = text;
        return FS_OK;
    case FS_OPTION_U32:
        FS_TRY(parse_whole(option, text, UINT32_MAX, &whole));
        *(uint32_t *)(void *)slot = (uint32_t)whole;
        return FS_OK;
    case FS_OPTION_U64:
        FS_TRY(parse_whole(option, text, UINT64_MAX, &whole));
        *(uint64_t *)(void *)slot = whole;
        return FS_OK;
    case FS_OPTION_REAL:
        return parse_real(option, text, (double *)(void *)slot);
    }
    return fs_fail(FS_EINTERNAL, "--%s is of an unknown kind", option->name);
}

/** Parses argv[*i], which begins with "--"; takes argv[*i + 1] where the option needs a value. */
static fs_status parse_long(const fs_option *options, int argc, char **argv, int *i, void *values)
{
    const char *word = argv[*i] + 2;
    const char *equals = strchr(word, '=');
    size_t size = equals == NULL ? strlen(word) : (size_t)(equals - word);
    const fs_option *option = find_long(options, word, size);
    if (option == NULL) {
        char name[WORD_BYTES_MAX] = "";
        if (size < sizeof name) memcpy(name, word, size);
        const char *near = fs_options_nearest(name, option_name, options);
        if (near != NULL)
            return fs_fail(FS_EUSAGE, "unknown option --%s (did you mean --%s?)", name, near);
        return fs_fail(FS_EUSAGE, "unknown option --%.*s", (int)(size > 200 ? 200 : size), word);
    }
    if (option->kind == FS_OPTION_FLAG) {
        if (equals != NULL) return fs_fail(FS_EUSAGE, "--%s takes no value", option->name);
        return set_value(option, NULL, values);
    }
    if (equals != NULL) return set_value(option, equals + 1, values);
    if (*i + 1 >= argc)
        return fs_fail(FS_EUSAGE, "--%s needs a value: %s", option->name, option->argument);
    *i += 1;
    return set_value(option, argv[*i], values);
}

/** Parses argv[*i], one dash and letters: flags, of which the last may take a value. */
static fs_status parse_short(const fs_option *options, int argc, char **argv, int *i, void *values)
{
    for (const char *at = argv[*i] + 1; *at != '\0'; at++) {
        const fs_option *option = find_short(options, *at);
        if (option == NULL) return fs_fail(FS_EUSAGE, "unknown option -%c", *at);
        if (option->kind == FS_OPTION_FLAG) {
            FS_TRY(set_value(option, NULL, values));
            continue;
        }
        if (at[1] != '\0') return set_value(option, at + 1, values);
        if (*i + 1 >= argc)
            return fs_fail(FS_EUSAGE, "-%c needs a value: %s", *at, option->argument);
        *i += 1;
        return set_value(option, argv[*i], values);
    }
    return FS_OK;
}

fs_status fs_options_parse(const fs_option *options, int argc, char **argv, void *values,
                           fs_arguments *out)
{
    *out = (fs_arguments){0};
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) out->help = 1;
    if (out->help) return FS_OK;
    int ended = 0;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (!ended && strcmp(word, "--") == 0) {
            ended = 1;
        } else if (!ended && strncmp(word, "--", 2) == 0) {
            FS_TRY(parse_long(options, argc, argv, &i, values));
        } else if (!ended && word[0] == '-' && word[1] != '\0') {
            FS_TRY(parse_short(options, argc, argv, &i, values));
        } else {
            if (out->count == FS_ARGUMENTS_MAX)
                return fs_fail(FS_EUSAGE, "more than %d arguments", FS_ARGUMENTS_MAX);
            out->items[out->count++] = word;
        }
    }
    return FS_OK;
}

static fs_status help_label(const fs_option *option, fs_buf *out)
{
    if (option->letter != 0)
        FS_TRY(fs_buf_printf(out, "  -%c, --%s", option->letter, option->name));
    else
        FS_TRY(fs_buf_printf(out, "      --%s", option->name));
    return option->argument == NULL ? FS_OK : fs_buf_printf(out, " %s", option->argument);
}

/** Appends `text` in lines that end before COLUMNS, each after the first indented. */
static fs_status help_fold(const char *text, size_t indent, fs_buf *out)
{
    size_t column = indent;
    for (const char *at = text; *at != '\0';) {
        size_t size = strcspn(at, " ");
        if (column > indent && column + 1 + size > COLUMNS) {
            FS_TRY(fs_buf_printf(out, "\n%*s", (int)indent, ""));
            column = indent;
        } else if (column > indent) {
            FS_TRY(fs_buf_puts(out, " "));
            column++;
        }
        FS_TRY(fs_buf_append(out, at, size));
        column += size;
        at += size;
        at += strspn(at, " ");
    }
    return fs_buf_puts(out, "\n");
}

fs_status fs_options_help(const fs_option *options, fs_buf *out)
{
    static const fs_option help = {.name = "help", .letter = 'h', .help = "print this text"};
    fs_status status = FS_OK;
    fs_buf label = {0};
    size_t widest = 0;
    for (const fs_option *o = options; o->name != NULL && status == FS_OK; o++) {
        if (o->help == NULL) continue;
        fs_buf_clear(&label);
        status = help_label(o, &label);
        if (label.size > widest && label.size <= HELP_COLUMN_MAX) widest = label.size;
    }
    if (widest < strlen("  -h, --help")) widest = strlen("  -h, --help");
    for (const fs_option *o = options; status == FS_OK; o++) {
        const fs_option *shown = o->name == NULL ? &help : o;
        if (shown->help == NULL) continue;
        fs_buf_clear(&label);
        status = help_label(shown, &label);
        /* A label too wide for the column stands on a line of its own. */
        if (status == FS_OK)
            status = label.size <= widest
                         ? fs_buf_printf(out, "%-*s  ", (int)widest, fs_buf_text(&label))
                         : fs_buf_printf(out, "%s\n%*s", fs_buf_text(&label), (int)widest + 2, "");
        if (status == FS_OK) status = help_fold(shown->help, widest + 2, out);
        if (o->name == NULL) break;
    }
    fs_buf_free(&label);
    return status;
}
