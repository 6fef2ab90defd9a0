#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 2048 };

static const char *const level_names[] = {"debug", "info", "warning", "error"};
static const char *program_name = "flipsweep";
static fs_log_level lowest_level = FS_LOG_INFO;

void fs_log_init(const char *program, fs_log_level lowest)
{
    static const char *const words[] = {"debug", "info", "warn", "error"};
    program_name = program;
    lowest_level = lowest;
    const char *wish = getenv("FLIPSWEEP_LOG");
    for (int i = 0; wish != NULL && i < 4; i++) {
        if (strcmp(wish, words[i]) == 0) lowest_level = (fs_log_level)i;
    }
}

int fs_log_shows(fs_log_level level)
{
    return level >= lowest_level;
}

void fs_log(fs_log_level level, const char *format, ...)
{
    if (!fs_log_shows(level)) return;
    char line[LINE_BYTES_MAX];
    int used = level == FS_LOG_INFO
                   ? snprintf(line, sizeof line, "%s: ", program_name)
                   : snprintf(line, sizeof line, "%s: %s: ", program_name, level_names[level]);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line + used, sizeof line - (size_t)used - 1, format, args);
    va_end(args);
    size_t size = strlen(line);
    /* Texts may come from files and sockets: no control character reaches the terminal. */
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) line[i] = ' ';
    }
    line[size++] = '\n';
    if (n >= 0 && write(STDERR_FILENO, line, size) < 0) return;
}
