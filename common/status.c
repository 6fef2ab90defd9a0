#define FS_STATUS_IMPL
#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { DETAIL_BYTES_MAX = 1024 };

static _Thread_local char detail[DETAIL_BYTES_MAX];

fs_status fs_fail(fs_status code, const char *format, ...)
{
    /* The arguments may point into the old detail: format aside first. */
    char text[DETAIL_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(detail, text, sizeof detail);
    return code;
}

fs_status fs_wrap(fs_status code, const char *format, ...)
{
    char prefix[DETAIL_BYTES_MAX / 2], inner[DETAIL_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    memcpy(inner, detail, sizeof inner);
    return fs_fail(code, "%s: %s", prefix, inner);
}

const char *fs_status_detail(void)
{
    return detail;
}

const char *fs_status_name(fs_status code)
{
    switch (code) {
    case FS_OK:
        return "OK";
#define X(name, value, exit_code, text)                                                            \
    case FS_##name:                                                                                \
        return #name;
        FS_STATUS_MAP(X)
#undef X
    }
    return "UNKNOWN";
}

const char *fs_status_text(fs_status code)
{
    switch (code) {
    case FS_OK:
        return "done";
#define X(name, value, exit_code, text)                                                            \
    case FS_##name:                                                                                \
        return text;
        FS_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}

int fs_status_exit(fs_status code)
{
    switch (code) {
    case FS_OK:
        return 0;
#define X(name, value, exit_code, text)                                                            \
    case FS_##name:                                                                                \
        return exit_code;
        FS_STATUS_MAP(X)
#undef X
    }
    return 1;
}
